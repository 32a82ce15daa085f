"""Figures of the parts of NC3: the sweep over λ, dots with intervals, layers, fairness against
UNC3.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, error_bars, finish
from fairnc_book.numbers import METHODS, METRICS, UNTRAINED, Metric
from fairnc_utils.regularizer_label import RegularizerLabel

#: Preset of a regularizer → marker symbol.
_SYMBOLS = {"none": "circle", "corrected": "diamond", "as_released": "x"}


def _color(method: str) -> str:
    """The same in every figure."""
    return PALETTE[METHODS.index(method)] if method in METHODS else "#999999"


def _symbols(method: str, regularizers: pd.Series) -> list[str]:
    if method == UNTRAINED.method:
        return ["star"] * len(regularizers)
    return [_SYMBOLS[RegularizerLabel.parse(label).preset] for label in regularizers]


def _label(metric: str) -> str:
    return METRICS.get(metric, Metric(metric)).label


def lambda_sweep(
    rows: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("unc3", "log_ratio", "slope", "masked_perplexity"),
) -> go.Figure:
    """Means over seeds against λ by method, with their intervals; a star at the chosen λ (rows of
    ``ablations.ablate``).
    """
    swept = rows[
        (rows["variant"] == "mean") & rows["regularizer"].isin(["none", "corrected"])
    ].sort_values("lam")
    starred = rows[rows["metric"] == "chosen_lambda"].set_index("method")["value"]
    weights, methods = sorted(set(swept["lam"])), [m for m in METHODS if m in set(swept["method"])]
    figure = make_subplots(
        2, 2, subplot_titles=[_label(metric) for metric in metrics], vertical_spacing=0.16
    )
    for i, metric in enumerate(metrics):
        place, panel = {"row": i // 2 + 1, "col": i % 2 + 1}, swept[swept["metric"] == metric]
        figure.update_yaxes(type="log" if metric == "masked_perplexity" else "linear", **place)
        for k, method in enumerate(methods):
            line = panel[panel["method"] == method]
            x = [weights.index(lam) + 0.08 * (k - (len(methods) - 1) / 2) for lam in line["lam"]]
            star = line["lam"].eq(starred.get(method, -1)).to_numpy()
            figure.add_scatter(
                x=x,
                y=line["value"],
                error_y=error_bars(line, thickness=1),
                mode="lines+markers",
                name=method,
                legendgroup=method,
                showlegend=i == 0,
                line={"color": _color(method), "width": 1.5},
                customdata=line["lam"],
                marker={"size": np.where(star, 13, 5), "symbol": np.where(star, "star", "circle")},
                hovertemplate=f"{method}, λ = %{{customdata:g}}: %{{y:.3g}}<extra></extra>",
                **place,
            )
        for base in panel[panel["method"] == "base"]["value"]:
            figure.add_hline(y=base, line=DASHED, **place)
    ticks = {
        "tickvals": list(range(len(weights))),
        "ticktext": [f"{lam:g}" if lam else "none" for lam in weights],
    }
    figure.update_xaxes(**ticks)
    figure.update_xaxes(title="λ", row=2)
    stars = ", ".join(f"{method} {lam:g}" for method, lam in starred.items()) or "none"
    return finish(
        figure,
        name="fig-lambda",
        height=640,
        alt=f"Four panels against the weight λ of NC3 for {len(methods)} methods: {', '.join(map(_label, metrics))}. "
        f"Chosen λ: {stars}.",
        caption="What NC3 does as its weight λ grows, by method: means over seeds with 95% t intervals. Stars: the λ chosen on "
        "StereoSet's development part. Dashed: the untrained model. Click the legend to hide a method.",
    )


def dots(
    rows: pd.DataFrame,
    labels: Mapping[str, str],
    *,
    metrics: Sequence[str],
    by: str,
    name: str,
    caption: str,
    about: str,
) -> go.Figure:
    """Values with intervals, a panel a metric: one line for each entry of ``labels`` (value of
    column ``by`` → its name).

    Filled where the interval leaves out 0. Lines without a value stay empty and say so.
    """
    figure = make_subplots(
        len(metrics),
        1,
        subplot_titles=[_label(metric) for metric in metrics],
        vertical_spacing=0.15 / len(metrics),
    )
    texts = []
    for i, metric in enumerate(metrics):
        panel = (
            rows[rows["metric"] == metric].drop_duplicates(by).set_index(by).reindex(list(labels))
        )
        apart = (panel["ci_low"] > 0) | (panel["ci_high"] < 0)
        figure.add_scatter(
            x=panel["value"],
            y=list(labels.values()),
            error_x=error_bars(panel, thickness=1),
            mode="markers",
            showlegend=False,
            marker={
                "color": PALETTE[0],
                "size": 10,
                "symbol": np.where(apart, "circle", "circle-open"),
            },
            customdata=panel["n"].fillna(0),
            hovertemplate="%{y}: %{x:.3g} (n = %{customdata:.0f})<extra></extra>",
            row=i + 1,
            col=1,
        )
        figure.add_vline(x=0, line=DASHED, row=i + 1, col=1)
        for label in (labels[key] for key in panel.index[panel["value"].isna()]):
            figure.add_annotation(
                x=0,
                y=label,
                text="not run",
                showarrow=False,
                xanchor="left",
                row=i + 1,
                col=1,
                opacity=0.6,
            )
        texts += [
            f"{_label(metric)}: "
            + "; ".join(
                f"{labels[key]} {tables.interval(row)}"
                for key, row in panel.dropna(subset="value").iterrows()
            )
        ]
    figure.update_yaxes(autorange="reversed", type="category", categoryarray=list(labels.values()))
    return finish(
        figure,
        name=name,
        caption=caption,
        height=60 + len(metrics) * (70 + 22 * len(labels)),
        alt=f"{about} {' '.join(texts)}.",
    )


def by_layer(rows: pd.DataFrame, *, by: str, name: str, about: str) -> go.Figure:
    """NC3 and UNC3 after each hidden layer, one line for each value of column ``by``."""
    metrics = ("nc3", "unc3")
    figure = make_subplots(1, 2, subplot_titles=[_label(metric) for metric in metrics])
    texts = []
    for i, metric in enumerate(metrics):
        for k, (series, line) in enumerate(rows[rows["metric"] == metric].groupby(by, sort=False)):
            line = line.assign(layer=line["layer"].astype(int)).sort_values("layer")
            color = PALETTE[k % len(PALETTE)]
            figure.add_scatter(
                x=line["layer"],
                y=line["value"],
                error_y=error_bars(line, thickness=1),
                mode="lines+markers",
                name=series,
                legendgroup=series,
                showlegend=i == 0,
                line={"color": color},
                marker={"size": 7},
                row=1,
                col=i + 1,
            )
            ends = line.iloc[[0, -1]]["value"].map(tables.number)
            texts.append(f"{series}, {_label(metric)} {' to '.join(ends)}")
    figure.update_xaxes(title="hidden layer", dtick=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.25})
    return finish(
        figure,
        name=name,
        alt=f"Collapse from the first to the last hidden layer: {'; '.join(texts)}.",
        caption=f"{about}: NC3 and UNC3 if the model ended after each of its layers: the state there, through the head, "
        "against the same word embeddings, with 95% intervals over words. The last layer is the model itself.",
    )


def unc3_fairness(runs: pd.DataFrame, metrics: Sequence[str]) -> go.Figure:
    """Every run: its distance from fair by each metric against UNC3, coloured by method
    (``ablations.by_run``).
    """
    titles = [f"distance from fair: {_label(metric)}" for metric in metrics]
    figure = make_subplots(
        len(metrics), 1, subplot_titles=titles, shared_xaxes=True, vertical_spacing=0.07
    )
    for i, metric in enumerate(metrics):
        for method, points in (
            runs.sort_values("lam").dropna(subset=["unc3", metric]).groupby("method", sort=False)
        ):
            hover = (
                points["regularizer"]
                + ", λ "
                + points["lam"].map("{:g}".format)
                + ", seed "
                + points["seed"].map("{:g}".format)
            )
            figure.add_scatter(
                x=points["unc3"],
                y=METRICS[metric].distance(points[metric]),
                mode="markers",
                name=method,
                legendgroup=method,
                showlegend=i == 0,
                text=hover,
                marker={
                    "color": _color(method),
                    "size": 7 if method in METHODS else 13,
                    "opacity": 0.7,
                    "symbol": _symbols(method, points["regularizer"]),
                },
                hovertemplate=f"{method}, %{{text}}: UNC3 %{{x:.3f}}, %{{y:.3g}}<extra></extra>",
                row=i + 1,
                col=1,
            )
    figure.update_xaxes(
        title="UNC3 of gender words on GAP test (lower: more uniform)", row=len(metrics)
    )
    figure.update_yaxes(title="from fair")
    return finish(
        figure,
        name="fig-unc3-fairness",
        height=100 + 250 * len(metrics),
        alt=f"Scatter of {len(runs)} runs: distance from fair by {', '.join(map(_label, metrics))} against UNC3.",
        caption="Does fairness follow uniformity? Each point is one run. Circles: no NC3; diamonds: corrected; crosses: as "
        "released; star: untrained. If it did, the points would rise from left to right. Hover for the run.",
    )
