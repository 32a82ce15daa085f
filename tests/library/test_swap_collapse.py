"""Swap collapse as a measure and as a loss: equal to plain loops, moved by a planted bias, blind to
nothing it must see.
"""

import math

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from fairnc_utils import models, swap
from fairnc_utils.benchmarks import get
from fairnc_utils.errors import FairNCError
from fairnc_utils.swap_collapse import SwapCollapse, SwapTrainerMixin

TEXTS = [
    "The nurse said that she was tired.",
    "My sister said that she was tired.",
    "He met his wife when he was young.",
    "The king knew that he was old.",
    "Nobody is named here.",
]


def plain_log_odds(lm, text):
    """ln P(she) − ln P(he) in the blank, from the model's own logits."""
    words = ("She", "He") if text.startswith(swap.BLANK) else ("she", "he")
    inputs = lm.tokenizer(text.replace(swap.BLANK, lm.tokenizer.mask_token), return_tensors="pt")
    place = int((inputs["input_ids"][0] == lm.tokenizer.mask_token_id).nonzero())
    with torch.no_grad():
        logits = lm.model(**inputs).logits[0, place]
    she, he = (models.single_token_id(lm.tokenizer, word) for word in words)
    return float(logits[she] - logits[he])


def plain_parts(lm, texts):
    parts = []
    for text in texts:
        for slot in swap.slots(text):
            a, b = plain_log_odds(lm, slot.blanked), plain_log_odds(lm, slot.swapped)
            sign = 1 if slot.word.lower() == "she" else -1
            parts.append(((a + b) / 2, sign * (a - b) / 2, slot.evidence))
    return parts


def test_slots_pair_a_text_with_its_swapped_copy():
    first, second = swap.slots("He met his wife when he was young.")
    assert first == (
        "He",
        f"{swap.BLANK} met his wife when he was young.",
        f"{swap.BLANK} met her husband when she was young.",
    )
    assert second.blanked == f"He met his wife when {swap.BLANK} was young."
    assert first.evidence
    assert not swap.slots("The nurse said that she was tired.")[0].evidence
    assert swap.slots("Nobody is named here.") == []


@pytest.mark.parametrize("pairs", ["all", "evidence"])
def test_loss_equals_plain_loops(lm, pairs):
    loss = SwapCollapse(lm.model, lm.tokenizer, TEXTS, weight=2.0, pairs=pairs, form="ratio")
    parts = plain_parts(lm, TEXTS)
    odd_parts = [odd for _, odd, evidence in parts if evidence]
    squares = [even**2 for even, _, evidence in parts if evidence or pairs == "all"]
    expected = 2 * np.mean(squares) / (max(np.mean(odd_parts), 0) ** 2 + 0.01)
    lm.model.eval()
    assert loss(loss._batch(list(range(len(loss))))).item() == pytest.approx(expected, rel=1e-4)


def test_margin_is_what_the_model_told_before(lm):
    loss = SwapCollapse(lm.model, lm.tokenizer, TEXTS, form="margin")
    mean_odd = np.mean([odd for _, odd, evidence in plain_parts(lm, TEXTS) if evidence])
    assert float(loss.margin) == pytest.approx(mean_odd, rel=1e-4)


def test_gradient_reaches_the_model_and_a_step_lowers_the_loss(lm):
    import copy

    model = copy.deepcopy(lm.model)
    loss = SwapCollapse(model, lm.tokenizer, TEXTS, batch_size=4)
    batch = loss._batch(list(range(len(loss))))
    before = loss(batch)
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad / (1e-12 + parameter.grad.norm())
    assert loss(batch).item() < before.item()


def test_pairs_are_drawn_anew_and_go_on_from_a_checkpoint(lm):
    loss, again = (SwapCollapse(lm.model, lm.tokenizer, TEXTS, batch_size=8) for _ in range(2))
    first, second = loss.draw(), loss.draw()
    again.load_state_dict(loss.state_dict())
    assert not first["swap_input_ids"].equal(second["swap_input_ids"])
    assert loss.draw()["swap_input_ids"].equal(again.draw()["swap_input_ids"])


def test_bad_input_is_refused_in_one_line(lm):
    with pytest.raises(FairNCError, match="no text has she or he"):
        SwapCollapse(lm.model, lm.tokenizer, ["Nobody is named here."])
    with pytest.raises(FairNCError, match="choose ratio, margin, even"):
        SwapCollapse(lm.model, lm.tokenizer, TEXTS, form="sum")


