"""Where a classifier's bias comes from: slope by dose, upstream changes against their margin, gender's
part against NC1.
"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fairnc_book import tables
from fairnc_book.bias_source import BASE, BY_KEY, DOSED, MARGIN, UPSTREAM
from fairnc_book.figures.base import DASHED, PALETTE, error_bars, finish
from fairnc_utils.runs.rows import select

#: What an empty figure says.
NOT_RUN = "not recorded yet"


def _note(figure: go.Figure) -> None:
    figure.add_annotation(text=NOT_RUN, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)


def dose_response(answers: pd.DataFrame) -> go.Figure:
    """Slope of the counterfactual effect at each dose, a line a condition, and that of Bayes' rule."""
    figure, texts = go.Figure(), []
    rows = select(answers, question="dose", how="swap")
    for color, key in zip(PALETTE, DOSED, strict=False):
        slopes = select(rows, condition=key, metric="cf_slope").dropna(subset="value")
        if slopes.empty:
            continue
        label = BY_KEY[key].label
        figure.add_scatter(
            x=slopes["alpha"],
            y=slopes["value"],
            error_y=error_bars(slopes, thickness=1.5),
            name=label,
            mode="lines+markers",
            line={"color": color},
            hovertext=[_intervals(row) for _, row in slopes.iterrows()],
            hoverinfo="text+name",
        )
        texts += [
            f"{label} at {alpha:g}: {tables.number(value)}"
            for alpha, value in zip(slopes["alpha"], slopes["value"], strict=True)
        ]
    bayes = select(rows, condition=BASE, metric="bayes_slope").dropna(subset="value")
    if len(bayes):
        figure.add_scatter(
            x=bayes["alpha"],
            y=bayes["value"],
            name="Bayes' rule, gender and profession alone",
            mode="lines",
            line=DASHED | {"color": PALETTE[-1], "width": 2},
        )
    if not texts:
        _note(figure)
    figure.add_hline(y=0, line=DASHED)
    figure.update_xaxes(title="dose α of co-occurrence in the fine-tuning texts (1: as is)")
    figure.update_yaxes(title="slope, points a unit of log-odds")
    return finish(
        figure,
        name="fig-dose-response",
        alt=f"Slope of the counterfactual effect by dose. {'; '.join(texts) or NOT_RUN}.",
        caption="How the classifier's use of gender follows its fine-tuning texts. 95% intervals over seeds and professions; "
        "those over either alone are told on hovering. A flat line would be Steed et al., a line through the doses near 1 "
        "Baksi et al.",
    )


def _intervals(row: pd.Series) -> str:
    ends = {
        "seeds and professions": ("ci_low", "ci_high"),
        "seeds": ("seeds_low", "seeds_high"),
        "professions": ("units_low", "units_high"),
    }
    spans = [
        f"{name} [{tables.number(row[low])}, {tables.number(row[high])}]"
        for name, (low, high) in ends.items()
    ]
    return f"α = {row['alpha']:g}: {tables.number(row['value'])}; {'; '.join(spans)}"


def upstream(answers: pd.DataFrame) -> go.Figure:
    """Change of the slope by each upstream condition in percent of the slope it is compared with, and the
    margin within which it hardly matters.
    """
    figure, texts = go.Figure(), []
    rows = select(answers, question="upstream").dropna(subset="value")
    rows = rows[rows["compared"].notna()]
    share = 100 / rows["compared"].abs()
    scaled = rows.assign(**{name: rows[name] * share for name in ("value", "ci_low", "ci_high")})
    labels = [BY_KEY[key].label for key in scaled["condition"]]
    figure.add_scatter(
        x=scaled["value"],
        y=labels,
        error_x=error_bars(scaled, thickness=1.5),
        mode="markers",
        marker={"size": 9, "color": PALETTE[0]},
        showlegend=False,
        hovertext=[f"{row['word']}: {tables.interval(row)} %" for _, row in scaled.iterrows()],
        hoverinfo="text",
    )
    texts += [
        f"{label}: {tables.number(value)}%"
        for label, value in zip(labels, scaled["value"], strict=True)
    ]
    if not texts:
        _note(figure)
    figure.add_vrect(
        x0=-100 * MARGIN, x1=100 * MARGIN, fillcolor="rgba(127,127,127,.15)", line_width=0
    )
    figure.add_vline(x=0, line=DASHED)
    figure.update_xaxes(title="change of the slope, % of the slope that it is compared with")
    figure.update_yaxes(autorange="reversed")
    return finish(
        figure,
        name="fig-upstream",
        height=140 + 30 * len(UPSTREAM),
        alt=f"Change of the slope by what is done to the model before. {'; '.join(texts) or NOT_RUN}.",
        caption="What changing the model before fine-tuning does to the classifier's use of gender, with 95% intervals over "
        "seeds and professions. Grey: within a fifth of the slope, where a change hardly matters.",
    )


#: Panel → metric and its axis.
_PANELS = {
    "gender_eta2": "η², gender's share of the spread",
    "cf_rms": "size of the effects, points",
}
_SPLITS = {"train": "training texts", "test": "test texts"}


def class_collapse(runs: pd.DataFrame) -> go.Figure:
    """Gender's share and size of effects against NC1, a point a run, training and test texts
    (``bias_source.by_run``).
    """
    figure, texts = make_subplots(1, len(_PANELS), horizontal_spacing=0.12), []
    for column, (metric, title) in enumerate(_PANELS.items(), start=1):
        for color, (split, label) in zip(PALETTE, _SPLITS.items(), strict=False):
            part = runs[runs["split"] == split]
            if part.empty:
                continue
            figure.add_scatter(
                x=part["nc1"],
                y=part[metric],
                mode="markers",
                name=label,
                legendgroup=split,
                showlegend=column == 1,
                marker={
                    "color": color,
                    "size": 9,
                    "symbol": ["circle" if alpha else "circle-open" for alpha in part["alpha"]],
                },
                hovertext=[
                    f"{row.epochs:g} epochs, α = {row.alpha:g}, seed {row.seed}"
                    for row in part.itertuples()
                ],
                hoverinfo="text+name",
                row=1,
                col=column,
            )
            means = part.groupby("epochs")[["nc1", metric]].mean()
            texts += [
                f"{label}, {epochs:g} epochs: NC1 {tables.number(nc1)}, {title} {tables.number(y)}"
                for epochs, (nc1, y) in zip(means.index, means.to_numpy(), strict=True)
            ]
        figure.update_xaxes(title="NC1 of professions", type="log", row=1, col=column)
        figure.update_yaxes(title=title, rangemode="tozero", row=1, col=column)
    if not texts:
        _note(figure)
    return finish(
        figure,
        name="fig-class-collapse",
        alt=f"Gender's part against the collapse of professions. {'; '.join(texts) or NOT_RUN}.",
        caption="Does gender's part vanish as professions collapse? Each point is a run; epochs run from right to left. "
        "Filled: texts as they are; open: balanced texts.",
    )
