"""Compression of a language model after its training: rounding, pruning, fewer heads or layers, noise.

Nothing is trained and nothing becomes smaller in memory: weights are set to the values that a smaller
format could hold, so that what compression *does* is measured on any device. Matrices are seen as (rows,
columns), a row for each output. ``compressor`` names what can be done; by default the weights of every
linear layer but the output embeddings are compressed, and the embeddings of words and positions stay.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fairnc_utils import batching, corpora, models, words
from fairnc_utils.compressor import EMBEDDINGS, GENDER, WEIGHTS, Compressor
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel

#: First texts of GAP validation whose loss says which heads matter.
HEAD_TEXTS = 256

#: Ends of the names of the layer that takes the heads' outputs, in the families that are known.
_HEADS_JOINED = (
    "attention.output.dense",
    "attention.out_lin",
    "attn.c_proj",
    "self_attn.o_proj",
    "self_attn.out_proj",
)

#: Magnitudes of the 4-bit floating-point format E2M1.
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def compress(lm: LanguageModel, compressor: Compressor, *, seed: int = 0) -> LanguageModel:
    """The model with its weights compressed in place, for evaluation. ``seed``: of noise alone.

    A classifier that was edited apart from the model (``with_gender_direction``) is compressed where
    embeddings are, else kept. Raises ``FairNCError`` for a family whose heads are not known, and for more
    layers than the model has.
    """
    if compressor.name == "layers":
        keep_layers(lm.model, range(int(compressor.level)))
    elif compressor.name == "heads":
        _switch_off_heads(lm, compressor.level)
    else:
        return _with_new_weights(lm, compressor, seed)
    return replace(lm)


@torch.no_grad()
def _with_new_weights(lm: LanguageModel, compressor: Compressor, seed: int) -> LanguageModel:
    tables, weight = _tables(lm, compressor.part)
    old = [table.get() for table in tables]
    for table, new in zip(tables, _compressed(old, compressor, seed), strict=True):
        table.put(new)
    if not compressor.keeps_inputs:
        for layer in linear_layers(lm.model).values():
            layer.register_forward_pre_hook(_round_inputs)
    return replace(lm, weight=weight)


def _compressed(old: Sequence[Tensor], compressor: Compressor, seed: int) -> Iterable[Tensor]:
    """New values of matrices (R, C)."""
    if compressor.name == "prune":
        limit = _smallest(torch.cat([weight.flatten() for weight in old]), compressor.level)
        return (weight.where(weight.abs() > limit, 0.0) for weight in old)
    if compressor.name == "noise":
        # drawn on a CPU: the same on every device
        generator = torch.Generator().manual_seed(seed)
        return (noisy(weight, compressor.level, generator) for weight in old)
    if compressor.name == "prune_rows":
        return (
            torch.stack([row.where(row.abs() > _smallest(row, compressor.level), 0.0) for row in w])
            for w in old
        )
    return map(_ROUNDED[compressor.name], old)


# ---------------------------------------------------------------- what is compressed


@dataclass(frozen=True)
class _Table:
    """A matrix (rows, columns) in a model, or some of its rows."""

    values: Tensor
    rows: Tensor | None = None

    def get(self) -> Tensor:
        return self.values if self.rows is None else self.values[self.rows]

    def put(self, new: Tensor) -> None:
        if self.rows is None:
            self.values.copy_(new)
        else:
            self.values[self.rows] = new


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every linear layer of a model by its name, without the output embeddings."""
    decoder = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not decoder
    }


def _matrix(layer: nn.Module) -> Tensor:
    """Its weight as (outputs, inputs), in place."""
    return layer.weight.data.T if isinstance(layer, Conv1D) else layer.weight.data


def _tables(lm: LanguageModel, part: str) -> tuple[list[_Table], Tensor]:
    """What is compressed, and the classifier that the compressed model has."""
    decoder, weight = lm.model.get_output_embeddings().weight, lm.weight
    edited = weight is not decoder
    if part != WEIGHTS and edited:
        weight = weight.detach().clone()
    embeddings = {id(w): w.data for w in (lm.model.get_input_embeddings().weight, decoder)}
    embeddings |= {id(weight): weight} if edited else {}
    rows = None
    if part == GENDER:
        rows = torch.tensor(words.load("gender", lm.tokenizer).token_ids, device=lm.device)
    tables = [_Table(matrix, rows) for matrix in embeddings.values()] if part != WEIGHTS else []
    if part in (WEIGHTS, EMBEDDINGS):
        tables = [*map(_Table, map(_matrix, linear_layers(lm.model).values())), *tables]
    return tables, weight


