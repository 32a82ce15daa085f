"""Figures of fairness: metrics with their intervals, occupations."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, error_bars, finish
from fairnc_book.numbers import METRICS, Metric
from fairnc_utils import benchmarks
from fairnc_utils.runs.rows import Run


def intervals(
    table: pd.DataFrame,
    *,
    metric: str,
    name: str,
    caption: str,
    by: str = "axis",
    reference: float | None = None,
) -> go.Figure:
    """One metric with its interval for each value of ``by``; a dashed line at ``reference``."""
    shown = table[table["metric"] == metric]
    figure = go.Figure()
    for i, (method, rows) in enumerate(shown.groupby("method", sort=False)):
        figure.add_scatter(
            x=rows["value"],
            y=rows[by],
            mode="markers",
            name=method,
            marker={"size": 10, "color": PALETTE[i]},
            error_x=error_bars(rows),
        )
    if reference is not None:
        figure.add_vline(x=reference, line=DASHED)
    label = METRICS.get(metric, Metric(metric)).label
    figure.update_layout(
        xaxis_title=label, scattermode="group", showlegend=shown["method"].nunique() > 1
    )
    figure.update_yaxes(autorange="reversed", type="category")
    several = shown["method"].nunique() > 1 and by != "method"
    rows = "; ".join(
        f"{row[by]}{', ' + row['method'] if several else ''} {tables.interval(row)}"
        for _, row in shown.iterrows()
    )
    return finish(
        figure,
        name=name,
        alt=f"{label} with 95% intervals: {rows}.",
        caption=caption,
        height=200 + 30 * shown[by].nunique(),
    )


def occupations(run: Run, *, name: str, caption: str) -> go.Figure:
    """A run of ``occupation_slope``: an occupation a point, log-odds of she against he by the share
    of women, with the line.
    """
    points = benchmarks.get("occupation_slope").units(run.items)
    slope, lean = (tables.one(run.results, metric=metric) for metric in ("slope", "lean"))
    share = np.array([0.0, 1.0])
    figure = go.Figure()
    figure.add_scatter(
        x=points["share"] + 0.5,
        y=points["log_odds"],
        mode="markers",
        text=points.index,
        name="occupation",
        marker={"size": 8, "color": PALETTE[0]},
        hovertemplate="%{text}: %{x:.0%} women, %{y:.2f}<extra></extra>",
    )
    figure.add_scatter(
        x=share,
        y=lean["value"] + slope["value"] * (share - 0.5),
        mode="lines",
        name="fitted line",
        line={"color": PALETTE[1]},
    )
    figure.add_hline(y=0, line=DASHED)
    figure.update_layout(
        xaxis={"title": "share of women in the occupation", "tickformat": ".0%"},
        yaxis_title="ln P(she) − ln P(he)",
        showlegend=False,
    )
    alt = f"Scatter of {len(points)} occupations. Slope {tables.interval(slope)}, lean at parity {tables.interval(lean)}."
    return finish(figure, name=name, alt=alt, caption=caption)
