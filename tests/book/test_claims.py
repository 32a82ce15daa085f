"""Claims: on a study with planted effects each verdict is the planted one, and what was not run is
said.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from fairnc_book import claims
from fairnc_book.claims import CLAIMS, TOTAL
from fairnc_book.claims.effects import change
from fairnc_book.claims.rows import METRICS
from fairnc_book.numbers import METHODS, Numbers
from fairnc_utils import benchmarks
from fairnc_utils.debias import DEBIASING
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import RELEASED_WEIGHTS
from fairnc_utils.runs.rows import RESULT_COLUMNS, select

CHOSEN = dict.fromkeys(METHODS, 10.0)

#: Draws of each bootstrap.
RESAMPLES = 300

#: Benchmark, split, axis and number of units of the planted study.
SCORED = (
    ("stereoset_intra", "test", "gender", 40),
    ("crows_bias_bench", "all", "gender", 80),
    ("crows_official", "all", "gender", 80),
    ("bec_pro", "english", "female", 20),
    ("bec_pro", "english", "male", 20),
    ("occupation_slope", "bls", "gender", 60),
    ("bug_profession", "test", "gender", 200),
    ("winobias", "test", "type1", 60),
    ("winobias", "test", "type2", 60),
    ("bias_nli", "sample", "gender", 60),
)

#: Regularizer → how much of the planted bias is left; UNC3 and NC3 of gender words.
BIAS = {"base": 1.0, "none": 0.8, "corrected": 0.4, "as_released": 0.8}
UNC3 = {"base": 0.05, "none": 0.04, "corrected": 0.02, "as_released": 0.04}
NC3 = {"base": 0.50, "none": 0.55, "corrected": 0.52, "as_released": 0.55}


def unit_table(name: str, number: int, bias: float, rng: np.random.Generator) -> pd.DataFrame:
    """Units of one run of a benchmark: the same units for every run, pulled by ``bias``, and noise
    of the run.
    """
    fixed, noise = np.random.default_rng(7), lambda scale: rng.normal(0, scale, number)
    spread = fixed.normal(0, 1, number)
    if name == "stereoset_intra":
        log_ratio = bias + 0.5 * spread + noise(0.1)
        table = {
            "lm": np.full(number, 85.0) + noise(0.5),
            "ss": 50 + 12 * bias + 4 * spread + noise(1),
            "log_ratio": 5 * log_ratio,
            "n": np.full(number, 5.0),
        }
    elif name.startswith("crows"):
        difference = bias + spread + noise(0.2)
        win = 100.0 * (difference > 0)
        table = {
            "win": win,
            "stereo_win": win,
            "stereo": np.ones(number),
            "anti_win": win,
            "anti": np.ones(number),
            "difference": difference,
        }
    elif name == "bec_pro":
        female, male = (
            bias * 0.5 + 0.2 * spread + noise(0.05),
            -bias * 0.5 + 0.2 * spread + noise(0.05),
        )
        table = {
            "female": female,
            "abs_female": np.abs(female),
            "n_female": np.ones(number),
            "male": male,
            "abs_male": np.abs(male),
            "n_male": np.ones(number),
        }
    elif name == "occupation_slope":
        share = np.linspace(-0.5, 0.5, number)
        table = {"log_odds": 2 * bias * share + 0.5 * spread + noise(0.1), "share": share}
    elif name == "bug_profession":
        stratum = np.arange(number) % 4
        likely = 0.6 + 0.1 * bias * np.where(stratum % 2, -1, 1) + 0.05 * spread + noise(0.02)
        table = {"right": 1.0 * (likely > 0.6), "likely": likely, "stratum": stratum.astype(float)}
    elif name == "winobias":
        pro, anti = (0.6 + sign * 0.1 * bias + 0.05 * spread + noise(0.02) for sign in (1, -1))
        table = {
            "right_pro": 1.0 * (pro > 0.6),
            "right_anti": 1.0 * (anti > 0.6),
            "probability_pro": pro,
            "probability_anti": anti,
        }
    else:
        neutral = 0.9 - 0.3 * bias + 0.05 * spread + noise(0.02)
        table = dict.fromkeys(("NN", "FN", "T:0.5", "T:0.7"), 5 * neutral) | {
            "n": np.full(number, 5.0)
        }
        table |= {f"{metric}_averaged": neutral for metric in ("FN", "T:0.5", "T:0.7")}
    return pd.DataFrame(table, index=[f"u{i}" for i in range(number)])


def cell(
    method: str, regularizer: str, lam: float, seed: int, *, tasks: bool
) -> tuple[list[dict], list[pd.DataFrame]]:
    """Result rows and unit tables of one planted run."""
    kind = "base" if method == "base" else regularizer.partition(",")[0]
    rng = np.random.default_rng(
        [len(method), len(regularizer), int(lam), seed, sum(map(ord, method))]
    )
    bias = BIAS[kind] + (0.05 * (lam - 10) / 10 if kind == "corrected" else 0) + rng.normal(0, 0.03)
    run_id = f"{method}-{regularizer}-{lam:g}-{seed}"
    common = {
        "run_id": run_id,
        "model": "models/minilm-mlm",
        "method": method,
        "regularizer": regularizer,
        "lam": lam,
        "seed": seed,
        "variant": "corrected",
        "layer": "last",
    }
    rows, units = [], []
    for name, split, axis, number in SCORED:
        table, benchmark = unit_table(name, number, bias, rng), benchmarks.get(name)
        table.index += axis
        units.append(
            table.rename_axis("unit")
            .reset_index()
            .melt("unit", var_name="column")
            .assign(run_id=run_id, benchmark=name, split=split, axis=axis)
        )
        for metric, (columns, statistic) in benchmark.statistics.items():
            value = float(statistic(*(table[column].to_numpy() for column in columns), axis=-1))
            rows.append(
                {
                    "benchmark": name,
                    "split": split,
                    "axis": "all" if name == "bec_pro" else axis,
                    "metric": metric,
                    "value": value,
                }
            )
    for words, effect in (("gender", 1), ("random", 0), ("matched", 0), ("vocabulary", 0)):
        ends = {"unc3": (UNC3, 0.001), "nc3": (NC3, 0.004)}
        rows += [
            {
                "benchmark": "collapse",
                "split": "test",
                "words": words,
                "axis": words * effect,
                "metric": metric,
                "space": "head",
                "min_count": 10.0,
                "value": planted["base"]
                + effect * (planted[kind] - planted["base"])
                + rng.normal(0, noise),
            }
            for metric, (planted, noise) in ends.items()
        ]
    rows.append(
        {
            "benchmark": "perplexity",
            "split": "test",
            "corpus": "gap",
            "variant": "",
            "metric": "masked_perplexity",
            "value": 20 + rng.normal(0, 0.1),
        }
    )
    scores = {
        ("sst2", "accuracy"): 80,
        ("cola", "matthews"): 20,
        ("rte", "accuracy"): 60,
        ("sick", "accuracy"): 78,
    }
    rows += [
        {
            "benchmark": name,
            "split": "test" if name == "sick" else "validation",
            "metric": metric,
            "value": value + rng.normal(0, 0.1),
        }
        for (name, metric), value in scores.items()
        if tasks
    ]
    return [common | row for row in rows], units


@cache
def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and units of a whole study: NC3 halves every bias, as released it does nothing."""
    grid = [("base", "none", 0.0, 0)]
    grid += [(method, "none", 0.0, seed) for method in METHODS for seed in range(5)]
    grid += [
        (method, "corrected", lam, seed)
        for method in METHODS
        for lam in (1.0, 10.0)
        for seed in range(5)
    ]
    grid += [
        (method, "as_released", lam, seed)
        for method, lam in RELEASED_WEIGHTS.items()
        if method in METHODS
        for seed in range(5)
    ]
    made = [cell(*where, tasks=where[1] != "as_released") for where in grid]
    results = pd.DataFrame([row for rows, _ in made for row in rows])
    results = results.assign(profile="full").reindex(columns=list(RESULT_COLUMNS))
    texts = ["words", "axis", "created", "split"]
    results[texts] = results[texts].astype(object).fillna("")
    return results, pd.concat([part for _, parts in made for part in parts], ignore_index=True)


