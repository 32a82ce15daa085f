"""BERT-ASE (Park et al. 2023): fill the masked pronoun, keep occupations orthogonal to gender,
forget little.

The loss is the cross-entropy of the pronoun, which is female and male equally often, + 1 · Σ|h·g|
over the occupation's tokens of the batch + .5 · Σ F (θ − θ₀)² (elastic weight consolidation). h is
the classifier's input and g, of length 1, the first principal direction of W[female] − W[male] over
gender pairs, before training. F is the diagonal Fisher information of the masked language modelling
loss on GAP development, text by text. The released NC3 code takes it on the WinoBias test set and
then leaves both terms out. **Stand-in data**: sentences of the WinoBias kind from templates of this
project; no benchmark sentence is among them. The original trains 50 epochs, the released NC3 code
5.
"""

from dataclasses import dataclass

import datasets
import torch
from torch import Tensor, nn

from fairnc_utils import batching, models, swap, words
from fairnc_utils.debias import base
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows

ORTHOGONALITY, CONSOLIDATION = 1.0, 0.5
FISHER_TEXTS = 128

#: Templates by (female, male) pronoun; occupation at {}, the pronoun is masked.
TEMPLATES = {
    ("she", "he"): (
        "The {} called the visitor because [MASK] needed an answer.",
        "The {} left early since [MASK] had a train to catch.",
        "The {} thanked the neighbor after [MASK] got the keys back.",
        "Before the {} signed the letter, [MASK] read it twice.",
        "The {} asked the guest to wait while [MASK] found a chair.",
        "The {} was glad that [MASK] could help the stranger.",
        "Everyone listened to the {} when [MASK] spoke there.",
        "The {} ate lunch alone because [MASK] was late again.",
        "The {} told the customer that [MASK] would be back on Monday.",
        "If the {} has time, [MASK] always takes the stairs.",
    ),
    ("her", "his"): (
        "The {} forgot [MASK] umbrella on the bus.",
        "The {} wrote down [MASK] number for the visitor.",
        "The {} washed [MASK] hands before the meal.",
        "The {} parked [MASK] car behind the building.",
        "Yesterday the {} lent [MASK] book to a neighbor.",
        "The {} finished [MASK] coffee and went back inside.",
    ),
    ("her", "him"): (
        "The visitor met the {} and gave [MASK] a ticket.",
        "The neighbor saw the {} and waved to [MASK] from afar.",
        "The guest looked for the {} but could not find [MASK].",
        "The customer trusted the {} and paid [MASK].",
    ),
}


def examples(tokenizer, *, limit: int | None = None, max_length: int = 164) -> datasets.Dataset:
    """Masked sentences: every template × (the first ``limit``) occupations without a gender × both
    pronouns.
    """
    rows, occupations = (
        [],
        [word for word, _ in words.profession_words() if swap.gender(word) == word],
    )
    for pronouns, templates in TEMPLATES.items():
        for template in templates:
            for occupation in occupations[:limit]:
                row = _encoded(template, occupation, tokenizer, max_length)
                rows += [
                    row | {"pronoun_id": models.single_token_id(tokenizer, pronoun)}
                    for pronoun in pronouns
                ]
    return datasets.Dataset.from_list(rows)


def _encoded(template: str, occupation: str, tokenizer, max_length: int) -> dict[str, list[int]]:
    """Token ids of one sentence, with 1 where the occupation stands."""
    text = template.format(occupation).replace("[MASK]", tokenizer.mask_token)
    encoding = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    start = template.index("{")
    inside = [
        int(start < end and begin < start + len(occupation))
        for begin, end in encoding["offset_mapping"]
    ]
    return {"input_ids": encoding["input_ids"], "occupation": inside}


