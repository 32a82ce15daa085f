"""Ablations: collapse by layer; effects planted in a made-up study are found, and cells that were
not run are said.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

from fairnc_book import ablations, figures
from fairnc_book.numbers import Numbers
from fairnc_book.site import stills as pictures
from fairnc_utils import measurement, runs
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import RESULT_COLUMNS, select

SMALL = {
    "model": "random",
    "device": "cpu",
    "texts": 40,
    "words": ("gender", "random"),
    "min_counts": (2, 3),
    "draws": 0,
    "heldout_split": None,
    "variants": ("corrected",),
}


def test_collapse_by_layer_ends_in_the_last_layer():
    run = runs.measure(**SMALL, space="encoder", layers="all")
    assert set(run.results["layer"]) == {"1", "2", "last"}
    rows = run.select(min_count=2.0).pivot_table(
        index=["words", "metric"], columns="layer", values="value"
    )
    assert len(rows) > 20
    assert rows["2"].to_numpy() == pytest.approx(rows["last"].to_numpy(), nan_ok=True)
    assert rows["1"]["gender", "unc3"] != pytest.approx(rows["last"]["gender", "unc3"])
    counts = run.select(metric="nc3").groupby(["words", "min_count"])["n"].nunique()
    assert (counts == 1).all()  # the same classes at every layer
    shown = ablations.layers(run.results, words=("gender", "random"))
    assert set(shown["layer"]) == {"1", "2"}
    assert set(shown["run"]) == {"base"}
    assert len(shown) == 2 * 2 * 2
    assert run.items.equals(runs.measure(**SMALL, space="encoder").items.assign(run_id=run.run_id))


def test_layers_are_cached_apart():
    readings = [
        measurement.read("random", device="cpu", texts=5, layer=layer) for layer in (None, 1, 2)
    ]
    assert len({reading.fingerprint for reading in readings}) == 3
    assert not readings[0].statistics.sums.allclose(readings[1].statistics.sums)
    assert [reading.columns["layer"] for reading in readings] == ["last", "1", "2"]


def test_a_layer_that_the_model_lacks_is_refused():
    with pytest.raises(FairNCError, match="random has no hidden layer 3: choose 1 to 2"):
        runs.measure(**SMALL, layers=(1, 3))
    with pytest.raises(FairNCError, match="option layers"):
        runs.measure(**SMALL, layers=(0,))


# ---------------------------------------------------------------- a study with known effects

#: Method → UNC3 without NC3. NC3 lowers it by LOWERED[λ], and the log ratio follows it: SLOPE · (UNC3 − FAIR).
METHODS = {"mlm": 0.060, "bec": 0.055, "mabel": 0.065, "base": 0.070}
LOWERED = {1: 0.002, 3: 0.006, 10: 0.012, 30: 0.020, 100: 0.030}
SLOPE, FAIR, SEEDS = 10.0, 0.035, 5
DEV = {"benchmark": "stereoset_intra", "split": "dev", "axis": "gender"}


def cell(method, regularizer="none", lam=0, *, lowered=0.0, seeds=SEEDS):
    """All rows of a cell; a seed moves UNC3 alike in every cell, so paired differences are exact
    but for a trifle.
    """
    for seed in range(seeds):
        unc3 = (
            METHODS[method]
            - lowered
            + 1e-3 * np.sin(seed + 1)
            + 1e-5 * np.cos(1e3 * lowered + seed)
        )
        values = {
            "unc3": unc3,
            "log_ratio": SLOPE * (unc3 - FAIR),
            "slope": np.cos(7 * lam + len(method) + 3 * seed),
            "masked_perplexity": 20 + lam / 10,
            "ICAT": 90 - 100 * unc3,
        }
        measures = [
            (metric, value, ablations.SHOWN[metric].where) for metric, value in values.items()
        ]
        measures += [("log_ratio", values["log_ratio"], DEV), ("LM", 85 - (lam == 100) * 3, DEV)]
        for metric, value, where in measures:
            yield where | {
                "run_id": f"{method} {regularizer} {lam} {seed}",
                "model": "models/minilm-mlm",
                "method": method,
                "regularizer": regularizer,
                "lam": lam,
                "seed": seed,
                "metric": metric,
                "value": value,
                "profile": "full",
                "created": "2026-01-01",
            }


@pytest.fixture(scope="module")
def recorded():
    """Rows of three methods × λ; of BEC also the released NC3, which does nothing, and two of its
    repairs.
    """
    cells = [cell(method) for method in METHODS if method != "base"] + [cell("base", seeds=1)]
    cells += [
        cell(method, "corrected", lam, lowered=LOWERED[lam])
        for method in ("mlm", "bec", "mabel")
        for lam in LOWERED
    ]
    cells += [
        cell("bec", "as_released", 100),
        cell("bec", "as_released,labels=aligned", 100, lowered=0.015, seeds=3),
        cell("bec", "as_released,features=attached", 100, lowered=0.005, seeds=3),
        cell("bec", "corrected,words=random", 30, lowered=0.004, seeds=3),
        cell("bec", "corrected,kind=both", 30, seeds=1),
    ]
    return pd.DataFrame(list(itertools.chain(*cells))).reindex(columns=list(RESULT_COLUMNS))


def numbers_of(rows, model="models/minilm-mlm"):
    return Numbers(rows, model=model)


@pytest.fixture(scope="module")
def ablation(recorded):
    return ablations.ablate(numbers_of(recorded), profile="test")


def test_a_run_has_one_row_and_the_latest_counts(recorded):
    runs = ablations.by_run(numbers_of(recorded))
    assert len(runs) == 3 * 6 * SEEDS + 1 + SEEDS + 3 * 3 + 1
    again = recorded[(recorded["metric"] == "unc3") & (recorded["regularizer"] == "as_released")]
    again = again.assign(value=1.0, created="2026-02-02", run_id="again")
    both = ablations.by_run(numbers_of(pd.concat([again, recorded])))
    assert (select(both, regularizer="as_released")["unc3"] == 1).all()
    assert ablations.by_run(numbers_of(recorded, "other")).empty


def test_lambda_is_the_fairest_that_keeps_the_language(ablation):
    weights = ablation.select(metric="chosen_lambda").set_index("method")["value"]
    assert dict(weights) == {"mlm": 30, "bec": 30, "mabel": 30}  # 100 loses three points of LM


def test_means_are_over_seeds(ablation, recorded):
    rows = select(recorded, method="mlm", regularizer="corrected", lam=10, metric="unc3")
    mean = ablation.select(
        variant="mean", method="mlm", regularizer="corrected", lam=10, metric="unc3"
    ).iloc[0]
    assert mean["value"] == pytest.approx(rows["value"].mean())
    assert mean["n"] == SEEDS
    assert mean["ci_low"] < mean["value"] < mean["ci_high"]
    base = ablation.select(variant="mean", method="base", metric="unc3").iloc[0]
    assert base["n"] == 1
    assert np.isnan(base["ci_low"])


def test_switches_are_paired_and_ordered(ablation):
    rows = ablation.select(variant="minus as_released", metric="unc3").set_index("regularizer")
    labels, features = (
        rows.loc["as_released,labels=aligned"],
        rows.loc["as_released,features=attached"],
    )
    assert labels["value"] == pytest.approx(-0.015, abs=1e-4)
    assert features["value"] == pytest.approx(-0.005, abs=1e-4)
    # far below what seeds do by themselves
    assert labels["ci_high"] < features["ci_low"] < features["ci_high"] < 0
    assert labels["n"] == 3
    random = ablation.select(
        variant="minus words", regularizer="corrected,words=random", metric="unc3"
    ).iloc[0]
    gender = ablation.select(variant="minus words", regularizer="corrected", metric="unc3").iloc[0]
    assert (gender["lam"], gender["n"], random["n"]) == (30, SEEDS, 3)
    assert gender["value"] == pytest.approx(-LOWERED[30], abs=1e-4)


def test_findings_are_told_with_their_intervals(ablation):
    sentence = ablations.largest(ablation.results, "as_released", "unc3", method="bec")
    assert sentence.startswith("UNC3 −0.0150 [")
    assert sentence.endswith(" with labels of their own position (2 of 2 intervals exclude zero)")
    assert (
        ablations.largest(ablation.results, "as_released", "unc3", method="mlm") == "UNC3 not run"
    )
    all_methods = ablation.select(variant="minus none", regularizer="corrected")
    assert ablations.counted(all_methods, ["unc3"]) == "UNC3 falls in 3 and rises in 0 of 3"
    cell = {"variant": "minus none", "method": "bec", "regularizer": "corrected"}
    assert ablations.sentence(ablation.results, ["unc3", "LM"], **cell).endswith("], LM not run")


def test_findings_open_with_what_the_intervals_say(ablation):
    rows = ablation.results
    assert ablations.switched(rows, "as_released", method="bec").startswith("UNC3 falls with *")
    assert ablations.switched(rows, "as_released", method="mlm").startswith("No change of one")
    flat = rows.assign(ci_low=-1.0, ci_high=1.0)
    assert "is shown to lower" in ablations.switched(flat, "as_released", method="bec")
    names = ablations.CONTRASTS["words"]
    lists = {label: names[label] for label in ("corrected", "corrected,words=random")}
    said = ablations.other_words(rows, lists, method="bec")
    assert said.startswith(f"It need not be gender words: {lists['corrected,words=random']} moves")
    gender = rows[rows["regularizer"] == "corrected"]
    assert "and on other words" in ablations.other_words(gender, lists, method="bec")
    assert "On no list" in ablations.other_words(flat, lists, method="bec")
    assert ablations.linked(rows).startswith("Within methods, more uniform models are fairer by")
    turned = rows.assign(ci_low=-rows["ci_high"], ci_high=-rows["ci_low"])
    assert "less fair by" in ablations.linked(turned)
    assert "neither" in ablations.linked(flat)
    assert ablations.linked(rows[:0]).startswith("Too few")


def test_every_method_is_compared_at_its_chosen_lambda(ablation):
    rows = ablation.select(
        variant="minus none", regularizer="corrected", metric="log_ratio"
    ).set_index("method")
    assert dict(rows["lam"]) == {"bec": 30, "mlm": 30, "mabel": 30}
    assert rows["value"].to_numpy() == pytest.approx(-SLOPE * LOWERED[30], abs=1e-3)


def test_what_was_not_run_is_said(ablation, recorded):
    absent = ablations.not_run(ablation.results)
    assert "bec, NC3 as_released,memory=ema" in absent
    run = ("as_released,labels=aligned", "corrected,kind=both", "none", "corrected")
    assert not {f"{method}, NC3 {label}" for method in METHODS for label in run} & set(absent)
    both = ablation.select(
        variant="minus corrected", regularizer="corrected,kind=both", metric="unc3"
    ).iloc[0]
    assert both["n"] == 1
    assert np.isnan(both["ci_low"])
    # nothing of the method that is taken apart
    for sparse in (recorded[recorded["method"] == "mlm"], recorded[:0]):
        absent = set(ablations.not_run(ablations.ablate(numbers_of(sparse)).results))
        assert absent == {
            f"bec, NC3 {label}" for variants in ablations.CONTRASTS.values() for label in variants
        }


def test_a_planted_correlation_is_recovered(ablation):
    rows = ablation.select(variant=["spearman", "pearson"]).set_index(
        ["metric", "method", "variant"]
    )
    assert rows["value"]["ICAT", "all", "pearson"] == pytest.approx(1)
    assert rows["value"]["log_ratio", "bec", "spearman"] > 0.9
    assert rows["value"]["log_ratio", "within", "pearson"] > 0.9
    nothing = rows.loc[("slope", "within", "spearman")]
    assert nothing["ci_low"] < 0 < nothing["ci_high"]
    assert rows["n"]["ICAT", "all", "pearson"] == 3 * 6 + 1 + 5  # cells
    assert ("ICAT", "base", "pearson") not in rows.index  # one run


# ---------------------------------------------------------------- figures


def switches(run):
    return figures.dots(
        run.select(variant="minus as_released"),
        ablations.CONTRASTS["as_released"],
        metrics=["unc3", "slope"],
        by="regularizer",
        name="fig-switches",
        about="Switches.",
        caption="Switches.",
    )


def test_figures_say_what_they_show(ablation, recorded):
    scatter = figures.unc3_fairness(ablations.by_run(numbers_of(recorded)), ablations.FAIRNESS)
    drawn = [figures.lambda_sweep(ablation.results), switches(ablation), scatter]
    for figure in drawn:
        assert len(figure.layout.meta["alt"]) > 40
        assert figure.layout.meta["caption"].endswith(".")
        assert figure.data
        assert b"<svg" in pictures.picture(figure.to_plotly_json())
    assert "bec 30" in drawn[0].layout.meta["alt"]
    lines = [trace for trace in drawn[0].data if trace.customdata is not None]
    stars = [trace.customdata[list(trace.marker.symbol).index("star")] for trace in lines]
    assert stars == [30] * 4 * 3  # a row a metric, a column a method
    assert all(trace.y[0] == 0 for trace in lines)  # changes from no NC3
    points = ablations.by_run(numbers_of(recorded))
    trained = (points["method"] != "base").sum()
    left = [trace for trace in scatter.data if trace.name]
    assert sum(len(trace.x) for trace in left) == 3 * trained
    for trace in left:  # what is left after the method's mean, in its standard deviations
        assert np.mean(trace.x) == pytest.approx(0, abs=0.1)
        assert np.std(trace.x, ddof=1) == pytest.approx(1, abs=0.1)
    assert list(left[0].customdata[0]) == pytest.approx(  # hover tells the run's own values
        [
            points.loc[points["method"] == left[0].name, name].iloc[0]
            for name in ("unc3", "log_ratio")
        ]
    )


def test_a_dot_is_filled_where_its_interval_leaves_out_zero_and_a_gap_says_so(ablation):
    figure = switches(ablation)
    names = list(figure.data[0].y)
    symbols = dict(zip(names, figure.data[0].marker.symbol, strict=True))
    assert symbols["gradient reaches the encoder"] == "circle"
    assert symbols["no NC3 at all"] == "circle-open"
    gaps = {note.y for note in figure.layout.annotations if note.text == "not run"}
    assert gaps == set(names) - {
        "labels of their own position",
        "gradient reaches the encoder",
        "no NC3 at all",
    }


def test_figures_of_nothing_are_empty_not_broken(recorded):
    nothing = ablations.ablate(numbers_of(recorded[:0]))
    assert not figures.lambda_sweep(nothing.results).data
    assert {note.text for note in switches(nothing).layout.annotations} >= {"not run"}
