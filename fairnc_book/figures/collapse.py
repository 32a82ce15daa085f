"""Figures of collapse: the toy explorer, cosines by word, control draws, maps."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fairnc_book import tables
from fairnc_book.figures.base import GROUP_COLORS, PALETTE, error_bars, finish
from fairnc_book.figures.trajectory import COSINES, FAINT, labelled_traces, segments
from fairnc_utils import projection

#: What the explorer shows, under labels short enough for a narrow screen.
TOY_METRICS = {
    "nc1": "NC1",
    "nc2_equinorm": "equinorm",
    "nc2_equiangular": "equiangular",
    "nc3": "NC3",
    "unc3": "UNC3",
}


def collapse_explorer(*, steps: int = 11) -> go.Figure:
    """Three toy classes with a slider from full collapse to none, and what each NC number says at
    every step.
    """
    figure, settings = go.Figure(), []
    for step, distance in enumerate(np.linspace(0, 1, steps)):
        samples, means, rows, values = projection.toy_collapse(float(distance))
        for c in range(3):
            points = {
                "marker": {"color": PALETTE[c], "size": 6, "opacity": 0.5},
                "mode": "markers",
                "visible": step == 0,
            }
            figure.add_scatter(
                x=samples[c, :, 0], y=samples[c, :, 1], name="sample", showlegend=c == 0, **points
            )
            centre = {
                "color": PALETTE[c],
                "size": 13,
                "symbol": "diamond",
                "line": {"width": 1, "color": "white"},
            }
            figure.add_scatter(
                x=means[c : c + 1, 0],
                y=means[c : c + 1, 1],
                mode="markers",
                marker=centre,
                name="class mean",
                showlegend=c == 0,
                visible=step == 0,
            )
            figure.add_scatter(
                x=[0, 1.3 * rows[c, 0]],
                y=[0, 1.3 * rows[c, 1]],
                mode="lines",
                line={"color": PALETTE[c], "width": 3},
                name="classifier row",
                showlegend=c == 0,
                visible=step == 0,
            )
        said = [
            f"{label} {float(getattr(values, metric)):.2f}" for metric, label in TOY_METRICS.items()
        ]
        shown = " · ".join(said[:3]) + "<br>" + " · ".join(said[3:])  # two lines: a phone is narrow
        visible = [i // 9 == step for i in range(9 * steps)]
        change = [{"visible": visible}, {"annotations[0].text": shown}]
        settings.append({"label": f"{distance:.1f}", "method": "update", "args": change})
    axis = {"range": [-2, 2], "zeroline": False, "showticklabels": False}
    figure.update_layout(
        sliders=[
            {
                "steps": settings,
                "currentvalue": {"prefix": "distance from collapse: "},
                "pad": {"t": 52},
            }
        ],
        xaxis=axis,
        yaxis=axis | {"scaleanchor": "x"},
    )
    figure.add_annotation(
        text=settings[0]["args"][1]["annotations[0].text"],
        x=0.5,
        y=0,
        xref="paper",
        yref="paper",
        yanchor="top",
        yshift=-4,
        showarrow=False,
    )
    return finish(
        figure,
        name="fig-explorer",
        height=560,
        alt="Three classes in the plane. At distance 0 each class is one point, the three means are 120 degrees apart and "
        "each classifier row passes through its mean; moving the slider scatters the samples and turns the rows.",
        caption="What the numbers mean: move the slider away from collapse and watch the samples spread (NC1 grows), the means "
        "lose equal lengths and angles (NC2 grows), and the classifier rows leave their means (NC3 falls, UNC3 grows).",
    )


def cosines_by_list(items: pd.DataFrame) -> go.Figure:
    """The NC3 cosine of every class by word list, as one row of points a list (items of
    ``study.measure``).
    """
    classes, figure = items[items["benchmark"] == "collapse"], go.Figure()
    for name in dict.fromkeys(classes["axis"]):
        listed = classes[classes["axis"] == name]
        figure.add_box(
            x=listed["score_a"],
            name=f"{name} ({len(listed)})",
            boxpoints="all" if len(listed) < 1000 else False,
            jitter=0.6,
            pointpos=0,
            marker={"size": 4, "opacity": 0.6},
            line={"width": 1.5},
            fillcolor="rgba(0,0,0,0)",
            line_color=GROUP_COLORS.get(name, PALETTE[-1]),
            text=listed["unit"],
            customdata=listed["score_b"],
            hovertemplate="%{text}: cosine %{x:.3f}, seen %{customdata:,.0f} times<extra></extra>",
        )
    figure.update_layout(xaxis_title="cos(class mean − global mean, embedding)", showlegend=False)
    figure.update_yaxes(autorange="reversed")
    return finish(
        figure,
        name="fig-cosines",
        alt="Box plots of the NC3 cosine by word list: " + _medians(classes),
        caption="The NC3 cosine of every class, by word list (number of classes in brackets). NC3 is the mean of a row of "
        "points, UNC3 its standard deviation. Hover for the word and its count.",
    )


def _medians(classes: pd.DataFrame) -> str:
    medians = classes.groupby("axis", sort=False)["score_a"].median()
    return ", ".join(f"{name} median {value:.2f}" for name, value in medians.items()) + "."


def control_draws(items: pd.DataFrame, results: pd.DataFrame) -> go.Figure:
    """Where gender words stand among random and frequency-matched word lists of the same size (NC3
    against UNC3).
    """
    figure = go.Figure()
    for kind in ("random", "matched"):
        drawn = items[(items["benchmark"] == "collapse_draws") & (items["axis"] == kind)]
        figure.add_scatter(
            x=drawn["score_a"],
            y=drawn["score_b"],
            mode="markers",
            name=f"{kind} words",
            marker={"color": GROUP_COLORS[kind], "size": 6, "opacity": 0.6},
        )
    gender = results[(results["words"] == "gender") & (results["variant"] == "corrected")]
    gender = gender[gender["min_count"] == results["min_count"].iloc[0]]
    nc3, unc3 = tables.one(gender, metric="nc3"), tables.one(gender, metric="unc3")
    figure.add_scatter(
        x=[nc3["value"]],
        y=[unc3["value"]],
        mode="markers",
        name="gender words",
        marker={"color": GROUP_COLORS["gender"], "size": 14, "symbol": "star"},
        error_x=error_bars(nc3.to_frame().T),
        error_y=error_bars(unc3.to_frame().T),
    )
    figure.update_layout(
        xaxis_title="NC3 (higher: better aligned)", yaxis_title="UNC3 (lower: more uniform)"
    )
    return finish(
        figure,
        name="fig-draws",
        alt=f"Each point is a control word list. Gender words: NC3 {nc3['value']:.3f}, UNC3 {unc3['value']:.3f}.",
        caption="Gender words among control lists of the same size: random words, and words of the same frequencies. The star "
        "is the gender list with its 95% intervals over words.",
    )


def embedding_map(items: pd.DataFrame, method: str) -> go.Figure:
    """Class means (filled) and word embeddings (open) in one plane, joined by word, coloured by
    their cosine; neutral words faint, a dozen words by name (items of ``study.geometry``).
    """
    points = items[items["benchmark"] == method]
    points = points.rename(columns={"score_a": "x", "score_b": "y", "score_c": "cosine"})
    points = points.assign(kind=points["item_id"].str.rpartition(":")[2])
    shown = points[~points["axis"].isin(FAINT)]
    means, rows = (
        shown[shown["kind"] == kind].reset_index(drop=True) for kind in ("mean", "embedding")
    )
    figure = go.Figure(segments(means, rows).update(name="same word"))
    figure.add_traces(labelled_traces(points))
    hidden = {"showticklabels": False, "title": "", "zeroline": False, "showgrid": False}
    figure.update_layout(
        xaxis=hidden,
        yaxis=hidden,
        coloraxis=COSINES,
        legend={"orientation": "h", "y": -0.02, "yanchor": "top"},
    )
    label = {"umap": "UMAP", "pca": "PCA"}[method]
    words = int((points["kind"] == "mean").sum())
    finish(
        figure,
        name=f"fig-{method}",
        height=660,
        alt=f"{label} map of {words} words: class means and word embeddings, coloured by their cosine.",
        caption=f"{label} of class means (filled) and word embeddings (open), joined by word. Brighter words have a mean "
        "nearer to the direction of their embedding; at self-duality every line would have length 0. Hover for word and "
        "cosine; click the legend to hide a part.",
    )
    return figure.update_layout(margin={"b": 150})
