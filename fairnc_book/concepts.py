"""Geometry of concepts, labour statistics and explanations: what the recorded runs say.

What is asked stands in ``book/about/plan-concepts.md``, which was fixed before the runs together with this file.
``evaluate`` makes one table of answers of the runs, which the chapter's tables, figures and sentences read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_utils import stats
from fairnc_utils.errors import listed
from fairnc_utils.runs import recording
from fairnc_utils.runs.rows import UNIT_COLUMNS, Run, make, recorded_units, select
from fairnc_utils.runs.rows import recorded as recorded_rows

#: Profile of the runs.
EDITION = "concepts"

#: Spearman's correlation that BiasLens reports.
REPORTED = 0.85

SOURCES = {"means": "class means", "embeddings": "embeddings", "sentences": "sentences"}

#: Split of ``concept_bias`` → what is read there.
READ = {
    "gender": "in balance",
    "as_written": "as written",
    "neutral": "everyday words for gender words",
}

#: Context of ``occupation_calibration`` → what stands before the sentence.
CONTEXTS = {
    "facts_4": "4 facts on others",
    "facts_16": "16 facts on others",
    "facts_32": "32 facts on others",
    "reversed_32": "32 reversed",
    "placebo_32": "32 without gender",
    "own": "the own fact",
    "own_reversed": "the own, reversed",
    "own_placebo": "the own, without gender",
}
NO_CONTEXT = "bls"

#: Context of true facts → its controls of the same length.
CONTROLLED = {"facts_32": ("reversed_32", "placebo_32"), "own": ("own_reversed", "own_placebo")}

#: (edit before the fine-tuning, what is frozen) → what learns.
LEARNING = {
    ("base", "encoder"): "head",
    ("base", "layers"): "head and embeddings",
    ("new_embeddings", "layers"): "head and new embeddings",
    ("base", "none"): "all",
}
HEAD = "head"
_EXPLAINING = ("gradient", "integrated", "occlusion")

ABSENT = "The runs that decide this are not recorded yet."


class Word(StrEnum):
    """What is said of an answer."""

    NOT_RUN = "not run"
    OPEN = "open"
    AS_PROVED = "as the proposition"
    AGAINST = "against the proposition"
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    TEXT = "its text"
    LABOUR = "the labour statistics"
    FACTS = "the facts"
    PROMPT = "any such prompt"
    NO_FALL = "no fall"


@dataclass(frozen=True)
class Answer:
    """One number with its 95% interval over ``n`` units, runs or seeds × units; ``word``: what the plan's
    rule says of it; NaN where runs are missing.
    """

    question: str
    model: str
    what: str
    metric: str
    value: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    n: int = 0
    p: float = np.nan
    word: str = ""


@dataclass(frozen=True)
class Study:
    """The runs of this chapter: result rows, unit scores and provenance by run id."""

    results: pd.DataFrame
    units: pd.DataFrame
    runs: Mapping[str, dict]

    @classmethod
    def of(cls, results: pd.DataFrame, units: pd.DataFrame, runs: Mapping[str, dict]) -> "Study":
        """Those of profile ``EDITION``."""
        results = select(results, profile=EDITION)
        return cls(results, units[units["run_id"].isin(set(results["run_id"]))], runs)

    @classmethod
    def recorded(cls) -> "Study":
        """Those that come with the book."""
        results = select(recorded_rows(), profile=EDITION)
        # millions of scores, of other studies too
        units = recorded_units() if len(results) else pd.DataFrame(columns=list(UNIT_COLUMNS))
        return cls.of(results, units, recording.runs())

    @property
    def run_ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        return sorted(set(self.results["run_id"]))

    def untrained(self, benchmark: str, **where) -> pd.DataFrame:
        """Rows of the models as they are, the newest of each number."""
        rows = select(self.results, benchmark=benchmark, method="base", **where)
        by = ["model", "split", "axis", "metric"]
        return rows.sort_values("created", kind="stable").drop_duplicates(by, keep="last")

    def unit_table(self, run_id: str, benchmark: str, split: str, *axes: str) -> pd.DataFrame:
        """Units of some axes of a run, one below the other, columns of the benchmark's unit table."""
        units = select(self.units, run_id=run_id, benchmark=benchmark, split=split, axis=list(axes))
        table = units.pivot(index=["axis", "unit"], columns="column", values="value")
        return table.reset_index("axis").sort_index()


