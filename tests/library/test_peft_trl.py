"""NC3 regularization beside other packages: PEFT adapters, TRL's trainers."""

import copy

import pytest
import torch
from helpers.families import InOrder, without_dropout
from helpers.nc3 import (
    TEXTS,
    called,
    encode,
    gradients,
    ids_of,
    nc3_of,
    nc3_options,
    statistics,
    weights_of,
)
from torch import nn

from fairnc_utils import models
from fairnc_utils.collapse import measure
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import NC3TrainerMixin

peft = pytest.importorskip("peft")

# What these packages warn of is theirs: names that transformers is about to change, for one.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")
]

TARGETS = {
    "bert": ["query", "value"],
    "deberta-v2": ["query_proj"],
    "modernbert": ["Wqkv"],
    "gpt2": ["c_attn"],
    "llama": ["q_proj", "v_proj"],
    "gemma2": ["q_proj"],
}


def with_lora(lm, family, **options):
    config = peft.LoraConfig(
        r=2, target_modules=TARGETS[family], fan_in_fan_out=family == "gpt2", **options
    )
    return peft.get_peft_model(lm.model, config)


@pytest.mark.parametrize("family", TARGETS)
def test_lora_that_has_learned_nothing_has_the_penalty_of_the_model(tiny, family):
    plain, lm = tiny(family), tiny(family)
    batch = encode(lm)
    kept = {"weight": 3.0, "memory": "batch", "kind": "both"}
    expected = called(nc3_of(plain.model, plain.tokenizer, ids_of(plain), **kept), plain, batch)
    model = with_lora(lm, family)
    nc3 = nc3_of(model, lm.tokenizer, ids_of(lm), **kept)
    assert nc3.causal == (lm.kind == "causal")
    model.eval()  # LoRA has no dropout here, but the call puts the model as the expected one was
    model(**batch)
    value = nc3(batch)
    assert value.item() == expected.item() > 0
    value.backward()
    moved = gradients(model)
    assert moved
    assert all(
        "lora_B" in name for name in moved
    )  # A gets none as long as B is 0; the rest is frozen


def test_lora_is_measured_as_the_model_that_it_makes(tiny):
    lm = tiny("bert")
    model = with_lora(lm, "bert")
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    adapted = models.wrap(model, lm.tokenizer, name="lora")
    assert (adapted.kind, adapted.model) == ("masked", model.get_base_model())
    merged = copy.deepcopy(model).merge_and_unload()
    merged = models.wrap(merged, lm.tokenizer, name="merged")
    batch = encode(lm)
    with torch.no_grad():
        features = [
            x.features(batch["input_ids"], batch["attention_mask"])
            for x in (adapted, merged, tiny("bert"))
        ]
    torch.testing.assert_close(features[0], features[1], rtol=1e-4, atol=1e-4)
    assert not features[0].allclose(features[2], rtol=1e-2, atol=1e-2)


def test_a_classifier_that_is_trained_along_is_the_one_read(tiny):
    """``modules_to_save`` puts a copy in its place, also when the regularizer was made before."""
    for early in (True, False):
        lm = tiny("llama")
        nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="batch") if early else None
        model = with_lora(lm, "llama", modules_to_save=["lm_head"])
        nc3 = nc3 or nc3_of(model, lm.tokenizer, ids_of(lm), memory="batch")
        with torch.no_grad():
            model.get_base_model().get_output_embeddings().weight.normal_()
        batch = encode(lm)
        model(**batch)
        value = nc3(batch)
        weight = model.get_base_model().get_output_embeddings().weight
        expected = measure(
            statistics(models.wrap(model, lm.tokenizer, name="lora"), batch),
            weight,
            classes=ids_of(lm),
            min_count=1,
        )
        assert value.item() == pytest.approx(expected.unc3.item(), rel=1e-4)
        value.backward()
        assert "base_model.model.lm_head.modules_to_save.default.weight" in gradients(model)


def test_an_adapter_on_the_classifier_is_refused(tiny):
    lm = tiny("llama")
    model = peft.get_peft_model(lm.model, peft.LoraConfig(r=2, target_modules=["lm_head"]))
    with pytest.raises(
        FairNCError, match="an adapter sits on the output classifier; take it out of target_modules"
    ):
        nc3_of(model, lm.tokenizer, ids_of(lm))


# ---------------------------------------------------------------------------------------------- TRL


@pytest.fixture
def trl():
    return pytest.importorskip("trl")


ROWS = [{"text": text} for text in TEXTS]


