"""Fine-tuning tasks: one file a family, one line each in ``fairnc_utils.catalog``."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnc_utils._extras import needs
from fairnc_utils._registry import lazy
from fairnc_utils.catalog import TASKS
from fairnc_utils.errors import FairNCError

if TYPE_CHECKING:
    from fairnc_utils.tasks.base import Task, encode

needs("train")

__all__ = ["TASKS", "Missing", "Task", "encode", "get", "missing"]

__getattr__ = lazy(
    __name__, {"Task": "fairnc_utils.tasks.base:Task", "encode": "fairnc_utils.tasks.base:encode"}
)


def get(name: str) -> "Task":
    """The task called ``name``. Raises ``FairNCError`` with the valid names if there is none."""
    return TASKS.find(name)


@dataclass(frozen=True)
class Missing:
    """Why the text of a task cannot be had here and what to do about it; ``source``: what it lacks,
    which tasks may share.
    """

    reason: str
    source: str


def missing(names: Iterable[str]) -> dict[str, Missing]:
    """Those of the tasks whose text cannot be had here → why."""
    reasons = {}
    for name in names:
        task = get(name)
        try:
            for split in task.splits[:2]:
                task.items(split)
        except FairNCError as error:
            reasons[name] = Missing(str(error), getattr(error, "source", name))
    return reasons
