"""Tables of tidy results. Every number shown comes from a row; nothing is computed here but its
rounding.
"""

import base64
import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

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


def _entry(row: pd.Series) -> str:
    """An entry of a table: the value, and under it the interval."""
    value, _, bounds = interval(row).partition(" ")
    return f"{value}<br><small>{bounds}</small>" if bounds else value


def one(results: pd.DataFrame, **columns) -> pd.Series:
    """The single result row with the given column values; ``FairNCError`` unless there is exactly
    one.
    """
    rows = select(results, **columns)
    if len(rows) != 1:
        raise FairNCError(f"{len(rows)} result rows have {columns}; exactly one was expected")
    return rows.iloc[0]


def pivot(
    results: pd.DataFrame, *, columns: str, caption: str, metrics: list[str] | None = None
) -> Styler:
    """One row a metric with its ideal value, one column for each value of ``columns`` in order of
    appearance.
    """
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    body = {
        head: [
            " · ".join(_entry(row) for _, row in of_head[of_head["metric"] == metric].iterrows())
            or "–"
            for metric in shown
        ]
        for head, of_head in results.groupby(columns, sort=False)
    }
    described = [METRICS.get(name, Metric(name, instead="")) for name in shown]
    labels = {
        "metric": [metric.label for metric in described],
        "ideal": [metric.target for metric in described],
    }
    return plain(pd.DataFrame(labels | body), caption=caption)


def by_axis(
    results: pd.DataFrame, *, caption: str, rows: str = "axis", metrics: list[str] | None = None
) -> Styler:
    """One row for each value of ``rows``, one column a metric, and the number of sampled units."""
    shown = metrics or [metric for metric in METRICS if metric in set(results["metric"])]
    table = []
    for value, group in results.groupby(rows, sort=False):
        of = group.set_index("metric")
        entries = {f"{METRICS[m].label} ({METRICS[m].target})": _entry(of.loc[m]) for m in shown}
        table.append({rows: value} | entries | {"units": f"{of.loc[shown[0], 'n']:.0f}"})
    return plain(pd.DataFrame(table), caption=caption)


def tasks(results: pd.DataFrame, missing: Mapping[str, Missing], *, caption: str) -> Styler:
    """One row a task and split with its metrics; then the tasks that were not run, and why, those
    of one source together.
    """
    run = results[results["metric"].isin(METRICS)]
    table = [
        {
            "task": f"{name} ({rows['corpus'].iloc[0]})",
            "split": split,
            "items": f"{rows['n'].iloc[0]:.0f}",
            "result [95% interval]": "<br>".join(
                f"{METRICS[row['metric']].label}: {interval(row)}" for _, row in rows.iterrows()
            ),
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
    return plain(pd.DataFrame(table), caption=caption).set_properties(**{"text-align": "left"})


def examples(name: str, *, caption: str, split: str | None = None, number: int = 3) -> Styler:
    """The first items of a benchmark's split (None: its last) as they are: a benchmark's text may
    be offensive.
    """
    benchmark = benchmarks.get(name)
    items = benchmark.load(split or benchmark.splits[-1])
    shown = items.select(range(min(number, len(items)))).to_pandas().astype(str)
    return plain(shown, caption=caption).set_properties(**{"text-align": "left"})


def plain(table: pd.DataFrame, *, caption: str) -> Styler:
    """A table without index, first column left, with its caption."""
    return table.style.hide(axis="index").set_caption(caption)


def word_report(report: dict[str, dict], *, caption: str) -> Styler:
    """How many words of each list are listed, single tokens and seen, with examples of the dropped
    (``measurement.report``).
    """
    rows = []
    for name, counted in report.items():
        examples = [f"{word} ({reason})" for word, reason in list(counted["dropped"].items())[:4]]
        counts = {key: counted[key] for key in ("listed", "single token", "seen")}
        rows.append({"list": name} | counts | {"dropped, for example": ", ".join(examples) or "–"})
    table = plain(pd.DataFrame(rows), caption=caption)
    return table.set_properties(subset=["dropped, for example"], **{"text-align": "left"})


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
    the change from the base.
    """
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
    return sortable(shown, name=name, caption=caption, data=table)


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
    rows = ["| benchmark | what it measures | what it cannot tell | source |", "|---|---|---|---|"]
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
