"""The second edition by dose, by switch of NC3 and by arm of swap collapse: what the chapter on
ablations shows.
"""

from collections.abc import Iterable

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.planned.data import (
    ARMS,
    COLLAPSE_BY_DOSE,
    DOSED,
    DOSES,
    EMBEDDED,
    KEPT_BY_DOSE,
    MAIN_DOSE,
    PARTS,
    SLOPE,
    SWITCHES,
    TOTAL,
    Comparison,
    Family,
)
from fairnc_book.planned.report import entry
from fairnc_utils.runs.rows import select


def changes(tests: pd.DataFrame, family: str) -> pd.DataFrame:
    """Totals of a family on the embedded model as rows with a ``metric`` and ``n`` (seeds), for
    figures.
    """
    rows = select(tests, family=family, model=EMBEDDED, method=TOTAL)
    return rows.assign(metric=rows["key"].str.rpartition("/")[2], n=rows["seeds"])


def labels() -> dict[str, str]:
    """Comparison → treatment and dose, in the order in which they are shown."""
    return {
        comparison.key: f"{treatment}, {dose:g}" for (treatment, dose), comparison in DOSED.items()
    }


def dose_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """UNC3 and NC3 of gender words by treatment and dose, at each threshold."""
    comparisons = [each for each in COLLAPSE_BY_DOSE.tests if each not in SWITCHES]
    return _table(tests, comparisons, (COLLAPSE_BY_DOSE,), caption=caption)


def kept_table_by_dose(tests: pd.DataFrame, *, caption: str) -> Styler:
    """What must be kept by treatment, dose and arm of swap collapse."""
    return _table(tests, KEPT_BY_DOSE.tests, (KEPT_BY_DOSE,), caption=caption)


def switches_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """The slope and the collapse of gender words with one thing of NC3 changed, beside *uniform*."""
    comparisons = (DOSED["uniform", MAIN_DOSE], *SWITCHES)
    return _table(tests, comparisons, (PARTS, COLLAPSE_BY_DOSE), method="bec", caption=caption)


def arms_table(tests: pd.DataFrame, *, caption: str) -> Styler:
    """The slope and swap collapse with one thing of swap collapse changed, beside *swap*."""
    comparisons = (DOSED["swap", MAIN_DOSE], *ARMS)
    return _table(tests, comparisons, (PARTS,), method="cda", caption=caption)


def _table(
    tests: pd.DataFrame,
    comparisons: Iterable[Comparison],
    families: Iterable[Family],
    *,
    caption: str,
    method: str = TOTAL,
) -> Styler:
    """One row a comparison, one column an outcome of the families that any of them has."""
    comparisons = list(comparisons)
    rows = []
    for comparison in comparisons:
        entries = {"change": comparison.label}
        for family in families:
            outcomes = {
                outcome.key: outcome
                for each in comparisons
                for outcome in family.tests.get(each, ())
            }
            of = select(tests, family=family.key, comparison=comparison.key, model=EMBEDDED)
            of = select(of, method=method)
            entries |= {
                outcome.label: entry(select(of, key=key)) for key, outcome in outcomes.items()
            }
        rows.append(entries)
    return tables.plain(pd.DataFrame(rows), caption=caption)


def dose_finding(tests: pd.DataFrame) -> str:
    """A sentence on each treatment, in Markdown: how its slope moves as the dose grows."""
    said = []
    for treatment in dict.fromkeys(name for name, _ in DOSED):
        keys = [DOSED[treatment, dose].key for dose in DOSES]
        rows = select(tests, family="doses", key=SLOPE.key, model=EMBEDDED, method=TOTAL)
        rows = rows[rows["comparison"].isin(keys) & rows["ci_low"].notna()]
        raised, lowered = int((rows["ci_low"] > 0).sum()), int((rows["ci_high"] < 0).sum())
        said.append(
            f"*{treatment}* raises the slope at {raised} and lowers it at {lowered} of {len(rows)}"
        )
    return f"**Finding.** By intervals without 0: {'; '.join(said)} doses."
