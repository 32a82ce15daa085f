"""The frontier: changes planted in made-up runs are recomputed by hand, judged by the plan's rule,
drawn and put into words; cells that were not run are said.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fairnc_book import figures, frontier, planned
from fairnc_book.numbers import Numbers, Setting
from fairnc_book.planned.data import (
    ARMS,
    DOSED,
    KEPT,
    MAIN_DOSE,
    NAMES_SWAPPED,
    PARTS_OF_SWAP,
    SLOPE,
)
from fairnc_book.planned.study import with_rare
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.benchmarks import occupations
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS

MODEL = "models/minilm-mlm"
OUTCOMES = dict(
    zip(("slope", "log_loss", "accuracy", "log_perplexity", "names"), planned.PRICED, strict=True)
)
COMPARISONS = {name: DOSED[name, MAIN_DOSE] for name in planned.TREATMENTS} | {
    arm.treatment: arm for arm in ARMS
}
NAMES = sorted(set(occupations.load("bls")["occupation"]))
SHARES = np.linspace(-0.5, 0.5, len(NAMES))
TEXTS = [f"text {i}" for i in range(40)]

#: Setting → slope, log loss, accuracy, perplexity, accuracy where only names tell, seeds.
CELLS = {
    ("base", "none"): (2.0, 0.50, 78.0, 21.0, 76.0, 1),
    ("cda", "none"): (0.8, 0.45, 80.0, 20.0, 76.0, 4),
    ("cda", "uniform"): (0.8, 0.45, 80.0, 20.0, 76.0, 4),
    ("cda", "both"): (0.9, 0.44, 80.0, 20.0, 76.0, 4),
    ("cda", "swap"): (0.5, 0.46, 79.5, 20.0, 70.0, 4),
    ("cda", "ratio form"): (0.4, 0.46, 75.0, 20.0, 70.0, 4),
    ("cda", "even part alone"): (0.2, 0.60, 72.0, 21.0, 65.0, 4),
    ("cda", "names swapped"): (0.6, 0.45, 80.0, 20.0, 77.0, 1),
}


def cell(method, treatment):
    return (
        COMPARISONS[treatment].settings(method)[1] if treatment in COMPARISONS else Setting(method)
    )


def made_up(cells=CELLS, *, model=MODEL):
    """Result rows and unit scores; a seed moves all cells alike, and each a trifle by itself."""
    results, units = [], []
    for number, ((method, treatment), (slope, loss, right, perplexity, names, seeds)) in enumerate(
        cells.items()
    ):
        where = cell(method, treatment)
        for seed in range(seeds):
            run = f"{model} {where.method} {where.regularizer} {seed}"
            shift = 0.01 * np.sin(seed) + 0.002 * np.cos(7 * number + 3 * seed)
            noise = 0.05 * np.sin(np.arange(len(NAMES)) * (seed + 2) + number)
            odds = (slope + shift) * SHARES + noise
            spread = np.sin(np.arange(len(TEXTS)))
            spread -= spread.mean()
            columns = {
                ("occupation_slope", "bls", "gender", "log_odds"): (NAMES, odds),
                ("occupation_slope", "bls", "gender", "share"): (NAMES, SHARES),
            }
            for axis, accuracy in (("words", 2 * right - names), ("names", names)):
                place = ("gender_agreement", "test", axis)
                scored = [f"{axis} {text}" for text in TEXTS]
                columns[*place, "loss"] = scored, loss + shift / 10 + 0.1 * spread
                columns[*place, "right"] = scored, accuracy + shift + 5 * spread
            for key, (called, values) in columns.items():
                units += [
                    (run, *key[:3], unit, key[3], v) for unit, v in zip(called, values, strict=True)
                ]
            values = {
                "slope": np.polyfit(SHARES, odds, 1)[0],
                "log_loss": loss + shift / 10,
                "accuracy": right + shift,
                "names": names + shift,
                "log_perplexity": np.log(perplexity) + shift / 100,
            }
            results += [
                dict(OUTCOMES[name].measure.where)
                | {
                    "metric": OUTCOMES[name].measure.name,
                    "value": value,
                    "ci_low": value - 0.1,
                    "ci_high": value + 0.1,
                    "run_id": run,
                    "model": model,
                    "method": where.method,
                    "regularizer": where.regularizer,
                    "lam": 0.0 if treatment == "none" else 1.0,
                    "seed": seed,
                    "profile": "second",
                    "created": "2026-01-01",
                }
                for name, value in values.items()
            ]
    return (
        pd.DataFrame(results).reindex(columns=list(RESULT_COLUMNS)),
        pd.DataFrame(units, columns=list(UNIT_COLUMNS)),
    )


def evaluated(*tables, model=MODEL, families=planned.FRONTIER):
    study = planned.Study(model, Numbers(*tables, model=model, edition="second", weights={}))
    return planned.evaluate([study], families, resamples=200)


@pytest.fixture(scope="module")
def tests():
    return evaluated(*made_up())


def change(treatment, method="cda"):
    return COMPARISONS[treatment], method


def row(tests, name, treatment):
    return planned.effect(tests, COMPARISONS[treatment].key, OUTCOMES[name].key, method="cda")


def words(tests, *treatments):
    return [frontier.judged(tests, change(treatment)) for treatment in treatments]


def values(name, treatment):
    """Value by seed, straight from the rows."""
    rows, measure, where = made_up()[0], OUTCOMES[name].measure, cell("cda", treatment)
    for column, value in {"metric": measure.name, **measure.where}.items():
        rows = rows[rows[column] == value]
    rows = rows[(rows["method"] == "cda") & (rows["regularizer"] == where.regularizer)]
    return rows.sort_values("seed")["value"].to_numpy()


def test_changes_are_means_of_differences_at_the_same_seed(tests):
    for name in OUTCOMES:
        difference = values(name, "swap") - values(name, "none")
        assert row(tests, name, "swap")["value"] == pytest.approx(difference.mean())
    effect = row(tests, "log_perplexity", "swap")  # no units: the t interval over seeds
    difference = values("log_perplexity", "swap") - values("log_perplexity", "none")
    low, high = scipy.stats.t.interval(
        0.95, 3, difference.mean(), difference.std(ddof=1) / np.sqrt(4)
    )
    assert (effect["ci_low"], effect["ci_high"]) == pytest.approx((low, high))


def test_the_rule_tells_fairer_from_blinder_and_from_nothing(tests):
    assert words(tests, "swap", "uniform", "both") == ["fairer", "no fairer", "no fairer"]
    verdicts = [row(tests, "slope", name)["verdict"] for name in ("uniform", "both")]
    assert verdicts == [Verdict.NO_EFFECT, Verdict.CONTRADICTED]
    assert words(tests, "ratio form", "even part alone") == ["blinder", "blinder"]
    lost = {
        name: planned.lost_by(tests, name, method="cda")
        for name in ("ratio form", "even part alone")
    }
    assert lost == {
        "ratio form": ["agreement accuracy %"],
        "even part alone": [each.label for each in KEPT],
    }
    assert words(tests, "names swapped", "pairs with evidence only") == ["not decided", "not run"]


def test_a_bound_is_one_on_the_upper_end_of_a_loss():
    better = evaluated(*made_up({**CELLS, ("cda", "swap"): (0.5, 0.40, 90.0, 15.0, 90.0, 4)}))
    assert planned.lost_by(better, "swap", method="cda") == []  # a gain is no loss, however large


def test_too_large_a_fall_overshoots():
    past = evaluated(*made_up({**CELLS, ("cda", "swap"): (-0.9, 0.45, 80.0, 20.0, 76.0, 4)}))
    assert words(past, "swap") == ["no fairer"]
    assert row(past, "slope", "swap")["verdict"] == Verdict.OVERSHOOTS


def test_holm_goes_over_the_arms(tests):
    arms = tests[tests["family"].eq("arms") & tests["method"].eq("cda")]
    assert len(arms) == len(ARMS)
    np.testing.assert_allclose(arms["holm_p"], stats.holm(arms["p"]))
    assert (arms["holm_p"] > arms["p"]).any()


def test_rare_occupations_are_as_if_they_had_been_scored():
    results, units = made_up()
    more, more_units = with_rare(results, units)
    kept = set(occupations.load("bls_rare_in_gap_pairs")["occupation"])
    assert 0 < len(kept) < len(NAMES)
    rows = planned.RARE[0].measure.rows(more).set_index("run_id")
    assert set(rows.index) == set(results["run_id"])
    for run, scored in units[units["benchmark"] == "occupation_slope"].groupby("run_id"):
        wide = scored[scored["unit"].isin(kept)].pivot(
            index="unit", columns="column", values="value"
        )
        assert rows.loc[run, "value"] == pytest.approx(
            np.polyfit(wide["share"], wide["log_odds"], 1)[0]
        )
    again, units_again = with_rare(more, more_units)  # what was scored stays as it is
    assert (len(again), len(units_again)) == (len(more), len(more_units))
    rare = planned.arms("swap", "with the occupations' sentences", method="cda")
    said = frontier.on_rare_occupations(evaluated(more, more_units), rare)
    assert said.startswith("Where the slope falls")
    assert f"{len(kept)} occupations make" in said


def test_rows_hold_every_change(tests):
    config = {"model": MODEL, "profile": "test"}
    run = planned.as_run(tests, config, runs=["a"], benchmark="frontier")
    (value,) = run.select(
        split="D", regularizer="swap", axis=SLOPE.key, method="cda", metric="value"
    )["value"]
    assert value == pytest.approx(row(tests, "slope", "swap")["value"])
    assert set(run.results["origin"]) == {"recorded"}
    assert set(run.results["benchmark"]) == {"frontier"}  # none of them is read as the plan's


def test_sentences_say_success_and_failure(tests):
    price = frontier.price(tests, method="cda")
    assert price.startswith(
        "The slope of cda is lowered by swap (main dose) and raised by both (main dose)."
    )
    assert "only names tell with swap 0.3" in price
    assert frontier.ruled(tests, [change("swap")], subject="swap") == "swap makes cda fairer."
    blind = frontier.ruled(tests, [change("ratio form")], subject="it")
    assert blind == (
        "it makes no method fairer; is not shown to keep what it must in cda (agreement accuracy %)."
    )
    assert "it is training for swap collapse that lowers it" in frontier.explained(
        tests, method="cda"
    )
    flat = evaluated(*made_up({**CELLS, ("cda", "swap"): CELLS["cda", "both"]}))
    assert "explains no fall" in frontier.explained(flat, method="cda")
    single = evaluated(*made_up({**CELLS, ("cda", "swap"): (0.5, 0.46, 79.5, 20.0, 70.0, 1)}))
    assert "has no two seeds" in frontier.explained(single, method="cda")
    largest = frontier.largest_fall(tests, planned.arms(method="cda"))
    assert "even part alone" in largest
    assert "which is not shown to keep what it must." in largest
    assert frontier.names_back(tests, method="cda").startswith("A single seed")
    back = evaluated(
        *made_up({**CELLS, ("cda", "names swapped"): (0.6, 0.45, 80.0, 20.0, 77.0, 4)})
    )
    assert "brings back" in frontier.names_back(back, method="cda")
    key = OUTCOMES["names"].key
    difference = planned.effect(back, NAMES_SWAPPED.key, key, method="cda")
    ends = [planned.effect(back, key_, key, method="cda") for key_ in ("swap", "names swapped")]
    assert difference["value"] == pytest.approx(ends[1]["value"] - ends[0]["value"])


def test_tables_and_figures_show_what_was_run_and_what_was_not(tests):
    arms = planned.arms(method="cda")
    text = planned.table(tests, arms, planned.PRICED, judged=True, caption="c").to_html()
    for shown in ("not run", "blinder", "slope: supported", "even part alone", "may rise by 0.03"):
        assert shown in text
    assert ">method<" not in text  # all are of cda
    study = planned.Study(MODEL, Numbers(*made_up(), model=MODEL, edition="second", weights={}))
    levels = planned.arms_table(tests, untrained=study, caption="c").data
    assert levels["change"].iloc[0] == "untrained model"
    assert [each for each in PARTS_OF_SWAP if each.head not in levels] == []
    figure = figures.frontier(tests, method="cda")
    lines = {trace.name: trace for trace in figure.data if trace.xaxis == "x"}
    assert lines["swap"].y[1] == pytest.approx(row(tests, "slope", "swap")["value"])
    assert lines["swap"].x[1] == pytest.approx(row(tests, "log_loss", "swap")["value"])
    assert "diamond-open" in lines["arms of swap collapse"].marker.symbol


def test_an_edition_without_runs_says_so():
    empty = evaluated(pd.DataFrame(columns=list(RESULT_COLUMNS)))
    arms = planned.arms(method="cda")
    assert words(empty, *planned.TREATMENTS) == ["not run"] * 3
    assert frontier.price(empty, method="cda") == "No treatment of cda was run."
    assert frontier.ruled(empty, arms, subject="swap") == "swap was not run."
    assert frontier.largest_fall(empty, arms) == "No arm was run."
    assert "nothing to look for" in frontier.on_rare_occupations(empty, arms)
    assert "Not run" in frontier.carried_over(empty, [change("swap")], planned.TRANSFER)
    assert "not run" in planned.table(empty, arms, planned.PRICED, caption="").to_html()
    assert len(figures.frontier(empty, method="cda").data) == 0


def test_the_causal_chapter_speaks_in_both_states():
    model = planned.CAUSAL
    cells = {
        (method, treatment): numbers
        for method in ("clm", "cda")
        for (_, treatment), numbers in list(CELLS.items())[1:5]
    } | {("base", "none"): CELLS["base", "none"]}
    nothing = (pd.DataFrame(columns=list(RESULT_COLUMNS)),)
    for tables, said in ((made_up(cells, model=model), "**Finding.**"), (nothing, "**Not run.**")):
        tests = evaluated(*tables, model=model, families=planned.CAUSAL_FAMILIES)
        text = frontier.causal_finding(tests, "Which were not.")
        assert text.startswith(said)
        assert text.endswith("Which were not.")
        assert ("*swap* makes clm and cda fairer" in text) is (tables is not nothing)
