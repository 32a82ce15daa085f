"""What the study means: advice follows from verdicts, and what was not run is said."""

import re

import pandas as pd
import pytest

from fairnc_book import bias_source, meaning, planned
from fairnc_book.matched import Outcome
from fairnc_book.planned.data import EMBEDDED, KEPT, SLOPE
from fairnc_book.planned.rows import as_run, read_lacking
from fairnc_book.verdicts import Verdict
from fairnc_utils.runs.rows import RESULT_COLUMNS, make

NOTHING = pd.DataFrame(columns=RESULT_COLUMNS)
LACKING = {"the second edition": (10, 2), "other groups": (4, 4)}


def row(comparison: str, outcome, verdict="", kept=None, family="C", **more) -> dict:
    """A total on the embedded model."""
    nan = float("nan")
    return {
        "family": family,
        "comparison": comparison,
        "key": outcome.key,
        "label": outcome.label,
        "model": EMBEDDED,
        "method": planned.TOTAL,
        "verdict": verdict,
        "kept": kept,
        "seeds": 5,
        **dict.fromkeys(("value", "first", "second", "ci_low", "ci_high"), 1.0),
        **dict.fromkeys(("p", "holm_p", "i2", "left_low", "left_high", "smallest"), nan),
    } | more


def results(**verdicts: str) -> pd.DataFrame:
    """Rows of a study in which treatments got these verdicts; all keep what must be kept but those of
    which ``lost`` names one.
    """
    lost = verdicts.pop("lost", "")
    rows = []
    for treatment, verdict in verdicts.items():
        rows.append(row(treatment, SLOPE, verdict, smallest=0.2))
        kept = treatment != lost
        rows += [row(treatment, each, kept=kept, family="kept") for each in KEPT]
    return as_run(pd.DataFrame(rows), {"model": "m", "profile": "test"}, runs=["r"]).results


def filed(benchmark: str, **columns) -> pd.DataFrame:
    rows = [{"benchmark": benchmark, "origin": "recorded", "value": 1.0} | columns]
    return make({"model": "m", "profile": "test"}, rows, None, device="cpu", evidence={}).results


def leads(text: str) -> list[str]:
    return re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)


def test_without_rows_nothing_is_claimed():
    advice = leads(meaning.practitioners(NOTHING))
    assert sum("untested here" in lead for lead in advice) == 4
    assert "no verdict yet" in meaning.statistical(NOTHING)
    table = meaning.plan_table(NOTHING, caption="c").data
    assert set(table["second edition"]) == {"not run"}


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"uniform": Verdict.SUPPORTED, "both": Verdict.INCONCLUSIVE}, "is worth a try"),
        ({"uniform": Verdict.SUPPORTED, "lost": "uniform"}, "gives no reason"),
        ({"uniform": Verdict.NO_EFFECT, "both": Verdict.CONTRADICTED}, "Do not expect NC3"),
        ({"uniform": Verdict.NO_EFFECT, "both": Verdict.INCONCLUSIVE}, "gives no reason"),
    ],
)
def test_advice_on_nc3_follows_from_its_verdicts(verdicts, expected):
    assert expected in leads(meaning.practitioners(results(**verdicts)))[0]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"swap": Verdict.SUPPORTED}, "keep what must"),
        ({"swap": Verdict.SUPPORTED, "lost": "swap"}, "at a price"),
        ({"swap": Verdict.INCONCLUSIVE}, "no safe remedy"),
    ],
)
def test_advice_on_swap_collapse_asks_what_was_kept(verdicts, expected):
    assert expected in leads(meaning.practitioners(results(**verdicts)))[1]


def test_a_treatment_that_loses_something_is_counted():
    text = meaning.practitioners(results(uniform=Verdict.SUPPORTED, swap="", lost="swap"))
    assert "Of 2 treatments and doses, 1 are not shown to keep what they must: swap." in text


@pytest.mark.parametrize("word", list(bias_source.Word)[3:8])
def test_each_verdict_on_where_bias_comes_from_has_a_sentence(word):
    rows = filed("bias_source", axis="verdict", words=str(word), metric="verdict")
    assert bias_source.said(word) in meaning.practitioners(rows)


def test_compressed_models_are_counted_by_verdict():
    rows = filed(
        "compressed", split="matched", variant=str(Outcome.LESS_FAIR), metric="matched_difference"
    )
    text = meaning.practitioners(rows)
    assert "Do not compress a model in order to make it fairer." in leads(text)
    assert "1 compressed models are: 1 less fair" in text


def test_no_advice_opens_with_a_number():
    study = results(uniform=Verdict.NO_EFFECT, both=Verdict.NO_EFFECT, swap=Verdict.SUPPORTED)
    for text in (meaning.practitioners(study), meaning.readers(study)):
        assert [lead for lead in leads(text) if re.search(r"(?<!NC)\d", lead)] == []


def test_what_is_missing_is_counted_by_part():
    text = meaning.missing(LACKING)
    assert "**The second edition**: 8 of 10 planned runs are recorded." in text
    assert "**Other groups**: none of 4 planned runs is recorded." in text
    assert meaning.missing({"other groups": (4, 0)}) == (
        "Every run that the plans ask for is recorded."
    )
    external = meaning.external(NOTHING, LACKING)
    assert "On other groups, no planned run is recorded." in external
    rows = meaning.as_run(LACKING, {"model": "m", "profile": "test"}).results
    assert rows.set_index("split")["value"].to_dict() == {
        "the second edition": 2,
        "other groups": 4,
    }


def test_runs_are_counted_as_the_plan_has_them():
    counted = meaning.not_run(["config/second.yaml"])
    sweeps = planned.not_run("config/second.yaml")
    assert sum(asked for asked, _ in counted.values()) == sum(n for n, _ in sweeps.values())
    run = as_run(pd.DataFrame(), {"model": "m", "profile": "test"}, runs=["r"], sweeps=sweeps)
    missing = sum(number for _, number in counted.values())
    assert missing == sum(read_lacking(run.results).values())
    assert set(counted) == {meaning.PARTS["config/second.yaml"], meaning.CAUSAL}
    other = meaning.not_run(["config/second.yaml", "config/groups.yaml"])
    assert other[meaning.CAUSAL] == counted[meaning.CAUSAL]  # whatever others call their sweeps
