"""Bias against what must be kept: what each treatment changes, by base, method and dose, and what
the plan's rule makes of it.

Rows are those of the second edition (``book/about/plan.md``). An *arm* is a variant of swap
collapse. A change is treated − comparator on one base, seed by seed; it is judged by the bounds on
what must be kept and by the verdict on the occupation slope: ``fairer``, ``no fairer``,
``blinder``, or not decided.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables, verdicts
from fairnc_book.numbers import MEASURES, UNTRAINED, Cell, Measure, Numbers, estimate
from fairnc_utils import corpora, stats
from fairnc_utils.benchmarks import occupations
from fairnc_utils.runs.rows import Run, make, metric_rows, recorded, recorded_units, select

#: Profile of the recorded runs that are read.
EDITION = "second"

#: Dose at which treatments are judged.
DOSE = 0.3
DOSES = (0.1, DOSE, 1.0)

#: Name of the causal model, whose cells are ``CAUSAL_METHODS`` × ``TREATMENTS``.
CAUSAL = "smollm2"
CAUSAL_METHODS = ("clm", "cda")

#: Methods of the main cells on the embedded model.
METHODS = ("mlm", "bec", "cda", "mabel", "adept")

#: Treatment → label of its regularizer without the dose.
TREATMENTS = {"uniform": "repaired", "both": "repaired,kind=both", "swap": "swap"}

#: Variant of swap collapse → the same.
ARMS = {
    "ratio form": "swap,form=ratio",
    "evidence pairs only": "swap,pairs=evidence",
    "even part alone": "swap,form=even",
    "with the occupations' sentences": "swap,occupations=True",
    "BUG's texts added": "swap,texts=gap+bug",
    "both of these": "swap,occupations=True,texts=gap+bug",
    "names swapped": "swap,names=True",
}

#: Splits of the occupation slope that keep occupations which the pairs of an arm name rarely.
RARE = ("bls_rare_in_gap_pairs", "bls_rare_in_gap_bug_pairs")


@dataclass(frozen=True)
class Outcome:
    """A number that a treatment may change: its ``label`` in tables, and where its rows are.

    ``bound``: how far the upper 95% bound of a change for the worse may reach; None: any change may
    be. ``worse``: the sign of such a change. ``logarithm``: changes are those of ln value.
    """

    label: str
    measure: Measure
    bound: float | None = None
    worse: int = 1
    logarithm: bool = False


def _measure(benchmark: str, split: str, axis: str, name: str) -> Measure:
    where = {"benchmark": benchmark, "split": split, "axis": axis, "variant": "corrected"}
    return Measure(name, axis, where)


#: Metric of the rows of this module → the outcome. Bounds are those of the plan.
OUTCOMES = {
    "slope": Outcome("occupation slope", MEASURES["occupation_slope/bls/gender/slope"]),
    "lean": Outcome("lean at parity", MEASURES["occupation_slope/bls/gender/lean"]),
    "log_loss": Outcome(
        "log loss of the right pronoun",
        _measure("gender_agreement", "test", "all", "log_loss"),
        bound=0.03,
    ),
    "accuracy": Outcome(
        "accuracy %, all",
        _measure("gender_agreement", "test", "all", "accuracy"),
        bound=2.0,
        worse=-1,
    ),
    "log_perplexity": Outcome(
        "log perplexity",
        MEASURES["perplexity/gap/masked_perplexity"],
        bound=0.02,
        logarithm=True,
    ),
    "accuracy_names": Outcome(
        "accuracy %, only names tell", _measure("gender_agreement", "test", "names", "accuracy")
    ),
    "even_rms": Outcome("even part", _measure("swap_collapse", "gap", "all", "even_rms")),
    "odd_mean": Outcome("odd part", _measure("swap_collapse", "gap", "all", "odd_mean")),
    "swap_collapse": Outcome(
        "swap collapse", _measure("swap_collapse", "gap", "all", "swap_collapse")
    ),
    "neutral_part": Outcome(
        "neutral part", _measure("swap_collapse", "gap", "all", "neutral_part")
    ),
    "slope_rare_gap": Outcome(
        "slope, rare in GAP's pairs", _measure("occupation_slope", RARE[0], "gender", "slope")
    ),
    "slope_rare_gap_bug": Outcome(
        "slope, rare in GAP's and BUG's", _measure("occupation_slope", RARE[1], "gender", "slope")
    ),
    "bec_women": Outcome("BEC-Pro, women", MEASURES["bec_pro/english/all/abs_association_female"]),
    "bec_men": Outcome("BEC-Pro, men", MEASURES["bec_pro/english/all/abs_association_male"]),
    "winobias_type1": Outcome(
        "WinoBias, type 1", _measure("winobias_zero_shot", "test", "type1", "log_ratio")
    ),
    "winobias_type2": Outcome(
        "WinoBias, type 2", _measure("winobias_zero_shot", "test", "type2", "log_ratio")
    ),
    "net_neutral": Outcome("Bias-NLI, net neutral", MEASURES["bias_nli/all|sample/gender/NN"]),
}

#: What must be kept.
KEPT = tuple(name for name, outcome in OUTCOMES.items() if outcome.bound is not None)
#: What a change is judged by.
JUDGED = ("slope", *KEPT)
#: What tables of changes show: that, and what no bound keeps.
SHOWN = (*JUDGED, "accuracy_names")
#: Fairness that is measured in another way, or after another training.
TRANSFER = ("bec_women", "bec_men", "winobias_type1", "winobias_type2", "net_neutral")

# ---------------------------------------------------------------- rows


def bases(studied: str, *, edition: str = EDITION) -> dict[str, Numbers]:
    """Base → its numbers and unit scores: the one ``studied``, recorded or not, then the edition's
    other masked ones. The causal model is looked at apart.
    """
    results, units = select(recorded(), profile=edition), recorded_units()
    units = units[units["run_id"].isin(results["run_id"].unique())]
    results, units = with_rare(results, units)
    others = [] if studied == CAUSAL else [base for base in results["model"] if base != CAUSAL]
    return {
        base: Numbers(results, units, model=base, edition=edition)
        for base in dict.fromkeys([studied, *others])
    }


def with_rare(
    results: pd.DataFrame, units: pd.DataFrame, splits: Iterable[str] = RARE
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with the rows of splits of the occupation slope that keep some occupations only: what
    scoring them would give, since their sentences are those of ``bls``. Slopes have no interval of
    their own; runs that were scored on a split keep that.
    """
    of_slope = select(results, benchmark="occupation_slope", axis="gender", metric="slope")
    slopes, scored = of_slope[of_slope["split"] == "bls"], units.iloc[:0]
    if len(slopes):
        scored = select(units, benchmark="occupation_slope", split="bls", axis="gender")
    more, more_units = [], []
    for split in splits if len(scored) else ():
        kept = set(occupations.load(split)["occupation"])
        done = of_slope.loc[of_slope["split"] == split, "run_id"]
        part = scored[scored["unit"].isin(kept) & ~scored["run_id"].isin(done)].assign(split=split)
        wide = part.pivot(index="run_id", columns=["column", "unit"], values="value")
        ends = (wide[column].sort_index(axis=1).to_numpy() for column in ("log_odds", "share"))
        values = pd.Series(occupations.slope(*ends, axis=-1), wide.index)
        rows = slopes[slopes["run_id"].isin(values.index)]
        more.append(
            rows.assign(
                split=split,
                value=rows["run_id"].map(values),
                ci_low=np.nan,
                ci_high=np.nan,
                n=len(kept),
            )
        )
        more_units.append(part)
    return (
        pd.concat([results, *more], ignore_index=True),
        pd.concat([units, *more_units], ignore_index=True),
    )


