"""The recorded figures, ``figures.json``, and what is written from them: the tables of the README
and of the book's page.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from fairnc_utils.assets import write_atomic
from speed.goals import GOALS
from speed.timing import Row, as_dicts

HERE = Path(__file__).resolve().parent
FIGURES, README, PAGE = HERE / "figures.json", HERE / "README.md", HERE.parent / "book" / "run"
STILL = HERE.parent / "book" / "_static" / "speed.svg"
MARKER = "<!-- figures: written by `python -m speed --record` -->"

#: File of the book's page → heading in the README.
HEADINGS = {
    "goals": "Goals",
    "growth": "How cost grows",
    "cpu": "On a CPU",
    "cuda": "On a GPU",
    "runs": "Where and when",
}

Table = list[dict[str, object]]


def keep(
    benchmark: str,
    device: str,
    machine: dict,
    rows: list[Row],
    *,
    note: str = "",
    file: Path = FIGURES,
) -> None:
    """Put one benchmark's figures in the place of its older ones on the same kind of device."""
    entry = {
        "benchmark": benchmark,
        "device": device,
        "date": f"{date.today()}",
        "note": note,
        "machine": machine,
        "results": as_dicts(rows),
    }
    kept = json.loads(file.read_text()) if file.exists() else []
    kept = [old for old in kept if (old["benchmark"], old["device"]) != (benchmark, device)]
    write_atomic(file, (json.dumps([*kept, entry], indent=1, ensure_ascii=False) + "\n").encode())


def load(file: Path = FIGURES) -> list[dict]:
    """The recorded benchmarks, ``results`` as rows."""
    entries = json.loads(file.read_text())
    for entry in entries:
        # the rest is NaN
        known = ({key: x for key, x in row.items() if x is not None} for row in entry["results"])
        entry["results"] = [Row(**row) for row in known]
    return entries


def by_device(entries: list[dict]) -> dict[str, list[Row]]:
    """The figures of CPUs and those of GPUs."""
    return {
        device: [row for entry in entries if entry["device"] == device for row in entry["results"]]
        for device in ("cpu", "cuda")
    }


def grown(entries: list[dict]) -> dict[str, dict[str, tuple[list[Row], ...]]]:
    """Device → ``curves`` of what was recorded there."""
    return {device: curves(rows) for device, rows in by_device(entries).items()}


def tables(entries: list[dict]) -> dict[str, Table]:
    """Every table, under the name of its file in the book."""
    rows = by_device(entries)
    plain = {
        device: [shown(row) for row in some if row.benchmark != "scaling"]
        for device, some in rows.items()
    }
    grows = [line for device, some in rows.items() for line in growth(some, device)]
    return {"goals": goals(rows), "growth": grows, **plain, "runs": runs(entries)}


def shown(row: Row) -> dict[str, object]:
    """A figure as a table shows it."""
    return {
        "benchmark": row.benchmark,
        "case": row.case,
        "quantity": row.quantity,
        "value": _value(row),
        "95% interval": _interval(row),
        "repeats": row.repeats,
    }


def _value(row: Row) -> str:
    return f"{_digits(row.value)} {row.unit}".strip()


def _interval(row: Row) -> str:
    return "" if row.ci_low != row.ci_low else f"{_digits(row.ci_low)} to {_digits(row.ci_high)}"


