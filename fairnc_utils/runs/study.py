"""What ``fairnc study`` does: run the cells that are not there yet, list them, or keep what was run
with the book.

Each cell is saved, when it ends, in a folder named after its options: a study that was stopped goes
on where it was. While it runs it is claimed, so that the same command, given several times, shares
the work.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from fairnc_utils._atomic import write_atomic
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.runs import grid, recording
from fairnc_utils.runs.grid import Cell
from fairnc_utils.runs.rows import load, recorded, run_files
from fairnc_utils.runs.weight import NoLambda

#: In the folder of a cell that was begun and did not end: why.
UNFINISHED = "unfinished.txt"

#: Folder of the locks on cells that are running.
CLAIMS = ".claims"


@dataclass(frozen=True)
class Finished:
    """The runs of a study that are there.

    ``recorded``: provenance of those that come with the book, by run id; ``folder``: where others
    are.
    """

    recorded: Mapping[str, dict]
    folder: Path | None

    def missing(self, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """The cells that have no run."""
        missing = grid.missing(cells, self.recorded)
        if self.folder is None:
            return missing
        return {name: cell for name, cell in missing.items() if not cell.is_in(self.folder)}

    def results(self) -> pd.DataFrame:
        """Rows of all runs, which choose λ."""
        here = self.folder and run_files(self.folder, "results.parquet")
        return pd.concat([recorded(), *([load(self.folder)] if here else [])])

    def reason(self, cell: Cell) -> str:
        """Why a cell did not end, if it was begun."""
        note = self.folder and self.folder / cell.id / UNFINISHED
        return note.read_text().strip() if note and note.exists() else ""


def command(
    config: object,
    *,
    out: str | None,
    sweeps: Sequence[str] | None = None,
    part: str | None = None,
    device: str | None = None,
    again: bool = False,
    missing: bool = False,
    record: bool = False,
) -> int:
    """Exit status of ``fairnc study``: 1 if a cell failed, or has to wait for others.

    ``config``: a whole profile, as it was read from its file. Raises ``FairNCError`` on a bad plan
    or option.
    """
    plan = grid.plan(config)
    names, numbers = grid.names(plan, sweeps), _numbers(part or "1/1")
    if not out and not missing:
        raise FairNCError("name the folder of the runs: --out runs")
    folder = Path(out).resolve() if out else None
    if record:
        number = len(recording.gather(*recording.at_home(), folder)["runs"])
        print(f"recorded {number} runs", file=sys.stderr)
        return 0
    finished = Finished({} if again else recording.runs(), folder)
    if missing:
        print("\n".join(missing_lines(plan, names, finished)))
        return 0
    return run_sweeps(plan, names, numbers, finished, device=device)


def _numbers(part: str) -> tuple[int, int]:
    """``"2/4"`` → (2, 4)."""
    number, _, of = part.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise FairNCError(f"part {brief(part)}: write which of how many, as in --part 2/4")
    return int(number), int(of)


# ---------------------------------------------------------------- running


def run_sweeps(
    plan: grid.Plan,
    names: Sequence[str],
    part: tuple[int, int],
    finished: Finished,
    *,
    device: str | None = None,
) -> int:
    """Run what is missing of sweeps, or of one part (number, of how many) of them; exit status.

    Those that wait for λ come last, and only when every cell that it is chosen from is there:
    neither λ nor the parts depend on how far the others have come.
    """
    choosing = grid.choosing(plan)
    at_once = [name for name in names if name in choosing]
    waiting = [name for name in names if name not in choosing]
    status = 0
    if at_once:
        cells = grid.part(grid.cells(plan, at_once), *part)
        status = run(finished.missing(cells), finished.folder, device=device)
    if not waiting:
        return status
    if choosing and (others := finished.missing(grid.cells(plan, choosing))):
        print(
            f"{', '.join(waiting)}: λ is chosen when all other sweeps are complete, and {len(others)} of their cells are"
            " missing; run them, or take out of the plan what cannot be run, then this again",
            file=sys.stderr,
        )
        return 1
    cells = grid.part(grid.cells(plan, waiting, results=finished.results()), *part)
    return run(finished.missing(cells), finished.folder, device=device)


def run(cells: Mapping[str, Cell], folder: Path, *, device: str | None = None) -> int:
    """Run cells one after another in this process; exit status 1 if one failed.

    A cell that another process is running, or has run meanwhile, is left to it. A cell that is
    refused or diverges (``FairNCError``) is named, and the next one begins. Any other error may come
    from the device, and one that has failed once fails from then on; a folder that cannot be written
    would lose the next cell, too. These end the process, and the same command goes on with what is
    left, cells that did not end last of all.
    """
    order = sorted(cells.values(), key=lambda cell: (folder / cell.id / UNFINISHED).exists())
    status = 0
    for place, cell in enumerate(order, start=1):
        started, made = time.perf_counter(), None
        note = folder / cell.id / UNFINISHED
        try:
            with _claimed(folder / CLAIMS / cell.id) as ours:
                if not ours or cell.is_in(folder):
                    continue
                write_atomic(note, "begun, not ended\n")
                made = cell.run(device=device)
                made.save(folder / cell.id)
                note.unlink()
        except Exception as error:
            status, refused = 1, isinstance(error, FairNCError) and made is None
            reason = f"{type(error).__name__}: {error}"
            _say(f"cell {cell}: {reason}")
            with suppress(OSError):
                write_atomic(note, f"{reason}\n")
            if not refused:
                _say(f"the same command goes on with the {len(order) - place} cells after it")
                break
        else:
            _say(f"{place} of {len(order)}: {cell}: {time.perf_counter() - started:.1f} s")
    return status


@contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Whether this process alone has what a file stands for: a lock on it that the system frees when the
    process ends, however it ends. Where there are no such locks, everyone has it.
    """
    if fcntl is None:
        yield True
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- listing


def missing_lines(plan: grid.Plan, names: Sequence[str], finished: Finished) -> list[str]:
    """What is left of each sweep: a line with the number, and a line for each kind of cell with its
    seeds.
    """
    lines, results = [], finished.results()
    for name in names:
        try:
            cells = grid.cells(plan, [name], results=results)
        except NoLambda as error:
            lines.append(f"{name}: not known before the sweeps that choose λ are run ({error})")
            continue
        missing = finished.missing(cells)
        lines.append(f"{name}: {len(missing)} of {len(cells)} missing")
        several = len({cell.config.model for cell in cells.values()}) > 1
        seeds: dict[str, list[str]] = {}
        for cell in missing.values():
            kind = f"{cell.config.model} {cell.label}" if several else cell.label
            reason = finished.reason(cell)
            seeds.setdefault(kind, []).append(f"{cell.config.seed}" + f" ({reason})" * bool(reason))
        lines += [f"  {kind}, seed {', '.join(numbers)}" for kind, numbers in seeds.items()]
    return lines
