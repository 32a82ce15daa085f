"""Execute one notebook with papermill (rule ``execute``), or take the executed one if it would be
drawn the same (``draw``).

papermill writes beside the log; the notebook moves to its place when it is complete, so one that is
there is whole. One that fails stays as ``<chapter>.failed.ipynb``.
"""

import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
from datetime import datetime
from pathlib import Path

import psutil
import yaml
from traitlets.config import Config

#: jsonschema, which checks notebooks, takes more than a second to import a grammar that nobody asks for, unless it is missing.
sys.modules["rfc3987_syntax"] = None
LIGHTER = "import sys; sys.modules['rfc3987_syntax'] = None"  # the kernel imports it, too

#: Tensors come and go by the thousand: freed memory (of blocks below 128 MiB, up to 512 MiB) stays with the process, for the
#: system takes long to give it back. The C library of Linux reads these; others have their own ways.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(128 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def private_sockets(folder: str) -> Config:
    """The kernel talks through files that only its owner can open: no network port that others see,
    or take meanwhile.
    """
    return Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})


def die_with(owner: psutil.Process) -> None:
    """End this process and its kernel when ``owner`` is gone: a killed Snakemake must leave nothing
    that writes on.
    """
    while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
        time.sleep(1)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(1)


def snakemake_process() -> psutil.Process:
    """The Snakemake that started this script: the nearest ancestor that is not a shell in between."""
    shells = ("sh", "bash", "dash", "zsh")
    return next(parent for parent in psutil.Process().parents() if parent.name() not in shells)


def publish(notebook: Path, ran: dict | None) -> None:
    """Make an executed notebook what the book takes.

    It names no folder of the machine that made it, its links to pages of the book start where
    chapters lie there, and the cell of parameters that papermill put in is folded. ``ran``: what
    papermill wrote down of an earlier execution, which took the time that computing takes.
    """
    import nbformat

    text = notebook.read_text().replace(f"{Path.cwd()}/", "").replace("](../book/", "](../")
    content = nbformat.reads(text, as_version=4)
    for cell in content.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("hide-cell")
    if ran:
        content.metadata.papermill = ran
    nbformat.write(content, notebook)


def outdated(ran: dict, drawing: list[str]) -> bool:
    """Whether the drawing code has changed since the notebook began to run; by file times, as
    Snakemake tells it.
    """
    started = datetime.fromisoformat(ran["start_time"]).timestamp()
    return any(os.stat(file).st_mtime > started for file in drawing)


def close(results: Path) -> None:
    """List the runs of a chapter, so that ``fairnc_utils.runs.rows`` passes over those that
    somebody else adds later.
    """
    results.mkdir(parents=True, exist_ok=True)
    runs = sorted(file.parent.name for file in results.glob("*/results.parquet"))
    (results / "runs.txt").write_text("".join(f"{run}\n" for run in runs))


def main(snakemake) -> int:
    """Make the notebook of the rule → exit status."""
    executed, ran = getattr(snakemake.input, "executed", None), None
    if executed:
        ran = json.loads(Path(executed).read_text())["metadata"]["papermill"]
        if not outdated(ran, snakemake.input.drawing):
            shutil.copyfile(executed, snakemake.output.notebook)
            return 0
    import papermill  # takes seconds, which a copy does not need

    threading.Thread(target=die_with, args=[snakemake_process()], daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)
    # On a busy machine, threads that spin while they wait cost many times more.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # Nobody watches the notebook, so progress goes to the log.
    os.environ |= MALLOC | {"FAIRNC_PROGRESS": "log", "FAIRNC_STORE": str(snakemake.params.store)}
    log, notebook = Path(snakemake.log[0]), snakemake.input.notebook
    partial, failed = log.with_suffix(".partial.ipynb"), log.with_suffix(".failed.ipynb")
    logging.basicConfig(filename=log, filemode="w", level=logging.INFO, format="%(message)s")
    parameters = yaml.safe_load(Path(snakemake.input.parameters).read_text())
    try:
        with tempfile.TemporaryDirectory() as sockets:
            papermill.execute_notebook(
                notebook,
                partial,
                parameters,
                kernel_name="python3",
                log_output=True,
                cwd=Path(notebook).parent,
                progress_bar={"desc": snakemake.wildcards.chapter},
                config=private_sockets(sockets),
                extra_arguments=[f"--IPKernelApp.exec_lines={LIGHTER}"],
            )
    except Exception:
        # Snakemake shows the log of a job that failed.
        logging.error(ANSI.sub("", traceback.format_exc()))
        if partial.exists():
            partial.replace(failed)
            logging.error("The notebook as far as it came: %s", failed.resolve())
        return 1
    failed.unlink(missing_ok=True)
    publish(partial, ran)
    if not executed:
        close(Path(snakemake.output.results))
    partial.replace(snakemake.output.notebook)
    return 0


sys.exit(main(snakemake))  # noqa: F821  (Snakemake defines it)
