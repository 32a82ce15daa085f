"""What a reader sees of the tests: tables, sentences, and the abstract of the book."""

import math

import pandas as pd
import plotly.graph_objects as go
from pandas.io.formats.style import Styler

from fairnc_book import figures, tables
from fairnc_book.claims.data import CLAIMS, CONTRAST_LABELS, Claim, Prediction
from fairnc_book.claims.decide import ERROR, TOTAL, VERDICTS, overall
from fairnc_book.claims.rows import WHOLE, read
from fairnc_utils.debias import DEBIASING
from fairnc_utils.runs.rows import select

#: Verdict → how a sentence about a claim begins.
SENTENCES = {
    "supported": "The first edition **supports** the claim that",
    "contradicted": "The first edition **contradicts** the claim that",
    "inconclusive": "The first edition **leaves open** whether",
}

#: What an abstract says where nothing was recorded.
NO_STUDY = "No study is recorded with this build, so there are no findings to report yet: the chapters say what each would be."


def badge(verdict: float) -> str:
    """A verdict as the book shows it: a sign and a word, so that colour says nothing alone."""
    if math.isnan(verdict):
        return "–"
    word = VERDICTS[int(verdict)]
    return f'<span class="verdict {word}">{ {1: "▲", 0: "○", -1: "▼"}[int(verdict)] } {word}</span>'


