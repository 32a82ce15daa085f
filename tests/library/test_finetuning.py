"""Fine-tuning: learns what can be learned and nothing else, leaves the language model alone, keeps
the best checkpoint.
"""

import json

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fairnc_utils import benchmarks, finetuning, models, runs, tasks
from fairnc_utils.benchmarks import Benchmark
from fairnc_utils.benchmarks.base import mean
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli
from fairnc_utils.tasks import Task, base
from fairnc_utils.training import Recipe

ANIMALS, TOOLS = "dog cat horse sheep duck".split(), "hammer saw drill wrench file".split()


def sentences(split, *, planted=True, count=80):
    """Sentences about an animal (class 0) or a tool (class 1); unplanted, the class is a coin toss."""
    rng = np.random.default_rng(["train", "validation", "test"].index(split))
    label = rng.integers(0, 2, count)
    shown = label if planted else rng.integers(0, 2, count)
    text = [
        f"the {rng.choice(TOOLS if s else ANIMALS)} is number {rng.integers(100)}" for s in shown
    ]
    return datasets.Dataset.from_dict({"sentence": text, "label": label.tolist()})


def made(**changes):
    options = {
        "name": "thing",
        "source": "made",
        "corpus": "made",
        "recipe": Recipe(1e-2, 2, 16, 32),
        "load": sentences,
        "inputs": base.encode,
        "metrics": {"accuracy": base.accuracy},
        "labels": ("animal", "tool"),
        "splits": ("train", "validation", "test"),
    }
    return Task(**(options | changes))


def placed(tokenizer, items, max_length):
    """Inputs of a mention-pair head: places of the second and the last word."""
    return [
        row | {"positions": [2, len(row["input_ids"]) - 2]}
        for row in base.encode(tokenizer, items, max_length)
    ]


def weights(module):
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.fixture(scope="module")
def random_lm():
    return models.load("random", device="cpu")


def accuracy_on(classifier, task, items):
    inputs = task.inputs(classifier.tokenizer, items, classifier.max_length)
    return base.accuracy(
        finetuning.predictions(task, classifier.outputs(inputs)), np.array(items["label"])
    )


# ------------------------------------------------------------------------------------- what it does


@pytest.fixture(scope="module")
def learned(random_lm):
    return finetuning.fit(random_lm, made(), steps=40)


@pytest.mark.parametrize("head", ["classification", "mention_pair"])
def test_a_planted_class_is_learned_and_the_language_model_stays(head, random_lm):
    before = weights(random_lm.model)
    task = made(head=head, inputs=placed if head == "mention_pair" else base.encode)
    classifier = finetuning.fit(random_lm, task, steps=40)
    assert accuracy_on(classifier, task, sentences("test")) > 90
    assert classifier.kind == "thing"
    assert same(before, weights(random_lm.model))


def test_nothing_is_learned_from_coin_tosses(random_lm):
    task = made(load=lambda split: sentences(split, planted=False))
    classifier = finetuning.fit(random_lm, task, steps=40)
    assert 35 < accuracy_on(classifier, task, sentences("test", planted=False, count=200)) < 65


def test_a_number_is_learned(random_lm):
    def numbers(split):
        items = sentences(split)
        return items.remove_columns("label").add_column(
            "label", [4.0 * label + 1 for label in items["label"]]
        )

    task = made(
        head="regression",
        labels=(),
        load=numbers,
        metrics={"spearman": base.spearman, "pearson": base.pearson},
    )
    classifier = finetuning.fit(random_lm, task, steps=60)
    items = numbers("test")
    outputs = classifier.outputs(task.inputs(classifier.tokenizer, items, 32))
    assert outputs.shape == (80, 1)
    assert base.pearson(outputs[:, 0], np.array(items["label"])) > 80


