"""Where bias comes from: effects planted in made-up runs are recomputed by hand, judged by the plan's
rule, drawn and put into words; cells that were not run are said.
"""

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import ROOT

from fairnc_book import bias_source, figures, planned, predicted
from fairnc_book.bias_source import (
    ALPHAS,
    BASE,
    BY_KEY,
    NEAR,
    RANDOM,
    UNSEEN,
    UPSTREAM,
    Grid,
    Setting,
    Word,
)
from fairnc_book.planned.predictions import CAME, FAILED, OPEN
from fairnc_utils import stats
from fairnc_utils.benchmarks import BENCHMARKS
from fairnc_utils.benchmarks.occupations import BUG_SPLIT
from fairnc_utils.runs import grid as study
from fairnc_utils.runs import recording
from fairnc_utils.runs import study as study_command
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS

PROFESSIONS = [f"profession {number:02}" for number in range(27)]
ODDS = np.linspace(-2.3, 0.9, len(PROFESSIONS))
SLOPE = 4.0


def effects(slope, number, seed, noise=0.3):
    rng = np.random.default_rng([number, seed])
    return slope * (1 + 0.02 * np.sin(seed + number)) * ODDS + noise * rng.normal(size=len(ODDS))


class MadeUp:
    """Rows, units and provenance of runs with planted slopes."""

    def __init__(self):
        self.rows, self.units, self.runs = [], [], {}

    def run(self, cell, slope, seeds, *, split="test", noise=0.3, model_odds=None):
        condition = BY_KEY[cell.condition]
        for seed in seeds:
            run_id = f"{cell} {seed}"
            change = {"how": cell.how, "alpha": cell.alpha}
            config = {"cooccurrence": change, "task": "bug_profession"}
            if cell.epochs:
                config |= {"kept": "last", "epochs": cell.epochs}
            self.runs[run_id] = {"config": config}
            delta = effects(slope, len(self.runs) % 13, seed, noise)
            columns = {
                "effect_male": delta,
                "effect_female": delta,
                "number_male": 30 * np.ones(len(ODDS)),
                "number_female": 10 * np.ones(len(ODDS)),
                "square": 0.09 * np.ones(len(ODDS)),
                "flipped": np.ones(len(ODDS)),
                "log_odds": ODDS,
            }
            for name in {"test", split}:
                self.add_units(run_id, "bug_counterfactual", name, columns)
            own = np.cos(np.arange(len(ODDS))) if model_odds is None else model_odds
            self.add_units(run_id, "occupation_slope", BUG_SPLIT, {"log_odds": own})
            self.place = {
                "run_id": run_id,
                "model": condition.model,
                "method": f"{condition.method}+{cell.how}@{cell.alpha:g}",
                "regularizer": condition.regularizer,
                "seed": seed,
                "profile": "where",
                "created": "2026-01-01",
                "axis": "gender",
            }
            self.value("cooccurrence", "train", "bayes_slope", 2.5 * cell.alpha)
            self.value("bug_profession", "test", "accuracy", 60.0)

    def value(self, benchmark, split, metric, value):
        where = {"benchmark": benchmark, "split": split, "metric": metric, "value": value}
        self.rows.append(self.place | where)

    def add_units(self, run_id, benchmark, split, columns):
        self.units += [
            (run_id, benchmark, split, "gender", unit, column, value)
            for column, values in columns.items()
            for unit, value in zip(PROFESSIONS, values, strict=True)
        ]

    def grid(self):
        results = pd.DataFrame(self.rows).reindex(columns=list(RESULT_COLUMNS))
        return Grid(results, pd.DataFrame(self.units, columns=list(UNIT_COLUMNS)), self.runs)


def planted(elasticity, without=1.0, moved=None):
    """A base whose slope follows the dose by ``elasticity``; ``moved``: upstream condition → slope."""
    made = MadeUp()
    for alpha in ALPHAS:
        base = SLOPE * (1 + elasticity * (alpha - 1))
        if elasticity > 0.5 and alpha <= 0:
            base = SLOPE * alpha
        made.run(Setting(BASE, alpha), base, range(5))
        made.run(Setting(RANDOM, alpha), 2 * (1 + without * (alpha - 1)), range(5))
    for key in UPSTREAM:
        made.run(Setting(key), (moved or {}).get(key, SLOPE), range(5))
    made.run(Setting("again"), SLOPE, range(5))
    made.run(Setting(BASE, 0.0, "placebo"), SLOPE, range(5))
    made.run(Setting(BASE, 1.0, "scrub"), 0.0, range(3), split="scrubbed", noise=0.0)
    return made


