"""Figures of the parts of NC3: the sweep over λ, dots with intervals, layers, fairness against
UNC3.
"""

from collections.abc import Mapping, Sequence
from itertools import product

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


def _multiples(rows: int, methods: Sequence[str], *, vertical_spacing: float) -> go.Figure:
    """Small multiples: panels with shared axes, a column a method."""
    return make_subplots(
        rows,
        max(1, len(methods)),
        column_titles=methods,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.015,
        vertical_spacing=vertical_spacing,
    )


def lambda_sweep(
    rows: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("unc3", "log_ratio", "slope", "masked_perplexity"),
) -> go.Figure:
    """Change of the mean over seeds from no NC3, against λ: a row a metric, a column a method; a
    star at the chosen λ (rows of ``ablations.ablate``). Intervals of fewer than three seeds are not
    drawn.
    """
    swept = rows[
        (rows["variant"] == "mean") & rows["regularizer"].isin(["none", "corrected"])
    ].sort_values("lam")
    starred = rows[rows["metric"] == "chosen_lambda"].set_index("method")["value"]
    weights, methods = sorted(set(swept["lam"])), [m for m in METHODS if m in set(swept["method"])]
    figure = _multiples(len(metrics), methods, vertical_spacing=0.035)
    ranges: dict[int, list[float]] = {i: [] for i in range(len(metrics))}
    for (i, metric), (k, method) in product(enumerate(metrics), enumerate(methods)):
        line = swept[(swept["metric"] == metric) & (swept["method"] == method)]
        line = _changes(line, logarithmic=metric == "masked_perplexity")
        _sweep(figure, line, starred.get(method, -1), weights, {"row": i + 1, "col": k + 1})
        ranges[i] += [
            *line["value"],
            *line.loc[line["n"] >= 3, ["ci_low", "ci_high"]].to_numpy().ravel(),
        ]
    for i, metric in enumerate(metrics):
        title = _label(metric).partition(" (")[0].replace(" ", "<br>", 1)
        title = f"ln {title}" if metric == "masked_perplexity" else title
        figure.update_yaxes(title={"text": title, "font": {"size": 11}}, row=i + 1, col=1)
        if known := [value for value in ranges[i] if np.isfinite(value)]:
            low, high = np.quantile(known, [0.02, 0.98])
            room = 0.1 * (high - low or 1)
            figure.update_yaxes(range=[low - room, high + room], nticks=4, row=i + 1)
    labels = [f"{lam:g}" if lam else "none" for lam in weights]
    # every other, and small heads: on a phone a column is 35 pixels wide
    shown = {"tickvals": list(range(len(weights)))[::2], "ticktext": labels[::2], "tickangle": 90}
    figure.update_xaxes(**shown, range=[-0.5, len(weights) - 0.5], tickfont_size=10)
    figure.update_annotations(font_size=10)
    figure.update_layout(showlegend=False)
    stars = ", ".join(f"{method} {lam:g}" for method, lam in starred.items()) or "none"
    finish(
        figure,
        name="fig-lambda",
        height=120 + 130 * len(metrics),
        alt=f"Small panels, a row a metric and a column a method, against the weight λ of NC3: {len(methods)} methods; "
        f"{', '.join(map(_label, metrics))}. Chosen λ: {stars}.",
        caption="What more NC3 changes, by method: mean over seeds minus the same method without NC3 (dashed), against λ. The "
        "band is the 95% t interval of the mean, where three or more seeds were run. Stars: the λ chosen on StereoSet's "
        "development part. What lies far outside the other methods is cut off.",
    )
    return figure.update_layout(margin={"t": 60, "r": 8})


def _changes(line: pd.DataFrame, *, logarithmic: bool) -> pd.DataFrame:
    """Value and interval less the value at λ = 0, of their logarithms if asked; none without it."""
    ends = ["value", "ci_low", "ci_high"]
    start = line[line["lam"] == 0]
    if start.empty:
        return line.iloc[:0]
    values = line[ends].astype(float)
    values = np.log(values.where(values > 0)) if logarithmic else values
    return line.assign(**(values - values.loc[start.index[0], "value"]))


