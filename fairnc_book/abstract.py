"""The findings on the front page, each number from a row."""

import pandas as pd

from fairnc_book import claims, planned
from fairnc_book.planned.rows import read, read_lacking, read_predictions

#: What the front page says of the first edition beside the second.
_FIRST = (
    "The *first edition* of the study, with another regularizer and other rules, is kept as it was recorded "
    "in the second half of {doc}`notebooks/08-claims`. Nothing of it enters the findings above."
)


def abstract(results: pd.DataFrame) -> str:
    """The second edition's answer, in Markdown; the first edition's claims where there is no second."""
    tests = read(results)
    if tests.empty:
        return claims.abstract(results)
    second = planned.answer(tests, read_predictions(results), read_lacking(results))
    return f"{second}\nHow this was decided: {{doc}}`notebooks/08-claims`. {_FIRST}\n"
