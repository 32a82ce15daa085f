"""Reports on other people's models: one file, nothing loaded, nothing run, everything escaped."""

import html
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from importlib import import_module, resources
from types import SimpleNamespace

import nbformat
import pytest
from helpers import ROOT
from helpers.reports import MARKUP, audit, audit_page, comparison, comparison_page
from helpers.site import LOADED
from papermill.exceptions import PapermillExecutionError

from fairnc_book.audit import findings, page, svg
from fairnc_utils import models
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli


class Tags(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.style = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.style += tag == "style"

    def handle_endtag(self, tag):
        self.style -= tag == "style"

    def handle_data(self, data):
        if not self.style:
            self.text.append(data)


@pytest.fixture(params=["audit", "comparison"])
def shown(request):
    return {"audit": audit_page, "comparison": comparison_page}[request.param]()


def test_a_page_loads_nothing_and_runs_nothing(shown):
    tags = Tags(shown)
    assert not {"script", "img", "iframe", "object", "embed", "link", "form", "base"} & set(
        tags.tags
    )
    assert [(tag, name) for tag, name, _ in tags.attributes if (tag, name) in LOADED] == []
    assert [name for _, name, _ in tags.attributes if name.startswith("on")] == []
    assert not re.search(r"url\(|@import|https?://", shown)
    policy = [value for _, name, value in tags.attributes if name == "content"]
    assert any("default-src 'none'" in value for value in policy)
    assert len(shown.encode()) < page.LARGEST


def test_a_name_that_is_markup_is_shown_as_it_is(shown):
    assert MARKUP not in shown
    assert MARKUP in "".join(Tags(shown).text)
    assert "<script" not in shown


def test_every_number_has_a_picture_that_says_what_it_shows(shown):
    tags = Tags(shown)
    labels = [value for tag, name, value in tags.attributes if (tag, name) == ("svg", "aria-label")]
    rows = sum(value == "row" for _, name, value in tags.attributes if name == "class")
    assert rows >= 2
    assert len(labels) >= rows
    assert all("[" in label or "control list" in label for label in labels)


def test_an_audit_has_its_sections_in_order_and_its_code_last():
    shown = audit_page()
    heads = re.findall(r"<h2>(.*?)</h2>", shown)
    assert heads[1:3] == ["What it finds likely", "What it is told, and keeps"]
    assert heads[-2:] == ["What could not be measured", "Where the numbers come from"]
    assert shown.index("The code that made this page") > shown.index(heads[-1])
    assert shown.count("<h1>") == 1
    assert "Measuring took 3.0 minutes" in shown


def test_sentences_say_which_side_of_the_ideal_and_what_would_have_been_seen():
    slope, lean = (number.record() for number in audit().numbers)
    assert findings.finding(slope).startswith("Its pronoun follows the share of women")
    assert "models/old has" in findings.change(lean, "models/old")
    for side, words in ((1, "leans to “she”"), (-1, "leans to “he”"), (0, "detectable deviation")):
        assert words in findings.finding(lean | {"side": side})
    assert "too few units" in findings.finding(lean | {"ci_low": None})
    plug_in = slope | {"metric": "odd", "label": "oddity", "ideal": 3.0, "side": -1}
    assert findings.finding(plug_in).endswith("below its ideal 3.")


def test_the_summary_names_what_differs_from_its_ideal_and_from_the_other_model():
    record = audit().record()
    bias, _, against = findings.summary(record)
    assert bias == "1 of 2 measures of bias differs from the ideal: occupation slope."
    assert against.endswith("0 better, 1 worse (lean at parity).")
    nothing = [each | {"side": 0} for each in record["numbers"]]
    said = findings.summary(record | {"numbers": nothing})
    assert said[0] == "0 of 2 measures of bias differ from the ideal."


def test_a_row_of_a_comparison_does_not_repeat_its_label_and_values():
    said = re.findall(r'class="said">(.*?)<', comparison_page())
    assert len(said) == 2
    assert all(not re.search("→|slope|lean", sentence) for sentence in said)
    assert said[1] == "Worse."


def test_an_interval_is_drawn_to_scale():
    slope = audit().numbers[0].record()
    drawn = svg.interval(slope | {"against": None}, "m", None)
    found = re.search(r'<line class="this" x1="([\d.]+)" x2="([\d.]+)"', drawn)
    low, high = map(float, found.groups())
    ideal = float(re.search(r'class="ideal" x1="([\d.]+)"', drawn)[1])
    share = (slope["value"] - slope["ci_low"]) / (slope["ci_high"] - slope["ci_low"])
    point = float(re.search(r'<circle class="this" cx="([\d.]+)"', drawn)[1])
    assert point == pytest.approx(low + share * (high - low), abs=0.2)
    assert (low - ideal) / (high - low) == pytest.approx(
        slope["ci_low"] / (slope["ci_high"] - slope["ci_low"]), abs=0.01
    )
    ticks = svg._Scale([0.0, 0.0], 10, 90).ticks()
    assert len(ticks) > 1


def test_the_record_of_an_audit_is_json_without_nan():
    record = json.loads(audit().json())
    assert [each["metric"] for each in record["numbers"]] == ["slope", "lean"]
    assert record["numbers"][0]["smallest"] > 0
    assert record["numbers"][0]["against"]["smallest"] > 0


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"what": "comparison"}',
        '{"what": "audit"}',
        "[" * 100_000,
        json.dumps(json.loads(comparison().json()) | {"tests": [{"benchmark": "<b>"}]}),
        json.dumps(json.loads(comparison().json()) | {"decision": "<b>"}),
    ],
)
def test_a_file_that_is_no_comparison_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "record.json"
    file.write_text(content)
    with pytest.raises(FairNCError) as caught:
        page.rendered(page.read(str(file)), str(file))
    assert "\n" not in str(caught.value)


