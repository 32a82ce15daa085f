"""What is asked of any language model without training it: one form of each question, on as many
items as a budget of time allows.

A *part* of the panel is a benchmark on a split and an axis. Perplexity and collapse are such parts
too: their items are texts, their units groups of texts and words, so that two models are compared
on them unit by unit as on every other benchmark.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch

from fairnc_utils import (
    assets,
    batching,
    benchmarks,
    catalog,
    collapse,
    corpora,
    measurement,
    models,
    words,
)
from fairnc_utils._progress import progress
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.benchmarks.scoring import mask_id
from fairnc_utils.errors import FairNCError
from fairnc_utils.finetuning import sample_units
from fairnc_utils.measurement import ClassMeans
from fairnc_utils.metrics import Metric
from fairnc_utils.models import LanguageModel
from fairnc_utils.perplexity import perplexity

#: Section → what it asks.
SECTIONS = {
    "likely": "What it finds likely",
    "kept": "What it is told, and keeps",
    "words": "Where its words stand",
    "text": "How well it predicts text",
}

#: Samples that a word needs to be measured.
MIN_COUNT = 10

#: Items of a part, and units where items name theirs, that no budget goes below: what it cannot pay so many
#: of is left out. Fewer texts show hardly a word often enough for collapse; perplexity varies little.
FEWEST, FEWEST_UNITS = {"collapse": 150, "perplexity": 15}, 12
_FEWEST = 30  # items of other parts

#: Share of a budget that one more part may take beyond it rather than be left out.
_GRACE = 0.2
#: Share of a budget that is spent on each part to learn what its items cost, and the most on all of them.
_PILOT, _PILOTS = 0.005, 0.25

_TEXTS = 4  # of one unit of perplexity


@dataclass(frozen=True)
class Part:
    """A benchmark on a ``split`` and an ``axis``; ``metrics``: those that are reported and tested,
    which follow from no other one; ``section``: of ``SECTIONS``; ``described``: metrics that
    ``METRICS`` does not have, or has otherwise.
    """

    benchmark: Benchmark
    split: str
    axis: str
    metrics: tuple[str, ...]
    section: str = "likely"
    described: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``benchmark:split:axis``, as ``--benchmarks`` takes it."""
        return f"{self.benchmark.name}:{self.split}:{self.axis}"

    @cached_property
    def fewest(self) -> int:
        """Items that no budget goes below."""
        fewest = FEWEST.get(self.benchmark.name, _FEWEST)
        if "unit" in self.items.column_names:
            of_unit = len(self.items) / len(set(self.items["unit"]))
            fewest = max(fewest, math.ceil(FEWEST_UNITS * of_unit))
        return min(fewest, len(self.items))

    @cached_property
    def items(self) -> datasets.Dataset:
        """All items, loaded once."""
        return self.benchmark.items(self.split, self.axis)


#: What is asked unless benchmarks are named: request → section and metrics. Of several forms of one question it takes the
#: published one that keeps item scores; a name that the registry lacks is passed over.
PANEL: dict[str, tuple[str, tuple[str, ...]]] = {
    "occupation_slope:bls": ("likely", ("slope", "lean")),
    "stereoset_intra:test:gender": ("likely", ("SS", "LM", "log_ratio")),
    "stereoset_intra_causal:test:gender": ("likely", ("SS", "LM", "log_ratio")),
    "crows_official:all:gender": ("likely", ("stereotype_pct", "log_ratio")),
    "crows_causal:all:gender": ("likely", ("stereotype_pct", "log_ratio")),
    "bec_pro:english": ("likely", ("abs_association_female", "abs_association_male", "gap")),
    "bbq": ("likely", ()),
    "gender_agreement:test": ("kept", ("log_loss", "accuracy")),
    "definitional:nouns": ("kept", ("definitional",)),
    "collapse": ("words", ("nc3", "unc3")),
    "perplexity": ("text", ("log_perplexity",)),
}


# ---------------------------------------------------------------- parts that are no benchmark of the registry


def _groups(split: str) -> datasets.Dataset:
    texts = corpora.load("gap", split)["text"]
    groups = [texts[start : start + _TEXTS] for start in range(0, len(texts), _TEXTS)]
    return datasets.Dataset.from_list(
        [{"item_id": str(i), "axis": "all", "texts": list(group)} for i, group in enumerate(groups)]
    )


