"""The second edition: its tables are recomputed from the recorded scores, its predictions follow from
its tests, and what was not run is said.
"""

import re
import subprocess

import numpy as np
import pandas as pd
import pytest
from helpers.workflow import ROOT

from fairnc_book import planned
from fairnc_book.abstract import PARTED, abstract
from fairnc_book.planned.data import (
    DOSED,
    EMBEDDED,
    LONG_CONTROL,
    METHODS,
    OVER_BASES,
    PAPER,
    SECONDARY,
    SLOPE,
    Outcome,
    collapse,
)
from fairnc_book.planned.decide import effect
from fairnc_book.planned.predictions import CAME, FAILED, OPEN
from fairnc_book.planned.rows import read, read_lacking, read_predictions
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.runs import recording
from fairnc_utils.runs.rows import recorded, recorded_units, select

PLAN = "config/second.yaml"

#: Draws of each bootstrap: what is compared here does not hang on them.
RESAMPLES = 50


@pytest.fixture(scope="module")
def studies():
    return planned.recorded_studies()


@pytest.fixture(scope="module")
def effects(studies):
    return planned.evaluate(studies, resamples=RESAMPLES)


@pytest.fixture(scope="module")
def rows():
    """Rows of the second edition, the long control apart, by plain means."""
    table = recorded()
    table = table[(table["profile"] == "second") & (table["model"] == EMBEDDED)]
    long = [i for i, run in recording.runs().items() if run["config"].get("steps") == 2232]
    return table[~table["run_id"].isin(long)]


def by_seed(values: pd.Series) -> pd.DataFrame:
    """Seeds × (method, regularizer)."""
    return values.unstack(["method", "regularizer"])


def total_by_hand(table: pd.DataFrame, label: str, methods=METHODS) -> tuple[float, list[str]]:
    """Mean over methods of the mean over seeds of treated − none, and the methods that have two."""
    changes = {}
    for method in methods:
        if (method, label) in table and (method, "none") in table:
            change = (table[method, label] - table[method, "none"]).dropna()
            if len(change) > 1:
                changes[method] = change.mean()
    return float(np.mean(list(changes.values()))), list(changes)


# ---------------------------------------------------------------- the primary table, recomputed


def test_slope_and_lean_are_those_of_the_recorded_scores(effects, rows):
    units = recorded_units()
    units = units[(units["benchmark"] == "occupation_slope") & units["run_id"].isin(rows["run_id"])]
    runs = rows.drop_duplicates("run_id").set_index("run_id")
    lines = {}
    for run_id, part in units.groupby("run_id"):
        wide = part.pivot(index="unit", columns="column", values="value").astype(float)
        slope, lean = np.polyfit(wide["share"], wide["log_odds"], 1)
        key = tuple(runs.loc[run_id, ["method", "regularizer", "seed"]])
        lines[key] = {"slope": slope, "lean": lean}
    table = pd.DataFrame(lines).T.rename_axis(["method", "regularizer", "seed"])
    for (name, dose), comparison in DOSED.items():
        for metric in ("slope", "lean"):
            value, methods = total_by_hand(by_seed(table[metric]), comparison.second)
            key = f"occupation_slope/bls/gender/{metric}"
            row = select(
                effects, family="doses", comparison=comparison.key, key=key, method="total"
            ).iloc[0]
            assert row["value"] == pytest.approx(value, abs=2e-4), (name, dose, metric)
            lacking = [m for m in comparison.of(EMBEDDED) if m not in methods]
            assert row["note"] == (f"without {', '.join(lacking)}" if lacking else "")