def _sweep(
    figure: go.Figure, line: pd.DataFrame, chosen: float, weights: list[float], place: dict
) -> None:
    """One method and metric: its changes with their band."""
    figure.add_hline(y=0, line=DASHED, **place)
    if line.empty:
        return
    value, low, high = (line[c] for c in ("value", "ci_low", "ci_high"))
    sure = (line["n"] >= 3).to_numpy()
    x = np.array([weights.index(lam) for lam in line["lam"]])
    color = {"color": PALETTE[0]}
    figure.add_scatter(
        x=[*x[sure], *x[sure][::-1]],
        y=[*high[sure], *low[sure][::-1]],
        fill="toself",
        fillcolor="rgba(0,114,178,.2)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        **place,
    )
    star = line["lam"].eq(chosen).to_numpy()
    marker = {"size": np.where(star, 12, 4), "symbol": np.where(star, "star", "circle")}
    figure.add_scatter(
        x=x,
        y=value,
        mode="lines+markers",
        line=color | {"width": 1.5},
        marker=marker | {"color": np.where(star, PALETTE[1], PALETTE[0])},
        customdata=line["lam"],
        name=line["method"].iloc[0],
        hovertemplate="λ = %{customdata:g}: %{y:+.3g}",
        **place,
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
        vertical_spacing=_gap(len(metrics), 60 + len(metrics) * (70 + 22 * len(labels))),
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
    finish(
        figure,
        name=name,
        caption=caption,
        height=92 + len(metrics) * (70 + 22 * len(labels)),
        alt=f"{about} {' '.join(texts)}.",
    )
    return figure.update_layout(margin={"t": 72})  # the first title stands below the toolbar


def _gap(panels: int, height: int) -> float:
    """Spacing between panels, as make_subplots has it, that holds ticks and a title: 64 pixels."""
    return min(0.9 / max(1, panels - 1), 64 / (height - 96))


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
    """What is left of UNC3 and of each distance from fair once the method's mean is taken off: a run
    a point, a row a metric, a column a method (``ablations.by_run``).

    Both are in standard deviations of the method's runs, so that all panels share their axes and the
    line, with Pearson's correlation as its slope, tells how far they go together.
    """
    trained = runs[runs["method"] != UNTRAINED.method]
    methods = list(dict.fromkeys(trained.sort_values("lam")["method"]))
    methods.sort(key=lambda method: METHODS.index(method) if method in METHODS else len(METHODS))
    figure = _multiples(len(metrics), methods, vertical_spacing=0.04)
    for (i, metric), (k, method) in product(enumerate(metrics), enumerate(methods)):
        points = trained[trained["method"] == method].dropna(subset=["unc3", metric])
        _residuals(figure, points, metric, {"row": i + 1, "col": k + 1})
    for i, metric in enumerate(metrics):
        title = _label(metric).partition(" (")[0].replace(" ", "<br>", 1)
        figure.update_yaxes(title={"text": title, "font": {"size": 11}}, row=i + 1, col=1)
    limits = {"range": [-3.2, 3.2], "tickvals": [-2, 0, 2], "tickfont_size": 10}
    figure.update_xaxes(limits)
    figure.update_yaxes(limits)
    figure.update_xaxes(title={"text": "UNC3", "font": {"size": 11}}, row=len(metrics))
    figure.update_annotations(font_size=10)
    figure.update_layout(showlegend=False)
    finish(
        figure,
        name="fig-unc3-fairness",
        height=140 + 150 * len(metrics),
        alt=f"Scatter of {len(trained)} runs less the mean of their method, a column a method: distance from fair by "
        f"{', '.join(map(_label, metrics))} against UNC3.",
        caption="Does fairness follow uniformity within a method? Each point is one run less the mean of its method, in "
        "standard deviations of the method's runs: to the right is less uniform (UNC3 of gender words on GAP test), up is less "
        "fair. If fairness followed, the lines would rise; a flat line means that it does not. Circles: no NC3; diamonds: "
        "corrected; crosses: as released. Points beyond three standard deviations stand at the edge.",
    )
    return figure.update_layout(margin={"t": 60, "r": 8})


def _residuals(figure: go.Figure, points: pd.DataFrame, metric: str, place: dict) -> None:
    """One method and metric: its runs less their mean, in standard deviations, and their line."""
    x, distance = points["unc3"], METRICS[metric].distance(points[metric])
    if len(points) < 3 or not (x.std() and distance.std()):
        return
    left = [(values - values.mean()) / values.std() for values in (x, distance)]
    slope = float(left[0].corr(left[1]))
    method = points["method"].iloc[0]
    figure.add_scatter(
        x=[-3, 3],
        y=[-3 * slope, 3 * slope],
        mode="lines",
        hoverinfo="skip",
        line={"color": "rgba(127,127,127,.8)", "width": 2},
        **place,
    )
    labels = points["regularizer"] + ", λ " + points["lam"].map("{:g}".format)
    labels += ", seed " + points["seed"].map("{:g}".format)
    figure.add_scatter(
        x=left[0].clip(-3, 3),
        y=left[1].clip(-3, 3),
        mode="markers",
        name=method,
        text=labels,
        customdata=np.column_stack([x, distance]),
        marker={
            "color": _color(method),
            "size": 5,
            "opacity": 0.7,
            "symbol": _symbols(method, points["regularizer"]),
        },
        hovertemplate=f"{method}, %{{text}}: UNC3 %{{customdata[0]:.3f}}, %{{customdata[1]:.3g}}<extra></extra>",
        **place,
    )
