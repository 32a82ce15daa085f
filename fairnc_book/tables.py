"""Tables of tidy results. Every number shown comes from a row; nothing is computed here but its
rounding.
"""

import base64
import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book.numbers import METRICS, Metric
from fairnc_utils import benchmarks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout
from fairnc_utils.runs.rows import select
from fairnc_utils.tasks import Missing


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


@dataclass(frozen=True)
class Sparks:
    """A scale on which the intervals of some ``metrics`` of a table are drawn, each in its cell, with
    a dashed line at ``reference``.
    """

    metrics: tuple[str, ...]
    reference: float | None = None

    def line(self, row: pd.Series, rows: pd.DataFrame) -> str:
        """The interval of a row as a small picture, on the scale of all ``rows`` of these metrics;
        nothing for other metrics and rows without an interval.
        """
        if row["metric"] not in self.metrics or math.isnan(row["ci_low"]):
            return ""
        shown = rows[rows["metric"].isin(self.metrics)][["value", "ci_low", "ci_high"]]
        ends = [
            *shown.to_numpy(float).ravel(),
            *([] if self.reference is None else [self.reference]),
        ]
        return sparkline(row, low=np.nanmin(ends), high=np.nanmax(ends), reference=self.reference)


def sparkline(row: pd.Series, *, low: float, high: float, reference: float | None = None) -> str:
    """The value and interval of a result row on a scale from ``low`` to ``high``, as SVG in the colour
    of the text, with a dashed line at ``reference`` and in words what it shows.
    """
    width, span = 120, (high - low) or 1.0
    at = {
        name: round(6 + (width - 12) * (value - low) / span, 1)
        for name, value in (
            ("value", row["value"]),
            ("low", row["ci_low"]),
            ("high", row["ci_high"]),
        )
    }
    said, mark = f"on a scale from {number(low)} to {number(high)}", ""
    if reference is not None:
        x = round(6 + (width - 12) * (reference - low) / span, 1)
        mark = f'<path d="M{x} 0V14" stroke-dasharray="2 2" opacity=".6"/>'
        side = int(row["ci_low"] > reference) - int(row["ci_high"] < reference)
        said = f"{ {1: 'above', 0: 'holds', -1: 'below'}[side] } {number(reference)}, {said}"
    return (
        f'<svg class="spark" role="img" aria-label="Interval {said}" width="{width}" height="14" viewBox="0 0 {width} 14" '
        f'fill="currentColor" stroke="currentColor">{mark}<path d="M{at["low"]} 7H{at["high"]}" stroke-width="2"/>'
        f'<circle cx="{at["value"]}" cy="7" r="3.5"/></svg>'
    )


def _entry(row: pd.Series, spark: str = "") -> str:
    """An entry of a table: the value, under it the interval, and its picture if there is one."""
    value, _, bounds = interval(row).partition(" ")
    text = f"{value}<br><small>{bounds}</small>" if bounds else value
    return f"{text}<br>{spark}" if spark else text


def _drawn(row: pd.Series, rows: pd.DataFrame, sparks: Iterable[Sparks]) -> str:
    """The picture of a row in the first scale that its metric is on."""
    return next(filter(None, (scale.line(row, rows) for scale in sparks)), "")


def one(results: pd.DataFrame, **columns) -> pd.Series:
    """The single result row with the given column values; ``FairNCError`` unless there is exactly
    one.
    """
    rows = select(results, **columns)
    if len(rows) != 1:
        raise FairNCError(f"{len(rows)} result rows have {columns}; exactly one was expected")
    return rows.iloc[0]


