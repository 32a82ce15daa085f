"""The claims of the paper and what a study says of them: data → effects → tests → rows, report."""

from fairnc_book.claims.data import CLAIMS, CONTRAST_LABELS, Claim, Prediction
from fairnc_book.claims.decide import TOTAL, VERDICTS, evaluate, overall, verdict
from fairnc_book.claims.report import abstract, details, finding, power_table, section, summary
from fairnc_book.claims.rows import as_run

__all__ = [
    "CLAIMS",
    "CONTRAST_LABELS",
    "TOTAL",
    "VERDICTS",
    "Claim",
    "Prediction",
    "abstract",
    "as_run",
    "details",
    "evaluate",
    "finding",
    "overall",
    "power_table",
    "section",
    "summary",
    "verdict",
]