@pytest.fixture(scope="module")
def made():
    return planted(0.8, moved={"adept": 0.4 * SLOPE, "noise_0.2": 1.02 * SLOPE})


@pytest.fixture(scope="module")
def answers(made):
    return bias_source.evaluate(made.grid(), resamples=300)


def test_slopes_by_dose_are_the_planted_ones(made, answers):
    for alpha in ALPHAS:
        row = bias_source.one(answers, "dose", alpha=alpha)
        units = [unit for unit in made.units if unit[0].startswith(f"{Setting(BASE, alpha)} ")]
        of_seed = [
            np.polyfit(
                ODDS, [u[6] for u in units if u[5] == "effect_male" and u[0][-1] == seed], 1
            )[0]
            for seed in "01234"
        ]
        assert row["value"] == pytest.approx(np.mean(of_seed), abs=1e-6)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["seeds_low"] < row["value"] < row["seeds_high"]
        assert row["units_low"] < row["value"] < row["units_high"]
        assert (row["seeds"], row["units"]) == (5, 27)


def test_elasticity_is_the_line_over_the_slope_as_is(answers):
    line = np.polyfit(NEAR, [bias_source.one(answers, "dose", alpha=a)["value"] for a in NEAR], 1)
    expected = line[0] / bias_source.one(answers, "dose")["value"]
    row = bias_source.one(answers, "elasticity", metric="elasticity")
    assert row["value"] == pytest.approx(expected, abs=0.02)
    assert row["value"] == pytest.approx(0.8, abs=0.1)
    without = bias_source.one(answers, "elasticity", condition=RANDOM, metric="elasticity")
    assert without["value"] == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("elasticity", "without", "word"),
    [
        (0.8, 1.0, Word.BAKSI),
        (0.02, 1.0, Word.STEED),  # the edit does nothing to the base, and turns the sign without it
        (0.02, 0.02, Word.FAILED),  # it turns the sign nowhere: the edit itself may be at fault
    ],
)
def test_verdicts_of_planted_curves(elasticity, without, word):
    assert (
        bias_source.verdict(
            bias_source.evaluate(planted(elasticity, without).grid(), resamples=200)
        )
        == word
    )


def turned(made_up, changes):
    """The table of answers with other values: (question, condition, alpha) → columns."""
    table = made_up.copy()
    for (question, condition, alpha), columns in changes.items():
        rows = (table["question"] == question) & (table["condition"] == condition)
        rows &= (table["alpha"] == alpha) & (table["how"] == "swap")
        for column, value in columns.items():
            table.loc[rows, column] = value
    return table


def test_the_rule_knows_steed_and_neither(answers):
    flat = {
        ("elasticity", BASE, 1.0): {"value": 0.02, "ci_low": -0.1, "ci_high": 0.1, "within": True},
        ("slight change", BASE, 0.9): {"value": -0.01, "holm_p": 0.9},
        ("without pre-training", RANDOM, 1.0): {"value": 0.9, "holm_p": 0.001},
    }
    assert bias_source.verdict(turned(answers, flat)) is Word.STEED
    as_flat = flat | {("without pre-training", RANDOM, 1.0): {"value": 0.0, "holm_p": 1.0}}
    assert bias_source.verdict(turned(answers, as_flat)) is Word.NEITHER
    insignificant = {("slight change", BASE, 0.9): {"holm_p": 0.2}}
    assert bias_source.verdict(turned(answers, insignificant)) is Word.NEITHER
    backwards = {("slight change", BASE, 0.9): {"value": 0.4, "holm_p": 0.001}}
    assert bias_source.verdict(turned(answers, backwards)) is Word.NEITHER
    for word in Word:
        if word in bias_source._VERDICTS:
            assert bias_source._VERDICTS[word].endswith(".")


def test_upstream_changes_are_judged_against_a_fifth_of_the_slope(answers):
    words = answers[answers["question"] == "upstream"].set_index("condition")
    assert words.loc["adept", "word"] == Word.MATTERS
    assert words.loc["noise_0.2", "word"] == Word.HARDLY
    assert words.loc["bec", "word"] == Word.HARDLY
    assert set(words.index) == set(UPSTREAM)
    adept = words.loc["adept"]
    assert adept["value"] == pytest.approx(-0.6 * SLOPE, abs=0.3)
    assert adept["compared"] == pytest.approx(SLOPE, abs=0.3)
    said = bias_source.upstream_finding(answers)
    assert said.startswith("Some changes of the model beforehand hardly matter")
    assert "10 of 11 move its slope" in said
    assert "ADEPT" in said