# ---------------------------------------------------------------- answers


def evaluate(study: Study, *, resamples: int = 2000) -> pd.DataFrame:
    """One row an ``Answer``, question by question; no rows without runs."""
    answers = [
        *_proposition(study, resamples),
        *_follows(study),
        *_statistics(study),
        *_facts(study, resamples),
        *_explained(study, resamples),
    ]
    return pd.DataFrame(
        [asdict(each) for each in answers], columns=list(Answer.__dataclass_fields__)
    )


def by_run(study: Study) -> pd.DataFrame:
    """One row a run of a masked or causal model: NC3c of the words, and what goes with it (columns
    ``agreement``, ``agreement_gap``, ``agreement_bound``), its treatment and seed.
    """
    rows = select(study.results, benchmark="concept_bias", split="gender", axis="all")
    cell = ["run_id", "model", "method", "regularizer", "seed"]
    table = rows.pivot_table(index=cell, columns="metric", values="value").reset_index()
    return table.rename_axis(columns=None)


def _proposition(study: Study, resamples: int) -> Iterator[Answer]:
    runs = by_run(study)
    for model, of_model in runs.groupby("model") if len(runs) else ():
        treated = of_model[of_model["method"] != "base"]
        if treated.empty:
            continue
        cells = treated["method"] + " " + treated["regularizer"]
        for metric, towards in (("agreement", 1), ("agreement_gap", -1)):
            effect = stats.clustered_correlation(
                treated["nc3c"], treated[metric], cells, resamples=resamples
            )
            side = stats.side(effect.ci_low, effect.ci_high) * towards
            word = {1: Word.AS_PROVED, -1: Word.AGAINST, 0: Word.OPEN}[side]
            yield Answer(
                "proposition",
                model,
                "NC3c and " + ("agreement" if towards > 0 else "distance"),
                metric,
                effect.value,
                effect.ci_low,
                effect.ci_high,
                len(treated),
                word=word,
            )


def _follows(study: Study) -> Iterator[Answer]:
    rows = study.untrained("concept_bias", axis="all")
    for row in rows[rows["metric"].str.startswith("follows_")].to_dict("records"):
        word = ""
        if row["split"] == "as_written" and row["metric"] == "follows_size_sentences":
            word = reported(row["ci_low"], row["ci_high"])
        yield Answer(
            "follows",
            row["model"],
            row["split"],
            row["metric"],
            row["value"],
            row["ci_low"],
            row["ci_high"],
            int(row["n"]),
            word=word,
        )


def reported(low: float, high: float) -> Word:
    """Whether an interval lies above the correlation that BiasLens reports, below it, or holds it."""
    side = stats.side(low, high, REPORTED)
    return {1: Word.SUPPORTED, -1: Word.CONTRADICTED, 0: Word.OPEN}[side]


def _statistics(study: Study) -> Iterator[Answer]:
    rows = study.untrained("occupation_calibration", split=NO_CONTEXT)
    for row in rows[rows["axis"].isin(["all", "named"])].to_dict("records"):
        of_text = row["metric"] in ("text_advantage", "text_unique", "labour_unique")
        if of_text != (row["axis"] == "named"):
            continue
        word = followed(row["ci_low"], row["ci_high"]) if row["metric"] == "text_advantage" else ""
        yield Answer(
            "statistics",
            row["model"],
            row["axis"],
            row["metric"],
            row["value"],
            row["ci_low"],
            row["ci_high"],
            int(row["n"]),
            word=word,
        )


def followed(low: float, high: float) -> Word:
    """Whose statistics a model follows, by the interval of ``text_advantage``."""
    return {1: Word.TEXT, -1: Word.LABOUR, 0: Word.OPEN}[stats.side(low, high)]


