"""Words before and after training: maps of several models in one plane, arrows, and angles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import word_maps
from fairnc_book.figures.base import GROUP_COLORS, PALETTE, finish

#: Words that stand by name on a map, where it has them.
LABELLED = (
    *("she", "he", "woman", "man", "mother", "father", "king", "queen"),
    *("nurse", "doctor", "teacher", "lawyer", "actor", "actress"),
)

#: Groups whose words stand as faint points.
FAINT = ("neutral",)

#: Colour of a cosine, low to high, told on a light and on a dark page.
COSINES = {
    "colorscale": "Viridis",
    "colorbar": {
        "title": {"text": "cosine", "side": "top"},
        "orientation": "h",
        "thickness": 10,
        "len": 0.7,
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
    },
}

_HIDDEN = {"showticklabels": False, "zeroline": False, "showgrid": False}


def labelled_traces(points: pd.DataFrame) -> list[go.Scatter]:
    """One model's words on a map, from columns ``x``, ``y``, ``cosine``, ``unit``, ``axis``,
    ``kind`` (mean or embedding): neutral words faint, the others coloured by their cosine, a dozen
    by name.
    """
    faint = points["axis"].isin(FAINT)
    means, rows = points["kind"] == "mean", points["kind"] == "embedding"
    grey = {"color": "rgba(127,127,127,.35)", "size": 5}
    hover = "%{text}: cosine %{customdata:.3f}<extra></extra>"
    traces = [_points(points[faint & means], grey, hover, "neutral words")]
    for chosen, symbol, name in (
        (rows, "circle-open", "word embedding"),
        (means, "circle", "class mean"),
    ):
        shown = points[~faint & chosen]
        marker = {"color": shown["cosine"], "coloraxis": "coloraxis", "symbol": symbol}
        traces.append(_points(shown, marker | {"size": 7}, hover, name))
    named = points[means & points["unit"].isin(LABELLED)]
    traces.append(
        go.Scatter(
            x=named["x"].round(3),
            y=named["y"].round(3),
            mode="text",
            text=named["unit"],
            # he and she lie so near to each other that one name stands above and one below
            textposition=named["axis"].map({"male": "bottom center"}).fillna("top center"),
            textfont={"size": 11},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    return traces


def _points(shown: pd.DataFrame, marker: dict, hover: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=shown["x"].round(3),
        y=shown["y"].round(3),
        mode="markers",
        marker=marker,
        text=shown["unit"],
        customdata=shown["cosine"].round(3),
        hovertemplate=hover,
        name=name,
        legendgroup=name,
    )


def word_maps_of_models(items: pd.DataFrame) -> go.Figure:
    """UMAP of the words in every model, a panel a model, all in one embedding (items of
    ``runs.trajectory``).
    """
    points = word_maps.points(items, "umap").drop_duplicates(["model", "token", "kind"])
    names = list(dict.fromkeys(points["model"]))
    depth = -(-len(names) // 2)
    figure = make_subplots(
        depth,
        2,
        subplot_titles=[_short(name) for name in names],
        horizontal_spacing=0.03,
        vertical_spacing=0.07,
    )
    before = points[(points["model"] == names[0]) & (points["kind"] == "mean")].set_index("token")
    for i, name in enumerate(names):
        of_model = points[points["model"] == name]
        place = {"row": i // 2 + 1, "col": i % 2 + 1}
        after = of_model[of_model["kind"] == "mean"].set_index("token")
        way = segments(before.loc[after.index], after)
        figure.add_trace(way.update(name="way from untrained", showlegend=i == 1), **place)
        for trace in labelled_traces(of_model):
            listed = i == 0 and trace.mode == "markers"
            figure.add_trace(trace.update(showlegend=listed), **place)
    figure.update_xaxes(range=_range(points["x"]), **_HIDDEN)
    figure.update_yaxes(range=_range(points["y"]), **_HIDDEN)
    legend = {"orientation": "h", "y": -0.02, "yanchor": "top"}
    figure.update_layout(coloraxis=COSINES, legend=legend)
    median = points[points["kind"] == "mean"].groupby("model", sort=False)["cosine"].median()
    finish(
        figure,
        name="fig-word-maps",
        height=210 + 330 * depth,
        alt=f"UMAP of {len(before)} words in {len(names)} models, one panel each, all in one embedding. Median cosine: "
        + "; ".join(f"{name} {median[name]:.2f}" for name in names)
        + ".",
        caption="The same words in every model, in one UMAP. Brighter words have a class mean nearer to the direction of "
        "their embedding. Grey lines lead from a word's place in the untrained model: long lines on a UMAP are no proof of a "
        "large move, as the finding below says.",
    )
    figure.update_annotations(font_size=12)
    return figure.update_layout(margin={"t": 60, "l": 8, "r": 8, "b": 150})


def _short(name: str) -> str:
    """A model's name that fits above half a phone: + NC3."""
    return name.removeprefix("debiased ")


def segments(before: pd.DataFrame, after: pd.DataFrame) -> go.Scatter:
    """A grey line from each place to the other."""
    gap = np.full(len(before), np.nan)
    x, y = (
        np.stack([before[c].to_numpy(), after[c].to_numpy(), gap], 1).round(3).ravel() for c in "xy"
    )
    return go.Scatter(
        x=x, y=y, mode="lines", hoverinfo="skip", line={"color": "rgba(127,127,127,.6)", "width": 1}
    )


