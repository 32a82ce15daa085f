"""What a reader sees of the second edition: tables."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.planned.data import (
    ARMS,
    COLLAPSE_BY_DOSE,
    DOSED,
    EMBEDDED,
    KEPT,
    LEAN,
    MAIN_DOSE,
    NAMES,
    OVER_BASES,
    PAPER,
    PARTS_OF_SWAP,
    SECONDARY,
    SLOPE,
    SWITCHES,
    TOTAL,
    Comparison,
    Outcome,
)
from fairnc_book.planned.decide import effect
from fairnc_book.planned.study import Study
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.runs.rows import select

_COLLAPSE = next(iter(COLLAPSE_BY_DOSE.tests.values()))

#: A change that a table or a sentence is on: what is compared, and in which method or in total.
Change = tuple[Comparison, str]

#: What the plan calls a treatment beside the verdicts on its slope.
FAIRER, BLINDER = "fairer", "blinder"


def by_method(treatment: str, model: str = EMBEDDED) -> list[Change]:
    """A treatment at the main dose in each method of a base."""
    comparison = DOSED[treatment, MAIN_DOSE]
    return [(comparison, method) for method in comparison.of(model)]


def arms(*names: str, method: str) -> list[Change]:
    """*swap* and its arms, or these of them, beside a method without it."""
    every = (DOSED["swap", MAIN_DOSE], *ARMS)
    return [(each, method) for each in every if not names or each.treatment in names]


def change(row: pd.Series) -> str:
    """The change with its sign and interval."""
    return "+" * bool(row["value"] > 0) + tables.interval(row)


def entry(row: pd.Series | None) -> str:
    """A test as an entry of a table: both sides, the change and its interval, whether a bound is kept."""
    if row is None or math.isnan(row["value"]):
        return "not run"
    sides = f"{tables.number(row['first'])} → {tables.number(row['second'])}"
    held = {True: "<br>kept", False: "<br>not shown to be kept"}.get(row["kept"], "")
    return f"{sides}<br><small>{change(row)}</small>{held}"


def called(tests: pd.DataFrame, comparison: str, model: str = EMBEDDED, method: str = TOTAL) -> str:
    """What the plan calls a treatment: *fairer* if it keeps what must be kept and lowers the slope,
    *blinder* if it fails a bound, else the verdict on its slope; a dash where there is none.
    """
    slope = effect(tests, comparison, SLOPE.key, model=model, method=method)
    bounds = [effect(tests, comparison, each.key, model=model, method=method) for each in KEPT]
    held = [None if row is None else row["kept"] for row in bounds]
    if False in held:
        return BLINDER
    verdict = "" if slope is None else slope["verdict"]
    if verdict == Verdict.SUPPORTED and held.count(True) == len(held):
        return FAIRER
    return verdict or "–"


def table(
    tests: pd.DataFrame,
    changes: Iterable[Change],
    outcomes: Iterable[Outcome],
    *,
    caption: str,
    models: Iterable[str] = (EMBEDDED,),
    judged: bool = False,
    untrained: Study | None = None,
) -> Styler:
    """One row a base and change, one column an outcome that was asked of any; ``judged``: with what the
    plan calls it; ``untrained``: whose untrained model comes first. What all rows share has no column.
    """
    keys = set(tests["key"])
    outcomes = [outcome for outcome in outcomes if outcome.key in keys]
    rows = []
    if untrained:
        levels = {each.head: _level(untrained.base(each)) for each in outcomes}
        rows.append({"change": "untrained model", "seeds": "–"} | levels)
    changes = list(changes)
    for model in models:
        for comparison, method in changes:
            if not (there := comparison.of(model)) or method not in (TOTAL, *there):
                continue  # no part of the plan for this base
            effects = {
                each.head: effect(tests, comparison.key, each.key, model=model, method=method)
                for each in outcomes
            }
            seeds = max((row["seeds"] for row in effects.values() if row is not None), default=0)
            row = {"base": model.rpartition("/")[2], "method": method}
            row["change"] = comparison.label.removesuffix(", − none")
            if judged:  # first, since a wide table is cut at its right
                row["by the rule"] = called(tests, comparison.key, model, method)
                slope = effect(tests, comparison.key, SLOPE.key, model=model, method=method)
                if row["by the rule"] == BLINDER and slope is not None and slope["verdict"]:
                    row["by the rule"] += f"<br><small>slope: {slope['verdict']}</small>"
            row["seeds"] = f"{seeds:.0f}"
            rows.append(row | {name: entry(each) for name, each in effects.items()})
    return tables.plain(_told_apart(rows).fillna("–"), caption=caption)


def _told_apart(rows: list[dict]) -> pd.DataFrame:
    """The rows without a column that says the same base, or method, of each."""
    shown = pd.DataFrame(rows)
    shared = [name for name in ("base", "method") if name in shown and shown[name].nunique() == 1]
    return shown.drop(columns=shared)


def _level(base: stats.Estimate | None) -> str:
    return "not run" if base is None else tables.interval(pd.Series(vars(base)))


def primary_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """One row a base, treatment and dose (and one over bases): totals of the slope, the lean and what
    must be kept, and what the plan calls the treatment.
    """
    return table(
        tests,
        [(comparison, TOTAL) for comparison in DOSED.values()],
        (SLOPE, LEAN, *KEPT),
        models=dict.fromkeys(tests["model"]),
        judged=True,
        caption=caption,
    )


def family_table(tests: pd.DataFrame, family: str, *, caption: str) -> Styler | tables.Sortable:
    """One row a base, comparison and measure: the change by method, beside the total with I² and its
    range when one method is left out, Holm's p and the verdict. The bases other than the embedded one
    are folded; what holds over all of them is not.
    """
    shown = tests[tests["model"].isin([EMBEDDED, OVER_BASES])]
    others = tests[~tests["model"].isin([EMBEDDED, OVER_BASES])]
    table, more = (_family_rows(part, family) for part in (shown, others))
    if not more:
        return tables.plain(_told_apart(table), caption=caption)
    models = select(others, family=family)["model"].nunique()
    return tables.with_more(
        tables.plain(_told_apart(table), caption=caption),
        tables.plain(_told_apart(more), caption=f"{caption} The other models."),
        f"The other models one by one: {len(more)} rows on {models} of them",
    )


def _family_rows(tests: pd.DataFrame, family: str) -> list[dict]:
    """The rows of ``family_table``."""
    rows = []
    of_family = select(tests, family=family)
    for (model, comparison, _), group in of_family.groupby(
        ["model", "comparison", "key"], sort=False
    ):
        total = select(group, method=TOTAL)
        singles = group[group["method"] != TOTAL]
        by_method = "<br>".join(
            f"{row['method']}: {change(row) if row['p'] == row['p'] else 'not run'}"
            for _, row in singles.iterrows()
        )
        rows.append(
            {
                "base": model.rpartition("/")[2],
                "comparison": comparison,
                "measure": group["label"].iloc[0],
                "verdict": _verdict(total.iloc[0]),
                "total": entry(total.iloc[0]),
                "I² %": tables.number(total["i2"].iloc[0], digits=2),
                "one left out": _range(total.iloc[0]),
                "Holm p": _p(total["holm_p"].iloc[0]),
                "by method": f'<span style="white-space: nowrap">{by_method}</span>',
            }
        )
    return rows


def _range(row: pd.Series) -> str:
    if math.isnan(row["left_low"]):
        return "–"
    return f"{tables.number(row['left_low'])} … {tables.number(row['left_high'])}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else tables.number(value, digits=2)


def _verdict(row: pd.Series) -> str:
    """The verdict; where it is inconclusive, the smallest effect that could be detected."""
    text = f"<b>{row['verdict'] or 'not run'}</b>"
    if row["verdict"] == Verdict.INCONCLUSIVE:
        text += f"<br><small>smallest effect detectable with 80% power: {tables.number(row['smallest'], digits=2)}</small>"
    return text + (f"<br><small>{row['note']}</small>" if row["note"] else "")


def dose_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """UNC3 and NC3 of gender words by treatment and dose, at each threshold."""
    comparisons = [each for each in COLLAPSE_BY_DOSE.tests if each not in SWITCHES]
    return table(tests, [(each, TOTAL) for each in comparisons], _COLLAPSE, caption=caption)


def kept_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """What must be kept by treatment, dose and arm of swap collapse, with its bounds."""
    changes = [(each, TOTAL) for each in (*DOSED.values(), *ARMS)]
    return table(tests, changes, (*KEPT, NAMES), caption=caption)


def switches_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """The slope and the collapse of gender words with one thing of NC3 changed, beside *uniform*."""
    changes = [(each, "bec") for each in (DOSED["uniform", MAIN_DOSE], *SWITCHES)]
    return table(tests, changes, (SLOPE, *_COLLAPSE), caption=caption)


def arms_table(tests: pd.DataFrame, *, caption: str, untrained: Study | None = None) -> Styler:
    """The slope and swap collapse with one thing of swap collapse changed, beside *swap*."""
    return table(tests, arms(method="cda"), PARTS_OF_SWAP, untrained=untrained, caption=caption)


def instruments_table(studies: Sequence[Study], *, caption: str) -> Styler:
    """One row a base and instrument: the untrained model, whether there is something to remove, and
    whether a bias planted in occupations moves it: an instrument of which the plan asks that has
    failed if not.
    """
    outcomes = {each.key: each for each in (SLOPE, *SECONDARY, *PAPER) if each.improves}
    rows = []
    for study in studies:
        for outcome in outcomes.values():
            base, metric = study.base(outcome), outcome.measure.metric
            entries = {
                "base": study.model.rpartition("/")[2],
                "instrument": outcome.label,
                "ideal": metric.target,
            }
            if base is None:
                rows.append(entries | dict.fromkeys(("untrained", "bias to remove"), "not run"))
                continue
            side = stats.side(base.ci_low, base.ci_high, metric.ideal or 0.0)
            rows.append(
                entries
                | {
                    "untrained": _level(base),
                    "bias to remove": "yes" if side else "nothing to remove",
                    "a planted bias moves it": _moved(study.moves(outcome), outcome),
                }
            )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _moved(moves: bool | None, outcome: Outcome) -> str:
    if moves is None:
        return "not run"
    return "yes" if moves else "failed" if outcome.of_occupations else "no, and need not"


def predictions_table(predicted: pd.DataFrame, *, caption: str) -> Styler:
    """The predictions in the plan's words, each statement beside what came, and what became of each."""
    rows = [
        {
            "": f"{row['number']}",
            "prediction, as written": row["prediction"].replace("*", ""),
            "what was found": "<br>".join(f"{part.came}: <b>{part}</b>" for part in row["parts"]),
            "outcome": f"<b>{row['outcome']}</b>",
        }
        for row in predicted.to_dict("records")
    ]
    table = tables.plain(pd.DataFrame(rows), caption=caption)
    return tables.left(table)