def test_controls_pass_and_fail(answers):
    words = answers[answers["question"].str.startswith("control: ")].set_index("question")["word"]
    assert words.eq(Word.PASSED).sum() >= 5
    assert words["control: inverted texts turn the sign"] == Word.PASSED
    assert words["control: no gender in any text"] == Word.PASSED
    wrong = planted(0.8)
    wrong.run(Setting(BASE, 1.0, "scrub"), 1.0, range(3, 6), split="scrubbed")
    found = bias_source.evaluate(wrong.grid(), resamples=100)
    row = found[found["question"] == "control: no gender in any text"].iloc[0]
    assert row["word"] == Word.FAILED
    assert "Not so: no gender in any text" in bias_source.controls_finding(found)


# ------------------------------------------------------------------------------- who explains, twins


def unique_by_hand(y, x, z):
    """Unique R² by residuals: what x adds beside z, and z beside x."""

    def residual(target, other):
        target, other = target - target.mean(), other - other.mean()
        return target - other * (target @ other) / (other @ other)

    total = ((y - y.mean()) ** 2).sum()
    shares = []
    for own, other in ((x, z), (z, x)):
        left = residual(own, other)
        shares.append((y @ left) ** 2 / (left @ left) / total)
    return shares


def test_unique_shares_equal_partial_regressions():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 1, 30))
    y = 2 * x + 0.5 * z + rng.normal(size=(1, 30))
    assert bias_source.unique_shares(y, x, z) == pytest.approx(unique_by_hand(y[0], x[0], z[0]))
    several = [np.tile(array, (4, 1)) + np.arange(4)[:, None] for array in (y, x, z)]
    assert bias_source.unique_shares(*several) == pytest.approx(bias_source.unique_shares(y, x, z))


@pytest.mark.parametrize("of_model", [False, True])
def test_what_is_planted_explains(of_model):
    made = MadeUp()
    rng = np.random.default_rng(1)
    for key in (BASE, *UPSTREAM):
        own = rng.normal(size=len(ODDS))
        for seed in range(2):
            made.run(Setting(key), 0.0 if of_model else SLOPE, [seed], model_odds=own)
            if of_model:  # the effect is the model's own log-odds
                run_id = f"{Setting(key)} {seed}"
                made.units = [
                    (*unit[:6], 3 * own[PROFESSIONS.index(unit[4])])
                    if unit[0] == run_id and unit[5].startswith("effect")
                    else unit
                    for unit in made.units
                ]
    table = bias_source.evaluate(made.grid(), resamples=100)
    data, model, more = (
        bias_source.one(table, "explained: as is", metric=f"unique_r2_{name}")
        for name in ("data", "model", "difference")
    )
    assert (data["value"] > 0.8) != of_model
    assert (model["value"] > 0.8) == of_model
    assert stats.side(more["ci_low"], more["ci_high"]) == (-1 if of_model else 1)


# -------------------------------------------------------------------------------------- collapse


def test_correlations_with_nc1_follow_what_was_planted():
    made = MadeUp()
    for alpha in (0.0, 1.0):
        for place, epochs in enumerate((1, 3, 10, 30)):
            for seed in range(3):
                made.run(Setting(BASE, alpha, epochs=epochs), SLOPE, [seed])
                nc1 = 2.0 ** -(place + 0.1 * seed)
                for split, eta2, rms in (("train", nc1, nc1), ("test", 0.5, 3 - nc1)):
                    wobble = 0.001 * np.cos(5 * seed + place)
                    made.value("class_collapse", split, "nc1", nc1)
                    made.value("class_collapse", split, "gender_eta2", eta2 + wobble)
                    made.value("class_collapse", split, "gender_nc", nc1 * eta2)
                    made.value("bug_counterfactual", split, "cf_rms", rms + wobble)
    grid = made.grid()
    runs = bias_source.by_run(grid)
    assert len(runs) == 2 * 4 * 3 * 2
    table = bias_source.evaluate(grid, resamples=300)
    rows = table[table["question"] == "collapse"].set_index(["split", "metric"])
    assert rows.loc[("train", "gender_eta2"), "ci_low"] > 0.8
    assert rows.loc[("test", "cf_rms"), "ci_high"] < -0.8
    assert rows.loc[("test", "TPR-RMS"), "word"] == Word.NOT_RUN
    said = bias_source.collapse_finding(table)
    assert said.startswith(
        "On training texts gender's part of NC1, the size of the effects and η² fall with NC1."
    )
    assert "On test texts gender's part of NC1 falls with NC1;" in said
    assert "the size of the effects rises as NC1 falls" in said
    assert "true positive" not in said
    assert "NC1" in figures.class_collapse(runs).layout.meta["alt"]