def cell(method: str, treatment: str, dose: float = DOSE) -> Cell:
    """The cell of a method with a treatment or an arm at a dose; ``none``: without."""
    label = (TREATMENTS | ARMS).get(treatment)
    return Cell(method, f"{label},dose={dose:g}") if label else Cell(method)


# ---------------------------------------------------------------- changes


@dataclass(frozen=True)
class Change:
    """Treated − comparator: ``effects`` by outcome; none where one of the two was not run.

    ``missing``: which of the two, in words. ``untrained``, ``treated``: the slope of the base and
    that of the treated runs; ``before``: the comparator's mean slope.
    """

    base: str
    first: Cell
    second: Cell
    treatment: str
    against: str
    dose: float
    effects: Mapping[str, stats.Effect]
    missing: tuple[str, ...] = ()
    untrained: stats.Estimate | None = None
    treated: stats.Estimate | None = None
    before: float = np.nan

    @cached_property
    def failed(self) -> tuple[str, ...]:
        """What must be kept and was not, by the upper bound of its change for the worse."""
        return tuple(
            name
            for name in KEPT
            if name in self.effects
            and np.isfinite(self.effects[name].ci_high)
            and not verdicts.kept(_for_the_worse(name, self.effects[name]), OUTCOMES[name].bound)
        )

    @property
    def decided(self) -> bool:
        """Whether everything that it is judged by has an interval."""
        return all(
            name in self.effects and np.isfinite(self.effects[name].ci_high) for name in JUDGED
        )


