"""One style for all figures: palette, template, and what each figure says about itself."""

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

# Notebooks emit figures as data; JupyterLab and the book draw them, so no page carries a copy of
# plotly.js.
pio.renderers.default = "plotly_mimetype"

#: Okabe & Ito (2008), in the order in which series take them.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")

#: The same group has the same colour in every figure.
GROUP_COLORS = {
    "female": "#D55E00",
    "male": "#0072B2",
    "neutral": "#7F7F7F",
    "profession": "#009E73",
    "random": "#CC79A7",
    "matched": "#E69F00",
    "vocabulary": "#56B4E9",
    "gender": "#0072B2",
}

TEMPLATE = go.layout.Template(
    layout={
        "colorway": PALETTE,
        "font": {"size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 64, "r": 24, "t": 40, "b": 56},
        "hoverlabel": {"namelength": -1},
        "legend": {"title": {"text": ""}},
        "xaxis": {
            "gridcolor": "rgba(127,127,127,.25)",
            "zerolinecolor": "rgba(127,127,127,.5)",
            "automargin": True,
        },
        "yaxis": {
            "gridcolor": "rgba(127,127,127,.25)",
            "zerolinecolor": "rgba(127,127,127,.5)",
            "automargin": True,
        },
    }
)

#: Quiet lines: references, zero.
DASHED = {"dash": "dash", "color": "rgba(127,127,127,.8)", "width": 1}


def error_bars(rows: pd.DataFrame, **style) -> dict:
    """Error bars from the intervals of result rows, nothing where a row has none; ``style``:
    plotly's.
    """
    ends = {"array": rows["ci_high"] - rows["value"], "arrayminus": rows["value"] - rows["ci_low"]}
    return ends | style


def finish(figure: go.Figure, *, name: str, alt: str, caption: str, height: int = 420) -> go.Figure:
    """Give a figure the house style, its label, alternative text and caption (kept in
    ``layout.meta`` for the book).
    """
    return figure.update_layout(
        template=TEMPLATE, height=height, meta={"name": name, "alt": alt, "caption": caption}
    )