def _facts(study: Study, resamples: int) -> Iterator[Answer]:
    rows = study.untrained("occupation_calibration", metric="calibration_error", axis="all")
    for model, of_model in rows.groupby("model"):
        runs = dict(zip(of_model["split"], of_model["run_id"], strict=True))
        errors = {
            split: study.unit_table(run_id, "occupation_calibration", split, "named", "rare")[
                "error"
            ].to_numpy(float)
            for split, run_id in runs.items()
        }
        if NO_CONTEXT in errors:
            yield from fact_answers(str(model), errors, resamples=resamples)


def fact_answers(
    model: str, errors: Mapping[str, np.ndarray], *, resamples: int = 2000
) -> list[Answer]:
    """What each context does to the mean error, in percent of that without one; and for true facts
    their error minus that of either control, in points, Holm's p over all of these.

    ``errors``: context → (U,) errors in points, the same occupations in the same order.
    """
    changes, contrasts = [], []
    none = errors[NO_CONTEXT]
    for context in (name for name in CONTEXTS if name in errors):
        change = stats.bootstrap(
            none, errors[context], statistic=relative_change, resamples=resamples
        )
        changes.append((context, change))
    for context, controls in CONTROLLED.items():
        for control in controls:
            if context in errors and control in errors:
                pair = errors[control], errors[context]
                mean = stats.paired_difference(*pair, resamples=resamples)
                contrasts.append((context, control, mean, _p(pair[1] - pair[0])))
    adjusted = stats.holm([p for *_, p in contrasts])
    words = _fact_words(dict(changes), contrasts, adjusted)
    return [
        Answer(
            "facts",
            model,
            context,
            "relative_error",
            each.value,
            each.ci_low,
            each.ci_high,
            each.n,
            word=words.get(context, ""),
        )
        for context, each in changes
    ] + [
        Answer(
            "controls",
            model,
            f"{context} − {control}",
            "error_difference",
            each.value,
            each.ci_low,
            each.ci_high,
            each.n,
            p=float(p),
        )
        for (context, control, each, _), p in zip(contrasts, adjusted, strict=True)
    ]


def relative_change(before: np.ndarray, after: np.ndarray, axis: int) -> np.ndarray:
    """Mean after over mean before, minus 1, in percent; 0 is no change."""
    return 100 * (np.mean(after, axis=axis) / np.mean(before, axis=axis) - 1)


