"""Bias against perplexity with the noise curve, what debiasing keeps, students with and without teacher."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import matched, tables
from fairnc_book.compressed import GROUPS, Study, shown
from fairnc_book.figures.base import DASHED, PALETTE, error_bars, finish

_GREY = PALETTE[-1]
_COLORS = dict(zip(GROUPS, PALETTE, strict=False))
_SYMBOLS = {"fairer": "star", "less fair": "x", "not comparable": "circle-open"}


def equal_quality(study: Study, rows: pd.DataFrame) -> go.Figure:
    """Slope against perplexity with the noise curve, and the difference from it with its interval
    (``compressed.differences``).
    """
    figure = make_subplots(
        1,
        2,
        column_widths=[0.55, 0.45],
        horizontal_spacing=0.18,
        subplot_titles=("slope and perplexity", "difference at equal quality"),
    )
    _noise(figure, study)
    for name in GROUPS:
        part = rows[rows["group"] == name]
        if len(part):
            _points(figure, part, _COLORS[name], name)
    figure.add_vline(x=0, line=DASHED, row=1, col=2)
    figure.update_xaxes(type="log", title="perplexity on GAP test (better ←)", row=1, col=1)
    figure.update_yaxes(title="occupation slope (ideal 0)", row=1, col=1)
    figure.update_xaxes(title="slope − slope of noise as bad", row=1, col=2)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    figure.update_layout(legend={"orientation": "h", "y": -0.2})
    said = "; ".join(
        f"{shown(row.method)}: perplexity {tables.number(np.exp(row.quality))}, slope {tables.number(row.slope)}, "
        f"difference {tables.number(row.value)}, {row.verdict}"
        for row in rows.itertuples()
    )
    return finish(
        figure,
        name="fig-equal-quality",
        height=max(460, 180 + 20 * len(rows)),
        alt=f"Slopes of compressed models beside those of models with noise on their weights. {said}.",
        caption="Bias at equal quality. Left: each point is a compressed model; grey points have noise on their weights, "
        "and the grey line is their isotonic fit. Below the line is less bias than noise that costs as much. Right: the "
        "distance from the line with its 95% interval; stars are fairer, crosses less fair, by the plan's rule; what has no "
        "bar on the right is not comparable.",
    )


def _noise(figure: go.Figure, study: Study) -> None:
    noise = study.noise
    if noise is None:
        return
    x = np.linspace(noise.quality.min(), noise.quality.max(), 60)
    ones = np.ones(len(noise.quality))
    y = matched.curve(noise.quality, noise.values.observed, x, rising=study.base < 0, weights=ones)
    line = {"color": _GREY, "width": 2}
    figure.add_scatter(x=np.exp(x), y=y, mode="lines", line=line, name="noise curve", row=1, col=1)
    figure.add_scatter(
        x=np.exp(noise.quality),
        y=noise.values.observed,
        mode="markers",
        marker={"color": _GREY, "size": 5},
        name="noise",
        row=1,
        col=1,
    )


def _points(figure: go.Figure, part: pd.DataFrame, color: str, name: str) -> None:
    labels = part["method"].map(shown)
    symbols = [_SYMBOLS.get(verdict, "circle") for verdict in part["verdict"]]
    marker = {"color": color, "symbol": symbols, "size": 10}
    common = {"mode": "markers", "marker": marker, "name": name, "legendgroup": name}
    figure.add_scatter(
        x=np.exp(part["quality"].astype(float)),
        y=part["slope"],
        hovertext=labels,
        **common,
        row=1,
        col=1,
    )
    near = part[part["value"].notna()]
    marker = marker | {"symbol": [_SYMBOLS.get(verdict, "circle") for verdict in near["verdict"]]}
    figure.add_scatter(
        x=near["value"],
        y=near["method"].map(shown),
        error_x=error_bars(near, thickness=1.5),
        **common | {"marker": marker},
        showlegend=False,
        row=1,
        col=2,
    )


def survival(rows: pd.DataFrame) -> go.Figure:
    """How much of a debiasing's effect is left, by compressor and treatment (``compressed.survivals``)."""
    run = rows[rows["value"].notna()]
    figure = go.Figure()
    series = run.groupby(["method", "treatment"], sort=False)
    for color, ((method, name), part) in zip(PALETTE, series, strict=False):
        percent = part.assign(**{end: 100 * part[end] for end in ("value", "ci_low", "ci_high")})
        figure.add_scatter(
            x=percent["compressor"],
            y=percent["value"],
            error_y=error_bars(percent, thickness=1.5),
            mode="markers",
            marker={"color": color, "size": 9},
            name=method if name == "none" else f"{method} with {name}",
        )
    figure.add_hline(y=100, line=DASHED)
    figure.add_hline(y=100 * matched.SURVIVES, line=DASHED | {"color": PALETTE[1]})
    figure.update_layout(scattermode="group")
    figure.update_yaxes(title="survives, %")
    said = "; ".join(
        f"{row.method}, {row.treatment}, {row.compressor}: {100 * row.value:.0f}%"
        for row in run.itertuples()
    )
    return finish(
        figure,
        name="fig-survival",
        alt=f"How much of each debiasing is left after compression. {said}.",
        caption="What debiasing keeps under compression: the change of the slope among compressed models, as a share of the "
        "change before, with 95% intervals over seeds and occupations. Dashed: all of it, and in orange the bound of the "
        "plan.",
    )


def students(rows: pd.DataFrame) -> go.Figure:
    """Slope by layers, with a teacher and without (``compressed.students``)."""
    figure = go.Figure()
    for color, (column, name) in zip(
        PALETTE, (("small", "without teacher"), ("taught", "with teacher")), strict=False
    ):
        figure.add_scatter(
            x=rows["layers"],
            y=rows[column],
            mode="lines+markers",
            marker={"color": color, "size": 9},
            name=name,
        )
    figure.update_xaxes(title="layers of the student", dtick=1)
    figure.update_yaxes(title="occupation slope (ideal 0)")
    said = "; ".join(
        f"{row.layers} layers: {tables.number(row.small)} without, {tables.number(row.taught)} with"
        for row in rows.itertuples()
    )
    return finish(
        figure,
        name="fig-students",
        alt=f"Slopes of students with and without a teacher. {said}.",
        caption="Students of one to four layers with a teacher, and the same students without: the mean slope over seeds.",
    )
