"""Perplexity: how well a masked language model fills in hidden words, or a causal one tells the
next.
"""

import torch
from torch import Tensor, nn

from fairnc_utils import batching
from fairnc_utils._onednn import linear
from fairnc_utils.models import LanguageModel

_CACHED = 4096  # padded tokens whose features stay in a processor's cache


@torch.no_grad()
def masked_perplexity(
    lm: LanguageModel,
    sequences: list[list[int]],
    *,
    seed: int = 0,
    rate: float = 0.15,
    tokens: int = 16_384,
) -> float:
    """exp of the mean negative log-likelihood at masked positions (15%, 80/10/10); low is good, 1
    is perfect.

    ``sequences``: token ids of held-out texts. The masked positions depend on ``seed``, the texts
    and ``tokens`` (padded tokens a batch) alone. Raises ``FairNCError`` for a causal model.
    """
    lm.require_masked("masked perplexity needs a masked language model")
    generator = torch.Generator().manual_seed(seed)
    special = torch.tensor(lm.special_ids)
    total = count = 0.0
    for batch in batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id, tokens=tokens):
        maskable = ~torch.isin(batch.input_ids, special)
        ids, positions, labels = batching.mask_tokens(
            batch.input_ids,
            maskable,
            mask_id=lm.tokenizer.mask_token_id,
            vocab_size=len(lm.weight),
            rate=rate,
            generator=generator,
        )
        size = max(1, _CACHED // ids.shape[1]) if lm.device.type == "cpu" else len(ids)
        tensors = (ids, batch.attention_mask, positions, labels)
        for part in zip(*(tensor.to(lm.device).split(size) for tensor in tensors), strict=True):
            loss, number = _masked_loss(lm, *part)
            total, count = total + loss, count + number
    return float(torch.tensor(total / count).exp())


def _masked_loss(
    lm: LanguageModel, ids: Tensor, mask: Tensor, positions: Tensor, labels: Tensor
) -> tuple[float, int]:
    """Sum of the negative log-likelihoods of the labels at their positions, and how many there are."""
    features, drawn = lm.features(ids, mask), labels >= 0
    picked = features.gather(1, positions[..., None].expand(-1, -1, features.shape[-1]))[drawn]
    logits = linear(picked, lm.weight, lm.bias).float()
    loss = nn.functional.cross_entropy(logits, labels[drawn], reduction="sum")
    return loss.item(), int(drawn.sum())


@torch.no_grad()
def causal_perplexity(
    lm: LanguageModel, sequences: list[list[int]], *, tokens: int = 4_096
) -> float:
    """exp of the mean negative log-likelihood of each token behind the first, given all before it;
    low is good, 1 is perfect.

    ``sequences``: token ids of held-out texts; ``tokens``: padded tokens a batch, which changes
    nothing but speed. It is no masked perplexity, and comparable within one vocabulary only.
    """
    total = count = 0.0
    for batch in batching.bucketed(
        sequences, pad_id=lm.tokenizer.pad_token_id, tokens=tokens, device=lm.device
    ):
        features = lm.features(batch.input_ids, batch.attention_mask)[:, :-1]
        there = batch.attention_mask[:, 1:].bool()
        labels = batch.input_ids[:, 1:][there]
        for part, asked in zip(features[there].split(512), labels.split(512), strict=True):
            total -= float(lm.log_probabilities(part).float().gather(1, asked[:, None]).sum())
        count += len(labels)
    return float(torch.tensor(total / count).exp())


def perplexity(lm: LanguageModel, sequences: list[list[int]]) -> dict[str, float]:
    """The perplexity that the kind of model has, by its name: ``masked_perplexity`` or
    ``perplexity``.
    """
    if lm.kind == "masked":
        return {"masked_perplexity": masked_perplexity(lm, sequences)}
    return {"perplexity": causal_perplexity(lm, sequences)}
