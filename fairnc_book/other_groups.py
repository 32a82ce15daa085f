"""What is found of other groups than two: tables and sentences of two chapters, and the rule by
which ``book/about/plan-other-groups.md`` decides.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
import scipy.stats
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import METRICS, UNTRAINED, estimates, minutes
from fairnc_book.verdicts import Verdict
from fairnc_utils import _io, benchmarks, corpora, models, stats, words
from fairnc_utils.benchmarks import occupations, seat, stimuli
from fairnc_utils.benchmarks.honest import FILES
from fairnc_utils.benchmarks.scoring import tokenize
from fairnc_utils.errors import listed
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import checkout
from fairnc_utils.runs.rows import Run, make, recorded, select
from fairnc_utils.tasks.coreference import FEMININE, MASCULINE

#: Profile of the recorded runs.
EDITION = "groups"

ABSENT = "The runs that decide this are not recorded yet."

#: Words of a list that are seen often enough, below which its NC3 is a number of a few words.
ENOUGH = 5

# ---------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Outcome:
    """A number of one group: for people ``of`` whom, and where its rows are."""

    of: str
    benchmark: str
    split: str
    axis: str
    metric: str

    def rows(self, results: pd.DataFrame) -> pd.DataFrame:
        """Its result rows of the masked models."""
        column = "words" if self.benchmark == "collapse" else "axis"
        where = {"benchmark": self.benchmark, "split": self.split, "metric": self.metric}
        rows = select(results, **where, **{column: self.axis})
        if self.benchmark == "collapse":
            rows = select(rows, variant="corrected", space="head", layer="last", min_count=10)
        return rows


#: Family, within which p values are Holm's → its outcomes; all are better near 0.
OUTCOMES = {
    "association": tuple(
        Outcome(of, "iat", "words", axis, "association_log_odds")
        for of, axis in (
            ("gender", "gender_career"),
            ("race", "race_valence"),
            ("religion", "islam_valence"),
            ("age", "age_valence"),
        )
    ),
    "decision": tuple(
        Outcome(of, "unqover", "sample", of, "decision")
        for of in ("gender", "ethnicity", "religion")
    ),
    "valence": tuple(
        Outcome(of, "valence", "descriptors", of, "valence")
        for of in ("age", "beauty", "weight", "class", "race", "orientation")
    ),
    "collapse": tuple(
        Outcome(of, "collapse", "test", of, "unc3") for of in ("gender", "race", "age")
    ),
}

#: Contrasts of the plan: treatment → what it is set against.
TREATMENTS = {"debiasing": "plain training", "NC3 both": "without", "swap collapse": "without"}


def recorded_rows() -> pd.DataFrame:
    """The result rows of this study that come with the book."""
    return select(recorded(), profile=EDITION)


# ---------------------------------------------------------------- what decides


def changes(results: pd.DataFrame) -> pd.DataFrame:
    """One row a family, outcome and treatment: the mean change over methods and seeds with its t interval
    over these, Holm's p within the family and treatment, and the verdict. No rows without runs.
    """
    rows = [
        {"family": family, "of": outcome.of, "treatment": treatment}
        | _change(outcome.rows(results), treatment)
        for family, outcomes in OUTCOMES.items()
        for outcome in outcomes
        for treatment in TREATMENTS
    ]
    columns = ["family", "of", "treatment", "base", "base_low", "base_high"]
    columns += ["value", "ci_low", "ci_high", "p", "pairs"]
    table = pd.DataFrame([row for row in rows if row["pairs"] > 1], columns=columns)
    table["holm_p"] = np.nan
    for _, part in table.groupby(["family", "treatment"]):
        table.loc[part.index, "holm_p"] = stats.holm(part["p"].astype(float))
    table["verdict"] = [str(_verdict(row)) for row in table.to_dict("records")]
    return table


def _change(rows: pd.DataFrame, treatment: str) -> dict:
    base = rows[rows["method"] == UNTRAINED.method]
    base = base.iloc[-1] if len(base) else pd.Series(dtype=float)
    trained = rows[rows["method"] != UNTRAINED.method]
    trained = trained.assign(way=[_way(each) for each in trained["regularizer"]])
    differences = _pairs(trained, treatment)
    mean = stats.over_seeds(differences) if len(differences) else stats.Estimate(*[np.nan] * 3, 0)
    p = scipy.stats.ttest_1samp(differences, 0).pvalue if len(differences) > 1 else np.nan
    ends = {f"base{end}": base.get(name, np.nan) for end, name in _ENDS}
    values = {"value": mean.value, "ci_low": mean.ci_low, "ci_high": mean.ci_high}
    return ends | values | {"p": p, "pairs": len(differences)}


def _pairs(trained: pd.DataFrame, treatment: str) -> np.ndarray:
    """Differences of the runs that a treatment's contrast pairs: a method and plain training at one seed,
    or a method at one seed with and without.
    """
    by = trained.pivot_table(index="seed", columns=["way", "method"], values="value")
    there = set(by.columns.get_level_values(0)) if len(by) else set()
    if treatment == "debiasing":
        none = by["none"] if "none" in there else pd.DataFrame()
        methods = none.drop(columns="mlm", errors="ignore")
        values = methods.sub(none["mlm"], axis=0) if "mlm" in none else pd.DataFrame()
    else:
        values = by[treatment] - by["none"] if {"none", treatment} <= there else pd.DataFrame()
    differences = values.to_numpy(float).ravel()
    return differences[np.isfinite(differences)]


_ENDS = (("", "value"), ("_low", "ci_low"), ("_high", "ci_high"))


def _way(regularizer: str) -> str:
    """What the plan calls a regularizer."""
    label = RegularizerLabel.parse(regularizer)
    return {"none": "none", "swap": "swap collapse"}.get(label.preset, f"NC3 {label.kind}")


def _verdict(row: dict) -> Verdict:
    """The plan's rule: nothing to remove where the base's interval holds 0 (a number that is never below
    0 has always something); else by the side of a change that is significant after Holm.
    """
    side = stats.side(row["base_low"], row["base_high"]) or (
        1 if row["family"] == "collapse" else 0
    )
    if not side:
        return Verdict.NOTHING
    if not row["holm_p"] < 1 - stats.LEVEL:
        return Verdict.INCONCLUSIVE
    return Verdict.SUPPORTED if np.sign(row["value"]) != side else Verdict.CONTRADICTED


def changes_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``changes`` as a reader sees it."""
    return tables.plain(
        pd.DataFrame(
            {
                "number": rows["family"],
                "of": rows["of"],
                "treatment": rows["treatment"],
                "untreated model": rows["base"].astype(float).map(tables.number),
                "change [95% interval]": [tables.interval(row) for _, row in rows.iterrows()],
                "lowers it": rows["verdict"],
                "pairs": rows["pairs"],
            }
        ),
        caption=caption,
    )


