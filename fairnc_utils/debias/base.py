"""What every debiasing method is made of: training examples, how they become a batch, a loss,
published hyperparameters.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from torch import Tensor, nn

from fairnc_utils import batching, corpora
from fairnc_utils.catalog import MASKED
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.training import Recipe

Batch = dict[str, Tensor]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """One debiasing method.

    ``examples(tokenizer, limit=, max_length=)``: the training set, pre-tokenized, one row an
    example; ``limit``: source texts to read, None for all; the length of ``input_ids`` decides
    which rows share a batch. ``collate(rows, tokenizer, generator)``: a batch of tensors, with
    ``input_ids``, ``attention_mask`` and, where words are masked, ``labels`` as the model's *last*
    forward pass in the loss sees them, so that the NC3 regularizer can follow. ``loss(model, batch,
    state)``: 0-d tensor. ``prepare(model, tokenizer, rows)``: what the loss needs once (``state``);
    a module's parameters are trained along. ``without_nc3``: why NC3 cannot be added, if so;
    ``without_folder``: why the result cannot be saved; ``kinds``: of models that it takes;
    ``collate_causal``: instead of ``collate`` for causal ones, if it takes both; ``corpus``: the
    training text in words; ``source``: the paper; ``departures``: what is not as in the paper,
    text first.
    """

    name: str
    source: str
    corpus: str
    recipe: Recipe
    examples: Callable[..., datasets.Dataset]
    collate: Callable[[Rows, Any, torch.Generator], Batch]
    loss: Callable[[nn.Module, Batch, Any], Tensor]
    prepare: Callable[[nn.Module, Any, Rows], Any] | None = None
    without_nc3: str = ""
    without_folder: str = ""
    departures: str = ""
    kinds: tuple[str, ...] = MASKED
    collate_causal: Callable[[Rows, Any, torch.Generator], Batch] | None = None

    def collate_for(self, lm: LanguageModel) -> Callable[[Rows, Any, torch.Generator], Batch]:
        """How a model's batches are made."""
        return self.collate_causal if lm.kind == "causal" and self.collate_causal else self.collate

    def require(self, lm: LanguageModel) -> None:
        """Raise ``FairNCError`` for a model of another kind."""
        if lm.kind not in self.kinds:
            who = f"method {self.name} takes {' and '.join(self.kinds)} language models"
            if self.kinds == MASKED:
                lm.require_masked(who)
            raise FairNCError(f"{who}; {lm.name} is {lm.kind}")


#: No sentence ends behind these: "Mr. Smith", "J. Smith".
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Rev|No|vs)|\b[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """A text's sentences: cut after . ! ? before a capital, a digit or a quotation mark, though not
    after an abbreviation.
    """
    pieces: list[str] = []
    for piece in re.split(
        r"(?:(?<=[.!?])|(?<=[.!?][\"'”)])|(?<=[.!?]''))\s+(?=[\"'“(]?[A-Z0-9])", text
    ):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(piece)
    return pieces


def gap_sentences(limit: int | None = None) -> list[str]:
    """Sentences of GAP development, of its first ``limit`` texts if given. (GAP test is measured
    on, never trained on.)
    """
    texts = corpora.load("gap", "development")["text"][:limit]
    return [sentence for text in texts for sentence in sentences(text)]


def tokenized(texts: Sequence[str], tokenizer, *, max_length: int) -> datasets.Dataset:
    """One row a text, column ``input_ids``."""
    return datasets.Dataset.from_dict(
        {"input_ids": batching.tokenize(texts, tokenizer, max_length=max_length)}
    )


def masked_batch(
    sequences: Sequence[Sequence[int]], tokenizer, generator: torch.Generator
) -> Batch:
    """A masked language modelling batch (15%, 80/10/10): ``labels`` (B, T) hold the original ids
    there and −100 elsewhere.
    """
    if tokenizer.mask_token_id is None:
        raise FairNCError("this method masks words; it needs a masked language model")
    batch = batching.padded_batch(sequences, tokenizer.pad_token_id)
    maskable = ~torch.isin(batch["input_ids"], torch.tensor(sorted(set(tokenizer.all_special_ids))))
    ids, positions, labels = batching.mask_tokens(
        batch["input_ids"],
        maskable,
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        generator=generator,
    )
    dense = torch.full_like(ids, -100).scatter_(1, positions, labels)
    return {"input_ids": ids, "attention_mask": batch["attention_mask"], "labels": dense}


def causal_batch(sequences: Sequence[Sequence[int]], tokenizer) -> Batch:
    """A batch on which a causal model predicts each token: ``labels`` (B, T) are the ids, −100
    behind the end.
    """
    batch = batching.padded_batch(sequences, tokenizer.pad_token_id)
    return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


def language_model_loss(model: nn.Module, batch: Batch, state: Any = None) -> Tensor:
    """Mean cross-entropy at the labelled positions: the masked ones, or all that a causal model
    predicts.
    """
    return model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
    ).loss