def _for_the_worse(name: str, effect: stats.Effect) -> stats.Effect:
    """The effect of an outcome, counted so that more is worse."""
    if OUTCOMES[name].worse > 0:
        return effect
    return replace(effect, value=-effect.value, ci_low=-effect.ci_high, ci_high=-effect.ci_low)


def change(
    numbers: Numbers,
    method: str,
    treatment: str,
    dose: float = DOSE,
    *,
    outcomes: Iterable[str] = SHOWN,
    against: str = "none",
    resamples: int = 2000,
) -> Change:
    """A treatment of a method against another (``none`` or one at the same dose), over seeds and
    units.
    """
    first, second = cell(method, against, dose), cell(method, treatment, dose)
    effects = {}
    for name in outcomes:
        outcome = OUTCOMES[name]
        contrast = numbers.contrast(outcome.measure, first, second)
        if contrast.second.empty:
            continue
        changes = (
            stats.Changes(np.log(contrast.ratio))
            if outcome.logarithm
            else numbers.changes(contrast, resamples=resamples)
        )
        effects[name] = stats.crossed_bootstrap(changes)
    measure = OUTCOMES["slope"].measure
    untrained, before, treated = (
        numbers.runs(measure, side) for side in (UNTRAINED, first, second)
    )
    sides = {
        _called(method, against, dose): before,
        _called(method, treatment, dose): treated,
    }
    return Change(
        numbers.model,
        first,
        second,
        treatment,
        against,
        dose,
        effects,
        missing=tuple(name for name, rows in sides.items() if rows.empty),
        untrained=None if untrained.empty else estimate(untrained),
        treated=None if treated.empty else estimate(treated),
        before=float(before["value"].mean()),
    )


def _called(method: str, treatment: str, dose: float) -> str:
    return f"{method} alone" if treatment == "none" else f"{method} with {treatment} {dose:g}"


def changes(
    numbers: Numbers,
    methods: Iterable[str],
    treatments: Iterable[str],
    doses: Iterable[float] = (DOSE,),
    **options,
) -> list[Change]:
    """``change`` of every method with every treatment at every dose."""
    return [change(numbers, *cell, **options) for cell in product(methods, treatments, doses)]


# ---------------------------------------------------------------- judgements

#: Words of a judgement, in the order in which findings give them.
FAIRER, BLINDER, NO_FAIRER, OPEN, NOT_RUN = WORDS = (
    "fairer",
    "blinder",
    "no fairer",
    "not decided",
    "not run",
)


@dataclass(frozen=True)
class Judgement:
    """What the plan's rule makes of a change: ``word`` and the ``verdict`` on the slope, None where
    there is none.
    """

    word: str
    verdict: verdicts.Verdict | None = None