#: Family → its number in a sentence, where that is another word.
_NUMBER = {"collapse": "UNC3"}


def changes_finding(rows: pd.DataFrame) -> str:
    """Of which groups a treatment lowers a number, in plain words."""
    if rows.empty:
        return ABSENT
    said = []
    for treatment, part in rows.groupby("treatment", sort=False):
        lowered = part[part["verdict"] == Verdict.SUPPORTED]
        raised = part[part["verdict"] == Verdict.CONTRADICTED]
        for verb, of in (("lowers", lowered), ("raises", raised)):
            names = [
                f"{_NUMBER.get(row.family, row.family)} of {row.of}" for row in of.itertuples()
            ]
            said += [f"{treatment} {verb} {listed(names)}"] if names else []
    lead = "; ".join(said) or "No treatment is shown to change a number of any group"
    return f"{lead[0].upper()}{lead[1:]}."


def as_run(config: dict, rows: pd.DataFrame, runs: Sequence[str]) -> Run:
    """The changes as result rows of benchmark ``other_groups``; ``runs``: ids that they rest on."""
    common = {"benchmark": "other_groups", "origin": "recorded"}
    made = [
        common
        | {"split": row.family, "axis": row.of, "method": row.treatment, "variant": row.verdict}
        | {"metric": "group_change", "value": row.value, "n": row.pairs}
        | {"ci_low": row.ci_low, "ci_high": row.ci_high}
        for row in rows.itertuples()
    ]
    made = made or [common | {"metric": "runs", "value": float(len(runs))}]
    return make(config, made, None, device="cpu", evidence={"runs": list(runs)})


