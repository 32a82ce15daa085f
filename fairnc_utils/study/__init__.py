"""One run: configuration in, tidy rows and provenance out. Called by the notebooks and by the command line."""

from fairnc_utils.study.ablations import ablate
from fairnc_utils.study.collapse import geometry, measure
from fairnc_utils.study.scoring import compare, perplexity, score
from fairnc_utils.study.training import finetune, train
from fairnc_utils.study.trajectory import recorded_trajectory, trajectory

__all__ = [
    "ablate", "compare", "finetune", "geometry", "measure", "perplexity", "recorded_trajectory", "score", "train", "trajectory",
]  # fmt: skip
