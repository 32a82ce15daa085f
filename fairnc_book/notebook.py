"""What every notebook asks for once: that its parameters are known."""

import ast
from collections.abc import Sequence
from itertools import pairwise

from fairnc_utils.errors import FairNCError

#: First line of the cell that papermill puts in after the one of the parameters.
INJECTED = "# Parameters\n"


def check_parameters(cells: Sequence[str] | None = None) -> None:
    """Raise ``FairNCError`` if papermill has set a name that the notebook's cell of parameters does
    not have.

    papermill only warns of it and runs the notebook with what stands there. ``cells``: sources of
    the cells that were run so far, in order; None: those of this kernel.
    """
    if cells is None:
        from IPython import get_ipython

        cells = get_ipython().user_ns["In"]
    for parameters, injected in pairwise(cells):
        if injected.startswith(INJECTED):
            known, given = _assigned(parameters), _assigned(injected)
            if unknown := [name for name in given if name not in known]:
                raise FairNCError(
                    f"no parameter is called {', '.join(unknown)}: this notebook has {', '.join(known)}"
                )


def _assigned(source: str) -> list[str]:
    """Names that a cell gives values to."""
    statements = ast.parse(source).body
    return [
        target.id for node in statements if isinstance(node, ast.Assign) for target in node.targets
    ]