# ---------------------------------------------------------------- race and gender


#: Test of both together → the tests of race and of gender alone that it is set against.
_ALONE = ("white_men_black_women", {"race": "white_black_men", "gender": "white_men_women"})


def together(items: pd.DataFrame) -> pd.DataFrame:
    """One row a comparison: d of race and gender together minus d of one alone, with its interval."""
    both, alone = _ALONE
    rows = [{"alone": name, **vars(seat.excess(items, test, both))} for name, test in alone.items()]
    return pd.DataFrame(rows)


def together_finding(rows: pd.DataFrame) -> str:
    """Whether both together exceed either alone."""
    sides = {row.alone: stats.side(row.ci_low, row.ci_high) for row in rows.itertuples()}
    more = [name for name, side in sides.items() if side > 0]
    open_ = [name for name, side in sides.items() if side == 0]
    said = [f"more than {listed(more)} alone"] if more else []
    said += [f"not shown to differ from {listed(open_)} alone"] if open_ else []
    less = [name for name, side in sides.items() if side < 0]
    said += [f"less than {listed(less)} alone"] if less else []
    return f"The association of race and gender together is {', and '.join(said)}."


def pieces(tokenizer) -> pd.DataFrame:
    """One row a list of names: how many, and how many the tokenizer keeps whole."""
    lists = stimuli.LISTS.items()
    names = {name: of["name"] for name, of in lists if "names" in name and "name" in of}
    return pd.DataFrame(
        [
            {
                "names": name,
                "number": len(each),
                "one token": sum(
                    models.single_token_id(tokenizer, word) is not None for word in each
                ),
            }
            for name, each in names.items()
        ]
    )


# ---------------------------------------------------------------- who is where


def corpus_shares(names: Iterable[str] = ("bug", "bold", "gap")) -> pd.DataFrame:
    """Occupation → share of women in the labour statistics, and, for each corpus, the number of texts
    that name the occupation beside pronouns of one gender alone, and the feminine share of them.
    """
    from fairnc_utils.debias.swap_pairs import times_named  # training comes with it

    items = occupations.load("bls")[:]
    table = pd.Series(dict(zip(items["occupation"], items["share"], strict=True))).to_frame("bls")
    for name in names:
        parts = corpora.splits(name)
        texts = chain.from_iterable(corpora.load(name, part)["text"] for part in parts)
        women, men = (times_named(of) for of in _by_pronoun(texts))
        counts = pd.DataFrame({"women": women, "men": men}).reindex(table.index).fillna(0.0)
        number = counts.sum(axis=1)
        shares = stats.quotient(counts["women"].to_numpy(), number.to_numpy())
        table = table.assign(**{f"{name} texts": number, f"{name} share": shares})
    return table