# --------------------------------------------------------------------------------- predictions


def test_predictions_are_judged_by_what_was_planted(answers):
    """An elasticity of .8, everything beforehand without effect but ADEPT, which the plan left open."""
    came = predicted.of_bias_source(answers).set_index("number")
    assert list(came.index) == list(range(1, 10))
    assert came["outcome"][1] == came["outcome"][2] == CAME
    assert came["outcome"][4] == FAILED
    assert came["outcome"][7] == OPEN  # nothing was resampled
    adept = next(part for part in came["parts"][4] if part.came.startswith("ADEPT"))
    assert adept.outcome == FAILED
    said = planned.predictions_finding(came.reset_index())
    assert said.startswith("Some of the predictions came true.")
    assert "Not so: " in said


# --------------------------------------------------------------------------------- without runs


@pytest.fixture(scope="module")
def nothing():
    empty = (pd.DataFrame(columns=list(columns)) for columns in (RESULT_COLUMNS, UNIT_COLUMNS))
    return Grid(*empty, {})


def test_without_runs_everything_is_said_to_be_missing(nothing):
    table = bias_source.evaluate(nothing, resamples=10)
    assert table["value"].isna().all()
    assert bias_source.verdict(table) is Word.NOT_RUN
    sentences = (
        bias_source.answer,
        bias_source.dose_finding,
        bias_source.upstream_finding,
        bias_source.explained_finding,
        bias_source.collapse_finding,
        bias_source.controls_finding,
    )
    assert {sentence(table) for sentence in sentences} == {
        "The runs that would tell are not recorded yet."
    }
    drawn = (
        figures.dose_response(table),
        figures.upstream(table),
        figures.class_collapse(bias_source.by_run(nothing)),
    )
    assert {figure.layout.annotations[0].text for figure in drawn} == {"not recorded yet"}
    for styler in (bias_source.upstream_table, bias_source.controls_table):
        assert "not run" in styler(table, caption="x").to_html()
    assert nothing.training_minutes == 0
    assert set(predicted.of_bias_source(table)["outcome"]) == {OPEN}


def test_figures_tables_and_rows_show_the_answers(made, answers):
    curve = figures.dose_response(answers)
    assert "base at −1" in curve.layout.meta["alt"] or "base at -1" in curve.layout.meta["alt"]
    assert len(curve.data) == 3  # base, without pre-training, Bayes' rule
    assert "ADEPT: −6" in figures.upstream(answers).layout.meta["alt"]
    assert "placebo" in bias_source.beside_table(answers, caption="x").to_html()
    run = bias_source.as_run(answers, {"profile": "where"}, runs=made.grid().run_ids)
    assert (run.results["benchmark"] == "bias_source").all()
    assert run.results[run.results["metric"] == "verdict"]["words"].tolist() == ["Baksi"]
    said = bias_source.answer(answers)
    assert said.startswith("Slight changes of co-occurrence change the classifier")
    assert "turn the sign" in bias_source.dose_finding(answers)


# ---------------------------------------------------------------------------- the plan's own cells


def test_every_cell_of_the_plan_is_one_of_the_chapter():
    plan = study.plan(yaml.safe_load((ROOT / "config/where.yaml").read_text()))
    cells = study.cells(plan)
    assert 180 <= len(cells) <= 200
    known = {}
    for cell in cells.values():
        config = cell.config.model_dump(mode="json")
        label = study.treatment.label_of(cell.debiasing)
        row = {
            "model": config["model"],
            "method": f"{cell.debiasing.method}+x",
            "regularizer": str(label),
        }
        known.setdefault(bias_source._setting(row, config), set()).add(cell.config.seed)
    assert None not in known
    assert {cell.condition for cell in known} == set(BY_KEY)
    for key, alphas in bias_source.DOSED.items():
        assert {Setting(key, alpha) for alpha in alphas} <= set(known)
    assert {Setting(key) for key in UPSTREAM} <= set(known)
    wanted = {Setting(BASE, alpha, epochs=e) for alpha in (0.0, 1.0) for e in (1, 3, 10, 30)}
    assert wanted <= set(known)
    for cell, against, _ in bias_source.CONTROLS.values():
        assert cell in known
        assert against is None or against in known
    assert Setting(BASE, 1.0, "scrub") in known
    assert UNSEEN in {cell.condition for cell in known}
    asked = {name for cell in cells.values() for name in cell.config.benchmarks}
    assert asked >= {"bug_counterfactual:test", "bug_counterfactual:scrubbed"}
    assert set(BENCHMARKS["bug_counterfactual"].statistics) == {"cf_slope", "cf_rms", "flip_rate"}