def sft(
    trl,
    lm,
    folder,
    *,
    options=None,
    model=None,
    rows=ROWS,
    kind=None,
    config=None,
    peft_config=None,
    **arguments,
):
    from datasets import Dataset

    class SFT(NC3TrainerMixin, InOrder, kind or trl.SFTTrainer):
        pass

    model = model or lm.model
    without_dropout(model)
    nc3 = nc3_of(
        model, lm.tokenizer, ids_of(lm), options=options or nc3_options(memory="batch"), weight=2.0
    )
    settings = {
        "per_device_train_batch_size": 4,
        "max_steps": 1,
        "logging_steps": 1,
        "save_strategy": "no",
        "learning_rate": 1e-3,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 0,
        "gradient_checkpointing": False,
    } | arguments
    return SFT(
        model,
        args=(config or trl.SFTConfig)(str(folder), **settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=lm.tokenizer,
        peft_config=peft_config,
        nc3=nc3,
    )


def logged(run):
    return next(entry for entry in run.state.log_history if "loss" in entry)


def expected_of(lm, rows=ROWS):
    """R of whole texts, each padded by itself, as the measuring code takes them."""
    texts = encode(lm, [row["text"] for row in rows])
    ids = [
        [*row[mask.bool()].tolist(), lm.tokenizer.eos_token_id]
        if row[mask.bool()][-1] != lm.tokenizer.eos_token_id
        else row[mask.bool()].tolist()
        for row, mask in zip(texts["input_ids"], texts["attention_mask"], strict=True)
    ]
    width = max(map(len, ids))
    batch = {
        "input_ids": torch.tensor(
            [row + [lm.tokenizer.pad_token_id] * (width - len(row)) for row in ids]
        ),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
    }
    return measure(statistics(lm, batch), lm.weight, classes=ids_of(lm), min_count=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"loss_type": "nll"},
        {"loss_type": "dft"},
        {"gradient_checkpointing": True},
        {"label_smoothing_factor": 0.1},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"packing": True, "max_length": 64},
        {"packing": True, "max_length": 64, "gradient_checkpointing": True},
    ],
)
def test_sft_adds_the_penalty_that_is_measured(trl, tiny, tmp_path, arguments):
    """Packed or not, checkpointed or not: R is that of the texts, each by itself."""
    lm = tiny("llama")
    expected = expected_of(lm)
    plain = sft(trl, tiny("llama"), tmp_path / "plain", **arguments)
    plain.nc3.weight = 0.0
    plain.train()
    run = sft(trl, lm, tmp_path, **arguments)
    before = weights_of(run)
    run.train()
    entry = logged(run)
    assert entry["nc3/UNC3"] == pytest.approx(expected.unc3.item(), rel=1e-4)
    assert entry["nc3/NC3"] == pytest.approx(expected.nc3.item(), rel=1e-4)
    assert entry["nc3/classes"] == len(ids_of(lm))
    assert entry["loss"] - logged(plain)["loss"] == pytest.approx(
        2 * expected.unc3.item(), rel=1e-3
    )
    assert not torch.equal(
        weights_of(run)["model.embed_tokens.weight"], before["model.embed_tokens.weight"]
    )
    assert entry["grad_norm"] != logged(plain)["grad_norm"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("by_trainer", [False, True])
def test_sft_with_lora(trl, tiny, tmp_path, checkpointing, by_trainer):
    """The trainer may put the adapters in after the regularizer has been made."""
    lm = tiny("llama")
    expected = expected_of(lm)
    adapters = (
        {"peft_config": peft.LoraConfig(r=2, target_modules=TARGETS["llama"])}
        if by_trainer
        else {"model": with_lora(lm, "llama")}
    )
    run = sft(trl, lm, tmp_path, **adapters, max_steps=2, gradient_checkpointing=checkpointing)
    before = weights_of(run)
    run.train()
    assert logged(run)["nc3/UNC3"] == pytest.approx(expected.unc3.item(), rel=1e-4)
    moved = {name for name, p in weights_of(run).items() if not torch.equal(p, before[name])}
    assert moved
    assert all("lora" in name for name in moved)


def test_sft_evaluates_without_the_penalty(trl, tiny, tmp_path):
    lm = tiny("llama")
    run = sft(trl, lm, tmp_path)
    run.eval_dataset = run.train_dataset
    run.evaluate()
    assert not run.nc3.counts.any()
    assert run.nc3.measured is None


@pytest.mark.parametrize("lora", [False, True])
def test_dpo_reads_the_rows_of_the_policy(trl, tiny, tmp_path, lora):
    lm = tiny("llama")
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    model = type(lm.model).from_pretrained(tmp_path / "model")
    lm = models.wrap(model, lm.tokenizer, name="policy", evaluate=False)
    rows = [
        {
            "prompt": "the nurse said that",
            "chosen": " she was tired .",
            "rejected": " he was tired .",
        },
        {"prompt": "a woman", "chosen": " said that she was", "rejected": " said that he was"},
    ]
    policy = with_lora(lm, "llama") if lora else model
    run = sft(
        trl,
        lm,
        tmp_path / "run",
        model=policy,
        rows=rows,
        kind=trl.DPOTrainer,
        config=trl.DPOConfig,
        max_steps=2,
        options=nc3_options(memory="cumulative"),
    )
    run.train()
    counts = dict(zip(run.nc3.ids.tolist(), run.nc3.counts.tolist(), strict=True))
    per_step = {
        "she": 2,
        "he": 2,
        "was": 4,
        "said": 4,
        "a": 0,
    }  # of both answers; the first word of a text is predicted by none
    assert {word: counts[ids_of(lm, [word])[0]] / 2 for word in per_step} == per_step
    assert all(
        torch.isfinite(torch.tensor(entry["nc3/R"]))
        for entry in run.state.log_history
        if "loss" in entry
    )
    assert logged(run)["nc3/R"] > 0
    assert run.nc3.measured.r > 0
