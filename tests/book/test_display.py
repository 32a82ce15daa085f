"""Tables and figures: what a reader sees comes from result rows, with alternative text and
captions.
"""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from fairnc_book import figures, tables
from fairnc_book.site.stills import picture
from fairnc_utils import runs
from fairnc_utils.errors import FairNCError


@pytest.fixture(scope="module")
def run():
    return runs.measure(model="random", device="cpu", texts=60, min_counts=(3,), draws=3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.57812, "0.578"),
        (140.2, "140"),
        (1506, "1506"),
        (-0.0867, "−0.0867"),
        (0, "0.00"),
        (0.0004, "4.00e−04"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_digits_and_a_true_minus(value, shown):
    assert tables.number(value) == shown


def test_tables_show_every_value_with_its_interval(run):
    main = run.select(variant="corrected")
    html = tables.pivot(main, columns="words", caption="Collapse.").to_html()
    row = tables.one(main, words="gender", metric="nc3")
    value, _, bounds = tables.interval(row).partition(" ")
    assert f"{value}<br><small>{bounds}</small>" in html
    assert "<caption>Collapse.</caption>" in html
    assert "nan" not in html
    with pytest.raises(FairNCError, match="exactly one"):
        tables.one(main, words="gender")


def test_sparklines_stand_on_one_scale_and_say_what_they_show():
    rows = pd.DataFrame(
        {
            "metric": "log_ratio",
            "axis": ["gender", "race", "religion"],
            "value": [1.0, -2.0, 3.0],
            "ci_low": [-1.0, -3.0, 2.0],
            "ci_high": [3.0, -1.0, 5.0],
            "n": 9,
        }
    )
    show = {"metrics": ["log_ratio"], "caption": ""}
    html = tables.by_axis(rows, sparks=[tables.Sparks(("log_ratio",), reference=0)], **show)
    html = html.to_html()
    said = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert said == [
        f"Interval {where} 0.00, on a scale from −3.00 to 5.00"
        for where in ("holds", "below", "above")
    ]
    across = 120 - 2 * 6  # the ends of the scale: −3 and 5
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', html)]
    assert places == pytest.approx([6 + across * (x + 3) / 8 for x in (1, -2, 3)])
    assert html.count("stroke-dasharray") == 3  # zero, in each
    assert "<svg" not in tables.by_axis(rows, **show).to_html()


def test_a_task_is_drawn_beside_its_floor():
    rows = pd.DataFrame(
        {
            "benchmark": "sst2",
            "corpus": "SST-2",
            "split": "validation",
            "metric": ["accuracy", "majority_accuracy"],
            "value": [80.0, 51.0],
            "ci_low": [75.0, np.nan],
            "ci_high": [85.0, np.nan],
            "n": 100,
        }
    )
    html = tables.tasks(rows, {}, caption="").to_html()
    assert 'aria-label="Interval above 51.0, on a scale from 0.00 to 100"' in html


def test_a_column_of_words_stands_left_with_its_head():
    table = tables.plain(pd.DataFrame({"a": ["x"], "b": ["y"], "c": [1]}), caption="")
    html = tables.left(table, "b").to_html()
    aligned = re.findall(r"#T_\w+?_(row0_col\d|level0_col\d) {\s+text-align: left;", html)
    assert sorted(aligned) == ["level0_col1", "row0_col1"]


def test_word_report_says_why(run):
    html = tables.word_report(run.provenance["evidence"]["words"], caption="Words.").to_html()
    assert "abbesses (not a single token)" in html


@pytest.fixture(scope="module")
def drawn(run):
    rng = np.random.default_rng(0)
    classes = pd.DataFrame(
        {
            "benchmark": "collapse",
            "axis": ["female", "male"] * 5,
            "item_id": [str(i) for i in range(10)],
            "unit": [f"w{i}" for i in range(10)],
            "score_a": rng.random(10),
            "score_b": 12.0,
            "score_c": 1.0,
        }
    )
    maps = [
        classes.assign(benchmark="umap", item_id=classes["item_id"] + f":{kind}")
        for kind in ("mean", "embedding")
    ]
    log = pd.DataFrame(
        {"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "heldout_perplexity": [np.nan, np.nan, 20.0]}
    )
    scores = pd.DataFrame(
        {
            "metric": "SS",
            "axis": ["gender", "race"],
            "method": "base",
            "value": [55.0, 52.0],
            "ci_low": [51.0, 49.0],
            "ci_high": [59.0, 55.0],
        }
    )
    return [
        figures.collapse_explorer(steps=3),
        figures.cosines_by_list(run.items),
        figures.control_draws(run.items, run.results),
        figures.embedding_map(pd.concat([classes, *maps]), "umap"),
        figures.learning_curve(log),
        figures.intervals(scores, metric="SS", name="fig-ss", caption="SS.", reference=50),
    ]


def test_every_figure_has_a_label_a_caption_and_alternative_text(drawn):
    names = [figure.layout.meta["name"] for figure in drawn]
    assert len(set(names)) == len(names)
    for figure in drawn:
        assert len(figure.layout.meta["alt"]) > 40
        assert figure.layout.meta["caption"].endswith(".")
        assert figure.data


def test_explorer_shows_one_step_at_a_time(drawn):
    explorer = drawn[0]
    steps = explorer.layout.sliders[0].steps
    assert len(steps) == 3
    for i, step in enumerate(steps):
        shown = step.args[0]["visible"]
        assert shown == [k // 9 == i for k in range(27)]
    assert "NC3 1.00" in steps[0].args[1]["annotations[0].text"]


def test_intervals_are_drawn_as_error_bars(drawn):
    (points,) = drawn[-1].data
    assert list(points.error_x.array) == [4.0, 3.0]
    assert list(points.error_x.arrayminus) == [4.0, 3.0]


# Still pictures


def still(figure) -> str:
    return picture(figure.to_plotly_json()).decode()


def test_every_figure_can_be_a_still_picture(drawn):
    for figure in drawn:
        svg = still(figure)
        assert svg.count("<use") + svg.count("<path") + svg.count("<image") > 10
        assert svg == still(figure)  # the same in every build


INK = {"color": "#123456"}


@pytest.mark.parametrize(
    ("trace", "ink"),
    [
        (go.Bar(x=["a", "b"], y=[1, 2], error_y={"array": [0.1, 0.2]}, marker=INK), "#123456"),
        (go.Bar(y=["a", "b"], x=[1, 2], orientation="h", marker=INK), "#123456"),
        (go.Histogram(x=[1, 2, 2, 3], marker=INK), "#123456"),
        (go.Violin(y=[1, 2, 3, 9], line=INK), "#123456"),
        (go.Heatmap(z=[[1, 2], [3, 4]], x=["a", "b"], y=["c", "d"]), "<image"),
        (
            go.Scattergl(
                x=[1, 2],
                y=[3, 4],
                mode="markers",
                marker={"color": [1, 5], "symbol": ["x", "star-open"]},
            ),
            "#440154",
        ),
        (go.Scatter(x=[1, 2, None], y=[3, 4, 3], mode="lines+markers", line=INK), "#123456"),
        (
            go.Scatter(x=[1, 2, 2], y=[3, 4, 3], fill="toself", fillcolor="rgba(18,52,86,.5)"),
            "#123456",
        ),
    ],
)
def test_every_kind_of_trace_is_drawn(trace, ink):
    assert ink in still(go.Figure(trace))
    assert ink not in still(
        go.Figure([go.Scatter(x=[0], y=[0], mode="none"), trace.update(visible=False)])
    )


def test_a_picture_shows_what_the_figure_shows_at_first():
    figure = go.Figure(
        [
            go.Scatter(x=[1, 2], y=[1, 2], name=name, visible=seen)
            for name, seen in (
                ("one", True),
                ("two", True),
                ("hidden", False),
                ("waiting", "legendonly"),
            )
        ]
    )
    figure.add_vline(x=1.5).add_annotation(
        text="<b>a note</b>", x=0.5, y=1, xref="paper", yref="paper", showarrow=False
    )
    figure.update_layout(yaxis={"type": "log", "title": "up"}, xaxis={"range": [0, 3]})
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", still(figure))
    assert {"one", "two", "up", "a note"} <= set(texts)
    assert not {"hidden", "waiting"} & set(texts)


def test_a_trace_that_cannot_be_drawn_is_named():
    with pytest.raises(FairNCError, match="no picture of a trace of type pie"):
        still(go.Figure(go.Pie(values=[1, 2])))
