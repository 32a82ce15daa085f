"""What made a build and what runs cost, as Markdown that pages of the book include: rule ``status``
writes one file a part.

    python -m fairnc_book.site.status build/quick build/quick/status

Parts read the build's folder (``results.parquet``, ``notebooks/``, ``timings/``) and the
recorded runs.
"""

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nbformat
import pandas as pd
import yaml

from fairnc_book.site import costs, coverage
from fairnc_utils import assets
from fairnc_utils._atomic import write_atomic
from fairnc_utils.runs import checkout, grid
from fairnc_utils.runs.rows import RECORDED

#: Packages that numbers and pages depend on.
PACKAGES = (
    "fairnc-utils",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "plotly",
    "papermill",
    "snakemake",
    "jupyter-book",
    "sphinx",
)


def markdown(rows: list[dict]) -> str:
    """A Markdown table, its head from the keys of the first row; a sentence where there is no row."""
    if not rows:
        return "There is none in this build."
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(
        "| " + " | ".join(str(value).replace("|", "\\|") for value in row) + " |" for row in lines
    )


def origins(build: Path, runs: Path) -> str:
    """Where the numbers come from: one row for each origin, profile, device and set of versions,
    with its last commit.
    """
    by = ["origin", "profile", "device", "torch", "transformers"]
    return markdown(
        [
            dict(zip(("origin", "profile", "device", "PyTorch", "Transformers"), key, strict=True))
            | {
                "commit": rows.sort_values("created")["git_commit"].iloc[-1] or "–",
                "runs": rows["run_id"].nunique(),
                "numbers": len(rows),
                "made": _days(rows["created"]),
            }
            for key, rows in results(build).groupby(by)
        ]
    )


def recorded(build: Path, runs: Path) -> str:
    """What was recorded: one row for each method and form of NC3."""
    table = results(build).dropna(subset=["seed", "lam"])  # a row without them sums up several runs
    return markdown(
        [
            {
                "method": method,
                "NC3": regularizer,
                "λ": ", ".join(f"{lam:g}" for lam in sorted(rows["lam"].unique())),
                "seeds": rows["seed"].nunique(),
                "runs": rows["run_id"].nunique(),
                "numbers": len(rows),
                "made": _days(rows["created"]),
            }
            for (method, regularizer), rows in table[table["origin"] == "recorded"].groupby(
                ["method", "regularizer"]
            )
        ]
    )


def notebooks(build: Path, runs: Path) -> str:
    """Executed notebooks with the time that each took, as papermill wrote it down."""
    rows = []
    for path in sorted((build / "notebooks").glob("*.ipynb")):
        run = nbformat.read(path, as_version=4).metadata.get("papermill", {})
        if run.get("duration"):
            title = f"[{path.stem}](../notebooks/{path.name})"
            rows.append(
                {
                    "notebook": title,
                    "executed": _minute(run["start_time"]),
                    "seconds": f"{run['duration']:.0f}",
                }
            )
    return markdown(rows)


def software(build: Path, runs: Path) -> str:
    """Versions of what made this build."""
    rows = [{"package": "Python", "version": platform.python_version()}]
    for package in PACKAGES:
        try:
            rows.append({"package": package, "version": version(package)})
        except PackageNotFoundError:
            continue
    return (
        markdown(rows)
        + f"\n\nRendered under {platform.system()} on {os.cpu_count()} {platform.machine()} cores."
    )


def pins(build: Path, runs: Path) -> str:
    """Archives that data and models come from, with the hash that each must have."""
    return markdown(
        [
            {"archive": pin.name, "version": pin.version, "SHA-256": f"`{pin.sha256}`"}
            for pin in assets.pins().values()
        ]
    )


def chapters(build: Path, runs: Path) -> str:
    """What each notebook of this build took."""
    costs_of_chapters = costs.chapters(build / "timings")
    memory = costs_of_chapters["gigabytes"].map("{:.1f}".format, na_action="ignore").fillna("–")
    return markdown(
        [
            {"notebook": name, "seconds": f"{seconds:.0f}", "peak memory (GB)": most}
            for name, seconds, most in zip(
                costs_of_chapters["notebook"], costs_of_chapters["seconds"], memory, strict=True
            )
        ]
    )


