"""Debiasing methods, one file each (four that share everything but their text share one): data, loss, hyperparameters."""

from fairnc_utils._extras import needs
from fairnc_utils.errors import FairNCError

with needs("train"):
    from fairnc_utils.debias.adept import ADEPT
    from fairnc_utils.debias.adept_prefix import ADEPT_PREFIX
    from fairnc_utils.debias.ase import ASE
    from fairnc_utils.debias.base import Method, Recipe
    from fairnc_utils.debias.mabel import MABEL, MABEL_NLI
    from fairnc_utils.debias.masked import BEC, CDA, DROPOUT, MLM

__all__ = ["CONTROLS", "DEBIASING", "METHODS", "Method", "Recipe", "get"]

#: Method name → method.
METHODS: dict[str, Method] = {
    method.name: method for method in (MLM, BEC, MABEL, MABEL_NLI, ASE, ADEPT, ADEPT_PREFIX, CDA, DROPOUT)
}

#: Methods of the study that debias, in the order of tables and figures; totals are over these.
DEBIASING = ("bec", "cda", "dropout", "mabel", "ase", "adept")

#: Training on as before, without debiasing: shown beside them, part of no total.
CONTROLS = ("mlm",)


def get(name: str) -> Method:
    """The method of that name; raises ``FairNCError`` naming all."""
    if name not in METHODS:
        raise FairNCError(f"option method = {name!r}: choose {', '.join(METHODS)}")
    return METHODS[name]
