"""Figures of claims: forest plots."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import PALETTE, error_bars, finish

#: Verdict → (name, colour, marker): each tells it alone.
MARKS = {
    1.0: ("supported", PALETTE[2], "triangle-up"),
    -1.0: ("contradicted", PALETTE[1], "triangle-down"),
    0.0: ("inconclusive", PALETTE[6], "circle-open"),
    None: ("descriptive", PALETTE[5], "square-open"),
}
PAPER = ("published (another model)", PALETTE[4], "star")


def forest(
    tests: pd.DataFrame, labels: dict[str, str], *, name: str, caption: str, columns: int = 2
) -> go.Figure:
    """Effects of one claim and contrast (rows of ``claims.evaluate``): a panel a measure, a row a
    method and the total.

    ``labels``: key of a measure → title of its panel. Marks show the verdict after Holm; the dashed
    line is where the claim turns from wrong to right, the shaded side the one that it predicts.
    """
    shown = tests.dropna(subset="value")
    keys = [key for key in labels if key in set(shown["key"])]
    methods = list(dict.fromkeys(tests["method"]))
    depth = -(-len(keys) // columns)
    figure = make_subplots(
        rows=depth,
        cols=columns,
        subplot_titles=[labels[key] for key in keys],
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=min(0.5, 74 / (40 + _panel(methods) * depth)),
    )
    totals, named = [], set()
    for place, key in enumerate(keys):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        rows = shown[shown["key"] == key]
        _marks(figure, rows, named, where)
        _direction(figure, rows, where)
        total = rows[rows["method"] == "total"]
        totals += [
            f"{labels[key].replace('<br>', ' ')} {tables.interval(row)}"
            for _, row in total.iterrows()
        ]
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=methods[::-1],
        range=[-0.6, len(methods) - 0.4],
    )
    figure.update_layout(
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0}
    )
    figure.update_annotations(font_size=12)
    alt = "Forest plot; totals: " + "; ".join(totals) + "."
    finish(figure, name=name, alt=alt, caption=caption, height=130 + _panel(methods) * depth)
    return figure.update_layout(margin={"t": 60, "l": 8, "r": 12, "b": 70})


def _panel(methods: list[str]) -> int:
    """Height of a panel in pixels, its title included."""
    return 72 + 22 * len(methods)


def _marks(figure: go.Figure, rows: pd.DataFrame, named: set[str], where: dict) -> None:
    """Points with intervals, one trace a verdict, so that the legend explains them. ``named``: what
    it explains already.
    """
    for verdict, (label, color, symbol) in MARKS.items():
        alike = rows[rows["decided"].isna() if verdict is None else rows["decided"] == verdict]
        if len(alike):
            marker = {
                "color": color,
                "symbol": symbol,
                "size": [14 if m == "total" else 9 for m in alike["method"]],
                "line": {"width": 2, "color": color},
            }
            figure.add_scatter(
                x=alike["value"],
                y=alike["method"],
                mode="markers",
                name=label,
                legendgroup=label,
                showlegend=label not in named,
                marker=marker,
                error_x=error_bars(alike),
                customdata=alike[["ci_low", "ci_high", "holm_p"]],
                hovertemplate="%{y}: %{x:.3g} [%{customdata[0]:.3g}, "
                "%{customdata[1]:.3g}], Holm p %{customdata[2]:.2g}",
                **where,
            )
            named.add(label)
    reported, (label, color, symbol) = rows.dropna(subset="published"), PAPER
    if len(reported):
        figure.add_scatter(
            x=reported["published"],
            y=reported["method"],
            mode="markers",
            name=label,
            legendgroup=label,
            showlegend=label not in named,
            marker={"color": color, "symbol": symbol, "size": 11},
            hovertemplate="%{y}: %{x:.3g}",
            **where,
        )
        named.add(label)


def _direction(figure: go.Figure, rows: pd.DataFrame, where: dict) -> None:
    """The line at the null and the side that the claim predicts."""
    null, predicted = float(rows["null"].iloc[0]), rows["predicted"].iloc[0]
    ends = rows[["ci_low", "ci_high", "value", "published"]].to_numpy(float).ravel()
    low, high = np.nanmin([*ends, null]), np.nanmax([*ends, null])
    room = 0.08 * (high - low or 1)
    low, high = low - room, high + room
    figure.add_vline(
        x=null, line={"dash": "dash", "width": 1.5, "color": "rgba(127,127,127,.9)"}, **where
    )
    sides = {"x0": null, "x1": high} if predicted > 0 else {"x0": low, "x1": null}
    figure.add_vrect(
        **sides, fillcolor=MARKS[1.0][1], opacity=0.08, line_width=0, layer="below", **where
    )
    figure.update_xaxes(range=[low, high], nticks=5, **where)