def judge(changes: Sequence[Change]) -> list[Judgement]:
    """Each change by the plan's rule; the slopes are one Holm family.

    *blinder*: a bound on what must be kept fails; *fairer*: none does, and a falling slope is
    supported; *no fairer* otherwise; *not decided* where an interval is missing (a single seed).
    """
    slopes = [change.effects.get("slope") for change in changes]
    adjusted = stats.holm([np.nan if effect is None else effect.p() for effect in slopes])
    return [_judgement(change, float(p)) for change, p in zip(changes, adjusted, strict=True)]


def _judgement(change: Change, holm_p: float) -> Judgement:
    slope = change.effects.get("slope")
    if slope is None:
        return Judgement(NOT_RUN)
    verdict = None
    if np.isfinite(slope.ci_high):
        verdict = verdicts.verdict(
            verdicts.AdjustedEffect(slope, holm_p),
            [],
            predicted=-1,
            margin=0.1 * abs(change.before),
            base=change.untrained,
            treated=change.treated,
        )
    if change.failed:
        return Judgement(BLINDER, verdict)
    if not change.decided:
        return Judgement(OPEN, verdict)
    return Judgement(FAIRER if verdict == verdicts.Verdict.SUPPORTED else NO_FAIRER, verdict)


# ---------------------------------------------------------------- levels and rows


def levels(
    numbers: Numbers, cells: Iterable[tuple[str, str, float]], outcomes: Iterable[str]
) -> pd.DataFrame:
    """Mean over seeds of each cell (method, treatment, dose) on each outcome with its t interval;
    of the untrained model (method ``base``) the value with its own. Cells that were not run have no
    row. ``treatment`` and ``dose`` stand beside the columns of result rows.
    """
    rows = []
    for (method, treatment, dose), name in product(cells, outcomes):
        where = cell(method, treatment, dose)
        runs = numbers.runs(OUTCOMES[name].measure, where)
        if len(runs):
            untrained = where == UNTRAINED
            mean = estimate(runs) if untrained else stats.over_seeds(runs["value"])
            columns = {
                "variant": "mean",
                "model": numbers.model,
                "method": method,
                "regularizer": where.regularizer,
                "lam": runs["lam"].max(),
                "treatment": treatment,
                "dose": dose,
            }
            rows += metric_rows({name: mean}, **columns)
    return pd.DataFrame(rows, columns=None if rows else [*_LEVEL_COLUMNS])


_LEVEL_COLUMNS = (
    "variant model method regularizer lam treatment dose metric value ci_low ci_high n".split()
)


def as_run(
    changes: Iterable[Change],
    means: pd.DataFrame | None = None,
    *,
    bases: Iterable[Numbers],
    profile: str = "adhoc",
) -> Run:
    """Rows of changes (variant ``minus none``: what they are taken from) and of ``levels``; ``n``
    counts seeds.
    """
    bases = list(bases)
    common = {"benchmark": "frontier", "origin": "recorded", "seed": np.nan}
    rows = [
        common
        | {
            "variant": f"minus {change.against}",
            "model": change.base,
            "method": change.second.method,
            "regularizer": change.second.regularizer,
            "lam": np.nan,
            "metric": name,
            "value": effect.value,
            "ci_low": effect.ci_low,
            "ci_high": effect.ci_high,
            "n": effect.seeds,
        }
        for change in changes
        for name, effect in change.effects.items()
    ]
    if means is not None:
        columns = means.drop(columns=["treatment", "dose"]).to_dict("records")
        rows += [common | row for row in columns]
    config = {"model": bases[0].model, "profile": profile}
    runs = [run_id for numbers in bases for run_id in numbers.run_ids]
    evidence = {"study": corpora.fingerprint(runs), "runs": len(runs)}
    return make(config, rows, None, device="cpu", evidence=evidence)


# ---------------------------------------------------------------- tables and sentences


