"""The workflow in a scratch copy of the project: the whole tiny book, what a change reruns,
failures, a killed run.
"""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from helpers.workflow import (
    FAIL,
    ROOT,
    check_failure,
    copy,
    edited,
    planned,
    plant,
    run,
    started,
    wait_for,
)
from nets import tiny

TINY = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
CHAPTERS, SUMMARIES = list(TINY["chapters"]), list(TINY.get("summaries", {}))

# Beats until it is told to go on, so that a test sees whether the kernel lives.
WAIT = """
import time
from pathlib import Path
folder = Path(results).parent.parent
while not (folder / "go").exists():
    (folder / "beat").write_text(str(time.time()))
    time.sleep(0.1)
Path(results).mkdir(parents=True, exist_ok=True)
"""

FIND = """
from pathlib import Path
Path(results).mkdir(parents=True, exist_ok=True)
(Path(results) / "found").write_text("a chapter's result")
"""
READ = """
from pathlib import Path
(text,) = [path.read_text() for path in Path(live).rglob("found")]
Path(results).mkdir(parents=True, exist_ok=True)
(Path(results) / "found").write_text(text)
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A copy of the project in which the tiny book was built."""
    project = copy(tmp_path_factory.mktemp("book"))
    done = run(project)
    assert done.returncode == 0, done.stderr[-5000:]
    return project


@pytest.mark.slow
def test_tiny_book_is_complete(book):
    build = book / "build/tiny"
    results = pd.read_parquet(build / "results.parquet")
    assert len(results) == len(pd.read_csv(build / "results.csv")) > 0
    assert set(results.query("origin == 'live'")["profile"]) == {"tiny"}
    tiny.check(results)
    for chapter in CHAPTERS + SUMMARIES:
        page = (build / f"_build/html/notebooks/{chapter}.html").read_text()
        assert "Traceback (most recent call last)" not in page
        executed = nbformat.read(build / f"notebooks/{chapter}.ipynb", as_version=4)
        folder = "results" if chapter in CHAPTERS else "summaries"
        parameters = executed.metadata.papermill.parameters
        assert parameters.results == f"build/tiny/{folder}/{chapter}"  # no path of this machine
        assert parameters.get("live", "build/tiny/results") == "build/tiny/results"


@pytest.mark.slow
def test_finished_book_has_nothing_to_do_even_after_touching_everything(book):
    for path in [*book.glob("notebooks/*"), *book.glob("fairnc_*/*.py"), *book.glob("book/*.md")]:
        path.touch()
    assert planned(book) == {}


def text_of(chapter: str) -> str:
    return (ROOT / "notebooks" / f"{chapter}.ipynb").read_text()


@pytest.mark.slow
def test_a_change_reruns_what_it_affects_and_nothing_else(book):
    summarize = {"summarize": len(SUMMARIES)}
    after = {"collect": 1, "abstract": 1, "status": 1, "book": 1, "all": 1}
    with edited(book / "notebooks" / f"{CHAPTERS[0]}.ipynb", "# ", "# Changed: "):
        assert planned(book) == {"execute": 1, **summarize, "draw": 1 + len(SUMMARIES), **after}
    asking = [name for name in CHAPTERS if 'config/second.yaml\\"' in text_of(name)]
    with edited(book / "config/second.yaml", "# ", "# Changed: "):
        drawn = {"draw": len(asking) + len(SUMMARIES)}
        assert planned(book) == {"execute": len(asking), **summarize, **drawn, **after}
    everything = {"execute": len(CHAPTERS), **summarize, "draw": len(CHAPTERS + SUMMARIES), **after}
    with edited(book / "config/tiny.yaml", "device: cpu", "device: auto"):
        assert planned(book) == {"parameters": len(CHAPTERS + SUMMARIES), **everything}
    with edited(book / "fairnc_utils/collapse.py", '"""', '"""Changed. '):
        assert planned(book) == everything
    assert planned(book, "study") == {"plan": 3, "part": 5, "study": 1}  # no part of the book
    with edited(book / "fairnc_book/explorer.py", '"""', '"""Changed. '):
        assert planned(book) == everything
    with edited(book / "book/index.md", "# ", "# Changed: "):
        assert planned(book) == {"book": 1, "all": 1}
    assert planned(book) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("figures/base.py", "#0072B2", "#0072B3"),
        ("figures/base.py", '"size": 13', '"size": 14'),
        ("tables.py", "first column left, with its caption", "first column left, with a caption"),
    ],
)
def test_a_colour_or_a_caption_reruns_no_chapter_that_computes(book, file, old, new):
    with edited(book / "fairnc_book" / file, old, new):
        drawn = {"draw": len(CHAPTERS + SUMMARIES), "status": 1, "book": 1, "all": 1}
        assert planned(book) == drawn
    assert planned(book) == {}


