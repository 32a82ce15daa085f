"""The chapter of tables: what stands in a cell is a result row or the reason why there is none."""

import base64
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers.site import browser, needs_chromium

from fairnc_book import figures, paper_tables, published, tables
from fairnc_book.numbers import METRICS, TABLES, Numbers
from fairnc_utils import stats
from fairnc_utils.runs import checkout
from fairnc_utils.runs.rows import make

LM_OF, SS_OF = (
    {"none": 84.0, "corrected": 83.5, "as_released": 80.0},
    {"none": 55.0, "corrected": 52.0, "as_released": 54.0},
)

CELLS = (
    ("mlm", "none", 0),
    ("bec", "none", 0),
    ("bec", "as_released", 100),
    ("bec", "corrected", 3),
    ("bec", "corrected", 30),
)


def row(method, regularizer="none", lam=0.0, seed=0, **columns):
    interval = {"ci_low": columns["value"] - 1, "ci_high": columns["value"] + 1, "n": 30}
    return {
        "run_id": f"{method}{regularizer}{lam}{seed}",
        "model": "small",
        "method": method,
        "regularizer": regularizer,
        "lam": lam,
        "seed": seed,
        "variant": "corrected",
        "origin": "recorded",
        "profile": "full",
        "created": "2026-01-01",
        **interval,
        **columns,
    }


def stereoset(metric, value, *, split="test", **columns):
    return row(
        benchmark="stereoset_intra",
        split=split,
        axis="gender",
        metric=metric,
        value=value,
        **columns,
    )


def contract(rows):
    return make({}, rows, None, device="cpu", evidence={}).results


@pytest.fixture(scope="module")
def study():
    """A recorded study of bec and mlm: three seeds each, NC3 at two weights; λ = 30 lowers LM too
    far, λ = 3 is chosen.
    """
    # the same model, measured again
    rows = [stereoset("SS", 60.0, method="base", seed=seed) for seed in range(3)]
    for seed in range(3):
        for method, regularizer, lam in CELLS:
            model = {"method": method, "regularizer": regularizer, "lam": lam, "seed": seed}
            lm, ss = LM_OF[regularizer], SS_OF[regularizer] + seed * (10 if method == "mlm" else 1)
            lm, ss = (lm - 10, ss - 10) if lam == 30 else (lm, ss)
            for split in ("dev", "test"):
                rows += [
                    stereoset("LM", lm, split=split, **model),
                    stereoset("SS", ss, split=split, **model),
                    stereoset("log_ratio", 0.1 if lam == 30 else 0.4, split=split, **model),
                ]
    # an ablation
    rows.append(
        stereoset("SS", 99.0, method="bec", regularizer="corrected,words=profession", lam=3)
    )
    return contract(rows)


@pytest.fixture(scope="module")
def sources(study):
    live = contract(
        [
            stereoset("SS", 58.0, method="base", origin="live"),
            # fewer units: not shown
            stereoset("SS", 57.0, method="base", origin="live", n=10, created="2026-02-01"),
            stereoset("SS", 3.0, method="base", origin="live", variant="difference"),
        ]
    )
    return paper_tables.Sources(published.load(), Numbers(study, model="small"), live)


@pytest.fixture(scope="module")
def run(sources):
    return paper_tables.summary(sources, profile="test")


def cell(cells, method, regularizer="none", measure="SS (50), gender, test"):
    (row,) = cells[
        (cells["measure"] == measure)
        & (cells["method"] == method)
        & (cells["regularizer"] == regularizer)
    ].to_dict("records")
    return row


# Values


def test_recorded_is_the_mean_over_seeds_with_its_t_interval(run, sources):
    row = cell(paper_tables.table("stereoset", run.results, sources), "bec")
    half = scipy.stats.t.ppf(0.975, 2) * 1 / math.sqrt(3)  # seeds 55, 56, 57: standard deviation 1
    assert row["recorded"] == pytest.approx(56.0)
    assert (row["recorded_low"], row["recorded_high"]) == pytest.approx((56 - half, 56 + half))
    assert row["seeds"] == 3
    assert row["difference"] == pytest.approx(-4.0)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((-4 - half, -4 + half))
    assert row["ratio"] == pytest.approx(56 / 60)


