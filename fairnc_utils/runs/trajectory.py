"""A run that follows class means and word embeddings while a model is trained, once with each
regularizer, in one map.
"""

import json
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fairnc_utils import batching, collapse, corpora, measurement, models, projection, words
from fairnc_utils._extras import needs
from fairnc_utils.collapse import Collapse
from fairnc_utils.debias import get as get_method
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.runs import checkout
from fairnc_utils.runs.options import Debiasing, TrajectoryConfig, configured
from fairnc_utils.runs.rows import RECORDED, Run, load, make, metric_rows, recorded, select
from fairnc_utils.runs.store import stored
from fairnc_utils.runs.treatment import Treatment

#: What rows report of each snapshot.
METRICS = ("nc3", "nc3_ceiling", "nc3c", "unc3")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One moment of one training: class means and word embeddings (2, K, D), and their collapse.

    ``columns``: method, regularizer and λ, for its rows.
    """

    step: int
    columns: dict
    points: Tensor
    collapse: Collapse


@dataclass
class _Watch:
    """Takes a snapshot of ``lm`` as it is at each call, the first of the untrained model; it is
    what ``train`` evaluates.
    """

    lm: LanguageModel
    config: TrajectoryConfig
    classes: list[int]
    columns: dict
    snapshots: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        texts = corpora.load("gap", self.config.split)["text"][: self.config.evaluation_texts]
        self.sequences = batching.tokenize(texts, self.lm.tokenizer, max_length=self.lm.max_length)
        self.every = -(-self.config.steps // self.config.snapshots)

    def __call__(self) -> dict[str, float]:
        lm = self.lm
        statistics = measurement.statistics_of(lm, self.sequences)
        measured = collapse.measure(
            statistics, lm.weight, classes=self.classes, min_count=self.config.min_count
        )
        on = measured.classes.to(lm.device)
        points = torch.stack([statistics.means(on).float(), lm.weight.detach()[on].float()]).cpu()
        step = min(len(self.snapshots) * self.every, self.config.steps)
        self.snapshots.append(Snapshot(step, self.columns, points, measured))
        return {"nc3": float(measured.nc3), "unc3": float(measured.unc3)}


@stored
def trajectory(**options) -> Run:
    """Train a method once with each regularizer, and place the words' means and embeddings at every
    snapshot in one map.

    Options: see ``TrajectoryConfig``. Rows: NC3 and UNC3 of each snapshot, its step as ``variant``,
    and how far to trust each map. Items: benchmark ``pca`` or ``umap``, axis the word's group, unit
    the word, ``item_id`` ``<regularizer>:<step>:<token id>:mean`` or ``…:embedding``, coordinates
    in ``score_a`` and ``score_b``, NC3 cosine in ``score_c``; and benchmark ``turned``: degrees
    that a word's class mean (``…:mean``) or embedding has turned from the untrained model's, in
    ``score_a``. Raises ``FairNCError`` as ``train`` does, and where too few of the words are seen.
    """
    config = configured(TrajectoryConfig, options)
    needs("maps")  # at once, not after the work that comes before the map
    get_method(config.method)  # base trains nothing
    common = config.model_dump(
        include={"method", "lam", "dose", "steps", "batch_size", "texts", "precision"}
    )
    treatments = [
        Treatment.of(Debiasing(regularizer=regularizer, **common), model=config.model)
        for regularizer in config.regularizers
    ]
    if len({treatment.columns["regularizer"] for treatment in treatments}) < len(treatments):
        raise FairNCError(f"option regularizers = {config.regularizers}: name each once")
    foreign, snapshots = words.evidence(config.words), []
    for treatment in treatments:
        lm = models.load(checkout.located(config.model), device=config.device)
        fingerprint = lm.fingerprint
        groups = words.grouped(words.load(axis, lm.tokenizer) for axis in config.words)
        treatment.require(lm)
        watch = _Watch(lm, config, sorted(groups), treatment.columns)
        watch()
        treatment.apply(lm, seed=config.seed, evaluate=watch, evaluate_every=watch.every)
        snapshots += watch.snapshots
    rows, items = _mapped(snapshots, lm, groups, config)
    return make(
        config,
        rows,
        items,
        device=lm.device,
        evidence={"model": fingerprint} | treatment.evidence | foreign,
    )


def recorded_trajectory() -> Run | None:
    """The latest run of ``trajectory`` that comes with the book; None if there is none."""
    rows = select(recorded(), benchmark="trajectory").sort_values("created", kind="stable")
    for run_id in reversed(dict.fromkeys(rows["run_id"])):
        folder = checkout.root() / RECORDED / run_id
        if (folder / "items.parquet").is_file():
            provenance = json.loads((folder / "provenance.json").read_text())
            return Run(run_id, select(rows, run_id=run_id), load(folder, "items"), provenance)
    return None


def _mapped(
    snapshots: list[Snapshot], lm: LanguageModel, groups: dict[int, str], config: TrajectoryConfig
) -> tuple[list[dict], pd.DataFrame]:
    """Result rows of the snapshots and of the maps, and every point of every map as an item row."""
    # The untrained model is the same in every run: once in the map, or UMAP would give it as many
    # places.
    once = [shot for i, shot in enumerate(snapshots) if i == 0 or shot.step]
    maps, metrics = projection.planes(
        torch.stack([shot.points for shot in once]), neighbors=config.neighbors, seed=config.seed
    )
    labels = dict.fromkeys(shot.columns["regularizer"] for shot in snapshots)
    untrained = _directions(snapshots[0])
    rows, tables = (
        [{"method": config.method, "regularizer": " and ".join(labels)} | row for row in metrics],
        [],
    )
    for shot in snapshots:
        place = once.index(shot) if shot.step else 0
        estimates = {name: shot.collapse.estimates[name] for name in METRICS}
        rows += metric_rows(estimates, **shot.columns, variant=f"step {shot.step}")
        name = f"{shot.columns['regularizer']}:{shot.step}"
        for method, flat in maps.items():
            items = measurement.map_items(lm, shot.collapse, groups, flat[place], name)
            tables.append(items.assign(benchmark=method))
        cosine = (_directions(shot) * untrained).sum(-1).clamp(-1, 1)
        turned = torch.rad2deg(cosine.arccos()).flatten().numpy()  # class means, then embeddings
        scores = {"score_a": turned, "score_b": np.nan, "score_c": np.nan}
        tables.append(items.assign(benchmark="turned", **scores))
    common = {
        "benchmark": "trajectory",
        "corpus": "gap",
        "split": config.split,
        "space": "head",
        "words": "+".join(config.words),
        "min_count": config.min_count,
        "n": len(shot.collapse.classes),
    }
    return [common | row for row in rows], pd.concat(tables, ignore_index=True).assign(
        split=config.split
    )


def _directions(shot: Snapshot) -> Tensor:
    """What NC3 compares of a snapshot: its points (2, K, D) as directions from their mean."""
    return torch.stack([projection.directions(points) for points in shot.points])
