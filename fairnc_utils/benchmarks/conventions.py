"""Which implementation? The published ways to compute one benchmark, and why their numbers differ.

The items are the same, what is done with them is not, and papers call the results by one name. A
number compares with those of its own convention alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fairnc_utils import catalog
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.errors import FairNCError


@dataclass(frozen=True)
class Convention:
    """One way to compute a benchmark: ``benchmark`` is its name here, ``metric`` its headline.

    ``source``: whose code does so; ``score``: what a sentence or a word gets; ``differs``: what
    that does to the number.
    """

    benchmark: str
    metric: str
    source: str
    score: str
    differs: str


#: Items → the conventions on them.
FAMILIES: dict[str, tuple[Convention, ...]] = {
    "CrowS-Pairs, masked models": (
        Convention(
            "crows_official",
            "stereotype_pct",
            "the authors' code (Nangia et al. 2020)",
            "sum of ln P of the tokens that both sentences share, masked one at a time",
            "the words that name the groups are never scored; a sum, so long sentences weigh most",
        ),
        Convention(
            "crows_bias_bench",
            "stereotype_pct",
            "bias-bench (Meade et al. 2022)",
            "mean of ln P of the tokens in which the two differ, masked one at a time",
            "the other tokens than the official code scores; a frequent group name wins for that",
        ),
        Convention(
            "crows_aul",
            "stereotype_pct",
            "All Unmasked Likelihood (Kaneko & Bollegala 2022)",
            "mean of ln P of all tokens, none masked",
            "each token sees itself, so scores lie near 0 and small differences decide",
        ),
        Convention(
            "crows_aula",
            "stereotype_pct",
            "AUL with attention weights (Kaneko & Bollegala 2022)",
            "the same, each token weighted by the attention that it receives",
            "tokens that get no attention do not count",
        ),
    ),
    "CrowS-Pairs, causal models": (
        Convention(
            "crows_causal",
            "stereotype_pct",
            "Language Model Evaluation Harness (Gao et al. 2024)",
            "sum of ln P of all tokens, each given all before it, the first the start token",
            "a sum, so the shorter sentence wins for that alone",
        ),
        Convention(
            "crows_causal_as_released",
            "stereotype_pct",
            "bias-bench (Meade et al. 2022)",
            "mean of ln P over tokens; only the first is given the start token",
            "length is divided out, so a name of many pieces wins for the easy ones",
        ),
    ),
    "StereoSet intrasentence, causal models": (
        Convention(
            "stereoset_intra_causal",
            "SS",
            "whole-sentence likelihood, as harnesses rank choices",
            "sum of ln P of all tokens, each given all before it, the first the start token",
            "a candidate of several tokens loses for its length",
        ),
        Convention(
            "stereoset_intra_causal_as_released",
            "SS",
            "the authors' code (Nadeem et al. 2021), and bias-bench",
            "mean of ln P over tokens; only the first is given the start token",
            "a candidate of many pieces wins for the easy ones",
        ),
    ),
    "StereoSet intersentence": (
        Convention(
            "stereoset_inter_nsp",
            "SS",
            "the authors' code (Nadeem et al. 2021), where there is a next-sentence head",
            "P(the candidate is the next sentence)",
            "a head that many models lack judges; what the language model finds likely is not asked",
        ),
        Convention(
            "stereoset_inter_likelihood",
            "SS",
            "likelihood, for all other models",
            "mean of ln P of the candidate's tokens given the context",
            "fluency counts; a masked model sees the tokens on both sides",
        ),
    ),
    "BEC-Pro": (
        Convention(
            "bec_pro",
            "gap",
            "the definition (Bartl et al. 2020)",
            "ln P(person) with the profession shown minus masked, a mask for each piece",
            "all pieces of a word are hidden and none else",
        ),
        Convention(
            "bec_pro_as_released",
            "gap",
            "the authors' script",
            "the same on its masked sentences, filled up with masks that are attended to, and cut",
            "the model reads masks behind the sentence; corrupt rows count",
        ),
        Convention(
            "bec_pro_released_masks",
            "gap",
            "the script's sentences alone",
            "the same on its masked sentences as they are",
            "one mask a word, whatever its pieces: what padding does is the rest of the difference",
        ),
    ),
    "SEAT": (
        Convention(
            "seat",
            "abs_effect_size",
            "the authors' code (May et al. 2019)",
            "a sentence is its first token (causal: its last)",
            "what the first token gathers depends on pre-training: without a sentence task, little",
        ),
        Convention(
            "seat_bias_bench",
            "abs_effect_size",
            "bias-bench (Meade et al. 2022)",
            "a sentence is the mean of its tokens",
            "the frame, which all sentences share, is most of the mean; six tests of gender, not all",
        ),
        Convention(
            "seat_word",
            "abs_effect_size",
            "Tan & Celis 2019",
            "a word is its own token in the sentence",
            "of a word of several pieces only one is read",
        ),
    ),
}


def of(name: str) -> tuple[Convention, ...]:
    """The conventions on a benchmark's items, itself among them. Raises ``FairNCError`` if it is
    the only one.
    """
    name = catalog.BENCHMARKS.check(name)
    for family in FAMILIES.values():
        if name in (convention.benchmark for convention in family):
            return family
    known = ", ".join(convention.benchmark for family in FAMILIES.values() for convention in family)
    raise FairNCError(
        f"benchmark {name} is computed in one way here; those with several are {known}"
    )


def that_take(name: str, kind: str, *, split: str | None, axis: str) -> list[Benchmark]:
    """The benchmarks of ``of(name)`` that score models of a kind and have the split and the axis."""
    every = [catalog.BENCHMARKS.find(convention.benchmark) for convention in of(name)]
    return [
        benchmark
        for benchmark in every
        if kind in benchmark.kinds
        and split in (None, *benchmark.splits)
        and axis in ("all", *benchmark.axes)
    ]


def explained(names: Iterable[str]) -> list[str]:
    """A line on each of some benchmarks: whose convention it is, what it scores, what follows."""
    by_name = {c.benchmark: c for family in FAMILIES.values() for c in family}
    return [
        f"{c.benchmark}: {c.source}: {c.score}; {c.differs}" for c in map(by_name.get, names) if c
    ]
