"""Fine-tuning tasks: one file a family, one line in the registry."""

from collections.abc import Iterable

from fairnc_utils._extras import needs
from fairnc_utils.errors import FairNCError

with needs("train"):
    from fairnc_utils.tasks.base import Task, encode
    from fairnc_utils.tasks.biographies import BIAS_IN_BIOS, BUG_PROFESSION
    from fairnc_utils.tasks.coreference import COREFERENCE, COREFERENCE_ONTONOTES
    from fairnc_utils.tasks.glue import GLUE
    from fairnc_utils.tasks.nli import SICK_NLI, SNLI

__all__ = ["TASKS", "Task", "encode", "get", "missing"]

_ALL = (COREFERENCE, COREFERENCE_ONTONOTES, *GLUE.values(), SNLI, SICK_NLI, BIAS_IN_BIOS, BUG_PROFESSION)

#: Task name → task.
TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def get(name: str) -> Task:
    """The task called ``name``. Raises ``FairNCError`` with the valid names if there is none."""
    if name not in TASKS:
        raise FairNCError(f"unknown task {name!r}: choose {', '.join(TASKS)}")
    return TASKS[name]


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
