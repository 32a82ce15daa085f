"""Doses in runs: measured once, found by model, method and regularizer, named in the rows; nothing
older changes its name.
"""

import pytest
import torch

from fairnc_utils import dose, models, runs
from fairnc_utils.debias import get, regularizers
from fairnc_utils.debias import train as debiasing
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import doses, treatment
from fairnc_utils.runs.options import Debiasing, TrainConfig, configured

TINY = {
    "model": "random",
    "device": "cpu",
    "method": "bec",
    "texts": 12,
    "batch_size": 8,
    "steps": 2,
    "evaluation_texts": 12,
    "min_count": 2,
    "log_every": 1,
}
HEADER = "model,fingerprint,method,regularizer,weight_at_1\n"


@pytest.fixture
def table(tmp_path, monkeypatch):
    file = tmp_path / "doses.csv"
    monkeypatch.setattr(doses, "FILE", str(file))
    return file


@pytest.fixture
def measured(table):
    fingerprint = models.load("random", device="cpu").fingerprint[:12]
    rows = (("repaired", 2.5), ('"repaired,kind=both"', 1.5), ("swap", 0.04))
    table.write_text(
        HEADER + "".join(f"random,{fingerprint},bec,{name},{weight}\n" for name, weight in rows)
    )
    return table


@pytest.mark.parametrize(
    ("regularizer", "label", "weight"),
    [
        ("repaired", "repaired,dose=0.3", 0.75),
        ({"preset": "repaired", "kind": "both"}, "repaired,kind=both,dose=0.3", 0.45),
        ("swap", "swap,dose=0.3", 0.012),
        ("none", "none", 0.0),
    ],
)
def test_rows_name_the_dose_and_hold_its_weight(measured, regularizer, label, weight):
    run = runs.train(**TINY, regularizer=regularizer, dose=0.3)
    trained = run.select(method="bec")
    assert set(trained["regularizer"]) == {label}
    assert trained["lam"].unique() == pytest.approx([weight])
    assert ("classes" in set(trained["metric"])) == label.startswith("repaired")
    evidence = run.provenance["evidence"]
    assert evidence.get("lam") == (weight or None)
    parsed = RegularizerLabel.parse(label)
    assert (str(parsed), parsed.dose) == (label, 0.3 if weight else None)


def test_a_dose_that_was_not_measured_or_on_other_weights_is_one_line(measured):
    with pytest.raises(
        FairNCError, match="no dose of repaired was measured for cda on random: run `fairnc doses"
    ):
        runs.train(**TINY | {"method": "cda"}, regularizer="repaired", dose=0.3)
    with pytest.raises(FairNCError, match=r"dose = 0\.3 and lam = 1: give one of them"):
        runs.train(**TINY, regularizer="repaired", dose=0.3, lam=1)
    measured.write_text(HEADER + "random,000000000000,bec,repaired,2.5\n")
    with pytest.raises(FairNCError, match="was measured on other weights of random"):
        runs.train(**TINY, regularizer="repaired", dose=0.3)
    measured.write_text(HEADER + "random,000000000000,bec,repaired,much\n")
    with pytest.raises(FairNCError, match="line 2: weight_at_1 is 'much', no number"):
        doses.read(measured)


def test_the_weight_gives_the_dose_that_was_asked_for(monkeypatch):
    """‖∇(λR)‖ / ‖∇task‖ by plain calls of autograd, on the batches that the measurement read."""
    monkeypatch.setattr(dose, "FILL", 3)
    monkeypatch.setattr(dose, "OVER", 3)
    lm, method = models.load("random", device="cpu"), get("bec")
    options = regularizers.repaired(min_weight=2)
    short = {"batch_size": 8, "texts": 40}
    ratio = debiasing.gradient_ratio(lm, method, options, **short)
    weight = dose.weight(1.0, ratio)
    joint = debiasing._prepared(
        lm, method, options, lam=weight, seed=0, nc3_words="gender", **short
    )
    ratios = []
    for number in range(6):
        losses = joint.loss(next(joint.stream))
        if number < 3:
            continue
        norms = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        losses[name], lm.model.parameters(), retain_graph=True, allow_unused=True
                    )
                    if g is not None
                ]
            ).norm()
            for name in ("penalty", "task")
        ]
        ratios.append(float(norms[0] / norms[1]))
    joint.close()
    assert sorted(ratios)[1] == pytest.approx(1.0, rel=0.06)  # two digits of the weight


def test_a_study_measures_what_its_cells_lack(table, monkeypatch):
    asked = []

    def measured(model, options, label):
        asked.append(label.preset)
        return doses.Measured(
            model, "0" * 12, options.method, doses._key(model, options, label)[2], 1.5
        )

    class InProcess:
        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def submit(self, function, *arguments):
            from concurrent.futures import Future

            future = Future()
            future.set_result(function(*arguments))
            return future

    monkeypatch.setattr(doses, "_measured", measured)
    monkeypatch.setattr(doses, "ProcessPoolExecutor", InProcess)
    options = [
        Debiasing(method="bec", regularizer=name, dose=amount)
        for name, amount in (
            ("repaired", 0.1),
            ("repaired", 1.0),
            ("swap", 0.3),
            ("none", 0.3),
            ("corrected", None),
        )
    ]
    wanted = [("random", each, treatment.label_of(each)) for each in options]
    assert len(list(doses.measure(wanted))) == 2
    assert asked == ["repaired", "swap"]
    assert [row.regularizer for row in doses.read()] == ["repaired", "swap"]
    assert list(doses.measure(wanted)) == []


def test_options_that_came_later_change_no_older_configuration():
    config = configured(TrainConfig, {"method": "bec", "regularizer": "corrected", "lam": 3})
    label = treatment.label_of(config)
    assert str(label) == "corrected"
    assert regularizers.options(label, get("bec")).min_weight == 0
    assert regularizers.options(RegularizerLabel("repaired"), get("bec")).min_weight == 10
    batch = RegularizerLabel("repaired", (("memory", "batch"),))
    assert regularizers.options(batch, get("bec")).min_weight == 3
