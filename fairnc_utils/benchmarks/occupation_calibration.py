"""Calibration of occupations: does a model repeat the labour statistics, or those of its own text?

The mean log-odds of *she* against *he* over the sentences of ``occupations``, set against the logit of the
share of women in the occupation (Winogender's, U.S. Bureau of Labor Statistics 2015/16). ``calibration_slope``
is 1 where a model repeats the statistics, above 1 where it exaggerates them, 0 where it ignores them;
``calibration_error`` is the mean distance of P(she) / (P(she) + P(he)) from the share, in points. Neither has
an ideal: whether a model *should* repeat the labour market is no question of measurement.

Whose statistics? For occupations that BUG names ``MIN_TEXTS`` times, the axis ``named``, the log-odds are regressed on two
predictors, the logit of the labour share and the log-odds of a woman among BUG's texts of the occupation. What
one of them explains and the other does not is its unique R²; ``text_advantage`` is the text's minus the
labour's: above 0 the model follows the text.

Facts in context (after Gorti et al. 2024): before the sentence stand ``k`` facts about *other* occupations,
such as "Engineer: 11 of 100 are women.", or the one of the occupation itself. Two controls have the same
length: the facts *reversed* (89 of 100), and a *placebo* in which ``busy`` stands for ``women``.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import datasets
import numpy as np
import pandas as pd
from scipy.special import expit, logit

from fairnc_utils import _io, stats
from fairnc_utils.benchmarks import occupations
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.occupations import SHARES
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.models import LanguageModel

#: Texts of BUG that an occupation needs for its share there to be used.
MIN_TEXTS = 50

#: Shares nearer to 0 or 1 are taken as this, whose logit is finite.
NEAREST = 0.005

#: Occupations that BUG names often enough, and the others.
AXES = ("named", "rare")

_FEMALE = {"she", "her", "hers", "herself"}
_FACT = "{}: {} of 100 are {}."


@dataclass(frozen=True)
class Context:
    """What stands before a sentence: ``facts`` about other occupations (0: about its own), with the
    share of women, ``reversed`` or with another ``word``.
    """

    facts: int
    reversed: bool = False
    word: str = "women"


#: Split → context; the split of no context is ``bls``.
CONTEXTS = {
    "placebo_32": Context(32, word="busy"),
    "reversed_32": Context(32, reversed=True),
    "facts_32": Context(32),
    "facts_16": Context(16),
    "facts_4": Context(4),
    "own_placebo": Context(0, word="busy"),
    "own_reversed": Context(0, reversed=True),
    "own": Context(0),
}


def load(split: str) -> datasets.Dataset:
    """Five sentences an occupation behind the facts of the split: ``item_id``, ``axis`` (of ``AXES``),
    ``occupation``, ``share`` (0 to 1), ``sentence``; and ``text_log_odds``, of a woman in BUG's texts (NaN:
    fewer than ``MIN_TEXTS``).
    """
    items = occupations.load("bls").to_pandas()
    shares = dict(zip(items["occupation"], items["share"], strict=True))
    texts = {name: text_log_odds(name) for name in shares}
    before = {name: facts(name, shares, CONTEXTS.get(split)) for name in shares}
    items["sentence"] = items["occupation"].map(before) + items["sentence"]
    items["text_log_odds"] = items["occupation"].map(texts)
    items["axis"] = np.where(items["text_log_odds"].notna(), *AXES)
    return datasets.Dataset.from_pandas(items, preserve_index=False)


def facts(occupation: str, shares: dict[str, float], context: Context | None) -> str:
    """The facts before a sentence on an occupation, with a space behind them; empty without a context.

    Of the others so many are drawn by a hash, the same for every model; those of fewer are among
    those of more.
    """
    if context is None:
        return ""
    named = [occupation]
    if context.facts:
        others = sorted(set(shares) - {occupation}, key=partial(_order, occupation))
        named = others[: context.facts]
    return "".join(f"{_fact(name, shares[name], context)} " for name in named)


def _fact(occupation: str, share: float, context: Context) -> str:
    women = round(100 * share)
    return _FACT.format(
        occupation.capitalize(), 100 - women if context.reversed else women, context.word
    )


def _order(occupation: str, other: str) -> str:
    return hashlib.sha256(f"{occupation}:{other}".encode()).hexdigest()


def text_log_odds(occupation: str) -> float:
    """Log-odds of a woman among BUG's texts on an occupation, half a text added to each gender; NaN for fewer
    than ``MIN_TEXTS``.
    """
    female, male = (_texts()[occupation, gender] for gender in (True, False))
    return float(np.log((female + 0.5) / (male + 0.5))) if female + male >= MIN_TEXTS else np.nan


@cache
def _texts() -> Counter[tuple[str, bool]]:
    """(occupation, whether the pronoun is a woman's) → texts of BUG."""
    rows = _io.table("BUG/full_BUG.csv", ("profession", "g"))
    return Counter((row["profession"].lower(), row["g"].lower() in _FEMALE) for row in rows)


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(she), ``score_b`` ln P(he), up to a constant of the sentence; ``score_c``
    the share of women. The last row of an occupation, ``<occupation>:text``, has in ``score_a`` the log-odds of a
    woman in BUG's texts, against 0.
    """
    columns = items[:]
    asked = pronoun_rows(
        lm,
        columns["sentence"],
        description="calibration",
        score_c=np.array(columns["share"], float),
        axis=columns["axis"],
        item_id=columns["item_id"],
        unit=columns["occupation"],
    )
    of_text = pd.DataFrame(columns).drop_duplicates("occupation")
    texts = pd.DataFrame(
        {
            "score_a": of_text["text_log_odds"].astype(float),
            "score_b": 0.0,
            "score_c": of_text["share"],
            "axis": of_text["axis"],
            "item_id": of_text["occupation"] + ":text",
            "unit": of_text["occupation"],
        }
    )
    return pd.concat([asked, texts], ignore_index=True)


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an occupation: mean ``log_odds``, logit of the ``labour`` share, ``text`` log-odds (NaN where
    there are few texts), and the ``error`` in points.
    """
    odds = rows.assign(log_odds=rows["score_a"] - rows["score_b"])
    is_text = rows["item_id"].str.endswith(":text")
    table = odds[~is_text].groupby("unit", sort=True)[["log_odds", "score_c"]].mean()
    share = table.pop("score_c").clip(NEAREST, 1 - NEAREST)
    table["labour"] = logit(share)
    table["text"] = odds[is_text].set_index("unit")["log_odds"].reindex(table.index)
    table["error"] = 100 * (expit(table["log_odds"]) - share).abs()
    return table


def mean_error(error: np.ndarray, axis: int) -> np.ndarray:
    """Mean distance from the labour share, in points."""
    return np.mean(error, axis=axis)


def _correlations(y: np.ndarray, first: np.ndarray, second: np.ndarray, axis: int) -> tuple:
    """Pearson's r of y with either predictor and of the two, over units where the second is known."""
    known = np.isfinite(second).astype(float)
    weights = stats.quotient(known, np.broadcast_to(known.sum(axis, keepdims=True), known.shape))
    columns = []
    for x in (y, first, np.nan_to_num(second)):
        centred = x - (weights * x).sum(axis, keepdims=True)
        columns.append(stats.quotient(centred, _norm(centred, weights, axis)))
    y, first, second = columns
    pairs = ((y, first), (y, second), (first, second))
    return tuple((weights * a * b).sum(axis) for a, b in pairs)


def _norm(x: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    spread = np.sqrt((weights * x * x).sum(axis, keepdims=True))
    return np.broadcast_to(np.where(spread > occupations.ROUNDING, spread, 0), x.shape)


def unique_r2(
    log_odds: np.ndarray, labour: np.ndarray, text: np.ndarray, axis: int, *, of: Sequence[float]
) -> np.ndarray:
    """``of`` (labour, text) times the unique R² of either: what it explains of the log-odds beyond the
    other, 0 to 1; NaN where a column is constant.
    """
    by_labour, by_text, both = _correlations(log_odds, labour, text, axis)
    left = 1 - both**2
    parts = (by_labour - by_text * both) ** 2, (by_text - by_labour * both) ** 2
    return sum(sign * stats.quotient(part, left) for sign, part in zip(of, parts, strict=True))


OCCUPATION_CALIBRATION = Benchmark(
    name="occupation_calibration",
    splits=(*CONTEXTS, next(iter(SHARES))),
    axes=AXES,
    load=load,
    score=score,
    units=units,
    statistics={
        "calibration_slope": (("log_odds", "labour"), occupations.slope),
        "calibration_error": (("error",), mean_error),
        "labour_unique": (("log_odds", "labour", "text"), partial(unique_r2, of=(1, 0))),
        "text_unique": (("log_odds", "labour", "text"), partial(unique_r2, of=(0, 1))),
        "text_advantage": (("log_odds", "labour", "text"), partial(unique_r2, of=(-1, 1))),
    },
    kinds=("masked", "causal"),
    measures="Whether a model repeats, exaggerates or ignores the share of women in an occupation, and whether it follows the "
    "labour statistics or the texts of BUG.",
    limits="The statistics of one country and of 2015/16, and two pronouns. BUG is part of the embedded model's own text; for "
    "any other model it stands in for texts that nobody can count. Facts in a prompt are read by models as small as these, if "
    "at all, as words.",
    source="gorti2024unboxing",
)