# ---------------------------------------------------------------- rounding


def _to_grid(values: Tensor, step: Tensor) -> Tensor:
    """The nearest multiple of a step; where that is 0 all values are, and stay."""
    return torch.where(step > 0, (values / step).round() * step, 0.0)


def _by_row(bits: int) -> Callable[[Tensor], Tensor]:
    """Rounding to whole multiples of the largest magnitude of a row / (2^(bits − 1) − 1)."""
    return lambda w: _to_grid(w, w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1))


def _eight_bits(w: Tensor) -> Tensor:
    return _to_grid(w, w.abs().max() / 127)


def _round_inputs(layer: nn.Module, inputs: tuple) -> tuple:
    """Inputs of a layer to 8 bits a token: no score depends on what else is in its batch."""
    x, *rest = inputs
    return _to_grid(x, x.abs().amax(-1, keepdim=True) / 127), *rest


def _four_bit_floats(w: Tensor) -> Tensor:
    """The nearest value of E2M1, scaled so that each row's largest magnitude is the format's."""
    grid = torch.tensor(_E2M1, dtype=w.dtype, device=w.device)
    scale = w.abs().amax(1, keepdim=True) / grid[-1]
    units = torch.where(scale > 0, w.abs() / scale, 0.0)
    nearest = torch.bucketize(units, (grid[1:] + grid[:-1]) / 2)
    return grid[nearest] * scale * w.sign()


def _ternary(w: Tensor) -> Tensor:
    """Weights above 0.7 of the mean magnitude to the mean magnitude of those, others to 0: ternary
    weight networks (Li et al. 2016).
    """
    large = w.abs() > 0.7 * w.abs().mean()
    return w.sign() * large * (w.abs() * large).sum() / large.sum().clamp_min(1)


def _split_two_bits(w: Tensor) -> Tensor:
    """Three clusters of a matrix's weights, each rounded to four even steps from its least value to its
    largest, as SplitQuant splits a layer.
    """
    new = torch.empty_like(w)
    cluster = torch.bucketize(w, three_means(w))
    for number in range(3):
        inside = cluster == number
        if inside.any():
            values = w[inside]
            low, step = values.min(), (values.max() - values.min()) / 3
            new[inside] = low + _to_grid(values - low, step)
    return new