def arrows(items: pd.DataFrame, *, stretch: float = 5) -> go.Figure:
    """How far class means of gender words move in training, as arrows in one PCA, a panel a
    regularizer (items of ``runs.trajectory``). ``stretch``: arrows are so many times as long as the way.
    """
    points = word_maps.gendered(word_maps.points(items, "pca"))
    points = points[points["kind"] == "mean"]
    panels, last = list(dict.fromkeys(points["regularizer"])), points["step"].max()
    titles = [_short(word_maps.name(panel)) for panel in panels]
    figure = make_subplots(1, len(panels), subplot_titles=titles, horizontal_spacing=0.03)
    ways, reached = [], [points]
    for column, panel in enumerate(panels, 1):
        shown = points[points["regularizer"] == panel].set_index("token")
        before = shown[shown["step"] == 0]
        after = shown[shown["step"] == last].loc[before.index]
        ends = before.assign(**{c: before[c] + stretch * (after[c] - before[c]) for c in "xy"})
        reached.append(ends)
        ways.append(np.hypot(after["x"] - before["x"], after["y"] - before["y"]).median())
        for group in dict.fromkeys(before["axis"]):
            of_group = before["axis"] == group
            line = segments(before[of_group], ends[of_group])
            marker = {"symbol": "arrow", "angleref": "previous", "size": [0, 9, 0] * of_group.sum()}
            style = {"color": GROUP_COLORS.get(group, PALETTE[-1]), "width": 1.5}
            line.update(mode="lines+markers", marker=marker, line=style, name=group)
            line.update(legendgroup=group, showlegend=column == 1)
            figure.add_trace(line, row=1, col=column)
        named = before[before["unit"].isin(LABELLED)]
        side = named["axis"].map({"male": "bottom center"}).fillna("top center")
        text = {"mode": "text", "textposition": side, "textfont": {"size": 11}}
        figure.add_scatter(
            x=named["x"],
            y=named["y"],
            text=named["unit"],
            hoverinfo="skip",
            showlegend=False,
            **text,
            row=1,
            col=column,
        )
    drawn = pd.concat(reached)
    figure.update_xaxes(range=_range(drawn["x"]), **_HIDDEN)
    figure.update_yaxes(range=_range(drawn["y"]), **_HIDDEN)
    figure.update_layout(legend={"orientation": "h", "y": -0.03, "yanchor": "top"})
    finish(
        figure,
        name="fig-arrows",
        height=470,
        alt=f"Arrows of {points['token'].nunique()} gender words over {last} training steps in one PCA. Median way: "
        + "; ".join(f"{t} {way:.3f}" for t, way in zip(titles, ways, strict=True))
        + ".",
        caption=f"Where class means go in {last:,} training steps. Each arrow is {stretch:g} times as long as the way, or "
        "none could be seen. PCA never stretches a distance, so a long arrow is a real move; a short one may hide a move "
        "in the directions that PCA leaves out.",
    )
    return figure.update_layout(margin={"t": 60, "l": 8, "r": 8})


def angles(items: pd.DataFrame) -> go.Figure:
    """Each gender word's angle between class mean and embedding, before and after training, sorted
    (items of ``runs.trajectory``). Ideal at self-duality: 0 degrees.
    """
    points = word_maps.degrees(items)
    last = points["step"].max()
    start = points[points["step"] == 0].drop_duplicates("token").set_index("unit")["degrees"]
    start = start.sort_values(ascending=False)
    ends = {
        panel: rows.set_index("unit")["degrees"].loc[start.index]
        for panel, rows in points[points["step"] == last].groupby("regularizer", sort=False)
    }
    figure, order = go.Figure(), list(start.index)
    for k, end in enumerate(ends.values()):
        gap = np.full(len(end), np.nan)
        figure.add_scatter(
            x=np.stack([start, end, gap], 1).round(2).ravel(),
            y=np.repeat(order, 3),
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            line={"color": PALETTE[k], "width": 2},
        )
    figure.add_scatter(
        x=start.round(2),
        y=order,
        mode="markers",
        name="before",
        marker={"color": "#8a8a8a", "symbol": "circle-open", "size": 7, "line": {"width": 2}},
        hovertemplate="%{y}, before: %{x:.1f}°<extra></extra>",
    )
    for k, (panel, end) in enumerate(ends.items()):
        label = f"after, {word_maps.name(panel)}"
        figure.add_scatter(
            x=end.round(2),
            y=order,
            mode="markers",
            name=label,
            marker={"color": PALETTE[k], "size": 7},
            hovertemplate=f"%{{y}}, {label}: %{{x:.1f}}°<extra></extra>",
        )
    figure.update_xaxes(title="degrees between class mean and embedding (0: self-dual)")
    figure.update_yaxes(type="category", tickfont={"size": 10}, dtick=1, range=[-1, len(order)])
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"})
    changes = "; ".join(
        f"{word_maps.name(panel)} {(end - start).median():+.1f} degrees (median)"
        for panel, end in ends.items()
    )
    return finish(
        figure,
        name="fig-angles",
        height=170 + 14 * len(order),
        alt=f"Angle of {len(order)} gender words before and after {last} training steps. Change: {changes}.".replace(
            "-", "−"
        ),
        caption=f"Every word's angle before and after {last:,} training steps, sorted by the angle before. Points left of the "
        "open circle have come closer to their embedding, those to its right have left it.",
    )


def _range(values: Sequence[float]) -> list[float]:
    margin = 0.08 * (max(values) - min(values))
    return [min(values) - margin, max(values) + margin]
