"""What the plans of chapters 14 and 15 predicted, beside what came.

Each statement is judged as its words have it: an interval that could hold either says nothing, and a
statement whose runs are lacking is not decided.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fairnc_book import bias_source, compressed, tables
from fairnc_book.bias_source import BASE, BY_KEY, RANDOM, UNSEEN, Word, one
from fairnc_book.matched import SURVIVES, Answer
from fairnc_book.matched import Outcome as Verdict
from fairnc_book.planned import Part, beside
from fairnc_utils import stats
from fairnc_utils.errors import listed
from fairnc_utils.runs.rows import select

#: The plans, from the project's root.
BIAS_SOURCE = "book/about/plan-where-bias-comes-from.md"
COMPRESSION = "book/about/plan-compression.md"


def _above(row: pd.Series, bound: float = 0.0) -> bool | None:
    """Whether a number is above a bound; None: its interval holds the bound."""
    return {1: True, -1: False, 0: None}[stats.side(row["ci_low"], row["ci_high"], bound)]


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


def _part(name: str, row: pd.Series, holds: bool | None) -> Part:
    """A statement on one number; not complete where it was not run."""
    run = not np.isnan(row["ci_low"])
    return Part(
        f"{name}: {tables.interval(row) if run else 'not run'}", holds if run else None, run
    )


# ------------------------------------------------------------------- where a classifier's bias comes from


def of_bias_source(answers: pd.DataFrame) -> pd.DataFrame:
    """The predictions of chapter 14; ``answers``: as of ``bias_source.evaluate``. Columns as of
    ``planned.predictions``.
    """
    judged = (
        _doses,
        _elasticity,
        _untrained,
        _upstream,
        _regularized,
        _unique,
        _edits,
        _shares,
        _unseen,
    )
    came = {number: list(parts(answers)) for number, parts in enumerate(judged, start=1)}
    return beside(BIAS_SOURCE, came)


def _doses(answers: pd.DataFrame) -> Iterator[Part]:
    rows = select(answers, question="dose", condition=BASE, metric="cf_slope", how="swap")
    rows = rows.sort_values("alpha")
    yield _part("slope at α = −1", rows.iloc[0], _not(_above(rows.iloc[0])))
    said = ", ".join(map(tables.number, rows["value"]))
    run = bool(rows["value"].notna().all())
    yield Part(
        f"slopes from α = −1 to 2: {said}",
        rows["value"].is_monotonic_increasing if run else None,
        run,
    )


def _elasticity(answers: pd.DataFrame) -> Iterator[Part]:
    row = one(answers, "elasticity", metric="elasticity")
    yield _part("elasticity of the base", row, bool(0.3 <= row["value"] <= 1))
    word = bias_source.verdict(answers)
    yield Part(f"verdict: {word}", word is Word.BAKSI, word is not Word.NOT_RUN)


def _untrained(answers: pd.DataFrame) -> Iterator[Part]:
    ends = [one(answers, "dose", condition=condition) for condition in (RANDOM, BASE)]
    said = " against ".join(tables.number(row["value"]) for row in ends)
    run = not any(np.isnan(row["value"]) for row in ends)
    yield Part(f"slope without pre-training {said}", ends[0]["value"] < ends[1]["value"], run)
    change = one(answers, "without pre-training", condition=RANDOM, metric="elasticity")
    yield _part("elasticity without pre-training, minus the base's", change, _not(_above(change)))


def _upstream(answers: pd.DataFrame) -> Iterator[Part]:
    words = select(answers, question="upstream").set_index("condition")["word"]
    for key in words.index.difference(["mabel", "again_-1"], sort=False):  # not named there
        expected = Word.OPEN if key in ("noise_0.2", "adept") else Word.HARDLY
        run = words[key] != Word.NOT_RUN
        yield Part(
            f"{BY_KEY[key].label}: {words[key]}", words[key] == expected if run else None, run
        )


def _regularized(answers: pd.DataFrame) -> Iterator[Part]:
    changes = select(answers, question="upstream").set_index("condition")["value"]
    for key in ("bec_uniform", "bec_both", "bec_swap"):
        ends = changes[key], changes["bec"]
        yield Part(
            f"{BY_KEY[key].label} changes the slope by {tables.number(ends[0])}, BEC by {tables.number(ends[1])}",
            bool(abs(ends[0]) <= abs(ends[1])),
            not np.isnan(ends).any(),
        )


def _unique(answers: pd.DataFrame) -> Iterator[Part]:
    for texts in ("all doses", "as is"):
        row = one(answers, f"explained: {texts}", metric="unique_r2_difference")
        yield _part(f"unique R² of the data minus the model's, {texts}", row, _above(row))


def _edits(answers: pd.DataFrame) -> Iterator[Part]:
    word = one(answers, "control: swapping to no effect", alpha=0.0, how="placebo")
    yield _part("placebo minus as is", word, word["word"] == Word.PASSED)
    at = {"question": "dose", "condition": BASE, "metric": "cf_slope"}
    values = [
        float(select(answers, **at, alpha=alpha, how=how)["value"].mean())  # NaN: no row
        for alpha, how in ((0.0, "swap"), (0.0, "resample"), (1.0, "swap"))
    ]
    yield Part(
        "slope balanced by swapping, by resampling, and as is: "
        + ", ".join(map(tables.number, values)),
        bool(values[0] <= values[1] < values[2]),
        not np.isnan(values).any(),
    )


def _shares(answers: pd.DataFrame) -> Iterator[Part]:
    rows = select(answers, question="collapse").set_index(["split", "metric"])
    row = rows.loc[("train", "gender_eta2")]
    yield _part("correlation of η² with NC1, training texts", row, _above(row))
    row = rows.loc[("test", "cf_rms")]
    yield _part("correlation of the effects with NC1, test texts", row, _not(_above(row)))


def _unseen(answers: pd.DataFrame) -> Iterator[Part]:
    base, unseen = (
        one(answers, "elasticity", condition=condition, metric="elasticity")
        for condition in (BASE, UNSEEN)
    )
    apart = unseen["ci_low"] > base["ci_high"] or unseen["ci_high"] < base["ci_low"]
    yield _part("elasticity without BUG", unseen, not apart)


# --------------------------------------------------------------------------------------- compression


def of_compression(
    equal: pd.DataFrame,
    survived: pd.DataFrame,
    taught: pd.DataFrame,
    said: dict[str, Answer],
    written: pd.DataFrame,
) -> pd.DataFrame:
    """The predictions of chapter 15, from its tables: matched differences, survivals, students, the plan's
    ``answers`` and what the causal model writes. Columns as of ``planned.predictions``.
    """
    came = {
        1: _rounding(equal),
        2: [_none_is_fairer(equal, "pruning")],
        3: _teachers(taught),
        4: _verdicts(equal, ["base+int8"], Verdict.NO_DIFFERENCE),
        5: _surviving(survived, said),
        6: [_answer(said, compressed.ALIKE)],
        7: [_texts(written)],
    }
    return beside(COMPRESSION, {number: list(parts) for number, parts in came.items()})


def _none_is_fairer(equal: pd.DataFrame, group: str) -> Part:
    rows = equal[equal["method"].map(compressed.group) == group]
    fairer = rows.loc[rows["verdict"] == Verdict.FAIRER, "method"].map(compressed.shown)
    return Part(
        f"fairer by {group}: {listed(fairer, otherwise='none')}", fairer.empty, len(rows) > 0
    )


def _verdicts(equal: pd.DataFrame, methods: list[str], *wanted: Verdict) -> Iterator[Part]:
    """Whether compressors have one of the wanted verdicts; *inconclusive* says nothing."""
    verdicts = equal.set_index("method")["verdict"]
    for method in methods:
        word = verdicts.get(method)
        holds = None if word == Verdict.INCONCLUSIVE else word in wanted
        yield Part(f"{compressed.shown(method)}: {word or 'not run'}", holds, word is not None)


def _rounding(equal: pd.DataFrame) -> Iterator[Part]:
    yield _none_is_fairer(equal, "rounding")
    wanted = (Verdict.NOT_COMPARABLE, Verdict.NO_DIFFERENCE)
    yield from _verdicts(equal, ["base+rtn2", "base+ternary"], *wanted)


def _teachers(taught: pd.DataFrame) -> Iterator[Part]:
    """That a teacher makes no difference is seen if its student's slope is higher; one that is not shown to
    be lower says nothing.
    """
    for row in taught.to_dict("records"):
        holds = row["value"] > 0 if row["holm_p"] < 1 - stats.LEVEL else None
        yield Part(
            f"slope of kd{row['layers']} minus small{row['layers']}: {tables.interval(row)}", holds
        )
    if taught.empty:
        yield Part("not run", None, complete=False)


def _surviving(survived: pd.DataFrame, said: dict[str, Answer]) -> Iterator[Part]:
    name, left = (
        "share of BEC's effect that survives rtn4",
        {"method": "bec", "regularizer": "none"},
    )
    rows = select(survived, **left, compressor="rtn4")
    for _, row in rows.iterrows():
        yield _part(name, row, _above(row, SURVIVES))
    if rows.empty:
        yield Part(f"{name}: not run", None, complete=False)
    better = said[compressed.HELPED]
    yield Part(
        f"a regularizer helps: {better}", better != Answer.SUPPORTED, better != Answer.NOT_RUN
    )


def _answer(said: dict[str, Answer], claim: str) -> Part:
    holds = {Answer.SUPPORTED: True, Answer.CONTRADICTED: False}.get(said[claim])
    return Part(f"{claim}: {said[claim]}", holds, said[claim] != Answer.NOT_RUN)


def _texts(written: pd.DataFrame) -> Part:
    told = compressed.texts_beside_noise(written)
    apart = told.loc[told["differs"], "method"].map(compressed.shown)
    return Part(
        f"share called biased differs from noise: {listed(apart, otherwise='none')}",
        apart.empty,
        bool(told["gap"].notna().any()),
    )