@pytest.mark.parametrize(
    ("key", "where", "transform"),
    [
        ("gender_agreement/test/all/log_loss", {"axis": "all", "metric": "log_loss"}, None),
        ("gender_agreement/test/all/accuracy", {"axis": "all", "metric": "accuracy"}, None),
        ("perplexity/gap/log_perplexity", {"metric": "masked_perplexity"}, np.log),
    ],
)
def test_what_must_be_kept_is_the_recorded_change(effects, rows, key, where, transform):
    table = rows[rows["benchmark"] == key.partition("/")[0]]
    for column, value in where.items():
        table = table[table[column] == value]
    values = table.set_index(["method", "regularizer", "seed"])["value"]
    values = values if transform is None else transform(values)
    for comparison in DOSED.values():
        value, _ = total_by_hand(by_seed(values), comparison.second)
        row = select(
            effects, family="kept", comparison=comparison.key, key=key, method="total"
        ).iloc[0]
        assert row["value"] == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_debiasing_is_compared_with_training_of_the_same_length(effects, studies):
    numbers = studies[0].numbers
    runs, provenance = numbers.table(SLOPE.measure), recording.runs()
    steps = {
        method: {provenance[i]["config"].get("steps") for i in part["run_id"]}
        for method, part in runs.groupby("method")
    }
    assert steps[LONG_CONTROL] == {2232}
    assert steps["mlm"] == {None}
    cda = select(effects, family="B", key=SLOPE.key, method="cda").iloc[0]
    control = runs[runs["method"] == LONG_CONTROL]["value"].mean()
    assert cda["first"] == pytest.approx(control)


def test_selectivity_is_the_slope_over_definitional_gender(studies):
    numbers = studies[0].numbers
    pooled = select(numbers.results, benchmark=["definitional"], axis="all")
    of_gender = select(
        numbers.results,
        benchmark=["occupation_slope", "selectivity"],
        split="bls",
        axis="gender",
    )
    table = pd.concat([pooled, of_gender]).pivot(index="run_id", columns="metric", values="value")
    ratio = table["slope"] / table["definitional"]
    pd.testing.assert_series_equal(
        table["selectivity"], ratio, check_names=False, rtol=1e-3, atol=1e-4
    )


# ---------------------------------------------------------------- verdicts and families


def test_holm_goes_over_the_totals_of_a_family_and_apart_over_its_methods(effects):
    described = {family.key for family in planned.DESCRIBED}
    for (family, _, _), part in effects.groupby(
        ["family", "model", effects["method"] == "total"], sort=False
    ):
        if family in described:
            assert part["holm_p"].isna().all()
        else:
            np.testing.assert_allclose(part["holm_p"], stats.holm(part["p"]))


def test_every_total_has_a_verdict_of_the_plan_or_was_not_run(effects):
    families = {family.key for family in planned.FAMILIES}
    judged = effects[effects["family"].isin(families)]
    words = {str(word) for word in Verdict}
    assert set(judged[judged["p"].notna()]["verdict"]) <= words
    totals = judged[judged["method"] == "total"]
    assert totals[totals["p"].isna()]["note"].str.startswith("not run").all()
    base = select(totals, key="crows_official/all/gender/stereotype_pct").iloc[0]
    assert base["verdict"] == Verdict.NOTHING  # the untrained model's interval holds 50


def test_planted_runs_come_apart_where_an_instrument_sees_the_bias(studies, rows):
    slopes = select(rows, benchmark="occupation_slope", split="bls", axis="gender", metric="slope")
    by_kind = slopes.pivot_table(index="seed", columns="method", values="value")
    apart = by_kind["planted"] - by_kind["planted_reversed"]
    assert apart.min() > 3 * apart.std()
    assert studies[0].moves(SLOPE) is True
    (unplanted,) = planned.recorded_studies(causal=True)
    assert unplanted.moves(SLOPE) is None


def test_an_instrument_that_failed_its_control_has_no_other_verdict(studies, monkeypatch):
    monkeypatch.setattr(planned.Study, "moves", lambda study, outcome: False)
    families = [family for family in planned.FAMILIES if family.key in "DE"]
    tests = planned.evaluate(studies[:1], families=families, resamples=RESAMPLES)
    tests = tests[tests["p"].notna()].set_index(["key", "method"])["verdict"]
    assert set(tests[SLOPE.key]) == {Verdict.FAILED}
    assert Verdict.FAILED not in set(tests["stereoset_intra/test/gender/SS"])


