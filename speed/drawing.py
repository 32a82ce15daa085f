"""The figure of the benchmark ``scaling`` for the book's page."""

import json
import re

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book.figures.base import PALETTE, finish
from fairnc_book.site.plotly import figure_html
from fairnc_book.site.stills import picture

STILL = "../_static/speed.svg"  # as the page sees it
# what grows → title of its axis
GROWS = {"tokens": "tokens", "classes": "classes", "dimension": "dimensions"}


def figure(grown: dict[str, dict[str, tuple]]) -> go.Figure:
    """Seconds by size, a panel for what grows; both axes logarithmic (``results.grown``). What ran
    on a GPU is dashed.
    """
    drawn = make_subplots(1, len(GROWS), shared_yaxes=True, horizontal_spacing=0.04)
    colors, listed, exponents, every = {}, set(), [], []
    for device, case, curve in [
        (device, *item) for device, curves in grown.items() for item in curves.items()
    ]:
        points, *_, (fit,), _ = curve
        work, grows, fixed = re.fullmatch(r"(.+?) by (\w+), (.+)", case).groups()
        name, dash = (work, "solid") if device == "cpu" else (f"{work}, GPU", "dash")
        color = colors.setdefault(work, PALETTE[len(colors)])
        drawn.add_scatter(
            x=[row.at for row in points],
            y=[row.value for row in points],
            mode="lines+markers",
            name=name,
            legendgroup=name,
            showlegend=name not in listed,
            line={"color": color, "dash": dash},
            row=1,
            col=1 + list(GROWS).index(grows),
            hovertemplate=f"{name}, {fixed}<br>{grows} %{{x:,}}: %{{y:.3g}} s<extra></extra>",
        )
        listed.add(name)
        exponents.append(f"{name} by {grows} ({fixed}) {fit.value:.2f}")
        every += np.log10([row.value for row in points]).tolist()
    drawn.update_xaxes(type="log", dtick=1)
    for column, title in enumerate(GROWS.values(), 1):
        drawn.update_xaxes(title_text=title, col=column)
    # One range for all panels, written out: the still picture knows no matching axes.
    ends = {"range": [float(np.floor(min(every))), float(np.ceil(max(every)))]} if every else {}
    drawn.update_yaxes(type="log", dtick=1, **ends)
    drawn.update_layout(
        yaxis_title="seconds", legend={"orientation": "h", "y": -0.2, "yanchor": "top"}
    )
    return finish(
        drawn,
        name="fig-growth",
        alt="Seconds against size on logarithmic axes, in three panels. Fitted exponents: "
        + "; ".join(exponents)
        + ".",
        caption="Seconds while one size grows and the others stay: on processors summed over cores"
        + (", on a GPU (dashed) by the clock" if grown.get("cuda") else "")
        + ". On these axes a power of the size is a straight line, and its slope the exponent.",
    )


def html(grown: dict[str, dict[str, tuple]]) -> str:
    """The figure with its caption, as the page includes it."""
    content = json.loads(figure(grown).to_json())
    shown = figure_html(content, "speed-growth", STILL)
    caption = content["layout"]["meta"]["caption"]
    figcaption = f'<figcaption><p><span class="caption-text">{caption}</span></p></figcaption>'
    return f'<figure class="align-default">\n{shown}\n{figcaption}\n</figure>\n'


def still(grown: dict[str, dict[str, tuple]]) -> bytes:
    """The figure as a still picture (SVG)."""
    return picture(json.loads(figure(grown).to_json()))