def table(changes: Sequence[Change], outcomes: Sequence[str], *, caption: str) -> Styler:
    """One row a change: where, of how many seeds, each outcome with its interval, and the
    judgement, if all that it rests on is shown.
    """
    words = judge(changes) if set(JUDGED) <= set(outcomes) else [None] * len(changes)
    several = len({change.base for change in changes}) > 1
    rows = []
    for change, judgement in zip(changes, words, strict=True):
        row = {"base": change.base} if several else {}
        row |= {"method": change.second.method, "treatment": change.treatment}
        row |= {"dose": f"{change.dose:g}", "seeds": _seeds(change)}
        row |= {OUTCOMES[name].label: _entry(change.effects.get(name)) for name in outcomes}
        if judgement:
            verdict = f"<br>(slope: {judgement.verdict})" if judgement.verdict else ""
            row["by the rule"] = judgement.word + verdict
        rows.append(row)
    return tables.plain(pd.DataFrame(rows), caption=caption)


def level_table(means: pd.DataFrame, *, caption: str) -> Styler:
    """One row a cell of ``levels``, one column an outcome."""
    names = list(dict.fromkeys(means["metric"]))
    rows = [
        {
            "method": method,
            "treatment": treatment,
            "dose": f"{dose:g}" if treatment != "none" else "–",
        }
        | {"seeds": f"{part['n'].max():.0f}" if method != UNTRAINED.method else "–"}
        | {
            OUTCOMES[name].label: _broken(tables.interval(part.set_index("metric").loc[name]))
            for name in names
        }
        for (method, treatment, dose), part in means.groupby(
            ["method", "treatment", "dose"], sort=False
        )
    ]
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _seeds(change: Change) -> str:
    return f"{max((effect.seeds for effect in change.effects.values()), default=0)}"


def _entry(effect: stats.Effect | None) -> str:
    return "not run" if effect is None else _broken(tables.interval(pd.Series(vars(effect))))


def _broken(text: str) -> str:
    """A value, and its interval on a line of its own."""
    return text.replace(" [", "<br>[")


def judged(changes: Sequence[Change], *, by: str = "method") -> str:
    """What the rule makes of changes, in words: *Fairer: bec. Blinder: cda (accuracy). …*

    ``by``: ``method``, ``treatment`` or ``cell`` (both), what they are called after.
    """
    names: dict[str, list[str]] = {word: [] for word in WORDS}
    for change, judgement in zip(changes, judge(changes), strict=True):
        method, treatment = change.second.method, change.treatment
        name = {"method": method, "treatment": treatment}.get(by, f"{method} with {treatment}")
        failed = ", ".join(OUTCOMES[kept].label for kept in change.failed)
        names[judgement.word].append(f"{name} ({failed})" if failed else name)
    always = (FAIRER, BLINDER)
    return " ".join(
        f"{word.capitalize()}: {', '.join(called) or 'none'}."
        for word, called in names.items()
        if called or word in always
    )


def moved(changes: Sequence[Change], name: str, *, by: str = "treatment") -> str:
    """With which changes an outcome falls and rises, by intervals without 0, in words.

    ``by``: ``treatment`` (and dose) or ``method`` (and treatment), what they are called after.
    """
    sides: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    for change in changes:
        if (effect := change.effects.get(name)) and np.isfinite(effect.ci_high):
            called = f"{change.treatment} {change.dose:g}"
            if by == "method":
                called = f"{change.second.method} with {change.treatment}"
            sides[stats.side(effect.ci_low, effect.ci_high)].append(called)
    verbs = {-1: "falls with", 1: "rises with", 0: "no change shown with"}
    shown = [f"{verb} {', '.join(sides[sign])}" for sign, verb in verbs.items() if sides[sign]]
    return f"{OUTCOMES[name].label}: {'; '.join(shown) or 'no run decides it'}"


def in_words(change: Change, name: str) -> str:
    """A change of an outcome with its interval and number of seeds, or that it was not run."""
    effect = change.effects.get(name)
    if effect is None:
        return "not run"
    seeds = "seed" if effect.seeds == 1 else "seeds"
    return f"{tables.interval(pd.Series(vars(effect)))} ({effect.seeds} {seeds})"


def not_run(changes: Iterable[Change]) -> list[str]:
    """The cells that changes ask for and no recorded run tells."""
    return list(dict.fromkeys(name for change in changes for name in change.missing))


