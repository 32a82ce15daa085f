"""A workflow of two chapters without any model, and its table."""

import shutil
from pathlib import Path

import pandas as pd
import yaml

from helpers.workflow import copy, plant

# Runs of two chapters without any model: what they save depends on the chapter's name alone.
SAVE = """
import time
from pathlib import Path
import numpy as np, pandas as pd
from fairnc_utils.runs.rows import ITEM_COLUMNS, RESULT_COLUMNS, Run

name = Path(results).name
for seed in range(3):
    values = np.random.default_rng([seed, *name.encode()]).random(40)
    rows = pd.DataFrame({column: "" for column in RESULT_COLUMNS}, index=range(40))
    rows = rows.assign(run_id=f"{name}-{seed}", origin="live", value=values, n=1.0, seed=float(seed))
    items = pd.DataFrame({column: "x" * 20 for column in ITEM_COLUMNS}, index=range(20_000))
    items = items.assign(score_a=np.random.default_rng(seed).random(20_000))
    Run(f"{name}-{seed}", rows, items, {"run_id": name}).save(results)
    time.sleep(0.2)
"""

STEMS = ("02-measuring-collapse", "03-geometry")


def scratch(folder: Path, cell: str = SAVE) -> Path:
    """A copy of the project with two small chapters and no site → its folder."""
    project = copy(folder)
    shutil.rmtree(project / "book/recorded")
    path = project / "config/tiny.yaml"
    profile = yaml.safe_load(path.read_text())
    profile = {"common": profile["common"], "chapters": {stem: {} for stem in STEMS}}
    path.write_text(yaml.safe_dump(profile))
    for stem in STEMS:
        plant(project, stem, cell)
    return project


TABLE_OF_ALL = "build/tiny/results.parquet"


def tidy(table: pd.DataFrame) -> str:
    """The live rows of a table without what differs between equal runs: time and commit."""
    return (
        table.query("origin == 'live'").drop(columns=["created", "git_commit"]).to_csv(index=False)
    )
