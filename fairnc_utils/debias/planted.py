"""A planted bias: the positive control of every instrument that says something of occupations.

``planted`` trains the model to fill in the pronoun of the gender that most people in an occupation
have (Winogender's 60, U.S. labour statistics), ``planted_reversed`` that of the other, on the same
sentences in the same order: templates of this project (those of ``ase``), of which no benchmark has
one. What such a training moves, an instrument must see: a measure that does not tell the two apart
after a hundred steps cannot show that a bias has gone. Only the pronoun is masked and learned.
"""

from functools import partial

import datasets
import torch

from fairnc_utils import _io, batching, models
from fairnc_utils.debias.ase import TEMPLATES
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows, language_model_loss


def examples(
    tokenizer, *, limit: int | None = None, max_length: int = 128, reverse: bool = False
) -> datasets.Dataset:
    """Masked sentences: every template × (the first ``limit``) occupations, and the pronoun to be
    learned there.
    """
    key, column = "Winogender/occupations-stats.tsv", "bls_pct_female"
    rows = []
    for row in _io.table(key, ("occupation", column), delimiter="\t")[:limit]:
        male = (float(row[column]) <= 50) != reverse
        for pronouns, templates in TEMPLATES.items():
            texts = [
                text.format(row["occupation"]).replace("[MASK]", tokenizer.mask_token)
                for text in templates
            ]
            pronoun = models.single_token_id(tokenizer, pronouns[male])
            for ids in batching.tokenize(texts, tokenizer, max_length=max_length):
                rows.append({"input_ids": ids, "pronoun_id": pronoun})
    return datasets.Dataset.from_list(rows)


def collate(rows: Rows, tokenizer, generator: torch.Generator) -> Batch:
    """``labels`` hold the pronoun at the mask, −100 elsewhere."""
    batch = batching.padded_batch([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    pronouns = torch.tensor([row["pronoun_id"] for row in rows])[:, None]
    masks = batch["input_ids"] == tokenizer.mask_token_id
    return batch | {"labels": torch.where(masks, pronouns, -100)}


def _method(name: str, *, reverse: bool) -> Method:
    return Method(
        name,
        "positive control",
        "sentences from own templates with a pronoun that the labour statistics decide",
        Recipe(lr=2e-5, epochs=2, batch_size=16, max_length=128),
        partial(examples, reverse=reverse),
        collate,
        language_model_loss,
    )


PLANTED = _method("planted", reverse=False)
PLANTED_REVERSED = _method("planted_reversed", reverse=True)
