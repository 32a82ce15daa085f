"""The interactive pages: words with their contexts, runs side by side. Without scripts a figure or
table stands for them.
"""

import json

import pandas as pd
import plotly.graph_objects as go

from fairnc_book import tables
from fairnc_book.comparer import label, runs_data
from fairnc_book.figures.base import GROUP_COLORS, PALETTE, finish
from fairnc_book.numbers import NUMBER, WAY

#: Data of an interactive element of the book, drawn by a script of its own (``book/_static/<widget>.js``).
WIDGET_MIME = "application/vnd.fairnc.widget+json"

#: What stands where no script of the book runs: in JupyterLab, on paper.
ELSEWHERE = "The page of the book has fields to choose others."


class Widget:
    """An element that the book's script ``widget`` builds from ``data``; notebooks show
    ``instead``, a figure or a table.
    """

    def __init__(
        self, widget: str, data: dict, *, alt: str, instead: go.Figure | pd.io.formats.style.Styler
    ):
        text = json.dumps(
            data, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )  # a notebook gives each item a line
        self.content, self.instead = {"widget": widget, "alt": alt, "data": text}, instead

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if isinstance(self.instead, go.Figure):
            figure = self.instead.to_plotly_json()
            return {
                WIDGET_MIME: self.content | {"figure": figure},
                "application/vnd.plotly.v1+json": figure,
            }
        html = self.instead.to_html()
        return {WIDGET_MIME: self.content | {"html": html}, "text/html": html}


def word_explorer(data: dict) -> Widget:
    """Every measured word of every run (``explorer.words_data``): cosine by count, and contexts on
    a click.
    """
    run = data["runs"][0]
    cosine = dict(zip(data["measured"][run["measured"]], run["cosine"], strict=True))
    figure = go.Figure()
    for group in ("female", "male"):
        places = [
            i
            for i in data["lists"].get("gender", ())
            if data["groups"].get(data["words"][i]) == group and i in cosine
        ]
        figure.add_scatter(
            x=[data["counts"][i] for i in places],
            y=[cosine[i] for i in places],
            text=[data["words"][i] for i in places],
            mode="markers",
            name=group,
            marker={"color": GROUP_COLORS[group], "size": 8},
        )
    figure.update_layout(
        title={"text": f"Gender words of one run. {ELSEWHERE}", "font": {"size": 13}},
        xaxis={"title": "times seen (log)", "type": "log"},
        yaxis_title="cos(class mean, embedding)",
    )
    alt = f"Scatter of words of {data['corpus']}: cosine of class mean and embedding by the number of times a word was seen."
    # No caption: a numbered figure that is not seen would count.
    finish(figure, name="fig-explored", alt=alt, caption="")
    colors = {group: GROUP_COLORS[group] for group in ("female", "male")}
    colors |= {"others": GROUP_COLORS["profession"], "chosen": PALETTE[4]}
    return Widget("words", data | {"colors": colors}, alt=alt, instead=figure)


def run_comparer(table: pd.DataFrame, *, first: str = "base", second: str | None = None) -> Widget:
    """Two ways of training side by side on every number (``comparer.by_way``); at first ``first``
    and ``second``.

    Both are methods; ``second`` None: the first one with NC3. Until a reader chooses, and where no
    script runs, it is these.
    """
    data = runs_data(table)
    runs = data["runs"]
    start = next((i for i, run in enumerate(runs) if run["method"] == first), 0)
    wanted = [
        i
        for i, run in enumerate(runs)
        if (run["method"] == second if second else run["regularizer"] != "none")
    ]
    end = max(wanted or [start], key=lambda i: len(set(runs[i]["at"]) & set(runs[start]["at"])))
    pair = [
        table[(table[list(WAY)] == [runs[i][key] for key in WAY]).all(axis=1)] for i in (start, end)
    ]
    heads = [
        f"{letter}: {label(runs[i])} ({runs[i]['origin']})"
        for letter, i in zip("AB", (start, end), strict=True)
    ]
    both = pd.concat([rows.assign(run=head) for head, rows in zip(heads, pair, strict=True)])
    shared = both[both.duplicated(list(NUMBER), keep=False) | (start == end)]
    shared = shared[
        shared["benchmark"].isin(("collapse", "training")) & shared["axis"].isin(("gender", ""))
    ]
    instead = tables.pivot(
        shared, columns="run", caption=f"Two ways of training, side by side. {ELSEWHERE}"
    )
    alt = f"Numbers of {len(runs)} ways of training, two of them at a time, with their intervals."
    return Widget("runs", data | {"first": start, "second": end}, alt=alt, instead=instead)
