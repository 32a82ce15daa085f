"""Other groups: changes planted in made-up runs are recomputed by hand and judged by the plan's rule; the
ledger looks its numbers up and says what is missing; what was planned is what can be run.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import ROOT

from fairnc_book import ledger, other_groups, tables
from fairnc_book.numbers import METRICS
from fairnc_utils import benchmarks, stats, words
from fairnc_utils.benchmarks import iat, occupations
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import grid
from fairnc_utils.runs.rows import RESULT_COLUMNS, make, select

BOTH = "repaired,kind=both"


def row(value, **columns):
    empty = dict.fromkeys(RESULT_COLUMNS, "")
    ends = {"ci_low": value - 0.1, "ci_high": value + 0.1, "n": 10.0, "lam": np.nan, "seed": 0}
    common = {"model": ledger.EMBEDDED, "method": "base", "regularizer": "none"}
    common |= {
        "variant": "corrected",
        "origin": "recorded",
        "created": "2026-01-01",
        "value": value,
    }
    return empty | ends | common | columns


def study(effects, *, base=0.5, noise=0.02):
    """Rows of ``valence``, whose changes by treatment are planted for each contrast."""
    rows, rng = [], np.random.default_rng(0)
    for outcome in other_groups.OUTCOMES["valence"]:
        where = {name: getattr(outcome, name) for name in ("benchmark", "split", "axis", "metric")}
        size = effects.get(outcome.of, {})
        rows.append(row(base, run_id="base", **where))
        for method in ("mlm", "bec", "cda"):
            for seed in (10, 11, 12):
                for name in ("none", BOTH, "swap"):
                    value = base + size.get(other_groups._way(name), 0) + noise * rng.normal()
                    value += size.get("debiasing", 0) * (method != "mlm")
                    at = {"method": method, "seed": seed, "regularizer": name}
                    rows.append(row(value, run_id=f"{method}{seed}{name}", **at, **where))
    return pd.DataFrame(rows)


def test_ways_are_read_from_labels():
    assert other_groups._way("none") == "none"
    assert other_groups._way("swap") == "swap collapse"
    assert RegularizerLabel.parse(BOTH).kind == "both"
    assert other_groups._way(BOTH) == "NC3 both"


def test_changes_are_those_of_pairs_and_judged_by_the_rule():
    results = study({"age": {"debiasing": -0.3, "NC3 both": 0.3}, "race": {"swap collapse": -0.2}})
    table = other_groups.changes(results)
    assert set(table["family"]) == {"valence"}
    got = {(r.of, r.treatment): r for r in table.itertuples()}
    rows = select(results, benchmark="valence", axis="age", metric="valence")
    cell = rows.set_index(["method", "seed", "regularizer"])["value"]
    by_hand = [
        cell[m, s, BOTH] - cell[m, s, "none"] for m in ("bec", "cda", "mlm") for s in (10, 11, 12)
    ]
    mean = stats.over_seeds(by_hand)
    assert got["age", "NC3 both"].value == pytest.approx(mean.value)
    assert got["age", "NC3 both"].ci_low == pytest.approx(mean.ci_low)
    assert got["age", "NC3 both"].pairs == 9
    debiased = [
        cell[m, s, "none"] - cell["mlm", s, "none"] for m in ("bec", "cda") for s in (10, 11, 12)
    ]
    assert got["age", "debiasing"].value == pytest.approx(np.mean(debiased))
    assert got["age", "debiasing"].verdict == "supported"
    assert got["age", "NC3 both"].verdict == "contradicted"
    assert got["race", "swap collapse"].verdict == "supported"
    assert got["weight", "swap collapse"].verdict == "inconclusive"
    said = other_groups.changes_finding(table)
    assert "valence of age" in said
    assert "raises" in said
    assert other_groups.changes_table(table, caption="Changes.").to_html()


def test_nothing_can_be_removed_where_there_is_nothing():
    table = other_groups.changes(study({"age": {"debiasing": -0.3}}, base=0.05))
    assert set(table["verdict"]) == {"nothing to remove"}
    assert other_groups.changes_finding(table).startswith("No treatment")


def test_null_studies_are_seldom_said_to_change_anything():
    table = other_groups.changes(study({}))
    assert not table["verdict"].isin(["supported", "contradicted"]).any()


def test_without_runs_the_chapter_says_so():
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS))
    table = other_groups.changes(nothing)
    assert table.empty
    for said in (
        other_groups.changes_finding(table),
        other_groups.names_finding(nothing),
        other_groups.questions_finding(nothing),
        other_groups.beyond_finding(nothing),
    ):
        assert said == other_groups.ABSENT
    assert len(other_groups.as_run({"model": "m", "profile": "p"}, table, []).results) == 1
    assert ledger.NOT_RUN in ledger.markdown(nothing)
    assert other_groups.cost(nothing) == "Recorded runs of this study: 0."


def test_rows_of_changes_are_kept():
    table = other_groups.changes(study({"age": {"debiasing": -0.3}}))
    rows = other_groups.as_run({"model": "m", "profile": "p"}, table, ["a"]).results
    assert len(rows) == len(table)
    assert set(rows["metric"]) == {"group_change"} <= set(METRICS)


# ----------------------------------------------------------------------------------------------- ledger


def test_every_number_of_the_ledger_is_one_that_its_benchmark_makes():
    for entry in ledger.ENTRIES:
        assert tables.cited(entry.source)
        assert bool(entry.numbers) == bool(entry.controls) != bool(entry.instead)
        for number in (*entry.numbers, *entry.controls):
            benchmark = benchmarks.get(number.where["benchmark"])
            benchmark.check(split=number.where["split"], axis=number.where["axis"])
            assert number.metric in METRICS
            beyond = {"p_words", "name_range_null", "cav_accuracy"}  # of ``extras``
            assert number.metric in {*benchmark.statistics, *beyond}


def test_the_ledger_prefers_recorded_rows_of_the_untreated_model():
    number = next(iter(ledger.of("kamruzzaman2024subtler"))).numbers[0]
    at = dict(number.where) | {"metric": number.metric}
    rows = pd.DataFrame(
        [
            row(-0.6, **at),
            row(-0.1, origin="live", created="2026-02-01", **at),
            row(-9.0, method="bec", **at),
            row(-8.0, model="other", **at),
            row(-7.0, variant="difference", **at),
        ]
    )
    assert number.row(rows)["value"] == -0.6
    assert number.said(rows).endswith("−0.600 [−0.700, −0.500], n = 10, recorded")
    assert "1 of" in ledger.finding(rows)
    assert number.row(rows.iloc[1:])["value"] == -0.1


def test_each_entry_finds_its_recorded_rows():
    """Those of the chapter on concepts too; what only a causal model's missing run would tell is not run."""
    rows = ledger.recorded_rows()
    assert set(rows["profile"]) == set(ledger.EDITIONS)
    asked = [entry for entry in ledger.ENTRIES if entry.numbers]
    assert all(number.row(rows) is not None for entry in asked for number in entry.numbers)