def study(results=None, units=None, weights=CHOSEN) -> Numbers:
    whole = planted()
    return Numbers(
        whole[0] if results is None else results,
        whole[1] if units is None else units,
        model="models/minilm-mlm",
        weights=weights,
    )


def changed(numbers: Numbers, claim: str, key: str | int, contrast: str, method: str = "bec"):
    """The change of one number of a claim, by its key or its place."""
    (the_claim,) = (each for each in CLAIMS if each.key == claim)
    prediction = the_claim.prediction(key) if isinstance(key, str) else the_claim.predictions[key]
    return change(numbers, prediction, method, contrast, resamples=RESAMPLES)


@pytest.fixture(scope="module")
def evaluated() -> pd.DataFrame:
    return claims.evaluate(study(), resamples=RESAMPLES)


def of(tests: pd.DataFrame, claim: str, contrast: str, key: str, method: str = TOTAL) -> pd.Series:
    return select(tests, claim=claim, contrast=contrast, key=key, method=method).iloc[0]


# Verdicts


def test_verdict_follows_the_interval_the_direction_and_the_margin():
    assert claims.verdict(0.1, 0.2, 1) == claims.verdict(-0.2, -0.1, -1) == 1
    assert claims.verdict(0.1, 0.2, -1) == claims.verdict(-0.2, -0.1, 1) == -1
    assert claims.verdict(-0.1, 0.2, 1) == claims.verdict(np.nan, np.nan, 1) == 0
    assert [
        claims.verdict(low, high, 1, -1.0) for low, high in ((-0.9, 0.5), (-1.5, 0.5), (-3, -1.1))
    ] == [1, 0, -1]
    assert claims.verdict(-0.5, 0.9, -1, 1.0) == 1  # perplexity may rise by one point


