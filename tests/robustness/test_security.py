"""Security: nothing that is read is executed, nothing is written outside its place, nothing fills
the memory.
"""

import ast
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import datasets
import nbformat
import papermill
import pytest
import torch
import yaml
from helpers.workflow import ROOT, copy, plant, run

from fairnc_utils import assets, corpora, hub, models, training
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli

SOURCES = sorted(
    path
    for folder in ("fairnc_utils", "fairnc_book", "workflow", "speed", "notebooks")
    for path in (ROOT / folder).rglob("*.*")
    if path.suffix in (".py", ".ipynb")
)


# ------------------------------------------------------------------------------- what the code says


def code(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(
        cell.source
        for cell in cells
        if cell.cell_type == "code" and not cell.source.startswith("%")
    )


def dangers(source: str) -> list[str]:
    """Calls that can execute what they read, or a string as a command."""
    calls = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, options = (
            ast.unparse(node.func),
            {option.arg: ast.unparse(option.value) for option in node.keywords},
        )
        if name in FORBIDDEN or name.endswith((".extractall", ".read_pickle", ".to_pickle")):
            calls.append(name)
        if name.endswith("torch.load") and options.get("weights_only") != "True":
            calls.append(f"{name} without weights_only")
        if (
            name.startswith("yaml.load")
            or options.get("shell") == "True"
            or options.get("trust_remote_code") == "True"
        ):
            calls.append(ast.unparse(node))
        if options.get("allow_pickle") == "True":
            calls.append(ast.unparse(node))
    return calls


FORBIDDEN = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "dill.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "shelve.open",
    "marshal.loads",
    "compile",
    "__import__",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_calls_nothing_that_executes_what_it_reads(path):
    assert dangers(code(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "torch.load(file)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "archive.extractall(folder)",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_such_a_call_would_be_found(source):
    assert len(dangers(f"def f():\n    return {source}")) == 1


# ------------------------------------------------------------------------------------------ weights


class Payload:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def trap(tmp_path):
    """A folder that exists only if something foreign was executed."""
    folder = tmp_path / "opened"
    yield folder
    assert not folder.exists()


def test_the_trap_snaps(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "opened")))
    assert (tmp_path / "opened").exists()


def test_pickled_weights_and_checkpoints_execute_nothing(trap, tmp_path, tiny):
    folder = tmp_path / "model"
    tiny("bert").model.config.save_pretrained(folder)
    models.embedded_tokenizer().save_pretrained(folder)
    torch.save({"weight": Payload(trap)}, folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    with pytest.raises(FairNCError, match="cannot be loaded"):
        models.load(str(folder), device="cpu")
    torch.save({"identity": "", "step": Payload(trap)}, tmp_path / "checkpoint.pt")
    with pytest.raises(FairNCError, match="cannot be read; delete it"):
        training.Checkpoints(tmp_path / "checkpoint.pt", 1).load()


def test_code_in_a_model_folder_is_not_run(trap, tmp_path):
    (tmp_path / "evil.py").write_text(
        f"import os\nos.mkdir({str(trap)!r})\nclass C: pass\nclass M: pass\n"
    )
    config = {"model_type": "evil", "architectures": ["MForMaskedLM"]}
    auto = {
        "AutoConfig": "evil.C",
        "AutoModelForMaskedLM": "evil.M",
        "AutoTokenizer": ["evil.C", None],
    }
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": auto}))
    with pytest.raises(FairNCError, match="cannot be loaded"):
        models.load(str(tmp_path), device="cpu")


def test_code_in_a_folder_of_data_is_not_run(trap, tmp_path, monkeypatch):
    folder = tmp_path / "owner/name"
    folder.mkdir(parents=True)
    (folder / "name.py").write_text(f"import os\nos.mkdir({str(trap)!r})\n")
    (folder / "train.csv").write_text("text\nOne.\n")
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(
        FairNCError, match=r"owner/name cannot be read .*scripts are no longer supported"
    ):
        hub.dataset("owner/name", "train")
    (folder / "name.py").unlink()
    assert hub.dataset("owner/name", "train")["text"][:] == ["One."]


# ----------------------------------------------------------------------------------------- archives


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Function(members) that puts a wheel of them in the place of GAP's."""

    def put(members: dict[str, bytes]) -> str:
        (tmp_path / "w.whl").write_bytes(wheel(members))
        monkeypatch.setattr(assets, "fetch", lambda name: tmp_path / "w.whl")
        monkeypatch.setenv("FAIRNC_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("FAIRNC_DATA", raising=False)
        return assets.FOLDERS["GAP"][1]

    return put


@pytest.mark.parametrize(
    "name",
    [
        "../../../escaped.txt",
        "a/../../../../escaped.txt",
        "/escaped.txt",
        "./x/../../../../escaped.txt",
    ],
)
def test_no_name_leads_out_of_its_folder(archive, tmp_path, monkeypatch, name):
    inside = archive({})
    archive({f"{inside}/{name}": b"evil", f"{inside}/good.txt": b"good"})
    assert assets.members("GAP") == ["GAP/good.txt"]
    for take in (assets.read, assets.extract):
        with pytest.raises(FairNCError, match=r"GAP/.*escaped.txt leads out of its folder"):
            take(f"GAP/{name}")
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path / "own"))
    (tmp_path / "escaped.txt").write_text("a file beside the folder of data")
    with pytest.raises(FairNCError, match="leads out of its folder"):
        assets.read("../escaped.txt")
    assert not list((tmp_path / "cache").rglob("escaped.txt"))


def test_zip_bomb_is_refused_before_it_is_unpacked(archive, monkeypatch):
    monkeypatch.setattr(assets, "LARGEST", 1 << 20)
    inside = archive({})
    archive({f"{inside}/bomb.tsv": bytes(64 << 20), f"{inside}/large.tsv": bytes(1 << 20)})
    with pytest.raises(FairNCError, match=r"GAP/bomb.tsv would unpack to 64 MB, the limit is 1"):
        assets.read("GAP/bomb.tsv")
    assert len(assets.read("GAP/large.tsv")) == 1 << 20


def test_zip_that_lies_about_its_size_gives_no_more_than_it_says(archive, tmp_path):
    inside = archive({})
    archive({f"{inside}/liar.tsv": bytes(8 << 20)})
    content = (tmp_path / "w.whl").read_bytes()
    size = (8 << 20).to_bytes(4, "little")
    assert content.count(size) == 2  # local header and directory
    (tmp_path / "w.whl").write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(FairNCError, match=r"GAP/liar.tsv: .*w.whl is damaged"):
        assets.read("GAP/liar.tsv")


def test_tar_bomb_and_links_in_a_tar_are_refused(monkeypatch):
    def shards(*members: tuple[str, bytes | str]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
            for name, content in members:
                member = tarfile.TarInfo(name)
                if isinstance(content, str):
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    packed.addfile(member)
                else:
                    member.size = len(content)
                    packed.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    row = b'{"original": "She ran."}\n'
    monkeypatch.setattr(assets, "LARGEST", 1 << 20)
    monkeypatch.setattr(
        assets,
        "read",
        lambda key: shards(("a.jsonl", row), ("b.jsonl", "/etc/passwd"), ("../c.jsonl", row)),
    )
    # no link is followed, nothing is written anywhere
    assert list(corpora.load("panda")["text"]) == ["She ran."] * 2
    monkeypatch.setattr(
        assets, "read", lambda key: shards(("a.jsonl", row), ("b.jsonl", bytes(8 << 20)))
    )
    with pytest.raises(FairNCError, match=r"PANDA/PANDA-dataset.tgz would unpack to 8 MB"):
        corpora.load("panda")


# ----------------------------------------------------------------------- configurations, parameters

EVIL = 'x"; import os; os.mkdir("{trap}"); "\n\'); $(mkdir {trap}) `mkdir {trap}` {{os.mkdir("{trap}")}} %(trap)s \\'


def test_yaml_makes_no_objects(trap, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(f"method: !!python/object/apply:os.mkdir ['{trap}']")
    assert cli.main(["train", "--config", str(tmp_path / "run.yaml")]) == 2
    assert "could not determine a constructor" in capsys.readouterr().err


def test_parameters_are_values_and_no_code(trap, tmp_path):
    """papermill writes parameters into a cell as Python: whatever they hold, the cell gives back
    the same values.
    """
    evil = EVIL.format(trap=trap)
    values = {
        "text": evil,
        "listed": [evil, 1, None],
        "mapped": {evil: evil},
        "number": -0.5,
        "none": None,
    }
    cell = papermill.translators.PythonTranslator.codify(values)
    namespace = {}
    exec(cell, namespace)
    assert {name: namespace[name] for name in values} == values


@pytest.mark.slow
def test_a_parameter_and_a_folder_of_the_workflow_are_no_commands(trap, tmp_path):
    """Through configuration, file of parameters, notebook and shell rules: the value arrives as it
    was, and nothing runs.
    """
    evil, stem = EVIL.format(trap=trap), "01-embedded-model"
    project = copy(tmp_path / "a folder; $(mkdir opened) 'quoted'")
    path = project / "config/tiny.yaml"
    build = str(tmp_path / f"b $(mkdir {trap.name}) ';\"")
    profile = yaml.safe_load(path.read_text())
    profile |= {"build": build, "assets": [], "summaries": {}, "chapters": {stem: {"model": evil}}}
    path.write_text(yaml.safe_dump(profile))
    plant(
        project,
        stem,
        "from pathlib import Path\nPath(results).mkdir()\n(Path(results) / 'seen').write_text(model)",
    )
    done = run(project, f"{build}/notebooks/{stem}.ipynb")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (Path(build) / f"results/{stem}/seen").read_text() == evil
    assert not list(tmp_path.rglob("opened"))


def test_configuration_of_the_workflow_makes_no_objects(trap, tmp_path):
    (tmp_path / "evil.yaml").write_text(f"profile: !!python/object/apply:os.mkdir ['{trap}']")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--configfile",
        str(tmp_path / "evil.yaml"),
    ]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode != 0


# ---------------------------------------------------------------------------------- locked packages

HOLE = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        (
            [
                {"name": "a", "version": "1.0", "vulns": [HOLE]},
                {"name": "b", "version": "1.0", "vulns": []},
            ],
            1,
            "a 1.0: PYSEC-1, fixed in 2.0\n2 of 2 locked packages audited, 1 known vulnerabilities.\n",
        ),
        (
            [{"name": "a", "skip_reason": "not found"}],
            0,
            "0 of 1 locked packages audited, 0 known vulnerabilities.\n",
        ),
        (None, 0, "Not audited: no network\n"),
    ],
)
def test_audit_tells_holes_from_what_was_not_looked_at(tmp_path, packages, status, said):
    """With a pip-audit that finds what the case says."""
    fake = tmp_path / "pip-audit"
    report = json.dumps({"dependencies": packages}) if packages else ""
    write = f"while [ $1 != --output ]; do shift; done\nprintf %s '{report}' > $2\n"
    fake.write_text(f"#!/bin/sh\n{write}echo no network >&2\nexit 1\n")
    fake.chmod(0o755)
    (tmp_path / ".ci").mkdir()
    # beside it there is no .venv with the real one
    shutil.copy(ROOT / ".ci/audit", tmp_path / ".ci/audit")
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [tmp_path / ".ci/audit"], capture_output=True, text=True, env=os.environ | {"PATH": path}
    )
    assert (done.returncode, done.stdout) == (status, said), done.stderr