def test_another_system_is_one_more_entry():
    first = ledger.ENTRIES[0]
    entries = (*ledger.ENTRIES, dataclasses.replace(first, system="Another"))
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS))
    text = ledger.markdown(nothing, entries=entries)
    assert len(text.splitlines()) == len(entries) + 2
    assert "Another" in ledger.finding(nothing, entries=entries)


# -------------------------------------------------------------------------------------- live findings


def test_a_planted_prediction_is_seen_and_noise_is_not():
    rng = np.random.default_rng(1)
    decision = rng.normal(size=60)
    points = pd.DataFrame(
        {"decision": decision, "association": decision + 0.3 * rng.normal(size=60)}
    )
    told = other_groups.predictions(points.assign(seat=rng.normal(size=60)))
    assert other_groups.predictions_finding(told).endswith("better than word vectors do.")
    assert told["value"].iloc[2] == pytest.approx(told["value"].iloc[0] - told["value"].iloc[1])
    nothing = other_groups.predictions(
        pd.DataFrame(rng.normal(size=(60, 3)), columns=["decision", "association", "seat"])
    )
    assert "not shown" in other_groups.predictions_finding(nothing)
    assert other_groups.predictions_table(told, caption="Told.").to_html()


def estimates(**values):
    """A run of rows with value and interval by axis."""
    rows = [
        row(value, axis=axis, metric=metric, ci_low=low, ci_high=high)
        for (metric, axis), (value, low, high) in values["of"].items()
    ]
    return make({"model": "m", "profile": "p"}, rows, None, device="cpu", evidence={})


def test_findings_need_their_controls():
    some = estimates(
        of={
            ("association", "gender_career"): (0.2, 0.1, 0.3),
            ("association", "age_valence"): (0, -1, 1),
        }
    )
    null = estimates(of={("association", "nonce"): (0.0, -0.1, 0.1)})
    bad = estimates(of={("association", "nonce"): (0.3, 0.1, 0.4)})
    assert "gender and career" in other_groups.association_finding(some, null)
    assert "control fails" in other_groups.association_finding(some, bad)
    kind = estimates(of={("valence", "beauty"): (-0.6, -0.9, -0.3)})
    good = estimates(of={("valence", "nonce"): (0, -1, 1), ("valence", "planted"): (-2, -3, -1)})
    blind = estimates(of={("valence", "nonce"): (0, -1, 1), ("valence", "planted"): (0, -1, 1)})
    assert "less kind things" in other_groups.valence_finding(kind, good).lower()
    assert "control fails" in other_groups.valence_finding(kind, blind)
    assert other_groups.valence_finding(kind, good) != other_groups.valence_finding(kind, blind)