def test_the_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    drawn = [stats.over_seeds(rng.normal(size=5)) for _ in range(2000)]
    assert np.mean([e.ci_low < 0 < e.ci_high for e in drawn]) == pytest.approx(0.95, abs=0.015)
    assert math.isnan(stats.over_seeds([1.0]).ci_low)


def test_corrected_is_shown_at_the_chosen_weight(run, sources):
    assert sources.recorded.weights == {"bec": 3.0}
    row = cell(paper_tables.table("stereoset", run.results, sources), "bec", "corrected")
    assert (row["lam"], row["recorded"]) == (3.0, pytest.approx(53.0))


def test_the_base_model_keeps_the_interval_of_its_run(run, sources):
    row = cell(paper_tables.table("stereoset", run.results, sources), "base")
    assert (row["recorded"], row["recorded_low"], row["recorded_high"], row["seeds"]) == (
        60,
        59,
        61,
        1,
    )
    assert math.isnan(row["difference"])


def test_a_base_with_seeds_is_paired_with_them(study):
    """After fine-tuning the base has seeds as well: the change is taken within each, so what a seed
    adds to both cancels.
    """
    common = {"benchmark": "rte", "split": "validation", "axis": "", "metric": "accuracy"}
    rows = [
        row(method, seed=seed, value=60.0 + 5 * seed + (2 if method == "bec" else 0), **common)
        for method in ("base", "bec")
        for seed in range(3)
    ]
    sources = paper_tables.Sources(
        published.load(), Numbers(contract(rows), model="small"), study.head(0)
    )
    cells = paper_tables.table("understanding", paper_tables.summary(sources).results, sources)
    base, bec = (
        cell(cells, method, measure="accuracy % (100 ↑), RTE dev") for method in ("base", "bec")
    )
    assert base["seeds"] == 3
    assert (bec["difference"], bec["difference_low"], bec["difference_high"]) == pytest.approx(
        (2, 2, 2)
    )
    assert bec["recorded_high"] - bec["recorded_low"] > 20


def test_live_is_the_run_with_most_units_and_no_difference_of_two(run, sources):
    assert cell(paper_tables.table("stereoset", run.results, sources), "base")["live"] == 58.0


def test_published_values_stand_with_their_models(run, sources):
    cells = paper_tables.table("stereoset", run.results, sources)
    quotes = cell(cells, "mabel")["published"]
    assert quotes.values == ((56.25, "bert-base-uncased"), (60.14, "roberta-base"))
    assert str(quotes) == "56.25 bert-base-uncased; 60.14 roberta-base"
    icat = cell(cells, "bec", "as_released", "ICAT (100 ↑), gender, test")
    assert icat["published"].values == ((72.38, "bert-base-uncased"),)
    coreference = paper_tables.table("coreference", run.results, sources)
    label = TABLES["coreference"][0].label
    assert cell(coreference, "base", measure=label)["published"].values == (
        (33.15, "bert-base-cased"),
    )


def test_every_published_value_has_its_cell(run, sources):
    shown = [
        quotes
        for name in TABLES
        for quotes in paper_tables.table(name, run.results, sources)["published"]
    ]
    assert sum(len(quotes.values) for quotes in shown) == len(sources.published)


# Rows


def test_summary_is_made_of_tidy_rows(run, sources):
    rows = run.results
    assert set(rows["origin"]) == {"published", "recorded"}
    assert len(rows[rows["origin"] == "published"]) == len(sources.published)
    assert set(rows[rows["origin"] == "published"]["torch"]) == {""}  # nobody computed them here
    assert 99.0 not in set(rows["value"])  # of the ablation
    means = rows[
        (rows["origin"] == "recorded") & rows["seed"].isna() & (rows["variant"] == "corrected")
    ]
    assert set(means["n"]) == {3}


