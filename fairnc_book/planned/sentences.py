"""What a reader sees of the second edition: sentences, and its answer in plain words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from fairnc_book.planned.data import (
    ARMS,
    AT_DOSES,
    BESIDE_DOSES,
    DOSED,
    DOSES,
    EMBEDDED,
    FAMILIES,
    KEPT,
    PLAN_COMMIT,
    RELEASED,
    SLOPE,
    SWITCHES,
    TOTAL,
    TREATMENTS,
)
from fairnc_book.planned.decide import effect
from fairnc_book.planned.predictions import CAME, FAILED, OPEN
from fairnc_book.planned.report import FAIRER, called
from fairnc_book.planned.study import Study
from fairnc_book.verdicts import Verdict
from fairnc_utils.runs.rows import select

if TYPE_CHECKING:
    from fairnc_utils.runs.grid import Cell

#: Verdict on a claim that a treatment lowers the slope → what it does to it.
_DOES = {
    Verdict.NOTHING: "has no slope to lower",
    Verdict.FAILED: "cannot be judged, as the slope does not react to a planted bias",
    Verdict.SUPPORTED: "makes the model follow the labour statistics less",
    Verdict.CONTRADICTED: "makes the model follow the labour statistics more",
    Verdict.OVERSHOOTS: "turns the bias around",
    Verdict.MIXED: "lowers the slope in some methods and raises it in others",
    Verdict.NO_EFFECT: "leaves the slope as it was",
    Verdict.INCONCLUSIVE: "is not shown to move the slope",
}

#: Treatment → its name in a sentence.
_NAMES = {
    "uniform": "Making gender words uniform",
    "both": "Aligning them as well",
    "swap": "Swap collapse, this book's own proposal,",
}


def changes(tests: pd.DataFrame, family: str) -> pd.DataFrame:
    """Totals of a family on the embedded model as rows with a ``metric`` and ``n`` (seeds), for
    figures.
    """
    rows = select(tests, family=family, model=EMBEDDED, method=TOTAL)
    return rows.assign(metric=rows["key"].str.rpartition("/")[2], n=rows["seeds"])


def labels() -> dict[str, str]:
    """Comparison → treatment and dose, in the order in which they are shown."""
    return {
        comparison.key: f"{treatment}, {dose:g}"
        for (treatment, dose), comparison in BESIDE_DOSES.items()
    }


def dose_finding(tests: pd.DataFrame) -> str:
    """A sentence on each treatment, in Markdown: how its slope moves as the dose grows."""
    leads, said = [], []
    for treatment in TREATMENTS:
        keys = [BESIDE_DOSES[treatment, dose].key for dose in DOSES]
        rows = select(tests, family="doses", key=SLOPE.key, model=EMBEDDED, method=TOTAL)
        rows = rows[rows["comparison"].isin(keys) & rows["ci_low"].notna()]
        raised, lowered = int((rows["ci_low"] > 0).sum()), int((rows["ci_high"] < 0).sum())
        leads.append(f"*{treatment}* {_by_dose(raised, lowered, len(rows))}.")
        said.append(
            f"*{treatment}* raises the slope at {raised} and lowers it at {lowered} of {len(rows)}"
        )
    return (
        f"**Finding.** {' '.join(leads)} In {' and '.join(AT_DOSES)}, by intervals that exclude zero: "
        f"{'; '.join(said)} doses."
    )


def _by_dose(raised: int, lowered: int, doses: int) -> str:
    """How a treatment moves the slope over its doses, without a number."""
    if raised and lowered:
        return "raises the slope at one dose and lowers it at another"
    for number, verb in ((lowered, "lowers the slope"), (raised, "raises the slope")):
        if number:
            return f"{verb} at {'every dose' if number == doses else 'some doses'}"
    return "is not shown to move the slope" if doses else "is not run"


def finding(tests: pd.DataFrame, family: str) -> str:
    """A sentence on one family, in Markdown: how its totals came out on the embedded model."""
    totals = select(tests, family=family, model=EMBEDDED, method=TOTAL)
    question = next(each.question for each in FAMILIES if each.key == family)
    counts = totals[totals["verdict"].ne("")]["verdict"].value_counts(sort=False).to_dict()
    said = [
        f"*{comparison}* {_counted(rows['verdict'])}"
        for comparison, rows in totals.groupby("comparison", sort=False)
    ]
    return f"**Finding.** {question} {_in_short(counts)} Totals, {len(totals)} in all: {'; '.join(said)}."


def _counted(verdicts: pd.Series) -> str:
    """How many totals came out how: 2 supported, 1 mixed."""
    counts = verdicts.replace("", "not run").value_counts(sort=False)
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def _in_short(counts: Mapping[str, int]) -> str:
    """The answer to the question of a family, without a number; ``counts``: totals by verdict, of those
    that were run.
    """
    run, decided = set(counts), set(counts) - {Verdict.NOTHING, Verdict.FAILED}
    if not run:
        return "Not run."
    if not decided:
        return "No instrument could tell."
    if decided == {Verdict.SUPPORTED}:
        return "Yes."
    if decided == {Verdict.CONTRADICTED}:
        return "No, the opposite is found."
    if decided == {Verdict.NO_EFFECT}:
        return "No."
    if Verdict.SUPPORTED in decided:
        return "In part."
    return "It is not shown."


def fixed(studies: Sequence[Study]) -> str:
    """Which commit fixed the plan, and which ones made the runs that are read, in Markdown."""
    runs = pd.concat([study.numbers.results for study in studies]).drop_duplicates("run_id")
    made = runs["git_commit"].dropna().str[:12].value_counts()
    by_commit = ", ".join(f"`{commit}` ({number})" for commit, number in made.items())
    said = (
        f"The {made.sum()} runs read here were made after it, at {by_commit}." if len(made) else ""
    )
    return f"The plan and the code that decides were fixed in commit `{PLAN_COMMIT[:12]}`. {said}"


def lacking(sweeps: Mapping[str, tuple[int, Sequence["Cell"]]]) -> str:
    """What was not run, sweep by sweep, as a list in Markdown, in the words of the plan; the bases and
    the seeds of a setting together, a sweep without any run by its number alone; a sentence if nothing
    is lacking.
    """
    lines = []
    for name, (number, cells) in sweeps.items():
        if cells:
            count = f"{len(cells)} of {number} runs"
            what = f"{count}: {_settings(cells)}" if len(cells) < number else f"all {number} runs"
            lines.append(f"- **{name.replace('_', ' ')}**, {what}")
    return "\n".join(lines) or "Every run of the plan is recorded."


def _settings(cells: Iterable["Cell"]) -> str:
    """What the cells train, each setting once, with its bases and seeds."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for cell in cells:
        base = cell.config.model.rpartition("/")[2]
        seeds.setdefault((_in_words(cell.label), base), []).append(cell.config.seed)
    bases: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (trained, base), of_setting in seeds.items():
        bases.setdefault((trained, tuple(of_setting)), []).append(base)
    return "; ".join(
        f"{trained} ({', '.join(names)}; seed{'s' * (len(of_setting) > 1)} {', '.join(map(str, of_setting))})"
        for (trained, of_setting), names in bases.items()
    )


