"""The chapter's answers from runs that are made up: what is planted is found and named by the plan's rule, what is
missing is said.
"""

import numpy as np
import pandas as pd
import pytest

from fairnc_book import concepts, figures
from fairnc_book.concepts import CONTEXTS, NO_CONTEXT, Study, Word
from fairnc_utils import stats
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS

MODEL, RESAMPLES = "models/minilm-mlm", 300
OCCUPATIONS = [f"occupation {number:02}" for number in range(60)]


class MadeUp:
    """Rows, units and provenance of runs."""

    def __init__(self):
        self.rows, self.units, self.runs = [], [], {}

    def row(self, run_id, benchmark, metric, value, low=np.nan, high=np.nan, **columns):
        common = {"run_id": run_id, "model": MODEL, "method": "base", "regularizer": "none"}
        common |= {"seed": 0, "profile": concepts.EDITION, "axis": "all", "n": 60}
        common |= {"created": "2026-01-01", "origin": "recorded", "variant": "corrected"}
        values = {"metric": metric, "value": value, "ci_low": low, "ci_high": high}
        self.rows.append(common | {"benchmark": benchmark} | values | columns)

    def unit_scores(self, run_id, benchmark, split, axis, column, scores):
        self.units += [
            (run_id, benchmark, split, axis, unit, column, float(score))
            for unit, score in scores.items()
        ]

    def study(self):
        results = pd.DataFrame(self.rows, columns=list(RESULT_COLUMNS))
        units = pd.DataFrame(self.units, columns=list(UNIT_COLUMNS))
        return Study.of(results, units, self.runs)


def treated(made, direction):
    """Runs of seven cells, whose distance goes with NC3c in this direction."""
    cells = [("none", 0.5)] + [
        (f"{name},dose={dose}", 0.5 + 0.1 * dose + 0.05 * place)
        for place, name in enumerate(("repaired", "repaired,kind=both"))
        for dose in (0.1, 0.3, 1)
    ]
    for regularizer, near in cells:
        for seed in range(3):
            run_id = f"{regularizer} {seed}"
            columns = {"method": "bec", "regularizer": regularizer, "seed": seed, "split": "gender"}
            value = near + 0.001 * seed
            made.row(run_id, "concept_bias", "nc3c", value, **columns)
            made.row(run_id, "concept_bias", "agreement", direction * value, **columns)
            made.row(run_id, "concept_bias", "agreement_gap", 1 - direction * value, **columns)
            made.row(run_id, "concept_bias", "agreement_bound", 3.0, **columns)


@pytest.mark.parametrize(
    ("direction", "word"), [(1, Word.AS_PROVED), (-1, Word.AGAINST)], ids=["with", "against"]
)
def test_a_planted_relation_with_nc3c_is_found_and_drawn(direction, word):
    made = MadeUp()
    treated(made, direction)
    study = made.study()
    answers = concepts.evaluate(study, resamples=RESAMPLES)
    rows = answers[answers["question"] == "proposition"].set_index("metric")
    assert rows.loc["agreement", "value"] == pytest.approx(direction)
    assert rows.loc["agreement_gap", "value"] == pytest.approx(-direction)
    assert set(rows["word"]) == {word}
    assert rows["n"].tolist() == [21, 21]
    said = concepts.proposition_finding(answers)
    assert ("as the proposition has it" in said) == (direction > 0)
    assert "7" not in said.partition("(")[0]
    assert len(figures.proposition(concepts.by_run(study)).data) == 7
    concepts.table(answers, "proposition", caption="Made up.").to_html()


def test_followed_statistics_and_reported_correlations_get_their_words():
    made = MadeUp()
    for split, metric, low, high in (
        ("as_written", "follows_size_sentences", 0.1, 0.5),
        ("gender", "follows_embeddings", 0.5, 0.9),
        ("gender", "follows_means", -0.1, 0.3),
        ("gender", "follows_sentences", -0.4, 0.3),
    ):
        made.row("a", "concept_bias", metric, (low + high) / 2, low, high, split=split)
    made.row("a", "occupation_calibration", "calibration_slope", 0.3, 0.2, 0.4, split=NO_CONTEXT)
    named = {"split": NO_CONTEXT, "axis": "named", "n": 37}
    made.row("a", "occupation_calibration", "text_advantage", 0.3, 0.1, 0.5, **named)
    answers = concepts.evaluate(made.study(), resamples=RESAMPLES)
    words = answers.set_index("metric")["word"]
    assert words["follows_size_sentences"] == Word.CONTRADICTED
    assert words["text_advantage"] == Word.TEXT
    assert answers.set_index("metric").loc["text_advantage", "n"] == 37
    said = concepts.follows_finding(answers)
    assert "embeddings follow it and class means and sentences are not shown to follow it" in said
    assert "contradicted" in said
    assert "minilm-mlm follows its text" in concepts.statistics_finding(answers)
    for question in ("follows", "statistics"):
        concepts.table(answers, question, caption="Made up.").to_html()


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.86, 0.95, Word.SUPPORTED), (0.2, 0.84, Word.CONTRADICTED), (0.7, 0.9, Word.OPEN)],
)
def test_the_reported_correlation_is_judged_by_the_interval(low, high, word):
    assert concepts.reported(low, high) == word