@pytest.mark.parametrize(
    ("claim", "contrast", "verdict"),
    [
        # UNC3 falls, but so does NC3
        ("collapse", "debiased", 1),
        ("specific", "debiased", 1),
        ("enforced", "corrected", -1),
        ("enforced", "as_released", 0),
        ("intrinsic", "corrected", 1),
        ("intrinsic", "as_released", 0),
        ("extrinsic", "corrected", 1),
        ("understanding", "corrected", 1),
        ("runs", "runs", 1),
    ],
)
def test_planted_effects_are_found_and_absent_ones_are_not(evaluated, claim, contrast, verdict):
    assert claims.overall(evaluated, next(c for c in CLAIMS if c.key == claim), contrast) == verdict


def test_effects_are_the_planted_ones(evaluated):
    slope = of(evaluated, "intrinsic", "corrected", "occupation_slope:gender:slope")
    assert slope["value"] == pytest.approx(2 * (BIAS["corrected"] - BIAS["none"]), abs=0.05)
    assert slope["ci_low"] < slope["value"] < slope["ci_high"] < 0
    assert (slope["seeds"], slope["units"]) == (5, 60)
    unc3 = of(evaluated, "collapse", "debiased", "collapse:gender:unc3")
    assert unc3["value"] == pytest.approx(UNC3["none"] - UNC3["base"], abs=0.001)
    assert unc3["first"] == pytest.approx(UNC3["base"], abs=0.002)
    nothing = of(evaluated, "intrinsic", "as_released", "stereoset_intra:gender:SS")
    assert nothing["ci_low"] < 0 < nothing["ci_high"]
    assert (
        of(evaluated, "intrinsic", "corrected", "stereoset_intra:gender:ICAT")[
            ["verdict", "decided", "holm_p"]
        ]
        .isna()
        .all()
    )


def test_total_is_the_mean_of_the_debiasing_methods(evaluated):
    rows = select(
        evaluated, claim="intrinsic", contrast="corrected", key="stereoset_intra:gender:log_ratio"
    )
    single = rows[rows["method"].isin(DEBIASING)]["value"]
    assert rows[rows["method"] == TOTAL]["value"].item() == pytest.approx(single.mean())
    released = of(evaluated, "intrinsic", "as_released", "stereoset_intra:gender:log_ratio")
    assert released["note"] == "without cda, dropout"


def test_recomputed_statistics_agree_with_the_rows():
    """Without the unit scores the values are those of the rows, and the interval is the t interval
    over seeds.
    """
    key = "stereoset_intra:gender:log_ratio"
    tables = study(), study(units=planted()[1].iloc[:0])
    units, rows = (changed(table, "intrinsic", key, "corrected").changes for table in tables)
    assert units.observed == pytest.approx(rows.observed)
    assert rows.resampled is None
    assert units.resampled.shape == (300, 5)


