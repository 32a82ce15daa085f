"""What maps and angles of a run of ``runs.trajectory`` say: the same words untrained, debiased, and with
each regularizer.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from fairnc_book import tables
from fairnc_utils.errors import listed
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs.rows import Run

#: What a reader calls the model before training.
UNTRAINED = "untrained"

#: Kind of NC3 → how its words come to stand.
KINDS = {"uniform": "uniform", "align": "aligned", "both": "uniform and aligned"}

#: Groups of the words whose angles are told one by one.
GENDERED = ("female", "male")


def name(regularizer: str) -> str:
    """What a reader calls the model that was trained with it (a label of the rows)."""
    label = RegularizerLabel.parse(regularizer)
    if label.preset == "none":
        return "debiased"
    return "debiased + " + (f"NC3 ({KINDS[label.kind]})" if label.is_nc3 else "swap collapse")


def points(items: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Item rows of ``pca``, ``umap`` or ``turned`` of a ``runs.trajectory`` at its ends: columns
    ``x``, ``y``, ``cosine`` for the scores, ``model`` as the reader calls it (``UNTRAINED`` at step
    0), ``regularizer``, ``step``, ``token``, ``kind`` (mean or embedding). The untrained model stands
    once for each regularizer.
    """
    found = items[items["benchmark"] == benchmark].reset_index(drop=True)
    found = found.rename(columns={"score_a": "x", "score_b": "y", "score_c": "cosine"})
    parts = found["item_id"].str.rsplit(":", n=3, expand=True).to_numpy()
    found[["regularizer", "step", "token", "kind"]] = parts
    found["step"] = found["step"].astype(int)
    found = found[found["step"].isin([0, found["step"].max()])]
    called = {label: name(label) for label in dict.fromkeys(found["regularizer"])}
    return found.assign(model=found["regularizer"].map(called).where(found["step"] > 0, UNTRAINED))


def gendered(shown: pd.DataFrame) -> pd.DataFrame:
    """The rows of gender words; all rows where there are none."""
    chosen = shown[shown["axis"].isin(GENDERED)]
    return chosen if len(chosen) else shown


def degrees(items: pd.DataFrame) -> pd.DataFrame:
    """The class means of gender words at both ends with ``degrees`` between mean and embedding (ideal
    at self-duality: 0); rows as ``points`` has them.
    """
    means = gendered(points(items, "pca"))
    means = means[means["kind"] == "mean"]
    return means.assign(degrees=np.degrees(np.arccos(means["cosine"].clip(-1, 1))))


def shifts(items: pd.DataFrame, benchmark: str = "umap") -> pd.DataFrame:
    """One row a word and trained model: how far its class mean lies from the untrained model's on
    the map (``map``, in share of the map's width) and how many degrees it turned (``degrees``).
    """
    keys = ["regularizer", "token"]
    shown, turned = (
        table[table["kind"] == "mean"]
        for table in (points(items, benchmark), points(items, "turned"))
    )
    width = np.ptp(shown["x"])
    before, after = (shown[at].set_index(keys) for at in (shown["step"] == 0, shown["step"] > 0))
    before = before.loc[after.index]
    way = np.hypot(after["x"] - before["x"], after["y"] - before["y"]) / width
    angle = turned[turned["step"] > 0].set_index(keys)["x"].loc[after.index]
    return after.assign(map=way, degrees=angle).reset_index()[["model", "unit", "map", "degrees"]]


def map_finding(run: Run) -> str:
    """What the maps show, how far the words turned, and how badly the map tells it."""
    moved = shifts(run.items)
    parts = [
        f"{model}, {tables.number(rows['degrees'].median(), digits=2)}°"
        for model, rows in moved.groupby("model", sort=False)
    ]
    rho = stats.spearmanr(moved["map"], moved["degrees"]).statistic
    head = (
        "What lies far apart on the map has turned far"
        if rho > 0.7
        else "The map does not show how far a word turned"
    )
    return (
        f"{head}. Class means turned from the untrained model's, median over {moved['unit'].nunique()} words: "
        f"{'; '.join(parts)}. The rank correlation of the way on the UMAP with the degrees turned is "
        f"{tables.number(rho, digits=2)}, where 1 would make the map a measure."
    )


def angle_finding(run: Run) -> str:
    """How the angles of gender words, NC3 and UNC3 changed from the first to the last step."""
    values = run.results.set_index(["regularizer", "variant", "metric"])["value"]
    angle = degrees(run.items)
    last, told, median = int(angle["step"].max()), [], {}
    for label, rows in angle.groupby("regularizer", sort=False):
        by_step = rows.pivot(index="token", columns="step", values="degrees")
        change = by_step[last] - by_step[0]
        ends = {
            metric: [values.loc[(label, f"step {step}", metric)] for step in (0, last)]
            for metric in ("nc3", "unc3")
        }
        median[name(label)] = change.median()
        told.append(
            f"{name(label)}: {(change > 0).sum()} of {len(change)} gender words end farther from their embedding, the "
            f"median by {tables.number(change.median(), digits=2)}°; "
            + ", ".join(
                f"{metric} {' to '.join(tables.number(end, digits=2) for end in pair)}"
                for metric, pair in zip(("NC3", "UNC3"), ends.values(), strict=True)
            )
        )
    of_all = (
        "" if set(run.results["words"].dropna()) == {"gender"} else " (of all words on the map)"
    )
    first = run.select(metric="nc3").iloc[0]
    lam = run.select(metric="nc3").groupby("regularizer", sort=False)["lam"].first()
    weights = "; ".join(
        f"λ = {tables.number(weight, digits=2)} for {name(label).removeprefix('debiased + ')}"
        for label, weight in lam.items()
        if weight
    )
    return (
        f"{_moved(median)} Method {first['method']}, {last:,} steps, one seed{', ' + weights if weights else ''}. "
        f"NC3 and UNC3{of_all}. {'. '.join(told)}."
    )


#: Degrees by which half of the words must turn before a sentence says that they moved.
_HARDLY = 0.25


def _moved(median: Mapping[str, float]) -> str:
    """Which models' class means came closer to their embeddings, in a sentence; ``median``: of the
    change of the angle, in degrees.
    """
    ways = {
        "come closer to their embeddings": [m for m, change in median.items() if change < -_HARDLY],
        "move away from them": [m for m, change in median.items() if change > _HARDLY],
        "hardly move": [m for m, change in median.items() if abs(change) <= _HARDLY],
    }
    said = [f"{way} when {listed(models)}" for way, models in ways.items() if models]
    return f"Most gender words {'; they '.join(said)}."
