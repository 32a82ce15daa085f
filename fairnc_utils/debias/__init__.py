"""Debiasing methods, one file each (four that share everything but their text share one): data,
loss, hyperparameters.

Each is one line in ``fairnc_utils.catalog``; those of other packages stand beside them.
"""

from typing import TYPE_CHECKING

from fairnc_utils._extras import needs
from fairnc_utils._registry import lazy
from fairnc_utils.catalog import METHODS

if TYPE_CHECKING:
    from fairnc_utils.debias.base import Method, Recipe

needs("train")

__all__ = ["CONTROLS", "DEBIASING", "METHODS", "Method", "Recipe", "get"]

__getattr__ = lazy(
    __name__,
    {"Method": "fairnc_utils.debias.base:Method", "Recipe": "fairnc_utils.debias.base:Recipe"},
)

#: Methods of the study that debias, in the order of tables and figures; totals are over these.
DEBIASING = ("bec", "cda", "dropout", "mabel", "ase", "adept")

#: Training on as before, without debiasing: shown beside them, part of no total.
CONTROLS = ("mlm",)


def get(name: str) -> "Method":
    """The method of that name; raises ``FairNCError`` naming all."""
    return METHODS.find(name)