@pytest.mark.slow
def test_a_module_of_the_site_reruns_the_site_alone(book):
    for module in ("plotly", "pages", "stills"):
        with edited(book / f"fairnc_book/site/{module}.py", '"""', '"""Changed. '):
            assert planned(book) == {"status": 1, "book": 1, "all": 1}


@pytest.mark.slow
def test_a_chapter_with_another_caption_trains_nothing_again(book):
    """The trained models went with the chapter's results; both come back from the run store."""
    chapter, build = "07-training", book / "build/tiny"
    (store,) = (build / "store").iterdir()
    trained = {path: path.stat().st_mtime_ns for path in store.glob("train-*/provenance.json")}
    rows = build.glob(f"results/{chapter}/*/results.parquet")
    before = pd.concat(map(pd.read_parquet, sorted(rows)))
    entries = set(store.iterdir())
    with edited(book / f"notebooks/{chapter}.ipynb", "before and after.", "after and before."):
        done = run(book, f"build/tiny/notebooks/{chapter}.ipynb")
        assert done.returncode == 0, done.stderr[-3000:]
        assert "after and before." in (build / f"notebooks/{chapter}.ipynb").read_text()
    assert len(trained) == 2
    assert {
        path: path.stat().st_mtime_ns for path in store.glob("train-*/provenance.json")
    } == trained
    assert set(store.iterdir()) == entries
    rows = build.glob(f"results/{chapter}/*/results.parquet")
    pd.testing.assert_frame_equal(before, pd.concat(map(pd.read_parquet, sorted(rows))))
    assert len(list(build.glob(f"results/{chapter}/models/*/model.safetensors"))) == 2


@pytest.mark.slow
def test_drawing_anew_shows_the_new_colour_and_leaves_results_alone(book):
    chapter, build = "02-measuring-collapse", book / "build/tiny"
    folder = build / f"results/{chapter}"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with edited(book / "fairnc_book/figures/base.py", "#0072B2", "#0072B3"):
        done = run(book, f"build/tiny/notebooks/{chapter}.ipynb")
        assert done.returncode == 0, done.stderr[-3000:]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    executed, shown = (
        nbformat.read(build / f"{name}/{chapter}.ipynb", as_version=4)
        for name in ("executed", "notebooks")
    )
    assert "#0072B3" in nbformat.writes(shown)
    assert "#0072B3" not in nbformat.writes(executed)
    assert shown.metadata.papermill == executed.metadata.papermill


