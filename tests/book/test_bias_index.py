"""An index of bias: ranks are those of plain loops; what is better in all is always first, what trades is not, and what
all methods share moves no rank.
"""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import bias_index
from fairnc_book.numbers import Numbers

TABLE = pd.DataFrame(
    {"a": [0.2, 1.0, 0.4, 1.1], "b": [0.1, 0.4, 1.0, 1.2]},
    index=["best", "good at b", "good at a", "worst"],
)


def test_ranks_equal_plain_loops():
    order = bias_index.ranks(TABLE, draws=50, seed=3)
    weights = np.random.default_rng(3).dirichlet(np.ones(2), 50)
    for row, (first, second) in zip(order, weights, strict=True):
        index = {
            name: first * TABLE.loc[name, "a"] + second * TABLE.loc[name, "b"]
            for name in TABLE.index
        }
        expected = [
            1 + sum(other < index[name] for other in index.values()) for name in TABLE.index
        ]
        assert row.tolist() == expected


def test_what_is_better_in_all_is_first_and_what_trades_is_second_half_of_the_time():
    order = bias_index.ranks(TABLE)
    rows = bias_index.summary(TABLE, order).set_index("method")
    assert rows.loc["best", ["rank", "first"]].tolist() == [1, 100]
    assert rows.loc["worst", "rank"] == 4
    assert np.mean(order[:, 1] == 2) == pytest.approx(0.5, abs=0.05)
    assert "best is the best under every weighting" in bias_index.finding(TABLE, order)
    rest = TABLE.drop(index="best")
    said = bias_index.finding(rest, bias_index.ranks(rest))
    assert "2 of 3 methods are the best under some weights: good at a and good at b" in said


def test_a_penalty_that_all_share_moves_no_rank():
    moved = TABLE + 0.7
    assert (bias_index.ranks(TABLE) == bias_index.ranks(moved)).all()


def test_weights_that_do_not_matter_agree_wholly():
    same = pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}, index=list("xyz"))
    assert bias_index.concordance(bias_index.ranks(same, draws=20)) == 1
    against = pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 1]}, index=list("xyz"))
    assert abs(bias_index.concordance(bias_index.ranks(against, draws=2000))) < 0.1


def test_the_recorded_methods_are_ranked():
    numbers = Numbers.recorded("models/minilm-mlm")
    table = bias_index.parts(numbers)
    assert {"bec", "cda", "mlm"} <= set(table.index)
    assert table.shape[1] == len(bias_index.PARTS)
    measure = bias_index.PARTS[3]
    of_bec = numbers.runs(measure, numbers.setting("bec", "none"))["value"].mean()
    of_base = numbers.table(measure).query("method == 'base'")["value"].iloc[0]
    assert table.loc["bec", measure.label] == pytest.approx(abs(of_bec) / abs(of_base))
    bias_index.shown(bias_index.summary(table, bias_index.ranks(table)), caption="Ranks.").to_html()


def test_nothing_recorded_is_said():
    assert bias_index.finding(TABLE.head(1), np.ones((3, 1))).startswith("Too few methods")
