"""The chapter of tables as figures: each method without NC3 and with it, beside the base model."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.figures.base import DASHED, PALETTE, finish

#: Regularizer → name, colour, marker and place beside the method's line.
_FORMS = {
    "none": ("without NC3", PALETTE[0], "circle", 0.22),
    "corrected": ("NC3 corrected", PALETTE[1], "diamond", 0.0),
    "as_released": ("NC3 as released", PALETTE[2], "x", -0.22),
}


def origins(table: pd.DataFrame, *, name: str, caption: str, number: int = 2) -> go.Figure | None:
    """Recorded values of the ``number`` measures that have most of them, a panel each: a line a
    method, a mark a regularizer, dashed the base model (``paper_tables.table``); None where nothing
    is recorded.
    """
    there = table[table["recorded"].notna()]
    counts = there["measure"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    measures = list(counts[counts > 1].index[:number])
    if not measures:
        return None
    trained = there[there["measure"].isin(measures) & (there["method"] != "base")]
    methods = list(dict.fromkeys(trained["method"]))[::-1]
    figure = make_subplots(
        1,
        len(measures),
        subplot_titles=[_wrapped(measure) for measure in measures],
        shared_yaxes=True,
        horizontal_spacing=0.06,
    )
    told = []
    for column, measure in enumerate(measures, 1):
        rows = there[there["measure"] == measure]
        for form, (label, color, symbol, offset) in _FORMS.items():
            shown = rows[(rows["regularizer"] == form) & (rows["method"] != "base")]
            shown = shown.astype(
                dict.fromkeys(("recorded", "recorded_low", "recorded_high"), float)
            )
            figure.add_scatter(
                x=shown["recorded"],
                y=[methods.index(method) + offset for method in shown["method"]],
                error_x={
                    "array": shown["recorded_high"] - shown["recorded"],
                    "arrayminus": shown["recorded"] - shown["recorded_low"],
                    "thickness": 1,
                    "width": 2,
                },
                mode="markers",
                name=label,
                legendgroup=label,
                showlegend=column == 1,
                marker={"color": color, "symbol": symbol, "size": 8},
                text=shown["method"] + ", " + label,
                hovertemplate="%{text}: %{x:.4g}<extra></extra>",
                row=1,
                col=column,
            )
        for base in rows[rows["method"] == "base"]["recorded"]:
            figure.add_vline(x=base, line=DASHED, row=1, col=column)
            told.append(f"{measure}: base {tables.number(base)}")
        figure.update_xaxes(nticks=5, row=1, col=column)
    figure.update_yaxes(
        tickvals=list(range(len(methods))), ticktext=methods, range=[-0.6, len(methods) - 0.4]
    )
    figure.update_annotations(font_size=12)
    figure.update_layout(
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0}
    )
    finish(
        figure,
        name=f"fig-table-{name}",
        alt=f"Dots of {len(methods)} methods by regularizer. {'; '.join(told) or 'No base model is recorded'}.",
        caption=caption,
        height=170 + 34 * len(methods),
    )
    return figure.update_layout(margin={"t": 66, "l": 8, "r": 12, "b": 76})


def _wrapped(label: str) -> str:
    """A label in lines that fit half a narrow screen."""
    return label.replace(", ", "<br>", 1)
