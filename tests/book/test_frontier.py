"""The frontier: changes planted in made-up runs are recomputed by hand, judged by the plan's rule,
drawn and put into words; cells that were not run are said.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fairnc_book import figures, frontier
from fairnc_book.numbers import Numbers
from fairnc_book.verdicts import Verdict
from fairnc_utils.benchmarks import occupations
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS

MODEL = "models/minilm-mlm"
NAMES = sorted(set(occupations.load("bls")["occupation"]))
SHARES = np.linspace(-0.5, 0.5, len(NAMES))
TEXTS = [f"text {i}" for i in range(40)]

#: Cell → slope, log loss, accuracy, perplexity, accuracy where only names tell, seeds.
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


def made_up(cells=CELLS, *, model=MODEL):
    """Result rows and unit scores; a seed moves all cells alike, and each a trifle by itself."""
    results, units = [], []
    for number, ((method, treatment), (slope, loss, right, perplexity, names, seeds)) in enumerate(
        cells.items()
    ):
        where = frontier.cell(method, treatment)
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
                "accuracy_names": names + shift,
                "log_perplexity": perplexity * np.exp(shift / 100),
            }
            results += [
                dict(frontier.OUTCOMES[name].measure.where)
                | {
                    "metric": frontier.OUTCOMES[name].measure.name,
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


@pytest.fixture(scope="module")
def numbers():
    return Numbers(*made_up(), model=MODEL, edition="second")


@pytest.fixture(scope="module")
def changes(numbers):
    """Treatment → its change, of all treatments and arms of cda."""
    every = frontier.changes(
        numbers, ["cda"], [*frontier.TREATMENTS, *frontier.ARMS], resamples=200
    )
    return {change.treatment: change for change in every}


def words(*those):
    return [judgement.word for judgement in frontier.judge(those)]


def values(numbers, name, treatment):
    """Value by seed, straight from the rows."""
    measure, where = frontier.OUTCOMES[name].measure, frontier.cell("cda", treatment)
    rows = numbers.results
    for column, value in {"metric": measure.name, **measure.where}.items():
        rows = rows[rows[column] == value]
    rows = rows[(rows["method"] == "cda") & (rows["regularizer"] == where.regularizer)]
    return rows.sort_values("seed")["value"].to_numpy()


def test_changes_are_means_of_differences_at_the_same_seed(numbers, changes):
    for name in frontier.SHOWN:
        ends = [values(numbers, name, treatment) for treatment in ("none", "swap")]
        if name == "log_perplexity":
            ends = [np.log(end) for end in ends]
        assert changes["swap"].effects[name].value == pytest.approx(np.mean(ends[1] - ends[0]))
    effect = changes["swap"].effects["log_perplexity"]  # no units: the t interval over seeds
    difference = np.diff(
        [np.log(values(numbers, "log_perplexity", t)) for t in ("none", "swap")], axis=0
    )[0]
    low, high = scipy.stats.t.interval(
        0.95, 3, difference.mean(), difference.std(ddof=1) / np.sqrt(4)
    )
    assert (effect.ci_low, effect.ci_high) == pytest.approx((low, high))


def test_the_rule_tells_fairer_from_blinder_and_from_nothing(changes):
    assert words(changes["swap"], changes["uniform"], changes["both"]) == [
        "fairer",
        "no fairer",
        "no fairer",
    ]
    uniform, both = frontier.judge([changes["uniform"], changes["both"]])
    assert (uniform.verdict, both.verdict) == (Verdict.NO_EFFECT, Verdict.CONTRADICTED)
    assert words(changes["ratio form"], changes["even part alone"]) == ["blinder", "blinder"]
    assert changes["ratio form"].failed == ("accuracy",)
    assert changes["even part alone"].failed == ("log_loss", "accuracy", "log_perplexity")
    assert words(changes["names swapped"]) == ["not decided"]
    assert words(changes["evidence pairs only"]) == ["not run"]


def test_a_bound_is_one_on_the_upper_end_of_a_loss(numbers):
    results, units = made_up({**CELLS, ("cda", "swap"): (0.5, 0.40, 90.0, 15.0, 90.0, 4)})
    better = frontier.change(
        Numbers(results, units, model=MODEL, edition="second"), "cda", "swap", resamples=200
    )
    assert better.failed == ()  # a gain is no loss, however large


def test_too_large_a_fall_overshoots():
    results, units = made_up({**CELLS, ("cda", "swap"): (-0.9, 0.45, 80.0, 20.0, 76.0, 4)})
    past = frontier.change(
        Numbers(results, units, model=MODEL, edition="second"), "cda", "swap", resamples=200
    )
    (judgement,) = frontier.judge([past])
    assert (judgement.word, judgement.verdict) == ("no fairer", Verdict.OVERSHOOTS)


def test_holm_goes_over_a_family(numbers, changes):
    """Many slopes that are noise make a slight one undecided, which by itself is supported."""
    slope = changes["swap"].effects["slope"]
    effects = changes["swap"].effects | {"slope": with_p(slope, 0.02)}
    slight = dataclasses.replace(changes["swap"], effects=effects)
    noise = [changes["uniform"]] * 3
    assert words(slight) == ["fairer"]
    assert words(slight, *noise)[0] == "no fairer"


def with_p(effect, p):
    """The effect with such an error that its p is as given."""
    error = abs(effect.value) / scipy.stats.t.isf(p / 2, effect.df)
    return dataclasses.replace(effect, error=error)


def test_rare_occupations_are_as_if_they_had_been_scored():
    results, units = made_up()
    more, more_units = frontier.with_rare(results, units)
    kept = set(occupations.load("bls_rare_in_gap_pairs")["occupation"])
    assert 0 < len(kept) < len(NAMES)
    measure = frontier.OUTCOMES["slope_rare_gap"].measure
    rows = measure.rows(more).set_index("run_id")
    assert set(rows.index) == set(results["run_id"])
    for run, scored in units[units["benchmark"] == "occupation_slope"].groupby("run_id"):
        wide = scored[scored["unit"].isin(kept)].pivot(
            index="unit", columns="column", values="value"
        )
        assert rows.loc[run, "value"] == pytest.approx(
            np.polyfit(wide["share"], wide["log_odds"], 1)[0]
        )
    again, units_again = frontier.with_rare(more, more_units)  # what was scored stays as it is
    assert (len(again), len(units_again)) == (len(more), len(more_units))


def test_levels_are_means_over_seeds(numbers):
    cells = [("base", "none", 0.3), ("cda", "swap", 0.3), ("mlm", "none", 0.3)]
    means = frontier.levels(numbers, cells, ["slope"]).set_index("method")
    assert set(means.index) == {"base", "cda"}
    slopes = values(numbers, "slope", "swap")
    assert means.loc["cda", "value"] == pytest.approx(slopes.mean())
    assert means.loc["cda", "n"] == 4
    assert means.loc["base", "ci_low"] == pytest.approx(means.loc["base", "value"] - 0.1)
    assert "not run" in frontier.level_table(frontier.levels(numbers, [], []), caption="").to_html()


def test_rows_hold_every_change(numbers, changes):
    means = frontier.levels(numbers, [("cda", "swap", 0.3)], ["slope"])
    run = frontier.as_run(changes.values(), means, bases=[numbers], profile="test")
    rows = run.select(regularizer="swap,dose=0.3", metric="slope").set_index("variant")
    assert rows.loc["minus none", "value"] == pytest.approx(changes["swap"].effects["slope"].value)
    assert rows.loc["mean", "value"] == pytest.approx(means["value"].iloc[0])
    assert set(run.results["origin"]) == {"recorded"}
    assert frontier.as_run([], bases=[numbers]).results.empty


def test_sentences_say_success_and_failure(numbers, changes):
    main = [changes[name] for name in frontier.TREATMENTS]
    price = frontier.price(main, method="cda")
    assert price.startswith("The slope of cda is lowered by swap and raised by both.")
    assert "only names tell with swap 0.3" in price
    assert frontier.ruled([changes["swap"]], subject="swap") == "swap makes cda fairer."
    blind = frontier.ruled([changes["ratio form"]], subject="it")
    assert blind == "it makes no method fairer; makes cda (accuracy %) blinder."
    assert "explains a fall" in frontier.explained(changes["swap"])
    assert "explains no fall" in frontier.explained(changes["both"])
    assert "has no two seeds" in frontier.explained(changes["names swapped"])
    largest = frontier.largest_fall(list(changes.values()))
    assert "even part alone" in largest
    assert largest.endswith("which is blinder.")
    difference = frontier.change(numbers, "cda", "names swapped", against="swap", resamples=200)
    names = frontier.names_back(changes["swap"], changes["names swapped"], difference)
    assert names.startswith("A single seed")
    back = frontier.change(numbers, "cda", "swap", against="even part alone", resamples=200)
    assert "brings back" in frontier.names_back(changes["swap"], changes["swap"], back)


def test_tables_and_figures_show_what_was_run_and_what_was_not(changes):
    family = list(changes.values())
    slope = f"{changes['swap'].effects['slope'].value:.3f}".replace("-", "−")
    text = frontier.table(family, outcomes=frontier.SHOWN, caption="c").to_html()
    for shown in (slope, "not run", "blinder", "slope: supported", "even part alone"):
        assert shown in text
    assert ">method<" not in text  # all are of cda
    figure = figures.frontier(family, method="cda")
    lines = {trace.name: trace for trace in figure.data if trace.xaxis == "x"}
    assert lines["swap"].y[1] == pytest.approx(changes["swap"].effects["slope"].value)
    assert lines["swap"].x[1] == pytest.approx(changes["swap"].effects["log_loss"].value)
    assert "diamond-open" in lines["arms of swap collapse (hover)"].marker.symbol
    assert len(figures.frontier([], method="cda").data) == 0


def test_an_edition_without_runs_says_so():
    empty = Numbers(pd.DataFrame(columns=list(RESULT_COLUMNS)), model=MODEL, edition="second")
    changes = frontier.changes(empty, ["cda"], frontier.TREATMENTS)
    assert words(*changes) == ["not run"] * 3
    assert frontier.not_run(changes)[0] == "cda alone"
    assert frontier.price(changes, method="cda") == "No treatment of cda was run."
    assert frontier.ruled(changes, subject="swap") == "swap was not run."
    assert frontier.largest_fall(changes) == "No arm was run."
    assert "nothing to look for" in frontier.on_rare_occupations(changes, ["slope_rare_gap"])
    assert "Not run" in frontier.carried_over(empty, changes, frontier.TRANSFER)
    assert "not run" in frontier.table(changes, outcomes=frontier.SHOWN, caption="").to_html()


def test_the_causal_chapter_speaks_in_both_states():
    cells = {
        (method, treatment): row
        for method in ("clm", "cda")
        for (_, treatment), row in list(CELLS.items())[1:5]
    } | {("base", "none"): CELLS["base", "none"]}
    for rows, said in ((made_up(cells, model="smollm2"), "**Finding.**"), (None, "**Not run.**")):
        results, units = rows or (pd.DataFrame(columns=list(RESULT_COLUMNS)), None)
        numbers = Numbers(results, units, model="smollm2", edition="second")
        changes = frontier.changes(
            numbers, frontier.CAUSAL_METHODS, frontier.TREATMENTS, resamples=200
        )
        text = frontier.causal_finding(changes, model="smollm2")
        assert text.startswith(said)
        assert ("clm with swap 0.3" in text) is (rows is None)
        assert ("*swap* makes clm and cda fairer" in text) is (rows is not None)
