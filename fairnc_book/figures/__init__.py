"""Figures: one style, a colour-blind-safe palette, an alternative text and a caption for every
figure.
"""

from fairnc_book.figures.ablations import by_layer, dots, lambda_sweep, unc3_fairness
from fairnc_book.figures.base import PALETTE, TEMPLATE, finish
from fairnc_book.figures.bias_source import class_collapse, dose_response, upstream
from fairnc_book.figures.claims import forest
from fairnc_book.figures.collapse import (
    collapse_explorer,
    control_draws,
    cosines_by_list,
    embedding_map,
)
from fairnc_book.figures.compressed import equal_quality, students, survival
from fairnc_book.figures.concepts import concept_layers, proposition
from fairnc_book.figures.duality import slope_range, turning
from fairnc_book.figures.explorer import run_comparer, word_explorer
from fairnc_book.figures.fairness import intervals, occupations
from fairnc_book.figures.frontier import frontier
from fairnc_book.figures.origins import origins
from fairnc_book.figures.training import learning_curve, training_curves
from fairnc_book.figures.trajectory import angles, arrows, word_maps_of_models

__all__ = [
    "PALETTE",
    "TEMPLATE",
    "angles",
    "arrows",
    "by_layer",
    "class_collapse",
    "collapse_explorer",
    "concept_layers",
    "control_draws",
    "cosines_by_list",
    "dose_response",
    "dots",
    "embedding_map",
    "equal_quality",
    "finish",
    "forest",
    "frontier",
    "intervals",
    "lambda_sweep",
    "learning_curve",
    "occupations",
    "origins",
    "proposition",
    "run_comparer",
    "slope_range",
    "students",
    "survival",
    "training_curves",
    "turning",
    "unc3_fairness",
    "upstream",
    "word_explorer",
    "word_maps_of_models",
]
