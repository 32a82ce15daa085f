"""What a reader sees of the second edition: tables, sentences, and the answer on the front page."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import claims, tables
from fairnc_book.numbers import Cell
from fairnc_book.planned.data import (
    DOSED,
    EMBEDDED,
    FAMILIES,
    KEPT,
    LEAN,
    MAIN_DOSE,
    PAPER,
    SECONDARY,
    SLOPE,
    TOTAL,
    collapse,
)
from fairnc_book.planned.predictions import CAME, FAILED, OPEN
from fairnc_book.planned.rows import read, read_lacking, read_predictions
from fairnc_book.planned.study import Study
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.runs.rows import select

#: Verdict on a claim that a treatment lowers the slope → what it does to it.
_DOES = {
    Verdict.NOTHING: "has no slope to lower",
    Verdict.SUPPORTED: "makes the model follow the labour statistics less",
    Verdict.CONTRADICTED: "makes the model follow the labour statistics more",
    Verdict.OVERSHOOTS: "turns the bias around",
    Verdict.MIXED: "lowers the slope in some methods and raises it in others",
    Verdict.NO_EFFECT: "leaves the slope as it was",
    Verdict.INCONCLUSIVE: "moves the slope by less than these runs can tell",
}

#: Treatment → its name in a sentence.
_NAMES = {
    "uniform": "Making gender words uniform",
    "both": "Making them uniform and aligned",
    "swap": "Swap collapse, this book's own proposal,",
}

#: Outcomes of the primary table: the heading and the family and key of the tests.
_PRIMARY = (
    *((each.label, "doses", each.key) for each in (SLOPE, LEAN)),
    *((each.label, "kept", each.measure.key) for each in KEPT),
)


def _change(row: pd.Series) -> str:
    sign = "+" if row["value"] > 0 else ""
    return sign + tables.interval(row)


def entry(tests: pd.DataFrame) -> str:
    """A test as an entry of a table: both sides, the change and its interval."""
    rows = tests[tests["value"].notna()]
    if rows.empty:
        return "not run"
    row = rows.iloc[0]
    sides = f"{tables.number(row['first'])} → {tables.number(row['second'])}"
    return f"{sides}<br><small>{_change(row)}</small>"


def primary_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """One row a base, treatment and dose (and one over bases): totals of the slope, the lean and what
    must be kept; the last column is what the plan calls the treatment.
    """
    rows = []
    for model in dict.fromkeys(tests["model"]):
        for (treatment, dose), comparison in DOSED.items():
            of = select(tests, model=model, comparison=comparison.key, method=TOTAL)
            if of.empty:
                continue
            named = {"base": model.rpartition("/")[2], "treatment": treatment, "dose": f"{dose:g}"}
            for label, family, key in _PRIMARY:
                named[label] = entry(select(of, family=family, key=key))
            rows.append(named | {"called": called(tests, comparison.key, model)})
    return tables.plain(pd.DataFrame(rows), caption=caption)


def called(tests: pd.DataFrame, comparison: str, model: str = EMBEDDED) -> str:
    """What the plan calls a treatment: *fairer* if it keeps what must be kept and lowers the slope,
    *blinder* if it fails a bound, else the verdict on its slope; empty where there is none.
    """
    rows = select(tests, comparison=comparison, model=model, method=TOTAL)
    bounds = select(rows, family="kept", key=[each.measure.key for each in KEPT])
    verdicts = rows[rows["family"].isin(["C", "D"]) & rows["verdict"].ne("")]["verdict"]
    if bounds["kept"].eq(False).any():
        return "blinder"
    if verdicts.empty:
        return "–"
    if verdicts.iloc[0] == Verdict.SUPPORTED and len(bounds) and bounds["kept"].eq(True).all():
        return "fairer"
    return verdicts.iloc[0]


def family_table(tests: pd.DataFrame, family: str, *, caption: str) -> Styler:
    """One row a base, comparison and measure: the change by method, then the total with I² and its
    range when one method is left out, Holm's p and the verdict.
    """
    rows = []
    of_family = select(tests, family=family)
    for (model, comparison, _), group in of_family.groupby(
        ["model", "comparison", "key"], sort=False
    ):
        total = select(group, method=TOTAL)
        singles = group[group["method"] != TOTAL]
        by_method = "<br>".join(
            f"{row['method']}: {_change(row) if row['p'] == row['p'] else 'not run'}"
            for _, row in singles.iterrows()
        )
        rows.append(
            {
                "base": model.rpartition("/")[2],
                "comparison": comparison,
                "measure": group["label"].iloc[0],
                "by method": by_method,
                "total": entry(total),
                "I² %": tables.number(total["i2"].iloc[0], digits=2),
                "one left out": _range(total.iloc[0]),
                "Holm p": _p(total["holm_p"].iloc[0]),
                "verdict": _verdict(total.iloc[0]),
            }
        )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _range(row: pd.Series) -> str:
    if math.isnan(row["left_low"]):
        return "–"
    return f"{tables.number(row['left_low'])} … {tables.number(row['left_high'])}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else tables.number(value, digits=2)


def _verdict(row: pd.Series) -> str:
    """The verdict; where it is inconclusive, the smallest effect that would have been found."""
    text = f"<b>{row['verdict'] or 'not run'}</b>"
    if row["verdict"] == Verdict.INCONCLUSIVE:
        text += f"<br><small>finds {tables.number(row['smallest'], digits=2)}</small>"
    return text + (f"<br><small>{row['note']}</small>" if row["note"] else "")


def kept_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """One row a base and treatment at the main dose: the loss of each measure that must be kept, and
    whether its bound holds.
    """
    rows = []
    for model in dict.fromkeys(tests["model"]):
        for (treatment, dose), comparison in DOSED.items():
            of = select(tests, model=model, comparison=comparison.key, method=TOTAL, family="kept")
            if dose != MAIN_DOSE or of.empty:
                continue
            entries = {"base": model.rpartition("/")[2], "treatment": treatment}
            for bound in KEPT:
                row = select(of, key=bound.measure.key)
                held = row["kept"].iloc[0] if len(row) else None
                word = "–" if held is None else "kept" if held else "lost"
                entries[f"{bound.label} (bound {bound.allowed:g})"] = f"{entry(row)}<br>{word}"
            rows.append(entries)
    return tables.plain(pd.DataFrame(rows), caption=caption)


def instruments_table(studies: Sequence[Study], *, caption: str) -> Styler:
    """One row a base and instrument: the untrained model, whether there is something to remove, and
    whether a planted bias moves it.
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
                    "untrained": tables.interval(pd.Series(vars(base))),
                    "bias to remove": "yes" if side else "nothing to remove",
                    "a planted bias moves it": _control(study, outcome),
                }
            )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _control(study: Study, outcome) -> str:
    """Whether runs with a planted bias and with its reverse come apart."""
    pair = study.numbers.contrast(outcome.measure, Cell("planted_reversed"), Cell("planted"))
    if pair.missing or pair.second.empty:
        return "not run"
    effect = stats.crossed_bootstrap(study.numbers.changes(pair))
    return "yes" if stats.side(effect.ci_low, effect.ci_high) else "failed"