def test_forms_need_evidence(lm):
    with pytest.raises(FairNCError, match="nothing but the pronoun tells a gender"):
        SwapCollapse(lm.model, lm.tokenizer, [TEXTS[0]])
    assert len(SwapCollapse(lm.model, lm.tokenizer, [TEXTS[0]], form="even")) == 1


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_causal_models_are_asked_for_the_pronoun_and_what_follows(tiny, family):
    lm = tiny(family)
    loss = SwapCollapse(lm.model, lm.tokenizer, TEXTS, form="even", batch_size=4)
    parts = []
    for text in TEXTS:
        for slot in swap.slots(text):
            odds, lengths = [], set()
            for side in (slot.blanked, slot.swapped):
                words = swap.in_case(side, ("she", "he"))
                scores = []
                for word in words:
                    ids = lm.tokenizer(side.replace(swap.BLANK, word))["input_ids"]
                    ids = torch.tensor([ids if ids[0] == lm.start_id else [lm.start_id, *ids]])
                    with torch.no_grad():
                        logs = lm.model(ids).logits[0, :-1].log_softmax(-1)
                    scores.append(float(logs.gather(1, ids[0, 1:, None]).sum()))
                    lengths.add(ids.shape[1])
                odds.append(scores[0] - scores[1])  # what stands before the pronoun is in both
            if len(lengths) == 1 and ids.shape[1] <= 64:
                parts.append(((odds[0] + odds[1]) / 2) ** 2)
    assert len(loss) == len(parts) > 0
    value = loss(loss._batch(list(range(len(loss)))))
    assert value.item() == pytest.approx(np.mean(parts), rel=1e-3)
    value.backward()
    assert any(
        parameter.grad is not None and parameter.grad.any() for parameter in lm.model.parameters()
    )


class SwapTrainer(SwapTrainerMixin, Trainer):
    pass


def trainer(lm, folder, **arguments):
    lm.model.train()
    for module in lm.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ids = torch.tensor(lm.tokenizer("the nurse said that she was tired .")["input_ids"])
    rows = [{"input_ids": ids, "labels": ids}] * 16
    settings = TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=0,
        logging_strategy="no",
        learning_rate=1e-3,
        **arguments,
    )
    loss = SwapCollapse(lm.model, lm.tokenizer, TEXTS, weight=5.0, form="ratio", batch_size=4)
    return SwapTrainer(lm.model, settings, train_dataset=rows, swap=loss)


