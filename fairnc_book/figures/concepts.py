"""Concept vectors: the two biases over layers, and their agreement against NC3c over runs."""

import pandas as pd
import plotly.graph_objects as go

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, error_bars, finish
from fairnc_utils.runs.rows import Run

_LINES = {
    "nc3c": "NC3c of the words",
    "agreement": "means and embeddings",
    "follows_means": "means and what is said",
    "follows_embeddings": "embeddings and what is said",
    "follows_sentences": "sentences and what is said",
}


def concept_layers(run: Run) -> go.Figure:
    """NC3c, and rank correlations of the biases with each other and with the log-odds, by layer
    (``runs.concepts``).
    """
    figure, texts = go.Figure(), []
    for color, (metric, name) in zip(PALETTE, _LINES.items(), strict=False):
        rows = run.select(metric=metric).assign(number=lambda table: table["layer"].astype(int))
        rows = rows.sort_values("number")
        figure.add_scatter(
            x=rows["number"],
            y=rows["value"],
            error_y=error_bars(rows, thickness=1),
            name=name,
            mode="lines+markers",
            line={"color": color, "dash": "dot" if metric == "nc3c" else "solid"},
        )
        texts.append(f"{name}: {', '.join(map(tables.number, rows['value']))}")
    figure.add_hline(y=0, line=DASHED)
    figure.update_xaxes(title="layer after which the model would end", dtick=1)
    figure.update_yaxes(title="correlation; mean cosine of NC3c", range=[-1, 1])
    return finish(
        figure,
        name="fig-concept-layers",
        alt=f"By layer, from the first to the last. {'; '.join(texts)}.",
        caption="The bias of occupations by three kinds of concept vector. Solid: rank correlations over occupations, with 95% "
        "intervals. Dotted: NC3c of the words, which at 1 would bring means and embeddings together.",
    )


def proposition(runs: pd.DataFrame) -> go.Figure:
    """Distance of the two biases against NC3c, a run a point (``fairnc_book.concepts.by_run``)."""
    figure, texts = go.Figure(), []
    cells = runs["method"] + " " + runs["regularizer"].replace("none", "")
    for place, (cell, part) in enumerate(runs.groupby([runs["model"], cells], sort=False)):
        name = f"{cell[0].rpartition('/')[2]}, {cell[1].strip()}"
        figure.add_scatter(
            x=part["nc3c"],
            y=part["agreement_gap"],
            mode="markers",
            name=name,
            marker={
                "size": 9,
                "color": PALETTE[place % len(PALETTE)],
                "symbol": ("circle", "diamond", "square")[place // len(PALETTE) % 3],
            },
        )
        ends = part["nc3c"].mean(), part["agreement_gap"].mean()
        texts.append(f"{name}: NC3c {tables.number(ends[0])}, distance {tables.number(ends[1])}")
    figure.update_xaxes(title="NC3c of the words (ideal 1 →)")
    figure.update_yaxes(title="mean distance of the two biases (ideal 0 ↓)", rangemode="tozero")
    return finish(
        figure,
        name="fig-proposition",
        alt=f"Distance of the biases by means and by embeddings against NC3c. {'; '.join(texts)}.",
        caption="Does the bias by class means come nearer to the bias by embeddings as NC3c rises? A run a point. At NC3c = 1 "
        "the distance is 0 by the proposition.",
    )
