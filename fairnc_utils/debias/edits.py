"""Edits of a model that train nothing: weights drawn anew, noise on them, the gender direction taken
out of the embeddings.

They stand where a method stands, before a model is fine-tuned. ``random_init`` is a model without
pre-training, ``new_embeddings`` one whose word embeddings alone are drawn anew. ``noise_0.1`` and
``noise_0.2`` add Gaussian noise of that share of each tensor's root mean square, the perturbation of
Steed et al. (2022). ``hard_debias`` is the neutralizing step of Bolukbasi et
al. (2016) on the input embeddings: every token but the gender words loses its component along the
direction in which pairs such as *she* and *he* differ most.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fairnc_utils import compression, models, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel

#: Pairs whose differences span the gender direction (Bolukbasi et al. 2016, without the two names).
PAIRS = "she he, her his, woman man, herself himself, daughter son, mother father, gal guy, girl boy, female male"


@dataclass(frozen=True)
class Edit:
    """``apply(lm, seed)`` changes a masked model in place; ``source``: the paper."""

    name: str
    source: str
    apply: Callable[[LanguageModel, int], None]

    def require(self, lm: LanguageModel) -> None:
        """Raise ``FairNCError`` for a causal model."""
        lm.require_masked(f"{self.name} takes masked language models")


@torch.no_grad()
def random_init(lm: LanguageModel, seed: int) -> None:
    """Weights as the model's own class draws them, from ``seed``; none of the old ones is left."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(lm.model)(lm.model.config)
    lm.model.load_state_dict(fresh.state_dict())


@torch.no_grad()
def new_embeddings(lm: LanguageModel, seed: int) -> None:
    """Word embeddings as the model's own class draws them, from ``seed``; the layers stay as they are."""
    layers = {id(parameter) for parameter in lm.model.get_input_embeddings().parameters()}
    kept = {
        name: parameter.clone()
        for name, parameter in lm.model.named_parameters()
        if id(parameter) not in layers
    }
    random_init(lm, seed)
    lm.model.load_state_dict(kept, strict=False)


@torch.no_grad()
def add_noise(lm: LanguageModel, seed: int, *, sigma: float) -> None:
    """Gaussian noise of ``sigma`` times its root mean square on every weight, tied ones once."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in lm.model.parameters():
        parameter.copy_(compression.noisy(parameter, sigma, generator))


@torch.no_grad()
def hard_debias(lm: LanguageModel, seed: int) -> None:
    """Every input embedding but those of gender words loses its component along
    ``gender_direction``; nothing is drawn.
    """
    weight = lm.model.get_input_embeddings().weight
    direction = gender_direction(lm, weight)
    kept = torch.tensor(words.load("gender", lm.tokenizer).token_ids, device=weight.device)
    along = weight @ direction
    along[kept] = 0
    weight -= torch.outer(along, direction)


def gender_direction(lm: LanguageModel, embeddings: Tensor) -> Tensor:
    """Unit direction (D,) in which the words of ``PAIRS`` differ most from the middle of their pair:
    the first principal component, towards the feminine word.

    Raises ``FairNCError`` where no pair is of two single tokens.
    """
    differences = []
    for pair in PAIRS.split(", "):
        ids = [models.single_token_id(lm.tokenizer, word) for word in pair.split()]
        if None not in ids:
            differences.append((embeddings[ids[0]] - embeddings[ids[1]]) / 2)
    if not differences:
        raise FairNCError(f"{lm.name}: no pair of {PAIRS} is of two single tokens")
    stacked = torch.stack(differences)
    first = torch.linalg.svd(stacked.float(), full_matrices=False).Vh[0]
    towards = torch.sign(stacked.float().sum(0) @ first)
    return nn.functional.normalize(first * towards, dim=0).to(embeddings)


RANDOM_INIT = Edit("random_init", "a control: no pre-training", random_init)
NEW_EMBEDDINGS = Edit("new_embeddings", "Wilming et al. 2024", new_embeddings)
NOISE_01, NOISE_02 = (
    Edit(f"noise_{sigma}", "Steed et al. 2022", partial(add_noise, sigma=sigma))
    for sigma in (0.1, 0.2)
)
HARD_DEBIAS = Edit("hard_debias", "Bolukbasi et al. 2016", hard_debias)
