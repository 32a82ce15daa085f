"""The claims of the paper as data: a sentence, the numbers that decide it, and what they are
compared between.

All of them are claims of *Collapsed Language Models Promote Fairness* (Xu et al. 2025), in our
words. A measure of the paper stands beside its sensitive companion; measures that are
``descriptive`` decide nothing.
"""

from dataclasses import dataclass

from fairnc_book.numbers import MEASURES, Measure

#: Contrast → (regularizer of the first model, of the second), the same method and seed; None: the model before training.
CONTRASTS = {
    "debiased": (None, "none"),
    "corrected": ("none", "corrected"),
    "as_released": ("none", "as_released"),
}

#: Contrast → what a reader is told that it compares.
CONTRAST_LABELS = {
    "debiased": "debiased − before training",
    "corrected": "with corrected NC3 − without",
    "as_released": "with NC3 as released − without",
    "runs": "correlation over runs",
}


@dataclass(frozen=True)
class Prediction:
    """A claim says that one number comes nearer to its ideal.

    What counts of a metric that can be missed on both sides is its distance from the ideal. ``of``
    and ``label``: what a reader is told; ``against``: the same metric of control words, whose
    change is taken off; ``margin``: a change for the worse up to here counts as none; ``bound``: the
    value that cannot be passed, where the metric has no ideal.
    """

    measure: Measure
    of: str
    label: str
    against: Measure | None = None
    margin: float = 0.0
    bound: float | None = None
    companion: bool = False
    descriptive: bool = False

    @property
    def predicted(self) -> int:
        """The direction: +1 up, −1 down."""
        return self.measure.metric.better or -1

    @property
    def ideal(self) -> float | None:
        """Where nothing is left to gain: the metric's ideal, or its ``bound``."""
        return self.bound if self.measure.metric.ideal is None else self.measure.metric.ideal

    @property
    def key(self) -> str:
        """Name within its claim, e.g. ``stereoset_intra:gender:SS``."""
        against = f"-{self.against.group}" if self.against else ""
        parts = (self.measure.benchmark, self.measure.group, against, self.measure.name)
        return ":".join(part for part in parts if part)

    @property
    def name(self) -> str:
        """What tables and sentences call it."""
        return f"{self.of} {self.label}".strip()

    @property
    def null(self) -> float:
        """The change at which the claim turns from wrong to right."""
        return -self.predicted * self.margin


@dataclass(frozen=True)
class Claim:
    """A claim: ``sentence`` in our words, ``title``, the same as a ``clause``, what it compares,
    its predictions.

    ``needs``: ``all`` if the claim says something of every number, ``most`` if they are ways to see
    one thing. ``headline``: keys of the predictions that the abstract quotes.
    """

    key: str
    title: str
    sentence: str
    clause: str
    contrasts: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    needs: str
    headline: tuple[str, ...]

    def prediction(self, key: str) -> Prediction:
        """The prediction of that key."""
        return next(prediction for prediction in self.predictions if prediction.key == key)


def _predict(measure: str, of: str, label: str, **options) -> Prediction:
    metric = MEASURES[measure].metric
    if metric.two_sided:
        label = f"|{label} − {metric.ideal:g}|" if metric.ideal else f"|{label}|"
    return Prediction(MEASURES[measure], of, label, **options)


def _collapse(name: str, against: str = "") -> Prediction:
    label = f"{name.upper()}, gender − {against}" if against else f"{name.upper()} of gender words"
    control = MEASURES[f"collapse/test/{against}/{name}"] if against else None
    return _predict(
        f"collapse/test/gender/{name}",
        "",
        label,
        against=control,
        bound=1.0 if name == "nc3" else None,  # a mean of cosines
        companion=name == "unc3",
    )


_STEREOSET, _BEC, _BUG = (
    "stereoset_intra/test/gender",
    "bec_pro/english/all",
    "bug_profession/test/gender",
)
_BIAS_BENCH, _OFFICIAL = "crows_bias_bench/all/gender", "crows_official/all/gender"

_INTRINSIC = (
    _predict(f"{_STEREOSET}/SS", "StereoSet", "SS"),
    _predict(f"{_STEREOSET}/log_ratio", "StereoSet", "log ratio", companion=True),
    _predict(f"{_BIAS_BENCH}/stereotype_pct", "CrowS-Pairs, bias-bench", "stereotype %"),
    _predict(f"{_BIAS_BENCH}/log_ratio", "CrowS-Pairs, bias-bench", "log ratio", companion=True),
    _predict(f"{_OFFICIAL}/stereotype_pct", "CrowS-Pairs, official", "stereotype %"),
    _predict(f"{_OFFICIAL}/log_ratio", "CrowS-Pairs, official", "log ratio", companion=True),
    _predict(f"{_BEC}/gap", "BEC-Pro", "association gap"),
    _predict(f"{_BEC}/abs_association_female", "BEC-Pro", "|association|, women", companion=True),
    _predict(f"{_BEC}/abs_association_male", "BEC-Pro", "|association|, men", companion=True),
    _predict("occupation_slope/bls/gender/slope", "Occupations", "slope", companion=True),
    _predict(f"{_STEREOSET}/ICAT", "StereoSet", "ICAT", descriptive=True),
)

