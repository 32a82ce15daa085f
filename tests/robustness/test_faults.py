"""Faults: whatever kills or starves a run, nothing half-written is read, and a plain rerun gives
the same values.

``FAIRNC_FAULTS=record`` tries everything as often as the book's table says and writes that table,
``book/run/faults.csv``; otherwise each case is tried once or twice, and the table must name the
cases of this file.
"""

import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
import torch
import yaml
from helpers import commands
from helpers.small_workflow import SAVE, STEMS, TABLE_OF_ALL, scratch, tidy
from helpers.workflow import ROOT, check_failure, command, copy, run, started, wait_for
from safetensors.torch import load_file, save

from fairnc_utils import _cache, measurement, models, training
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import rows

RECORDING = os.environ.get("FAIRNC_FAULTS") == "record"
TABLE = ROOT / "book/run/faults.csv"
# another moment each time; a failure names it
SEED = int(os.environ.get("FAIRNC_FAULTS_SEED", time.time_ns() % 10**6))

#: Case → what must hold afterwards.
CASES = {
    "SIGKILL of a small workflow": "no half chapter or run is there; a plain rerun gives identical values",
    "SIGKILL of the tiny book's chapters": "the same, killed again and again until all chapters are done",
    "SIGKILL while runs are saved": "every run that is seen is whole, the earlier or the later one",
    "SIGKILL while training": "the run goes on from its checkpoint to identical weights and values",
    "Ctrl-C": "no process is left; a plain rerun gives identical values",
    "two `make book` at once": "the second says so and stops; the first is not disturbed",
    "disk full while chapters run": "the reason is shown; with room again a plain rerun gives identical values",
    "disk full under the cache": "a warning, and identical values",
    "read-only cache": "a warning, and identical values",
    "damaged cache entry": "the entry is made anew, with identical values",
    "damaged results": "one sentence names the file and the remedy",
    "truncated model weights": "one sentence names the model; no number comes out",
    "notebook that raises": "traceback and executed copy are kept; once mended, a plain rerun gives identical values",
    "loss that is not finite": "one sentence names the step; no checkpoint of it is kept",
}


class Tally:
    """Tries and survivals of each case; written as the book's table when recording."""

    def __init__(self):
        self.cases: dict[str, list[int]] = {}

    @contextmanager
    def attempt(self, case: str):
        counts = self.cases.setdefault(case, [0, 0])
        counts[0] += 1
        yield
        counts[1] += 1

    def write(self) -> None:
        """Put what was tried now into the table; other cases stay as they are there."""
        earlier = pd.read_csv(TABLE).set_index("case").to_dict("index") if TABLE.exists() else {}
        made = f"{date.today()}, {platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        now = {
            case: {
                "tries": tries,
                "survived": survived,
                "what must hold": CASES[case],
                "made": made,
            }
            for case, (tries, survived) in self.cases.items()
        }
        table = pd.DataFrame.from_dict(earlier | now, orient="index").reindex(
            [case for case in CASES if case in earlier | now]
        )
        table.rename_axis("case").reset_index().to_csv(TABLE, index=False, lineterminator="\n")


@pytest.fixture(scope="module")
def tally():
    tally = Tally()
    yield tally
    if RECORDING:
        tally.write()


def tries(recorded: int, usual: int = 1) -> range:
    return range(recorded if RECORDING else usual)


ONE_CHAPTER = f"build/tiny/notebooks/{STEMS[0]}.ipynb"


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Path:
    """Results of the scratch project's chapters: their cell, run here."""
    folder = tmp_path_factory.mktemp("expected")
    for stem in STEMS:
        exec(SAVE, {"results": str(folder / stem)})
    return folder


def finish(project: Path, target: str) -> None:
    done = run(project, target)
    assert done.returncode == 0, done.stderr[-3000:]


def whole(build: Path) -> None:
    """Whatever a reader of the build folder sees is complete."""
    for notebook in build.glob("notebooks/*.ipynb"):
        cells = [
            cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"
        ]
        assert all(cell.execution_count for cell in cells), notebook
    if list(build.glob("results/*/*/results.parquet")):
        rows.load(build / "results")
        rows.load(build / "results", "items")
    for table in build.glob("results.parquet"):
        pd.read_parquet(table)


