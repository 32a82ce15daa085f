"""Figures of claims: forest plots."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import PALETTE, finish

#: Verdict → (name, colour, marker): each tells it alone.
MARKS = {
    1.0: ("supported", PALETTE[2], "triangle-up"),
    -1.0: ("contradicted", PALETTE[1], "triangle-down"),
    0.0: ("inconclusive", PALETTE[6], "circle-open"),
    None: ("descriptive", PALETTE[5], "square-open"),
}
PAPER = ("published (another model)", PALETTE[4], "star")


def forest(found: pd.DataFrame, labels: dict[str, str], *, name: str, caption: str, columns: int = 2) -> go.Figure:
    """Effects of one claim and contrast (rows of ``claims.evaluate``): a panel a measure, a row a method and the total.

    ``labels``: key of a measure → title of its panel. Marks show the verdict after Holm; the dashed line is where the claim
    turns from wrong to right, the shaded side the one that it predicts.
    """
    shown = found.dropna(subset="value")
    keys = [key for key in labels if key in set(shown["key"])]
    methods = list(dict.fromkeys(found["method"]))
    depth = -(-len(keys) // columns)
    figure = make_subplots(
        rows=depth, cols=columns, subplot_titles=[labels[key] for key in keys], shared_yaxes=True, horizontal_spacing=0.04,
        vertical_spacing=min(0.5, 74 / (40 + _panel(methods) * depth)),
    )  # fmt: skip
    told, seen = [], set()
    for place, key in enumerate(keys):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        chosen = shown[shown["key"] == key]
        _marks(figure, chosen, seen, where)
        _direction(figure, chosen, where)
        total = chosen[chosen["method"] == "total"]
        told += [f"{labels[key].replace('<br>', ' ')} {tables.interval(row)}" for _, row in total.iterrows()]
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=methods[::-1], range=[-0.6, len(methods) - 0.4])
    figure.update_layout(legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0})
    figure.update_annotations(font_size=12)
    alt = "Forest plot; totals: " + "; ".join(told) + "."
    finish(figure, name=name, alt=alt, caption=caption, height=130 + _panel(methods) * depth)
    return figure.update_layout(margin={"t": 60, "l": 8, "r": 12, "b": 70})


def _panel(methods: list[str]) -> int:
    """Height of a panel in pixels, its title included."""
    return 72 + 22 * len(methods)


def _marks(figure: go.Figure, rows: pd.DataFrame, seen: set[str], where: dict) -> None:
    """Points with intervals, one trace a verdict, so that the legend explains them."""
    for verdict, (label, color, symbol) in MARKS.items():
        own = rows[rows["decided"].isna() if verdict is None else rows["decided"] == verdict]
        if len(own):
            marker = {"color": color, "symbol": symbol, "size": [14 if m == "total" else 9 for m in own["method"]],
                      "line": {"width": 2, "color": color}}  # fmt: skip
            figure.add_scatter(
                x=own["value"], y=own["method"], mode="markers", name=label, legendgroup=label, showlegend=label not in seen,
                marker=marker, error_x={"array": own["ci_high"] - own["value"], "arrayminus": own["value"] - own["ci_low"]},
                customdata=own[["ci_low", "ci_high", "holm_p"]], hovertemplate="%{y}: %{x:.3g} [%{customdata[0]:.3g}, "
                "%{customdata[1]:.3g}], Holm p %{customdata[2]:.2g}", **where,
            )  # fmt: skip
            seen.add(label)
    reported, (label, color, symbol) = rows.dropna(subset="published"), PAPER
    if len(reported):
        figure.add_scatter(
            x=reported["published"], y=reported["method"], mode="markers", name=label, legendgroup=label,
            showlegend=label not in seen, marker={"color": color, "symbol": symbol, "size": 11}, hovertemplate="%{y}: %{x:.3g}",
            **where,
        )  # fmt: skip
        seen.add(label)


def _direction(figure: go.Figure, rows: pd.DataFrame, where: dict) -> None:
    """The line at the null and the side that the claim predicts."""
    null, predicted = float(rows["null"].iloc[0]), rows["predicted"].iloc[0]
    ends = [rows["ci_low"].min(), rows["ci_high"].max(), rows["value"].min(), rows["value"].max(), rows["published"].min(),
            rows["published"].max(), null]  # fmt: skip
    low, high = pd.Series(ends).min(), pd.Series(ends).max()
    room = 0.08 * (high - low or 1)
    low, high = low - room, high + room
    figure.add_vline(x=null, line={"dash": "dash", "width": 1.5, "color": "rgba(127,127,127,.9)"}, **where)
    sides = {"x0": null, "x1": high} if predicted > 0 else {"x0": low, "x1": null}
    figure.add_vrect(**sides, fillcolor=MARKS[1.0][1], opacity=0.08, line_width=0, layer="below", **where)
    figure.update_xaxes(range=[low, high], nticks=5, **where)
