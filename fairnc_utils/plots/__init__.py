"""Figures: one style, a colour-blind-safe palette, an alternative text and a caption for every figure."""

from fairnc_utils.plots.ablations import by_layer, dots, lambda_sweep, unc3_fairness
from fairnc_utils.plots.base import PALETTE, TEMPLATE, finish
from fairnc_utils.plots.claims import forest
from fairnc_utils.plots.collapse import collapse_explorer, control_draws, cosines_by_list, embedding_map
from fairnc_utils.plots.explorer import run_comparer, word_explorer
from fairnc_utils.plots.fairness import intervals, occupations
from fairnc_utils.plots.training import learning_curve, training_curves
from fairnc_utils.plots.trajectory import trajectory

__all__ = [
    "PALETTE", "TEMPLATE", "by_layer", "collapse_explorer", "control_draws", "cosines_by_list", "dots",
    "embedding_map", "finish", "forest", "intervals", "lambda_sweep", "learning_curve", "occupations", "run_comparer",
    "training_curves", "trajectory", "unc3_fairness", "word_explorer",
]  # fmt: skip