def processes_of(project: Path) -> list[psutil.Process]:
    """Processes that a run in this project has started and that are still there."""
    processes = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("FAIRNC_WORKFLOW") == str(project.resolve())
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                processes.append(process)
        except psutil.Error:
            continue
    return processes


# ------------------------------------------------------------------------------------- the workflow


def kill(project: Path, tally: Tally, moment: float) -> None:
    """Start the workflow and kill Snakemake alone: its jobs must not go on beside the next run."""
    with started(project, TABLE_OF_ALL) as process:
        wait_for(lambda: processes_of(project))
        time.sleep(moment)
        process.kill()
        process.wait()


def interrupt(project: Path, tally: Tally, moment: float) -> None:
    """Start the workflow, start it once more, then press Ctrl-C, which a terminal sends to the
    whole group. A run that is complete by then has not been interrupted: again from the start, sooner.
    """
    said = project / "screen"
    with said.open("w") as screen, started(project, TABLE_OF_ALL, screen=screen) as process:
        wait_for(said.read_text)  # Snakemake speaks
        with tally.attempt("two `make book` at once"):
            second = run(project, TABLE_OF_ALL)
            if process.poll() is None:
                assert second.returncode == 1
                assert second.stderr.startswith(
                    "Another run of the workflow is going on in this folder"
                )
        time.sleep(moment)
        late = process.poll() is not None
        if not late:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
            wait_for(lambda: not processes_of(project), seconds=20)
            late = process.returncode == 0  # it was ending when the signal came
    if late:
        assert process.returncode == 0
        shutil.rmtree(project / "build")
        return interrupt(project, tally, moment / 2)
    assert process.returncode == -signal.SIGINT
    *before, last = said.read_text().splitlines()
    assert last == "Interrupted: what is complete is kept, and the same command goes on from there."
    assert not [line for line in before if "Traceback" in line or "Error" in line]


@pytest.mark.slow
def test_workflow_survives_what_ends_it(tmp_path, expected, tally):
    kills, stops = ("SIGKILL of a small workflow", kill), ("Ctrl-C", interrupt)
    rounds = [[kills]] * 20 + [[stops]] * 5 if RECORDING else [[kills, stops]]
    draw = random.Random(SEED)
    for number, faults in enumerate(rounds):
        project = scratch(tmp_path / str(number))
        with ExitStack() as attempts:
            for case, fault in faults:
                attempts.enter_context(tally.attempt(case))
                fault(project, tally, draw.uniform(0, 6))
                whole(project / "build/tiny")
            finish(project, TABLE_OF_ALL)
            whole(project / "build/tiny")
            assert tidy(pd.read_parquet(project / TABLE_OF_ALL)) == tidy(rows.load(expected)), SEED


def contents_of(project: Path) -> list[str]:
    """Rows of a project's chapters. A trained model is named by its folder, which is another one in
    each copy.
    """
    table = rows.load(project / "build/tiny/results").drop(
        columns=["run_id", "created", "git_commit"]
    )
    return sorted(table.to_csv(index=False).replace(str(project), "").splitlines())


@pytest.mark.slow
@pytest.mark.skipif(not RECORDING, reason="takes many minutes: FAIRNC_FAULTS=record")
def test_tiny_chapters_survive_sigkill(tmp_path, tally):
    chapters = list(yaml.safe_load((ROOT / "config/tiny.yaml").read_text())["chapters"])
    projects = [copy(tmp_path / name) for name in ("killed", "whole")]
    targets = [f"build/tiny/notebooks/{chapter}.ipynb" for chapter in chapters]
    for project in projects:
        shutil.rmtree(project / "book/recorded")
    draw, killed, counted = random.Random(SEED), projects[0], 0
    while counted < 20:
        with (
            tally.attempt("SIGKILL of the tiny book's chapters"),
            started(killed, *targets) as process,
        ):
            time.sleep(draw.uniform(3, 60))
            if process.poll() is None:
                process.kill()
            process.wait()
            whole(killed / "build/tiny")
            counted += 1
        done = sorted(killed.glob("build/tiny/executed/*.ipynb"))
        if len(done) > len(chapters) // 2:  # so that work is left to be killed
            draw.choice(done).unlink()
            shutil.rmtree(killed / "build/tiny/store", ignore_errors=True)
    for project in projects:
        done = run(project, *targets)
        assert done.returncode == 0, done.stderr[-3000:]
    assert contents_of(killed) == contents_of(projects[1])


