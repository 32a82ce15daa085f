"""The plan as data: bases, methods, treatments, comparisons, measures and families of tests.

Everything here stands in ``book/about/plan.md``, which was fixed before the runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fairnc_book.numbers import MEASURES, Measure, Setting, at_least
from fairnc_utils.regularizer_label import RegularizerLabel

#: Profile of the runs.
EDITION = "second"

#: The commit that fixed the plan and the code that decides; every run came after it.
PLAN_COMMIT = "be0549302670222988d5d26d913ba5140045f4cd"

#: The base whose weights come with the book, and those beside it that take other roles.
EMBEDDED, CAUSAL = "models/minilm-mlm", "smollm2"

#: The row over all methods of a base; and the base that stands for the mean over masked bases.
TOTAL, OVER_BASES = "total", "over bases"

#: Control with as many steps as cda; its rows are told from those of mlm by the provenance of the runs.
LONG_CONTROL = "mlm, 2,232 steps"

#: Treatment → its regularizer, without the dose.
TREATMENTS = {"uniform": "repaired", "both": "repaired,kind=both", "swap": "swap"}
MAIN_DOSE = 0.3
DOSES = (0.1, MAIN_DOSE, 1.0)

#: Methods on the embedded model, on other masked bases, on the causal one; at other doses than the main one.
METHODS = ("mlm", "bec", "cda", "mabel", "adept")
ELSEWHERE, OF_CAUSAL, AT_DOSES = ("cda",), ("clm", "cda"), ("bec", "cda")

#: Methods whose loss has a masked language modelling part.
WITH_MLM = ("mlm", "bec", "cda", "mabel")

#: Debiasing method → the control that it is compared with: the same sentences, as many steps.
CONTROL = {"bec": "mlm", "cda": LONG_CONTROL}


def methods_of(model: str) -> tuple[str, ...]:
    """The methods that the plan trains on a base."""
    if CAUSAL in model:
        return OF_CAUSAL
    return METHODS if model == EMBEDDED else ELSEWHERE


def regularizer(treatment: str, dose: float = MAIN_DOSE, **changes) -> str:
    """What rows call a treatment at a dose; ``changes``: options of an arm."""
    label = RegularizerLabel.parse(TREATMENTS[treatment])
    pairs = (*label.changes, *changes.items())
    return str(RegularizerLabel(label.preset, pairs, dose=dose))


@dataclass(frozen=True)
class Comparison:
    """Treated − comparator: ``label`` for readers, the regularizer on either side; None as ``first``:
    another method without one, by ``CONTROL``. ``methods``: those of the embedded model alone that the
    plan has runs of. ``treatment``, ``dose``: what a sentence calls it.
    """

    key: str
    label: str
    second: str
    first: str | None = "none"
    methods: tuple[str, ...] | None = None
    treatment: str = ""
    dose: float = MAIN_DOSE

    def of(self, model: str) -> tuple[str, ...]:
        """The methods of a base that are compared."""
        planned = methods_of(model)
        if self.methods is None:
            return planned
        if model != EMBEDDED and self.first is not None:  # doses and arms are run on it alone
            return ()
        return tuple(method for method in planned if method in self.methods)

    def settings(self, method: str) -> tuple[Setting, Setting]:
        """Comparator and treated setting of a method."""
        second = Setting(method, self.second)
        return (
            Setting(CONTROL[method]) if self.first is None else Setting(method, self.first)
        ), second


def _dosed(treatment: str, dose: float) -> Comparison:
    label = regularizer(treatment, dose)
    methods = None if dose == MAIN_DOSE else AT_DOSES
    key = treatment if dose == MAIN_DOSE else f"{treatment} {dose:g}"
    text = f"{treatment}, dose {dose:g}, − none"
    return Comparison(key, text, label, methods=methods, treatment=treatment, dose=dose)


#: Treatment and dose → comparison with the same method without it, in every method that has it.
DOSED = {(name, dose): _dosed(name, dose) for name in TREATMENTS for dose in DOSES}
#: The same, at each dose in the methods that have all doses: what may be set side by side.
BESIDE_DOSES = {
    (name, dose): replace(each, key=f"{each.key}, {' and '.join(AT_DOSES)}", methods=AT_DOSES)
    if each.methods is None
    else each
    for (name, dose), each in DOSED.items()
}
RELEASED = Comparison(
    "released", "as released − none", "as_released", methods=("bec", "mabel", "adept")
)
DEBIASED = Comparison("debiased", "debiased − mlm", "none", None, ("bec", "cda"))


#: Arms of swap collapse beside cda, and switches of NC3 beside bec, one thing changed in each: label → options.
ARM_OPTIONS: dict[str, dict[str, Any]] = {
    "ratio form": {"form": "ratio"},
    "pairs with evidence only": {"pairs": "evidence"},
    "even part alone": {"form": "even"},
    "with the occupations' sentences": {"occupations": True},
    "BUG's texts added": {"texts": "gap+bug"},
    "both of these": {"occupations": True, "texts": "gap+bug"},
    "names swapped": {"names": True},
}
ARMS = tuple(
    Comparison(label, label, regularizer("swap", **options), methods=("cda",), treatment=label)
    for label, options in ARM_OPTIONS.items()
)
EVEN = next(arm for arm in ARMS if arm.key == "even part alone")
NAMES_SWAPPED = Comparison(
    "names", "names swapped − swap", ARMS[-1].second, regularizer("swap"), methods=("cda",)
)
SWITCHES = tuple(
    Comparison(label, label, f"{preset},dose={MAIN_DOSE:g}", methods=("bec",))
    for label, preset in (
        ("align alone", "repaired,kind=align"),
        ("memory of one batch", "repaired,memory=batch"),
        ("cumulative memory", "repaired,memory=cumulative"),
        ("no least weight", "corrected"),
    )
)


@dataclass(frozen=True)
class Outcome:
    """A measure within a family. ``predicted``: the sign that the claim gives the change, 0: towards
    the ideal. ``improves``: a bias, which a base may not have at all; ``of_occupations``: one that a bias
    planted in occupations must move, or the instrument has failed. ``margin``: a change up to here
    is none; ``share`` of the comparator's value instead, where that is given. ``allowed``: the most that
    the upper 95% bound of a loss may be of what must be kept; None: nothing is asked.
    """

    measure: Measure
    label: str
    predicted: int = 0
    improves: bool = False
    of_occupations: bool = False
    margin: float = 0.0
    share: float = 0.0
    allowed: float | None = None

    @property
    def head(self) -> str:
        """Head of its column: the label with the unit, the ideal, and by how much it may get worse."""
        metric, parts = self.measure.metric, []
        if metric.target != "–":
            parts.append(f"ideal {metric.target}")
        if self.allowed is not None:
            parts.append(f"may {'rise' if self.worse > 0 else 'fall'} by {self.allowed:g}")
        unit = f", {metric.unit}" if metric.unit else ""
        return self.label + unit + (f" ({'; '.join(parts)})" if parts else "")

    @property
    def may_overshoot(self) -> bool:
        """Whether it is a bias that a treatment can turn to the other side of its ideal."""
        return self.improves and not self.measure.metric.better

    @property
    def worse(self) -> int:
        """The sign of a change for the worse; 0: either may be."""
        return -self.measure.metric.better

    @property
    def key(self) -> str:
        """Name of the measure, with the threshold of collapse."""
        count = self.measure.where.get("min_count")
        return self.measure.key + (f"/{count}" if count else "")


@dataclass(frozen=True)
class Family:
    """Tests that Holm's correction goes over: ``question``, and comparison → outcomes. ``judged``: with
    Holm's p and verdicts; else it only describes.
    """

    key: str
    question: str
    tests: Mapping[Comparison, tuple[Outcome, ...]]
    judged: bool = True


_GENDER = "collapse/test/gender"


def collapse(name: str, count: int, predicted: int = 0) -> Outcome:
    """A metric of gender words that are seen at least ``count`` times."""
    measure = at_least(MEASURES[f"{_GENDER}/{name}"], count)
    return Outcome(measure, f"{measure.metric.label}, n ≥ {count}", predicted)


THRESHOLDS = (20, 50, 100)
SLOPE = Outcome(
    MEASURES["occupation_slope/bls/gender/slope"],
    "occupation slope",
    improves=True,
    of_occupations=True,
    share=0.1,
)
LEAN = Outcome(
    MEASURES["occupation_slope/bls/gender/lean"], "lean at parity", improves=True, margin=0.1
)
_UNC3 = tuple(collapse("unc3", count, -1) for count in THRESHOLDS)
SWAP_COLLAPSE, NEUTRAL_PART = (
    Outcome(MEASURES[f"swap_collapse/gap/all/{name}"], label, -1)
    for name, label in (
        ("swap_collapse", "swap collapse, pairs with evidence"),
        ("neutral_part", "swap collapse, neutral part"),
    )
)
_PAIR_PARTS = (
    Outcome(MEASURES["swap_collapse/gap/all/even_rms"], "even part"),
    Outcome(MEASURES["swap_collapse/gap/all/odd_mean"], "odd part"),
)

#: Slopes over occupations that the pairs of an arm name rarely; the split keeps those alone.
RARE = tuple(
    Outcome(replace(SLOPE.measure, where={**SLOPE.measure.where, "split": split}), label)
    for split, label in (
        ("bls_rare_in_gap_pairs", "slope over those rare in GAP's pairs"),
        ("bls_rare_in_gap_bug_pairs", "slope over those rare in GAP's and BUG's"),
    )
)


def _bias(key: str, label: str) -> Outcome:
    measure = MEASURES[key]
    of_occupations = measure.benchmark in ("bec_pro", "winobias_zero_shot", "selectivity")
    return Outcome(measure, label, improves=True, of_occupations=of_occupations)


SECONDARY = (
    LEAN,
    _bias("bec_pro/english/all/abs_association_female", "BEC-Pro |association|, women"),
    _bias("bec_pro/english/all/abs_association_male", "BEC-Pro |association|, men"),
    _bias("winobias_zero_shot/test/type1/log_ratio", "zero-shot WinoBias, type 1"),
    _bias("winobias_zero_shot/test/type2/log_ratio", "zero-shot WinoBias, type 2"),
    _bias("stereoset_intra/test/gender/log_ratio", "StereoSet log ratio"),
    _bias("selectivity/bls/gender/selectivity", "selectivity"),
    Outcome(MEASURES["bias_nli/all|sample/gender/NN"], "Bias-NLI net neutral"),
)
PAPER = (
    _bias("stereoset_intra/test/gender/SS", "StereoSet SS"),
    _bias("stereoset_intra/test/gender/ICAT", "StereoSet ICAT"),
    _bias("crows_official/all/gender/stereotype_pct", "CrowS-Pairs"),
    _bias("bec_pro/english/all/gap", "BEC-Pro gap"),
    _bias("seat/gender/all/abs_effect_size", "SEAT"),
)

#: What must be kept; accuracy is in points.
KEPT = tuple(
    Outcome(MEASURES[key], label, allowed=allowed)
    for key, label, allowed in (
        ("gender_agreement/test/all/log_loss", "agreement log loss", 0.03),
        ("gender_agreement/test/all/accuracy", "agreement accuracy %", 2.0),
        ("perplexity/gap/log_perplexity", "log perplexity", 0.02),
    )
)
#: What a frontier and its tables show: the bias, what must be kept, and what no bound keeps.
NAMES = Outcome(MEASURES["gender_agreement/test/names/accuracy"], "accuracy %, only names tell")
PRICED = (SLOPE, *KEPT, NAMES)
#: Biases that are measured in another way, or after another training.
TRANSFER = tuple(
    each
    for each in SECONDARY
    if each.measure.benchmark in ("bec_pro", "winobias_zero_shot", "bias_nli")
)
PARTS_OF_SWAP = (SLOPE, *_PAIR_PARTS, SWAP_COLLAPSE, NEUTRAL_PART)
DEFINITIONAL = Outcome(MEASURES["definitional/nouns/all/definitional"], "definitional gender")

_UNIFORM, _BOTH, _SWAPPED = (DOSED[name, MAIN_DOSE] for name in TREATMENTS)

FAMILIES = (
    Family(
        "A",
        "Do the treatments do what they say?",
        {_UNIFORM: _UNC3, _BOTH: _UNC3, _SWAPPED: (SWAP_COLLAPSE, NEUTRAL_PART)},
    ),
    Family(
        "B",
        "Are debiased models more collapsed, and less biased?",
        {
            DEBIASED: (
                collapse("nc3", 50, 1),
                collapse("unc3", 50, -1),
                collapse("nc1w", 50, -1),
                SLOPE,
            )
        },
    ),
    Family("C", "Does NC3 lower the slope?", {_UNIFORM: (SLOPE,), _BOTH: (SLOPE,)}),
    Family("D", "Does swap collapse lower the slope?", {_SWAPPED: (SLOPE,)}),
    Family("E", "Do the paper's metrics improve, as the paper uses them?", {RELEASED: PAPER}),
    Family("C, secondary", "Does NC3 lower other biases?", {_UNIFORM: SECONDARY, _BOTH: SECONDARY}),
    Family("D, secondary", "Does swap collapse lower other biases?", {_SWAPPED: SECONDARY}),
)


def _described(
    key: str, question: str, comparisons: Iterable[Comparison], outcomes: tuple[Outcome, ...]
) -> Family:
    """A family with neither Holm's correction nor a verdict."""
    return Family(key, question, dict.fromkeys(comparisons, outcomes), judged=False)