def test_names_and_questions_are_judged_by_the_plan():
    rows = [
        row(value, benchmark="gap_names", split=split, axis="all", metric=metric, seed=seed)
        for seed in (10, 11)
        for split, metric, value in (
            ("test", "p_names", 0.01),
            ("test", "name_accuracy", 70.0),
            ("mismatched", "name_accuracy", 60.0),
            ("mismatched", "p_names", 0.01),
        )
    ]
    table = pd.DataFrame(rows)
    assert "2 of 2" in other_groups.names_finding(table)
    assert other_groups.names_table(table, caption="Names.").to_html()
    deaf = table.assign(value=table["value"].where(table["metric"] != "name_accuracy", 65.0))
    assert "control fails" in other_groups.names_finding(deaf)

    def asked(accuracy, without, low, high):
        at = {"benchmark": "bbq", "axis": "all", "model": ledger.CAUSAL}
        return pd.DataFrame(
            [
                row(accuracy, split="sample", metric="accuracy_disambiguated", **at),
                row(without, split="no_context", metric="accuracy_disambiguated", **at),
                row(5.0, split="sample", metric="bias_ambiguous", ci_low=low, ci_high=high, **at),
            ]
        )

    assert "do not count" in other_groups.questions_finding(asked(33.0, 33.0, 1, 9))
    assert "with the stereotype" in other_groups.questions_finding(asked(50.0, 33.0, 1, 9))
    assert "neither clearly with" in other_groups.questions_finding(asked(50.0, 33.0, -1, 9))


def test_shares_are_counted_by_pronouns_of_one_gender(monkeypatch):
    texts = [
        "She is a nurse.",
        "The nurse met her sister.",
        "The nurses said he left.",
        "He told her.",
    ]
    monkeypatch.setattr(
        other_groups.corpora,
        "load",
        lambda name, part: {"text": [*texts, "An engineer and his dog"]},
    )
    monkeypatch.setattr(other_groups.corpora, "splits", lambda name: ("test",))
    shares = other_groups.corpus_shares(["gap"])
    assert list(shares.index) == list(dict.fromkeys(occupations.load("bls")["occupation"]))
    assert shares.loc["nurse", "gap texts"] == 3
    assert shares.loc["nurse", "gap share"] == pytest.approx(2 / 3)
    assert shares.loc["engineer", "gap share"] == 0
    assert np.isnan(shares.loc["plumber", "gap share"])
    assert "0" in other_groups.shares_table(shares, least=1, caption="Shares.").to_html()


def test_words_are_counted_as_one_token_and_as_seen(monkeypatch, tokenizer):
    texts = ["The old man and the young man"] * 9 + ["An old Chinese-American man"]
    monkeypatch.setattr(other_groups.corpora, "load", lambda *_: {"text": texts})
    table = other_groups.words_counted(
        tokenizer, ["age", "nationality"], corpora_of=[("gap", "test")]
    )
    assert dict(zip(table["words"], table["GAP"], strict=True)) == {"age": 1, "nationality": 0}
    listed = dict(zip(table["words"], table["listed"], strict=True))
    assert listed["age"] == sum(map(len, words.descriptors()["age"].values()))
    assert (table["one token"] < table["listed"]).all()
    assert "age: 1; nationality: 0" in other_groups.words_finding(table, "GAP")


# -------------------------------------------------------------------------------------------- the plan


def test_what_the_plan_asks_can_be_run():
    config = yaml.safe_load((ROOT / "config/groups.yaml").read_text())
    sweeps = config["study"]["sweeps"]
    number = sum(
        int(np.prod([len(values) for values in sweep.get("grid", {}).values()]))
        for sweep in sweeps.values()
    )
    assert number == 38
    assert len(grid.cells(grid.plan(config))) == number
    asked = {name for sweep in sweeps.values() for name in sweep["options"]["benchmarks"]}
    for outcome in (o for of in other_groups.OUTCOMES.values() for o in of):
        if outcome.benchmark == "collapse":
            assert outcome.of in sweeps["base"]["options"]["collapse"]
            continue
        benchmark = benchmarks.get(outcome.benchmark)
        benchmark.check(split=outcome.split, axis=outcome.axis)
        assert outcome.metric in benchmark.statistics
        assert f"{outcome.benchmark}:{outcome.split}" in asked
    for wanted in asked:
        name, split, *axis = wanted.split(":")
        benchmarks.get(name).check(split=split, axis=axis[0] if axis else "all")


def test_the_tests_of_association_are_asked_by_group():
    for outcome in other_groups.OUTCOMES["association"]:
        assert outcome.axis in iat.TESTS
    with pytest.raises(FairNCError):
        benchmarks.get("iat").check(split="words", axis="nothing")
