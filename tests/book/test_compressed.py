"""The chapter's tables from runs that are made up: what is planted is found, what is missing is said."""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import compressed, figures, predicted, published
from fairnc_book.matched import Answer
from fairnc_book.numbers import Numbers, minutes
from fairnc_book.planned.predictions import FAILED, OPEN
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS

OCCUPATIONS, RESAMPLES = 40, 200
SWAP = "swap,dose=0.3"

#: Cells with the numbers of the base.
UNCHANGED = ("base", "base+int16", "base+noise@0", "base+rtn3,gender")

#: Cell → its slope and perplexity; bec moves the slope by −1, and four bits keep half of that.
CELLS = {
    ("base", "none", 0): (2.0, 20.0),
    ("base+int16", "none", 0): (2.0, 20.0),
    ("base+noise@0", "none", 0): (2.0, 20.0),
    ("base+rtn3,gender", "none", 0): (2.0, 20.0),
    ("base+int8", "none", 0): (2 - np.log(21 / 20), 21.0),
    ("base+rtn4", "none", 0): (1.5, 25.0),
    ("base+rtn3", "none", 0): (1.2, 30.0),
    ("base+prune@0.3", "none", 0): (0.8, 25.0),
    ("base+layers@3", "none", 0): (0.1, 900.0),
}
CELLS |= {
    (f"base+noise@{size:g}", "none", seed): (2 - size, 20 * np.exp(size))
    for size in (0.1, 0.2, 0.5, 1.0, 1.5)
    for seed in range(3)
}
for _seed in (10, 11, 12):
    _jitter = 0.02 * (_seed - 11)
    CELLS |= {
        ("bec", "none", _seed): (1.0 + _jitter, 20.0),
        ("bec+rtn4", "none", _seed): (1.0 + _jitter, 25.0),
        ("bec", SWAP, _seed): (0.5 + _jitter, 20.0),
        ("bec+rtn4", SWAP, _seed): (0.0 + _jitter, 25.0),
        ("adept", "none", _seed): (1.5 + _jitter, 20.0),
        ("adept+rtn4", "none", _seed): (1.0 + _jitter, 25.0),
    }
    for _layers in range(1, 5):
        CELLS |= {
            (f"kd{_layers}", "none", _seed): (1.6 + _jitter, 26.0),
            (f"small{_layers}", "none", _seed): (1.2 + _jitter, 30.0),
        }


def row(run_id, cell, benchmark, metric, value, **columns):
    method, regularizer, seed = cell
    common = {"run_id": run_id, "model": compressed.EMBEDDED, "method": method}
    common |= {"regularizer": regularizer, "lam": 0.0, "seed": seed, "origin": "recorded"}
    common |= {
        "profile": compressed.EDITION,
        "layer": "last",
        "device": "cuda",
        "variant": "corrected",
    }
    common |= {"created": f"2026-01-01T00:00:{int(run_id[1:]) % 60:02d}+00:00"}
    return common | {"benchmark": benchmark, "metric": metric, "value": value} | columns


@pytest.fixture(scope="module")
def tables():
    """Result rows and unit scores of ``CELLS``."""
    rng = np.random.default_rng(0)
    share = np.linspace(-0.5, 0.5, OCCUPATIONS)
    common = rng.normal(scale=0.3, size=OCCUPATIONS)
    cosines = rng.normal(0.5, 0.1, size=(2, 60))
    results, units = [], []
    for number, (cell, (slope, perplexity)) in enumerate(CELLS.items()):
        run_id = f"r{number}"
        jitter = 0.0 if cell[0] in UNCHANGED else 0.01
        odds = slope * (share + common * 0.2) + rng.normal(scale=jitter, size=OCCUPATIONS)
        exact = float(np.polyfit(share, odds, 1)[0])
        bls = {"split": "bls", "axis": "gender", "n": OCCUPATIONS}
        results.append(row(run_id, cell, "occupation_slope", "slope", exact, **bls))
        gap = {"split": "test", "corpus": "gap", "variant": ""}
        results.append(row(run_id, cell, "perplexity", "masked_perplexity", perplexity, **gap))
        for column, values in (("log_odds", odds), ("share", share)):
            units += [
                (run_id, "occupation_slope", "bls", "gender", f"o{i}", column, value)
                for i, value in enumerate(values)
            ]
        if cell[0].startswith("base"):
            hit = 0.8 if cell[0] == "base+rtn3,gender" else 1.0
            for name, values in (("gender", hit * cosines[0]), ("matched", cosines[1])):
                words = {"split": "test", "words": name, "space": "head", "min_count": 10}
                for metric, value in (("unc3", values.std(ddof=1)), ("nc3", values.mean())):
                    results.append(row(run_id, cell, "collapse", metric, value, **words))
                units += [
                    (run_id, "collapse", "test", name, f"w{i}", "cosine", value)
                    for i, value in enumerate(values)
                ]
    results = pd.DataFrame(results).reindex(columns=list(RESULT_COLUMNS))
    results["axis"] = results["axis"].fillna("")
    return results, pd.DataFrame(units, columns=list(UNIT_COLUMNS))


