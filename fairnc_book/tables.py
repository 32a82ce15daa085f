"""Tables of tidy results. Every number shown comes from a row; nothing is computed here but its rounding."""

import base64
import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_utils import benchmarks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout
from fairnc_utils.runs import rows as records

#: Metric → (label, value at which it is ideal).
METRICS = {
    "nc1": ("NC1 (CDNV)", "0 ↓"),
    "nc1w": ("NC1w", "0 ↓"),
    "nc2_equinorm": ("NC2 equinorm", "0 ↓"),
    "nc2_equiangular": ("NC2 equiangular", "0 ↓"),
    "nc2_simplex": ("NC2 |cos + 1/(K−1)|", "0 ↓"),
    "gnc2_mean": ("GNC2 mean", "reference"),
    "gnc2_sd": ("GNC2 sd", "0 ↓"),
    "nc2w_equinorm": ("NC2w equinorm", "0 ↓"),
    "nc2w_equiangular": ("NC2w equiangular", "0 ↓"),
    "nc2w_simplex": ("NC2w |cos + 1/(K−1)|", "0 ↓"),
    "gnc2w_mean": ("GNC2w mean", "reference"),
    "gnc2w_sd": ("GNC2w sd", "0 ↓"),
    "nc3": ("NC3", "ceiling ↑"),
    "nc3_ceiling": ("NC3 ceiling", "–"),
    "nc3c": ("NC3c", "1 ↑"),
    "unc3": ("UNC3", "0 ↓"),
    "duality_sum": ("dual_dists (released)", "0"),
    "nc4": ("NC4", "1 ↑"),
    "nc4_no_bias": ("NC4 without bias", "1 ↑"),
    "reference_equiangular": ("NC2 equiangular, reference", "–"),
    "reference_gnc2_mean": ("GNC2 mean, reference", "–"),
    "reference_gnc2_sd": ("GNC2 sd, reference", "–"),
    "reference_welch_bound": ("NC2 equiangular, Welch bound", "–"),
    "LM": ("LM", "100 ↑"),
    "SS": ("SS", "50"),
    "ICAT": ("ICAT", "100 ↑"),
    "stereotype_pct": ("stereotype %", "50"),
    "stereo_pct": ("stereo %", "50"),
    "antistereo_pct": ("antistereo %", "50"),
    "log_ratio": ("mean log ratio", "0"),
    "likelihood_diff": ("mean |difference|", "0 ↓"),
    "association_female": ("association, women", "0"),
    "association_male": ("association, men", "0"),
    "abs_association_female": ("mean |association|, women", "0 ↓"),
    "abs_association_male": ("mean |association|, men", "0 ↓"),
    "gap": ("association, women − men", "0"),
    "wilcoxon_p": ("Wilcoxon p", "–"),
    "wilcoxon_r": ("Wilcoxon r", "0"),
    "left_out": ("items left out", "–"),
    "trustworthiness": ("trustworthiness", "1 ↑"),
    "slope": ("occupation slope", "0"),
    "r": ("occupation r", "0"),
    "lean": ("lean at parity", "0"),
    "effect_size": ("effect size d", "0"),
    "abs_effect_size": ("mean |d|", "0 ↓"),
    "p_words": ("p, words permuted", "–"),
    "p_sentences": ("p, sentences permuted", "–"),
    "masked_perplexity": ("masked perplexity", "1 ↓"),
    "accuracy": ("accuracy %", "100 ↑"),
    "accuracy_male": ("accuracy %, men", "100 ↑"),
    "accuracy_female": ("accuracy %, women", "100 ↑"),
    "majority_accuracy": ("accuracy % of the most frequent class", "–"),
    "matthews": ("Matthews · 100", "100 ↑"),
    "f1": ("F1 %", "100 ↑"),
    "spearman": ("Spearman · 100", "100 ↑"),
    "pearson": ("Pearson · 100", "100 ↑"),
    "TPR-GAP": ("TPR gap, men − women, points", "0"),
    "TPR-RMS": ("TPR gap, RMS over professions", "0 ↓"),
    "probability_gap": ("probability gap, points", "0"),
    "f1_feminine": ("F1 %, feminine", "100 ↑"),
    "f1_masculine": ("F1 %, masculine", "100 ↑"),
    "f1_ratio": ("F1 feminine / masculine", "1"),
    "TPR": ("TPR, F1 pro − anti", "0"),
    "gotcha_gap": ("gotcha gap, points", "0"),
    "answer_probability_gap": ("P(answer) gap, points", "0"),
    "accuracy_pro": ("accuracy %, pro", "100 ↑"),
    "accuracy_anti": ("accuracy %, anti", "100 ↑"),
    "f1_pro": ("F1 %, pro", "100 ↑"),
    "f1_anti": ("F1 %, anti", "100 ↑"),
    "accuracy_feminine": ("accuracy %, feminine", "100 ↑"),
    "accuracy_masculine": ("accuracy %, masculine", "100 ↑"),
    "accuracy_neutral": ("accuracy %, neutral", "100 ↑"),
    "preference_slope": ("preference slope, points", "0"),
    "preference_r": ("preference r", "0"),
    "probability_slope": ("P(occupation) slope, points", "0"),
    "probability_r": ("P(occupation) r", "0"),
    "NN": ("net neutral", "1 ↑"),
    "FN": ("fraction neutral", "1 ↑"),
    "T:0.5": ("P(neutral) > .5", "1 ↑"),
    "T:0.7": ("P(neutral) > .7", "1 ↑"),
    "FN_averaged": ("fraction neutral, averaged", "1 ↑"),
    "T:0.5_averaged": ("P(neutral) > .5, averaged", "1 ↑"),
    "T:0.7_averaged": ("P(neutral) > .7, averaged", "1 ↑"),
}


