"""Start Snakemake for ``make book``: one run at a time in this folder, and none that outlives its end.

    python workflow/launch.py --cores 2 --configfile config/quick.yaml

Snakemake runs in a child that keeps to itself: Ctrl-C reaches this process alone, and however this one ends, the child notices,
cancels what it has sent to a cluster, and ends its jobs.
"""

import argparse
import fcntl
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import yaml

STATE = Path(".snakemake")
MARK = "FAIRNC_WORKFLOW"  # every process of a run inherits it: the folder that the run works in
GRACE = 60  # seconds that Snakemake may take to cancel jobs on a cluster


def complaint(arguments: list[str]) -> str | None:
    """What is wrong with the profile that the arguments name, in one line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    options, others = parser.parse_known_args(arguments)
    for name in options.configfile:
        if not Path(name).is_file():
            return f"There is no {name}; profiles are {', '.join(map(str, sorted(Path('config').glob('*.yaml'))))}."
        if "study" in others and "study" not in yaml.safe_load(Path(name).read_text()):
            return (
                f"{name} has no section `study`; config/full.yaml has one: make study PROFILE=full."
            )
    return None


def take_lock():
    """A lock that the system frees when this process and its child have ended, however they end; None if it is held."""
    STATE.mkdir(exist_ok=True)
    lock = (STATE / "make-book.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return lock


def end_jobs() -> None:
    """Kill the processes of a run in this folder, but this one and those that started it, and wait until they are gone."""
    here = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    jobs = []
    for process in psutil.process_iter():
        try:
            if process.pid not in here and process.environ().get(MARK) == str(Path.cwd()):
                process.kill()
                jobs.append(process)
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    psutil.wait_procs(jobs, timeout=30)


def end_with_launcher(pipe: int) -> None:
    """Wait until the launcher is gone, or asks for the end, then end this Snakemake and its jobs without a word."""
    os.read(pipe, 1)  # nothing is ever written: it returns when the other end is closed
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.kill(os.getpid(), signal.SIGINT)
    end_jobs()
    time.sleep(GRACE)
    os._exit(1)


def snakemake(arguments: list[str], pipe: int) -> None:
    """Run Snakemake in this process, in a session of its own. Its locks are not needed: ours is held."""
    os.setsid()
    os.environ[MARK] = str(Path.cwd())
    threading.Thread(target=end_with_launcher, args=[pipe], daemon=True).start()
    sys.argv[1:] = ["--nolock", *arguments]
    runpy.run_module("snakemake", run_name="__main__")


def main(arguments: list[str]) -> int:
    """Exit status of Snakemake; 130 after Ctrl-C, 1 if there is no such profile or another run goes on."""
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
    end_jobs()  # of a run that was killed together with its launcher
    pipe, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        snakemake(arguments, pipe)
        return 0
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough
        os.close(end)
        os.waitpid(child, 0)
        status = 130  # as shells have it
        print(
            "\nInterrupted. What was done is kept; the same command goes on from there.",
            file=sys.stderr,
        )
    end_jobs()
    return abs(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
