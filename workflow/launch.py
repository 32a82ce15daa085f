"""Run Snakemake for ``make book``: one run at a time in this folder, and none held up by what a
killed one left behind.

python workflow/launch.py --cores 2 --configfile config/quick.yaml
"""

import argparse
import fcntl
import os
import runpy
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

STATE = Path(".snakemake")
MARK = "FAIRNC_WORKFLOW"  # every process of a run inherits it: the folder that the run works in


def complaint(arguments: list[str]) -> str | None:
    """What is wrong with the profile that the arguments name, in one line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    options, others = parser.parse_known_args(arguments)
    for file in map(Path, options.configfile):
        if not file.is_file():
            return f"There is no {file}; profiles are {', '.join(map(str, sorted(Path('config').glob('*.yaml'))))}."
        if "study" in others and "study" not in yaml.safe_load(file.read_text(encoding="utf-8")):
            return (
                f"{file} has no section `study`; config/full.yaml has one: make study PROFILE=full."
            )
    return None


def take_lock():
    """An exclusive lock that the system frees when this process ends, however it ends; None if
    another holds it.
    """
    STATE.mkdir(exist_ok=True)
    lock = (STATE / "make-book.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return lock


def end_jobs() -> None:
    """Kill the processes of the run in this folder, and wait until they are gone: whoever holds the
    lock is the only run.
    """
    here, jobs = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}, []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone meanwhile, or another user's
            if process.pid not in here and process.environ().get(MARK) == str(Path.cwd()):
                process.kill()
                jobs.append(process)
    psutil.wait_procs(jobs, timeout=30)


def interrupted(*_) -> None:
    """End the jobs, which do not hear Ctrl-C (see the Snakefile), then let Snakemake cancel those
    on a cluster, silently.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(
        "\nInterrupted: what is complete is kept, and the same command goes on from there.",
        file=sys.stderr,
        flush=True,
    )
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    end_jobs()
    late = threading.Timer(20, end_jobs)  # one that was starting
    late.daemon = True
    late.start()
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run Snakemake → its exit status; 1 if there is no such profile or another run goes on. Ends
    by SIGINT after Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing yet to be kept
    if why := complaint(arguments):
        print(why, file=sys.stderr)
        return 1
    lock = take_lock()
    if lock is None:
        print(
            "Another run of the workflow is going on in this folder: wait for it or stop it first.",
            file=sys.stderr,
        )
        return 1
    os.environ[MARK] = str(Path.cwd())
    sys.argv[1:] = ["--nolock", *arguments]  # ours is held
    signal.signal(signal.SIGINT, interrupted)
    try:
        end_jobs()  # of a run that was killed
        runpy.run_module("snakemake", run_name="__main__")
    except (KeyboardInterrupt, SystemExit) as end:
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # over: there is nothing left to interrupt
            return end.code
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)  # so that `make` and shells know why


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