def number(value: float, *, digits: int = 3) -> str:
    """A number with ``digits`` significant digits and a true minus; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    magnitude = 0 if value == 0 else math.floor(math.log10(abs(value)))
    if magnitude < -3:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return f"{value:.{max(0, digits - 1 - magnitude)}f}".replace("-", "−")


def interval(row: pd.Series) -> str:
    """``value [low, high]`` of a result row; the value alone where it has no interval."""
    if math.isnan(row["ci_low"]):
        return number(row["value"])
    return f"{number(row['value'])} [{number(row['ci_low'])}, {number(row['ci_high'])}]"


def _cell(row: pd.Series) -> str:
    """A table cell: the value, and under it the interval."""
    value, _, bounds = interval(row).partition(" ")
    return f"{value}<br><small>{bounds}</small>" if bounds else value


def one(results: pd.DataFrame, **columns) -> pd.Series:
    """The single result row with the given column values; ``FairNCError`` unless there is exactly one."""
    chosen = records.select(results, **columns)
    if len(chosen) != 1:
        raise FairNCError(f"{len(chosen)} result rows have {columns}; exactly one was expected")
    return chosen.iloc[0]


def pivot(results: pd.DataFrame, *, columns: str, caption: str, metrics: list[str] | None = None) -> Styler:
    """One row a metric with its ideal value, one column for each value of ``columns`` in order of appearance."""
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    heads = list(dict.fromkeys(results[columns]))
    body = {
        head: [
            " · ".join(_cell(row) for _, row in chosen.iterrows()) or "–"
            for metric in shown
            for chosen in [results[(results[columns] == head) & (results["metric"] == metric)]]
        ]
        for head in heads
    }
    labels = {"metric": [METRICS.get(m, (m, ""))[0] for m in shown], "ideal": [METRICS.get(m, (m, ""))[1] for m in shown]}
    return plain(pd.DataFrame(labels | body), caption=caption)


def by_axis(results: pd.DataFrame, *, caption: str, rows: str = "axis", metrics: list[str] | None = None) -> Styler:
    """One row for each value of ``rows``, one column a metric, and the number of sampled units."""
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    table = []
    for value in dict.fromkeys(results[rows]):
        chosen = results[results[rows] == value].set_index("metric")
        cells = {METRICS[m][0] + f" ({METRICS[m][1]})": _cell(chosen.loc[m]) for m in shown}
        table.append({rows: value} | cells | {"units": f"{chosen.loc[shown[0], 'n']:.0f}"})
    return plain(pd.DataFrame(table), caption=caption)


def tasks(results: pd.DataFrame, missing: dict[str, str], *, caption: str) -> Styler:
    """One row a task and split with each of its metrics; then the tasks that were not run, and why, alike ones together."""
    own = results[results["metric"].isin(METRICS)]
    table = [
        {"task": f"{name} ({rows['corpus'].iloc[0]})", "split": split, "items": f"{rows['n'].iloc[0]:.0f}",
         "result [95% interval]": "<br>".join(f"{METRICS[row['metric']][0]}: {interval(row)}" for _, row in rows.iterrows())}
        for (name, split), rows in own.groupby(["benchmark", "split"], sort=False)
    ]  # fmt: skip
    alike: dict[str, list[str]] = {}
    for name, reason in missing.items():  # tasks of one source lack it together: it is said once, with the first one's file
        alike.setdefault(reason.rpartition(", and ")[2], []).append(name)
    table += [
        {"task": ", ".join(names), "split": "–", "items": "–",
         "result [95% interval]": f"not run: {html.escape(missing[names[0]])}"}
        for names in alike.values()
    ]  # fmt: skip
    return plain(pd.DataFrame(table), caption=caption).set_properties(**{"text-align": "left"})


def examples(name: str, *, caption: str, split: str | None = None, number: int = 3) -> Styler:
    """The first items of a benchmark's split (None: its last) as they are: a benchmark's text may be offensive."""
    benchmark = benchmarks.get(name)
    items = benchmark.load(split or benchmark.splits[-1])
    shown = items.select(range(min(number, len(items)))).to_pandas().astype(str)
    return plain(shown, caption=caption).set_properties(**{"text-align": "left"})


def plain(table: pd.DataFrame, *, caption: str) -> Styler:
    """A table without index, first column left, with its caption."""
    return table.style.hide(axis="index").set_caption(caption)


def word_report(report: dict[str, dict], *, caption: str) -> Styler:
    """How many words of each list are listed, single tokens and seen, with examples of the dropped (``measurement.report``)."""
    rows = []
    for name, found in report.items():
        examples = [f"{word} ({reason})" for word, reason in list(found["dropped"].items())[:4]]
        counts = {key: found[key] for key in ("listed", "single token", "seen")}
        rows.append({"list": name} | counts | {"dropped, for example": ", ".join(examples) or "–"})
    table = plain(pd.DataFrame(rows), caption=caption)
    return table.set_properties(subset=["dropped, for example"], **{"text-align": "left"})


@dataclass(frozen=True)
class Sortable:
    """A table that ``tables.js`` of the book makes sortable by its heads and filters by its first column.

    Without scripts, in print and elsewhere it is a plain table with every row. Its data are a link in the page, so that a book
    on disk can be asked for them.
    """

    caption: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def sortable(shown: pd.DataFrame, *, name: str, caption: str, data: pd.DataFrame | None = None) -> Sortable:
    """``shown`` (cells are HTML), filtered by its first column; ``data``: what the download ``<name>.csv`` holds instead."""
    content = (shown if data is None else data).to_csv(index=False, float_format="%.6g").encode()
    link = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode()}"
    told = html.escape(caption)
    table = shown.to_html(index=False, escape=False, border=0, classes="sortable")
    table = table.replace("<thead>", f"<caption>{told}</caption>\n  <thead>", 1).replace("\n      ", "\n")
    return Sortable(caption, (
        f'<div class="table-block" id="table-{name}"><p class="table-controls">'
        f'<a class="download" download="{name}.csv" href="{link}">Download as CSV</a></p>'
        f'<div class="table-box" role="region" tabindex="0" aria-label="{told}">{table}</div></div>'
    ))  # fmt: skip


def badge(origin: str) -> str:
    """Where numbers come from (``published``, ``recorded``, ``live``), told by word and mark as well as by colour."""
    return f'<span class="origin {origin}">{origin}</span>'


def comparison(cells: pd.DataFrame, *, name: str, caption: str) -> Sortable:
    """Published, recorded and live values of each model side by side (``comparison.cells``), and the change from the base."""
    rows = cells.to_dict("records")
    shown = pd.DataFrame({
        "measure": [row["measure"] for row in rows],
        "model": [_model(row) for row in rows],
        badge("published"): [_several(row["published"]) for row in rows],
        badge("recorded"): [_value(row, "recorded", why=row["recorded_why"]) for row in rows],
        "seeds": ["–" if math.isnan(row["seeds"]) else f"{row['seeds']:.0f}" for row in rows],
        badge("live"): [_value(row, "live", why=row["live_why"]) for row in rows],
        "− base": [_value(row, "difference") for row in rows],
        "÷ base": [number(row["ratio"]) for row in rows],
    })  # fmt: skip
    return sortable(shown, name=name, caption=caption, data=cells)


def _model(row: dict) -> str:
    """``bec``, ``bec + corrected, λ = 10``, ``bec + as released``."""
    if row["regularizer"] == "none":
        return row["method"]
    weight = "" if math.isnan(row["lam"]) else f", λ = {row['lam']:g}"
    return f"{row['method']} <small>+ {row['regularizer'].replace('_', ' ')}{weight}</small>"


def _several(text: str) -> str:
    """Published values, one below the other, each with its model."""
    if not text[0].isdigit() and text[0] not in "-+.":
        return f'<span class="none">{html.escape(text)}</span>'
    parts = (part.partition(" ") for part in text.split("; "))
    return "<br>".join(f"{value.replace('-', '−')} <small>{html.escape(model)}</small>" for value, _, model in parts)


def _value(row: dict, key: str, *, why: str = "–") -> str:
    """A number with its interval, or why there is none."""
    if math.isnan(row[key]):
        return f'<span class="none">{html.escape(why)}</span>'
    value, _, bounds = interval({"value": row[key], "ci_low": row[f"{key}_low"], "ci_high": row[f"{key}_high"]}).partition(" ")
    return f"{value} <small>{bounds}</small>" if bounds else value


def instruments(names: Iterable[str]) -> str:
    """What each benchmark measures and cannot tell, in its own words, with its source: a Markdown table."""
    rows = ["| benchmark | what it measures | what it cannot tell | source |", "|---|---|---|---|"]
    for name in dict.fromkeys(name.partition(":")[0] for name in names):
        benchmark = benchmarks.get(name)
        rows.append(f"| {name} | {benchmark.measures} | {benchmark.limits} | {cited(benchmark.source)} |")
    return "\n".join(rows)


def cited(key: str) -> str:
    """A source of the bibliography as a link, ``[(authors, year)](#key)``, which the book turns into a citation."""
    from pybtex.richtext import Text

    entry = _sources()[key]
    names = [str(Text.from_latex(" ".join(person.last_names))) for person in entry.persons["author"]]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"[({authors}, {entry.fields['year']})](#{key})"


@cache
def _sources() -> dict:
    from pybtex.database import parse_file

    return parse_file(checkout.root() / "book/references.bib").entries
