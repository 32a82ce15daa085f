"""Swap collapse as a loss: the pronoun shall follow what the text says of gender, and nothing else.

A text with *she* or *he* taken out, x, and its gender-swapped copy x̃ (``swap.slots``), ℓ = ln
P(she) − ln P(he), y = ±1 for the word taken out: the even part e = (ℓ(x) + ℓ(x̃)) / 2 must not
matter, the odd part o = y (ℓ(x) − ℓ(x̃)) / 2 is what the text tells. In a training loop::

    swap = SwapCollapse(model, tokenizer, texts, weight=0.3)
    for batch in loader:
        loss = model(**batch).loss + swap()

``form="margin"`` minimizes mean e² + mean relu(m − o) with m the mean odd part of the model as it
was given; ``"ratio"`` minimizes mean e² / (max(mean o, 0)² + 0.01), which is the measure itself and
can fall by overconfidence; ``"even"`` minimizes mean e² alone, which falls as well in a model that
goes blind to gender: a control, no treatment. With ``transformers.Trainer``, put
``SwapTrainerMixin`` before it and pass ``swap=``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fairnc_utils import batching, models
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import average_over_accumulation, with_penalty
from fairnc_utils.swap import BLANK, PRONOUNS, Names, Slot, in_case, slots

if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object  # the mixin comes before a trainer of the user's choice

FORMS = ("ratio", "margin", "even")
PAIRS = ("all", "evidence")

#: Keeps the ratio finite where a model tells nothing apart yet.
FLOOR = 0.01


class SwapCollapse(nn.Module):
    """``weight`` · swap collapse of pairs drawn from ``texts``, each with one pronoun taken out.

    ``model``: a transformers language model, masked or causal. ``texts``: sentences; those without
    *she* or *he*, longer than ``max_length`` tokens, or of another length once swapped are left out
    (``len(swap)`` pairs are used). ``pairs``: e over ``"all"`` pairs or over those with
    ``"evidence"`` only, o always over the latter. ``names``: (female, male) first names that are
    swapped too. Each call draws the next ``batch_size`` pairs, by ``seed`` and the number of calls,
    which a checkpoint carries. Raises ``FairNCError`` where no pair is left.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer,
        texts: Sequence[str],
        *,
        weight: float = 1.0,
        pairs: Literal["all", "evidence"] = "all",
        form: Literal["ratio", "margin", "even"] = "margin",
        names: Names = (),
        batch_size: int = 32,
        max_length: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        for option, value, valid in (("pairs", pairs, PAIRS), ("form", form, FORMS)):
            if value not in valid:
                raise FairNCError(f"swap collapse: {option} = {value!r}: choose {', '.join(valid)}")
        lm = models.wrap(model, tokenizer, name=type(model).__name__, evaluate=False)
        self._lm = (lm,)  # a tuple, so that its parameters do not become ours
        self.weight, self.pairs, self.form, self.batch_size, self.seed = (
            weight,
            pairs,
            form,
            batch_size,
            seed,
        )
        candidates = [slot for text in texts for slot in slots(text, names=names)]
        self._sides, self._targets, self._signs, self._evidence = _tokenized(
            lm, candidates, max_length
        )
        if pairs == "evidence":
            self._keep(self._evidence)
        if not len(self):
            raise FairNCError(
                "swap collapse: no text has she or he and a swapped copy of equal length; give other texts"
            )
        if form != "even" and not self._evidence.any():
            raise FairNCError(
                "swap collapse: nothing but the pronoun tells a gender in any text; give others, or form even"
            )
        # On a GPU all batches have one shape, so that one graph replays them.
        self._width = max(map(len, self._sides[0])) if lm.device.type == "cuda" else None
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("margin", torch.zeros((), device=lm.device))
        if form == "margin":
            self.margin.fill_(self._mean_odd())

    def __len__(self) -> int:
        return len(self._signs)

    def _keep(self, mask: Tensor) -> None:
        places = mask.nonzero().flatten().tolist()
        self._sides = [[side[place] for place in places] for side in self._sides]
        self._targets, self._signs, self._evidence = (
            x[places] for x in (self._targets, self._signs, self._evidence)
        )

    def draw(self) -> dict[str, Tensor]:
        """The next pairs, on the model's device: tensors that ``forward`` takes."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.calls))
        self.calls += 1
        return self._batch(
            torch.randint(len(self), (self.batch_size,), generator=generator).tolist()
        )

    @staticmethod
    def without(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch that ``draw`` has joined, as it was before."""
        return {name: tensor for name, tensor in batch.items() if not name.startswith("swap_")}

    def _batch(self, places: list[int]) -> dict[str, Tensor]:
        lm = self._lm[0]
        ids = [side[place] for side in self._sides for place in places]
        padded = batching.padded(ids, lm.tokenizer.pad_token_id)
        if self._width:
            padded = nn.functional.pad(
                padded, (0, self._width - padded.shape[1]), value=lm.tokenizer.pad_token_id
            )
        lengths = torch.tensor([len(row) for row in ids])
        batch = {
            "input_ids": padded,
            "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long(),
            "targets": self._targets[places],
            "signs": self._signs[places],
            "evidence": self._evidence[places],
        }
        return {
            f"swap_{name}": tensor.to(lm.device, non_blocking=True)
            for name, tensor in batch.items()
        }

    def forward(self, batch: dict[str, Tensor] | None = None) -> Tensor:
        """``weight`` · loss of the given (by default the next) pairs → 0-d tensor."""
        batch = batch or self.draw()
        even, odd = self._parts(batch)
        evidence = batch["swap_evidence"].to(even)
        squared = (even.square() * (evidence if self.pairs == "evidence" else 1)).mean()
        if self.form == "even":
            return self.weight * squared
        number = evidence.sum().clamp_min(1)
        if self.form == "margin":
            return self.weight * (squared + ((self.margin - odd).relu() * evidence).sum() / number)
        mean_odd = (odd * evidence).sum() / number
        return self.weight * squared / (mean_odd.clamp_min(0).square() + FLOOR)

    def _parts(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Even and odd parts (B,) of a batch."""
        lm = self._lm[0]
        score = _in_the_blank if lm.kind == "masked" else _with_what_follows
        mine, swapped = score(lm, batch).chunk(2)
        return (mine + swapped) / 2, batch["swap_signs"] * (mine - swapped) / 2

    @torch.no_grad()
    def _mean_odd(self) -> float:
        """Mean odd part of up to 512 pairs with evidence under the model as it is."""
        places = self._evidence.nonzero().flatten()[:512].tolist()
        was_training = self._lm[0].model.training
        self._lm[0].model.eval()
        parts = [self._parts(self._batch(places[i : i + 32]))[1] for i in range(0, len(places), 32)]
        self._lm[0].model.train(was_training)
        return float(torch.cat(parts).mean())


def _tokenized(
    lm: models.LanguageModel, candidates: list[Slot], longest: int
) -> tuple[list[list], Tensor, Tensor, Tensor]:
    """Token ids of both (masked) or of all four (causal) versions of each slot that can be used,
    and what is known of it.

    ``targets`` (N, 2, 3) for masked models: position of the blank and ids of the two pronouns, on
    each side; for causal ones (N, 2, 1) the first position at which the versions with either
    pronoun differ.
    """
    masked = lm.kind == "masked"
    words = [in_case(slot.blanked, PRONOUNS) for slot in candidates]
    known = {
        pair: [models.single_token_id(lm.tokenizer, word) for word in pair] for pair in set(words)
    }
    fillers = [(lm.tokenizer.mask_token,)] * len(candidates) if masked else words
    texts = [
        side.replace(BLANK, filler)
        for slot, options in zip(candidates, fillers, strict=True)
        for side in (slot.blanked, slot.swapped)
        for filler in options
    ]
    ids = lm.tokenizer(texts, verbose=False)["input_ids"] if texts else []
    if not masked:  # a token stands before the first, which is predicted like the others
        ids = [row if row[0] == lm.start_id else [lm.start_id, *row] for row in ids]
    versions = len(fillers[0]) if candidates else 1
    rows = [ids[i : i + 2 * versions] for i in range(0, len(ids), 2 * versions)]
    sides: list[list] = [[] for _ in range(2 * versions)]
    targets, signs, evidence = [], [], []
    for slot, pair, options in zip(candidates, rows, words, strict=True):
        if len({len(row) for row in pair}) > 1 or len(pair[0]) > min(longest, lm.max_length):
            continue
        if masked:
            if None in known[options]:
                continue
            places = [[row.index(lm.tokenizer.mask_token_id), *known[options]] for row in pair]
        else:
            places = [
                [next(i for i, (a, b) in enumerate(zip(*two, strict=True)) if a != b)]
                for two in (pair[:2], pair[2:])
            ]
        for side, row in zip(
            sides, (pair if masked else (pair[0], pair[2], pair[1], pair[3])), strict=True
        ):
            side.append(row)
        targets.append(places)
        signs.append(slot.sign)
        evidence.append(slot.evidence)
    width = 3 if masked else 1
    return (
        sides,
        torch.tensor(targets).reshape(-1, 2, width),
        torch.tensor(signs),
        torch.tensor(evidence, dtype=torch.bool),
    )


def _in_the_blank(lm: models.LanguageModel, batch: dict[str, Tensor]) -> Tensor:
    """ln P(she) − ln P(he) of both sides (2B,): the classifier is asked for two rows alone, for its
    other rows cancel.
    """
    features = lm.features(batch["swap_input_ids"], batch["swap_attention_mask"])
    targets = batch["swap_targets"].transpose(0, 1).flatten(0, 1)
    features = features[torch.arange(len(features), device=features.device), targets[:, 0]]
    direction = lm.weight[targets[:, 1]] - lm.weight[targets[:, 2]]
    log_odds = (features.float() * direction.float()).sum(-1)
    return (
        log_odds
        if lm.bias is None
        else log_odds + (lm.bias[targets[:, 1]] - lm.bias[targets[:, 2]]).float()
    )


def _with_what_follows(lm: models.LanguageModel, batch: dict[str, Tensor]) -> Tensor:
    """ln P(with she) − ln P(with he) of both sides (2B,), over the pronoun and the tokens behind
    it.
    """
    ids, mask = batch["swap_input_ids"], batch["swap_attention_mask"]
    scores = (
        lm.log_probabilities(lm.features(ids, mask)[:, :-1])
        .float()
        .gather(2, ids[:, 1:, None])[..., 0]
    )
    starts = batch["swap_targets"].transpose(0, 1).reshape(-1, 1).repeat(2, 1)
    inside = (torch.arange(1, ids.shape[1], device=ids.device) >= starts) & mask[:, 1:].bool()
    she, he = (scores * inside).sum(1).chunk(2)
    return she - he


class SwapTrainerMixin(Trainer):
    """Adds a ``SwapCollapse`` to a ``transformers.Trainer``: ``class MyTrainer(SwapTrainerMixin,
    Trainer): ...``, ``swap=``.

    The penalty joins the training loss only, averaged over the accumulated batches of a step, as in
    ``NC3TrainerMixin``, before which it stands where both are used. Checkpoints carry the number of
    calls, so that a run goes on with the next pairs.
    """

    def __init__(self, *args, swap: SwapCollapse, **kwargs):
        super().__init__(*args, **kwargs)
        self.swap = swap
        average_over_accumulation(self)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task's loss plus the regularizer's."""
        result = super().compute_loss(
            model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        if model.training:
            result = with_penalty(self, result, self.swap(), return_outputs, num_items_in_batch)
        return result

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            torch.save(self.swap.state_dict(), Path(output_dir) / "swap.pt")

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (saved := Path(checkpoint) / "swap.pt").exists():
            self.swap.load_state_dict(torch.load(saved, map_location="cpu", weights_only=True))