def three_means(values: Tensor, *, rounds: int = 100) -> Tensor:
    """Borders (2,) between the three clusters of one-dimensional k-means, begun at the sixths of the
    sorted values; a value on a border belongs to the lower cluster.
    """
    ordered = values.flatten().double().sort().values
    sums = nn.functional.pad(ordered.cumsum(0), (1, 0))
    size = len(ordered)
    centres = ordered[[size // 6, size // 2, 5 * size // 6]]
    for _ in range(rounds):
        borders = (centres[1:] + centres[:-1]) / 2
        ends = torch.searchsorted(ordered, borders, right=True)
        edges = nn.functional.pad(ends, (1, 0))
        edges = torch.cat([edges, edges.new_tensor([size])])
        count = edges.diff()
        means = torch.where(count > 0, sums[edges].diff() / count.clamp_min(1), centres)
        if torch.equal(means, centres):
            break
        centres = means
    return ((centres[1:] + centres[:-1]) / 2).to(values.dtype)


_ROUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "int8": _eight_bits,
    "int16": _by_row(16),
    "rtn4": _by_row(4),
    "rtn3": _by_row(3),
    "rtn2": _by_row(2),
    "fp4": _four_bit_floats,
    "ternary": _ternary,
    "split2": _split_two_bits,
}

# ---------------------------------------------------------------- pruning and noise


def _smallest(values: Tensor, share: float) -> float:
    """The magnitude up to which that share of the values lies; below 0 for none."""
    number = round(share * values.numel())
    return float(values.abs().flatten().kthvalue(number).values) if number else -1.0


def noisy(w: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """A tensor with Gaussian noise of ``size`` times its root mean square."""
    drawn = torch.randn(w.shape, generator=generator).to(w)
    return w + size * w.square().mean().sqrt() * drawn


# ---------------------------------------------------------------- heads


def _heads_joined(lm: LanguageModel) -> list[nn.Module]:
    """Of each hidden layer, the one that takes what its heads give."""
    layers = [
        layer for name, layer in linear_layers(lm.model).items() if name.endswith(_HEADS_JOINED)
    ]
    if len(layers) != lm.layers:
        family = lm.model.config.model_type
        raise FairNCError(
            f"{lm.name}: the attention heads of family {family} are not known; compress it otherwise"
        )
    return layers


def head_importance(lm: LanguageModel, *, texts: int = HEAD_TEXTS, seed: int = 0) -> Tensor:
    """How much the loss misses each head, (layers, heads): Σ over texts of |∂loss / ∂gate|, where a gate
    of 1 multiplies the head's output (Michel et al. 2019). High is important.

    ``texts``: the first of GAP validation; a masked model's masks are drawn by ``seed``.
    """
    joined, heads = _heads_joined(lm), lm.model.config.num_attention_heads
    sequences = batching.tokenize(
        corpora.load("gap", "validation")["text"][:texts], lm.tokenizer, max_length=lm.max_length
    )
    total = torch.zeros(len(joined), heads, device=lm.device)
    generator = torch.Generator().manual_seed(seed)
    for batch in batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id, tokens=2048):
        gates = [
            torch.ones(len(batch.index), 1, heads, 1, device=lm.device, requires_grad=True)
            for _ in joined
        ]
        hooks = [
            layer.register_forward_pre_hook(_gated(gate))
            for layer, gate in zip(joined, gates, strict=True)
        ]
        try:
            with torch.enable_grad():
                slopes = torch.autograd.grad(_loss(lm, batch, generator), gates)
        finally:
            for hook in hooks:
                hook.remove()
        total += torch.stack([slope.abs().sum((0, 1, 3)) for slope in slopes])
    return total


def _gated(gate: Tensor) -> Callable[[nn.Module, tuple], tuple]:
    def multiply(layer: nn.Module, inputs: tuple) -> tuple:
        x = inputs[0].unflatten(-1, (gate.shape[2], -1)) * gate
        return (x.flatten(-2), *inputs[1:])

    return multiply


def _loss(lm: LanguageModel, batch: batching.Batch, generator: torch.Generator) -> Tensor:
    """Sum of the negative log-likelihoods that the model was made with, 0-d."""
    ids, mask = batch.input_ids, batch.attention_mask
    if lm.kind == "masked":
        ids, positions, labels = batching.mask_tokens(
            ids,
            ~torch.isin(ids, torch.tensor(lm.special_ids)),
            mask_id=lm.tokenizer.mask_token_id,
            vocab_size=len(lm.weight),
            generator=generator,
        )
    else:
        labels = ids.masked_fill(mask == 0, -100)[:, 1:]
        positions = torch.arange(labels.shape[1]).expand_as(labels)
    ids, mask, positions, labels = (x.to(lm.device) for x in (ids, mask, positions, labels))
    features = lm.features(ids, mask)
    asked = features.gather(1, positions[..., None].expand(-1, -1, features.shape[-1]))[labels >= 0]
    values = lm.log_probabilities(asked).gather(1, labels[labels >= 0][:, None])
    return -values.sum()


@torch.no_grad()
def _switch_off_heads(lm: LanguageModel, share: float) -> None:
    importance = head_importance(lm)
    heads = importance.shape[1]
    for place in importance.flatten().argsort(stable=True)[: round(share * importance.numel())]:
        matrix = _matrix(_heads_joined(lm)[int(place) // heads])
        width, head = matrix.shape[1] // heads, int(place) % heads
        matrix[:, head * width : (head + 1) * width] = 0


# ---------------------------------------------------------------- layers


def keep_layers(model: nn.Module, places: Sequence[int]) -> None:
    """Leave a model these of its hidden layers (from 0), in place; the last one's state goes into the
    head. Raises ``FairNCError`` where the model has not so many.
    """
    config = model.config.get_text_config()
    number = config.num_hidden_layers
    if max(places) >= number:
        raise FairNCError(f"the model has {number} hidden layers: {max(places) + 1} cannot be kept")
    owner, name, layers = next(
        (module, name, child)
        for module in models.body(model).modules()
        for name, child in module.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == number
    )
    setattr(owner, name, nn.ModuleList([layers[place] for place in places]))
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[place] for place in places]
    config.num_hidden_layers = len(places)
