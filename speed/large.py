"""Today's sizes on one GPU: a Llama of 8 billion parameters, and all pairs of its 128,256 classes.

Weights and tokens are random: what they cost is what trained ones cost. Nothing but torch,
transformers and this checkout is needed.
"""

import gc

import torch
import transformers

from fairnc_utils import collapse, models
from speed.device import clock_of, flop, forget_peak, memory, peak
from speed.pairwise import random_classes
from speed.timing import Row, Settings, median, paired

#: Sizes of Llama 3 8B, and of a trial.
LLAMA = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
}
TINY = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
}
#: Batches as ``measurement.read`` cuts them, about as many as GAP test has tokens.
BATCHES, ROWS, WIDTH = 48, 32, 128
SECONDS = 60.0
GIB = 2**30


def run(settings: Settings) -> list[Row]:
    """Measuring over the bare forward of the Llama in bfloat16; seconds and memory of all pairwise
    metrics of as many classes and dimensions.
    """
    sizes = TINY if settings.tiny else LLAMA
    rows = _pairwise(settings, sizes["vocab_size"], sizes["hidden_size"])
    _forget(settings.device)
    return [*rows, *_llama(settings, sizes)]


def _pairwise(settings: Settings, classes: int, dim: int) -> list[Row]:
    statistics, weight = random_classes(classes, dim, device=settings.device)
    weight = weight.bfloat16()
    forget_peak(settings.device)
    times = paired(
        {"all": lambda repeat: collapse.measure(statistics, weight)},
        repeats=min(settings.repeats, 5),
        seconds=min(settings.seconds, SECONDS),
        clock=clock_of(settings.device),
    )
    case = f"K = {classes:,}, D = {dim:,}"
    held = memory(settings.device) * 1e9 / GIB
    rows = [
        median("large", case, "all metrics of means and rows", "s", times["all"]),
        Row("large", case, "peak memory, statistics and rows included", "GiB", held),
    ]
    if limit := peak(settings.device):
        least = 2 * classes * (classes - 1) * dim
        share = 100 * least / times["all"] / limit.flops[torch.float64]
        rows.append(median("large", case, "share of the dense float64 peak", "%", share))
    return rows


def _llama(settings: Settings, sizes: dict[str, int]) -> list[Row]:
    lm = random_llama(sizes, settings.device)
    forget_peak(settings.device)
    batches = [
        _ids(sizes["vocab_size"], settings, seed) for seed in range(2 if settings.tiny else BATCHES)
    ]
    mask = torch.ones_like(batches[0])
    statistics = collapse.ClassStatistics(*lm.weight.shape, device=settings.device)
    tokens = sum(ids.numel() for ids in batches)

    @torch.no_grad()
    def bare(repeat: int) -> None:
        for ids in batches:
            lm.features(ids, mask)

    def measured(repeat: int) -> None:
        for ids in batches:
            statistics.update(*lm.every_feature(ids, mask))
        statistics.forget(lm.special_ids)
        collapse.measure(statistics, lm.weight)

    times = paired(
        {"bare": bare, "measured": measured},
        repeats=min(settings.repeats, 5),
        seconds=min(settings.seconds, SECONDS),
        clock=clock_of(settings.device),
    )
    parameters = sum(x.numel() for x in lm.model.parameters())
    seen = len(statistics.seen())
    case = (
        f"random Llama, {parameters:.2e} parameters, bfloat16, {tokens:,} tokens, {seen:,} classes"
    )
    rate = tokens / times["bare"]
    ratio = times["measured"] / times["bare"]
    rows = [
        median("large", case, "measurement / bare forward", "×", ratio),
        median("large", case, "bare forward", "tokens/s", rate),
        Row("large", case, "peak memory", "GiB", memory(settings.device) * 1e9 / GIB),
    ]
    if limit := peak(settings.device):
        share = 100 * rate * flop(lm) / limit.flops[torch.bfloat16]
        quantity = "bare forward, share of the dense bfloat16 peak"
        rows.append(median("large", case, quantity, "%", share))
    return rows


def random_llama(sizes: dict[str, int], device: str) -> models.LanguageModel:
    """An untrained Llama of these sizes in bfloat16, made where it will compute; its tokenizer only
    says which ids are special.
    """
    config = transformers.LlamaConfig(**sizes, tie_word_embeddings=False)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return models.wrap(model, models.embedded_tokenizer(), name="random Llama")


def _ids(classes: int, settings: Settings, seed: int) -> torch.Tensor:
    """Token ids (B, T) of which few are frequent and many rare."""
    rows, width = (16, 32) if settings.tiny else (ROWS, WIDTH)
    generator = torch.Generator(settings.device).manual_seed(seed)
    drawn = torch.rand(rows, width, generator=generator, device=settings.device)
    return (classes * drawn**4).long()


def _forget(device: str) -> None:
    """Let the next part have the memory of the last."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
