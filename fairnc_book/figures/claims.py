"""Figures of claims: forest plots."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, finish

#: What an interval says → (name, colour, marker): each tells it alone. Filled: it says so after Holm's adjustment as well.
MARKS = {
    "supports": ("for the claim", PALETTE[2], "triangle-right"),
    "supports_alone": ("for it before Holm's correction only", PALETTE[2], "triangle-right-open"),
    "contradicts": ("against the claim", PALETTE[1], "triangle-left"),
    "contradicts_alone": (
        "against it before Holm's correction only",
        PALETTE[1],
        "triangle-left-open",
    ),
    "open": ("undecided", PALETTE[6], "circle-open"),
    "descriptive": ("descriptive", PALETTE[5], "square-open"),
}
PAPER = ("published (another model)", PALETTE[4], "star")

#: The row over all methods, which has the widest panel.
_TOTAL = "total"

_ENDS = ["value", "ci_low", "ci_high", "null", "published"]


def forest(
    tests: pd.DataFrame, labels: Mapping[str, str], *, name: str, caption: str, axis: str
) -> go.Figure:
    """Effects of one claim and contrast (rows of ``claims.evaluate``): a row a measure, a panel a
    method with the total first, and one scale for all. Effects are divided by their ``unit`` and
    turned so that what the claim predicts is to the right.

    ``labels``: key of a measure → name of its row; ``axis``: title of the scale.
    """
    shown = tests.dropna(subset="value")
    shown = shown.assign(mark=[_mark(row) for row in shown.to_dict("records")])
    scaled = shown[_ENDS].mul(shown["predicted"] / shown["unit"], axis=0).add_suffix("_scaled")
    shown = shown.join(scaled)
    keys = [key for key in labels if key in set(shown["key"])]
    methods = sorted(dict.fromkeys(shown["method"]), key=lambda method: method != _TOTAL)
    figure = make_subplots(
        cols=len(methods),
        column_titles=[method.replace(" ", "<br>") for method in methods],
        column_widths=[3 if method == _TOTAL else 1 for method in methods],
        shared_yaxes=True,
        horizontal_spacing=0.012,
    )
    low, high = _range(shown)
    for place, method in enumerate(methods):
        rows, where = shown[shown["method"] == method], {"row": 1, "col": place + 1}
        null = float(shown["null_scaled"].iloc[0])
        _marks(figure, rows, labels, (low, high), where)
        figure.add_vline(x=null, line=DASHED, **where)
        figure.add_vrect(
            x0=null,
            x1=high,
            fillcolor=PALETTE[2],
            opacity=0.08,
            line_width=0,
            layer="below",
            **where,
        )
    _legend(figure, shown)
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[labels[key] for key in keys][::-1],
        range=[-0.6, len(keys) - 0.4],
        tickfont_size=11,
    )
    far = float(f"{0.7 * max(low, high, key=abs):.0e}")  # one digit: narrow panels have two ticks
    figure.update_xaxes(range=[low, high], tickvals=[0, far], tickangle=90, tickfont_size=10)
    scale = {
        "tickvals": None,
        "nticks": 7,
        "tickangle": 0,
        "title": {"text": axis, "font": {"size": 12}},
    }
    figure.update_xaxes(scale, col=1)
    figure.update_annotations(font_size=11)
    figure.update_layout(
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0}
    )
    totals = [
        f"{labels[row['key']].replace('<br>', ' ')} {tables.interval(row)}"
        for _, row in shown[shown["method"] == _TOTAL].iterrows()
    ]
    alt = "Forest plot; totals in the measures' own units: " + "; ".join(totals) + "."
    finish(figure, name=name, alt=alt, caption=caption, height=206 + 36 * len(keys))
    return figure.update_layout(margin={"t": 76, "r": 8, "b": 120})


def _mark(test: dict) -> str:
    """The entry of ``MARKS`` for a test: what its interval says, before and after Holm."""
    if np.isnan(test["decided"]):
        return "descriptive"
    if not test["verdict"]:
        return "open"
    side = "supports" if test["verdict"] > 0 else "contradicts"
    return side if test["decided"] else f"{side}_alone"


def _range(shown: pd.DataFrame) -> tuple[float, float]:
    """The scale: all totals with their intervals, and nearly all of the methods."""
    columns = [f"{name}_scaled" for name in _ENDS]
    total = shown["method"] == _TOTAL
    every = shown.loc[~total, columns].to_numpy(float).ravel()
    ends = shown.loc[total, columns].to_numpy(float).ravel()
    if np.isfinite(every).any():
        ends = np.concatenate([ends, np.nanquantile(every, [0.04, 0.96])])
    low, high = np.nanmin(ends), np.nanmax(ends)
    room = 0.06 * (high - low or 1)
    return float(low - room), float(high + room)


def _marks(
    figure: go.Figure,
    rows: pd.DataFrame,
    labels: Mapping[str, str],
    ends: tuple[float, float],
    where: dict,
) -> None:
    """One panel: points with intervals, and what is published. What lies beyond the scale stands at
    its edge.
    """
    rows = rows.assign(x=rows["value_scaled"].clip(*ends))
    total = rows["method"].eq(_TOTAL).any()
    for mark, alike in rows.groupby("mark", sort=False):
        label, color, symbol = MARKS[mark]
        bounds = alike[["ci_low_scaled", "ci_high_scaled"]].clip(*ends)
        figure.add_scatter(
            x=alike["x"],
            y=alike["key"].map(labels),
            mode="markers",
            cliponaxis=False,
            name=label,
            legendgroup=label,
            showlegend=False,
            marker={
                "color": color,
                "symbol": symbol,
                "size": 13 if total else 8,
                "line": {"width": 2 if total else 1.5, "color": color},
            },
            error_x={
                "array": (bounds.max(axis=1) - alike["x"]).clip(lower=0),
                "arrayminus": (alike["x"] - bounds.min(axis=1)).clip(lower=0),
                "width": 0,
                "thickness": 2 if total else 1,
            },
            customdata=alike[["value", "ci_low", "ci_high", "holm_p", "method"]],
            hovertemplate="%{customdata[4]}, %{y}: %{customdata[0]:.3g} [%{customdata[1]:.3g}, "
            "%{customdata[2]:.3g}], Holm p %{customdata[3]:.2g}<extra></extra>",
            **where,
        )
    reported, (label, color, symbol) = rows.dropna(subset="published"), PAPER
    if len(reported):
        figure.add_scatter(
            x=reported["published_scaled"].clip(*ends),
            y=reported["key"].map(labels),
            mode="markers",
            name=label,
            legendgroup=label,
            showlegend=False,
            cliponaxis=False,
            marker={"color": color, "symbol": symbol, "size": 11},
            customdata=reported[["published", "method"]],
            hovertemplate="%{customdata[1]}, %{y}, published: %{customdata[0]:.3g}<extra></extra>",
            **where,
        )


def _legend(figure: go.Figure, shown: pd.DataFrame) -> None:
    """An entry for each mark that is used, in one order."""
    used = [mark for key, mark in MARKS.items() if key in set(shown["mark"])]
    for label, color, symbol in used + [PAPER] * bool(shown["published"].notna().any()):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=label,
            legendgroup=label,
            marker={
                "color": color,
                "symbol": symbol,
                "size": 10,
                "line": {"width": 2, "color": color},
            },
        )