BY_DOSE = _described(
    "doses",
    "What does each dose do?",
    (*DOSED.values(), *BESIDE_DOSES.values()),
    (SLOPE, LEAN, DEFINITIONAL),
)
KEPT_BY_DOSE = _described("kept", "What must be kept?", (*DOSED.values(), *ARMS), (*KEPT, NAMES))
COLLAPSE_BY_DOSE = _described(
    "collapse",
    "How collapsed are gender words?",
    (*(BESIDE_DOSES[name, dose] for name in ("uniform", "both") for dose in DOSES), *SWITCHES),
    tuple(collapse(name, count) for name in ("unc3", "nc3") for count in THRESHOLDS),
)
SWITCHED = _described("switches", "Which part of NC3 does it?", (_UNIFORM, *SWITCHES), (SLOPE,))
BY_PART = _described(
    "parts", "Which part of swap collapse does it?", (_SWAPPED, *ARMS), PARTS_OF_SWAP
)
ALIGNED = _described(
    "aligned",
    "Does *both* raise NC3?",
    (_BOTH,),
    tuple(collapse("nc3", count) for count in THRESHOLDS),
)
DESCRIBED = (BY_DOSE, KEPT_BY_DOSE, COLLAPSE_BY_DOSE, ALIGNED, SWITCHED, BY_PART)

#: Both kinds.
EVERY_FAMILY = FAMILIES + DESCRIBED

#: What the chapters on swap collapse and on the causal model show: arms have a Holm family of their own.
_RARE_ARMS = [arm for arm in ARMS if {"occupations", "texts"} & set(ARM_OPTIONS[arm.key])]
FRONTIER = (
    *(family for family in FAMILIES if family.key[0] in "CD"),
    Family("arms", "Which arm of swap collapse lowers the slope?", dict.fromkeys(ARMS, (SLOPE,))),
    BY_DOSE,
    KEPT_BY_DOSE,
    BY_PART,
    _described("rare", "Also where the pairs name hardly any?", (_SWAPPED, *_RARE_ARMS), RARE),
    _described("names", "Do swapped names bring back what they tell?", [NAMES_SWAPPED], (NAMES,)),
)
CAUSAL_FAMILIES = tuple(family for family in FRONTIER if family.key in ("C", "D", KEPT_BY_DOSE.key))