def test_numbers_of_a_record_that_are_markup_are_refused():
    record = json.loads(comparison().json())
    record["tests"][0]["first"] = "<script>"
    with pytest.raises(FairNCError, match="not as `fairnc compare --json` writes it"):
        page.rendered(record, "record.json")


# ---------------------------------------------------------------- commands


@pytest.fixture
def installed(monkeypatch):
    """The commands of ``pyproject.toml``, as entry points of the installed package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = []
    for name, place in project["entry-points"]["fairnc.commands"].items():
        module, _, attribute = place.partition(":")
        load = lambda m=module, a=attribute: getattr(import_module(m), a)  # noqa: E731
        dist = SimpleNamespace(name=project["name"])
        points.append(SimpleNamespace(name=name, value=place, load=load, dist=dist))
    monkeypatch.setattr(cli, "plug_ins", lambda group: points)


def test_compare_writes_a_page_by_way_of_the_book_machine(installed, tmp_path, capsys, monkeypatch):
    from fairnc_utils import compare as module

    monkeypatch.setattr(module, "compare", lambda *_, **__: comparison({"slope": 5.0}))
    out = tmp_path / "page.html"
    assert cli.main(["compare", "a", "b", "--html", str(out)]) == 0
    assert "<h1>Not worse: " in out.read_text()
    assert "not worse" in capsys.readouterr().out
    monkeypatch.setattr(cli, "plug_ins", lambda group: [])
    assert cli.main(["compare", "a", "b", "--html", str(out)]) == 2
    assert "fairnc-utils[book]" in capsys.readouterr().err


def test_an_audit_is_one_file_though_the_name_of_the_model_is_code(
    installed, tmp_path, capsys, monkeypatch
):
    """From the command to the page, through the kernel of a notebook, of a model in a folder whose
    name would run and be drawn if it were put into code or markup as it is.
    """
    monkeypatch.chdir(tmp_path)
    name = '"); open("executed", "w") # <b>'
    lm = models.load("random", device="cpu")
    lm.model.save_pretrained(name)
    lm.tokenizer.save_pretrained(name)
    out, kept = tmp_path / "report.html", tmp_path / "executed.ipynb"
    options = "--benchmarks definitional --budget 0 --device cpu".split()
    status = cli.main(["audit", name, *options, "--out", str(out), "--notebook", str(kept)])
    assert status == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "auditing: 100%" in said.err  # how far it is
    shown = out.read_text()
    assert f"How fair is {html.escape(name)}?" in shown
    assert name not in shown
    assert "definitional gender" in shown
    assert any(cell.get("outputs") for cell in nbformat.read(kept, as_version=4).cells)
    assert not (tmp_path / "executed").exists()


def test_arguments_that_are_bad_are_told_before_anything_heavy_is_imported():
    script = (
        "import sys\nfrom fairnc_utils.runs.cli import main\nstatus = main(['audit'])\n"
        "print([name for name in ('torch', 'pandas', 'papermill') if name in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[] 2\n"
    assert done.stderr == "fairnc audit: the following arguments are required: MODEL, --out\n"


def test_what_a_cell_refuses_is_one_line_and_the_older_report_stays(
    installed, tmp_path, capsys, monkeypatch
):
    def refused(*_, **__):
        raise PapermillExecutionError(1, 1, "", "FairNCError", "model 'x' is no model", [])

    monkeypatch.setattr("papermill.execute_notebook", refused)
    out = tmp_path / "report.html"
    out.write_text("an older report")
    assert cli.main(["audit", "x", "--out", str(out)]) == 2
    assert capsys.readouterr().err.endswith("model 'x' is no model\n")
    assert out.read_text() == "an older report"


def test_the_notebook_lies_in_the_package_and_is_found_among_the_others():
    link = ROOT / "notebooks/audit.ipynb"
    inside = resources.files("fairnc_book.audit").joinpath("audit.ipynb")
    assert link.is_symlink()
    assert link.read_text() == inside.read_text()