def collate(rows: Rows, tokenizer, generator: torch.Generator) -> Batch:
    """``labels`` hold the pronoun at the mask; ``occupation`` (B, T) is 1 at the occupation's
    tokens.
    """
    batch = batching.padded_batch([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    pronouns = torch.tensor([row["pronoun_id"] for row in rows])[:, None]
    labels = torch.where(batch["input_ids"] == tokenizer.mask_token_id, pronouns, -100)
    return batch | {
        "labels": labels,
        "occupation": batching.padded([row["occupation"] for row in rows], 0),
    }


@dataclass(frozen=True)
class State:
    """Fixed before training: the model's parts, the gender direction (D,), and by parameter θ₀ and
    the Fisher diagonal.
    """

    lm: models.LanguageModel
    direction: Tensor
    anchor: dict[str, Tensor]
    fisher: dict[str, Tensor]


def prepare(model: nn.Module, tokenizer, rows: Rows) -> State:
    lm = models.wrap(model, tokenizer, name="ase", evaluate=False)
    anchor = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    texts = batching.tokenize(
        base.gap_sentences(FISHER_TEXTS)[:FISHER_TEXTS], tokenizer, max_length=lm.max_length
    )
    return State(lm, gender_direction(lm), anchor, fisher_diagonal(model, tokenizer, texts))


def gender_direction(lm: models.LanguageModel) -> Tensor:
    """First principal direction (D,) of W[female] − W[male] over the swap pairs that are single
    tokens; length 1.
    """
    ids = [
        tuple(models.single_token_id(lm.tokenizer, word) for word in pair) for pair in swap.PAIRS
    ]
    female, male = torch.tensor([pair for pair in ids if None not in pair], device=lm.device).mT
    weight = lm.weight.detach().float()
    return torch.linalg.svd(weight[female] - weight[male], full_matrices=False).Vh[0]


def fisher_diagonal(model: nn.Module, tokenizer, sequences: list[list[int]]) -> dict[str, Tensor]:
    """Mean over texts of the squared gradient of each text's masked language modelling loss, by
    parameter.
    """
    generator, training = torch.Generator().manual_seed(0), model.training
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    model.eval()
    for sequence in sequences:
        batch = {
            name: x.to(model.device)
            for name, x in base.masked_batch([sequence], tokenizer, generator).items()
        }
        gradients = torch.autograd.grad(
            base.language_model_loss(model, batch), list(model.parameters()), allow_unused=True
        )
        for (name, square_sum), gradient in zip(total.items(), gradients, strict=True):
            if gradient is not None:
                total[name] = square_sum + gradient.square() / len(sequences)
    model.train(training)
    return total


def orthogonality(hidden: Tensor, occupation: Tensor, direction: Tensor) -> Tensor:
    """Σ |h·g| over the occupation's tokens: (B, T, D), (B, T), (D,) → 0-d tensor, ideal 0."""
    return ((hidden.float() @ direction).abs() * occupation).sum()


def consolidation(model: nn.Module, anchor: dict[str, Tensor], fisher: dict[str, Tensor]) -> Tensor:
    """Σ F (θ − θ₀)² over all parameters → 0-d tensor, 0 before training."""
    return sum(
        (fisher[name] * (parameter - anchor[name]).square()).sum()
        for name, parameter in model.named_parameters()
    )


def loss(model: nn.Module, batch: Batch, state: State) -> Tensor:
    """Pronoun cross-entropy + Σ|h·g| + .5 · EWC."""
    hidden = state.lm.features(batch["input_ids"], batch["attention_mask"])
    logits = model.get_output_embeddings()(hidden)
    pronoun = nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten())
    sideways = orthogonality(hidden, batch["occupation"], state.direction)
    return (
        pronoun
        + ORTHOGONALITY * sideways
        + CONSOLIDATION * consolidation(model, state.anchor, state.fisher)
    )


ASE = Method(
    "ase",
    "Park et al. 2023",
    "sentences of the WinoBias kind from own templates; Fisher information on GAP development",
    Recipe(lr=2e-5, epochs=50, batch_size=6, max_length=164),
    examples,
    collate,
    loss,
    prepare,
    departures="stand-in text: templates of this project for sentences that are not public; Fisher information on GAP "
    "development; fewer passes over the text",
)
