"""One style for all figures: palette, template, and what each figure says about itself."""

import plotly.graph_objects as go
import plotly.io as pio

# Notebooks emit figures as data; JupyterLab and the book draw them, so no page carries a copy of plotly.js.
pio.renderers.default = "plotly_mimetype"

#: Okabe & Ito (2008), in the order in which series take them.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")

#: The same group has the same colour in every figure.
GROUP_COLORS = {
    "female": "#D55E00", "male": "#0072B2", "neutral": "#7F7F7F", "profession": "#009E73", "random": "#CC79A7",
    "matched": "#E69F00", "vocabulary": "#56B4E9", "gender": "#0072B2",
}  # fmt: skip

TEMPLATE = go.layout.Template(
    layout={
        "colorway": PALETTE, "font": {"size": 13}, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 64, "r": 24, "t": 40, "b": 56}, "hoverlabel": {"namelength": -1}, "legend": {"title": {"text": ""}},
        "xaxis": {"gridcolor": "rgba(127,127,127,.25)", "zerolinecolor": "rgba(127,127,127,.5)", "automargin": True},
        "yaxis": {"gridcolor": "rgba(127,127,127,.25)", "zerolinecolor": "rgba(127,127,127,.5)", "automargin": True},
    }
)  # fmt: skip


def finish(figure: go.Figure, *, name: str, alt: str, caption: str, height: int = 420) -> go.Figure:
    """Give a figure the house style, its label, alternative text and caption (kept in ``layout.meta`` for the book)."""
    return figure.update_layout(template=TEMPLATE, height=height, meta={"name": name, "alt": alt, "caption": caption})