def test_a_copied_profile_builds_into_a_folder_of_its_own(tmp_path):
    project = copy(tmp_path)
    shutil.copy(project / "config/tiny.yaml", project / "config/mine.yaml")
    launch = [
        sys.executable,
        "workflow/launch.py",
        "--dry-run",
        "--cores",
        "1",
        "--configfile",
        "config/mine.yaml",
    ]
    done = subprocess.run(launch, cwd=project, capture_output=True, text=True, check=True)
    assert "build/mine/_build/html/index.html" in done.stdout + done.stderr
    assert "build/tiny" not in done.stdout + done.stderr
    elsewhere = subprocess.run(
        [*launch, "--config", "build=x/y"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "x/y/_build/html/index.html" in elsewhere.stdout + elsewhere.stderr


def test_a_chapter_that_left_the_profile_leaves_no_results(tmp_path):
    project = copy(tmp_path)
    path = project / "config/tiny.yaml"
    profile = yaml.safe_load(path.read_text()) | {"summaries": {}}
    targets = [plant(project, chapter, FIND) for chapter in CHAPTERS[:2]]
    for chapters, wanted in ((CHAPTERS[:2], targets), (CHAPTERS[:1], targets[:1])):
        path.write_text(
            yaml.safe_dump(profile | {"chapters": {chapter: {} for chapter in chapters}})
        )
        (project / "build/tiny/notebooks" / f"{CHAPTERS[0]}.ipynb").unlink(missing_ok=True)
        done = run(project, *wanted)
        assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("results", "executed", "notebooks", "timings"):
        made = {path.name.partition(".")[0] for path in (project / "build/tiny" / kind).iterdir()}
        assert made == set(CHAPTERS[:1]), kind


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_says_in_one_line_that_a_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = make("serve", "PROFILE=tiny", f"PORT={port}").stderr.splitlines()
    assert f"Port {port} of this machine cannot be had: choose another" in line


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_clean_leaves_what_took_hours():
    removed = make("--dry-run", "clean").stdout.split()
    assert "build" in removed
    assert not {"runs", ".venv"} & set(removed)


def test_failing_notebook_is_kept_and_its_traceback_shown(tmp_path):
    project = copy(tmp_path)
    check_failure(project, plant(project, CHAPTERS[0], FAIL), "ValueError: planted failure")


def test_parameter_that_a_notebook_does_not_have_is_refused(tmp_path):
    project = copy(tmp_path)
    target = plant(
        project, CHAPTERS[0], "from fairnc_book import notebook\nnotebook.check_parameters()"
    )
    path = project / "config/tiny.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["chapters"][CHAPTERS[0]]["mistyped"] = 1
    path.write_text(yaml.safe_dump(profile))
    done = run(project, target)
    assert done.returncode != 0
    assert "no parameter is called mistyped: this notebook has model" in done.stderr


SAVE = """
import pandas as pd
from fairnc_utils.runs import rows

run = rows.make({"seed": SEED}, [{"metric": "nc3", "value": 1.0}], pd.DataFrame(), device="cpu", evidence={})
run.save(results)
"""


@pytest.mark.slow
def test_experiments_in_a_folder_of_the_build_come_into_no_table(tmp_path):
    project = copy(tmp_path)
    shutil.rmtree(project / "book/recorded")
    path, chapter, table = (
        project / "config/tiny.yaml",
        CHAPTERS[0],
        project / "build/tiny/results.parquet",
    )
    profile = yaml.safe_load(path.read_text()) | {"chapters": {chapter: {}}, "summaries": {}}
    path.write_text(yaml.safe_dump(profile))
    plant(project, chapter, SAVE.replace("SEED", "0"))
    for again in ([], ["--forcerun", "collect"]):
        done = run(project, "build/tiny/results.parquet", *again)
        assert done.returncode == 0, done.stderr
        assert pd.read_parquet(table)["seed"].tolist() == [0]
        exec(SAVE.replace("SEED", "1"), {"results": str(project / f"build/tiny/results/{chapter}")})
    assert len(list((project / f"build/tiny/results/{chapter}").glob("*/results.parquet"))) == 2


def test_summary_runs_after_the_chapters_and_reads_what_they_found(tmp_path):
    project = copy(tmp_path)
    chapter, summary = CHAPTERS[0], CHAPTERS[1]
    plant(project, chapter, FIND)
    notebook = project / f"notebooks/{summary}.ipynb"
    target = plant(project, summary, READ)
    changed = nbformat.read(notebook, as_version=4)
    changed.cells[0].source += '\nlive = ""'
    nbformat.write(changed, notebook)
    path = project / "config/tiny.yaml"
    profile = yaml.safe_load(path.read_text()) | {
        "chapters": {chapter: {}},
        "summaries": {summary: {}},
    }
    path.write_text(yaml.safe_dump(profile))
    done = run(project, target)
    assert done.returncode == 0, done.stderr
    assert (project / f"build/tiny/summaries/{summary}/found").read_text() == "a chapter's result"
    assert planned(project, target) == {}


@pytest.mark.robustness
def test_killed_run_leaves_no_kernel_and_the_next_one_finishes(tmp_path):
    project = copy(tmp_path)
    target = plant(project, CHAPTERS[0], WAIT)
    beat = project / "build/tiny/beat"
    with started(project, target) as process:
        wait_for(beat.exists)
        second = run(project, target)
        assert second.returncode != 0
        assert second.stderr.startswith("Another run of the workflow is going on in this folder")
        process.kill()
        process.wait()
        # the kernel went with its Snakemake
        wait_for(lambda: time.time() - beat.stat().st_mtime > 2, seconds=20)
    assert not (project / target).exists()
    (beat.parent / "go").touch()
    done = run(project, target)
    assert done.returncode == 0, done.stderr
    assert planned(project, target) == {}
