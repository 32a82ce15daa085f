"""The findings on the front page, each number from a row."""

import pandas as pd

from fairnc_book import claims, planned
from fairnc_book.planned.data import EMBEDDED
from fairnc_book.planned.rows import read, read_lacking, read_predictions

#: Where the front page parts the text: the answer stands before it, what is to be known of it behind.
PARTED = "% what the findings leave open"


def abstract(results: pd.DataFrame) -> str:
    """The second edition's answer and, behind ``PARTED``, what the findings leave open, in Markdown; the
    first edition's claims where there is no second.
    """
    tests = read(results)
    if tests.empty:
        return f"{claims.abstract(results)}\n{PARTED}\n\n- Only the first edition is recorded.\n"
    answer = f"{planned.short_answer(tests)}\n\n{planned.strip(tests, read_predictions(results))}"
    return f"{answer}\n\n{_NUMBERS}\n\n{PARTED}\n\n{_open(tests, read_lacking(results))}\n"


#: What the numbers of the strip are.
_NUMBERS = (
    "[Changes in percent. *Bias*: against plain training of the same length in the second row, then against the same "
    "method alone. *Unevenness* in the alignment of gender words: less of it is more collapse. "
    "{doc}`All claims, with intervals <notebooks/08-claims>`]{.strip-note}"
)


def _open(tests: pd.DataFrame, missing: dict[str, int]) -> str:
    """A list in Markdown."""
    elsewhere = {sweep: number for sweep, number in missing.items() if sweep.startswith(_ELSEWHERE)}
    here = sum(missing.values()) - sum(elsewhere.values())
    name = EMBEDDED.rpartition("/")[2]
    said = [planned.methods_apart(tests)]
    if not any(missing.values()):
        said.append("Every run of the plan is recorded.")
    elif here:
        said.append(
            f"{sum(missing.values())} runs of the plan are not recorded yet; they may change a verdict."
        )
    else:
        said.append(
            f"Every planned run of *{name}* is recorded. Of the other models, {sum(elsewhere.values())} runs of the plan are "
            "not; they may change what holds over several models."
        )
    return "\n".join(f"- {each}" for each in said if each)


#: How the sweeps begin that are about other models than the embedded one.
_ELSEWHERE = ("bases", "causal")