def pivot(
    results: pd.DataFrame,
    *,
    columns: str,
    caption: str,
    metrics: list[str] | None = None,
    sparks: Iterable[Sparks] = (),
) -> Styler:
    """One row a metric with its ideal value, one column for each value of ``columns`` in order of
    appearance; the intervals of ``sparks`` are drawn as well.
    """
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    body = {
        head: [
            " · ".join(
                _entry(row, _drawn(row, results, sparks))
                for _, row in of_head[of_head["metric"] == metric].iterrows()
            )
            or "–"
            for metric in shown
        ]
        for head, of_head in results.groupby(columns, sort=False)
    }
    described = [METRICS.get(name, Metric(name, instead="")) for name in shown]
    labels = {
        "metric": [metric.label for metric in described],
        "ideal": [metric.target.replace(" ", "\u00a0") for metric in described],
    }
    return plain(pd.DataFrame(labels | body), caption=caption)


def by_axis(
    results: pd.DataFrame,
    *,
    caption: str,
    rows: str = "axis",
    metrics: list[str] | None = None,
    sparks: Iterable[Sparks] = (),
) -> Styler:
    """One row for each value of ``rows``, one column a metric, and the number of sampled units; the
    intervals of ``sparks`` are drawn as well.
    """
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    table = []
    for value, group in results.groupby(rows, sort=False):
        of = group.set_index("metric", drop=False)
        entries = {
            f"{METRICS[m].label} ({METRICS[m].target})": _entry(
                of.loc[m], _drawn(of.loc[m], results, sparks)
            )
            for m in shown
        }
        table.append({rows: value} | entries | {"units": f"{of.loc[shown[0], 'n']:.0f}"})
    return plain(pd.DataFrame(table), caption=caption)


def tasks(results: pd.DataFrame, missing: Mapping[str, Missing], *, caption: str) -> Styler:
    """One row a task and split with its metrics, accuracy drawn beside that of always naming the most
    frequent class; then the tasks that were not run, and why, those of one source together.
    """
    run = results[results["metric"].isin(METRICS)]
    table = [
        {
            "task": f"{name} ({rows['corpus'].iloc[0]})",
            "split": split,
            "items": f"{rows['n'].iloc[0]:.0f}",
            "result [95% interval]": "<br>".join(
                f"{METRICS[row['metric']].label}: {interval(row)}" for _, row in rows.iterrows()
            )
            + _above_floor(rows),
        }
        for (name, split), rows in run.groupby(["benchmark", "split"], sort=False)
    ]
    by_source: dict[str, list[str]] = {}
    for name, why in missing.items():  # it is said once, with the first one's file
        by_source.setdefault(why.source, []).append(name)
    table += [
        {
            "task": ", ".join(names),
            "split": "–",
            "items": "–",
            "result [95% interval]": f"not run: {html.escape(missing[names[0]].reason)}",
        }
        for names in by_source.values()
    ]
    return left(plain(pd.DataFrame(table), caption=caption))


def _above_floor(rows: pd.DataFrame) -> str:
    """The accuracy of a task, drawn from 0 to 100 with the most frequent class's as a dashed line."""
    of = rows.set_index("metric")
    if not {"accuracy", "majority_accuracy"} <= set(of.index):
        return ""
    floor = of.loc["majority_accuracy", "value"]
    return f"<br>{sparkline(of.loc['accuracy'], low=0, high=100, reference=floor)}"


def examples(name: str, *, caption: str, split: str | None = None, number: int = 3) -> Styler:
    """The first items of a benchmark's split (None: its last) as they are: a benchmark's text may
    be offensive.
    """
    benchmark = benchmarks.get(name)
    items = benchmark.load(split or benchmark.splits[-1])
    shown = items.select(range(min(number, len(items)))).to_pandas().astype(str)
    return left(plain(shown, caption=caption))


def plain(table: pd.DataFrame, *, caption: str) -> Styler:
    """A table without index, first column left, with its caption."""
    return table.style.hide(axis="index").set_caption(caption)


def left(table: Styler, *columns: str) -> Styler:
    """The table with these columns of words, all if none is named, to the left, heads as cells."""
    chosen = list(columns or table.columns)
    aligned = {"text-align": "left"}
    return table.set_properties(subset=chosen, **aligned).apply_index(
        lambda heads: ["text-align: left" if head in chosen else "" for head in heads],
        axis="columns",
    )


