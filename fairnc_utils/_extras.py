"""What is installed with the package only if it is asked for: ``pip install
'fairnc-utils[measure]'`` and the like.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from fairnc_utils.errors import FairNCError

_MEASURE = ("datasets", "pandas", "pyarrow", "pydantic", "yaml")

#: Extra of ``pyproject.toml`` → modules that it brings.
MODULES = {
    "measure": _MEASURE,
    "train": _MEASURE,
    "maps": (*_MEASURE, "sklearn", "umap"),
    "gguf": ("gguf",),
    "text": (*_MEASURE, "better_profanity", "vaderSentiment"),
    "book": (*_MEASURE, "matplotlib", "myst_nb", "nbformat", "papermill", "plotly", "snakemake"),
}


class MissingExtra(FairNCError, ImportError):
    """A part of the package was not installed. The message is the command that installs it."""


def needs(extra: str) -> AbstractContextManager[None]:
    """Check that an extra is installed; stands by itself, or as ``with needs("measure"):`` over the
    imports that need it.

    Nothing is imported. Raises ``MissingExtra``.
    """
    for module in MODULES[extra]:
        if find_spec(module) is None:
            raise MissingExtra(f"{module} is not installed: pip install 'fairnc-utils[{extra}]'")
    return nullcontext()