def _log_perplexities(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a``: ln perplexity of each group of texts."""
    values = []
    for group in progress(items["texts"], desc="perplexity", unit="group"):
        sequences = batching.tokenize(group, lm.tokenizer, max_length=lm.max_length)
        (value,) = perplexity(lm, sequences).values()
        values.append(np.log(value))
    table = pd.DataFrame({"score_a": values, "score_b": np.nan, "score_c": np.nan})
    return table.assign(axis=items["axis"], item_id=items["item_id"], unit=items["item_id"])


PERPLEXITY = Benchmark(
    name="perplexity",
    splits=("validation", "test"),
    axes=(),
    load=_groups,
    score=_log_perplexities,
    units=lambda rows: rows[["score_a"]],
    statistics={"log_perplexity": (("score_a",), mean)},
    kinds=catalog.BOTH,
    measures="How well a model predicts text: the mean over groups of four Wikipedia passages of ln perplexity, masked or "
    "causal.",
    limits="English Wikipedia; two models compare only if they share a vocabulary, and never a masked one with a causal one.",
    source="webster2018mind",
)


def read_words(lm: LanguageModel, items: datasets.Dataset) -> ClassMeans:
    """The model read over the texts of a part of collapse."""
    sequences = batching.tokenize(items["text"], lm.tokenizer, max_length=lm.max_length)
    statistics = measurement.statistics_of(lm, sequences)
    return ClassMeans(lm, statistics, "gap", "test", "head", "aligned", len(sequences), "")


def seen_ids(reading: ClassMeans, name: str) -> list[int]:
    """Token ids of a list's words that are seen often enough."""
    ids = words.load(name, reading.lm.tokenizer).token_ids
    return reading.statistics.seen(ids, min_count=MIN_COUNT).tolist()


def word_items(reading: ClassMeans, name: str) -> pd.DataFrame:
    """One row a word of a list that is seen often enough: ``score_a`` its NC3 cosine."""
    ids = words.load(name, reading.lm.tokenizer).token_ids
    measured = collapse.measure(
        reading.statistics, reading.lm.weight, classes=ids, min_count=MIN_COUNT
    )
    table = measurement.class_items(reading, measured, name).drop(columns="benchmark")
    return table.assign(item_id=table["unit"])


def _texts(split: str, axis: str) -> datasets.Dataset:
    texts = corpora.load("gap", split)["text"]
    return datasets.Dataset.from_dict(
        {"item_id": [str(i) for i in range(len(texts))], "axis": [axis] * len(texts), "text": texts}
    )


def collapse_of(name: str = "gender") -> Benchmark:
    """Collapse of a word list on GAP's texts; its units are words, which two models are paired by."""
    return Benchmark(
        name="collapse",
        splits=("test",),
        axes=(name,),
        load=partial(_texts, axis=name),
        score=lambda lm, items: word_items(read_words(lm, items), name),
        units=lambda rows: rows[["score_a"]],
        statistics={
            "nc3": (("score_a",), mean),
            "unc3": (("score_a",), partial(np.std, ddof=1)),
        },
        kinds=catalog.BOTH,
        measures="How well the mean of what a model makes of a word agrees with the word's row of the classifier, and how "
        "unevenly over words.",
        limits="Words seen fewer than ten times are left out; where none of it moves fairness, collapse says nothing of it.",
        source="xu2025collapsed",
    )


# ---------------------------------------------------------------- which parts


def parts(
    kinds: Iterable[str], requests: Sequence[str] | None = None, *, word_list: str = "gender"
) -> tuple[list[Part], dict[str, str]]:
    """Parts that models of all these kinds can take, and what they cannot: request → why.

    ``requests``: ``name``, ``name:split`` or ``name:split:axis``, ``["all"]`` for everything in the
    registry that is computed as this book defines it; None: ``PANEL``, and what other packages add.
    Raises ``FairNCError`` for an unknown name, split or axis.
    """
    kinds, registry = set(kinds), benchmarks.BENCHMARKS
    if requests is None:
        asked = [name for name in PANEL if name != "bbq" or name in registry]
        asked += [name for name, entry in registry.entries.items() if entry.package]
    elif list(requests) == ["all"]:
        asked = ["collapse", "perplexity", *registry]
    else:
        asked = list(dict.fromkeys(requests))
    requested, left_out = [], {}
    for request in asked:
        takes = _kinds(request)
        if kinds <= takes:
            part = _part(request, word_list)
            if list(requests or ()) != ["all"] or part.benchmark.variant == "corrected":
                requested.append(part)
        # for one kind of model the panel holds the form of each question that it can take
        elif requests is not None or len(kinds) > 1:
            left_out[request] = f"takes {' and '.join(sorted(takes))} models"
    return requested, left_out


def _kinds(request: str) -> set[str]:
    """Kinds of model that a request takes, without importing what other packages bring."""
    name = request.partition(":")[0]
    if name in ("collapse", "perplexity"):
        return set(catalog.BOTH)
    entry = benchmarks.BENCHMARKS.entries[benchmarks.BENCHMARKS.check(name)]
    return set(entry.kinds or benchmarks.get(name).kinds)


def _part(request: str, word_list: str) -> Part:
    name, split, axis = (*request.split(":", 2), "", "")[:3]
    own = {"perplexity": PERPLEXITY, "collapse": collapse_of(word_list)}
    benchmark = own[name] if name in own else benchmarks.get(name)
    split, axis = split or benchmark.splits[-1], axis or "all"
    benchmark.check(split=split, axis=axis)
    if name == "collapse":
        axis = word_list
    section, metrics = next(
        (told for asked, told in PANEL.items() if asked.partition(":")[0] == benchmark.name),
        ("likely", ()),
    )
    return Part(benchmark, split, axis, metrics or tuple(benchmark.statistics), section)


def load(name: str, *, device: str = "auto") -> LanguageModel:
    """A model for evaluation as ``models.load`` has it, read from safetensors alone.

    Raises ``FairNCError`` where there is none, where its weights are pickled or no numbers, and for a
    masked model whose tokenizer has no mask token.
    """
    lm = models.load(name, device=device, pickles=False)
    for key, tensor in lm.model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise FairNCError(
                f"model {name!r}: its weights {key} hold NaN or infinity; make them anew"
            )
    if lm.kind == "masked":
        mask_id(lm)
    return lm


def check(budget: float | None, word_list: str, requests: Sequence[str] | None = None) -> None:
    """Raise ``FairNCError`` for a budget that is no time, for an unknown or empty word list, and for
    ``requests`` of an unknown benchmark, split or axis: before models are loaded.
    """
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise FairNCError(f"budget = {budget:g}: give minutes, more than 0")
    catalog.check_words(word_list)
    words.evidence([word_list])  # reads those that are files
    if requests is not None and list(requests) != ["all"]:
        parts((), requests, word_list=word_list)


def provenance(lms: Sequence[LanguageModel] = (), **more: Any) -> dict[str, Any]:
    """Where numbers come from: software, data, models, when, and what else is in ``more``."""
    packages = ("fairnc-utils", "torch", "transformers", "numpy", "scipy")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in packages},
        "models": [
            {
                "name": lm.name,
                "kind": lm.kind,
                "family": lm.model.config.model_type,
                "parameters": sum(each.numel() for each in lm.model.parameters()),
                "fingerprint": lm.fingerprint,
            }
            for lm in lms
        ],
        "device": str(lms[0].device) if lms else "",
        "data": {pin.name: f"{pin.version} sha256:{pin.sha256}" for pin in assets.pins().values()},
    } | more


