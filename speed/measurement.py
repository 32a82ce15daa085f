"""Measuring collapse over a corpus against the bare forward pass over the same batches."""

import numpy as np
import torch

from fairnc_utils import batching, collapse, corpora, models, words
from speed.device import clock_of, flop, peak
from speed.timing import Row, Settings, median, paired

# of the corpus, shuffled, in one repeat on a CPU: thirty repeats then see more than half of GAP
# test
BATCHES = 1
SECONDS = 15.0  # for the repeats on a GPU, where each takes the corpus whole


def run(settings: Settings) -> list[Row]:
    """Ratios of the measurement to the bare forward.

    *Bare forward*: encoder and head transform. *Measurement*: the same, dropping special tokens, updating the class
    statistics and, once a corpus, ``collapse.measure`` over the gender words and over the whole vocabulary. A repeat that
    sees a share s of the corpus's tokens is charged s times the duration of that final step, timed in the same repeat.
    """
    lm, on_cpu = (
        models.load("random" if settings.tiny else settings.model, device=settings.device),
        settings.device == "cpu",
    )
    texts = corpora.load("gap", "test")["text"]
    sequences = batching.tokenize(
        texts[: 40 if settings.tiny else None], lm.tokenizer, max_length=lm.max_length
    )
    batches = list(batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id, device=lm.device))
    batches = [batches[i] for i in np.random.default_rng(0).permutation(len(batches))]
    tokens = sum(int(batch.attention_mask.sum()) for batch in batches)
    size = min(BATCHES, len(batches)) if on_cpu and not settings.full_corpus else len(batches)
    final, classes = _final_step(lm, sequences)
    statistics = collapse.ClassStatistics(*lm.weight.shape, device=lm.device)

    def part(repeat: int) -> list[batching.Batch]:
        return [batches[i % len(batches)] for i in range(repeat * size, (repeat + 1) * size)]

    @torch.no_grad()
    def bare(repeat: int) -> None:
        for batch in part(repeat):
            lm.features(batch.input_ids, batch.attention_mask)

    read = lm.labelled_features if on_cpu else lm.every_feature  # as ``measurement.read`` does

    def streamed(repeat: int) -> None:
        for batch in part(repeat):
            statistics.update(*read(batch.input_ids, batch.attention_mask))
        if not on_cpu:
            statistics.forget(lm.special_ids)

    times = paired(
        {"bare": bare, "streamed": streamed, "final": final},
        repeats=settings.repeats,
        seconds=settings.seconds if on_cpu else min(settings.seconds, SECONDS),
        clock=clock_of(settings.device),
    )
    share = np.array(
        [
            sum(int(b.attention_mask.sum()) for b in part(r)) / tokens
            for r in range(len(times["bare"]))
        ]
    )
    whole = (times["streamed"] + share * times["final"]) / times["bare"]
    rate = share * tokens / times["bare"]
    case = f"GAP test, {tokens:,} tokens, {classes:,} classes"
    rows = [
        median("measurement", case, "measurement / bare forward", "×", whole),
        median(
            "measurement",
            case,
            "without the final step / bare forward",
            "×",
            times["streamed"] / times["bare"],
        ),
        median("measurement", case, "final step, once a corpus", "s", times["final"]),
        median("measurement", case, "bare forward", "tokens/s", rate),
    ]
    if limit := peak(settings.device):
        used = 100 * rate * flop(lm) / limit.flops[lm.weight.dtype]
        kind = str(lm.weight.dtype).removeprefix("torch.")
        rows.append(
            median("measurement", case, f"bare forward, share of the dense {kind} peak", "%", used)
        )
    return rows


def _final_step(lm: models.LanguageModel, sequences: list[list[int]]):
    """The two ``measure`` calls over the corpus's classes, and the number of classes of the larger
    one.

    Their time depends on the numbers of classes and dimensions alone, so noise around the
    classifier's rows stands in for features: the corpus need not be encoded for it.
    """
    statistics = collapse.ClassStatistics(*lm.weight.shape, device=lm.device)
    ids = torch.tensor([token for sequence in sequences for token in sequence])
    ids = ids[~torch.isin(ids, torch.tensor(lm.special_ids))]
    generator = torch.Generator().manual_seed(0)
    for some in ids.split(4096):
        rows = lm.weight.detach()[some.to(lm.device)]
        statistics.update(rows + torch.randn(rows.shape, generator=generator).to(rows), some)
    gender = words.load("gender", lm.tokenizer).token_ids

    def final(repeat: int) -> None:
        collapse.measure(statistics, lm.weight, classes=gender)
        collapse.measure(statistics, lm.weight)

    return final, len(statistics.seen())
