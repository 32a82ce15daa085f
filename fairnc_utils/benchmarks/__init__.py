"""Fairness benchmarks: one file each, one line in ``fairnc_utils.catalog``; those of other packages
stand beside them.
"""

from typing import TYPE_CHECKING

from fairnc_utils._extras import needs
from fairnc_utils._registry import lazy
from fairnc_utils.catalog import BENCHMARKS

if TYPE_CHECKING:
    from fairnc_utils.benchmarks.base import Benchmark

needs("measure")

__all__ = ["BENCHMARKS", "Benchmark", "get"]

__getattr__ = lazy(__name__, {"Benchmark": "fairnc_utils.benchmarks.base:Benchmark"})


def get(name: str) -> "Benchmark":
    """The benchmark called ``name``. Raises ``FairNCError`` with the valid names if there is none."""
    return BENCHMARKS.find(name)