_EXTRINSIC = (
    _predict(f"{_BUG}/TPR-GAP", "BUG professions", "TPR gap"),
    _predict(f"{_BUG}/probability_gap", "BUG professions", "probability gap", companion=True),
    _predict(f"{_BUG}/TPR-RMS", "BUG professions", "TPR gap, RMS"),
    *(
        _predict(
            f"winobias/test|dev/type{kind}/{metric}",
            f"WinoBias, type {kind}",
            label,
            companion=companion,
        )
        for kind in (1, 2)
        for metric, label, companion in (
            ("TPR", f"TPR-{kind}", False),
            ("answer_probability_gap", "P(answer) gap", True),
        )
    ),
    _predict("bias_nli/all|sample/gender/FN", "Bias-NLI", "fraction neutral"),
    _predict("bias_nli/all|sample/gender/NN", "Bias-NLI", "net neutral", companion=True),
)

#: A change for the worse by less than this counts as none: points of LM, accuracy and correlation, and units of perplexity.
MARGIN = 1.0

_KEPT = (
    _predict(f"{_STEREOSET}/LM", "StereoSet", "LM", margin=MARGIN, companion=True),
    _predict(
        "perplexity/gap/masked_perplexity",
        "GAP",
        "masked perplexity",
        margin=MARGIN,
        companion=True,
    ),
    _predict("sst2/validation/accuracy", "SST-2", "accuracy", margin=MARGIN),
    _predict("cola/validation/matthews", "CoLA", "Matthews · 100", margin=MARGIN),
    _predict("rte/validation/accuracy", "RTE", "accuracy", margin=MARGIN),
    _predict("sick/test/accuracy", "SICK", "accuracy", margin=MARGIN, companion=True),
)

_COLLAPSE = (_collapse("nc3"), _collapse("unc3"))

CLAIMS = (
    Claim(
        "collapse",
        "Debiased models are more collapsed",
        "Debiased models are more collapsed on gender words than the model they were trained from: NC3 rises and UNC3 falls.",
        "debiased models are more collapsed on gender words than the model they were trained from",
        ("debiased",),
        _COLLAPSE,
        "all",
        ("collapse:gender:nc3", "collapse:gender:unc3"),
    ),
    Claim(
        "specific",
        "The collapse is of fairness words",
        "That collapse is one of fairness words: NC3 rises and UNC3 falls more on gender words than on random words, words of "
        "the same frequency or the whole vocabulary.",
        "this collapse is one of fairness words rather than of all words",
        ("debiased",),
        tuple(
            _collapse(metric, against)
            for against in ("random", "matched", "vocabulary")
            for metric in ("nc3", "unc3")
        ),
        "all",
        ("collapse:gender:-random:nc3", "collapse:gender:-random:unc3"),
    ),
    Claim(
        "enforced",
        "The regularizer enforces collapse",
        "NC3 regularization does what it is for: on held-out text, gender words have a lower UNC3 and a higher NC3 with it.",
        "NC3 regularization collapses gender words on held-out text",
        ("corrected", "as_released"),
        _COLLAPSE,
        "all",
        ("collapse:gender:nc3", "collapse:gender:unc3"),
    ),
    Claim(
        "intrinsic",
        "NC3 makes models intrinsically fairer",
        "With NC3 regularization each method leaves less bias in what the model finds likely.",
        "NC3 regularization leaves less bias in what a model finds likely",
        ("corrected", "as_released"),
        _INTRINSIC,
        "most",
        (
            "stereoset_intra:gender:SS",
            "stereoset_intra:gender:log_ratio",
            "occupation_slope:gender:slope",
        ),
    ),
    Claim(
        "extrinsic",
        "NC3 makes models fairer in downstream tasks",
        "Fine-tuned copies of models that were debiased with NC3 regularization treat women and men more alike.",
        "NC3 regularization makes fine-tuned copies treat women and men more alike",
        ("corrected",),
        _EXTRINSIC,
        "most",
        (
            "bug_profession:gender:probability_gap",
            "winobias:type1:answer_probability_gap",
            "bias_nli:gender:NN",
        ),
    ),
    Claim(
        "understanding",
        "NC3 keeps understanding",
        f"NC3 regularization costs no understanding: no measure of it becomes worse by more than {MARGIN:g} point.",
        "NC3 regularization keeps understanding, each measure within a margin of one point",
        ("corrected", "as_released"),
        _KEPT,
        "all",
        ("stereoset_intra:gender:LM", "perplexity:masked_perplexity"),
    ),
    Claim(
        "runs",
        "More collapsed models are fairer",
        "Over all trained models, those with a lower UNC3 on gender words are fairer.",
        "of all trained models those with a lower UNC3 on gender words are fairer",
        ("runs",),
        _INTRINSIC,
        "most",
        ("stereoset_intra:gender:log_ratio", "occupation_slope:gender:slope"),
    ),
)
