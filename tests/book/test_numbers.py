"""Numbers: which runs a measure and a cell stand for, how they are paired and summed up; nothing
here trains.
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fairnc_book import ablations, tables
from fairnc_book.numbers import (
    MEASURES,
    METRICS,
    UNTRAINED,
    Numbers,
    Setting,
    estimate,
    estimates,
)
from fairnc_utils import benchmarks, stats, tasks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import RESULT_COLUMNS

SLOPE = MEASURES["occupation_slope/bls/gender/slope"]
ACCURACY = MEASURES["rte/validation/accuracy"]
UNC3 = MEASURES["collapse/test/gender/unc3"]


def row(measure, value, method="bec", regularizer="none", lam=0.0, seed=0, **columns):
    where = {
        key: value[0] if isinstance(value, tuple) else value for key, value in measure.where.items()
    }
    cell = {"model": "m", "method": method, "regularizer": regularizer, "lam": lam, "seed": seed}
    run = {"run_id": f"{method} {regularizer} {lam} {seed}", "created": "2026-01-01"}
    interval = {"ci_low": value - 1, "ci_high": value + 1, "n": 30.0, "profile": "full"}
    return where | cell | run | interval | {"metric": measure.name, "value": value} | columns


def numbers(*rows, units=None, **options):
    results = pd.DataFrame(list(rows)).reindex(columns=list(RESULT_COLUMNS))
    return Numbers(results, units, model="m", **options)


# What a number is


def test_a_metric_says_its_ideal_and_its_distance():
    assert METRICS["SS"].target == "50"
    assert METRICS["unc3"].target == "0 ↓"
    assert METRICS["nc3"].target == "ceiling ↑"
    assert METRICS["nc3_ceiling"].target == "–"
    values = np.array([40.0, 70.0])
    assert (
        METRICS["SS"].distance(values).tolist() == METRICS["SS"].folded(values).tolist() == [10, 20]
    )
    assert METRICS["ICAT"].distance(values).tolist() == [60, 30]
    assert METRICS["masked_perplexity"].distance(values).tolist() == [39, 69]
    assert METRICS["ICAT"].folded(values).tolist() == [40, 70]


def test_every_measure_has_a_metric_a_place_and_a_key_of_its_own():
    known = {*benchmarks.BENCHMARKS, *tasks.TASKS, "collapse", "perplexity"}
    assert {measure.benchmark for measure in MEASURES.values()} <= known
    assert {measure.name for measure in MEASURES.values()} <= set(METRICS)
    places = [(measure.name, *measure.where.items()) for measure in MEASURES.values()]
    assert len(set(places)) == len(places)
    assert ACCURACY.fine_tuned
    assert MEASURES["winobias/test/type1/TPR"].fine_tuned
    assert not SLOPE.fine_tuned
    assert not UNC3.fine_tuned


def test_of_several_splits_the_first_that_was_run_counts():
    either = MEASURES["winobias/test|dev/type1/TPR"]
    both = pd.DataFrame([row(either, 1.0, split="dev"), row(either, 2.0, split="test")])
    assert either.rows(both)["value"].tolist() == [2.0]
    assert either.rows(both[:1])["value"].tolist() == [1.0]


# Runs of a cell


def test_of_one_seed_the_newest_run_counts_wherever_it_stands():
    new, old = row(SLOPE, 2.0, created="2026-02-01"), row(SLOPE, 1.0)
    for order in ((new, old), (old, new)):
        runs = numbers(*order, row(SLOPE, 5.0, seed=1)).runs(SLOPE, Setting("bec"))
        assert runs["value"].to_dict() == {0: 2.0, 1: 5.0}


def test_a_cell_is_found_by_its_label_and_weight_and_an_open_one_is_refused():
    study = numbers(
        *(
            row(SLOPE, lam, regularizer="corrected", lam=lam, seed=seed)
            for lam in (1.0, 3.0)
            for seed in (0, 1, 2)
        ),
        row(SLOPE, 9.0, regularizer="corrected,words=random", lam=3.0),
    )
    assert set(study.runs(SLOPE, Setting("bec", "corrected", 3.0))["value"]) == {3.0}
    assert study.runs(SLOPE, Setting("bec", "corrected", 3.0), seeds=[2, 7]).index.tolist() == [2]
    assert study.runs(SLOPE, Setting("bec", "corrected,words=random"))["value"].tolist() == [9.0]
    assert study.runs(SLOPE, Setting("bec", "corrected", 10.0)).empty
    assert study.runs(SLOPE, study.setting("bec", "corrected")).empty  # no λ is chosen
    with pytest.raises(FairNCError, match="bec, NC3 corrected was run with λ = 1, 3: choose one"):
        study.runs(SLOPE, Setting("bec", "corrected"))


def test_editions_and_models_stay_apart():
    rows = (
        row(SLOPE, 1.0),
        row(SLOPE, 2.0, profile="second", created="2026-02-01"),
        row(SLOPE, 3.0, model="other", created="2026-03-01"),
    )
    assert numbers(*rows).runs(SLOPE, Setting("bec"))["value"].tolist() == [1.0]
    assert numbers(*rows, edition="second").runs(SLOPE, Setting("bec"))["value"].tolist() == [2.0]


def test_a_variant_of_a_regularizer_is_a_cell_at_its_only_weight():
    """As the second edition names its cells: the dose in the label, the weight that it came to in
    ``lam``.
    """
    label = "corrected,kind=both,dose=0.3"
    study = numbers(*(row(SLOPE, seed, regularizer=label, lam=7.1, seed=seed) for seed in (0, 1)))
    runs = study.runs(SLOPE, study.setting("bec", label))
    assert (runs.index.tolist(), set(runs["lam"])) == ([0, 1], {7.1})


def test_measures_that_differ_in_a_cutoff_alone_are_kept_apart():
    strict = dataclasses.replace(UNC3, where={**UNC3.where, "min_count": 50})
    study = numbers(row(UNC3, 0.04), row(strict, 0.02))
    assert [study.runs(measure, Setting("bec"))["value"].item() for measure in (UNC3, strict)] == [
        0.04,
        0.02,
    ]


# Pairs


def test_cells_are_paired_by_seed():
    study = numbers(
        *(row(SLOPE, 1.0 + seed, seed=seed) for seed in (0, 1, 2)),
        *(
            row(SLOPE, 1.5 + 2 * seed, regularizer="as_released", lam=100.0, seed=seed)
            for seed in (2, 1, 7)
        ),
    )
    contrast = study.contrast(SLOPE, Setting("bec"), Setting("bec", "as_released"))
    assert contrast.first.index.tolist() == contrast.second.index.tolist() == [1, 2]
    assert contrast.difference.tolist() == [1.5, 2.5]
    assert contrast.ratio.tolist() == [3.5 / 2, 5.5 / 3]
    missing = study.contrast(SLOPE, Setting("mlm"), Setting("bec"))
    assert missing.missing == Setting("mlm")
    assert len(missing.difference) == 0


def test_the_untrained_model_is_one_run_unless_something_was_tuned_on_it():
    rows = [(method, seed) for method in ("base", "bec") for seed in (0, 1)]
    study = numbers(
        *(
            row(measure, 10.0 * seed + (method == "bec"), method, seed=seed)
            for measure in (SLOPE, ACCURACY)
            for method, seed in rows
        )
    )
    assert len(study.runs(SLOPE, UNTRAINED)) == 1
    assert study.contrast(SLOPE, UNTRAINED, Setting("bec")).difference.tolist() == [-9.0, 1.0]
    assert study.contrast(ACCURACY, UNTRAINED, Setting("bec")).difference.tolist() == [1.0, 1.0]


def test_control_words_are_taken_off_where_a_run_has_both():
    control = MEASURES["collapse/test/random/unc3"]
    study = numbers(row(UNC3, 0.05), row(UNC3, 0.06, seed=1), row(control, 0.02, seed=1))
    assert study.runs(UNC3, Setting("bec"), less=control)["value"].to_dict() == {
        1: pytest.approx(0.04)
    }


# Sums


def test_one_run_keeps_its_interval_and_several_have_that_over_seeds():
    rows = pd.DataFrame(
        [row(SLOPE, value, seed=seed) for seed, value in enumerate((1.0, 2.0, 6.0))]
    )
    assert estimate(rows[:1]) == stats.Estimate(1.0, 0.0, 2.0, 30)
    expected = scipy.stats.t.interval(0.95, 2, 3.0, scipy.stats.sem([1, 2, 6]))
    several = estimate(rows)
    assert (several.ci_low, several.ci_high) == pytest.approx(expected)
    assert several.n == 3
    single = rows[:1].assign(method="mlm")
    table = estimates(pd.concat([rows, single]), ["method"]).set_index("method")
    assert table.loc["bec", ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [3.0, *expected]
    )
    assert table.loc["mlm", ["value", "ci_low", "ci_high", "seeds"]].tolist() == [1.0, 0.0, 2.0, 1]


def unit_rows(method, seed, slope):
    shares = np.linspace(-0.5, 0.5, 20)
    common = {
        "run_id": f"{method} none 0.0 {seed}",
        "benchmark": "occupation_slope",
        "split": "bls",
        "axis": "gender",
    }
    return [
        common | {"unit": f"u{i}", "column": column, "value": value}
        for i, share in enumerate(shares)
        for column, value in (("share", share), ("log_odds", slope * share))
    ]


def test_changes_are_signed_or_of_the_distance_from_the_ideal():
    """From slope 1 to −1: a model that leans as far to the other side has changed, and is no
    fairer.
    """
    slopes = {"base": 1.0, "bec": -1.0}
    rows = [row(SLOPE, slope, method) for method, slope in slopes.items()]
    units = pd.DataFrame(
        [unit for method, slope in slopes.items() for unit in unit_rows(method, 0, slope)]
    )
    for study in (numbers(*rows), numbers(*rows, units=units)):
        contrast = study.contrast(SLOPE, UNTRAINED, Setting("bec"))
        assert study.changes(contrast, resamples=50).observed == pytest.approx([-2.0])
        assert study.changes(contrast, folded=True, resamples=50).observed == pytest.approx([0.0])
    assert study.changes(contrast, resamples=50).resampled.shape == (50, 1)


def test_correlations_are_over_runs_that_have_both():
    rows = []
    runs = [(method, seed) for method in ("mlm", "bec", "cda") for seed in range(4)]
    for place, (method, seed) in enumerate(runs):
        lam = float(seed)
        rows.append(row(UNC3, 0.01 * place**2, method, "corrected", lam, seed))
        rows.append(row(SLOPE, -1.0 * place**2, method, "corrected", lam, seed))
    rows.append(row(UNC3, 0.5, "mabel"))  # no slope
    scopes = numbers(*rows).correlations(UNC3, SLOPE, of=SLOPE.metric.distance, resamples=100)
    assert set(scopes) == {"all", "within", "mlm", "bec", "cda"}
    assert scopes["all"].value == scopes["within"].value == pytest.approx(1)
    assert scopes["all"].seeds == 12


# What reads them


def test_the_weight_of_a_comparison_does_not_follow_the_order_of_its_variants():
    """A variant that was tried at another weight as well, and named first, moves no other one."""
    variants = ["corrected,words=released", "corrected,words=random", "corrected"]
    weights = {
        "corrected,words=released": (3.0,),
        "corrected,words=random": (30.0, 30.0),
        "corrected": (1.0,) * 5,
    }
    runs = pd.DataFrame(
        [
            {"method": "bec", "regularizer": label, "lam": lam}
            for label, lams in weights.items()
            for lam in lams
        ]
    )
    for order in (variants, variants[::-1]):
        assert ablations.compared_at(runs, "bec", order, otherwise=10.0) == 30.0
        assert ablations.compared_at(runs.iloc[::-1], "bec", order, otherwise=10.0) == 30.0
    assert ablations.compared_at(runs, "mlm", variants, otherwise=10.0) == 10.0


def test_tasks_of_one_source_are_said_together_whatever_their_messages():
    missing = {
        "cola": tasks.Missing("no file CoLA, and no hub (try again, and again)", "glue"),
        "snli": tasks.Missing("something else, and again)", "snli"),
        "rte": tasks.Missing("no file RTE, and no hub (later)", "glue"),
    }
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS))
    shown = tables.tasks(nothing, missing, caption="Tasks.").data
    assert shown["task"].tolist() == ["cola, rte", "snli"]
    assert "no file CoLA, and no hub" in shown["result [95% interval]"].iloc[0]


def test_a_task_says_what_it_lacks(monkeypatch):
    def silent(name, split, config=None):
        raise FairNCError(f"dataset {name}: the hub does not answer ({config}, and so on)")

    monkeypatch.delenv("FAIRNC_DATA", raising=False)
    monkeypatch.setattr("fairnc_utils.hub.dataset", silent)
    missing = tasks.missing(["rte", "sst2", "snli"])
    assert missing["rte"].source == missing["sst2"].source != missing["snli"].source
    assert "put it there" in missing["rte"].reason


def test_published_values_stay_numbers_until_they_are_shown():
    cells = {
        "measure": "SS",
        "method": "base",
        "regularizer": "none",
        "recorded_why": "",
        "live_why": "",
    }
    empty = dict.fromkeys(("lam", "recorded", "seeds", "live", "difference", "ratio"), np.nan)
    quotes = tables.Quotes(((-3.5, "odd; model 2"), (4.0, "bert")), "none at hand")
    html = tables.by_origin(
        pd.DataFrame([cells | empty | {"published": quotes}]), name="t", caption="T."
    ).html
    assert "−3.5 <small>odd; model 2</small><br>4 <small>bert</small>" in html


def test_reading_numbers_imports_nothing_that_trains():
    code = (
        "import sys, fairnc_book.ablations, fairnc_book.claims, fairnc_book.comparer, fairnc_book.explorer, "
        "fairnc_book.figures, fairnc_book.paper_tables\n"
        "heavy = ('fairnc_utils.training', 'fairnc_utils.finetuning', 'fairnc_utils.runs.grid', 'fairnc_utils.runs.train')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
