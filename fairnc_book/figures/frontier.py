"""Bias against what must be kept: a panel a base and a measure of agreement, a line a treatment."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, finish
from fairnc_book.frontier import ARMS, OUTCOMES, TREATMENTS, Change

#: Outcome across → on which side it is better.
ACROSS = {"log_loss": "← better", "accuracy_names": "better →"}

_GREY = PALETTE[-1]


def frontier(changes: Sequence[Change], *, method: str) -> go.Figure:
    """Change of the occupation slope against that of each outcome of ``ACROSS``, by treatment and
    dose: one method, which is the origin.
    """
    run = [change for change in changes if change.effects]
    bases = list(dict.fromkeys(change.base for change in run))
    figure = make_subplots(
        max(1, len(bases)),
        len(ACROSS),
        shared_yaxes=True,
        horizontal_spacing=0.05,
        row_titles=bases if len(bases) > 1 else None,
    )
    for row, base in enumerate(bases, start=1):
        here = [change for change in run if change.base == base]
        for column, (name, better) in enumerate(ACROSS.items(), start=1):
            where = {"row": row, "col": column}
            for series in _series(here, name, method):
                figure.add_scatter(**series, showlegend=row == column == 1, **where)
            figure.add_hline(y=0, line=DASHED, **where)
            if (bound := OUTCOMES[name].bound) is not None:
                line = DASHED | {"color": PALETTE[1]}
                figure.add_vline(x=OUTCOMES[name].worse * bound, line=line, **where)
            title = f"change of {OUTCOMES[name].label} ({better})"
            figure.update_xaxes(title=title if row == len(bases) else None, **where)
    figure.update_xaxes(title_font_size=12)
    figure.update_yaxes(title="change of the occupation slope", title_font_size=12, col=1)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    texts = [
        f"{change.base}, {change.treatment} {change.dose:g}: "
        + ", ".join(
            f"{OUTCOMES[name].label} {tables.number(change.effects[name].value)}"
            for name in ("slope", *ACROSS)
            if name in change.effects
        )
        for change in run
    ]
    finish(
        figure,
        name="fig-frontier",
        height=120 + 380 * max(1, len(bases)),
        alt=f"Changes of the slope and of what must be kept from {method} alone. {'; '.join(texts)}.",
        caption=f"Bias against what must be kept. Each point is a treatment minus {method} alone, the black square, at the "
        "same seeds, with 95% intervals over seeds and units; open points have one seed and no interval. Lines join the "
        "doses, larger points are larger doses. Below the square is less bias. Orange: how far the log loss may rise.",
    )
    return figure.update_layout(margin={"t": 90})


def _series(changes: Sequence[Change], name: str, method: str) -> list[dict]:
    """Scatter traces of one panel: a line a treatment, the arms, the comparator on top."""
    series = []
    for place, treatment in enumerate(TREATMENTS):
        line = sorted(
            (change for change in changes if change.treatment == treatment),
            key=lambda change: change.dose,
        )
        color = PALETTE[place]
        series.append(_trace(line, name, color, filled="circle", start=True) | {"name": treatment})
    arms = [change for change in changes if change.treatment in ARMS]
    label = {"name": "arms of swap collapse (hover)", "mode": "markers"}
    series.append(_trace(arms, name, _GREY, filled="diamond", start=False) | label)
    alone = {"x": [0], "y": [0], "mode": "markers", "name": f"{method} alone", "hoverinfo": "name"}
    series.append(alone | {"marker": {"color": "#000000", "symbol": "square", "size": 11}})
    return [one | {"legendgroup": one["name"]} for one in series if len(one["x"])]


def _trace(changes: Sequence[Change], name: str, color: str, *, filled: str, start: bool) -> dict:
    """Points with intervals both ways; ``start``: joined, from the comparator on."""
    pairs = [
        (change, change.effects[name], change.effects["slope"])
        for change in changes
        if name in change.effects and "slope" in change.effects
    ]
    if not pairs:
        return {"x": []}
    lead = [0.0] if start else []
    ends = {}
    for axis, place in (("x", 1), ("y", 2)):
        effects = [pair[place] for pair in pairs]
        ends[axis] = [*lead, *(effect.value for effect in effects)]
        ends[f"error_{axis}"] = {
            "array": [*lead, *(effect.ci_high - effect.value for effect in effects)],
            "arrayminus": [*lead, *(effect.value - effect.ci_low for effect in effects)],
            "thickness": 1,
            "width": 2,
        }
    open_points = [not np.isfinite(slope.ci_high) for _, _, slope in pairs]
    sizes = [8 + 5 * change.dose for change, *_ in pairs]
    marker = {
        "color": color,
        "size": [0.0, *sizes] if start else sizes,
        "symbol": [filled] * len(lead) + [filled + "-open" * is_open for is_open in open_points],
    }
    hover = [
        f"{change.treatment} {change.dose:g}: slope {tables.number(slope.value)}, "
        f"{OUTCOMES[name].label} {tables.number(effect.value)}"
        for change, effect, slope in pairs
    ]
    return ends | {
        "mode": "lines+markers",
        "line": {"color": color, "width": 1.5},
        "marker": marker,
        "hovertext": [""] * len(lead) + hover,
        "hoverinfo": "text",
    }
