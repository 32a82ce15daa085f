"""The map of words with a slider over training steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import GROUP_COLORS, PALETTE, finish

_LINES = {
    "mode": "lines",
    "line": {"color": "rgba(127,127,127,.35)", "width": 1},
    "hoverinfo": "skip",
}


def trajectory(items: pd.DataFrame, results: pd.DataFrame, method: str = "umap") -> go.Figure:
    """The same words in one map while a model is trained: a panel a regularizer, a slider over
    steps (``study.trajectory``).
    """
    points = items[items["benchmark"] == method].reset_index(drop=True)
    points[["regularizer", "step", "token", "kind"]] = (
        points["item_id"].str.rsplit(":", n=3, expand=True).to_numpy()
    )
    panels, steps = (
        list(dict.fromkeys(points["regularizer"])),
        sorted(set(points["step"].astype(int))),
    )
    unc3 = (
        results[results["metric"] == "unc3"]
        .set_index(["regularizer", "variant"])["value"]
        .map(tables.number)
    )
    figure = make_subplots(1, len(panels), subplot_titles=panels, horizontal_spacing=0.03)
    frames = [
        [_traces(rows[rows["regularizer"] == panel]) for panel in panels]
        for rows in (points[points["step"] == str(step)] for step in steps)
    ]
    for column, traces in enumerate(frames[0], 1):
        for trace in traces:
            listed = column == 1 and trace["mode"] == "markers"
            figure.add_trace(
                go.Scatter(trace, legendgroup=trace["name"], showlegend=listed), row=1, col=column
            )
    settings = []
    for step, frame in zip(steps, frames, strict=True):
        moved = {
            key: [trace.get(key) for traces in frame for trace in traces]
            for key in ("x", "y", "customdata")
        }
        titles = {
            f"annotations[{i}].text": f"NC3 {panel}: UNC3 {unc3[panel, f'step {step}']}"
            for i, panel in enumerate(panels)
        }
        settings.append({"label": str(step), "method": "update", "args": [moved, titles]})
        if step == 0:
            figure.update_layout(titles)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.07, "yanchor": "bottom"},
        sliders=[
            {"steps": settings, "currentvalue": {"prefix": "training step: "}, "pad": {"t": 20}}
        ],
    )
    figure.update_layout(margin={"t": 110})  # between the buttons and the titles
    hidden = {"showticklabels": False, "zeroline": False}
    figure.update_xaxes(range=_range(points["score_a"]), **hidden)
    figure.update_yaxes(range=_range(points["score_b"]), **hidden)
    words, label = points["token"].nunique(), {"umap": "UMAP", "pca": "PCA"}[method]
    changes = "; ".join(
        f"{panel} from {unc3[panel, 'step 0']} to {unc3[panel, f'step {steps[-1]}']}"
        for panel in panels
    )
    return finish(
        figure,
        name=f"fig-trajectory-{method}",
        height=600,
        alt=f"{label} map of {words} words over {steps[-1]} training steps, one panel a regularizer. UNC3: {changes}.",
        caption=f"{words} words while a model is trained: class means (filled) and word embeddings (open), joined by word; all "
        f"steps and panels share one {label} map. Move the slider from the untrained model (step 0) to the trained one.",
    )


def _traces(points: pd.DataFrame) -> list[dict]:
    """One panel at one step: the lines that join a word's points, then means and embeddings of each
    group.
    """
    kinds = {
        kind: points[points["kind"] == kind].reset_index(drop=True)
        for kind in ("mean", "embedding")
    }
    gap = np.full(len(kinds["mean"]), np.nan)
    x, y = (
        np.stack([*(table[column] for table in kinds.values()), gap], 1).ravel()
        for column in ("score_a", "score_b")
    )
    traces = [_LINES | {"name": "same word", "x": _short(x), "y": _short(y)}]
    for group in dict.fromkeys(points["axis"]):
        for kind, table in kinds.items():
            shown = table[table["axis"] == group]
            symbol = "circle" if kind == "mean" else "circle-open"
            traces.append(
                {
                    "name": f"{group}, {kind}",
                    "mode": "markers",
                    "x": _short(shown["score_a"]),
                    "y": _short(shown["score_b"]),
                    "text": shown["unit"].tolist(),
                    "customdata": _short(shown["score_c"]),
                    "marker": {
                        "color": GROUP_COLORS.get(group, PALETTE[-1]),
                        "symbol": symbol,
                        "size": 7,
                    },
                    "hovertemplate": "%{text} ("
                    + kind
                    + "): cosine %{customdata:.3f}<extra></extra>",
                }
            )
    return traces


def _short(values: Sequence[float]) -> list[float | None]:
    """Three decimals, so that many steps stay small; a gap is None, as JSON knows no NaN."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


def _range(values: pd.Series) -> list[float]:
    margin = 0.05 * (values.max() - values.min())
    return [values.min() - margin, values.max() + margin]
