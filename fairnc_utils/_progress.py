"""How far long work is: a bar in a terminal, in a notebook a line below the cell, in a log a line
every ten seconds.
"""

import io
import os
import sys
from collections.abc import Callable

from tqdm import tqdm

from fairnc_utils import processes

#: Set to ``log`` for a notebook that nobody watches: its pages show no progress, its log does.
VARIABLE = "FAIRNC_PROGRESS"


def progress(*items, **options) -> tqdm:
    """A ``tqdm`` bar with its options. Where lines cannot be drawn over, work inside other work
    shows none of its own; of several processes at one work the first speaks for all.
    """
    if not processes.is_first():
        return tqdm(*items, **options | {"disable": True})
    if os.environ.get(VARIABLE) != "log" and _in_notebook():
        return _Displayed(*items, file=io.StringIO(), ascii=False, **options)
    if sys.stderr.isatty():
        return tqdm(*items, leave=None, **options)
    return _Logged(
        *items, file=io.StringIO(), ascii=False, mininterval=10, maxinterval=60, **options
    )


class _Outermost(tqdm):
    """A bar that gives each of its states to ``status_printer``, unless it is inside another."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if not self.pos:
            self.sp(str(self) if msg is None else msg)


class _Displayed(_Outermost):
    """An output of the cell, updated in place: what comes on standard error is shown like an error."""

    @staticmethod
    def status_printer(file: io.StringIO) -> Callable[[str], None]:
        from IPython.display import DisplayHandle

        handle, shown = DisplayHandle(), False

        def show(status: str) -> None:
            nonlocal shown
            (handle.update if shown else handle.display)({"text/plain": status}, raw=True)
            shown = True

        return show


class _Logged(_Outermost):
    """Lines on standard error, the last one when the work ends."""

    @staticmethod
    def status_printer(file: io.StringIO) -> Callable[[str], None]:
        return lambda status: print(status, file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook (a terminal with IPython has none)."""
    ipython = sys.modules.get("IPython")
    return bool(ipython) and hasattr(ipython.get_ipython(), "kernel")
