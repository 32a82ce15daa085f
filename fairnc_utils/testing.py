"""A gate for a test suite: the test fails if a model is worse than another by more than it may be.

    from fairnc_utils.testing import assert_not_worse

    def test_the_new_model_is_no_less_fair():
        assert_not_worse("runs/new", "runs/old", margins={"slope": 0.2, "log_loss": 0.03})

It is ``fairnc compare OLD NEW --margin …``: the same function decides.
"""

from collections.abc import Mapping
from typing import Any

from fairnc_utils.compare import Comparison, Decision, compare
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel


def assert_not_worse(
    candidate: str | LanguageModel,
    reference: str | LanguageModel,
    *,
    margins: Mapping[str, float],
    undecided: str = "fail",
    **options: Any,
) -> Comparison:
    """Compare, and raise ``AssertionError`` unless the candidate is not worse than the reference.

    ``margins``: metric → the largest loss that is no loss; ``undecided``: *fail*, *skip* or *pass*,
    what is done where the items do not decide; ``options``: of ``compare``, such as ``benchmarks``
    or ``budget``. Returns the comparison. Raises ``FairNCError`` on bad input.
    """
    if undecided not in ("fail", "skip", "pass"):
        raise FairNCError(f"undecided = {undecided!r}: choose fail, skip or pass")
    if not margins:
        raise FairNCError("assert_not_worse without margins decides nothing: give one at least")
    comparison = compare(reference, candidate, margins=margins, **options)
    check(comparison, undecided=undecided)
    return comparison


def check(comparison: Comparison, *, undecided: str = "fail") -> None:
    """Raise ``AssertionError``, or skip the test, as the comparison's decision says."""
    __tracebackhide__ = True  # what pytest shows is the line of the test
    failed = comparison.decision is Decision.WORSE
    if comparison.decision is Decision.UNDECIDED:
        if undecided == "skip":
            import pytest

            pytest.skip(f"undecided: {_why(comparison, Decision.UNDECIDED)}")
        failed = undecided == "fail"
    if failed:
        why = _why(comparison, comparison.decision)
        raise AssertionError(f"{comparison.second} against {comparison.first}: {why}")


def _why(comparison: Comparison, decision: Decision | None) -> str:
    return " ".join(test.sentence for test in comparison.gated if test.decision is decision)
