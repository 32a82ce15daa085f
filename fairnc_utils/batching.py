"""Batches of token ids: bucketed by length, padded, masked, packed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Token ids and attention mask, both (B, T), and ``index`` (B,): the sequences' places in the
    input.
    """

    input_ids: Tensor
    attention_mask: Tensor
    index: np.ndarray


def tokenize(texts: Sequence[str], tokenizer, *, max_length: int = 512) -> list[list[int]]:
    """Token ids of each text with the model's special tokens, cut at ``max_length``."""
    return tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]


def bucketed(
    sequences: Sequence[Sequence[int]],
    *,
    pad_id: int | None,
    tokens: int = 4096,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Batches of similar length, longest first, of at most ``tokens`` padded tokens each.

    Sorting by length leaves almost no padding; longest first meets the memory peak at once.
    ``pad_id`` None: the tokenizer has no padding token, as many causal ones; any does, as it is
    masked.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = int(lengths[order[start]])
        index = order[start : start + max(1, tokens // max(width, 1))]
        ids = np.full((len(index), width), pad_id or 0, dtype=np.int64)
        for row, i in enumerate(index):
            ids[row, : lengths[i]] = sequences[i]
        mask = (np.arange(width) < lengths[index, None]).astype(np.int64)
        on = torch.device(device)
        yield Batch(_uploaded(ids, on), _uploaded(mask, on), index)
        start += len(index)


def _uploaded(array: np.ndarray, device: torch.device) -> Tensor:
    """On the device; a GPU may still be at work on what came before."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def padded(sequences: Sequence[Sequence[int]], value: int | None) -> Tensor:
    """Sequences as one tensor (B, T), filled up with ``value``, None: 0; T is the longest, rounded up
    to a multiple of 8.
    """
    width, value = -(-max(map(len, sequences)) // 8) * 8, value or 0
    return torch.tensor([[*sequence, *[value] * (width - len(sequence))] for sequence in sequences])


def padded_batch(sequences: Sequence[Sequence[int]], pad_id: int | None) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask`` (B, T) of sequences of token ids; T as in ``padded``."""
    ids = padded(sequences, pad_id)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}


def mask_tokens(
    input_ids: Tensor,
    maskable: Tensor,
    *,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """BERT's corruption: ``rate`` of the maskable positions of each row, of these 80% [MASK], 10%
    random, 10% kept.

    (B, T) ids and boolean mask → corrupted ids (B, T), positions (B, k) and labels (B, k), where k
    is the same for every batch of this shape (no device synchronization; unused places carry the
    label −100). A row with any maskable position has at least one drawn.
    """
    device, (rows, width) = input_ids.device, input_ids.shape
    k = max(1, round(rate * width))
    scores = torch.rand(rows, width, generator=generator, device=device).masked_fill(
        ~maskable, -1.0
    )
    best, positions = scores.topk(k, dim=1)
    quota = (maskable.sum(1, keepdim=True) * rate).round().clamp_min(1)
    used = (best >= 0) & (torch.arange(k, device=device) < quota)
    labels = input_ids.gather(1, positions).masked_fill(~used, -100)
    fate = torch.rand(rows, k, generator=generator, device=device)
    noise = torch.randint(vocab_size, (rows, k), generator=generator, device=device)
    original = input_ids.gather(1, positions)
    filled = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, noise, original))
    return input_ids.scatter(1, positions, torch.where(used, filled, original)), positions, labels


def packed(sequences: Sequence[Sequence[int]], *, width: int = 128) -> Tensor:
    """Sequences laid end to end and cut into rows of ``width`` tokens (N, width); the last
    incomplete row is dropped.
    """
    flat = np.concatenate([np.asarray(sequence, dtype=np.int32) for sequence in sequences])
    return torch.from_numpy(flat[: len(flat) // width * width].reshape(-1, width))
