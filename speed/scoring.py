"""Masked scoring of StereoSet, CrowS-Pairs and BEC-Pro against one sentence at a time, and against
the bare forward.
"""

from collections.abc import Callable

import datasets
import numpy as np
import torch

from fairnc_utils import models
from fairnc_utils.benchmarks import bec_pro, crows_pairs, get, stereoset
from fairnc_utils.benchmarks.scoring import DECODED, Inputs, Query, log_probabilities
from speed.timing import Row, Settings, median, paired

SHARE = 16  # on a CPU a repeat takes one of so many parts of the items, another part each time
SINGLE = 64  # queries that the loop over single sentences takes in a repeat
SECONDS = 25.0  # for all repeats on a GPU, where one takes the items whole

#: Benchmark → (splits, axes on a CPU, function(model, items) → queries).
WORK = {
    "stereoset_intra": (
        ("test", "dev"),
        "gender",
        lambda lm, items: stereoset.queries(lm, stereoset.texts(items)),
    ),
    "crows_official": (("all",), "gender", lambda lm, items: _pairs(lm, items, True)),
    "crows_bias_bench": (("all",), "gender", lambda lm, items: _pairs(lm, items, False)),
    "bec_pro": (
        ("english",),
        None,
        lambda lm, items: bec_pro.queries(lm, items.filter(lambda item: item["usable"])[:]),
    ),
}

Part = list[tuple[str, datasets.Dataset]]


def run(settings: Settings) -> list[Row]:
    """Single sentences over the scorer; the scorer, text to scores, over the bare forward; the
    scorer's time.

    On a CPU: the gender items of StereoSet test and CrowS-Pairs, and BEC-Pro, by parts. On a GPU:
    all axes, StereoSet dev too.
    """
    lm = models.load("random" if settings.tiny else settings.model, device=settings.device)
    on_cpu = settings.device == "cpu"
    number = 400 if settings.tiny else SHARE if on_cpu and not settings.full_corpus else 1
    parts = _parts(number, min(number, settings.repeats), whole=not on_cpu)
    queries = [[WORK[name][2](lm, items)[0] for name, items in part] for part in parts]
    bare, samples = [_bare(lm, asked) for asked in queries], [_sample(asked) for asked in queries]
    _check(lm, samples[0])
    contenders = {
        "ours": lambda repeat: [
            get(name).score(lm, items) for name, items in parts[repeat % len(parts)]
        ],
        "bare": lambda repeat: bare[repeat % len(parts)](),
        "sample": lambda repeat: log_probabilities(lm, samples[repeat % len(parts)]),
        "single": lambda repeat: [
            one_at_a_time(lm, query) for query in samples[repeat % len(parts)]
        ],
    }
    times = paired(
        contenders,
        repeats=settings.repeats,
        seconds=settings.seconds if on_cpu else min(settings.seconds, SECONDS),
    )
    counts, few = (
        np.array([sum(map(len, asked)) for asked in queries]),
        np.array([len(sample) for sample in samples]),
    )
    turn = np.arange(len(times["ours"])) % len(parts)
    whole = times["single"] / few[turn] * counts[turn]
    case = (
        f"{counts.mean():,.0f} queries"
        + (f", 1/{number} of the items" if number > 1 else "")
        + f", {settings.device}"
    )
    return [
        median(
            "scoring",
            f"{few[0]} of these",
            "one sentence at a time / ours",
            "×",
            times["single"] / times["sample"],
        ),
        median(
            "scoring", case, "ours / bare forward and decoder", "×", times["ours"] / times["bare"]
        ),
        median(
            "scoring",
            case,
            "one sentence at a time, by that sample / ours",
            "×",
            whole / times["ours"],
        ),
        median("scoring", case, "ours, text to scores", "s", times["ours"]),
    ]


def _pairs(
    lm: models.LanguageModel, items: datasets.Dataset, official: bool
) -> tuple[list[Query], list[int]]:
    return crows_pairs.queries(lm, crows_pairs.sentences(items), official=official)


def _parts(number: int, wanted: int, *, whole: bool) -> list[Part]:
    """Every benchmark's items, dealt out to ``number`` parts; the first ``wanted`` of them."""
    tables = []
    for name, (splits, axis, _) in WORK.items():
        for split in splits if whole else splits[:1]:
            items = get(name).load(split)
            if axis and not whole:
                items = items.select(np.flatnonzero(np.array(items["axis"][:]) == axis))
            tables.append((name, items))
    return [
        [(name, items.select(range(part, len(items), number))) for name, items in tables]
        for part in range(wanted)
    ]


def _bare(lm: models.LanguageModel, asked: list[list[Query]]) -> Callable[[], None]:
    """Forward pass over each list's distinct inputs, ready on the device, and logits of its scored
    positions; no more.
    """
    plans = []
    for queries in asked:
        inputs: dict[tuple, set] = {}
        for ids, position, _ in queries:
            inputs.setdefault(tuple(ids), set()).add(position)
        source, batches = Inputs(lm, list(inputs)), []
        places = [sorted(positions) for positions in inputs.values()]
        for rows, ids, mask in source.batches():
            scored = [
                (row, place) for row, i in enumerate(source.order[rows]) for place in places[i]
            ]
            batches.append((ids, mask, *torch.tensor(scored, device=lm.device).T))
        plans.append(batches)

    @torch.no_grad()
    def work() -> None:
        for ids, mask, row, place in (batch for batches in plans for batch in batches):
            for features in lm.features(ids, mask)[row, place].split(
                DECODED.get(lm.device.type, DECODED["cuda"])
            ):
                torch.nn.functional.linear(features, lm.weight, lm.bias)
        if lm.device.type == "cuda":
            torch.cuda.synchronize()

    return work


def _sample(asked: list[list[Query]]) -> list[Query]:
    """Successive queries of every benchmark, so that what they have in common stays."""
    share = max(1, SINGLE // len(asked))
    return [query for queries in asked for query in queries[:share]]


def _check(lm: models.LanguageModel, queries: list[Query]) -> None:
    scores = log_probabilities(lm, queries)
    np.testing.assert_allclose([one_at_a_time(lm, query) for query in queries], scores, atol=1e-3)


@torch.no_grad()
def one_at_a_time(lm: models.LanguageModel, query: Query) -> float:
    """ln P of one query from the logits of every position."""
    ids, position, target = query
    logits = lm.model(input_ids=torch.tensor([list(ids)], device=lm.device)).logits
    return float(logits.log_softmax(-1)[0, position, target])