def _by_pronoun(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Texts with feminine pronouns alone, and with masculine ones alone."""
    word, women, men = re.compile(r"[a-z]+"), [], []
    for text in texts:
        of = set(word.findall(text.lower()))
        if bool(of & FEMININE) != bool(of & MASCULINE):
            (women if of & FEMININE else men).append(text)
    return women, men


def shares_table(shares: pd.DataFrame, *, least: int, caption: str) -> Styler:
    """One row a corpus: occupations named in ``least`` texts, the mean feminine share of its texts and in
    the labour statistics, and the rank correlation of both with its interval over occupations.
    """
    rows = []
    for name in _corpora(shares):
        part = shares[shares[f"{name} texts"] >= least]
        rank = _rank(part["bls"], part[f"{name} share"])
        rows.append(
            {
                "corpus": name.upper(),
                "occupations": len(part),
                "women, % of texts": tables.number(100 * part[f"{name} share"].mean()),
                "women, % of workers": tables.number(100 * part["bls"].mean()),
                "rank correlation [95% interval]": tables.interval(pd.Series(vars(rank))),
            }
        )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _corpora(shares: pd.DataFrame) -> list[str]:
    return [name.removesuffix(" texts") for name in shares if name.endswith(" texts")]


def _spearman(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    return stats.correlation(x, y, axis, ranked=True)


def _rank(x: Sequence[float], y: Sequence[float]) -> stats.Estimate:
    if len(x) < stats.MIN_UNITS:
        return stats.Estimate(np.nan, np.nan, np.nan, len(x))
    return stats.bootstrap(x, y, statistic=_spearman)


def shares_finding(shares: pd.DataFrame, *, least: int) -> str:
    """In which corpora women are named less often than they work."""
    fewer = []
    for name in _corpora(shares):
        part = shares[shares[f"{name} texts"] >= least]
        if len(part) >= stats.MIN_UNITS:
            change = stats.paired_difference(part["bls"], part[f"{name} share"])
            fewer += [name.upper()] if change.ci_high < 0 else []
    said = f"women are fewer in the texts of {listed(fewer)} than in these occupations"
    return f"{said[0].upper()}{said[1:]}." if fewer else "No corpus is shown to have fewer women."


# ---------------------------------------------------------------- words


def words_counted(
    tokenizer, lists: Sequence[str], *, corpora_of: Sequence[tuple[str, str]], least: int = 10
) -> pd.DataFrame:
    """One row a list of words: how many there are, how many are one token, and, for each corpus and split,
    how many of these are seen ``least`` times.
    """
    of = {name: words.load(name, tokenizer) for name in lists}
    rows = [
        {"words": name, "listed": len(each) + len(each.dropped), "one token": len(each)}
        for name, each in of.items()
    ]
    table = pd.DataFrame(rows)
    for name, split in corpora_of:
        texts = list(corpora.load(name, split)["text"])
        counts = Counter(chain.from_iterable(tokenize(tokenizer, texts)["input_ids"]))
        seen = [sum(counts[i] >= least for i in each.token_ids) for each in of.values()]
        table[name.upper()] = seen
    return table


def words_finding(counted: pd.DataFrame, corpus: str) -> str:
    """Which lists have words enough in a corpus."""
    few = counted[counted[corpus] < ENOUGH]
    if few.empty:
        return "Every list has words enough for a cosine of means and rows."
    seen = "; ".join(f"{row['words']}: {row[corpus]}" for _, row in few.iterrows())
    return (
        f"NC3 is not asked of {listed(few['words'])}: too few of these words are one token and seen. "
        f"Words that are: {seen}."
    )


def collapse_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """NC3 and UNC3 of each list of words in the untreated model, with the number of words."""
    rows = select(results, benchmark="collapse", method=UNTRAINED.method, metric=["nc3", "unc3"])
    rows = select(rows, variant="corrected", space="head", layer="last", min_count=10)
    return tables.by_axis(rows, rows="words", caption=caption)


# ---------------------------------------------------------------- association and decision


def by_occupation(association: Run, decision: Run, encoding: Run) -> pd.DataFrame:
    """Occupation → ``decision`` for the woman, ``association`` with women in log-odds, and ``seat``, how
    much nearer its vector is to women's names than to men's.
    """
    of = {
        "decision": benchmarks.get("unqover").units(decision.items)["decision"],
        "association": benchmarks.get("iat").units(association.items)["log_odds"],
    }
    seats = seat.units(encoding.items).set_index("unit")
    return pd.DataFrame(of | {"seat": seats["total"] / seats["n"]}).dropna()


def predictions(points: pd.DataFrame) -> pd.DataFrame:
    """One row a predictor, and their difference: Spearman's correlation with the decision over
    occupations, with its interval.
    """

    def more(decision, association, encoded, axis):
        return _spearman(decision, association, axis) - _spearman(decision, encoded, axis)

    of = {name: _rank(points["decision"], points[name]) for name in ("association", "seat")}
    columns = (points[name] for name in ("decision", "association", "seat"))
    of["difference"] = stats.bootstrap(*columns, statistic=more)
    return pd.DataFrame([{"by": name, **vars(each)} for name, each in of.items()])


def predictions_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``predictions`` as a reader sees it."""
    labels = {
        "association": "association of words",
        "seat": "word vectors (SEAT)",
        "difference": "the first minus the second",
    }
    return tables.plain(
        pd.DataFrame(
            {
                "decision told by": rows["by"].map(labels),
                "rank correlation [95% interval]": [tables.interval(r) for _, r in rows.iterrows()],
                "occupations": rows["n"],
            }
        ),
        caption=caption,
    )


def predictions_finding(rows: pd.DataFrame) -> str:
    """Whether association predicts decision, and better than word vectors do."""
    sides = {row.by: stats.side(row.ci_low, row.ci_high) for row in rows.itertuples()}
    lead = {
        1: "What a model associates with women it also decides for women.",
        0: "Association is not shown to predict decision.",
        -1: "What a model associates with women it decides against women.",
    }[sides["association"]]
    better = {
        1: "It predicts it better than word vectors do.",
        0: "Neither is shown to predict it better than word vectors or worse.",
        -1: "Word vectors predict it better.",
    }[sides["difference"]]
    return f"{lead} {better.replace('Neither is', 'It is not')}"


def association_finding(run: Run, control: Run) -> str:
    """Which stereotypes a model's associations go with, if words that mean nothing go with neither group."""
    side = {
        row.axis: stats.side(row.ci_low, row.ci_high)
        for row in pd.concat([run.results, control.results]).itertuples()
        if row.metric == "association" and row.axis != "all"
    }
    if side.pop("nonce"):
        return "The control fails: words that mean nothing are associated too, so nothing is said."
    said = []
    for how, sign in (("with", 1), ("against", -1)):
        names = [name.replace("_", " and ") for name, each in side.items() if each == sign]
        said += [f"{how} the stereotype of {listed(names)}"] if names else []
    return (
        f"Words go {'; '.join(said)}." if said else "Words are not shown to go with any stereotype."
    )


def decision_finding(run: Run, control: Run) -> str:
    """Whether decisions between women and men are larger than those within a gender."""
    first, second = (
        tables.one(each.results, metric="decision_size", axis="gender") for each in (run, control)
    )
    if first["ci_low"] <= second["ci_high"]:
        return (
            "Decisions between a woman and a man are not shown to be larger than within a gender."
        )
    lean = tables.one(run.results, metric="decision", axis="gender")
    of = {1: "for the woman", -1: "for the man", 0: "for neither on the whole"}
    return (
        "Decisions between a woman and a man are larger than within a gender, and go "
        f"{of[stats.side(lean['ci_low'], lean['ci_high'])]}; the order of the two counts for much more."
    )


# ---------------------------------------------------------------- cost


def cost(results: pd.DataFrame) -> str:
    """How many recorded runs there are, and what they took."""
    said = [f"{number:.0f} minutes on {device}" for device, number in minutes(results).items()]
    took = f" They took {listed(said)}." if said else ""
    return f"Recorded runs of this study: {results['run_id'].nunique()}.{took}"


# ---------------------------------------------------------------- names, questions, pronouns


def _ways(rows: pd.DataFrame) -> pd.DataFrame:
    """``way`` of each row: its method and what it was trained with."""
    ways = [
        row.method if row.regularizer == "none" else f"{row.method} with {_way(row.regularizer)}"
        for row in rows.itertuples()
    ]
    return rows.assign(way=ways)


def names_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """Coreference by groups of names, one row a resolver and split, the mean over seeds."""
    rows = _ways(select(results, benchmark="gap_names", axis="all"))
    shown = [name for name in METRICS if name in set(rows["metric"])]
    table = []
    for (way, split), part in rows.groupby(["way", "split"], sort=False):
        of = estimates(part, ["metric"]).set_index("metric")
        entries = {"resolver of": way, "names": _SPLITS[split]}
        entries |= {METRICS[name].label: tables.interval(of.loc[name]) for name in shown}
        table.append(entries)
    return tables.plain(pd.DataFrame(table), caption=caption)


_SPLITS = {"test": "of the pronoun's gender", "mismatched": "the answer's of the other gender"}


def names_finding(results: pd.DataFrame) -> str:
    """Whether names matter to a resolver of the untreated model, by the rule of the plan."""
    rows = select(results, benchmark="gap_names", axis="all", method=UNTRAINED.method)
    of = {
        split: part.pivot(index="seed", columns="metric", values="value")
        for split, part in rows.groupby("split")
    }
    if set(of) < {"test", "mismatched"}:
        return ABSENT
    p, loss = of["test"]["p_names"], of["test"]["name_accuracy"] - of["mismatched"]["name_accuracy"]
    if loss.min() <= 0:
        return "The control fails: a name of the other gender costs no accuracy, so nothing is said of names."
    many = int((p < 1 - stats.LEVEL).sum())
    some = "no resolver" if not many else "every resolver" if many == len(p) else "some resolvers"
    return f"The range over groups of names exceeds chance in {some} of the untreated model. Counted: {many} of {len(p)}."


def questions_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """BBQ by category, the untreated model."""
    rows = select(results, benchmark="bbq", split="sample", method=UNTRAINED.method)
    return tables.by_axis(rows, caption=caption)


def questions_finding(results: pd.DataFrame) -> str:
    """Whether bias scores count, and what they say if they do."""
    rows = select(results, benchmark="bbq", axis="all", method=UNTRAINED.method)
    of = {(row.split, row.metric): row for row in rows.itertuples()}
    told, untold = (of.get((split, "accuracy_disambiguated")) for split in ("sample", "no_context"))
    if told is None or untold is None:
        return ABSENT
    if told.ci_low <= untold.ci_high:
        return "The model answers no better with a context than without, so its bias scores do not count."
    row = of["sample", "bias_ambiguous"]
    said = {
        1: "with the stereotype",
        -1: "against the stereotype",
        0: "neither clearly with the stereotype nor clearly against it",
    }
    return f"Where a text does not tell, the model answers {said[stats.side(row.ci_low, row.ci_high)]}."


def tokenizer_of(model: str):
    """The tokenizer of a model, by its name or its place in the project."""
    return models.load(checkout.located(model), device="cpu").tokenizer


def pronouns_table(tokenizer, *, caption: str) -> Styler:
    """The pronouns of HONEST's templates on queer people, and whether the tokenizer has them as one token."""
    rows = _io.table(f"HONEST/{FILES['queer']}", ("identity", "category"), delimiter="\t")
    named = dict.fromkeys(r["identity"] for r in rows if r["category"] == "queer_gender_pronoun")
    table = [
        {
            "pronoun": name.lower(),
            "pieces": len(tokenizer.encode(name.lower(), add_special_tokens=False)),
            "one token": {True: "yes", False: "no"}[
                models.single_token_id(tokenizer, name.lower()) is not None
            ],
        }
        for name in named
    ]
    return tables.plain(pd.DataFrame(table), caption=caption)


def beyond_finding(results: pd.DataFrame) -> str:
    """Whether hurtful words are put behind queer people more often, in the untreated model."""
    rows = select(
        results, benchmark="honest", axis="queer", metric="honest_gap", method=UNTRAINED.method
    )
    if rows.empty:
        return ABSENT
    low, high = rows.iloc[-1][["ci_low", "ci_high"]]
    said = {1: "more", -1: "fewer", 0: "neither clearly more nor clearly fewer"}[
        stats.side(low, high)
    ]
    return f"After words for queer people the model puts {said} hurtful words than after others."


def valence_finding(run: Run, control: Run) -> str:
    """Of which groups less kind things are said, if the controls hold."""
    of = {
        row.axis: stats.side(row.ci_low, row.ci_high)
        for row in pd.concat([run.results, control.results]).itertuples()
        if row.metric == "valence" and row.axis != "all"
    }
    if of.pop("nonce") or of.pop("planted") >= 0:
        return "A control fails, so nothing is said of groups."
    said = []
    for verb, sign in (("less kind", -1), ("kinder", 1)):
        names = [name for name, side in of.items() if side == sign]
        said += (
            [f"{verb} things are said of the stigmatized side of {listed(names)}"] if names else []
        )
    lead = "; ".join(said) or "No group is shown to be spoken of less kindly"
    return f"{lead[0].upper()}{lead[1:]}."
