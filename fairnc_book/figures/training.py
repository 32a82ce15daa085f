"""Figures of training: learning curves."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import PALETTE, finish


def learning_curve(log: pd.DataFrame) -> go.Figure:
    """Training loss and held-out perplexity by step (columns ``step``, ``loss``,
    ``heldout_perplexity``).
    """
    held = log.dropna(subset="heldout_perplexity")
    figure = go.Figure()
    figure.add_scatter(x=log["step"], y=log["loss"], name="training loss (nats)", mode="lines")
    figure.add_scatter(
        x=held["step"],
        y=held["heldout_perplexity"],
        name="held-out perplexity",
        mode="lines+markers",
        yaxis="y2",
    )
    figure.update_layout(
        xaxis_title="step",
        yaxis_title="loss (nats per masked token)",
        legend={"orientation": "h", "y": 1.08},
        yaxis2={"title": "perplexity", "overlaying": "y", "side": "right", "showgrid": False},
    )
    last = held.iloc[-1]
    return finish(
        figure,
        name="fig-learning-curve",
        alt=f"Training loss falls over {int(log['step'].max())} steps; held-out perplexity ends at "
        f"{last['heldout_perplexity']:.1f}.",
        caption="Learning curve of the embedded model: loss on the training text (left axis) and masked perplexity on "
        "held-out text (right axis).",
    )


#: What a learning curve shows, one panel each.
CURVES = {
    "task": "task loss (nats)",
    "nc3": "NC3 of gender words",
    "unc3": "UNC3 of gender words",
    "masked_perplexity": "masked perplexity",
}


def training_curves(
    items: dict[str, pd.DataFrame], *, name: str, about: str, small: bool = False
) -> go.Figure:
    """Learning curves of several runs (label → items of ``runs.train``): task loss, NC3, UNC3,
    held-out perplexity. ``about``: which runs, as the caption's first sentence; ``small``: in a line.
    """
    columns = 4 if small else 2
    figure = make_subplots(
        rows=len(CURVES) // columns,
        cols=columns,
        subplot_titles=list(CURVES.values()),
        horizontal_spacing=0.06 if small else 0.1,
        vertical_spacing=0.16,
    )
    last = []
    for color, (label, table) in zip(PALETTE, items.items(), strict=False):
        for panel, metric in enumerate(CURVES):
            curve = table[table["unit"] == metric]
            figure.add_scatter(
                x=curve["item_id"].astype(int),
                y=curve["score_a"],
                mode="lines" if metric == "task" else "lines+markers",
                name=label,
                legendgroup=label,
                showlegend=panel == 0,
                line={"color": color, "width": 1.5},
                marker={"size": 4},
                row=panel // columns + 1,
                col=panel % columns + 1,
            )
            last.append(
                f"{label} {CURVES[metric]} ends at {tables.number(curve['score_a'].iloc[-1])}"
            )
    legend = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}
    figure.update_layout(legend=legend)
    figure.update_annotations(font_size=11 if small else 13)
    figure.update_yaxes(nticks=5)
    finish(
        figure,
        name=name,
        height=260 if small else 560,
        alt="Learning curves by step: " + "; ".join(last) + ".",
        caption=f"{about} Learning curves by training step: loss of the method itself, and on GAP validation the NC3 and UNC3 "
        "of gender words and masked perplexity. Step 0 is the untrained model.",
    )
    return figure.update_layout(margin={"t": 48, "b": 72})