#: Regularizer of a row → what the plan calls it.
_IN_PLAN = {
    comparison.second: f"{comparison.treatment or comparison.label}, dose {comparison.dose:g}"
    for comparison in (*DOSED.values(), *ARMS, *SWITCHES)
} | {RELEASED.second: "as released"}


def _in_words(trained: str) -> str:
    """What a cell trains and with what, in the words of the plan."""
    start, _, label = trained.partition(" λ = ")[0].rpartition(" ")
    return f"{start} with {_IN_PLAN[label]}" if label in _IN_PLAN else trained


def answer(tests: pd.DataFrame, outcomes: Sequence[str], missing: int) -> str:
    """The answer of the second edition in plain words, in Markdown: first whether NC3 makes models
    fairer, then what each treatment does, and how the predictions did. ``outcomes``: of the
    predictions; ``missing``: planned runs that are not recorded.
    """
    name = f"{EMBEDDED.rpartition('/')[2]}, one small masked model,"
    nc3 = [called(tests, treatment) for treatment in ("uniform", "both")]
    verdicts = [_slope(tests, treatment) for treatment in ("uniform", "both")]
    if FAIRER in nc3:
        first = f"Yes: on {name} a treatment that enforces neural collapse makes the model fairer."
    elif all(verdict in (Verdict.NO_EFFECT, Verdict.CONTRADICTED) for verdict in verdicts):
        first = f"No. On {name} enforcing neural collapse does not make the model fairer."
    else:
        first = f"The runs so far cannot tell whether neural collapse makes {name} fairer."
    counts = ", ".join(f"{outcomes.count(word)} {word}" for word in (CAME, FAILED, OPEN))
    lines = [
        f"**{first}** {_JUDGED}\n",
        *(_sentence(tests, treatment) for treatment in _NAMES),
        f"Of {len(outcomes)} predictions that were written down before the runs: {counts}.",
    ]
    if missing:
        lines.append(f"{missing} runs of the plan are not recorded yet, so this may still change.")
    return "\n- ".join(lines) + "\n"


def _slope(tests: pd.DataFrame, treatment: str) -> str:
    row = effect(tests, treatment, SLOPE.key)
    return "" if row is None else row["verdict"]


#: What the answer is about, in plain words.
_JUDGED = (
    "What is judged is how much its choice of *she* or *he* follows the share of women in an occupation: the "
    "*slope*, ideally 0."
)


def _sentence(tests: pd.DataFrame, treatment: str) -> str:
    """What a treatment does to the slope, and whether it keeps what it must, with few numbers."""
    slope = effect(tests, treatment, SLOPE.key)
    if slope is None or not slope["verdict"]:
        return f"{_NAMES[treatment]} is not run."
    numbers = f"{_two(slope['first'])} → {_two(slope['second'])}"
    numbers += f", change [{_two(slope['ci_low'])}, {_two(slope['ci_high'])}]"
    lost = lost_by(tests, treatment)
    kept = ", ".join(label.removesuffix(" %") for label in lost)
    loss = f" But it is not shown to keep what it must: {kept}." if lost else ""
    return f"{_NAMES[treatment]} {_DOES[Verdict(slope['verdict'])]} (slope {numbers}).{loss}"


def _two(value: float) -> str:
    """A number to two decimals, with a true minus and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def lost_by(
    tests: pd.DataFrame, comparison: str, model: str = EMBEDDED, method: str = TOTAL
) -> list[str]:
    """What must be kept and was not."""
    rows = {
        each.label: effect(tests, comparison, each.key, model=model, method=method) for each in KEPT
    }
    return [
        label
        for label, row in rows.items()
        if row is not None and pd.notna(row["kept"]) and not row["kept"]
    ]
