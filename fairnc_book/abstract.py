"""The findings on the front page, each number from a row."""

import pandas as pd

from fairnc_book import claims, planned
from fairnc_book.planned.rows import read, read_lacking, read_predictions


def abstract(results: pd.DataFrame) -> str:
    """The second edition's answer, then the first edition's claims, in Markdown."""
    tests = read(results)
    first = claims.abstract(results)
    if tests.empty:
        return first
    second = planned.answer(tests, read_predictions(results), read_lacking(results))
    where = "How this was decided: {doc}`notebooks/08-claims`."
    return f"{second}\n{where}\n\n**First edition.** {first}"