# ---------------------------------------------------------------- how many items


def shares(
    costs: Mapping[str, float], budget: float, fewest: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The share of each part, 0 to 1, that a budget pays: equal times for all, but no more than a
    part costs, which leaves more to the others, and no less than its fewest items, which are paid
    even beyond the budget.

    ``costs``: part → seconds of all its items; ``fewest``: part → seconds of its fewest items.
    """
    fewest = fewest or {}

    def paid(level: float) -> dict[str, float]:
        return {name: min(cost, max(level, fewest.get(name, 0.0))) for name, cost in costs.items()}

    low, high = 0.0, max(costs.values(), default=0.0)
    for _ in range(50):  # the level of pouring the budget out
        level = (low + high) / 2
        low, high = (low, level) if sum(paid(level).values()) > budget else (level, high)
    # at the upper end, which is exact where everything is paid and else as near as the lower one
    seconds = paid(high)
    return {name: seconds[name] / cost if cost > 0 else 1.0 for name, cost in costs.items()}


class Budget:
    """Minutes of measuring, spread over parts that are asked for one after the other.

    A few items of each part are timed first, and what is left is spread anew before each part, so
    that it holds although an estimate is poor or the machine gets busy. ``minutes`` None: all items.
    """

    def __init__(
        self,
        lms: Sequence[LanguageModel],
        requested: Sequence[Part],
        *,
        minutes: float | None,
        seed: int = 0,
    ):
        self._minutes, self._ends = minutes, time.perf_counter() + 60 * (minutes or 0.0)
        #: part → seconds of all its items; a part that a model cannot take has none, and says why when it is measured
        self._costs: dict[str, float] = {}
        self._fewest: dict[str, float] = {}
        self._untimed: set[str] = set()
        if minutes is None:
            return
        for part in progress(requested, desc="timing a few items", unit="benchmark"):
            if self._ends - time.perf_counter() < (1 - _PILOTS) * 60 * minutes:
                self._untimed.add(part.name)  # a slow machine measures something at least
                continue
            seconds = _item_seconds(lms, part, 60 * minutes * _PILOT, seed, warm=bool(self._costs))
            if seconds is not None:
                self._costs[part.name] = seconds * len(part.items)
                self._fewest[part.name] = seconds * part.fewest

    def number(self, part: Part) -> int | None:
        """Items of a part that what is left of the budget pays, None: all. Ask once, and measure.

        Raises ``FairNCError`` where it does not pay the fewest.
        """
        if self._minutes is None:
            return None
        if part.name in self._untimed:
            raise FairNCError(
                f"a budget of {self._minutes:g} minutes went to others: give a larger one"
            )
        if part.name not in self._costs:
            return part.fewest
        left = self._ends - time.perf_counter()
        share = shares(self._costs, left, self._fewest)[part.name]
        del self._costs[part.name]
        if (needed := self._fewest.pop(part.name)) > left + _GRACE * 60 * self._minutes:
            raise FairNCError(
                f"{part.fewest} items would take about {needed / 60:.2g} minutes, and {max(left, 0) / 60:.2g} of a "
                f"budget of {self._minutes:g} are left: give a larger one"
            )
        return min(len(part.items), max(part.fewest, int(share * len(part.items))))


def _item_seconds(
    lms: Sequence[LanguageModel], part: Part, long_enough: float, seed: int, *, warm: bool
) -> float | None:
    """Seconds of an item, all models together, from a sample that grows until it takes
    ``long_enough``; None where a model cannot take the part. ``warm``: whether this process has
    run a model before, which it does more slowly for the first time.
    """
    number = 2
    while True:
        items = sample_units(part.items, number, seed=seed)
        if not warm and _seconds(lms, part, items) is None:
            return None
        warm, seconds = True, _seconds(lms, part, items)
        if seconds is None or seconds >= long_enough or len(items) == len(part.items):
            return None if seconds is None else seconds / len(items)
        number *= 4


def _seconds(lms: Sequence[LanguageModel], part: Part, items: datasets.Dataset) -> float | None:
    """Time that the models together take for the items; None where one cannot score them."""
    started = time.perf_counter()
    try:
        for lm in lms:
            if part.benchmark.name == "collapse":
                read_words(lm, items)
            else:
                part.benchmark.score(lm, items)
    except FairNCError:
        return None
    return time.perf_counter() - started


def measure(
    lm: LanguageModel, part: Part, number: int | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Item scores of a part: of about so many items, whole units drawn by ``seed``, or of all (None).

    Raises ``FairNCError`` where the model cannot take the part, and names an item whose score is
    not finite although the weights gave one.
    """
    rows = part.benchmark.score(lm, sample_units(part.items, number, seed=seed))
    return finite(rows, f"{lm.name}, {part.benchmark.name}")


def finite(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows. Raises ``FairNCError`` naming the first item with an infinite score, or whose scores
    are all NaN although others' are not: NaN stands for what cannot be scored, never for a result.
    """
    scores = rows[["score_a", "score_b", "score_c"]].to_numpy(float)
    bad = np.isinf(scores).any(axis=1)
    if np.isnan(scores).all():
        bad |= True
    for place in np.flatnonzero(bad)[:1]:
        item = rows["item_id"].iloc[place]
        raise FairNCError(
            f"{where}: item {item} has the score {scores[place][0]:g}: the model's weights or its forward pass give no numbers"
        )
    return rows
