"""Runs the README's code on tiny models of its own making, in the current folder: ``python
readme.py loop trainer sft lora``.

It imports nothing of the tests, so that an environment without them can run it.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from fairnc_utils import models
from fairnc_utils.regularizer import NC3Regularizer

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)

#: Name of a check → what its block, and no other, holds.
MARKS = {
    "measuring": "measurement.read",
    "loop": "model(**batch).loss",
    "trainer": "class NC3Trainer",
    "sft": "class NC3SFTTrainer",
    "gate": "assert_not_worse",
}

TEXTS = ["she met him", "he met her"] * 16  # classes that are seen less say nothing
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def given(name: str) -> dict:
    """What a reader has before the code of a block starts."""
    tokenizer = models.embedded_tokenizer()
    tokenizer.eos_token = "[SEP]"
    torch.manual_seed(0)
    batch = dict(tokenizer(TEXTS, return_tensors="pt"))
    batch["labels"] = batch["input_ids"].clone()
    if name == "sft":
        import datasets

        config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **SIZE)
        rows = datasets.Dataset.from_dict({"text": TEXTS})
        return {"model": LlamaForCausalLM(config), "tokenizer": tokenizer, "dataset": rows}
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **SIZE))
    rows = [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]
    return {"model": model, "tokenizer": tokenizer, "batch": batch, "dataset": rows}


def block(name: str) -> dict:
    """The names that the block of the README leaves behind."""
    (code,) = [code for code in BLOCKS if MARKS[name] in code]
    if not torch.cuda.is_available():  # TRL's default is bfloat16 on a GPU
        code = code.replace('SFTConfig("trained")', 'SFTConfig("trained", use_cpu=True)')
    names = given(name)
    exec(code, names)
    return names


def measuring() -> None:
    assert 0 < block("measuring")["measured"].unc3 < 1


def loop() -> None:
    names = block("loop")
    before = names["model"].get_output_embeddings().weight.detach().clone()
    names["loss"].backward()
    torch.optim.SGD(names["model"].parameters(), lr=0.1).step()
    assert names["nc3"].measured.r > 0
    assert not torch.equal(names["model"].get_output_embeddings().weight, before)


def trainer() -> None:
    assert block("trainer")["nc3"].measured.r > 0


def sft() -> None:
    names = block("sft")
    assert names["nc3"].measured.r > 0
    assert any(
        "lora_B" in name and p.any() for name, p in names["trainer"].model.named_parameters()
    )


def lora() -> None:
    """Adapters that have learned nothing leave the penalty what it is without them."""
    from peft import LoraConfig, get_peft_model

    def penalty(model: torch.nn.Module) -> float:
        nc3 = NC3Regularizer(model, names["tokenizer"], words="gender")
        model.eval()(**names["batch"])
        return nc3(names["batch"]).item()

    names = given("loop")
    plain = penalty(names["model"])
    config = LoraConfig(target_modules=["query", "value"])
    assert penalty(get_peft_model(names["model"], config)) == plain > 0


def gate() -> None:
    """A model that is as biased passes; one that is more so fails."""
    old, new = Path("models/minilm-mlm"), Path("runs/new")
    new.parent.mkdir(exist_ok=True)
    lm = models.load(str(old), device="cpu")
    lm.model.save_pretrained(new)
    lm.tokenizer.save_pretrained(new)
    test = block("gate")["test_the_new_model_is_no_less_fair"]
    test()
    bias = lm.model.get_output_embeddings().weight  # tied to the inputs, as it is in BERT
    bias.data.copy_(lm.with_gender_direction(2.0).weight)
    lm.model.save_pretrained(new)
    try:
        test()
    except AssertionError as error:
        said = str(error)
    else:
        said = "a model with twice the gender direction passed"
    if "occupation slope" not in said:
        raise SystemExit(said)


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check for check in (measuring, loop, trainer, sft, lora, gate)
}

if __name__ == "__main__":
    for name in sys.argv[1:]:
        CHECKS[name]()
        print(f"{name}: as it should be")
