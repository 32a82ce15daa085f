"""The command line: rows on standard output, messages on standard error, status 2 on bad input."""

import json
import subprocess
import sys

import pytest

from fairnc_utils import runs
from fairnc_utils.runs import cli
from fairnc_utils.runs.options import Debiasing


def run(capsys, *arguments):
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_measure_prints_the_rows_of_study(capsys):
    options = (
        "--model random --device cpu --texts 40 --words gender --min-counts 3 --draws 0".split()
    )
    status, out, _ = run(capsys, "measure", *options, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    expected = runs.measure(
        model="random", device="cpu", texts=40, words=("gender",), min_counts=(3,), draws=0
    ).results
    assert status == 0
    assert [row["value"] for row in rows] == pytest.approx(expected["value"].tolist())
    status, out, _ = run(capsys, "measure", *options)
    assert status == 0
    assert "unc3" in out


def test_score_prints_rows_and_saves_the_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = "score --model random --device cpu --benchmark stereoset --split dev --axis religion".split()
    status, out, err = run(capsys, *arguments, "--json", "--out", "runs")
    rows = {row["metric"]: row for row in map(json.loads, out.splitlines())}
    assert status == 0
    assert 0 <= rows["SS"]["value"] <= 100
    assert rows["SS"]["axis"] == "religion"
    # relative to the current folder
    assert (tmp_path / "runs" / rows["SS"]["run_id"] / "results.parquet").is_file()
    assert "saved" in err


def test_a_list_and_a_corpus_of_one_s_own(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("word,group\nking,ruler\nqueen,ruler\ndoctor,work\n")
    (tmp_path / "mine.jsonl").write_text('{"text": "The king and the queen met a doctor."}\n' * 9)
    options = "--model random --device cpu --corpus mine.jsonl --min-counts 3".split()
    status, out, _ = run(
        capsys, "measure", *options, "--words", "my.csv", "--out", "runs", "--json"
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert {(row["words"], row["axis"], row["corpus"]) for row in rows} == {
        ("my.csv", "my.csv", "mine.jsonl")
    }
    assert {
        row["n"] for row in rows if row["metric"] == "nc3" and row["variant"] == "corrected"
    } == {3}
    before = rows[0]["run_id"]
    provenance = json.loads((tmp_path / "runs" / before / "provenance.json").read_text())
    assert provenance["evidence"]["word_lists"].keys() == {"my.csv"}
    (tmp_path / "my.csv").write_text("word,group\nking,royal\nqueen,royal\ndoctor,work\n")
    _, out, _ = run(capsys, "measure", *options, "--words", "my.csv", "--json")
    # other content under the same name is another run
    assert json.loads(out.splitlines()[0])["run_id"] != before
    (tmp_path / "my.csv").write_text("word\nking")
    status, _, err = run(capsys, "measure", *options, "--words", "my.csv")
    assert status == 2
    assert err == "fairnc measure: my.csv, line 1: no column 'group'; correct it\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["score", "--benchmark", "steroset", "--split", "dev"],
            "unknown benchmark 'steroset': choose stereoset_intra",
        ),
        (
            ["score", "--benchmark", "stereoset", "--split", "train"],
            "no split 'train': choose dev, test",
        ),
        (
            ["score", "--benchmark", "stereoset", "--split", "dev", "--axis", "hair"],
            "no axis 'hair': choose all, gender",
        ),
        (["measure", "--words", "gendre"], "gendre"),
        (["measure", "--model", "random", "--corpus", "missing.txt"], "missing.txt"),
        (["measure", "--model", "models/none"], "models/none"),
        (
            ["measure", "--model", "random", "--device", "gpu"],
            "device 'gpu' cannot be used here; choose auto, cpu",
        ),
        (["assets", "numpy"], "the pinned ones are"),
        (
            ["measure", "--split", "validation"],
            "option heldout_split = 'validation': NC4 needs text that the class means are not taken from; "
            "choose development, test, none",
        ),
        (
            ["measure", "--heldout-split", "test"],
            "option heldout_split = 'test': NC4 needs text that the class means are not taken from",
        ),
        # before models are looked for
        (["compare", "no", "model", "--benchmarks", "seet"], "; did you mean seat?"),
        (
            ["compare", "no", "model", "--benchmarks", "seat:gendr"],
            "seat has no split 'gendr': choose gender",
        ),
    ],
)
def test_bad_input_is_status_2_and_one_line(capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "fairnc: name a command: measure, geometry, score, "),
        (
            "score",
            "fairnc score: option benchmark: Field required (as `fairnc list benchmarks` names them)",
        ),
        ("score --benchmark", "fairnc score: argument --benchmark: expected one argument"),
        ("measur", "fairnc: unknown command 'measur': choose measure, geometry, score, "),
        ("measur", "; did you mean measure?"),
        ("xyzzy", ", audit, page"),  # nothing is like it
        ("score --benchmark seet", "; did you mean seat?"),
        (
            "measure --modle random",
            "fairnc measure: unknown argument --modle; options are --help, --config, ",
        ),
        ("measure --modle=random", "; did you mean --model?"),
        ("measure random", "fairnc measure: unknown argument random; options are "),
        (
            "measure --texts many",
            "fairnc measure: option texts = 'many': Input should be a valid integer",
        ),
        (
            "measure --words hair",
            "fairnc measure: option words.0: unknown word list 'hair': choose gender, ",
        ),
        (
            "train --method bce",
            "fairnc train: option method: unknown method 'bce': choose mlm, bec, ",
        ),
        (
            "train --method bec --benchmarks weat:all",
            "option benchmarks.0: unknown benchmark 'weat': choose stereoset_intra",
        ),
        ("train --method bec --nc3-words a,b.csv", "give the file a name without a comma"),
        ("train --method bec --regularizer {", "fairnc train: option regularizer: "),
        (
            "finetune --task colla",
            "fairnc finetune: option task: unknown task 'colla': choose coreference, ",
        ),
        ("list corpra", "fairnc list: argument WHAT: invalid choice: 'corpra'"),
        ("measure --config absent.yaml", "fairnc measure: absent.yaml: No such file or directory"),
    ],
)
def test_bad_input_is_answered_in_one_line_and_before_anything_heavy_is_imported(
    arguments, message
):
    done = light(arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    said, heavy = done.stderr.splitlines()
    assert message in said
    assert heavy == "[]"


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "list", "list words", "measure --help", "train --help"]
)
def test_help_and_lists_import_nothing_heavy(arguments):
    done = light(arguments)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert done.stdout