def test_distance_from_the_ideal_is_taken_before_the_difference():
    """A model that leans as far to the other side is not fairer."""
    results, units = planted()
    runs = (results["method"] == "bec") & (results["regularizer"] == "corrected")
    mirrored = results.copy()
    mirrored.loc[runs & (results["metric"] == "slope"), "value"] *= -1
    there = units["run_id"].isin(results[runs]["run_id"]) & (units["column"] == "log_odds")
    flipped = units.assign(value=units["value"].where(~there, -units["value"]))
    tables = study(), study(mirrored, flipped)
    changes = [
        changed(table, "intrinsic", "occupation_slope:gender:slope", "corrected")
        for table in tables
    ]
    assert changes[0].changes.observed == pytest.approx(changes[1].changes.observed)
    assert changes[1].second == -changes[0].second


def test_words_of_the_first_seed_widen_the_interval_of_collapse():
    rng = np.random.default_rng(0)
    words = pd.DataFrame(
        [
            {
                "run_id": run_id,
                "benchmark": "collapse",
                "split": "test",
                "axis": "gender",
                "unit": f"w{i}",
                "column": "cosine",
                "value": 0.5 + shift + rng.normal(0, 0.1),
            }
            for run_id, shift in (("base-none-0-0", 0), ("bec-none-0-0", 0.05))
            for i in range(60)
        ]
    )
    plain, wide = (
        changed(study(units=units), "collapse", 0, "debiased").changes
        for units in (planted()[1], words)
    )
    assert wide.observed == pytest.approx(plain.observed)
    assert (wide.units, wide.resampled.shape) == (60, (300, 5))
    effects = [claims.decide.stats.crossed_bootstrap(changes) for changes in (plain, wide)]
    assert effects[1].error > 3 * effects[0].error


# Many tests, power


def test_holm_takes_totals_and_methods_of_a_claim_as_two_families(evaluated):
    of_claim = select(evaluated, claim="intrinsic", contrast="corrected")
    tested = of_claim[of_claim["holm_p"].notna()]
    for _, family in tested.groupby(tested["method"] == TOTAL):
        assert family["holm_p"].tolist() == pytest.approx(
            claims.decide.stats.holm(family["p"]).tolist()
        )
        assert family["p"].min() * len(family) == pytest.approx(family["holm_p"].min())
    assert (tested["holm_p"] >= tested["p"]).all()


def test_what_is_decided_needs_the_interval_and_the_adjusted_p():
    table = pd.DataFrame(
        {
            "claim": "c",
            "contrast": "x",
            "method": "bec",
            "p": [0.03, 0.04, 0.2],
            "verdict": [1.0, -1.0, 0.0],
        }
    )
    adjusted = claims.decide._adjusted(table)
    assert adjusted["decided"].tolist() == [0, 0, 0]
    assert claims.decide._adjusted(table.iloc[:1])["decided"].tolist() == [1]


def test_published_effects_come_with_the_power_to_find_them():
    published = pd.DataFrame(
        [
            {
                "model": "bert",
                "method": "mabel",
                "regularizer": regularizer,
                "benchmark": "winobias",
                "split": "dev",
                "axis": "type1",
                "metric": "TPR",
                "value": value,
                "origin": "published",
            }
            for regularizer, value in (("none", 20.7), ("as_released", 16.9))
        ]
    )
    prediction = next(c for c in CLAIMS if c.key == "extrinsic").prediction("winobias:type1:TPR")
    reported = claims.decide._reported(published, prediction, "mabel", "corrected")
    assert reported == pytest.approx(-3.8)
    assert np.isnan(claims.decide._reported(published, prediction, "bec", "corrected"))
    assert np.isnan(claims.decide._reported(published, prediction, "mabel", "debiased"))
    rows = claims.decide._changes(study(), prediction, "corrected", published, RESAMPLES)
    mabel = next(row for row in rows if row["method"] == "mabel")
    assert mabel["published"] == reported
    assert mabel["power"] == pytest.approx(
        claims.decide.stats.power(3.8, mabel["error"], mabel["df"])
    )


# What is missing