def word_report(report: dict[str, dict], *, caption: str) -> Styler:
    """How many words of each list are listed, single tokens and seen, with examples of the dropped
    (``measurement.report``).
    """
    rows = []
    for name, counted in report.items():
        examples = [f"{word} ({reason})" for word, reason in list(counted["dropped"].items())[:4]]
        counts = {key: counted[key] for key in ("listed", "single token", "seen")}
        rows.append({"list": name} | counts | {"dropped, for example": ", ".join(examples) or "–"})
    return left(plain(pd.DataFrame(rows), caption=caption), "dropped, for example")


@dataclass(frozen=True)
class Sortable:
    """A table that ``tables.js`` of the book makes sortable by its heads and filters by its first
    column.

    Without scripts, in print and elsewhere it is a plain table with every row. Its data are a link
    in the page, so that a book on disk can be asked for them.
    """

    caption: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def sortable(
    shown: pd.DataFrame, *, name: str, caption: str, data: pd.DataFrame | None = None
) -> Sortable:
    """``shown`` (cells are HTML), filtered by its first column; ``data``: what the download
    ``<name>.csv`` holds instead.
    """
    content = (shown if data is None else data).to_csv(index=False, float_format="%.6g").encode()
    link = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode()}"
    label = html.escape(caption)
    table = shown.to_html(index=False, escape=False, border=0, classes="sortable")
    table = table.replace("<thead>", f"<caption>{label}</caption>\n  <thead>", 1).replace(
        "\n      ", "\n"
    )
    return Sortable(
        caption,
        (
            f'<div class="table-block" id="table-{name}"><p class="table-controls">'
            f'<a class="download" download="{name}.csv" href="{link}">Download as CSV</a></p>'
            f'<div class="table-box" role="region" tabindex="0" aria-label="{label}">{table}</div></div>'
        ),
    )


@dataclass(frozen=True)
class Quotes:
    """Published values of one number, each with its model; ``none``: what is said where there is no
    value.

    As text, which a download holds: ``56.25 bert-base-uncased; 60.14 roberta-base``.
    """

    values: tuple[tuple[float, str], ...]
    none: str

    def __str__(self) -> str:
        return "; ".join(f"{value:g} {model}" for value, model in self.values) or self.none


def badge(origin: str) -> str:
    """Where numbers come from (``published``, ``recorded``, ``live``), told by word and mark as
    well as by colour.
    """
    return f'<span class="origin {origin}">{origin}</span>'


def by_origin(table: pd.DataFrame, *, name: str, caption: str) -> Sortable:
    """Published, recorded and live values of each model side by side (``paper_tables.table``), and
    the change from the base: the measures with most values first, all of it folded.

    Rows without any value stand in a second fold, one line a measure, with the reasons. The download
    has every row.
    """
    filled = table[list(ORIGINS)].map(_there).sum(axis=1)
    by_measure = filled.groupby(table["measure"], sort=False).sum()
    order = list(by_measure.sort_values(ascending=False, kind="stable").index)
    there = table[filled > 0].sort_values(
        "measure", key=lambda names: names.map(order.index), kind="stable"
    )
    inside = _side_by_side(there, data=table, name=name, caption=caption)
    summary = f"The full table: {len(there)} rows with a value of {len(table)}"
    return Sortable(caption, folded(inside, summary).html + _nothing(table[filled == 0]))


def folded(table: Sortable | Styler, summary: str) -> Sortable:
    """A table that is shown when asked for; ``summary``: what is read until then."""
    body = f'<details class="full-table"><summary>{html.escape(summary)}</summary>{table._repr_html_()}</details>'
    return Sortable(table.caption, body)


def with_more(shown: Styler, more: Styler, summary: str) -> Sortable:
    """A table and, below it, another one that is shown when asked for."""
    return Sortable(shown.caption, shown._repr_html_() + folded(more, summary).html)


#: Columns of values, by where they come from.
ORIGINS = ("published", "recorded", "live")