def light(arguments):
    """A command in a process of its own, which says at the end what it imported that takes long."""
    script = """
import atexit, sys
heavy = ("torch", "pandas", "numpy", "scipy", "transformers", "datasets", "pyarrow", "fairnc_book")
atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))
from fairnc_utils.runs.cli import main
sys.exit(main(sys.argv[1:]))
"""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )


# ---------------------------------------------------------------- flags and their schemas

SCHEMAS = {name: schema for name, (schema, _) in cli.RUNS.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_option_is_a_flag_with_a_description_in_the_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for option, field in SCHEMAS[name].model_fields.items():
        assert f"--{option.replace('_', '-')}" in said, option
        assert " ".join(field.description.split()) in said, option


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        (
            "measure",
            "--words gender my.csv --min-counts 3 5",
            {"words": ("gender", "my.csv"), "min_counts": (3, 5)},
        ),
        ("measure", "--heldout-split none", {"heldout_split": None}),
        ("measure", "--layers all", {"layers": "all"}),
        ("measure", "--layers 1 2", {"layers": (1, 2)}),
        ("measure", "", {"draws": 0, "seed": 0}),
        ("measure", "--draws 7", {"draws": 7}),
        (
            "train",
            "--method bec --by-layer --lam 3",
            {"by_layer": True, "perplexity": False, "lam": 3.0},
        ),
        ("train", "--method bec --regularizer as_released", {"regularizer": "as_released"}),
        ("train", "--method bec --regularizer none", {"regularizer": "none"}),
        (
            "train",
            "--method bec --regularizer {kind:\u00a0align}",
            {"regularizer": {"kind": "align"}},
        ),
        (
            "trajectory",
            "--method bec --steps 2 --regularizers none {kind:\u00a0both}",
            {"regularizers": ("none", {"kind": "both"})},
        ),
        (
            "finetune",
            "--task cola --debiasing {method:\u00a0bec}",
            {"debiasing": Debiasing(method="bec")},
        ),
        ("finetune", "--task cola --debiasing none", {"debiasing": None}),
    ],
)
def test_flags_are_options(monkeypatch, command, arguments, expected):
    options = called(
        monkeypatch, command, [part.replace("\u00a0", " ") for part in arguments.split(" ") if part]
    )
    config = SCHEMAS[command](**options)
    assert {key: getattr(config, key) for key in expected} == expected


def test_flags_go_before_the_file(monkeypatch, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("method: bec\nsteps: 40\nlam: 5\ntexts: 3")
    flags = ["--config", str(file), "--steps", "2", "--texts", "none"]
    config = SCHEMAS["train"](**called(monkeypatch, "train", flags))
    assert (config.method, config.steps, config.lam, config.texts) == ("bec", 2, 5.0, None)
    file.write_text("draws: 9")
    assert called(monkeypatch, "measure", ["--config", str(file)]) == {"draws": 9}


def called(monkeypatch, command, arguments):
    """The options with which a command calls the run of its name."""

    class Called(Exception):
        pass

    def run(**options):
        raise Called(options)

    monkeypatch.setattr(runs, command, run)
    with pytest.raises(Called) as stop:
        cli.main([command, *arguments])
    return stop.value.args[0]


def test_runs_are_functions_whatever_is_imported_first():
    script = """
import fairnc_utils.runs.measure, fairnc_utils.runs.train
from fairnc_utils import runs
print(*(getattr(runs, name).__name__ for name in runs.__all__))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == runs.__all__