def study_of(results, units):
    numbers = Numbers(results, units, model=compressed.EMBEDDED, edition=compressed.EDITION)
    return compressed.Study(numbers, resamples=RESAMPLES)


@pytest.fixture(scope="module")
def study(tables):
    return study_of(*tables)


@pytest.fixture(scope="module")
def empty(tables):
    results, units = tables
    return study_of(results.iloc[:0], units.iloc[:0])


@pytest.fixture(scope="module")
def everything(study):
    return {
        "equal": compressed.differences(study),
        "survived": compressed.survivals(study),
        "taught": compressed.students(study),
        "words": compressed.alike(study),
    }


def test_cells_fall_into_groups_and_controls_into_none():
    groups = {
        "base+rtn4": "rounding",
        "base+split2": "rounding",
        "base+heads@0.25": "pruning",
        "base+layers@4": "pruning",
        "kd2": "students",
        "small1": "students",
        **dict.fromkeys(("base", "bec", "bec+rtn4", "base+int16", "base+noise@0.1"), ""),
        "base+rtn3,gender": "",
    }
    assert {method: compressed.group(method) for method in groups} == groups


def test_planted_differences_from_the_noise_curve_are_found(everything):
    equal = everything["equal"].set_index("method")
    # noise at a perplexity of 25 has a slope of 2 − ln(25 / 20)
    expected = 2 - np.log(25 / 20)
    assert equal.loc["base+rtn4", "expected"] == pytest.approx(expected, abs=0.1)
    assert equal.loc["base+prune@0.3", "value"] == pytest.approx(0.8 - expected, abs=0.15)
    assert equal.loc["base+prune@0.3", "verdict"] == "fairer"
    assert equal.loc["base+layers@3", "verdict"] == "not comparable"
    assert equal.loc["base+int8", "verdict"] in ("no difference", "inconclusive")
    assert equal.loc["kd2", "seeds"] == 3
    assert "prune@0.3" in compressed.finding(everything["equal"]).partition(" follow")[0]


def test_what_a_fairer_compressor_keeps_of_definitional_gender_is_said():
    rows = pd.DataFrame(
        {"method": ["base+heads@0.5", "base+layers@3"], "verdict": "fairer", "kept": [0.9, 0.4]}
    )
    said = compressed.finding(rows)
    assert said == (
        "At equal quality heads@0.5 and layers@3 follow the labour statistics less. Most of the gender that words "
        "such as *mother* name is kept by heads@0.5 (90%) and is lost by layers@3 (40%): forgetting is not fairness."
    )
    assert "keep" not in compressed.finding(rows.assign(kept=np.nan))


def test_survival_is_what_was_planted(everything):
    rows = everything["survived"]
    rows = rows[rows["method"] == "bec"].set_index(["regularizer", "compressor"])
    alone, treated = rows.loc[("none", "rtn4")], rows.loc[(SWAP, "rtn4")]
    assert alone["before"] == pytest.approx(-1, abs=0.05)
    assert alone["value"] == pytest.approx(0.5, abs=0.05)
    assert treated["value"] == pytest.approx(1.0, abs=0.05)
    assert treated["gain"] == pytest.approx(0.5, abs=0.05)
    assert treated["gain_holm"] < 0.05
    assert treated["treatment"] == "swap collapse"
    said = compressed.survival_finding(everything["survived"])
    assert said.startswith("Compression undoes part of some debiasing: that of bec under rtn4.")


