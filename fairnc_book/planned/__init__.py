"""The second edition of the study: what ``book/about/plan.md`` asks, and what its runs answer."""

from fairnc_book.planned.data import DESCRIBED, EDITION, FAMILIES, MAIN_DOSE, TOTAL, TREATMENTS
from fairnc_book.planned.decide import evaluate, not_run
from fairnc_book.planned.parts import (
    arms_table,
    changes,
    dose_finding,
    dose_table,
    kept_table_by_dose,
    labels,
    switches_table,
)
from fairnc_book.planned.predictions import predictions
from fairnc_book.planned.report import (
    abstract,
    answer,
    called,
    family_table,
    finding,
    instruments_table,
    kept_table,
    lacking,
    predictions_table,
    primary_table,
)
from fairnc_book.planned.rows import as_run
from fairnc_book.planned.study import Study, recorded_studies, studies

__all__ = [
    "DESCRIBED",
    "EDITION",
    "FAMILIES",
    "MAIN_DOSE",
    "TOTAL",
    "TREATMENTS",
    "Study",
    "abstract",
    "answer",
    "arms_table",
    "as_run",
    "called",
    "changes",
    "dose_finding",
    "dose_table",
    "evaluate",
    "family_table",
    "finding",
    "instruments_table",
    "kept_table",
    "kept_table_by_dose",
    "labels",
    "lacking",
    "not_run",
    "predictions",
    "predictions_table",
    "primary_table",
    "recorded_studies",
    "studies",
    "switches_table",
]