def _there(value: object) -> bool:
    """Whether a cell holds a value: a number, or quotes with any."""
    return bool(value.values) if isinstance(value, Quotes) else not pd.isna(value)


def _nothing(table: pd.DataFrame) -> str:
    """The rows that have no value at all, folded: a line for each measure and reason, with the
    models.
    """
    if table.empty:
        return ""
    lines = []
    for (measure, why), rows in table.groupby(["measure", "recorded_why"], sort=False):
        models = ", ".join(_model(row) for row in rows.to_dict("records"))
        lines.append(f"<li>{measure}: {html.escape(why)}: {models}</li>")
    return (
        f'<details class="empty-rows"><summary>{len(table)} rows without a value, and why</summary>'
        f"<ul>{''.join(lines)}</ul></details>"
    )


def _side_by_side(table: pd.DataFrame, *, data: pd.DataFrame, name: str, caption: str) -> Sortable:
    """The rows of ``by_origin`` as cells."""
    rows = table.to_dict("records")
    shown = pd.DataFrame(
        {
            "measure": [row["measure"] for row in rows],
            "model": [_model(row) for row in rows],
            badge("published"): [_quoted(row["published"]) for row in rows],
            badge("recorded"): [_value(row, "recorded", why=row["recorded_why"]) for row in rows],
            "seeds": ["–" if math.isnan(row["seeds"]) else f"{row['seeds']:.0f}" for row in rows],
            badge("live"): [_value(row, "live", why=row["live_why"]) for row in rows],
            "− base": [_value(row, "difference") for row in rows],
            "÷ base": [number(row["ratio"]) for row in rows],
        }
    )
    return sortable(shown, name=name, caption=caption, data=data)


def _model(row: dict) -> str:
    """``bec``, ``bec + corrected, λ = 10``, ``bec + as released``."""
    if row["regularizer"] == "none":
        return row["method"]
    weight = "" if math.isnan(row["lam"]) else f", λ = {row['lam']:g}"
    return f"{row['method']} <small>+ {row['regularizer'].replace('_', ' ')}{weight}</small>"


def _quoted(quotes: Quotes) -> str:
    """Published values, one below the other, each with its model."""
    if not quotes.values:
        return f'<span class="none">{html.escape(quotes.none)}</span>'
    return "<br>".join(
        f"{f'{value:g}'.replace('-', '−')} <small>{html.escape(model)}</small>"
        for value, model in quotes.values
    )


def _value(row: dict, key: str, *, why: str = "–") -> str:
    """A number with its interval, or why there is none."""
    if math.isnan(row[key]):
        return f'<span class="none">{html.escape(why)}</span>'
    value, _, bounds = interval(
        {"value": row[key], "ci_low": row[f"{key}_low"], "ci_high": row[f"{key}_high"]}
    ).partition(" ")
    return f"{value} <small>{bounds}</small>" if bounds else value


def instruments(names: Iterable[str]) -> str:
    """What each benchmark measures and cannot tell, in its own words, with its source: a Markdown
    table.
    """
    rows = ["| benchmark | what it measures | what it cannot show | source |", "|---|---|---|---|"]
    for name in dict.fromkeys(name.partition(":")[0] for name in names):
        benchmark = benchmarks.get(name)
        rows.append(
            f"| {name} | {benchmark.measures} | {benchmark.limits} | {cited(benchmark.source)} |"
        )
    return "\n".join(rows)


def cited(key: str) -> str:
    """A source of the bibliography as a link, ``[(authors, year)](#key)``, which the book turns
    into a citation.
    """
    from pybtex.richtext import Text

    entry = _sources()[key]
    names = [
        str(Text.from_latex(" ".join(person.last_names))) for person in entry.persons["author"]
    ]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"[({authors}, {entry.fields['year']})](#{key})"


@cache
def _sources() -> dict:
    from pybtex.database import parse_file

    return parse_file(checkout.root() / "book/references.bib").entries
