"""Progress: an output of the cell in a notebook, lines in a log; never an error's colour, never the
work inside other work.
"""

import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

WORK = """
from fairnc_utils._progress import progress

with progress(total=3, desc="outer", unit="step") as bar:
    for number in range(3):
        for _ in progress(range(2), desc="inner"):
            pass
        bar.set_postfix(loss=number, refresh=False)
        bar.update()
"""


@pytest.fixture
def outputs(monkeypatch):
    """Function() → outputs of the work in a notebook's cell."""
    monkeypatch.delenv("FAIRNC_PROGRESS", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)

    def run():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WORK)])
        NotebookClient(notebook, kernel_name="python3").execute()
        return notebook.cells[0].outputs

    return run


def test_a_notebook_shows_one_line_that_is_no_error(outputs):
    (output,) = outputs()
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("outer: 100%")
    assert "loss=2" in output.data["text/plain"]


def test_a_notebook_that_nobody_watches_shows_nothing_and_logs_lines(outputs, monkeypatch):
    monkeypatch.setenv("FAIRNC_PROGRESS", "log")
    parts = outputs()
    assert {part.name for part in parts} == {"stderr"}  # left out of the book's pages
    lines = "".join(part.text for part in parts).splitlines()
    assert [line[:11] for line in lines] == ["outer:   0%", "outer: 100%"]


def test_a_log_has_whole_lines(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert [line[:11] for line in done.stderr.splitlines()] == ["outer:   0%", "outer: 100%"]
    assert not set("\r\x1b") & set(done.stderr)
    assert done.stdout == ""
