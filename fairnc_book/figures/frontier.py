"""Bias against what must be kept: a panel a base and a measure of agreement, a line a treatment."""

import math
from collections.abc import Sequence
from itertools import chain

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, finish
from fairnc_book.planned.data import (
    ARMS,
    DOSED,
    KEPT,
    OVER_BASES,
    SLOPE,
    TREATMENTS,
    Comparison,
    Outcome,
)
from fairnc_book.planned.decide import effect

#: Outcomes across, each with the side on which it is better.
ACROSS = ((KEPT[0], "← better"), (KEPT[1], "better →"))

_GREY = PALETTE[-1]

#: Arm of swap collapse → its letter beside the point.
LETTERS = dict(zip((arm.treatment for arm in ARMS), "abcdefghij", strict=False))


#: A point: what is compared, its change of the outcome across, and that of the slope.
Point = tuple[Comparison, pd.Series, pd.Series]


def frontier(tests: pd.DataFrame, *, method: str) -> go.Figure:
    """Change of the occupation slope against that of each outcome of ``ACROSS``, by treatment, dose and
    arm (``planned.evaluate``): one method, which is the origin.
    """
    run = tests[(tests["method"] == method) & tests["value"].notna()]
    bases = [base for base in dict.fromkeys(run["model"]) if base != OVER_BASES]
    figure = make_subplots(
        max(1, len(bases)),
        len(ACROSS),
        shared_yaxes=True,
        horizontal_spacing=0.05,
        row_titles=bases if len(bases) > 1 else None,
    )
    texts = []
    for row, base in enumerate(bases, start=1):
        for column, (outcome, better) in enumerate(ACROSS, start=1):
            where = {"row": row, "col": column}
            lines = _points(run, outcome, base, method)
            for series in _series(lines, outcome, method):
                figure.add_scatter(**series, showlegend=row == column == 1, **where)
            figure.add_hline(y=0, line=DASHED, **where)
            if outcome.allowed is not None:
                line = DASHED | {"color": PALETTE[1]}
                figure.add_vline(x=outcome.worse * outcome.allowed, line=line, **where)
            title = f"change of {outcome.label}<br>({better})"
            figure.update_xaxes(title=title if row == len(bases) else None, **where)
            texts += [f"{base}, {_text(point, outcome)}" for point in chain(*lines.values())]
    figure.update_xaxes(title_font_size=12)
    figure.update_yaxes(title="change of the occupation slope", title_font_size=12, col=1)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    finish(
        figure,
        name="fig-frontier",
        height=120 + 380 * max(1, len(bases)),
        alt=f"Changes of the slope and of what must be kept from {method} alone. {'; '.join(texts)}.",
        caption=f"Bias against what must be kept. Each point is a treatment minus {method} alone, the square at 0, at the "
        "same seeds, with 95% intervals over seeds and units; open points have one seed and no interval. Lines join the "
        "doses, larger points are larger doses. Below the square is less bias. Orange: how far what must be kept may "
        f"change for the worse. Arms: {', '.join(f'{letter} {arm}' for arm, letter in LETTERS.items())}.",
    )
    return figure.update_layout(margin={"t": 90})


def _points(
    tests: pd.DataFrame, outcome: Outcome, base: str, method: str
) -> dict[str, list[Point]]:
    """Treatment → its doses that were run; ``arms`` → the arms."""
    lines = {
        name: [comparison for (treatment, _), comparison in DOSED.items() if treatment == name]
        for name in TREATMENTS
    } | {"arms": ARMS}
    where = {"model": base, "method": method}
    points: dict[str, list[Point]] = {name: [] for name in lines}
    for name, comparisons in lines.items():
        for comparison in comparisons:
            across = effect(tests, comparison.key, outcome.key, **where)
            slope = effect(tests, comparison.key, SLOPE.key, **where)
            if across is not None and slope is not None:
                points[name].append((comparison, across, slope))
    return points


def _text(point: Point, outcome: Outcome) -> str:
    comparison, across, slope = point
    return (
        f"{comparison.treatment} {comparison.dose:g}: slope {tables.number(slope['value'])}, "
        f"{outcome.label} {tables.number(across['value'])}"
    )


def _series(lines: dict[str, list[Point]], outcome: Outcome, method: str) -> list[dict]:
    """Scatter traces of one panel: a line a treatment, the arms with their letters, the comparator on
    top.
    """
    series = []
    for color, name in zip(PALETTE, TREATMENTS, strict=False):
        line = _trace(lines[name], outcome, color, filled="circle", start=True)
        series.append(line | {"name": name})
    label = {
        "name": "arms of swap collapse",
        "mode": "markers+text",
        "text": [LETTERS[comparison.treatment] for comparison, *_ in lines["arms"]],
        "textposition": "middle right",
    }
    series.append(_trace(lines["arms"], outcome, _GREY, filled="diamond", start=False) | label)
    alone = {"x": [0], "y": [0], "mode": "markers", "name": f"{method} alone", "hoverinfo": "name"}
    series.append(alone | {"marker": {"color": PALETTE[3], "symbol": "square", "size": 11}})
    return [one | {"legendgroup": one["name"]} for one in series if len(one["x"])]


def _trace(
    points: Sequence[Point], outcome: Outcome, color: str, *, filled: str, start: bool
) -> dict:
    """Points with intervals both ways; ``start``: joined, from the comparator on."""
    if not points:
        return {"x": []}
    lead = [0.0] if start else []
    ends = {}
    for axis, place in (("x", 1), ("y", 2)):
        rows = [point[place] for point in points]
        ends[axis] = [*lead, *(row["value"] for row in rows)]
        ends[f"error_{axis}"] = {
            "array": [*lead, *(row["ci_high"] - row["value"] for row in rows)],
            "arrayminus": [*lead, *(row["value"] - row["ci_low"] for row in rows)],
            "thickness": 1,
            "width": 2,
        }
    open_points = [math.isnan(slope["ci_high"]) for *_, slope in points]
    marker = {
        "color": color,
        "size": [0.0] * len(lead) + [8 + 5 * comparison.dose for comparison, *_ in points],
        "symbol": [filled] * len(lead) + [filled + "-open" * is_open for is_open in open_points],
    }
    return ends | {
        "mode": "lines+markers",
        "line": {"color": color, "width": 1.5},
        "marker": marker,
        "hovertext": [""] * len(lead) + [_text(point, outcome) for point in points],
        "hoverinfo": "text",
    }