def trained(build: Path, runs: Path) -> str:
    """What the recorded training runs took, by what was trained."""
    kinds = costs.by_kind(costs.runs(runs))
    return markdown(
        [
            {name: f"{x:,.0f}" if isinstance(x, int | float) else x for name, x in row.items()}
            for row in kinds.to_dict("records")
        ]
    )


def study(build: Path, runs: Path) -> str:
    """How long the recorded training runs would take on 1 to 16 devices like the one that they ran
    on.
    """
    seconds = costs.runs(runs)["seconds"]
    rows = ((number, costs.makespan(seconds, number) / 3600) for number in (1, 2, 4, 8, 16))
    return markdown(
        [{"devices": number, "hours": f"{hours:.2f}"} for number, hours in rows]
        if len(seconds)
        else []
    )


def _sweeps(runs: Path, profile: str) -> dict[str, list[tuple[grid.Cell, str | None]]]:
    """Sweep of a profile's study → its cells, each with the recorded run that it has, or None;
    nothing without a recorded study.
    """
    file = runs / "study" / "provenance.json"
    if not file.exists():
        return {}
    plan = grid.plan(yaml.safe_load((checkout.root() / f"config/{profile}.yaml").read_text()))
    rows = pd.read_parquet(file.with_name("results.parquet"))
    return grid.runs_by_sweep(plan, json.loads(file.read_text())["runs"], rows)


def sweeps(build: Path, runs: Path) -> str:
    """What the recorded runs of each sweep took, of both editions."""
    seconds = costs.runs(runs).set_index("run_id")["seconds"]
    table = []
    for edition, profile in (("second", "second"), ("first", "full")):
        for name, pairs in _sweeps(runs, profile).items():
            ids = [run_id for _, run_id in pairs if run_id]
            table.append(
                {
                    "edition": edition,
                    "sweep": name,
                    "cells": len(pairs),
                    "recorded": len(ids),
                    "GPU minutes": f"{seconds.reindex(ids).sum() / 60:.1f}",
                }
            )
    return markdown(table)


def missing(build: Path, runs: Path) -> str:
    """What `config/full.yaml` plans and no recorded run has, sweep by sweep."""
    table = []
    for name, pairs in _sweeps(runs, "full").items():
        left = Counter(cell.label for cell, run_id in pairs if run_id is None)
        table.append(
            {
                "sweep": name,
                "cells": len(pairs),
                "recorded": len(pairs) - left.total(),
                "not run": ", ".join(f"{what} ({times})" for what, times in left.items()) or "–",
            }
        )
    return markdown(table)


def saved(build: Path, runs: Path) -> str:
    """Bytes of what runs leave behind."""
    sizes = costs.sizes(runs)
    return markdown(
        [{"what": name, "megabytes": f"{size / 1e6:.2f}"} for name, size in sizes.items()]
    )


def _covered(part: Callable[[], str], build: Path, runs: Path) -> str:
    """A part of the coverage page, which no build and no run changes."""
    return part()


PARTS = {
    "origins": origins,
    "recorded": recorded,
    "sweeps": sweeps,
    "notebooks": notebooks,
    "software": software,
    "assets": pins,
    "chapters": chapters,
    "trained": trained,
    "study": study,
    "saved": saved,
    "missing": missing,
}
PARTS |= {
    f"coverage_{name}": partial(_covered, part)
    for name, part in (
        *((taxonomy, partial(coverage.table, taxonomy)) for taxonomy in coverage.CELLS),
        ("groups", coverage.groups),
        ("empty", coverage.empty),
    )
}


def results(build: Path) -> pd.DataFrame:
    """Rows of the build; none where a book is rendered without results."""
    file = build / "results.parquet"
    columns = [
        "run_id",
        "origin",
        "profile",
        "device",
        "torch",
        "transformers",
        "git_commit",
        "method",
        "regularizer",
        "lam",
        "seed",
        "created",
    ]
    return (
        pd.read_parquet(file, columns=columns) if file.exists() else pd.DataFrame(columns=columns)
    )


def _minute(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}"


def _days(times: pd.Series) -> str:
    first, last = times.min()[:10], times.max()[:10]
    if not last:
        return "–"
    return first if first == last else f"{first} to {last}"


def main(build: str, target: str) -> None:
    """Write all parts of a build into a folder."""
    runs = checkout.root() / RECORDED
    for name, part in PARTS.items():
        write_atomic(Path(target) / f"{name}.md", part(Path(build), runs) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