def test_cells_that_were_not_run_are_said(evaluated):
    row = of(evaluated, "understanding", "as_released", "rte:accuracy", "bec")
    assert np.isnan(row["value"])
    assert row["note"].startswith("not run: rte of bec")
    assert (
        claims.overall(
            evaluated, next(c for c in CLAIMS if c.key == "understanding"), "as_released"
        )
        == 0
    )
    mlm = of(evaluated, "intrinsic", "as_released", "occupation_slope:gender:slope", "mlm")
    assert (
        mlm["note"]
        == "not run: occupation_slope of mlm, NC3 as_released (a released script exists for some methods only)"
    )


def test_one_seed_has_an_effect_and_no_verdict():
    results, units = planted()
    prediction = next(c for c in CLAIMS if c.key == "intrinsic").prediction(
        "occupation_slope:gender:slope"
    )
    first = study(results[results["seed"] == 0], units)
    rows = list(claims.decide._changes(first, prediction, "corrected", None, RESAMPLES))
    assert rows[0]["note"] == "one seed: no interval over seeds"
    assert np.isfinite(rows[0]["value"])
    assert "verdict" not in rows[0]
    assert rows[-1] == {"method": TOTAL} | rows[-1]
    assert rows[-1]["note"] == "not run: no method has two seeds or more"


def test_a_method_without_a_chosen_weight_says_so():
    unknown = changed(study(weights={}), "enforced", 0, "corrected")
    assert unknown.changes is None
    assert unknown.reason == "not run: no λ could be chosen"


def test_a_seed_without_the_control_list_is_left_out_and_not_its_method():
    results, _ = planted()
    lacking = (
        (results["method"] == "bec") & (results["words"] == "random") & results["seed"].isin([1, 2])
    )
    whole, part = (
        changed(study(rows), "specific", 0, "debiased").changes
        for rows in (results, results[~lacking])
    )
    assert (len(whole.observed), len(part.observed)) == (5, 3)
    np.testing.assert_array_equal(part.observed, whole.observed[[0, 3, 4]])
    none = results[(results["method"] != "bec") | (results["words"] != "random")]
    assert changed(study(none), "specific", 0, "debiased").reason.startswith(
        "not run: collapse of bec"
    )


def test_unlike_units_are_an_error_that_names_the_runs():
    results, units = planted()
    cut = units[~((units["run_id"] == "bec-none-0-3") & (units["unit"] == "u5gender"))]
    with pytest.raises(
        FairNCError, match=r"occupation_slope/bls/gender: runs .*bec-none-0-3.* unlike units"
    ):
        changed(study(results, cut), "intrinsic", "occupation_slope:gender:slope", "corrected")


def test_no_study_at_all_leaves_every_test_not_run_and_an_abstract_that_says_so():
    nothing = claims.evaluate(study(planted()[0].iloc[:0], planted()[1].iloc[:0], {}))
    assert nothing["value"].isna().all()
    assert nothing["note"].str.startswith("not run").all()
    run = claims.as_run(nothing, {"model": "models/minilm-mlm", "profile": "tiny"}, runs=[])
    assert run.results.empty
    assert claims.abstract(run.results).startswith("No study is recorded")
    assert claims.finding(nothing, "collapse", "debiased").startswith("**Finding.** Not tested: ")
    assert len(claims.section(nothing, "collapse", "debiased")) == 1  # a table and no empty figure
    assert "not tested" in claims.summary(nothing, caption="Claims.").to_html()


# What a reader sees


def test_verdicts_become_result_rows_and_the_abstract_reads_them(evaluated):
    run = claims.as_run(evaluated, {"model": "models/minilm-mlm", "profile": "tiny"}, runs=["a"])
    assert set(run.results["metric"]) <= set(METRICS)
    effect = select(
        run.results,
        split="intrinsic",
        regularizer="corrected",
        method=TOTAL,
        axis="occupation_slope:gender:slope",
        metric="effect",
    ).iloc[0]
    assert (
        effect["ci_high"]
        == of(evaluated, "intrinsic", "corrected", "occupation_slope:gender:slope")["ci_high"]
    )
    text = claims.abstract(run.results)
    assert (
        "The first edition **contradicts** the claim that NC3 regularization collapses gender words"
        in text
    )
    assert claims.report._effect(effect) in text
    assert 5 <= text.count("\n- ") <= 9
    altered = run.results.assign(
        value=run.results["value"].where(run.results["axis"] != "claim", 0.0)
    )
    assert (
        "The first edition **leaves open** whether NC3 regularization collapses gender words"
        in claims.abstract(altered)
    )


