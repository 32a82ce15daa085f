"""What half precision changes: a model that computes in bfloat16 against the same in float32.

Statistics and metrics are float64 either way; scores are decoded in float32.
"""

import numpy as np
import torch

from fairnc_utils import batching, collapse, corpora, measurement, models, words
from fairnc_utils.benchmarks.scoring import log_probabilities, masked
from speed.device import clock_of
from speed.timing import Row, Settings, median, paired

TEXTS = {"cpu": 30, "cuda": 400}  # of GAP test; few CPUs are made for bfloat16
PLACES = 4  # of a text, whose words are asked for
METRICS = ("nc1", "nc2_equiangular", "gnc2_mean", "nc3", "unc3")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run(settings: Settings) -> list[Row]:
    """Largest change of features, scores and metrics, and time in float32 over time in bfloat16."""
    name = "random" if settings.tiny else settings.model
    both = [models.load(name, device=settings.device, dtype=dtype) for dtype in DTYPES.values()]
    tokenizer = both[0].tokenizer
    number = 20 if settings.tiny else TEXTS.get(both[0].device.type, TEXTS["cuda"])
    texts = corpora.load("gap", "test")["text"][:number]
    sequences = batching.tokenize(texts, tokenizer, max_length=both[0].max_length)
    tokens = sum(map(len, sequences))
    case = f"GAP test, {tokens:,} tokens, {settings.device.partition(':')[0]}"
    times = paired(
        {
            dtype: lambda repeat, lm=lm: measurement.statistics_of(lm, sequences)
            for dtype, lm in zip(DTYPES, both, strict=True)
        },
        repeats=min(settings.repeats, 3),
        seconds=min(settings.seconds, 15),
        clock=clock_of(settings.device),
    )
    faster = times["float32"] / times["bfloat16"]
    changed = [
        *_features(both, sequences[0]),
        *_metrics(both, sequences, words.load("gender", tokenizer).token_ids),
        *_scores(both, sequences),
    ]
    return [
        median("precision", case, "time in float32 / in bfloat16", "×", faster),
        *(Row("precision", case, quantity, unit, value) for quantity, unit, value in changed),
    ]


def _features(both: list[models.LanguageModel], ids: list[int]) -> list[tuple[str, str, float]]:
    batch = torch.tensor([ids], device=both[0].device)
    with torch.no_grad():
        full, half = (lm.features(batch, torch.ones_like(batch)).double() for lm in both)
    error = float(((half - full).norm(dim=-1) / full.norm(dim=-1)).median())
    return [("features, median relative change", "%", 100 * error)]


def _metrics(
    both: list[models.LanguageModel], sequences: list[list[int]], gender: list[int]
) -> list[tuple[str, str, float]]:
    """Relative changes, and as multiples of half the 95% interval's width over classes."""
    full, half = (
        collapse.measure(
            measurement.statistics_of(lm, sequences), lm.weight, classes=gender, min_count=2
        ).estimates
        for lm in both
    )
    rows = []
    for metric in METRICS:
        a, b = full[metric], half[metric]
        rows.append((f"{metric} of gender words, change", "%", 100 * abs(b.value / a.value - 1)))
        width = (a.ci_high - a.ci_low) / 2
        if np.isfinite(width) and width > 0:
            share = 100 * abs(b.value - a.value) / width
            rows.append(
                (f"{metric} of gender words, change of its interval's half width", "%", share)
            )
    return rows


def _scores(
    both: list[models.LanguageModel], sequences: list[list[int]]
) -> list[tuple[str, str, float]]:
    mask = both[0].tokenizer.mask_token_id
    queries = [
        masked(ids, place, mask)
        for ids in sequences
        for place in np.linspace(1, len(ids) - 2, PLACES).astype(int)
    ]
    full, half = (log_probabilities(lm, queries) for lm in both)
    change = np.abs(half - full)
    return [
        ("ln P of hidden words, median change", "", float(np.median(change))),
        (
            "ln P of hidden words, size of the mean signed change",
            "",
            abs(float(np.mean(half - full))),
        ),
    ]