def test_trainer_adds_it_and_goes_on_with_the_next_pairs(tiny, tmp_path):
    whole = trainer(tiny("bert"), tmp_path / "a", max_steps=4, save_strategy="steps", save_steps=2)
    whole.train()
    assert int(whole.swap.calls) == 4
    again = trainer(tiny("bert"), tmp_path / "b", max_steps=4, save_strategy="no")
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert int(again.swap.calls) == 4
    weights = (
        {name: p.detach() for name, p in run.model.named_parameters()} for run in (again, whole)
    )
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_accumulated_batches_share_one_penalty(tiny, tmp_path, family):
    """Two batches of a step add their mean, so that μ weighs alike: the gradient of the penalty
    alone, by its share.
    """
    norms = []
    for accumulation in (1, 2):
        run = trainer(
            tiny(family),
            tmp_path / str(accumulation),
            max_steps=1,
            save_strategy="no",
            gradient_accumulation_steps=accumulation,
            per_device_train_batch_size=4,
        )
        # the same each time
        run.swap.forward = lambda batch=None, lm=run: 100 * next(lm.model.parameters()).sum()
        run.swap.weight = 1.0
        seen = {}
        run.create_optimizer_and_scheduler(num_training_steps=1)
        step = run.optimizer.step
        run.optimizer.step = lambda *args, seen=seen, run=run, step=step, **named: (
            seen.update(norm=float(next(run.model.parameters()).grad.mean())),
            step(*args, **named),
        )[1]
        run.args.max_grad_norm = 0.0
        run.train()
        norms.append(seen["norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-2)


# ---------------------------------------------------------------- the measure


@pytest.fixture(scope="module")
def gap_pairs(lm):
    benchmark = get("swap_collapse")
    items = benchmark.items("gap").select(range(0, 2000, 25))
    return items, benchmark.score(lm, items)


def test_measure_equals_plain_loops(lm, gap_pairs):
    items, rows = gap_pairs
    evens, odds, plain = [], [], []
    for item, score in zip(items, rows.to_dict("records"), strict=True):
        if math.isnan(score["score_a"]):
            continue
        a, b = (plain_log_odds(lm, item[side]) for side in ("blanked", "swapped"))
        if item["blanked"] == item["swapped"]:
            plain.append(a * a)
        else:
            evens.append(((a + b) / 2) ** 2)
            odds.append(item["sign"] * (a - b) / 2)
    metrics = {
        metric: estimate.value for metric, estimate in get("swap_collapse").estimates(rows).items()
    }
    between = (sum(odds) / len(odds)) ** 2
    assert metrics["swap_collapse"] == pytest.approx(sum(evens) / len(evens) / between, rel=1e-4)
    assert metrics["neutral_part"] == pytest.approx(sum(plain) / len(plain) / between, rel=1e-4)
    assert metrics["odd_mean"] ** 2 == pytest.approx(between, rel=1e-4)


def test_measure_is_a_ratio_and_sees_a_planted_lean(gap_pairs):
    """Scaling all log-odds changes nothing; a constant added to each, a lean, raises it; no odd
    part leaves no number.
    """
    benchmark, (_, rows) = get("swap_collapse"), gap_pairs
    value = benchmark.estimates(rows)["swap_collapse"].value
    scores = ["score_a", "score_b"]
    assert benchmark.estimates(rows.assign(**{s: 2 * rows[s] for s in scores}))[
        "swap_collapse"
    ].value == pytest.approx(value)
    planted = benchmark.estimates(rows.assign(**{s: rows[s] - 2 for s in scores}))
    assert planted["swap_collapse"].value > value + 0.5
    assert math.isnan(
        benchmark.estimates(rows.assign(score_b=rows["score_a"]))["swap_collapse"].value
    )


def test_agreement_knows_the_evidence_and_its_log_loss_hears_shouting(lm):
    benchmark = get("gender_agreement")
    items = benchmark.items("validation")
    assert set(items["axis"]) == set(benchmark.axes)
    items = items.select(range(0, len(items), 6))
    rows = benchmark.score(lm, items)
    odds = [item["sign"] * plain_log_odds(lm, item["blanked"]) for item in items]
    units = {}
    for item, value in zip(items, odds, strict=True):
        units.setdefault(item["unit"], []).append(math.log1p(math.exp(-value)))
    expected = np.mean([np.mean(values) for values in units.values()])
    assert benchmark.estimates(rows)["log_loss"].value == pytest.approx(expected, rel=1e-4)
    louder = rows.assign(score_a=4 * rows["score_a"], score_b=4 * rows["score_b"])
    first, second = (benchmark.estimates(table) for table in (rows, louder))
    assert first["accuracy"].value == second["accuracy"].value
    assert second["log_loss"].value > first["log_loss"].value


def test_definitional_follows_the_gender_direction(lm):
    benchmark = get("definitional")
    items = benchmark.items("nouns")
    values = [
        benchmark.estimates(benchmark.score(lm.with_gender_direction(scale), items))[
            "definitional"
        ].value
        for scale in (0.0, 1.0, 2.0)
    ]
    assert abs(values[0]) < 1e-4 < values[1] < values[2]
    rows = [(item["sign"], plain_log_odds(lm, item["sentence"])) for item in items]
    feminine, masculine = ([value for sign, value in rows if sign == s] for s in (1, -1))
    assert values[1] == pytest.approx(np.mean(feminine) - np.mean(masculine), rel=1e-4)


def test_winobias_asks_for_the_pronoun_alone(lm):
    benchmark = get("winobias_zero_shot")
    items = benchmark.items("dev")
    assert len(items) + int(items.info.description.split()[0]) == 792
    few = items.select(range(0, len(items), 40))
    rows = benchmark.score(lm, few)
    for item, score in zip(few, rows.to_dict("records"), strict=True):
        text = f"{item['before']}{lm.tokenizer.mask_token}{item['after']}"
        inputs = lm.tokenizer(text, return_tensors="pt")
        place = int((inputs["input_ids"][0] == lm.tokenizer.mask_token_id).nonzero())
        with torch.no_grad():
            logits = lm.model(**inputs).logits[0, place].log_softmax(0)
        pro, anti = (
            models.single_token_id(lm.tokenizer, item[version]) for version in ("pro", "anti")
        )
        assert score["score_a"] - score["score_b"] == pytest.approx(
            float(logits[pro] - logits[anti]), abs=1e-4
        )
