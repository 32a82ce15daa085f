"""The second edition of the study: what ``book/about/plan.md`` asks, and what its runs answer.

Treatments, arms, doses, outcomes and bounds are data; ``evaluate`` makes of them and of the runs one
table of tests, which all chapters, tables and figures on the second edition read.
"""

from fairnc_book.planned.data import (
    ARMS,
    CAUSAL,
    CAUSAL_FAMILIES,
    DESCRIBED,
    DOSED,
    EDITION,
    FAMILIES,
    FRONTIER,
    MAIN_DOSE,
    PRICED,
    RARE,
    SLOPE,
    TOTAL,
    TRANSFER,
    TREATMENTS,
)
from fairnc_book.planned.decide import effect, evaluate, not_run
from fairnc_book.planned.predictions import predictions
from fairnc_book.planned.report import (
    Change,
    arms,
    arms_table,
    by_method,
    called,
    dose_table,
    family_table,
    instruments_table,
    kept_table,
    predictions_table,
    primary_table,
    switches_table,
    table,
)
from fairnc_book.planned.rows import as_run
from fairnc_book.planned.sentences import (
    answer,
    changes,
    dose_finding,
    finding,
    labels,
    lacking,
    lost_by,
)
from fairnc_book.planned.study import Study, recorded_studies, studies

__all__ = [
    "ARMS",
    "CAUSAL",
    "CAUSAL_FAMILIES",
    "DESCRIBED",
    "DOSED",
    "EDITION",
    "FAMILIES",
    "FRONTIER",
    "MAIN_DOSE",
    "PRICED",
    "RARE",
    "SLOPE",
    "TOTAL",
    "TRANSFER",
    "TREATMENTS",
    "Change",
    "Study",
    "answer",
    "arms",
    "arms_table",
    "as_run",
    "by_method",
    "called",
    "changes",
    "dose_finding",
    "dose_table",
    "effect",
    "evaluate",
    "family_table",
    "finding",
    "instruments_table",
    "kept_table",
    "labels",
    "lacking",
    "lost_by",
    "not_run",
    "predictions",
    "predictions_table",
    "primary_table",
    "recorded_studies",
    "studies",
    "switches_table",
    "table",
]
