"""The claims of the paper as data: a sentence, the measures that decide it, and the direction that it predicts.

All of them are claims of *Collapsed Language Models Promote Fairness* (Xu et al. 2025), in our words. A measure of the paper
stands beside its sensitive companion; measures that are ``descriptive`` decide nothing.
"""

from dataclasses import dataclass

#: Contrast → (regularizer of the first model, of the second), the same method and seed; None: the model before training.
CONTRASTS = {"debiased": (None, "none"), "corrected": ("none", "corrected"), "as_released": ("none", "as_released")}

#: Contrast → what a reader is told that it compares.
CONTRAST_LABELS = {
    "debiased": "debiased − before training",
    "corrected": "with corrected NC3 − without",
    "as_released": "with NC3 as released − without",
    "runs": "correlation over runs",
}


@dataclass(frozen=True)
class Measure:
    """One number of a benchmark, and how the claim says that it changes.

    ``predicted``: +1 up, −1 down. ``ideal``: for a metric that can be missed on both sides, what counts is its distance from
    there. ``against``: word list whose change is taken off. ``margin``: a change for the worse up to here counts as none.
    ``split``: alternatives are joined by ``|``, the first one recorded is taken. ``of`` and ``label``: what a reader is told.
    """

    benchmark: str
    metric: str
    predicted: int
    of: str
    label: str
    split: str = ""
    axis: str = ""
    words: str = ""
    ideal: float | None = None
    against: str = ""
    margin: float = 0.0
    companion: bool = False
    descriptive: bool = False

    @property
    def key(self) -> str:
        """Name within its claim, e.g. ``stereoset_intra:gender:SS``."""
        parts = (self.benchmark, self.axis or self.words, f"-{self.against}" * bool(self.against), self.metric)
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
    """A claim: ``sentence`` in our words, ``title``, the same as a ``clause``, what it compares, its measures.

    ``needs``: ``all`` if the claim says something of every measure, ``most`` if they are ways to see one thing. ``headline``:
    keys of the measures that the abstract quotes.
    """

    key: str
    title: str
    sentence: str
    clause: str
    contrasts: tuple[str, ...]
    measures: tuple[Measure, ...]
    needs: str
    headline: tuple[str, ...]

    def measure(self, key: str) -> Measure:
        """The measure of that key."""
        return next(measure for measure in self.measures if measure.key == key)


def _collapse(metric: str, predicted: int, against: str = "") -> Measure:
    name = metric.upper()
    label = f"{name}, gender − {against}" if against else f"{name} of gender words"
    return Measure(
        "collapse", metric, predicted, "", label, split="test", axis="gender", words="gender", against=against,
        companion=metric == "unc3",
    )  # fmt: skip


def _near(benchmark: str, metric: str, of: str, label: str, ideal: float, **options) -> Measure:
    return Measure(benchmark, metric, -1, of, f"|{label} − {ideal:g}|" if ideal else f"|{label}|", ideal=ideal, **options)


_STEREOSET = {"split": "test", "axis": "gender"}
_CROWS = {"split": "all", "axis": "gender"}
_BEC = {"split": "english", "axis": "all"}
_INTRINSIC = (
    _near("stereoset_intra", "SS", "StereoSet", "SS", 50, **_STEREOSET),
    _near("stereoset_intra", "log_ratio", "StereoSet", "log ratio", 0, companion=True, **_STEREOSET),
    _near("crows_bias_bench", "stereotype_pct", "CrowS-Pairs, bias-bench", "stereotype %", 50, **_CROWS),
    _near("crows_bias_bench", "log_ratio", "CrowS-Pairs, bias-bench", "log ratio", 0, companion=True, **_CROWS),
    _near("crows_official", "stereotype_pct", "CrowS-Pairs, official", "stereotype %", 50, **_CROWS),
    _near("crows_official", "log_ratio", "CrowS-Pairs, official", "log ratio", 0, companion=True, **_CROWS),
    _near("bec_pro", "gap", "BEC-Pro", "association gap", 0, **_BEC),
    Measure("bec_pro", "abs_association_female", -1, "BEC-Pro", "|association|, women", companion=True, **_BEC),
    Measure("bec_pro", "abs_association_male", -1, "BEC-Pro", "|association|, men", companion=True, **_BEC),
    _near("occupation_slope", "slope", "Occupations", "slope", 0, split="bls", axis="gender", companion=True),
    Measure("stereoset_intra", "ICAT", 1, "StereoSet", "ICAT", descriptive=True, **_STEREOSET),
)  # fmt: skip

