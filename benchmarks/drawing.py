"""The figure of the benchmark ``scaling`` for the book's page."""

import json
import re

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_utils.pictures import picture
from fairnc_utils.plots.base import PALETTE, finish
from fairnc_utils.sphinx_plotly import figure_html

STILL = "../_static/speed.svg"  # as the page sees it
GROWS = {"tokens": "tokens", "classes": "classes", "dimension": "dimensions"}  # what grows → title of its axis


def figure(curves: dict[str, tuple]) -> go.Figure:
    """Processor seconds by size, a panel for what grows; both axes logarithmic (curves of ``report.curves``)."""
    drawn = make_subplots(1, len(GROWS), shared_yaxes=True, horizontal_spacing=0.04)
    colors, told = {}, []
    for case, (points, _, (fit,), _) in curves.items():
        work, grows, fixed = re.fullmatch(r"(.+?) by (\w+), (.+)", case).groups()
        listed = work not in colors
        color = colors.setdefault(work, PALETTE[len(colors)])
        drawn.add_scatter(
            x=[row.at for row in points], y=[row.value for row in points], mode="lines+markers", name=work, legendgroup=work,
            showlegend=listed, line={"color": color}, row=1, col=1 + list(GROWS).index(grows),
            hovertemplate=f"{work}, {fixed}<br>{grows} %{{x:,}}: %{{y:.3g}} s<extra></extra>",
        )  # fmt: skip
        told.append(f"{work} by {grows} ({fixed}) {fit.value:.2f}")
    drawn.update_xaxes(type="log", dtick=1)
    for column, title in enumerate(GROWS.values(), 1):
        drawn.update_xaxes(title_text=title, col=column)
    # One range for all panels, written out: the still picture knows no matching axes.
    every = np.log10([row.value for points, *_ in curves.values() for row in points])
    ends = {"range": [float(np.floor(every.min())), float(np.ceil(every.max()))]} if len(every) else {}
    drawn.update_yaxes(type="log", dtick=1, **ends)
    drawn.update_layout(yaxis_title="processor seconds", legend={"orientation": "h", "y": -0.2, "yanchor": "top"})
    return finish(
        drawn, name="fig-growth",
        alt="Processor seconds against size on logarithmic axes, in three panels. Fitted exponents: " + "; ".join(told) + ".",
        caption="Processor seconds, summed over cores, while one size grows and the others stay. On these axes a power of the "
        "size is a straight line, and its slope the exponent.",
    )  # fmt: skip


def html(curves: dict[str, tuple]) -> str:
    """The figure with its caption, as the page includes it."""
    content = json.loads(figure(curves).to_json())
    shown = figure_html(content, "speed-growth", STILL)
    caption = content["layout"]["meta"]["caption"]
    told = f'<figcaption><p><span class="caption-text">{caption}</span></p></figcaption>'
    return f'<figure class="align-default">\n{shown}\n{told}\n</figure>\n'


def still(curves: dict[str, tuple]) -> bytes:
    """The figure as a still picture (SVG)."""
    return picture(json.loads(figure(curves).to_json()))