def test_over_bases_is_the_mean_of_the_bases_with_students_t(studies):
    twin = planned.Study("models/other", studies[0].numbers)
    family = next(each for each in planned.FAMILIES if each.key == "D")
    both = planned.evaluate([studies[0], twin], families=[family], resamples=RESAMPLES)
    row = select(both, model=OVER_BASES).iloc[0]
    values = both[(both["method"] == "total") & (both["model"] != OVER_BASES)]["value"]
    expected = stats.over_seeds(values)
    assert row["value"] == pytest.approx(expected.value)
    assert row["ci_low"] == pytest.approx(expected.ci_low)
    assert list(select(both, model="models/other")["method"]) == ["cda", "total"]


# ---------------------------------------------------------------- the plan before the runs


def git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_every_run_came_after_the_commit_that_fixed_the_plan(studies):
    if git("cat-file", "-e", planned.PLAN_COMMIT).returncode:
        pytest.skip("a checkout without the history")
    files = git("ls-tree", "-r", "--name-only", planned.PLAN_COMMIT).stdout.splitlines()
    assert {"book/about/plan.md", "fairnc_book/verdicts.py"} <= set(files)
    commits = studies[0].numbers.results["git_commit"].dropna().unique()
    _, _, changed = (ROOT / "book/about/plan.md").read_text().partition("\n## Changed afterwards\n")
    fixed = pd.Timestamp(git("log", "-1", "--format=%cI", planned.PLAN_COMMIT).stdout.strip())
    rows = studies[0].numbers.results
    for commit in commits:
        assert f"`{commit[:12]}`" in planned.fixed(studies)
        created = pd.to_datetime(rows.loc[rows["git_commit"] == commit, "created"], utc=True)
        assert created.min() > fixed, commit
        # one that is not in the history has to be named by the plan
        if git("cat-file", "-e", commit).returncode and f"`{commit[:7]}`" in changed:
            continue
        after = git("merge-base", "--is-ancestor", planned.PLAN_COMMIT, commit)
        assert after.returncode == 0, commit


def test_the_rules_of_the_plan_are_those_that_were_fixed():
    before = git("show", f"{planned.PLAN_COMMIT}:book/about/plan.md")
    if before.returncode:
        pytest.skip("a checkout without the history")
    now = (ROOT / "book/about/plan.md").read_text()
    rules = "\n## Changed afterwards\n"
    assert now.partition(rules)[0] == before.stdout.partition(rules)[0]


# ---------------------------------------------------------------- predictions, missing runs, answer


def test_predictions_follow_from_the_tests(effects):
    predicted = planned.predictions(effects).set_index("number")
    assert list(predicted.index) == list(range(1, 9))
    assert set(predicted["outcome"]) <= {CAME, FAILED, OPEN}
    key = collapse("nc1w", 50).key
    debiased = effects["family"].eq("B") & effects["method"].eq("total")
    ends = effects[["ci_low", "ci_high"]]
    falls = ends.mask(debiased & effects["key"].eq(key), -1.0)
    assert planned.predictions(effects.assign(**falls))["outcome"][4] == FAILED
    holds = effects["verdict"].mask(debiased & effects["key"].eq(SLOPE.key), "supported")
    rises = ends.mask(debiased & effects["key"].eq(key), 1.0)
    assert planned.predictions(effects.assign(verdict=holds, **rises))["outcome"][4] == CAME
    unseen = planned.predictions(effects.assign(verdict=holds))["outcome"][4]
    assert unseen == OPEN  # an interval with 0 in it shows no absence
    nothing = planned.predictions(effects.assign(p=np.nan)).set_index("number")["outcome"]
    assert set(nothing) == {OPEN}


def test_a_prediction_whose_runs_are_lacking_is_not_decided_by_a_total(effects):
    total = effects["comparison"].eq("both") & effects["method"].eq("total")
    lacking = effects.assign(note=effects["note"].mask(total, "without mabel"))
    assert planned.predictions(lacking)["outcome"][1] == OPEN