def _digits(value: float) -> str:
    """Four digits, thousands apart from each other."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def goals(rows: dict[str, list[Row]]) -> Table:
    """Each goal beside the figure that is farthest from it."""
    table = []
    for goal in GOALS:
        row = goal.worst(rows[goal.device])
        bound = f"at most {goal.most:g}" if goal.least is None else f"at least {goal.least:g}"
        columns = {"goal": bound, "figure": "not measured", "95% interval": "", "reached": "–"}
        if row:
            columns |= {
                "goal": f"{bound} {row.unit}",
                "figure": _value(row),
                "95% interval": _interval(row),
                "reached": goal.verdict(row),
            }
        where = f"{row.case}: " if row else ""
        table.append(
            {
                "benchmark": goal.benchmark,
                "what": f"{where}{row.quantity if row else goal.quantity}",
            }
            | columns
        )
    return table


def growth(rows: list[Row], device: str) -> Table:
    """Each curve of the benchmark ``scaling``: its ends, what its largest size took and used, and
    the exponents of time.
    """
    return [
        {
            "device": device,
            "case": case,
            "sizes": f"{points[0].at:,.0f} to {points[-1].at:,.0f}",
            "largest, time": _value(points[-1]),
            "largest, peak memory": _value(memory[-1]),
            "largest, of the device": ", ".join(
                f"{_value(row)} of {row.quantity.partition(' of ')[2]}" for row in used[-1:]
            ),
            "exponent": f"{fit.value:.2f}",
            "95% interval": f"{fit.ci_low:.2f} to {fit.ci_high:.2f}",
            "between the two largest": f"{last.value:.2f}",
        }
        for case, (points, memory, used, (fit,), (last,)) in curves(rows).items()
    ]


def curves(rows: list[Row]) -> dict[str, tuple[list[Row], ...]]:
    """Case of ``scaling`` on one device → its rows of time, peak memory, share of the device,
    exponent and last exponent.

    Small sizes first; there are no shares on a CPU, and on a GPU whose peak is unknown.
    """
    names = (
        "(processor )?time",
        "peak memory",
        "share of .*",
        "exponent",
        "exponent between the two largest",
    )
    some = [row for row in rows if row.benchmark == "scaling"]
    return {
        case: tuple(
            [row for row in some if row.case == case and re.fullmatch(name, row.quantity)]
            for name in names
        )
        for case in dict.fromkeys(row.case for row in some)
    }


def runs(entries: list[dict]) -> Table:
    """The machines, with the benchmarks that they ran."""
    benchmarks: dict[tuple, list[str]] = {}
    for entry in entries:
        machine = ", ".join(f"{key} {value}" for key, value in entry["machine"].items())
        benchmarks.setdefault((entry["date"], machine, entry["note"]), []).append(
            f"{entry['benchmark']} ({entry['device']})"
        )
    return [
        {"benchmarks": ", ".join(names), "date": day, "machine": machine, "note": note}
        for (day, machine, note), names in benchmarks.items()
    ]


def markdown(table: Table) -> str:
    """A table to read in the README."""
    cells = [list(table[0]), ["---"] * len(table[0]), *(row.values() for row in table)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)


def readme(tables: dict[str, Table]) -> str:
    """What the README says below its marker."""
    parts = [
        f"## {heading}\n\n{markdown(tables[name])}\n"
        for name, heading in HEADINGS.items()
        if tables[name]
    ]
    return "\n".join([f"{MARKER}\n", *parts])


def as_csv(table: Table) -> str:
    """A table for the book's page."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def files(entries: list[dict]) -> Iterable[tuple[Path, str]]:
    """Each text that the figures determine: the README, and the tables and the figure of the book's
    page.
    """
    tables_by_name = tables(entries)
    yield README, README.read_text().partition(MARKER)[0] + readme(tables_by_name)
    yield from (
        (PAGE / f"speed-{name}.csv", as_csv(table))
        for name, table in tables_by_name.items()
        if table
    )
    # only now: it brings plotly and Sphinx, which a machine with a GPU may lack
    from speed import drawing

    yield PAGE / "speed-growth.html", drawing.html(grown(entries))


def write() -> None:
    """Write all that the recorded figures determine; without the libraries of the book the tables,
    but not the figure.
    """
    entries = load()
    try:
        for path, text in files(entries):
            write_atomic(path, text.encode())
    except ImportError as missing:
        print(
            f"the figure waits for python -m speed --tables where there is {missing.name}",
            file=sys.stderr,
        )
        return
    from speed import drawing

    write_atomic(STILL, drawing.still(grown(entries)))