def predictions_table(predicted: pd.DataFrame, *, caption: str) -> Styler:
    """The predictions, what came, and what became of each."""
    rows = [
        {
            "": f"{row['number']}",
            "prediction": row["prediction"].replace("*", ""),
            "what came": row["came"].replace("; ", "<br>"),
            "outcome": f"<b>{row['outcome']}</b>",
        }
        for row in predicted.to_dict("records")
    ]
    table = tables.plain(pd.DataFrame(rows), caption=caption)
    return table.set_properties(**{"text-align": "left"})


def finding(tests: pd.DataFrame, family: str) -> str:
    """A sentence on one family, in Markdown: how its totals came out on the embedded model."""
    totals = select(tests, family=family, model=EMBEDDED, method=TOTAL)
    question = next(each.question for each in FAMILIES if each.key == family)
    counts = totals[totals["verdict"].ne("")]["verdict"].value_counts(sort=False)
    missing = int(totals["verdict"].eq("").sum())
    said = [f"{number} {word}" for word, number in counts.items()]
    said += [f"{missing} not run"] if missing else []
    return f"**Finding.** {question} Totals, {len(totals)} in all: {', '.join(said)}."


def lacking(sweeps: Mapping[str, tuple[int, Sequence[str]]]) -> str:
    """What was not run, sweep by sweep, as a list in Markdown, the seeds of a cell together; a
    sentence if nothing is lacking.
    """
    lines = []
    for name, (number, cells) in sweeps.items():
        seeds: dict[str, list[str]] = {}
        for cell in cells:
            way, _, seed = cell.partition(", seed ")
            seeds.setdefault(way, []).append(seed)
        said = [
            f"`{way}`, seeds {', '.join(of_way)}" if any(of_way) else way
            for way, of_way in seeds.items()
        ]
        count = f" ({len(cells)} of {number} runs)" if number else ""
        lines += [f"- **{name}**{count}: {'; '.join(said)}"] if cells else []
    return "\n".join(lines) or "Every run of the plan is recorded."


