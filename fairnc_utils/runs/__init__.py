"""One run: configuration in, tidy rows and provenance out. Called by the notebooks and by the command line."""

from fairnc_utils._extras import needs

with needs("measure"):
    from fairnc_utils.runs.measure import geometry, measure
    from fairnc_utils.runs.score import compare, perplexity, score
    from fairnc_utils.runs.train import finetune, train
    from fairnc_utils.runs.trajectory import recorded_trajectory, trajectory

__all__ = [
    "compare", "finetune", "geometry", "measure", "perplexity", "recorded_trajectory", "score", "train", "trajectory",
]  # fmt: skip
