"""Figures: one style, a colour-blind-safe palette, an alternative text and a caption for every figure."""

from fairnc_utils.plots.base import PALETTE, TEMPLATE, finish
from fairnc_utils.plots.collapse import collapse_explorer, control_draws, cosines_by_list, embedding_map
from fairnc_utils.plots.fairness import intervals, occupations
from fairnc_utils.plots.training import learning_curve, training_curves

__all__ = [
    "PALETTE", "TEMPLATE", "collapse_explorer", "control_draws", "cosines_by_list", "embedding_map", "finish", "intervals",
    "learning_curve", "occupations", "training_curves",
]  # fmt: skip