def answer(tests: pd.DataFrame, outcomes: Sequence[str], missing: int) -> str:
    """The answer of the second edition in plain words, in Markdown: first whether NC3 makes models
    fairer, then what each treatment does, and how the predictions did. ``outcomes``: of the
    predictions; ``missing``: planned runs that are not recorded.
    """
    nc3 = [called(tests, name) for name in ("uniform", "both")]
    verdicts = [_slope(tests, name) for name in ("uniform", "both")]
    if "fairer" in nc3:
        first = "Yes: a treatment that enforces neural collapse makes the model fairer."
    elif all(verdict in (Verdict.NO_EFFECT, Verdict.CONTRADICTED) for verdict in verdicts):
        first = "No. Enforcing neural collapse does not make the model fairer."
    else:
        first = "The runs so far cannot tell whether neural collapse makes models fairer."
    counts = ", ".join(f"{outcomes.count(word)} {word}" for word in (CAME, FAILED, OPEN))
    lines = [
        f"**{first}**\n",
        *(_sentence(tests, name) for name in _NAMES),
        f"Of {len(outcomes)} predictions that were written down before the runs: {counts}.",
    ]
    if missing:
        lines.append(f"{missing} runs of the plan are not recorded yet, so this may still change.")
    return "\n- ".join(lines) + "\n"


def _slope(tests: pd.DataFrame, treatment: str) -> str:
    rows = select(tests, comparison=treatment, key=SLOPE.key, model=EMBEDDED, method=TOTAL)
    rows = rows[rows["family"].isin(["C", "D"])]
    return rows["verdict"].iloc[0] if len(rows) else ""


def _sentence(tests: pd.DataFrame, treatment: str) -> str:
    """What a treatment does to the slope, and to what it is for and must keep."""
    of = select(tests, comparison=treatment, model=EMBEDDED, method=TOTAL)
    slopes = of[of["family"].isin(["C", "D"]) & of["key"].eq(SLOPE.key) & of["verdict"].ne("")]
    if slopes.empty:
        return f"{_NAMES[treatment]} is not run."
    aim = "swap_collapse/gap/all/swap_collapse" if treatment == "swap" else collapse("unc3", 50).key
    named = of[of["family"].eq("A") & of["key"].eq(aim)]
    does = _DOES[Verdict(slopes["verdict"].iloc[0])]
    moved = "; ".join(
        f"{row['label']} {_change(row)}" for _, row in [*slopes.iterrows(), *named.iterrows()]
    )
    lost = [each.label for each in KEPT if _lost(of, each.measure.key)]
    loss = f", and loses too much of what it must keep ({', '.join(lost)})" if lost else ""
    return f"{_NAMES[treatment]} {does}{loss} (change: {moved})."


def _lost(of: pd.DataFrame, key: str) -> bool:
    return bool(select(of, family="kept", key=key)["kept"].eq(False).any())


def abstract(results: pd.DataFrame) -> str:
    """The findings on the front page, each number from a row: the second edition's answer, then the
    first edition's claims.
    """
    tests = read(results)
    first = claims.abstract(results)
    if tests.empty:
        return first
    second = answer(tests, read_predictions(results), read_lacking(results))
    where = "How this was decided: {doc}`notebooks/08-claims`."
    return f"{second}\n{where}\n\n**First edition.** {first}"
