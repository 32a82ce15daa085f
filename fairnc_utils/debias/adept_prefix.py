"""ADEPT's prefix variant (Yang et al. 2023): the model stays as it is, 40 keys and values before
each layer's own are trained.

Data and loss are those of the fine-tuning variant. The released NC3 code cannot run here, for its
prefix model has no language modelling head; and the classifier that NC3 would align is frozen. The
prefix is no part of a Hugging Face folder, so what is trained can be scored as long as it is in
memory, but not saved as a model.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fairnc_utils.debias import adept
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows
from fairnc_utils.errors import FairNCError

LENGTH = 40


class Prefix(nn.Module):
    """``vectors`` (layers, 2, heads, ``length``, D / heads): keys and values that every position
    attends to as well.

    Joins the attention layers of a BERT or RoBERTa for good: further passes of ``model`` are those
    with the prefix.
    """

    def __init__(self, model: nn.Module, state: adept.State, *, length: int = LENGTH):
        super().__init__()
        layers = [
            module
            for name, module in model.base_model.named_modules()
            if name.endswith("attention.self")
        ]
        if not layers:
            raise FairNCError(
                f"method adept_prefix: {type(model).__name__} has no BERT attention; use BERT or RoBERTa"
            )
        heads = model.config.num_attention_heads
        size = (len(layers), 2, heads, length, model.config.hidden_size // heads)
        self.vectors = nn.Parameter(torch.randn(size) * model.config.initializer_range)
        self._state = (state,)  # a tuple, so that the copy of the model in it does not become ours
        for place, layer in enumerate(layers):
            layer.register_forward_pre_hook(partial(self._join, place), with_kwargs=True)

    @property
    def state(self) -> adept.State:
        """The model before training and its prototypes."""
        return self._state[0]

    def _join(
        self, place: int, layer: nn.Module, arguments: tuple, named: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]]:
        """Give one layer the prefix as if it had been read before, and a mask that lets it be seen
        (True, or 0 to be added).
        """
        mask = named["attention_mask"]
        if mask is not None:
            mask = nn.functional.pad(
                mask, (self.vectors.shape[3], 0), value=mask.dtype == torch.bool
            )
        return arguments, named | {
            "attention_mask": mask,
            "past_key_values": _Before(*self.vectors[place]),
        }


class _Before:
    """Stands where attention layers keep what was read before: puts the prefix there at each pass
    and keeps nothing.
    """

    def __init__(self, keys: Tensor, values: Tensor):
        self.keys, self.values = keys, values

    def update(self, keys: Tensor, values: Tensor, *_) -> tuple[Tensor, Tensor]:
        pairs = ((self.keys, keys), (self.values, values))
        return tuple(
            torch.cat([prefix.to(states).expand(len(states), -1, -1, -1), states], dim=2)
            for prefix, states in pairs
        )


def prepare(model: nn.Module, tokenizer, rows: Rows) -> Prefix:
    state = adept.prepare(model, tokenizer, rows)
    model.requires_grad_(False)
    return Prefix(model, state).to(model.device)


def loss(model: nn.Module, batch: Batch, prefix: Prefix) -> Tensor:
    """That of the fine-tuning variant."""
    return adept.loss(model, batch, prefix.state)


ADEPT_PREFIX = Method(
    "adept_prefix",
    "Yang et al. 2023",
    adept.ADEPT.corpus,
    Recipe(lr=5e-4, epochs=10, batch_size=32, max_length=128),
    adept.examples,
    adept.collate,
    loss,
    prepare,
    without_nc3="the classifier that it would align is frozen, and the released prefix model has no language modelling head",
    without_folder="its prefix is no part of a Hugging Face model",
)
