"""Bias against what must be kept: what each treatment changes, by base, method and dose, and what
the plan's rule makes of it.

Rows are those of the second edition (``book/about/plan.md``). An *arm* is a variant of swap
collapse. A change is treated − comparator on one base, seed by seed; it is judged by the bounds on
what must be kept and by the verdict on the occupation slope.
"""

from fairnc_book.frontier.changes import (
    Change,
    Judgement,
    as_run,
    change,
    changes,
    judge,
    levels,
)
from fairnc_book.frontier.data import (
    ARMS,
    CAUSAL_METHODS,
    DOSE,
    DOSES,
    METHODS,
    OUTCOMES,
    SHOWN,
    TRANSFER,
    TREATMENTS,
    Outcome,
    bases,
    cell,
    with_rare,
)
from fairnc_book.frontier.report import (
    carried_over,
    causal_finding,
    explained,
    largest_fall,
    level_table,
    names_back,
    not_run,
    on_rare_occupations,
    price,
    ruled,
    table,
)

__all__ = [
    "ARMS",
    "CAUSAL_METHODS",
    "DOSE",
    "DOSES",
    "METHODS",
    "OUTCOMES",
    "SHOWN",
    "TRANSFER",
    "TREATMENTS",
    "Change",
    "Judgement",
    "Outcome",
    "as_run",
    "bases",
    "carried_over",
    "causal_finding",
    "cell",
    "change",
    "changes",
    "explained",
    "judge",
    "largest_fall",
    "level_table",
    "levels",
    "names_back",
    "not_run",
    "on_rare_occupations",
    "price",
    "ruled",
    "table",
    "with_rare",
]
