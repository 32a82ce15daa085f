"""From the numbers of a study to the change of one of them that a claim predicts, seed by seed."""

from dataclasses import dataclass

from fairnc_book.claims.data import CONTRASTS, Prediction
from fairnc_book.numbers import UNTRAINED, Numbers, Setting
from fairnc_utils import stats


@dataclass(frozen=True)
class Change:
    """``changes`` of a number, None with a ``reason`` where there are none; means over seeds of the
    ``first`` and ``second`` models' metric itself, before any distance is taken.
    """

    changes: stats.Changes | None
    reason: str = ""
    first: float = float("nan")
    second: float = float("nan")


def change(
    numbers: Numbers, prediction: Prediction, method: str, contrast: str, *, resamples: int
) -> Change:
    """Second minus first model of a contrast: their metric, or its distance from the ideal."""
    settings = [
        UNTRAINED if regularizer is None else numbers.setting(method, regularizer)
        for regularizer in CONTRASTS[contrast]
    ]
    pair = numbers.contrast(prediction.measure, *settings, less=prediction.against)
    benchmark = prediction.measure.benchmark
    if pair.missing:
        return Change(None, _why_not_run(numbers, benchmark, pair.missing))
    if pair.second.empty:
        return Change(None, f"not run: {benchmark} of {method} has no seed with and without NC3")
    changes = numbers.changes(pair, folded=True, resamples=resamples)
    return Change(changes, "", *(float(side["value"].mean()) for side in (pair.first, pair.second)))


def _why_not_run(numbers: Numbers, benchmark: str, setting: Setting) -> str:
    if setting.regularizer == "corrected" and setting.method not in numbers.weights:
        return "not run: no λ could be chosen"
    what = (
        "the model before training"
        if setting == UNTRAINED
        else Setting(setting.method, setting.regularizer)
    )
    released = (
        " (a released script exists for some methods only)"
        if setting.regularizer == "as_released"
        else ""
    )
    return f"not run: {benchmark} of {what}{released}"