def test_measures_are_told_apart_and_labelled():
    labels = [measure.label for table in TABLES.values() for measure in table]
    assert len(set(labels)) == len(labels)
    assert {measure.name for table in TABLES.values() for measure in table} <= set(METRICS)


# Empty cells


def test_empty_cells_say_why(run, sources):
    cells = paper_tables.table("stereoset", run.results, sources)
    assert cells.loc[cells["recorded"].isna(), "recorded_why"].str.len().min() > 0
    assert cell(cells, "mlm", "as_released")["recorded_why"] == paper_tables.NO_SCRIPT
    assert cell(cells, "mabel")["recorded_why"] == paper_tables.NOT_RUN
    biographies = paper_tables.table("professions", run.results, sources)
    if "bias_in_bios" in sources.missing:
        assert (
            biographies.loc[biographies["measure"].str.contains("Bios"), "recorded_why"].iloc[0]
            == paper_tables.NO_DATA
        )


def test_nothing_recorded_and_nothing_live_is_said_and_no_fault(study):
    sources = paper_tables.Sources(
        published.load(), Numbers(study.head(0), model="small"), study.head(0)
    )
    run = paper_tables.summary(sources)
    for name in TABLES:
        cells = paper_tables.table(name, run.results, sources)
        assert cells[["recorded", "live", "difference"]].isna().all().all()
        assert paper_tables.finding(cells) == "Nothing of this table is recorded."
        assert "nan" not in tables.by_origin(cells, name=name, caption="Empty.").html.casefold()


def test_finding_counts_what_lies_off_the_base(run, sources):
    cells = paper_tables.table("stereoset", run.results, sources)
    finding = paper_tables.finding(cells)
    second = cells[cells["measure"] != cells["measure"].iloc[0]]
    assert "LM (100 ↑), gender, test:" in paper_tables.finding(second)
    assert finding.startswith("Most trained models lie below the base model")
    assert "the base model has 60.0" in finding
    # mlm's seeds lie too far apart to tell
    assert "over seeds: 3 of 4 trained models; above it: 0." in finding
    assert "single" not in finding


# What a reader gets


@pytest.fixture(scope="module")
def shown(run, sources):
    return tables.by_origin(
        paper_tables.table("stereoset", run.results, sources),
        name="stereoset",
        caption='"SS" & more.',
    )