def test_students_stand_beside_those_without_a_teacher(everything):
    rows = everything["taught"]
    assert list(rows["layers"]) == [1, 2, 3, 4]
    assert (rows["seeds"] == 3).all()
    assert rows["value"].to_numpy() == pytest.approx(0.4, abs=0.05)
    assert (
        compressed.students_finding(everything["taught"])
        == "The teacher raises the slope of its students. It does so with 1, 2, 3 and 4 layers."
    )


def test_gender_words_that_are_hit_alone_are_seen(everything):
    rows = everything["words"].set_index("method")
    assert rows.loc["base+rtn3,gender", "ci_high"] < 0
    assert rows.loc["base+rtn4", "value"] == pytest.approx(0, abs=1e-9)


def test_answers_follow_the_plan(study, everything):
    said = compressed.answers(study, *everything.values())
    assert said["Debiasing survives four bits"] == Answer.CONTRADICTED
    assert said["NC3 or swap collapse makes debiasing survive better"] == Answer.SUPPORTED
    assert said["It is the teacher that makes a student fairer"] == Answer.CONTRADICTED
    assert said["Gender words are hit as words as frequent are"] == Answer.SUPPORTED
    assert said["Distillation makes a model fairer at equal quality"] in set(Answer) - {
        Answer.NOT_RUN
    }
    assert compressed.answers_table(said, caption="").data.shape == (6, 2)


def test_a_claim_waits_for_all_that_it_rests_on(study, everything):
    fewer = {
        "equal": everything["equal"][everything["equal"]["method"] != "kd3"],
        "survived": everything["survived"][everything["survived"]["method"] != "adept"],
        "taught": everything["taught"].iloc[1:],
        "words": everything["words"][everything["words"]["method"] != "base+rtn3"],
    }
    said = compressed.answers(study, *fewer.values())
    waiting = [claim for claim, answer in said.items() if answer == Answer.NOT_RUN]
    assert len(waiting) == 4


def test_controls_hold_or_fail(study, tables):
    rows = compressed.controls(study)
    assert rows["holds"].all()
    assert set(rows["control"]) == {"int16", "noise@0", "rtn3,gender"}
    assert compressed.controls_finding(rows) == "All 5 recorded controls hold."
    results, units = tables
    broken = results.copy()
    at = (broken["method"] == "base+int16") & (broken["metric"] == "slope")
    broken.loc[at, "value"] += 0.01
    rows = compressed.controls(study_of(broken, units))
    assert list(rows.loc[~rows["holds"], "control"]) == ["int16"]
    assert "Controls that fail: int16" in compressed.controls_finding(rows)


def test_nothing_recorded_is_said_and_nothing_else(empty):
    parts = {
        "equal": compressed.differences(empty),
        "survived": compressed.survivals(empty),
        "taught": compressed.students(empty),
        "words": compressed.alike(empty),
    }
    assert [len(part) for part in parts.values()] == [0, 0, 0, 0]
    assert set(compressed.answers(empty, *parts.values()).values()) == {Answer.NOT_RUN}
    late = "The runs that decide this are not recorded yet."
    assert compressed.finding(parts["equal"]) == late
    assert compressed.survival_finding(parts["survived"]) == late
    assert compressed.students_finding(parts["taught"]) == late
    assert (
        compressed.controls_finding(compressed.controls(empty))
        == "The controls are not recorded yet."
    )
    assert compressed.cost(empty) == "No run is recorded yet."
    run = compressed.as_run({"model": "m", "profile": "x"}, [], **parts)
    assert list(run.results["metric"]) == ["runs"]
    assert compressed.generated(empty).empty
    assert compressed.generated_finding(compressed.generated(empty)) == late


def test_rows_are_kept_under_the_chapter_s_name(everything):
    run = compressed.as_run({"model": "m", "profile": "x"}, ["r0"], **everything)
    assert set(run.results["benchmark"]) == {"compressed"}
    assert set(run.results["metric"]) == {
        "matched_difference",
        "survival",
        "taught",
        "unc3_difference",
    }