def test_a_missing_cell_is_listed():
    runs = recording.runs()
    before = planned.not_run(PLAN, runs)
    gone = next(
        i
        for i, run in runs.items()
        if run["config"].get("regularizer", {})
        and run["config"]["profile"] == "second"
        and run["config"]["method"] == "adept"
    )
    seed = run_seed(runs[gone])
    after = planned.not_run(PLAN, {i: run for i, run in runs.items() if i != gone})
    more = [
        cell for name, (_, cells) in after.items() for cell in cells if cell not in before[name][1]
    ]
    assert len(more) == 1
    assert more[0].label.startswith("adept ")
    assert more[0].config.seed == seed
    said, before_it = planned.lacking(after), planned.lacking(before)
    assert said.count(f"{seed}") == before_it.count(f"{seed}") + 1
    assert "=" not in said  # in the plan's words, not in those of rows
    assert planned.lacking({"a": (3, [])}) == "Every run of the plan is recorded."
    assert planned.lacking({"a_b": (2, more * 2)}) == "- **a b**, all 2 runs"


def run_seed(run: dict) -> int:
    return run["config"]["seed"]


def test_a_cell_that_was_not_run_is_said_in_the_tables(effects):
    absent = effects[effects["note"].str.startswith("not run") & (effects["method"] != "total")]
    for family in set(absent["family"]) & {family.key for family in planned.FAMILIES}:
        assert "not run" in planned.family_table(effects, family, caption="")._repr_html_()


def test_the_other_models_of_a_family_are_folded(effects):
    table = planned.family_table(effects, "C", caption="All.")._repr_html_()
    several = effects["model"].nunique() > 1
    assert ("<details" in table) == several
    if several:
        shown, _, more = table.partition("<details")
        other = next(m for m in effects["model"].unique() if m not in (EMBEDDED, "over bases"))
        assert other.rpartition("/")[2] in more
        assert other.rpartition("/")[2] not in shown
    alone = planned.family_table(effects[effects["model"] == EMBEDDED], "C", caption="All.")
    assert "<details" not in alone._repr_html_()


def test_the_answer_on_the_front_page_is_that_of_the_tests(effects):
    predicted, lacking = planned.predictions(effects), planned.not_run(PLAN)
    config = {"model": EMBEDDED, "profile": "test"}
    run = planned.as_run(effects, config, runs=["a"], predicted=predicted, sweeps=lacking)
    missing = sum(len(cells) for _, cells in lacking.values())
    outcomes = list(predicted["outcome"])
    assert read_predictions(run.results) == outcomes
    assert sum(read_lacking(run.results).values()) == missing
    front = abstract(run.results)
    assert front.startswith(planned.short_answer(effects))
    assert planned.strip(effects, outcomes) in front
    left_open = front.partition(PARTED)[2]
    assert f"{missing} runs of the plan" in left_open
    here = sum(
        len(cells)
        for name, (_, cells) in lacking.items()
        if not name.startswith(("bases", "causal"))
    )
    assert ("they may change a verdict" in left_open) == bool(here)
    text = planned.answer(effects, outcomes, missing)
    assert planned.answer(read(run.results), outcomes, missing) == text
    assert text.startswith("**")
    fairer = effects["verdict"].mask(
        effects["comparison"].eq("uniform") & effects["family"].eq("C"), "supported"
    )
    kept = effects["kept"].mask(effects["comparison"].eq("uniform"), True)
    assert planned.answer(effects.assign(verdict=fairer, kept=kept), outcomes, 0).startswith(
        "**Yes"
    )
    failed = effects.assign(kept=effects["kept"].mask(effects["family"].eq("kept"), False))
    assert planned.called(failed, "uniform") == "blinder"


def test_the_short_answer_is_short_and_has_no_numeral(effects):
    both = {"uniform", "both"}
    is_slope = effects["key"].eq(SLOPE.key)
    variants = [
        effects,
        effects.assign(kept=effects["kept"].mask(effects["family"].eq("kept"), False)),
    ]
    for word in ("supported", "contradicted", "inconclusive", "no effect"):
        told = is_slope & effects["comparison"].isin(both | {"swap", "debiased"})
        variants.append(effects.assign(verdict=effects["verdict"].mask(told, word)))
    for each in variants:
        text = planned.short_answer(each)
        assert len(text.split()) <= 130, text
        assert not re.search(r"(?<![A-Za-z])\d", text)
    fell = planned.short_answer(variants[2])
    assert "falls in ten and rises in none" in fell
    assert "swap collapse lowers the bias; enforcing collapse does, too" in fell
    assert planned.short_answer(effects).startswith("**")