_BUG = {"split": "test", "axis": "gender"}
_EXTRINSIC = (
    _near("bug_profession", "TPR-GAP", "BUG professions", "TPR gap", 0, **_BUG),
    _near("bug_profession", "probability_gap", "BUG professions", "probability gap", 0, companion=True, **_BUG),
    Measure("bug_profession", "TPR-RMS", -1, "BUG professions", "TPR gap, RMS", **_BUG),
    *(
        _near("winobias", metric, f"WinoBias, type {kind}", label, 0, split="test|dev", axis=f"type{kind}", companion=companion)
        for kind in (1, 2)
        for metric, label, companion in (("TPR", f"TPR-{kind}", False), ("answer_probability_gap", "P(answer) gap", True))
    ),
    Measure("bias_nli", "FN", 1, "Bias-NLI", "fraction neutral", split="all|sample", axis="gender"),
    Measure("bias_nli", "NN", 1, "Bias-NLI", "net neutral", split="all|sample", axis="gender", companion=True),
)

#: A change for the worse by less than this counts as none: points of LM, accuracy and correlation, and units of perplexity.
MARGIN = 1.0

_KEPT = (
    Measure("stereoset_intra", "LM", 1, "StereoSet", "LM", margin=MARGIN, companion=True, **_STEREOSET),
    Measure("perplexity", "masked_perplexity", -1, "GAP", "masked perplexity", split="test", margin=MARGIN, companion=True),
    Measure("sst2", "accuracy", 1, "SST-2", "accuracy", split="validation", margin=MARGIN),
    Measure("cola", "matthews", 1, "CoLA", "Matthews · 100", split="validation", margin=MARGIN),
    Measure("rte", "accuracy", 1, "RTE", "accuracy", split="validation", margin=MARGIN),
    Measure("sick", "accuracy", 1, "SICK", "accuracy", split="test", margin=MARGIN, companion=True),
)

_COLLAPSE = (_collapse("nc3", 1), _collapse("unc3", -1))

CLAIMS = (
    Claim(
        "collapse", "Debiased models are more collapsed",
        "Debiased models are more collapsed on gender words than the model they were trained from: NC3 rises and UNC3 falls.",
        "debiased models are more collapsed on gender words than the model they were trained from",
        ("debiased",), _COLLAPSE, "all", ("collapse:gender:nc3", "collapse:gender:unc3"),
    ),
    Claim(
        "specific", "The collapse is of fairness words",
        "That collapse is one of fairness words: NC3 rises and UNC3 falls more on gender words than on random words, words of "
        "the same frequency or the whole vocabulary.",
        "this collapse is one of fairness words rather than of all words",
        ("debiased",),
        tuple(_collapse(metric, sign, against) for against in ("random", "matched", "vocabulary")
              for metric, sign in (("nc3", 1), ("unc3", -1))),
        "all", ("collapse:gender:-random:nc3", "collapse:gender:-random:unc3"),
    ),
    Claim(
        "enforced", "The regularizer enforces collapse",
        "NC3 regularization does what it is for: on held-out text, gender words have a lower UNC3 and a higher NC3 with it.",
        "NC3 regularization collapses gender words on held-out text",
        ("corrected", "as_released"), _COLLAPSE, "all", ("collapse:gender:nc3", "collapse:gender:unc3"),
    ),
    Claim(
        "intrinsic", "NC3 makes models fairer inside",
        "With NC3 regularization each method leaves less bias in what the model finds likely.",
        "NC3 regularization leaves less bias in what a model finds likely",
        ("corrected", "as_released"), _INTRINSIC, "most",
        ("stereoset_intra:gender:SS", "stereoset_intra:gender:log_ratio", "occupation_slope:gender:slope"),
    ),
    Claim(
        "extrinsic", "NC3 makes models fairer in use",
        "Fine-tuned copies of models that were debiased with NC3 regularization treat women and men more alike.",
        "NC3 regularization makes fine-tuned copies treat women and men more alike",
        ("corrected",), _EXTRINSIC, "most",
        ("bug_profession:gender:probability_gap", "winobias:type1:answer_probability_gap", "bias_nli:gender:NN"),
    ),
    Claim(
        "understanding", "NC3 keeps understanding",
        f"NC3 regularization costs no understanding: no measure of it becomes worse by more than {MARGIN:g} point.",
        "NC3 regularization keeps understanding, each measure within a margin of one point",
        ("corrected", "as_released"), _KEPT, "all",
        ("stereoset_intra:gender:LM", "perplexity:masked_perplexity"),
    ),
    Claim(
        "runs", "More collapsed models are fairer",
        "Over all trained models, those with a lower UNC3 on gender words are fairer.",
        "of all trained models those with a lower UNC3 on gender words are fairer",
        ("runs",), _INTRINSIC, "most",
        ("stereoset_intra:gender:log_ratio", "occupation_slope:gender:slope"),
    ),
)  # fmt: skip
