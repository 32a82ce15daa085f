"""Start Snakemake for ``make book``: one run at a time, and none held up by what a killed one left behind.

    python workflow/launch.py --cores 2 --configfile config/quick.yaml
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil

STATE = Path(".snakemake")
MARK = "FAIRNC_WORKFLOW"  # every process of a run inherits it: the folder that the run works in


def take_lock():
    """An exclusive lock that the system frees when its holder ends, however it ends; None if another holds it."""
    STATE.mkdir(exist_ok=True)
    lock = (STATE / "make-book.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    os.set_inheritable(lock.fileno(), True)  # Snakemake takes this process over and holds it on
    return lock


def direct_run() -> bool:
    """Whether a Snakemake that was started by hand works in this folder."""
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in process.cmdline()[:3]]
            if "snakemake" in words and MARK not in process.environ() and Path(process.cwd()) == Path.cwd():
                return True
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    return False


def leftovers() -> list[psutil.Process]:
    """Processes of an earlier run in this folder. Whoever holds the lock is the only run, so their own is dead."""
    own, found = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}, []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(MARK) == str(Path.cwd()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(processes: list[psutil.Process]) -> None:
    """Kill them and wait until they are gone: nothing may write on beside the new run."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=30)


def main(arguments: list[str]) -> int:
    """Become Snakemake → exit status if that cannot be."""
    snakemake = [sys.executable, "-m", "snakemake", *arguments]
    lock = take_lock()
    if lock is None or direct_run():
        print("Another run of the workflow is going on in this folder: wait for it or stop it first.", file=sys.stderr)
        return 1
    end(leftovers())
    if any((STATE / "locks").glob("*.lock")):
        print("Removing the lock of a run that was killed.", file=sys.stderr)
        subprocess.run([*snakemake, "--unlock"], check=True, capture_output=True)
    os.environ[MARK] = str(Path.cwd())
    os.execv(sys.executable, snakemake)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
