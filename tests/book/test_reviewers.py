"""The reviewers' questions: rows equal plain means of the recorded runs, and what was not run has none."""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import reviewers
from fairnc_book.numbers import Numbers
from fairnc_utils.runs.rows import RESULT_COLUMNS

MODEL = "models/minilm-mlm"


@pytest.fixture(scope="module")
def study():
    return Numbers.recorded(MODEL)


@pytest.fixture(scope="module")
def answers(study):
    return reviewers.answer(study, resamples=100).results


def by_seed(study, method, regularizer, metric, lam=None, **where):
    """Seed → the number of its newest run, from the rows themselves."""
    rows = study.results
    for column, value in (
        {"method": method, "regularizer": regularizer, "metric": metric} | where
    ).items():
        rows = rows[rows[column] == value]
    if lam is not None:
        rows = rows[rows["lam"] == lam]
    found = {}
    for row in rows.sort_values("created", kind="stable").itertuples():
        found[row.seed] = row.value
    return found


def one(answers, question, variant, method, metric, **where):
    rows = reviewers.rows(answers, question, variant, method=method, metric=metric, **where)
    assert len(rows) == 1
    return rows.iloc[0]


def test_rows_are_means_over_the_seeds_that_both_sides_have(study, answers):
    nc1w = {"benchmark": "collapse", "words": "random", "layer": "last", "variant": "corrected"}
    (base,) = set(by_seed(study, "base", "none", "nc1w", **nc1w).values())
    trained = by_seed(study, "bec", "none", "nc1w", **nc1w)
    row = one(answers, 9, "ratio to base", "bec", "nc1w", axis="random")
    assert row["value"] == pytest.approx(np.mean([value / base for value in trained.values()]))
    assert row["n"] == len(trained) == 5

    slope = {"benchmark": "occupation_slope", "split": "bls", "axis": "gender"}
    lam = study.weights["cda"]
    without = by_seed(study, "cda", "none", "slope", **slope)
    with_nc3 = by_seed(study, "cda", "corrected", "slope", lam=lam, **slope)
    shared = sorted(set(without) & set(with_nc3))
    row = one(answers, 10, "minus none", "cda", "slope")
    assert row["value"] == pytest.approx(np.mean([with_nc3[s] - without[s] for s in shared]))
    assert (row["lam"], row["n"]) == (lam, len(shared))

    without = by_seed(study, "bec", "none", "slope", **slope)
    random = by_seed(study, "bec", "corrected,words=random", "slope", **slope)
    row = one(answers, 6, "minus words", "bec", "slope", regularizer="corrected,words=random")
    assert row["value"] == pytest.approx(np.mean([random[s] - without[s] for s in random]))


def test_questions_that_runs_can_answer_have_rows_and_the_others_none(answers):
    numbers = {int(name.removeprefix("question ")) for name in answers["split"].unique()}
    assert numbers == {1, 2, 5, 6, 7, 8, 9, 10, 12}
    assert set(answers["benchmark"]) == {"reviewers"}
    assert set(answers["origin"]) == {"recorded"}
    assert not answers.duplicated(
        ["split", "axis", "variant", "method", "regularizer", "lam", "metric"]
    ).any()


def test_a_decoder_answers_by_its_slope_once_it_was_run(study):
    def slope(method, seed, value):
        where = reviewers.SLOPE.where | {"metric": "slope", "value": value, "n": 60}
        run = {"method": method, "seed": seed, "regularizer": "none", "lam": 0.0}
        return (
            dict.fromkeys(RESULT_COLUMNS, np.nan)
            | where
            | run
            | {
                "run_id": f"{method}{seed}",
                "model": "decoder",
                "profile": "second",
                "created": "2026",
            }
        )

    rows = [slope("base", 0, 1.0), *(slope("cda", seed, 0.5 + 0.1 * seed) for seed in (0, 1, 2))]
    decoder = Numbers(pd.DataFrame(rows), model="decoder", edition="second")
    found = pd.DataFrame(reviewers._of_decoder(decoder)).set_index("variant")
    assert found.loc["mean", "value"] == 1
    assert found.loc["minus base", "value"] == pytest.approx(-0.4)
    assert set(found["model"]) == {"decoder"}
    nothing = Numbers(pd.DataFrame(rows), model="decoder", edition="full")
    assert list(reviewers._of_decoder(nothing)) == []


def test_a_table_shows_methods_that_have_every_metric_and_a_span_its_ends():
    rows = pd.DataFrame(
        [
            {
                "method": method,
                "metric": metric,
                "value": value,
                "ci_low": np.nan,
                "ci_high": np.nan,
                "n": 5,
            }
            for method, metric, value in (
                ("bec", "nc3", 0.5),
                ("bec", "unc3", 0.1),
                ("cda", "nc3", 0.7),
                ("cda", "unc3", 0.2),
                ("ase", "nc3", 0.9),
            )
        ]
    )
    assert reviewers.table(rows, caption="").data["method"].tolist() == ["bec", "cda"]
    assert reviewers.span(rows, "nc3") == "NC3 from 0.500 to 0.900"
    assert reviewers.span(rows, "nc1") == "NC1 (CDNV) not run"


def test_of_several_runs_with_one_least_number_that_with_most_words_counts():
    where = reviewers.UNC3.where | {"model": MODEL, "method": "base", "metric": "unc3"}
    rows = pd.DataFrame(
        [
            where | {"min_count": 5.0, "n": 20, "value": 0.2},
            where | {"min_count": 5.0, "n": 60, "value": 0.6},
            where | {"min_count": 10.0, "n": 40, "value": 0.4},
            where | {"min_count": 10.0, "n": 90, "value": 0.9, "layer": "3"},
        ]
    )
    found = reviewers.by_min_count(rows, MODEL, ["unc3"])
    assert found["value"].tolist() == [0.6, 0.4]