def test_seeds_are_none_of_the_pilots_and_the_plan_says_them():
    plan = yaml.safe_load((ROOT / "config/where.yaml").read_text())["study"]["sweeps"]
    seeds = {seed for sweep in plan.values() for seed in sweep["grid"]["seed"]}
    assert seeds == {10, 11, 12, 13, 14}
    page = (ROOT / "book/about/plan-where-bias-comes-from.md").read_text()
    assert "**10 to 14**" in page
    for word in (Word.BAKSI, Word.STEED, Word.NEITHER, Word.HARDLY, Word.MATTERS, Word.OPEN):
        assert f"**{word}**" in page


# ------------------------------------------------------------------------- from the study to a page

#: What makes a cell of the plan a matter of seconds.
SHORT = {
    "model": "random",
    "steps": 2,
    "batch_size": 4,
    "texts": 1600,
    "items": 400,
    "evaluation_texts": 20,
    "precision": "fp32",
}


@pytest.mark.slow
def test_the_plans_sweeps_run_and_what_they_record_is_answered(tmp_path):
    """Cells of the plan on a tiny model: run by the study's command, recorded, read, answered."""
    plan = yaml.safe_load((ROOT / "config/where.yaml").read_text())
    sweeps = {
        name: plan["study"]["sweeps"][name]
        for name in ("doses", "edits", "scrubbed", "upstream", "collapse")
    }
    for name, sweep in sweeps.items():
        sweep["options"] |= SHORT
        sweep["grid"]["seed"] = [10, 11]
        if name == "doses":
            sweep["grid"]["cooccurrence"] = [
                change
                for change in sweep["grid"]["cooccurrence"]
                if change["alpha"] in (-1, 0.75, 0.9, 1, 1.5)
            ]
        if name == "edits":  # resampling needs more texts
            sweep["grid"]["cooccurrence"] = [{"how": "placebo", "alpha": 0}]
        if name == "upstream":
            sweep["grid"]["debiasing"] = [{"method": "noise_0.1"}, {"method": "hard_debias"}]
        if name == "collapse":
            sweep["grid"] |= {"epochs": [1], "seed": [10]}
    small = study.plan({"study": {"sweeps": sweeps}})
    runs = tmp_path / "runs"
    assert (
        study_command.run_sweeps(
            small, list(sweeps), (1, 1), study_command.Finished({}, runs), device="cpu"
        )
        == 0
    )
    provenance = recording.gather(runs, target=tmp_path / "study")["runs"]
    results, units = (
        pd.read_parquet(tmp_path / "study" / f"{name}.parquet") for name in ("results", "units")
    )
    assert "bug_profession" not in set(units["benchmark"])  # a text each: not kept
    grid = Grid(results.assign(model=bias_source.EMBEDDED), units, provenance)
    assert len(grid.run_ids) == 2 * (5 + 1 + 1 + 2) + 2
    table = bias_source.evaluate(grid, resamples=50)
    assert (grid.seeds(Setting(BASE, -1.0)), grid.seeds(Setting("noise_0.1"))) == (
        [10, 11],
        [10, 11],
    )
    for alpha in (-1.0, 0.75, 0.9, 1.0, 1.5):
        assert np.isfinite(bias_source.one(table, "dose", alpha=alpha)["ci_low"])
    slopes = [
        bias_source.one(table, "dose", alpha=alpha, metric="bayes_slope")["value"]
        for alpha in (-1.0, 1.0)
    ]
    assert slopes[0] < 0 < slopes[1]
    scrubbed = table[table["question"] == "control: no gender in any text"].iloc[0]
    assert scrubbed["word"] == Word.PASSED
    words = table[table["question"] == "upstream"].set_index("condition")["word"]
    assert words["hard_debias"] != Word.NOT_RUN == words["mabel"]
    assert np.isfinite(bias_source.one(table, "explained: as is", metric="unique_r2_data")["value"])
    collapsed = bias_source.by_run(grid)
    assert (collapsed["gender_nc"] <= collapsed["nc1"]).all()
    assert collapsed["cf_rms"].notna().all()
    assert bias_source.verdict(table) is Word.NOT_RUN  # nothing without pre-training was run
    assert grid.training_minutes > 0
    assert "recorded runs took" in bias_source.cost(grid)