def _interval(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"[{tables.number(low)},\u00a0{tables.number(high)}]"


def _p(value: float) -> str:
    return "<\u00a0.001" if value < 0.001 else tables.number(value, digits=2)


def _effect(row: pd.Series) -> str:
    """The effect with its sign and interval."""
    value = "+" * bool(row["value"] > 0) + tables.number(row["value"])
    return (
        value
        if math.isnan(row["ci_low"])
        else f"{value} {_interval(row['ci_low'], row['ci_high'])}"
    )


def _small(text: str) -> str:
    return f"<br><small>{text}</small>" if text else ""


def summary(tests: pd.DataFrame, *, caption: str) -> Styler:
    """One row a claim and contrast: its verdict, how its measures came out, and the effects that
    decide it; where none does, those that the abstract quotes.
    """
    rows = []
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            totals = select(tests, claim=claim.key, contrast=contrast, method=TOTAL).set_index(
                "key"
            )
            rows.append(
                {
                    "claim": f"<b>{claim.title}</b>{_small(CONTRAST_LABELS[contrast])}",
                    "verdict": badge(overall(tests, claim, contrast))
                    + _small(_counts(totals, claim)),
                    "effects": "<br>".join(
                        f"{claim.prediction(key).name}: {_effect(totals.loc[key])}"
                        for key in _quoted(claim, totals["decided"])
                    ),
                }
            )
    return tables.left(tables.plain(pd.DataFrame(rows), caption=caption))


def _quoted(claim: Claim, decided: pd.Series) -> list[str]:
    """Keys of the totals that are decided, one way or the other; of the headline where none is.
    ``decided``: by key.
    """
    return list(decided.index[decided.isin([1, -1])]) or [
        key for key in claim.headline if key in decided.index
    ]


def _counts(totals: pd.DataFrame, claim: Claim) -> str:
    """How the totals of a claim came out: ``8 measures: 2 supported, 5 inconclusive, 1 not
    tested``.
    """
    counts = [f"{(totals['decided'] == value).sum()} {word}" for value, word in VERDICTS.items()]
    measures = [each for each in claim.predictions if not each.descriptive]
    missing = len(measures) - int(totals["decided"].notna().sum())
    return f"{len(measures)} measures: " + ", ".join(
        part for part in [*counts, f"{missing} not tested"] if part[:2] != "0 "
    )


def details(tests: pd.DataFrame, claim: Claim, contrast: str, *, caption: str) -> Styler:
    """One row a measure: both sides, effect with both intervals, p, what the test could find,
    verdict; for the total, and which methods are significant in opposite directions.
    """
    totals = select(tests, claim=claim.key, contrast=contrast, method=TOTAL)
    rows = []
    for _, row in totals.iterrows():
        prediction = claim.prediction(row["key"])
        over_seeds = (
            ""
            if math.isnan(row["t_low"])
            else f"seeds alone {_interval(row['t_low'], row['t_high'])}"
        )
        undone = abs(row["verdict"]) == 1 and row["decided"] == 0
        before = f"{VERDICTS[int(row['verdict'])]} before Holm" if undone else ""
        rows.append(
            {
                "measure": prediction.name + _small("companion" if prediction.companion else ""),
                "from → to": f"{tables.number(row['first'])}\u00a0→ {tables.number(row['second'])}",
                "effect": _effect(row) + _small(over_seeds),
                "p": _p(row["p"]) + _small(f"Holm {_p(row['holm_p'])}"),
                "smallest effect detectable with 80% power": tables.number(
                    row["smallest"], digits=2
                ),
                "verdict": ("descriptive" if prediction.descriptive else badge(row["decided"]))
                + _small(before or row["note"] or "")
                + _small(_apart(tests, claim, contrast, row["key"])),
            }
        )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _apart(tests: pd.DataFrame, claim: Claim, contrast: str, key: str) -> str:
    """Methods whose effects are significant in opposite directions, which a total of both hides."""
    rows = select(tests, claim=claim.key, contrast=contrast, key=key)
    rows = rows[rows["method"].isin(DEBIASING)]
    for_it, against = (rows.loc[rows["decided"] == sign, "method"].tolist() for sign in (1, -1))
    if not (for_it and against):
        return ""
    return f"opposite: {', '.join(for_it)} for it, {', '.join(against)} against"


def power_table(tests: pd.DataFrame, *, caption: str) -> Styler | None:
    """Tests for which an effect is published: ours, theirs, and our power to find theirs; None if
    there is none.
    """
    reported = tests[tests["published"].notna() & tests["power"].notna()]
    if reported.empty:
        return None
    rows = [
        {
            "measure": _claim(row["claim"]).prediction(row["key"]).name,
            "method": row["method"],
            "comparison": CONTRAST_LABELS[row["contrast"]],
            "published effect": tables.number(row["published"]),
            "effect here": _effect(row),
            "smallest effect detectable with 80% power": tables.number(row["smallest"]),
            "power for the published effect": tables.number(row["power"], digits=2),
        }
        for _, row in reported.iterrows()
    ]
    return tables.plain(pd.DataFrame(rows), caption=caption)


def abstract(results: pd.DataFrame) -> str:
    """The findings as a list in Markdown, each number from a row of benchmark ``claims``; or that
    there are none.
    """
    tests = read(results)
    if not (tests["key"] == WHOLE).any():
        return f"{NO_STUDY}\n"
    sentences = [_scope(tests)]
    for claim in CLAIMS:
        # The corrected form; the chapter has the released one as well.
        totals = select(tests, claim=claim.key, contrast=claim.contrasts[0], method=TOTAL)
        whole = totals[totals["key"] == WHOLE]
        if len(whole):
            sentences.append(_sentence(claim, VERDICTS[int(whole["value"].iloc[0])], totals))
        else:
            sentences.append(f"**Not tested** is whether {claim.clause}.")
    return "\n- ".join([f"{sentences[0]}\n", *sentences[1:]]) + "\n"


def _scope(tests: pd.DataFrame) -> str:
    effects = tests[(tests["metric"] == "effect") & (tests["contrast"] != "runs")]
    methods = [method for method in DEBIASING if method in set(effects["method"])]
    model = tests["model"].iloc[0].rpartition("/")[2]
    return (
        f"{len(methods)} debiasing methods ({', '.join(methods)}) trained {model} without NC3 regularization and with it, with "
        f"up to {effects['n'].max():.0f} seeds each. What follows are their means, with 95% intervals over seeds and test "
        "units, and Holm's adjustment within each claim ({doc}`notebooks/08-claims`)."
    )


def _sentence(claim: Claim, verdict: str, tests: pd.DataFrame) -> str:
    effects = tests[tests["metric"] == "effect"].set_index("key")
    decided = tests[(tests["metric"] == "decided") & (tests["key"] != WHOLE)].set_index("key")
    keys = [key for key in _quoted(claim, decided["value"]) if key in effects.index]
    quoted = "; ".join(f"{claim.prediction(key).name} {_effect(effects.loc[key])}" for key in keys)
    what = "correlation with UNC3" if claim.contrasts == ("runs",) else "change"
    return f"{SENTENCES[verdict]} {claim.clause} ({what}: {quoted})."


def section(tests: pd.DataFrame, key: str, contrast: str) -> list[go.Figure | Styler]:
    """What a chapter shows of one claim and contrast: the forest plot, if anything of it was run,
    and a table of the totals.
    """
    claim = _claim(key)
    title, rows = (
        f"{claim.title}, {CONTRAST_LABELS[contrast]}",
        select(tests, claim=key, contrast=contrast),
    )
    over = (
        "correlations over all runs" if contrast == "runs" else "means over the debiasing methods"
    )
    note = (
        "From → to is the measure itself. The effect is the change of what the measure's name says"
    )
    if any(measure.margin for measure in claim.predictions):
        note += "; p is against the margin, not against 0"
    table = details(tests, claim, contrast, caption=f"{title}: {over}. {note}.")
    if rows["value"].isna().all():
        return [table]
    figure = figures.forest(
        rows,
        {
            measure.key: _row(measure, rows)
            for measure in sorted(
                claim.predictions, key=lambda each: _counted_in(each, rows) == ERROR
            )
        },
        name=f"fig-claim-{key}-{contrast.replace('_', '-')}",
        axis=_scale(claim, contrast),
        caption=f"{title}: effect and 95% interval in total and by method, on one scale. {_units(claim, contrast, rows)} "
        "Right of the dashed line, shaded: as the claim predicts. Filled marks hold after Holm's correction, hollow "
        "triangles before it only, circles leave it open. Marks at an edge lie beyond it; the table has raw units.",
    )
    return [figure, table]


def _counted_in(measure: Prediction, rows: pd.DataFrame) -> str:
    """What the figure counts the effect on a measure in."""
    return str(select(rows, key=measure.key)["counted_in"].iloc[0])


def _row(measure: Prediction, rows: pd.DataFrame) -> str:
    """What the figure calls a measure, with what its effect is counted in if that is no bias."""
    name = f"{measure.of}<br>{measure.label}".removeprefix("<br>")
    return name + " (SE)" * (_counted_in(measure, rows) == ERROR)


def _scale(claim: Claim, contrast: str) -> str:
    """Title of the scale of the figure."""
    if contrast == "runs":
        return "Spearman's correlation"
    points = any(measure.margin for measure in claim.predictions)
    return "change in points" if points else "change ÷ bias of the untrained model"


def _units(claim: Claim, contrast: str, rows: pd.DataFrame) -> str:
    """What the figure counts effects in, as a sentence."""
    if contrast == "runs":
        return "Correlations, turned where a lower value is predicted."
    if any(measure.margin for measure in claim.predictions):
        return "Effects are in points (of perplexity, in its units), so the margin is the same for all."
    text = "The unit is the untrained model's distance from the ideal"
    if (rows["counted_in"] == ERROR).any():
        text += (
            "; in rows marked SE, where that is not told from 0, the standard error of its value"
        )
    return f"{text}."


def _claim(key: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.key == key)


def finding(tests: pd.DataFrame, key: str, contrast: str) -> str:
    """A sentence on one claim and contrast, in Markdown."""
    claim = _claim(key)
    totals = select(tests, claim=claim.key, contrast=contrast, method=TOTAL)
    verdict = overall(tests, claim, contrast)
    if math.isnan(verdict):
        notes = sorted({note.removeprefix("not run: ") for note in totals["note"].dropna()} - {""})
        return f"**Finding.** Not tested: {'; '.join(notes) or 'nothing of it was run'}."
    begin = SENTENCES[VERDICTS[int(verdict)]]
    counts = _counts(totals, claim)
    return (
        f"**Finding.** {begin} {claim.clause}. Compared: {CONTRAST_LABELS[contrast]}. Of {counts}."
    )