#: Run twice in a folder of little room, the second time with more; $1 folder, $2 project, $3 room in kB, then the command.
STARVE = """
size=$(($(du -sk "$2" | cut -f1) + $3)); folder=$1; project=$2; shift 3
mount -t tmpfs -o size=${size}k tmpfs "$folder"
cp -R "$project/." "$folder"
cd "$folder"
if "$@" 2> "$project/first.log"; then exit 3; fi
mount -o remount,size=256m "$folder"
"$@" 2> "$project/second.log"
cp -R build/tiny/results "$project/found"
"""
#: A mount that only the processes below see.
PRIVATE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def can_mount(folder: Path) -> bool:
    try:
        return not subprocess.call(
            [*PRIVATE, "mount", "-t", "tmpfs", "none", str(folder)], stderr=subprocess.DEVNULL
        )
    except OSError:
        return False


@pytest.mark.slow
def test_full_disk_is_said_and_loses_nothing(tmp_path, expected, tally):
    project, small = scratch(tmp_path / "project"), tmp_path / "small"
    small.mkdir()
    if not can_mount(small):
        pytest.skip("no small file system can be mounted here")
    for room in (150, 250, 350, 450, 550) if RECORDING else (350,):
        with tally.attempt("disk full while chapters run"):
            starve = [
                *PRIVATE,
                "bash",
                "-ec",
                STARVE,
                "starve",
                str(small),
                str(project),
                str(room),
                *command(ONE_CHAPTER),
            ]
            done = subprocess.run(starve, capture_output=True, text=True, timeout=600)
            logs = [
                (project / name).read_text()
                for name in ("first.log", "second.log")
                if (project / name).exists()
            ]
            assert done.returncode == 0, (room, done.stderr, logs)
            assert "No space left on device" in logs[0]
            assert tidy(rows.load(project / "found")) == tidy(rows.load(expected / STEMS[0]))
            shutil.rmtree(project / "found")


@pytest.mark.slow
def test_notebook_that_raises_runs_again_when_it_is_mended(tmp_path, expected, tally):
    mended = tmp_path / "mended"
    project = scratch(
        tmp_path / "project",
        f"import pathlib\nassert pathlib.Path({str(mended)!r}).exists(), 'planted'\n{SAVE}",
    )
    with tally.attempt("notebook that raises"):
        check_failure(project, ONE_CHAPTER, "AssertionError: planted")
        mended.touch()
        finish(project, ONE_CHAPTER)
        results = rows.load(project / "build/tiny/results")
        assert tidy(results) == tidy(rows.load(expected / STEMS[0]))


# -------------------------------------------------------------------------------- runs and training

#: Saves one run again and again, its rows now all 0, now all 1.
SAVING = """
import sys
import pandas as pd
from fairnc_utils.runs.rows import ITEM_COLUMNS, RESULT_COLUMNS, Run

rows = pd.DataFrame({column: "" for column in RESULT_COLUMNS}, index=range(3000))
items = pd.DataFrame({column: "" for column in ITEM_COLUMNS}, index=range(3000))
print("go", flush=True)
for number in range(10_000):
    Run("one", rows.assign(value=number % 2), items.assign(score_a=number % 2), {"number": number}).save(sys.argv[1])
"""


def test_runs_are_whole_whenever_saving_is_killed(tmp_path, tally):
    draw = random.Random(SEED)
    for number in tries(20, 2):
        folder = tmp_path / str(number)
        arguments = [sys.executable, "-c", SAVING, str(folder)]
        with (
            tally.attempt("SIGKILL while runs are saved"),
            subprocess.Popen(arguments, stdout=subprocess.PIPE) as process,
        ):
            process.stdout.readline()
            wait_for(lambda folder=folder: list(folder.glob("*")))  # it has begun
            time.sleep(draw.uniform(0, 0.5))
            process.kill()
            process.wait()
            for run_folder in folder.glob("[!.]*"):
                assert (
                    rows.load(folder)["value"].nunique()
                    == rows.load(folder, "items")["score_a"].nunique()
                    == 1
                )
                whole_number = json.loads((run_folder / "provenance.json").read_text())["number"]
                assert set(rows.load(folder)["value"]) == {whole_number % 2}, SEED