def contexts(falls):
    """Errors of 60 occupations without a context and with each, which falls by so many points."""
    rng = np.random.default_rng(0)
    none = 30 + rng.normal(size=60)
    return {NO_CONTEXT: none} | {
        name: none - falls.get(name, 0) + 0.5 * rng.normal(size=60) for name in CONTEXTS
    }


@pytest.mark.parametrize(
    ("falls", "word"),
    [
        ({"facts_32": 10}, Word.FACTS),
        ({"facts_32": 10, "reversed_32": 10, "placebo_32": 10}, Word.PROMPT),
        ({"facts_32": 10, "reversed_32": 10}, Word.PROMPT),
        ({"reversed_32": 10}, Word.NO_FALL),
    ],
    ids=["the facts", "any prompt", "reversed too", "no fall"],
)
def test_facts_count_only_beyond_their_controls(falls, word):
    errors = contexts(falls)
    answers = {
        (each.question, each.what): each
        for each in concepts.fact_answers(MODEL, errors, resamples=RESAMPLES)
    }
    assert answers["facts", "facts_32"].word == word
    change = 100 * (errors["facts_32"].mean() / errors[NO_CONTEXT].mean() - 1)
    assert answers["facts", "facts_32"].value == pytest.approx(change)
    pairs = [
        errors[context] - errors[control]
        for context, controls in concepts.CONTROLLED.items()
        for control in controls
    ]
    from scipy import stats as tests

    adjusted = stats.holm([tests.ttest_1samp(pair, 0).pvalue for pair in pairs])
    measured = [each.p for (question, _), each in answers.items() if question == "controls"]
    assert measured == pytest.approx(adjusted)


def test_facts_are_read_from_recorded_units():
    made, errors = MadeUp(), contexts({"own": 5})
    for split, values in errors.items():
        run_id = f"run of {split}"
        made.row(run_id, "occupation_calibration", "calibration_error", values.mean(), split=split)
        halves = (("named", slice(None, 37)), ("rare", slice(37, None)))
        for axis, part in halves:
            scores = dict(zip(OCCUPATIONS[part], values[part], strict=True))
            made.unit_scores(run_id, "occupation_calibration", split, axis, "error", scores)
    answers = concepts.evaluate(made.study(), resamples=RESAMPLES)
    rows = answers[answers["question"] == "facts"].set_index("what")
    assert rows.loc["own", "word"] == Word.FACTS
    assert rows.loc["own", "value"] == pytest.approx(
        100 * (errors["own"].mean() / errors[NO_CONTEXT].mean() - 1)
    )
    said = concepts.facts_finding(answers)
    assert (
        "behind the own fact the error falls more than behind either control (minilm-mlm)" in said
    )


def test_explanations_are_compared_with_the_head_alone():
    made, rng = MadeUp(), np.random.default_rng(1)
    masses = {("base", "encoder"): 0.2, ("base", "layers"): 0.2, ("base", "none"): 0.6}
    pairs = [f"pair {number}" for number in range(50)]
    for (method, frozen), mass in masses.items():
        for seed in range(3):
            run_id = f"{method} {frozen} {seed}"
            config = {"frozen": frozen, "debiasing": {"method": method}}
            made.runs[run_id] = {"config": config}
            columns = {"split": "test", "seed": seed}
            by_pair = mass + 0.02 * rng.normal(size=50)
            for axis in ("gradient", "integrated", "occlusion"):
                made.unit_scores(
                    run_id,
                    "explanations",
                    "test",
                    axis,
                    "mass",
                    dict(zip(pairs, by_pair, strict=True)),
                )
            made.row(run_id, "explanations", "mass_accuracy", 100 * by_pair.mean(), **columns)
            made.row(run_id, "explanations", "nc1", 1 - mass, **columns)
            made.row(run_id, "text_gender", "accuracy", 90.0, **columns | {"axis": ""})
    study = made.study()
    answers = concepts.evaluate(study, resamples=RESAMPLES)
    rows = answers[answers["question"] == "explained"].set_index("what")
    assert rows.loc["all − head", "value"] == pytest.approx(40, abs=2)
    assert rows.loc["all − head", "word"] == Word.SUPPORTED
    assert rows.loc["head and embeddings − head", "word"] == Word.OPEN
    assert rows.loc["NC1 and mass, over runs", "value"] < -0.5
    said = concepts.explained_finding(answers)
    assert "with all trained they put more weight on the right words" in said
    assert "with head and embeddings trained they are not shown to differ" in said
    assert "head" in concepts.explained_table(study, caption="Made up.").to_html()


def test_without_runs_everything_is_said_to_be_missing_and_one_row_is_kept():
    study = MadeUp().study()
    answers = concepts.evaluate(study, resamples=RESAMPLES)
    assert answers.empty
    for finding in (
        concepts.proposition_finding,
        concepts.follows_finding,
        concepts.statistics_finding,
        concepts.facts_finding,
        concepts.explained_finding,
    ):
        assert finding(answers) == concepts.ABSENT
    run = concepts.as_run(answers, {"model": MODEL}, runs=[])
    assert run.results["metric"].tolist() == ["runs"]
    assert len(concepts.explained_runs(study)) == 0


def test_answers_become_rows():
    made = MadeUp()
    treated(made, 1)
    answers = concepts.evaluate(made.study(), resamples=RESAMPLES)
    run = concepts.as_run(answers, {"model": MODEL}, runs=["a"])
    assert run.results["split"].tolist() == ["proposition", "proposition"]
    assert run.results["variant"].tolist() == [str(Word.AS_PROVED)] * 2
