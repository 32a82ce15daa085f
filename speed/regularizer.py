"""A training step with NC3 regularization against the same step without, and against the released
formulation.
"""

import copy
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fairnc_utils import batching, corpora, models, words
from fairnc_utils._cuda_graph import CudaGraphStep
from fairnc_utils.regularizer import NC3Regularizer
from speed.timing import Row, Settings, median, paired

LENGTH, ROWS, MANY_ROWS = 40, 32, 400  # 1,280 tokens, and 16,000, a step
BATCHES = 8


class ReleasedRegularizer:
    """What the released code does at each step, written out from its description.

    The encoder's last layer, detached and shifted by one position; a dense tokens × vocabulary
    one-hot; counts by its sum, totals by its matrix product with the features; means of all classes
    and a hash of their bytes; then word by word, each asked for its count, the cosines whose
    standard deviation is the loss.
    """

    def __init__(self, model: nn.Module, ids: tuple[int, ...]):
        self.weight, self.ids = model.get_output_embeddings().weight, ids
        self.counts = self.weight.new_zeros(len(self.weight), dtype=torch.int64)
        self.totals = torch.zeros_like(self.weight.detach())
        model.base_model.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: tuple, output) -> None:
        self.features = output[0]

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        features, labels = (
            self.features.detach()[:, :-1].flatten(0, 1).float(),
            batch["input_ids"][:, 1:].flatten(),
        )
        one_hot = labels[:, None] == torch.arange(len(self.counts), device=labels.device)
        self.counts += one_hot.sum(0)
        self.totals += one_hot.float().mT @ features
        means = self.totals / self.counts.clamp_min(1)[:, None]
        hashlib.sha256(means.cpu().numpy()).hexdigest()
        seen = [word for word in self.ids if self.counts[word].item() > 0]
        middle = means[seen].mean(0)
        return torch.stack(
            [torch.cosine_similarity(means[i] - middle, self.weight[i], dim=0) for i in seen]
        ).std()


def run(settings: Settings) -> list[Row]:
    """Seconds of a step with the regularizer over seconds of the step without: forward, backward,
    AdamW.

    The step masks 15% of GAP development texts cut to 40 tokens; its task is the model's own masked
    loss over all positions. The learning rate is 0, so all contenders keep the same weights. On a
    GPU: bfloat16 autocast, eager and captured as a CUDA graph, which is how the training loop runs
    it there.
    """
    rows = (4,) if settings.tiny else (ROWS,) if settings.device == "cpu" else (ROWS, MANY_ROWS)
    modes = ("eager",) if settings.device == "cpu" else ("eager", "captured")
    return [row for size in rows for mode in modes for row in _compare(settings, size, mode)]


def _compare(settings: Settings, size: int, mode: str) -> list[Row]:
    lm = models.load("random" if settings.tiny else settings.model, device=settings.device)
    ids = words.load("gender", lm.tokenizer).token_ids
    batches = _batches(lm, size)
    plain, ours, released = (copy.deepcopy(lm.model.train()) for _ in range(3))
    nc3, theirs = NC3Regularizer(ours, lm.tokenizer, ids), ReleasedRegularizer(released, ids)
    contenders = {
        "plain": _step(plain, lambda batch: 0.0, batches, mode),
        "nc3": _step(ours, nc3, batches, mode),
    }
    if mode == "eager":  # asking word by word, it cannot be one graph
        contenders["released"] = _step(released, theirs, batches, mode)
    times = paired(contenders, repeats=settings.repeats, seconds=settings.seconds)
    kind = "" if settings.device == "cpu" else f", bfloat16, {mode}"
    case = f"{size} × {LENGTH} tokens, {len(ids)} words, {settings.device}{kind}"
    rows = [
        median(
            "regularizer", case, "step with R / step without", "×", times["nc3"] / times["plain"]
        )
    ]
    if "released" in times:
        rows.append(
            median(
                "regularizer",
                case,
                "step with R as released / without",
                "×",
                times["released"] / times["plain"],
            )
        )
    return [
        *rows,
        median("regularizer", case, "step without", "ms", 1000 * times["plain"] / _steps(plain)),
    ]


def _steps(model: nn.Module) -> int:
    """Steps that are timed together: on a GPU one alone is too short."""
    return 10 if model.device.type == "cuda" else 1


def _batches(lm: models.LanguageModel, size: int) -> list[dict[str, Tensor]]:
    """Masked batches of ``size`` texts on the model's device."""
    texts = corpora.load("gap", "development")["text"]
    sequences = batching.tokenize(texts[: BATCHES * size], lm.tokenizer, max_length=LENGTH)
    whole = torch.tensor([ids for ids in sequences if len(ids) == LENGTH])
    generator, batches = torch.Generator().manual_seed(0), []
    for _ in range(BATCHES):
        text = whole[torch.randint(len(whole), (size,), generator=generator)]
        maskable = ~torch.isin(text, torch.tensor(lm.special_ids))
        masked, positions, labels = batching.mask_tokens(
            text,
            maskable,
            mask_id=lm.tokenizer.mask_token_id,
            vocab_size=len(lm.weight),
            generator=generator,
        )
        drawn = labels >= 0
        everywhere = torch.full_like(text, -100)
        everywhere[drawn.nonzero()[:, 0], positions[drawn]] = labels[drawn]
        batch = {
            "input_ids": masked,
            "attention_mask": torch.ones_like(masked),
            "labels": everywhere,
        }
        batches.append({key: value.to(lm.device) for key, value in batch.items()})
    return batches


def _step(
    model: nn.Module, penalty: Callable, batches: list[dict[str, Tensor]], mode: str
) -> Callable[[int], None]:
    on_gpu = model.device.type == "cuda"
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, fused=on_gpu, capturable=mode == "captured"
    )

    def loss(batch: dict[str, Tensor]) -> Tensor:
        return model(**batch).loss + penalty(batch)

    def update(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            value = loss(batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return {"loss": value.detach()}

    step = CudaGraphStep(update) if mode == "captured" else update

    def work(repeat: int) -> None:
        for i in range(_steps(model)):
            step(batches[(repeat + i) % len(batches)])
        if on_gpu:
            torch.cuda.synchronize()

    return work