def test_damaged_results_are_named(tmp_path, tally):
    exec(SAVE, {"results": str(tmp_path)})
    for file in sorted(tmp_path.rglob("*.parquet")):
        content = file.read_bytes()
        for damaged in (
            b"",
            content[:1],
            content[: len(content) // 2],
            content[:-1],
            b"PAR1" + bytes(200) + b"PAR1",
        ):
            file.write_bytes(damaged)
            with (
                tally.attempt("damaged results"),
                pytest.raises(
                    FairNCError,
                    match=f"{file.name} cannot be read .*: delete its folder and run what made it",
                ),
            ):
                rows.load(tmp_path, file.stem)
        file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.skipif(
    not RECORDING,
    reason="one such kill is in test_train_cli.py; more of them with FAIRNC_FAULTS=record",
)
def test_training_goes_on_wherever_it_was_killed(tmp_path, tally):
    options = {
        "model": "random",
        "device": "cpu",
        "method": "bec",
        "regularizer": "corrected",
        "texts": 40,
        "batch_size": 8,
        "steps": 600,
        "evaluate_every": 600,
        "evaluation_texts": 12,
        "min_count": 2,
        "checkpoint_every": 20,
    }

    def train(name: str) -> list[str]:
        folders = {key: str(tmp_path / name / key) for key in ("checkpoint", "output")}
        return commands.train(tmp_path / f"{name}.yaml", options | folders)

    def outcome(name: str) -> tuple:
        done = subprocess.run(train(name), capture_output=True, text=True, check=True, timeout=600)
        rows = [json.loads(line)["value"] for line in done.stdout.splitlines()]
        return rows, (tmp_path / name / "output/model.safetensors").read_bytes()

    undisturbed, draw = outcome("undisturbed"), random.Random(SEED)
    for number in map(str, tries(10)):
        with (
            tally.attempt("SIGKILL while training"),
            subprocess.Popen(
                train(number), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process,
        ):
            wait_for((tmp_path / number / "checkpoint/checkpoint.pt").exists)
            time.sleep(draw.uniform(0, 3))
            process.kill()
            process.wait()
            assert outcome(number) == undisturbed, SEED


def test_loss_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path, tally):
    file = tmp_path / "checkpoint.pt"
    for bad in (float("nan"), float("inf"), -float("inf")):
        model = torch.nn.Linear(2, 1)
        batches = [torch.full((4, 2), bad if step == 5 else 1.0) for step in range(1, 9)]
        with (
            tally.attempt("loss that is not finite"),
            pytest.raises(FairNCError, match="at step 5; lower the learning rate"),
        ):
            training.fit(
                model,
                lambda batch, model=model: model(batch).square().mean(),
                iter(batches),
                steps=8,
                groups=[{"params": model.parameters(), "lr": 0.1}],
                checkpoints=training.Checkpoints(file, 2),
            )
        state = training.Checkpoints(file, 2).load()
        assert state["step"] == 4
        assert all(tensor.isfinite().all() for tensor in state["modules"]["model"].values())
        file.unlink()


# -------------------------------------------------------------------------------- cache and weights


@pytest.fixture
def open_folder():
    """A folder that another user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def no_superuser():
    """Permissions hold for the superuser too."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)


def entry(number: int, size: int = 100) -> dict[str, torch.Tensor]:
    """What an entry of the cache holds; 0 dimensions, no elements and integers are among it."""
    floats = torch.randn(
        size, 3, generator=torch.Generator().manual_seed(number), dtype=torch.float64
    )
    return {
        "floats": floats,
        "counts": torch.arange(size),
        "one": torch.tensor(number),
        "none": torch.zeros(0, 3),
    }


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_read_only_cache_is_read_and_not_needed(open_folder, monkeypatch, capsys, tally):
    monkeypatch.setenv("FAIRNC_CACHE", str(open_folder / "cache"))
    _cache.tensors("statistics", "kept", lambda: entry(0))
    for folder in (open_folder / "cache/statistics", open_folder / "cache"):
        folder.chmod(0o555)
        with tally.attempt("read-only cache"), no_superuser():
            assert same(
                _cache.tensors("statistics", "kept", lambda: pytest.fail("it is there")), entry(0)
            )
            assert same(_cache.tensors("statistics", "new", lambda: entry(1)), entry(1))
            assert (
                same(_cache.tensors("another kind", "new", lambda: entry(1)), entry(1))
                or folder.name == "cache"
            )
            assert (
                "is not kept (Permission denied): this is computed again next time"
                in capsys.readouterr().err
            )
    for folder in (open_folder / "cache/statistics", open_folder / "cache"):
        folder.chmod(0o755)


FILL = """
import torch
from fairnc_utils import _cache
for size in (1_000_000, 100):
    kept = _cache.tensors("statistics", size, lambda: {"ones": torch.ones(size)})
    assert kept["ones"].sum() == size
assert _cache.tensors("statistics", 100, lambda: 1 / 0)["ones"].sum() == 100
"""


@pytest.mark.slow
def test_full_cache_is_not_needed(tmp_path, tally):
    if not can_mount(tmp_path):
        pytest.skip("no small file system can be mounted here")
    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; FAIRNC_CACHE=$1 "$2" -c "$3"'
    starved = [*PRIVATE, "bash", "-ec", script, "starve", str(tmp_path), sys.executable, FILL]
    with tally.attempt("disk full under the cache"):
        done = subprocess.run(starved, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("is not kept (No space left on device)") == 1


def test_damaged_cache_entries_are_made_anew(tmp_path, monkeypatch, tally):
    monkeypatch.setenv("FAIRNC_CACHE", str(tmp_path))
    _cache.tensors("statistics", "other", lambda: entry(1))
    (other,) = (tmp_path / "statistics").iterdir()
    _cache.tensors("statistics", "mine", lambda: entry(0))
    (mine,) = set((tmp_path / "statistics").iterdir()) - {other}
    content, draw = mine.read_bytes(), random.Random(SEED)
    damages = [
        b"",
        b"\0" * 8,
        b"junk" * 50,
        content[:100],
        content[:-1],
        content + b"\0",
        other.read_bytes(),
    ]
    for _ in tries(100, 20):  # one bit, anywhere
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        damages.append(bytes(flipped))
    for damaged in damages:
        mine.write_bytes(damaged)
        with tally.attempt("damaged cache entry"):
            assert same(_cache.tensors("statistics", "mine", lambda: entry(0)), entry(0)), SEED
            assert same(
                _cache.tensors("statistics", "mine", lambda: pytest.fail("it is sound")), entry(0)
            )


def test_readings_come_through_the_cache(tmp_path, monkeypatch, tiny):
    """What the cases above show of the cache holds for class statistics: they are read, and kept,
    by nothing else.
    """
    monkeypatch.setenv("FAIRNC_CACHE", str(tmp_path))
    (tmp_path / "mine.txt").write_text("the nurse said that she was tired .\n" * 5)
    lm = tiny("roberta")
    first = measurement.read(lm, corpus=str(tmp_path / "mine.txt")).statistics
    (file,) = (tmp_path / "statistics").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    again = measurement.read(lm, corpus=str(tmp_path / "mine.txt")).statistics
    assert first.sums.equal(again.sums)
    monkeypatch.setattr(
        measurement, "labelled_features", lambda *_, **__: pytest.fail("it is in the cache")
    )
    assert first.sums.equal(measurement.read(lm, corpus=str(tmp_path / "mine.txt")).statistics.sums)


def test_truncated_weights_give_no_number(tmp_path, tiny, tally):
    folder = tmp_path / "model"
    tiny("bert").model.save_pretrained(folder)
    models.embedded_tokenizer().save_pretrained(folder)
    file = folder / "model.safetensors"
    content, tensors = file.read_bytes(), load_file(file)
    kept = dict(sorted(tensors.items())[: len(tensors) // 2])  # a whole file of half a model
    damages = [content[: round(share * len(content))] for share in (0, 0.0001, 0.3, 0.9999)]
    for damaged in [*damages, content[:-1], save(kept, metadata={"format": "pt"})]:
        file.write_bytes(damaged)
        with (
            tally.attempt("truncated model weights"),
            pytest.raises(FairNCError, match=r"model .* cannot be loaded: .*"),
        ):
            models.load(str(folder), device="cpu")
    file.write_bytes(content)
    assert models.load(str(folder), device="cpu").kind == "masked"


# ---------------------------------------------------------------------------------------- the table


@pytest.mark.skipif(RECORDING, reason="it is written now")
def test_table_of_the_book_is_of_these_cases():
    table = pd.read_csv(TABLE)
    assert dict(zip(table["case"], table["what must hold"], strict=True)) == CASES
    assert (table["survived"] == table["tries"]).all()
    assert table[table["case"].str.contains("workflow|tiny")]["tries"].min() >= 20