def test_figures_and_tables_show_every_cell(study, everything):
    figure = figures.equal_quality(study, everything["equal"])
    for method in everything["equal"]["method"]:
        assert compressed.shown(method) in figure.layout.meta["alt"]
    assert len(figures.survival(everything["survived"]).data) == 3
    assert len(figures.students(everything["taught"]).data) == 2
    shown = [
        compressed.differences_table(everything["equal"], caption=""),
        compressed.survivals_table(everything["survived"], caption=""),
        compressed.students_table(everything["taught"], caption=""),
        compressed.alike_table(everything["words"], caption=""),
        compressed.controls_table(compressed.controls(study), caption=""),
    ]
    assert all("nan" not in each.to_html() for each in shown)


def test_costs_are_the_times_between_runs(study):
    assert set(minutes(study.numbers.results)) == {"cuda"}
    assert compressed.cost(study).startswith("The recorded runs took")


def test_predictions_are_judged_by_what_was_planted(study, empty, everything):
    """Half of BEC's effect survives four bits, where the plan said more than 80%."""

    def of(each, parts):
        said, written = compressed.answers(each, *parts.values()), compressed.generated(each)
        parts = {name: part for name, part in parts.items() if name != "words"}
        came = predicted.of_compression(*parts.values(), said, written)
        return came.set_index("number")["outcome"]

    outcomes = of(study, everything)
    assert list(outcomes.index) == list(range(1, 8))
    assert outcomes[5] == FAILED
    assert outcomes[7] == OPEN
    makers = (compressed.differences, compressed.survivals, compressed.students, compressed.alike)
    nothing = dict(zip(everything, (make(empty) for make in makers), strict=True))
    assert set(of(empty, nothing)) == {OPEN}


def test_texts_are_compared_with_noise_at_equal_perplexity():
    """The noise takes the share from 24 to 14 as perplexity goes from 50 to 200: 19 halfway, at 100."""

    def texts(**shares):
        rows = {"base": (24, 50.0), "base+noise@0.1": (14, 200.0)}
        rows |= {f"base+{name.replace('_', '@0.')}": pair for name, pair in shares.items()}
        return pd.DataFrame(
            {
                "method": method,
                "axis": "all",
                "metric": "biased",
                "value": value,
                "perplexity": perplexity,
            }
            | {"ci_low": value - 2, "ci_high": value + 2}
            for method, (value, perplexity) in rows.items()
        )

    said = compressed.generated_finding(
        texts(rtn4=(19, 100.0), prune_3=(29, 100.0), int8=(12, 100.0), rtn3=(2, 900.0))
    )
    assert said.startswith("Noise alone makes texts that are less often called biased.")
    assert "from 24% to 14%." in said
    assert "prune@0.3 writes more of them, by 10.0 points" in said
    assert "int8 writes fewer of them, by 7.0 points" in said
    assert "No difference is shown for rtn4. Not comparable: rtn3." in said
    alike = compressed.generated_finding(texts(rtn4=(19.5, 100.0)))
    assert "writes" not in alike
    assert "No difference is shown for rtn4." in alike


def test_published_models_stand_beside_their_compressed_versions():
    table = compressed.published_table(published.load(), caption="").data
    by_model = table.set_index(["model", "version"])
    assert by_model.loc[("distilbert-base-uncased", "distilled"), "stereoset: LM"] == "53.87"
    assert by_model.loc[("bert-base-uncased", "as it is"), "stereoset: SS"] == "60.28"
    assert by_model.loc[("bert-base-uncased", "int8"), "crows: stereotype %"] == "57.25"


def test_live_tables_and_their_control():
    def result(method, value):
        ends = {"ci_low": value - 0.1, "ci_high": value + 0.1}
        common = {"metric": "slope", "axis": "all", "method": method}
        return pd.DataFrame([common | {"value": value} | ends])

    rows = [result("base", 2.0), result("base+rtn4", 1.5)]
    rows += [result("gender×0+rtn4", 0.1), result("gender×2+rtn4", 3.0)]
    assert compressed.control_finding(rows) == "The gender direction can be seen through rtn4."
    rows[-1] = result("gender×2+rtn4", 1.4)
    assert "It cannot be seen through rtn4." in compressed.control_finding(rows)
    table = compressed.live_table(rows[:2], caption="", metrics=["slope"]).data
    assert list(table["compressed by"]) == ["nothing", "rtn4"]
