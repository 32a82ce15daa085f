"""Figures of what duality leaves free: rows that turn while NC3 and UNC3 stay, and the range of
slopes by cosine.
"""

import pandas as pd
import plotly.graph_objects as go

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, finish

_SHARE = [-0.5, 0.5]


def turning(items: pd.DataFrame, results: pd.DataFrame) -> go.Figure:
    """Occupations and their line for each turn of the rows of she and he, with a slider over the
    turns (``runs.turning``).
    """
    numbers = results[~results["variant"].str.startswith("cosine")]
    numbers = numbers.pivot(index="variant", columns="metric", values="value")
    way = items["item_id"].str.partition(":")[0]
    angles = sorted((name for name in numbers.index if name != "model"), key=_degrees)
    figure = go.Figure()
    for name, color in (("model", PALETTE[-1]), (angles[0], PALETTE[0])):
        points, line = _traces(items[way == name], numbers.loc[name])
        shown = "the model as it is" if name == "model" else "turned"
        style = {"name": shown, "legendgroup": shown}
        figure.add_scatter(**points, **style, mode="markers", marker={"color": color, "size": 7})
        figure.add_scatter(**line, **style, mode="lines", line={"color": color}, showlegend=False)
    steps = []
    for name in angles:
        points, line = _traces(items[way == name], numbers.loc[name])
        moved = {"y": [points["y"], line["y"]], "text": [points["text"], None]}
        title = {"title.text": _numbers(numbers.loc[name])}
        steps.append(
            {"label": f"{_degrees(name):g}°", "method": "update", "args": [moved, title, [2, 3]]}
        )
    least, greatest = numbers.loc[angles, "slope"].min(), numbers.loc[angles, "slope"].max()
    figure.add_hline(y=0, line=DASHED)
    figure.update_layout(
        title={
            "text": _numbers(numbers.loc[angles[0]]),
            "font": {"size": 14},
            "x": 0.02,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 16},
        },
        xaxis={"title": "share of women in the occupation", "tickformat": ".0%"},
        yaxis_title="ln P(she) − ln P(he)",
        yaxis_range=[items["score_a"].min() - 0.5, items["score_a"].max() + 0.5],
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"t": 112},
        sliders=[{"steps": steps, "currentvalue": {"prefix": "rows turned by "}, "pad": {"t": 50}}],
    )
    return finish(
        figure,
        name="fig-turning",
        height=620,
        alt=f"Log-odds of she against he for {way.eq('model').sum()} occupations. With the rows turned, NC3 stays at "
        f"{tables.number(numbers['nc3'].iloc[0])} and the slope goes from {tables.number(greatest)} to {tables.number(least)}.",
        caption="The classifier's rows of *she* and *he*, turned around their class means: no cosine changes, so NC3, UNC3 and "
        "the regularizer stay what they are. Move the slider and watch the slope and the lean: 0° is the turn of the greatest "
        "slope, 180° that of the least. The model as it is, in grey, lies at none of these turns.",
    )


def slope_range(results: pd.DataFrame) -> go.Figure:
    """Least and greatest slope that rows can have at each cosine with their class means, and where
    the model stands.
    """
    ends = results[results["variant"].str.startswith("cosine")].assign(
        cosine=lambda rows: rows["variant"].str.removeprefix("cosine ").astype(float)
    )
    ends = ends.pivot(index="cosine", columns="metric", values="value").sort_index()
    model = results[results["variant"] == "model"].set_index("metric")["value"]
    figure = go.Figure()
    figure.add_scatter(
        x=ends.index,
        y=ends["slope_greatest"],
        mode="lines",
        line={"color": PALETTE[0]},
        name="greatest",
    )
    figure.add_scatter(
        x=ends.index,
        y=ends["slope_least"],
        mode="lines",
        line={"color": PALETTE[0]},
        name="least",
        fill="tonexty",
        fillcolor="rgba(0,114,178,.15)",
    )
    figure.add_scatter(
        x=[model["nc3"]],
        y=[model["slope"]],
        mode="markers",
        name="this model, at its NC3",
        marker={"color": PALETTE[1], "size": 10},
    )
    figure.add_hline(y=0, line=DASHED)
    figure.update_layout(
        xaxis_title="cosine of each row with its class mean",
        yaxis_title="occupation slope",
        hovermode="x unified",
    )
    last = ends.iloc[-1]["slope_least"]
    return finish(
        figure,
        name="fig-slope-range",
        alt=f"The range of slopes narrows as the cosine rises and ends at {tables.number(last)} where it is 1; this model's "
        f"slope is {tables.number(model['slope'])}.",
        caption="Which slopes rows of the same length, the mean of the two, can have at a given cosine. The more aligned, the "
        "narrower; what is left at a cosine of 1 is the slope of the class means themselves.",
    )


def _traces(items: pd.DataFrame, numbers: pd.Series) -> tuple[dict, dict]:
    """Points and line of one way to turn the rows."""
    odds = items["score_a"].round(3).tolist()
    hover = [f"{name}: {value:.2f}" for name, value in zip(items["unit"], odds, strict=True)]
    points = {
        "x": (items["score_c"] + 0.5).round(3).tolist(),
        "y": odds,
        "text": hover,
        "hoverinfo": "text",
    }
    line = [round(numbers["lean"] + numbers["slope"] * share, 3) for share in _SHARE]
    return points, {"x": [0, 1], "y": line, "hoverinfo": "skip"}


def _numbers(numbers: pd.Series) -> str:
    shown = (("nc3", "NC3"), ("unc3", "UNC3"), ("slope", "slope"), ("lean", "lean"))
    said = [f"{label} {tables.number(numbers[name])}" for name, label in shown]
    return " · ".join(said[:2]) + "<br>" + " · ".join(said[2:])  # two lines: a phone is narrow


def _degrees(variant: str) -> float:
    return float(variant.removeprefix("angle "))
