"""One run: configuration in, tidy rows and provenance out. Called by the notebooks and by the
command line.

Nothing heavy is imported before one of the functions is used.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from fairnc_utils._extras import needs
from fairnc_utils._registry import lazy

if TYPE_CHECKING:
    from fairnc_utils.runs.concepts import concepts
    from fairnc_utils.runs.finetune import finetune
    from fairnc_utils.runs.measure import geometry, measure
    from fairnc_utils.runs.score import compare, perplexity, score
    from fairnc_utils.runs.train import train
    from fairnc_utils.runs.trajectory import recorded_trajectory, trajectory
    from fairnc_utils.runs.turning import turning

needs("measure")

__all__ = [
    "compare",
    "concepts",
    "finetune",
    "geometry",
    "measure",
    "perplexity",
    "recorded_trajectory",
    "score",
    "train",
    "trajectory",
    "turning",
]

#: Module → the functions that are found here.
_FUNCTIONS = {
    "concepts": ("concepts",),
    "finetune": ("finetune",),
    "measure": ("geometry", "measure"),
    "score": ("compare", "perplexity", "score"),
    "train": ("train",),
    "trajectory": ("recorded_trajectory", "trajectory"),
    "turning": ("turning",),
}

__getattr__ = lazy(
    __name__,
    {name: f"{__name__}.{module}:{name}" for module, names in _FUNCTIONS.items() for name in names},
)


class _Runs(ModuleType):
    """This package: ``runs.measure`` is the function, even when the module of that name has been
    imported.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Runs
