"""Fine-tuning tasks: one file a family, one line each in ``fairnc_utils.catalog``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairnc_utils._extras import needs
from fairnc_utils._registry import lazy
from fairnc_utils.catalog import TASKS
from fairnc_utils.errors import FairNCError

if TYPE_CHECKING:
    from fairnc_utils.tasks.base import Task, encode

needs("train")

__all__ = ["TASKS", "Task", "encode", "get", "missing"]

__getattr__ = lazy(
    __name__, {"Task": "fairnc_utils.tasks.base:Task", "encode": "fairnc_utils.tasks.base:encode"}
)


def get(name: str) -> "Task":
    """The task called ``name``. Raises ``FairNCError`` with the valid names if there is none."""
    return TASKS.find(name)


def missing(names: Iterable[str]) -> dict[str, str]:
    """Those of the tasks whose text cannot be had here → why, and what to do about it."""
    found = {}
    for name in names:
        task = get(name)
        try:
            for split in task.splits[:2]:
                task.items(split)
        except FairNCError as error:
            found[name] = str(error)
    return found
