"""The claims of the paper and what a study says of them: data → effects → tests → report."""

from fairnc_book.claims.data import CLAIMS, CONTRAST_LABELS, Claim, Measure
from fairnc_book.claims.decide import TOTAL, VERDICTS, evaluate, overall, verdict
from fairnc_book.claims.effects import Study
from fairnc_book.claims.report import abstract, as_run, details, finding, power_table, section, summary

__all__ = [
    "CLAIMS", "CONTRAST_LABELS", "TOTAL", "VERDICTS", "Claim", "Measure", "Study", "abstract", "as_run", "details",
    "evaluate", "finding", "overall", "power_table", "section", "summary", "verdict",
]  # fmt: skip