@pytest.mark.parametrize("head", ["classification", "mention_pair"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_every_family_takes_every_head(family, head, tiny):
    lm = tiny(family)
    pairs = datasets.Dataset.from_dict(
        {"a": ["the nurse", "a man walks home"], "b": ["she is kind", "he"], "label": [0, 1]}
    )

    def inputs(tokenizer, items, max_length):
        rows = base.encode(tokenizer, items, max_length, columns=("a", "b"))
        return [row | {"positions": [1, 2]} for row in rows] if head == "mention_pair" else rows

    task = made(head=head, load=lambda split: pairs, inputs=inputs)
    classifier = finetuning.fit(lm, task, steps=2, batch_size=2)
    probabilities = classifier.probabilities(task.inputs(lm.tokenizer, pairs, 32))
    assert probabilities.shape == (2, 2)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_the_head_sits_on_the_very_encoder(family, tiny):
    lm = tiny(family)
    model = finetuning.attach(lm, made()).eval()
    ids = torch.tensor([[1, 7, 9, 12, 2]])
    mask = torch.ones_like(ids)
    hidden = (
        network.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        for network in (lm.model, model)
    )
    torch.testing.assert_close(*hidden)
    assert model.config.id2label == {0: "animal", 1: "tool"}
    assert (
        not hasattr(lm.model.config, "id2label")
        or lm.model.config.id2label != model.config.id2label
    )


def test_the_checkpoint_that_is_best_on_validation_is_kept(random_lm, monkeypatch):
    states, evaluate = [], finetuning._Best.evaluate
    scores = iter([1.0, 5.0, 5.0, 2.0])

    def recorded(self):
        states.append(weights(self.classifier.model))
        return evaluate(self)

    monkeypatch.setattr(finetuning._Best, "evaluate", recorded)
    task = made(metrics={"scripted": lambda predicted, label, axis: next(scores)})
    classifier = finetuning.fit(random_lm, task, steps=8, evaluate_every=2)
    assert same(weights(classifier.model), states[1])  # of two equal ones the earlier
    assert not same(states[1], states[2])
    assert classifier.curve["scripted"].dropna().tolist() == [1, 5, 5, 2]


def test_only_train_and_validation_are_read(random_lm):
    read = []
    task = made(load=lambda split: read.append(split) or sentences(split))
    finetuning.fit(random_lm, task, steps=2)
    assert sorted(read) == ["train", "validation"]


def test_the_seed_decides_and_nobody_elses_randomness_changes(random_lm):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (
        finetuning.fit(random_lm, made(), steps=3, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert same(weights(first.model), weights(again.model))
    assert not same(weights(first.model), weights(other.model))
    assert first.text == again.text != finetuning.fit(random_lm, made(), steps=1, texts=40).text


def test_scores_depend_neither_on_batches_nor_on_order(learned):
    inputs = base.encode(learned.tokenizer, sentences("test"), 32)
    together = learned.probabilities(inputs)
    np.testing.assert_allclose(learned.probabilities(inputs, tokens=32), together, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(inputs))
    np.testing.assert_allclose(
        learned.probabilities([inputs[i] for i in order]), together[order], atol=1e-5
    )


# -------------------------------------------------------------------------------------------- items


def test_samples_are_in_order_and_the_same_each_time():
    items = sentences("train")
    assert finetuning.sample(items, None) is items
    assert finetuning.sample(items, 500) is items
    first, again, other = (
        finetuning.sample(items, 20, seed=seed)["sentence"][:] for seed in (0, 0, 1)
    )
    assert first == again != other
    places = [items["sentence"][:].index(text) for text in first]
    assert places == sorted(places)


def test_units_are_drawn_whole():
    items = datasets.Dataset.from_dict(
        {"unit": [str(i // 5) for i in range(50)], "n": list(range(50))}
    )
    drawn = finetuning.sample_units(items, 22)
    assert len(drawn) == 20
    assert all(drawn["unit"][:].count(unit) == 5 for unit in set(drawn["unit"]))
    assert len(finetuning.sample_units(items, 1)) == 5
    assert len(finetuning.sample_units(items, None)) == 50


# ------------------------------------------------------------------------------------------- errors


def test_bad_input_is_one_sentence(tiny, random_lm, learned):
    with pytest.raises(FairNCError, match="takes masked language models; tiny gpt2 is causal"):
        finetuning.fit(tiny("gpt2"), made(), steps=1)
    with pytest.raises(FairNCError, match="an input has 40 tokens; random reads 32 at most"):
        learned.outputs([{"input_ids": [101] * 40}])
    with pytest.raises(FairNCError, match="no input to classify"):
        learned.outputs([])
    with pytest.raises(
        FairNCError, match="unknown head 'span': choose classification, regression, mention_pair"
    ):
        made(head="span")
    with pytest.raises(FairNCError, match="no split 'dev': choose train, validation, test"):
        made().items("dev")
    with pytest.raises(FairNCError, match="the split train has no items"):
        finetuning.fit(random_lm, made(load=lambda split: sentences(split).select([])), steps=1)
    with pytest.raises(FairNCError, match="unknown task 'colla': choose"):
        tasks.get("colla")


# ---------------------------------------------------------------------------- runs and command line


def tools(classifier, items):
    """How likely each sentence is about a tool."""
    probabilities = classifier.probabilities(base.encode(classifier.tokenizer, items, 32))
    names = items["item_id"][:]
    scores = {"score_a": probabilities[:, 1], "score_b": 0.0, "score_c": 0.0}
    return pd.DataFrame({"axis": "gender", "item_id": names, "unit": names} | scores)


def load_tools(split):
    items = sentences("test", count=30)
    return items.add_column("item_id", [f"{split}{i}" for i in range(30)])


OPTIONS = {
    "model": "random",
    "device": "cpu",
    "task": "thing",
    "steps": 40,
    "benchmarks": ["tools:dev", "tools"],
    "log_every": 20,
    "evaluation_texts": 50,
}


@pytest.fixture
def registered(monkeypatch):
    """The made task and a benchmark for it, known by name."""
    monkeypatch.setitem(tasks.TASKS, "thing", made())
    benchmark = Benchmark(
        name="tools",
        splits=("dev", "test"),
        axes=("gender",),
        load=load_tools,
        score=tools,
        units=lambda rows: rows,
        statistics={"likely": (("score_a",), mean)},
        kinds=("thing",),
    )
    monkeypatch.setitem(benchmarks.BENCHMARKS, "tools", benchmark)


def test_a_run_has_the_task_and_the_benchmarks(registered):
    run = runs.finetune(**OPTIONS, method="bec", regularizer="corrected", items=20)
    results = run.results.set_index(["benchmark", "split", "axis"])
    axes = {("tools", split, axis) for split in ("dev", "test") for axis in ("all", "gender")}
    assert set(results.index) == {("thing", "validation", ""), ("thing", "test", "")} | axes
    assert set(run.results["method"]) == {"bec"}
    assert set(run.results["regularizer"]) == {"corrected"}
    assert set(run.results["corpus"]) == {"made"}
    row = run.select(benchmark="thing", split="test").iloc[0]
    assert row["ci_low"] <= row["value"] <= row["ci_high"]
    assert row["n"] == 50
    tested = run.items[(run.items["benchmark"] == "thing") & (run.items["split"] == "test")]
    assert 100 * (tested["score_a"] == tested["score_b"]).mean() == pytest.approx(row["value"])
    assert ((tested["score_c"] > 0.5) == (tested["score_a"] == tested["score_b"])).all()
    assert run.select(benchmark="tools", split="test", axis="all")["n"].tolist() == [20]
    assert {"loss", "accuracy"} <= set(run.items[run.items["benchmark"] == "training"]["unit"])
    again, other = (
        runs.finetune(**OPTIONS, method="bec", regularizer="corrected", items=20, seed=seed)
        for seed in (0, 1)
    )
    assert run.run_id == again.run_id != other.run_id
    assert run.results["value"].tolist() == again.results["value"].tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "thingy"}, "unknown task 'thingy'"),
        ({"benchmarks": ["bias_nli"]}, "benchmark bias_nli takes nli models; this one is thing"),
        ({"benchmarks": ["tools:all"]}, "tools has no split 'all': choose dev, test"),
        ({"benchmarks": ["toolz"]}, "unknown benchmark 'toolz'"),
        ({"steps": 0}, "option steps = 0"),
        ({"learning_rate": 1}, "option learning_rate"),
    ],
)
def test_bad_options_are_one_sentence(registered, changed, message):
    with pytest.raises(FairNCError, match=message):
        runs.finetune(**(OPTIONS | changed))


def test_the_command_reads_its_options_from_a_file(registered, capsys, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(OPTIONS | {"steps": 4}))
    assert cli.main(["finetune", "--config", str(file), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["value"] for row in rows] == runs.finetune(**(OPTIONS | {"steps": 4})).results[
        "value"
    ].tolist()
    file.write_text("rte")
    assert cli.main(["finetune", "--config", str(file)]) == 2
    assert "write one option a line, e.g. `seed: 1`; options are" in capsys.readouterr().err