class Cells(HTMLParser):
    """Texts of the cells of a table, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.inside = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside &= tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def parsed(html):
    head, *rows = Cells(html).rows
    return pd.DataFrame(rows, columns=head)


def test_planted_rows_are_what_is_seen(shown):
    table = parsed(shown.html)
    line = table[table["model"] == "bec + corrected, λ = 3"].iloc[0]
    assert line["recorded"].startswith("53.0 [50.5, 55.5]")
    assert line["seeds"] == "3"
    assert line["− base"].startswith("−7.00 [")
    assert line["live"] == paper_tables.NOT_LIVE
    base = table.iloc[0]
    assert base["live"] == "58.0 [57.0, 59.0]"
    assert base["published"].startswith("60.28 bert-base-uncased")


def test_fullest_measures_come_first_and_empty_rows_are_folded_with_their_reasons(
    shown, run, sources
):
    table = parsed(shown.html)
    counts = table["measure"].value_counts()
    assert list(dict.fromkeys(table["measure"])) == list(
        dict.fromkeys(sorted(table["measure"], key=lambda name: -counts[name]))
    )
    cells = paper_tables.table("stereoset", run.results, sources)
    empty = shown.html.partition('<details class="empty-rows">')[2]
    assert f"{len(cells) - len(table)} rows without a value" in empty
    assert paper_tables.NOT_RUN in empty
    assert len(table) < len(cells)


def test_figure_of_a_table_shows_what_is_recorded(run, sources):
    cells = paper_tables.table("stereoset", run.results, sources)
    figure = figures.origins(cells, name="stereoset", caption="StereoSet.")
    drawn = sorted(x for trace in figure.data if trace.mode == "markers" for x in trace.x)
    titles = [note.text.replace("<br>", ", ") for note in figure.layout.annotations]
    expected = cells[cells["measure"].isin(titles) & (cells["method"] != "base")]
    assert drawn == sorted(expected["recorded"].dropna())
    assert figures.origins(cells.assign(recorded=math.nan), name="none", caption="None.") is None


def test_origins_are_told_by_word(shown):
    heads = re.findall(r'<th><span class="origin (\w+)">(\w+)</span></th>', shown.html)
    assert heads == [("published",) * 2, ("recorded",) * 2, ("live",) * 2]


def test_caption_is_escaped_and_names_the_region(shown):
    assert "<caption>&quot;SS&quot; &amp; more.</caption>" in shown.html
    assert 'role="region" tabindex="0" aria-label="&quot;SS&quot; &amp; more."' in shown.html


def test_download_holds_every_number(shown, run, sources):
    name, content = re.search(
        r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', shown.html
    ).groups()
    assert name == "stereoset.csv"
    data = pd.read_csv(io.BytesIO(base64.b64decode(content)))
    cells = paper_tables.table("stereoset", run.results, sources)
    assert tuple(data.columns) == paper_tables.COLUMNS
    np.testing.assert_allclose(data["recorded"], cells["recorded"].astype(float), rtol=1e-5)


COLUMN = """
const shown = [...document.querySelectorAll('tbody tr')].filter(row => !row.hidden);
return shown.map(row => [0, 1, 3].map(column => row.cells[column].textContent))"""


@needs_chromium
def test_heads_sort_by_keyboard_and_the_menu_picks_a_measure(shown, run, sources, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    cells = paper_tables.table("stereoset", run.results, sources)
    origins = cells[["recorded", "live"]].notna().any(axis=1)
    there = origins | cells["published"].map(lambda quotes: bool(quotes.values))
    with_value = cells[there]["measure"].value_counts().to_dict()
    script = (checkout.root() / "book/_static/tables.js").read_text()
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>t</title><script>{script}</script><main>{shown.html}</main>"
    )
    with browser() as driver:
        driver.get(page.as_uri())
        assert not driver.find_element(By.TAG_NAME, "table").is_displayed()  # until asked for
        driver.find_element(By.CSS_SELECTOR, ".full-table > summary").click()
        rows = driver.execute_script(COLUMN)
        # the first measure, until the reader asks for another
        assert {row[0] for row in rows} == {"SS (50), gender, test"}
        assert len(rows) == with_value[rows[0][0]]
        head = driver.find_elements(By.CSS_SELECTOR, "thead th")[3]
        seen = []
        for _ in range(3):
            head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
            seen.append(
                (head.get_attribute("aria-sort"), [row[2] for row in driver.execute_script(COLUMN)])
            )
        (up, ascending), (down, descending), (none, original) = seen
        assert (up, down, none) == ("ascending", "descending", "none")
        numbers = [float(text.split()[0]) for text in ascending if text[0].isdigit()]
        assert numbers == sorted(numbers)
        assert [text for text in descending if text[0].isdigit()] == [
            text for text in ascending if text[0].isdigit()
        ][::-1]
        assert not ascending[-1][0].isdigit()  # a reason is no number: last, whichever way
        assert not descending[-1][0].isdigit()
        assert original == [row[2] for row in rows]
        menu = driver.find_element(By.TAG_NAME, "select")
        assert menu.find_element(By.XPATH, "..").text.startswith("Show")
        menu.send_keys("all")
        assert len(driver.execute_script(COLUMN)) == sum(with_value.values())
        problems = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert [entry["message"] for entry in problems if "favicon" not in entry["message"]] == []