def relative(changes: Iterable[Change]) -> str:
    """Changes of the slope as shares of the comparator's, in words: *bec −18%, cda −31%*."""
    shares = {
        change.second.method: change.effects["slope"].value / change.before
        for change in changes
        if change.effects
    }
    listed = ", ".join(f"{method} {share:+.0%}" for method, share in shares.items())
    return listed.replace("-", "−") or "no run"


def explained(change: Change) -> str:
    """Whether swap collapse explains a fall, by the arm whose pairs name none of the occupations
    that the slope is made of.
    """
    slope = change.effects.get("slope")
    if slope is None or not np.isfinite(slope.ci_high):
        return (
            "No two seeds were run of the arm that decides whether swap collapse explains a fall."
        )
    fall = f"The change is {in_words(change, 'slope')}."
    if slope.ci_high < 0:
        return (
            "The slope falls although no pair names one of its occupations, so swap collapse "
            f"explains a fall. {fall}"
        )
    return (
        "The slope does not fall where no pair names one of its occupations, so swap collapse "
        f"explains no fall. {fall}"
    )


def largest_fall(changes: Sequence[Change]) -> str:
    """The change that lowers the slope most, and what the rule makes of it, in words."""
    run = [
        (change, judgement)
        for change, judgement in zip(changes, judge(changes), strict=True)
        if "slope" in change.effects
    ]
    if not run:
        return "No arm was run."
    change, judgement = min(run, key=lambda pair: pair[0].effects["slope"].value)
    return (
        f"The slope falls most with {change.treatment}, by the rule {judgement.word}: "
        f"{in_words(change, 'slope')}."
    )


def names_back(plain: Change, swapped: Change, difference: Change) -> str:
    """What is gained where only names tell by swapping names as well; ``difference``: with minus
    without, at the same seeds.
    """
    name = "accuracy_names"
    effect = difference.effects.get(name)
    if effect is None:
        return "Swapped names were not run beside the plain pairs."
    if not np.isfinite(effect.ci_high):
        verdict = "A single seed of swapped names decides nothing"
    elif effect.ci_low > 0:
        verdict = "Swapping names brings back what names tell"
    elif effect.ci_high < 0:
        verdict = "Swapping names loses more of what names tell"
    else:
        verdict = "It is not shown that swapping names brings back what names tell"
    return (
        f"{verdict}. {OUTCOMES[name].label}, minus {plain.first.method} alone: "
        f"{in_words(plain, name)} with plain pairs, {in_words(swapped, name)} with names swapped. "
        f"Swapped minus plain: {in_words(difference, name)}."
    )


def counted_units(changes: Iterable[Change], name: str) -> int:
    """Units that an outcome's changes were redrawn over; 0 where it was not run."""
    return max(
        (change.effects[name].units for change in changes if name in change.effects), default=0
    )


def nothing_to_remove(numbers: Numbers, names: Iterable[str]) -> list[str]:
    """Labels of the outcomes whose interval of the untrained model holds the ideal."""
    labels = []
    for name in names:
        measure = OUTCOMES[name].measure
        rows = numbers.runs(measure, UNTRAINED)
        if len(rows) and not stats.side(*rows.iloc[0][["ci_low", "ci_high"]], measure.metric.ideal):
            labels.append(OUTCOMES[name].label)
    return labels


def unmeasured(changes: Sequence[Change], names: Iterable[str]) -> list[str]:
    """Labels of the outcomes that no change has."""
    return [
        OUTCOMES[name].label
        for name in names
        if not any(name in change.effects for change in changes)
    ]


def causal_finding(changes: Sequence[Change], *, model: str) -> str:
    """What the cells of the causal model say, and which of them were not run, in Markdown."""
    missing = not_run(changes)
    text = ""
    if any(change.effects for change in changes):
        text = f"**Finding.** {judged(changes, by='cell')} {moved(changes, 'slope', by='method')}. "
    elif missing:
        text = (
            f"**Not run.** The cells of {model} have not been run, so the book says nothing of "
            "causal models. "
        )
    return text + (f"Missing: {'; '.join(missing)}." if missing else "Every cell was run.")