def test_each_row_of_the_strip_has_one_number_or_none(effects):
    outcomes = list(planned.predictions(effects)["outcome"])
    rows = planned.strip(effects, outcomes).split("* - ")[2:]
    numbers = [row.rpartition("  - ")[2].split("```")[0].strip() for row in rows]
    assert len(rows) == 6
    form = r"(unevenness|bias) [+−]?\d+(\.\d)?%|\d came true|–"
    assert all(re.fullmatch(form, number) for number in numbers), numbers
    slope = effect(effects, "both", SLOPE.key)
    assert numbers[3] == f"bias {100 * slope['value'] / slope['first']:+.2g}%".replace("-", "−")
    assert numbers[-1] == f"{outcomes.count(CAME)} came true"


def test_a_treatment_that_does_not_keep_what_it_must_works_at_a_cost(effects):
    lost = effects.assign(kept=effects["kept"].mask(effects["family"].eq("kept"), False))
    assert "methods; costs pronoun agreement" in planned.strip(lost, [CAME])  # a loss that is shown
    unsure = {"ci_low": -1.0, "ci_high": 1.0}
    open_loss = lost.assign(
        **{end: lost[end].mask(lost["family"].eq("kept"), value) for end, value in unsure.items()}
    )
    told = "may cost certainty, pronoun agreement and fluency"
    assert told in planned.strip(open_loss, [CAME])
    kept = effects.assign(kept=effects["kept"].mask(effects["family"].eq("kept"), True))
    assert "cost" not in planned.strip(kept, [CAME])


def test_the_strip_says_in_how_many_methods(effects):
    slopes = effects["key"].eq(SLOPE.key) & effects["model"].eq(EMBEDDED)
    uniform = slopes & effects["comparison"].eq("uniform")
    one = uniform & effects["method"].isin(["mabel", "total"])
    verdicts = effects["verdict"].mask(uniform, "no effect").mask(one, "contradicted")
    assert "no, raises it in one of five methods" in planned.strip(
        effects.assign(verdict=verdicts), [CAME]
    )


def test_a_finding_answers_its_question_by_its_verdicts(effects):
    for family, word, said in (
        ("D", "supported", "Yes."),
        ("C", "contradicted", "No, the opposite is found."),
        ("C", "no effect", "No."),
        ("C", "inconclusive", "It is not shown."),
    ):
        of_family = effects["family"].eq(family) & effects["verdict"].ne("")
        told = effects.assign(verdict=effects["verdict"].mask(of_family, word))
        assert f"? {said} Totals" in planned.finding(told, family)


def test_the_seventh_prediction_asks_the_untrained_models(effects, studies):
    (row,) = select(planned.predictions(effects, studies), number=7).to_dict("records")
    bases = pd.concat([study.numbers.results.assign(base=study.model) for study in studies])
    bases = select(bases, method="base", regularizer="none")
    labels = {each.label: each.measure for each in (*SECONDARY, *PAPER)}
    for part in row["parts"]:
        measure = labels[part.came.partition(": nothing to remove")[0]]
        # a causal model has other forms of some instruments
        asked = select(bases, **measure.where, metric=measure.name)["base"].nunique()
        assert part.came.endswith(f"of {asked} bases")
        assert part.complete == (asked > 1)
    assert len(row["parts"]) > 1


def test_an_instrument_without_a_bias_has_nothing_to_remove(studies):
    table = planned.instruments_table(studies[:1], caption="").data.set_index("instrument")
    assert table.loc["occupation slope", "bias to remove"] == "yes"
    assert table.loc["CrowS-Pairs", "bias to remove"] == "nothing to remove"
    outcome = Outcome(SLOPE.measure, "slope", improves=True)
    assert studies[0].base(outcome).ci_low > 0
