"""NC3 on a few short texts: batches, what is measured of them, gradients."""

from functools import partial

import torch

from fairnc_utils.collapse import ClassStatistics
from fairnc_utils.models import single_token_id
from fairnc_utils.regularizer import (
    NC3Options,
    NC3Regularizer,
)

TEXTS = (
    "the nurse said that she was tired .",
    "a woman and a man walk home . she said that he was a teacher .",
    "the girl reads a book , the boy writes a letter .",
    "the engineer said that he was tired .",
)


SEEN = ("she", "he", "was", "said", "a")


def ids_of(lm, names=SEEN):
    ids = [single_token_id(lm.tokenizer, word) for word in names]
    assert None not in ids
    return ids


def encode(lm, texts=TEXTS, *, hide=()):
    """A padded batch; the words to hide are masked, with labels, which causal models copy from
    their inputs.
    """
    batch = dict(lm.tokenizer(list(texts), padding=True, return_tensors="pt"))
    batch.pop("token_type_ids", None)
    if lm.kind == "causal":
        return batch | {
            "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        }
    hidden = torch.isin(
        batch["input_ids"], torch.tensor(ids_of(lm, hide) if hide else [], dtype=torch.int64)
    )
    labels = batch["input_ids"].masked_fill(~hidden, -100)
    return batch | {
        "input_ids": batch["input_ids"].masked_fill(hidden, lm.tokenizer.mask_token_id),
        "labels": labels,
    }


def statistics(lm, batch, **options):
    """Class statistics of a batch, as the measuring code takes them."""
    collected = ClassStatistics(*lm.weight.shape)
    return collected.update(
        *lm.labelled_features(batch["input_ids"], batch["attention_mask"], **options)
    )


def called(nc3, lm, batch):
    lm.model(**batch)
    return nc3(batch)


def gradients(model):
    return {
        name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }


nc3_options = partial(NC3Options, min_weight=0.0)


def nc3_of(model, tokenizer, words="gender", *, weight=1.0, **named):
    """A regularizer to which every class counts, however light: the texts here are short."""
    options = named.pop("options", None) or nc3_options(**named)
    return NC3Regularizer(model, tokenizer, words, weight=weight, options=options)


def weights_of(run):
    return {name: p.detach().clone() for name, p in run.model.named_parameters()}
