"""Bad input of many kinds for ``fairnc audit`` and ``fairnc compare``: one line and status 2, and
nothing is lost, nothing executed.
"""

import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairnc_book.audit import commands
from fairnc_utils import audit as auditing
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli

# What PEFT warns of is its own.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")
]

#: What is asked of models here: fast, and enough to meet what is wrong with one.
QUICK = ("--benchmarks", "definitional", "--device", "cpu")


class Payload:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def good(tiny, tmp_path_factory):
    """Folders of a small masked model, and of an adapter for it."""
    folder = tmp_path_factory.mktemp("models")
    lm = tiny("bert")
    lm.model.save_pretrained(folder / "bert")
    lm.tokenizer.save_pretrained(folder / "bert")
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["query"])
    adapted = peft.get_peft_model(tiny("bert").model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "bert")
    adapted.save_pretrained(folder / "adapter")
    return folder


@pytest.fixture
def place(good, tmp_path, monkeypatch):
    """An empty current folder with copies of the good ones, which a case spoils."""
    shutil.copytree(good / "bert", tmp_path / "bert")
    shutil.copytree(good / "adapter", tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    # what the notebook does, in this process: a kernel for each case would take minutes
    monkeypatch.setattr(
        commands, "executed", lambda options: (None, auditing.audit(**options).json())
    )
    return tmp_path


def config(place: Path, **changes) -> None:
    file = place / "bert/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def weights(place: Path, change) -> None:
    file = place / "bert/model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def pickled(file: Path, place: Path) -> None:
    file.write_bytes(pickle.dumps(Payload(place / "opened")))


# ---------------------------------------------------------------- what is spoiled


def _truncated(place):
    file = place / "bert/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _huge_header(place):
    (place / "bert/model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def _no_weights(place):
    (place / "bert/model.safetensors").unlink()


def _pickled_weights(place):
    _no_weights(place)
    pickled(place / "bert/pytorch_model.bin", place)


def _missing_tensor(place):
    weights(place, lambda tensors: tensors.pop("bert.encoder.layer.0.attention.self.query.weight"))


def _nan(place):
    weights(place, lambda tensors: tensors["bert.embeddings.LayerNorm.weight"].fill_(torch.nan))


def _no_mask(place):
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (file := place / "bert" / name).exists():
            told = json.loads(file.read_text())
            told.pop("mask_token", None)
            told["mask_token"] = None
            file.write_text(json.dumps(told))


def _own_code(place):
    (place / "bert/modeling_own.py").write_text(f"import os; os.mkdir({str(place / 'opened')!r})")
    config(place, model_type="own", auto_map={"AutoConfig": "modeling_own.Config"})


def _adapter_pickled(place):
    (place / "adapter/adapter_model.safetensors").unlink()
    pickled(place / "adapter/adapter_model.bin", place)


def _adapter(place, **changes):
    file = place / "adapter/adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _adapter_of_another(place):
    file = place / "adapter/adapter_model.safetensors"
    tensors = {name: tensor.repeat(1, 2) for name, tensor in load_file(file).items()}
    save_file(tensors, file)


def _words(place, text):
    (place / "my.csv").write_text(text)


def _nothing(place):
    pass


#: Kind → what is spoiled, the model, more arguments, what the message says.
MODELS = {
    "no folder": (_nothing, "nowhere/at/all", (), "neither a folder with a config.json"),
    "empty folder": (lambda place: (place / "empty").mkdir(), "./empty", (), "neither a folder"),
    "empty name": (_nothing, "", (), "model ''"),
    "markup as a name": (_nothing, "<script>alert(1)</script>", (), "neither a folder"),
    "code as a name": (_nothing, "x'); import os; os.mkdir('opened') #", (), "neither a folder"),
    "lines as a name": (_nothing, "two\nlines", (), "neither a folder"),
    "NUL in a name": (_nothing, "a\0b", (), "neither a folder"),
    "no model's configuration": (
        lambda place: (place / "bert/config.json").write_text("{"),
        "bert",
        (),
        "cannot be loaded",
    ),
    "other architecture": (
        lambda place: config(place, architectures=["BertForSequenceClassification"]),
        "bert",
        (),
        "no language modelling head",
    ),
    "unknown family": (
        lambda place: config(place, model_type="nothing_of_that_name"),
        "bert",
        (),
        "cannot be loaded",
    ),
    "its own code": (_own_code, "bert", (), "cannot be loaded"),
    "no mask token": (_no_mask, "bert", (), "has no mask token"),
    "truncated weights": (_truncated, "bert", (), "cannot be loaded"),
    "weights that would fill the memory": (_huge_header, "bert", (), "cannot be loaded"),
    "no weights": (_no_weights, "bert", (), "cannot be loaded"),
    "pickled weights": (_pickled_weights, "bert", (), "cannot be loaded"),
    "a missing tensor": (_missing_tensor, "bert", (), "its weights lack 1 tensors"),
    "NaN weights": (_nan, "bert", (), "hold NaN or infinity"),
    "a pickled adapter": (_adapter_pickled, "adapter", (), "has no adapter_model.safetensors"),
    "an adapter of nothing": (
        lambda place: _adapter(place, base_model_name_or_path=None),
        "adapter",
        (),
        "base_model_name_or_path is no name",
    ),
    "an adapter of itself": (
        lambda place: _adapter(place, base_model_name_or_path=str(place / "adapter")),
        "adapter",
        (),
        "names the adapter itself",
    ),
    "an adapter of another model": (_adapter_of_another, "adapter", (), "cannot be put on"),
    "an empty word list": (
        lambda place: _words(place, "word,group\n"),
        "bert",
        ("--words", "my.csv"),
        "my.csv has no rows",
    ),
    "a word list without groups": (
        lambda place: _words(place, "word\nking\n"),
        "bert",
        ("--words", "my.csv"),
        "no column 'group'",
    ),
    "an unknown word list": (_nothing, "bert", ("--words", "gendre"), "unknown word list"),
    "words of no vocabulary": (
        lambda place: _words(place, "word,group\nqzxqzx,a\n"),
        "bert",
        ("--words", "my.csv", "--benchmarks", "collapse"),
        "nothing can be",
    ),
    "an unknown benchmark": (_nothing, "bert", ("--benchmarks", "steroset"), "unknown benchmark"),
    "an unknown axis": (
        _nothing,
        "bert",
        ("--benchmarks", "stereoset:test:hair"),
        "has no axis 'hair'",
    ),
    "a benchmark of another kind": (
        _nothing,
        "bert",
        ("--benchmarks", "crows_causal"),
        "takes causal models",
    ),
    "no time": (_nothing, "bert", ("--budget", "-1"), "give minutes, more than 0"),
    "no number of minutes": (_nothing, "bert", ("--budget", "soon"), "invalid float"),
    "an unknown device": (_nothing, "bert", ("--device", "gpu"), "device 'gpu' cannot be used"),
    "an unknown option": (_nothing, "bert", ("--bugdet", "1"), "unknown argument --bugdet"),
}


def refused(command, arguments, capsys) -> str:
    """What a command says on standard error, its last line; it must refuse."""
    capsys.readouterr()
    status = command(list(arguments))
    said = capsys.readouterr()
    assert status == 2, said
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.rstrip("\n").splitlines()[-1]


def audit(arguments) -> int:
    try:
        return commands.audit(arguments)
    except FairNCError as error:
        print(error, file=sys.stderr)
        return 2


@pytest.mark.parametrize("name", ["audit", "compare"])
@pytest.mark.parametrize("kind", MODELS)
def test_bad_input_is_one_line_and_status_2(kind, name, place, capsys):
    spoil, model, more, message = MODELS[kind]
    spoil(place)
    report = place / "report.html"
    report.write_text("an older report")
    before = sorted(path.name for path in place.iterdir())
    options = [*(QUICK if "--benchmarks" not in more else QUICK[2:]), *more]
    if name == "audit":
        said = refused(audit, [model, "--out", str(report), *options], capsys)
    else:
        said = refused(cli.main, ["compare", model, "random", *options], capsys)
    assert message in said
    assert report.read_text() == "an older report"
    assert sorted(path.name for path in place.iterdir()) == before
    assert not (place / "opened").exists()


@pytest.mark.parametrize(
    ("margin", "message"),
    [
        ("slope", "write METRIC=VALUE"),
        ("slope=much", "write METRIC=VALUE"),
        ("definitional=-1", "give a number from 0 on"),
        ("definitional=nan", "give a number from 0 on"),
        ("slope=1", "names no metric that is compared"),
        ("<b>=1", "names no metric that is compared"),
    ],
)
def test_a_bad_margin_is_one_line_and_status_2(place, capsys, margin, message):
    said = refused(cli.main, ["compare", "bert", "bert", *QUICK, "--margin", margin], capsys)
    assert message in said


@pytest.mark.parametrize("out", [".", "bert/config.json/report.html", "a\0b.html"])
def test_a_place_that_cannot_be_written_is_said_first(place, capsys, out):
    said = refused(audit, ["nowhere", "--out", out], capsys)
    assert said.startswith("option --out")


def test_the_good_ones_are_good(place, capsys):
    """The control: what the cases spoil can be audited and compared as it is."""
    for model in ("bert", "adapter"):
        assert audit([model, "--out", "report.html", *QUICK, "--budget", "0"]) == 0
        assert json.loads(Path("report.html").read_text())["model"] == model
    assert cli.main(["compare", "bert", "adapter", *QUICK, "--margin", "definitional=0"]) == 0
    assert "not worse" in capsys.readouterr().out