def _p(differences: np.ndarray) -> float:
    """Two-sided p of the t test that the mean difference is 0."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    effect = stats.Effect(
        float(differences.mean()),
        *(np.nan,) * 4,
        float(error),
        len(differences) - 1,
        1,
        len(differences),
    )
    return effect.p()


def _fact_words(
    changes: Mapping[str, stats.Estimate], contrasts: Sequence[tuple], adjusted: np.ndarray
) -> dict[str, Word]:
    """True facts lower the error, and more than their controls do: it is the facts."""
    words = {}
    for context, controls in CONTROLLED.items():
        against = [
            each.value < 0 and p < 1 - stats.LEVEL
            for (name, _, each, _), p in zip(contrasts, adjusted, strict=True)
            if name == context
        ]
        if context not in changes or len(against) < len(controls):
            continue
        if changes[context].ci_high >= 0:
            words[context] = Word.NO_FALL
        else:
            words[context] = Word.FACTS if all(against) else Word.PROMPT
    return words


# ---------------------------------------------------------------- explanations


def explained_runs(study: Study) -> pd.DataFrame:
    """One row a run: what learned, seed, accuracy, NC1 of the classes, and mass on the right words and
    above chance by explanation (``all``: the mean of three).
    """
    rows = select(study.results, benchmark="explanations", split="test")
    accuracy = select(study.results, benchmark="text_gender", split="test", metric="accuracy")
    table = []
    for run_id, of_run in rows.groupby("run_id"):
        config = study.runs.get(run_id, {}).get("config", {})
        method = (config.get("debiasing") or {}).get("method", "base")
        part = LEARNING.get((method, config.get("frozen", "none")))
        if part is None:
            continue
        by_axis = of_run[of_run["metric"] == "mass_accuracy"].set_index("axis")["value"]
        nc1 = select(of_run, metric="nc1", axis="all")["value"]
        right = select(accuracy, run_id=run_id)["value"]
        table.append(
            {"run_id": run_id, "learning": part, "seed": int(of_run["seed"].iloc[0])}
            | {
                "nc1": float(nc1.iloc[0]),
                "accuracy": float(right.iloc[0]) if len(right) else np.nan,
            }
            | by_axis.to_dict()
        )
    columns = ["run_id", "learning", "seed", "accuracy", "nc1", "all"]
    return pd.DataFrame(table, columns=None if table else columns)


def _explained(study: Study, resamples: int) -> Iterator[Answer]:
    runs = explained_runs(study)
    if runs.empty:
        return
    masses = {(row.learning, row.seed): _masses(study, row.run_id) for row in runs.itertuples()}
    head = {seed: mass for (part, seed), mass in masses.items() if part == HEAD}
    effects = []
    for part in (name for name in LEARNING.values() if name != HEAD):
        seeds = [seed for seed in sorted(head) if (part, seed) in masses]
        if seeds:
            sides = [
                [np.stack([each[seed] for seed in seeds])]
                for each in (head, {seed: masses[part, seed] for seed in seeds})
            ]
            changes = stats.seed_changes(*sides, _percent, resamples=resamples)
            effects.append((part, stats.crossed_bootstrap(changes)))
    adjusted = stats.holm([effect.p() for _, effect in effects])
    for (part, effect), p in zip(effects, adjusted, strict=True):
        sure = p < 1 - stats.LEVEL
        word = (Word.SUPPORTED if effect.value > 0 else Word.CONTRADICTED) if sure else Word.OPEN
        ends = effect.value, effect.ci_low, effect.ci_high
        what = f"{part} − {HEAD}"
        yield Answer("explained", "", what, "mass_accuracy", *ends, effect.units, float(p), word)
    together = stats.clustered_correlation(
        runs["nc1"], runs["all"], runs["run_id"], resamples=resamples
    )
    ends = together.value, together.ci_low, together.ci_high
    yield Answer("explained", "", "NC1 and mass, over runs", "mass_accuracy", *ends, len(runs))


def _masses(study: Study, run_id: str) -> np.ndarray:
    """Mean mass of the three explanations by pair of sentences (U,)."""
    table = study.unit_table(run_id, "explanations", "test", *_EXPLAINING)
    return table.groupby(level="unit")["mass"].mean().to_numpy(float)


def _percent(mass: np.ndarray, axis: int) -> np.ndarray:
    return 100 * np.mean(mass, axis=axis)


# ---------------------------------------------------------------- tables


def table(answers: pd.DataFrame, question: str, *, caption: str) -> Styler:
    """Answers to a question as a reader sees them."""
    rows = answers[answers["question"] == question]
    table = tables.plain(
        pd.DataFrame(
            {
                "model": rows["model"].map(shown_model),
                "what": rows["what"].map(lambda name: READ.get(name, CONTEXTS.get(name, name))),
                "number": rows["metric"].map(_label),
                "value [95% interval]": [tables.interval(row) for _, row in rows.iterrows()],
                "n": rows["n"].map("{:.0f}".format),
                "p (Holm)": rows["p"].map(tables.number),
                "by the plan's rule": rows["word"].replace("", "–"),
            }
        ),
        caption=caption,
    )
    return tables.left(table)


def _label(metric: str) -> str:
    from fairnc_book.numbers import METRICS

    return METRICS[metric].label


def shown_model(model: str) -> str:
    """A model as readers know it."""
    return model.rpartition("/")[2] or "–"


def layers_table(run: Run, *, caption: str) -> Styler:
    """One row a layer: NC3c of the words, agreement and distance of the two biases, what follows the
    log-odds (``runs.concepts``).
    """
    shown = ["nc3c", "agreement", "agreement_gap", "follows_means", "follows_embeddings"]
    rows = run.results[run.results["metric"].isin([*shown, "follows_sentences"])]
    return tables.by_axis(
        rows, rows="layer", metrics=[*shown, "follows_sentences"], caption=caption
    )


def contexts_table(runs: Sequence[Run], *, caption: str) -> Styler:
    """One row a context of live runs: slope and error against the labour statistics."""
    rows = pd.concat([select(run.results, axis="all") for run in runs])
    named = {NO_CONTEXT: "nothing"} | CONTEXTS
    rows = rows.assign(**{"before the sentence": rows["split"].map(named)})
    metrics = ["calibration_slope", "calibration_error"]
    return tables.by_axis(rows, rows="before the sentence", metrics=metrics, caption=caption)


def explained_table(study: Study, *, caption: str) -> Styler:
    """One row a way of fine-tuning: means over seeds of accuracy, NC1 and mass by explanation."""
    runs = explained_runs(study).drop(columns=["run_id", "seed"])
    means = runs.groupby("learning", sort=False).mean()
    names = {"all": "mass %, mean of three", "nc1": "NC1", "accuracy": "accuracy %"}
    rows = means.rename(columns=names).map(tables.number).reset_index()
    return tables.plain(rows.rename(columns={"learning": "what learns"}), caption=caption)


def conditions_table(results: pd.DataFrame, *, caption: str) -> Styler:
    """What the regularizers do to NC3c of gender words: recorded runs of the second edition by dose,
    means over seeds.
    """
    rows = select(
        results,
        profile="second",
        benchmark="collapse",
        metric="nc3c",
        words="gender",
        layer="last",
        method="bec",
        min_count=10,
    )
    means = rows.groupby("regularizer", sort=True)["value"].agg(["mean", "min", "max", "size"])
    return tables.plain(
        pd.DataFrame(
            {
                "regularizer": means.index,
                "NC3c, mean over seeds": means["mean"].map(tables.number),
                "least": means["min"].map(tables.number),
                "largest": means["max"].map(tables.number),
                "runs": means["size"],
            }
        ),
        caption=caption,
    )


# ---------------------------------------------------------------- sentences


def _words(answers: pd.DataFrame, question: str) -> pd.DataFrame:
    rows = answers[(answers["question"] == question) & (answers["word"] != "")]
    return rows.assign(model=rows["model"].map(shown_model))


def proposition_finding(answers: pd.DataFrame) -> str:
    """Whether agreement rises with NC3c over treated models."""
    rows = _words(answers, "proposition")
    if rows.empty:
        return ABSENT
    said = []
    for row in rows.itertuples():
        verb = {
            Word.AS_PROVED: "go together as the proposition has it",
            Word.AGAINST: "go against each other, which the bound admits far from collapse",
            Word.OPEN: "are not shown to go together",
        }[Word(row.word)]
        said.append(f"{row.what} {verb} ({row.model})")
    runs = "; ".join(f"{row.what}: {row.n}" for row in rows.itertuples())
    lead = "; ".join(said)
    return f"{lead[0].upper()}{lead[1:]}. Runs: {runs}."


def follows_finding(answers: pd.DataFrame) -> str:
    """Which concept vectors follow what the model says."""
    rows = answers[(answers["question"] == "follows") & (answers["what"] == "gender")]
    signed = rows[~rows["metric"].str.contains("size")]
    if signed.empty:
        return ABSENT
    said = []
    for model, part in signed.groupby("model", sort=False):
        names = {True: [], False: []}
        for row in part.itertuples():
            source = SOURCES[row.metric.removeprefix("follows_")]
            names[stats.side(row.ci_low, row.ci_high) > 0].append(source)
        verbs = ((True, "follow"), (False, "are not shown to follow"))
        parts = [f"{listed(names[key])} {verb} it" for key, verb in verbs if names[key]]
        said.append(f"of {shown_model(str(model))}, {listed(parts)}")
    claims = _words(answers, "follows")
    words = [f"{row.word} ({row.model})" for row in claims.itertuples()]
    claim = f" The correlation that BiasLens reports: {listed(words)}." if words else ""
    return f"What the model says of occupations: {'; '.join(said)}.{claim}"


def statistics_finding(answers: pd.DataFrame) -> str:
    """Whose statistics the models follow."""
    rows = _words(answers, "statistics")
    if rows.empty:
        return ABSENT
    said = [
        f"{row.model} follows {row.word}"
        if row.word != Word.OPEN
        else f"{row.model} cannot be told to follow one more than the other"
        for row in rows.itertuples()
    ]
    return f"Whose statistics: {'; '.join(said)}."


def facts_finding(answers: pd.DataFrame) -> str:
    """What lowers the error when facts stand before a sentence."""
    rows = _words(answers, "facts")
    if rows.empty:
        return ABSENT
    outcomes = {
        Word.NO_FALL: "the error is not shown to fall",
        Word.PROMPT: "the error falls, but is not shown to fall more than behind both controls",
        Word.FACTS: "the error falls more than behind either control",
    }
    said = [
        f"behind {CONTEXTS[row.what]} {outcomes[Word(row.word)]} ({row.model})"
        for row in rows.itertuples()
    ]
    return f"What facts do: {'; '.join(said)}."


def explained_finding(answers: pd.DataFrame) -> str:
    """Whether explanations get better the more of a model learns."""
    rows = _words(answers, "explained")
    if rows.empty:
        return ABSENT
    names = {
        Word.SUPPORTED: "put more weight on the right words",
        Word.CONTRADICTED: "put less weight there",
        Word.OPEN: "are not shown to differ",
    }
    said = [
        f"with {row.what.partition(' − ')[0]} trained they {names[Word(row.word)]}"
        for row in rows.itertuples()
    ]
    return f"Explanations, against those of a head trained alone: {'; '.join(said)}."


def live_finding(run: Run) -> str:
    """Where over the layers of a live run the two biases agree most, and whether that is where NC3c is
    largest.
    """
    by_metric = run.results.pivot_table(index="layer", columns="metric", values="value")
    best = by_metric["agreement_gap"].idxmin()
    nearest = by_metric["nc3c"].idxmax()
    over = bool((by_metric["agreement_gap"] <= by_metric["agreement_bound"]).all())
    within = "never beyond the bound" if over else "**beyond the bound, which is an error**"
    where = "in the layer" if best == nearest else "not in the layer"
    return (
        f"The two biases are nearest {where} where NC3c is largest. They are nearest at layer {best}, and NC3c is "
        f"largest at layer {nearest}. Their distance is {within}."
    )


def contexts_finding(runs: Mapping[str, Run]) -> str:
    """What the own fact, true and reversed, does to the error of a live model."""
    errors = {
        split: float(select(run.results, axis="all", metric="calibration_error")["value"].iloc[0])
        for split, run in runs.items()
    }
    fell = [CONTEXTS[name] for name in CONTEXTS if errors.get(name, np.inf) < errors[NO_CONTEXT]]
    if not fell:
        return "No sentence put before lowers the error here."
    both = {"own", "own_reversed"} <= {name for name in errors if errors[name] < errors[NO_CONTEXT]}
    twist = " A reversed fact helps too, so it is not the number that is read." if both else ""
    return f"The error falls with {listed(fell)}.{twist}"


# ---------------------------------------------------------------- rows


def as_run(answers: pd.DataFrame, config: dict, *, runs: Sequence[str]) -> Run:
    """The answers as result rows of benchmark ``concepts``; ``runs``: ids of the runs that they rest on."""
    common = {"benchmark": "concepts", "origin": "recorded"}
    rows = [
        common
        | {"split": row.question, "axis": row.what, "metric": row.metric, "variant": row.word}
        | {"value": row.value, "ci_low": row.ci_low, "ci_high": row.ci_high, "n": row.n}
        for row in answers.itertuples()
    ]
    rows = rows or [common | {"metric": "runs", "value": float(len(runs))}]
    return make(config, rows, None, device="cpu", evidence={"runs": list(runs)})
