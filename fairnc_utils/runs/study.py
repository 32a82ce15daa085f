"""What ``fairnc study`` does: run the cells that are not there yet, say which those are, or keep what was run with the book.

Each cell is saved, when it ends, in a folder named after its options: a study that was stopped goes on where it was.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from fairnc_utils import assets
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.runs import grid, recording, rows
from fairnc_utils.runs.grid import Cell
from fairnc_utils.runs.weight import NotChosen

#: In the folder of a cell that was begun and did not end: why.
UNFINISHED = "unfinished.txt"


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
    """Exit status of ``fairnc study``, 1 if a cell failed.

    ``config``: a whole profile, as it was read from its file. Raises ``FairNCError`` on a bad plan or option.
    """
    plan = grid.plan(config)
    if not out and not missing:
        raise FairNCError("name the folder of the runs: --out runs")
    folder = Path(out).resolve() if out else None
    if record:
        number = len(recording.record(*recording.at_home(), folder)["runs"])
        print(f"recorded {number} runs", file=sys.stderr)
        return 0
    results = pd.concat([rows.recorded(), *_rows(folder)])
    runs = {} if again else recording.runs()
    if missing:
        print("\n".join(missing_lines(plan, sweeps, runs, folder, results)))
        return 0
    cells = grid.part(grid.cells(plan, sweeps, results=results), *_numbers(part or "1/1"))
    return run(left(cells, runs, folder), folder, device=device)


def run(cells: Mapping[str, Cell], folder: Path, *, device: str | None = None) -> int:
    """Run cells one after another in this process; exit status 1 if one failed.

    A cell that is refused or diverges (``FairNCError``) is named, and the next one begins. Any other error may come from the
    device, and one that has failed once fails from then on; a folder that cannot be written would lose the next cell, too.
    These end the process, and the same command goes on with what is left, cells that did not end last of all.
    """
    order = sorted(cells.values(), key=lambda cell: (folder / cell.id / UNFINISHED).exists())
    status = 0
    for place, cell in enumerate(order, start=1):
        started, made = time.perf_counter(), None
        note = folder / cell.id / UNFINISHED
        try:
            assets.write_atomic(note, "begun, not ended\n")
            made = cell.run(device=device)
            made.save(folder / cell.id)
            note.unlink()
        except Exception as error:
            status, refused = 1, isinstance(error, FairNCError) and made is None
            reason = f"{type(error).__name__}: {error}"
            print(f"cell {cell}: {reason}", file=sys.stderr, flush=True)
            with suppress(OSError):
                assets.write_atomic(note, f"{reason}\n")
            if not refused:
                others = len(order) - place
                print(f"the same command goes on with the other {others} cells", file=sys.stderr)
                break
        else:
            seconds = time.perf_counter() - started
            print(f"{place} of {len(order)}: {cell}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return status


def missing_lines(
    plan: grid.Plan,
    sweeps: Sequence[str] | None,
    runs: Mapping[str, dict],
    folder: Path | None,
    results: pd.DataFrame,
) -> list[str]:
    """What is left of each sweep: a line with the number, and a line for each kind of cell with its seeds.

    ``runs``: provenance of recorded runs; ``folder``: where others are; ``results``: rows that choose λ.
    """
    lines = []
    for name in grid.names(plan, sweeps):
        try:
            cells = grid.cells(plan, [name], results=results)
        except NotChosen as error:
            lines.append(f"{name}: not known before the sweeps that choose λ are run ({error})")
            continue
        open_cells = left(cells, runs, folder)
        lines.append(f"{name}: {len(open_cells)} of {len(cells)} missing")
        several = len({cell.config.model for cell in cells.values()}) > 1
        seeds: dict[str, list[str]] = {}
        for cell in open_cells.values():
            what = f"{cell.config.model} {cell.label}" if several else cell.label
            seeds.setdefault(what, []).append(f"{cell.config.seed}{_reason(cell, folder)}")
        lines += [f"  {what}, seed {', '.join(numbers)}" for what, numbers in seeds.items()]
    return lines


def _reason(cell: Cell, folder: Path | None) -> str:
    """Why a cell did not end, if it was begun."""
    note = folder and folder / cell.id / UNFINISHED
    return f" ({note.read_text().strip()})" if note and note.exists() else ""


def left(
    cells: Mapping[str, Cell], runs: Mapping[str, dict], folder: Path | None
) -> dict[str, Cell]:
    """The cells that neither a recorded run nor the folder has."""
    cells = grid.without(cells, runs)
    return {name: cell for name, cell in cells.items() if not (folder and cell.is_in(folder))}


def _rows(folder: Path | None) -> list[pd.DataFrame]:
    return [rows.load(folder)] if folder and any(folder.rglob("results.parquet")) else []


def _numbers(part: str) -> tuple[int, int]:
    """``"2/4"`` → (2, 4)."""
    number, _, of = part.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise FairNCError(f"part {brief(part)}: write which of how many, as in --part 2/4")
    return int(number), int(of)