def test_section_has_a_figure_of_every_measure_and_a_table(evaluated):
    figure, table = claims.section(evaluated, "intrinsic", "corrected")
    measures = next(claim for claim in CLAIMS if claim.key == "intrinsic").predictions
    drawn = {
        y: x
        for trace in figure.data
        if trace.xaxis == "x"  # the first panel, of totals
        for x, y in zip(trace.x, trace.y, strict=True)
        if y
    }
    assert {y.replace("<br>", " ") for y in drawn} == {measure.name for measure in measures}
    # the untrained model's bias is the unit, and what the claim predicts is to the right
    slope = of(evaluated, "intrinsic", "corrected", "occupation_slope:gender:slope")
    assert slope["unit"] == pytest.approx(2 * BIAS["base"], rel=0.2)
    assert drawn["Occupations<br>|slope|"] == pytest.approx(-slope["value"] / slope["unit"])
    names = [trace.name for trace in figure.data if trace.showlegend is None]
    assert len(set(names)) == len(names) >= 2  # supported and descriptive, each once in the legend
    assert "StereoSet |SS − 50|" in figure.layout.meta["alt"]
    html = table.to_html()
    assert "▲ supported" in html
    assert "descriptive" in html
    assert "nan" not in html
    assert "10 supported" in claims.summary(evaluated, caption="Claims.").to_html()


def test_effects_are_counted_in_the_untrained_bias_or_its_standard_error():
    results, units = planted()
    prediction = next(c for c in CLAIMS if c.key == "intrinsic").prediction(
        "occupation_slope:gender:slope"
    )
    base = (results["method"] == "base") & (results["metric"] == "slope")
    value = results.loc[base, "value"].item()
    for low, high, expected in (
        (value - 0.1, value + 0.1, (value, "bias")),
        (-1.96, 1.96, (pytest.approx(1, rel=0.001), "SE")),  # it holds the ideal
    ):
        bounded = results.assign(
            ci_low=results["ci_low"].astype(float).mask(base, low),
            ci_high=results["ci_high"].astype(float).mask(base, high),
        )
        assert claims.decide.unit(study(bounded, units), prediction, "corrected") == expected
    assert claims.decide.unit(study(), prediction, "runs") == (1, "raw")
    kept = next(c for c in CLAIMS if c.key == "understanding").predictions[0]
    assert claims.decide.unit(study(), kept, "corrected") == (1, "raw")


def test_forest_marks_verdicts_by_shape_as_well_as_colour(evaluated):
    figure, _ = claims.section(evaluated, "enforced", "corrected")
    marks = {trace.name: (trace.marker.symbol, trace.marker.color) for trace in figure.data}
    assert {"for the claim", "against the claim"} <= set(marks)
    assert (
        len({symbol for symbol, _ in marks.values()})
        == len({color for _, color in marks.values()})
        == len(marks)
    )


def test_forest_is_hollow_where_only_holm_leaves_a_test_open(evaluated):
    tests = select(evaluated, claim="enforced", contrast="corrected")
    undone = (tests["method"] == "bec") & (tests["key"] == "collapse:gender:unc3")
    altered = tests.assign(decided=tests["decided"].mask(undone, 0.0))
    figure, _ = claims.section(altered, "enforced", "corrected")
    symbols = {
        (trace.customdata[0][4], y): trace.marker.symbol
        for trace in figure.data
        if trace.customdata is not None
        for y in trace.y
    }
    assert symbols["bec", "UNC3 of gender words"] == "triangle-right-open"
    assert symbols["cda", "UNC3 of gender words"] == "triangle-right"


def test_power_table_is_there_where_something_is_published(evaluated):
    assert claims.power_table(evaluated, caption="Power.") is None
    planned = evaluated.assign(
        published=np.where(evaluated["key"] == "winobias:type1:TPR", -3.8, np.nan), power=0.5
    )
    assert "−3.80" in claims.power_table(planned, caption="Power.").to_html()
