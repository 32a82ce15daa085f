"""Tables and sentences on changes: one plain sentence first, the numbers behind it."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.frontier.changes import (
    BLINDER,
    FAIRER,
    NO_FAIRER,
    OPEN,
    Change,
    Judgement,
    judge,
)
from fairnc_book.frontier.data import JUDGED, OUTCOMES
from fairnc_book.numbers import UNTRAINED, Numbers
from fairnc_utils import stats

# ---------------------------------------------------------------- tables


def table(*families: Sequence[Change], outcomes: Sequence[str], caption: str) -> Styler:
    """One row a change: where, of how many seeds, each outcome with its interval, and the
    judgement, if all that it rests on is shown. Each family is judged by itself.

    What all changes share of base, method and dose has no column.
    """
    rows = []
    for family in families:
        for change, judgement in zip(family, judge(family), strict=True):
            row = {"base": change.base, "method": change.second.method}
            row |= {"treatment": change.treatment, "dose": f"{change.dose:g}"}
            row |= {"seeds": f"{change.seeds}"}
            row |= {OUTCOMES[name].label: _entry(change, name) for name in outcomes}
            if set(JUDGED) <= set(outcomes):
                row["by the rule"] = _judged(judgement)
            rows.append(row)
    shown = pd.DataFrame(rows)
    shared = [name for name in ("base", "method", "dose") if shown[name].nunique() == 1]
    return tables.plain(shown.drop(columns=shared), caption=caption)


def level_table(means: pd.DataFrame, *, caption: str) -> Styler:
    """One row a cell of ``levels``, one column an outcome."""
    if means.empty:
        return tables.plain(pd.DataFrame({"method": ["not run"]}), caption=caption)
    rows = []
    for (method, treatment, _), part in means.groupby(["method", "treatment", "dose"], sort=False):
        part = part.set_index("metric")
        seeds = "–" if method == UNTRAINED.method else f"{part['n'].max():.0f}"
        row = {"method": method, "treatment": treatment, "seeds": seeds}
        rows.append(
            row
            | {
                OUTCOMES[name].label: _on_two_lines(tables.interval(numbers))
                for name, numbers in part.iterrows()
            }
        )
    return tables.plain(pd.DataFrame(rows), caption=caption)


def _judged(judgement: Judgement) -> str:
    """A judgement, and the verdict on the slope on a line of its own."""
    return judgement.word + (f"<br>slope: {judgement.verdict}" if judgement.verdict else "")


def _entry(change: Change, name: str) -> str:
    effect = change.effects.get(name)
    return "not run" if effect is None else _on_two_lines(_interval(effect, name))


def _on_two_lines(text: str) -> str:
    """A value, and under it its interval, which is not broken."""
    return text.replace(" [", "<br>[").replace(", ", ",&nbsp;")


def _interval(effect: stats.Effect, name: str) -> str:
    """``value [low, high]`` with the decimals of the outcome; the value alone where there is no
    interval.
    """
    ends = (effect.value, effect.ci_low, effect.ci_high)
    value, low, high = (_rounded(end, OUTCOMES[name].digits) for end in ends)
    return f"{value} [{low}, {high}]" if np.isfinite(effect.ci_high) else value


def _rounded(value: float, digits: int) -> str:
    """With so many decimals and a true minus, which 0 has not."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


# ---------------------------------------------------------------- parts of sentences


def _listed(names: Iterable[str], *, otherwise: str) -> str:
    """*a*, *a and b*, *a, b and c*; ``otherwise`` where there is none."""
    *head, last = list(dict.fromkeys(names)) or [otherwise]
    return f"{', '.join(head)} and {last}" if head else last


def _in_words(change: Change, name: str) -> str:
    """A change of an outcome with its interval and number of seeds, or that it was not run."""
    effect = change.effects.get(name)
    if effect is None:
        return "not run"
    seeds = "seed" if effect.seeds == 1 else "seeds"
    return f"{_interval(effect, name)}, {effect.seeds} {seeds}"


def _side(change: Change, name: str) -> int:
    """−1 where an outcome falls, 1 where it rises, by an interval without 0; else 0."""
    effect = change.effects.get(name)
    return 0 if effect is None else stats.side(effect.ci_low, effect.ci_high)


def _falls(changes: Iterable[Change], name: str = "slope") -> list[Change]:
    return [change for change in changes if _side(change, name) < 0]


def _dosed(change: Change) -> str:
    return f"{change.treatment} {change.dose:g}"


# ---------------------------------------------------------------- sentences


def price(changes: Sequence[Change], *, method: str) -> str:
    """Which treatments lower the slope of a method at any dose, which raise it, and what that costs
    in agreement.
    """
    if not any(change.effects for change in changes):
        return f"No treatment of {method} was run."
    falls = _falls(changes)
    rises = [change for change in changes if _side(change, "slope") > 0]
    lower = _listed([change.treatment for change in falls], otherwise="no treatment")
    raising = _listed([change.treatment for change in rises], otherwise="none")
    lead = f"The slope of {method} is lowered by {lower} and raised by {raising}."
    if not falls:
        return lead
    costs = {
        name: [_dosed(change) for change in falls if _side(change, name) == OUTCOMES[name].worse]
        for name in ("log_loss", "accuracy_names")
    }
    worse = "; ".join(
        f"{OUTCOMES[name].label} with {_listed(dosed, otherwise='none')}"
        for name, dosed in costs.items()
    )
    slopes = "; ".join(f"{_dosed(change)}: {_in_words(change, 'slope')}" for change in falls)
    return f"{lead} What gets worse with it: {worse}. Change of the slope, {slopes}."


def ruled(changes: Sequence[Change], *, subject: str, by: str = "method") -> str:
    """What the rule makes of one family of changes, in a sentence on ``subject``.

    ``by``: ``method`` or ``treatment``, what they are called after.
    """
    groups: dict[str, list[str]] = {}
    for change, judgement in zip(changes, judge(changes), strict=True):
        name = change.second.method if by == "method" else change.treatment
        failed = ", ".join(OUTCOMES[kept].label for kept in change.failed)
        groups.setdefault(judgement.word, []).append(f"{name} ({failed})" if failed else name)
    if not groups.keys() & {FAIRER, BLINDER, NO_FAIRER, OPEN}:
        return f"{subject} was not run."
    texts = {
        FAIRER: "makes {} fairer",
        BLINDER: "makes {} blinder",
        NO_FAIRER: "leaves {} no fairer",
        OPEN: "is not decided for {}",
    }
    if by == "treatment":
        texts = {word: f"{word} with {{}}" for word in texts}
    nothing = "no method" if by == "method" else "no arm"
    words = [
        text.format(_listed(groups.get(word, []), otherwise=nothing))
        for word, text in texts.items()
        if word in groups or word == FAIRER
    ]
    return f"{subject} {'; '.join(words)}."


def explained(change: Change) -> str:
    """Whether swap collapse explains a fall, by the arm whose pairs name none of the occupations
    that the slope is made of.
    """
    slope = change.effects.get("slope")
    if slope is None or not np.isfinite(slope.ci_high):
        return "The arm that decides whether swap collapse explains a fall has no two seeds."
    if slope.ci_high < 0:
        lead = (
            "The slope falls although no pair names one of its occupations: swap collapse explains "
            "a fall"
        )
    else:
        lead = (
            "The slope does not fall where no pair names one of its occupations: swap collapse "
            "explains no fall"
        )
    return f"{lead} ({_in_words(change, 'slope')})."


def largest_fall(changes: Sequence[Change]) -> str:
    """The change that lowers the slope most, and what the rule makes of it."""
    run = [pair for pair in zip(changes, judge(changes), strict=True) if pair[0].effects]
    if not run:
        return "No arm was run."
    change, judgement = min(run, key=lambda pair: pair[0].effects["slope"].value)
    return (
        f"The slope falls most with {change.treatment} ({_in_words(change, 'slope')}), which is "
        f"{judgement.word}."
    )


def names_back(plain: Change, swapped: Change, difference: Change) -> str:
    """What swapping names as well does where only names tell; ``difference``: swapped minus plain
    pairs, at the same seeds.
    """
    name = "accuracy_names"
    effect = difference.effects.get(name)
    if effect is None:
        return "Swapped names were not run beside plain pairs."
    if not np.isfinite(effect.ci_high):
        lead = "A single seed of swapped names decides nothing."
    else:
        lead = {
            1: "Swapping names brings back what names tell.",
            -1: "Swapping names loses more of what names tell.",
            0: "It is not shown that swapping names brings back what names tell.",
        }[_side(difference, name)]
    return (
        f"{lead} Change of {OUTCOMES[name].label} from {plain.first.method} alone: plain pairs "
        f"{_in_words(plain, name)}; names swapped {_in_words(swapped, name)}. "
        f"Swapped against plain pairs: {_in_words(difference, name)}."
    )


def on_rare_occupations(changes: Sequence[Change], names: Sequence[str]) -> str:
    """Whether the slope, where it falls over all occupations, falls over rarely named ones (the
    outcomes ``names``) as well.
    """
    falls = _falls(changes)
    if not falls:
        return "No arm lowers the slope, so there is nothing to look for."
    missing = [
        f"{change.treatment} ({OUTCOMES[name].label})"
        for change in falls
        for name in names
        if _side(change, name) >= 0
    ]
    lead = "Where the slope falls, it falls over occupations that the pairs hardly name as well"
    if missing:
        lead = "The slope does not fall over all rarely named occupations: it is not shown with "
        lead += _listed(missing, otherwise="")
    counts = "; ".join(
        f"{falls[0].effects[name].units} occupations make the {OUTCOMES[name].label}"
        for name in names
        if name in falls[0].effects
    )
    return f"{lead}. {counts}."


def carried_over(numbers: Numbers, changes: Sequence[Change], names: Sequence[str]) -> str:
    """Which other measures of bias fall or rise with which treatment; those without a bias to
    remove in the untrained model, and those not run, apart.
    """
    nothing = [name for name in names if _nothing_to_remove(numbers, name)]
    absent = [name for name in names if not any(name in change.effects for change in changes)]
    counted = [name for name in names if name not in nothing + absent]
    sentences = []
    for treatment in dict.fromkeys(change.treatment for change in changes):
        treated = [change for change in changes if change.treatment == treatment]
        sides = {
            verb: [
                OUTCOMES[name].label
                for name in counted
                if any(_side(change, name) == side for change in treated)
            ]
            for verb, side in (("lowers", -1), ("raises", 1))
        }
        moves = [f"{verb} {_listed(of, otherwise='')}" for verb, of in sides.items() if of]
        if counted and moves:
            sentences.append(f"*{treatment}* {' and '.join(moves)} in some method.")
        elif counted:
            sentences.append(f"*{treatment}* is not shown to move any other measure.")
    for lead, those in (("Nothing to remove", nothing), ("Not run", absent)):
        labels = "; ".join(OUTCOMES[name].label for name in those)
        sentences += [f"{lead}: {labels}."] * bool(those)
    return " ".join(sentences)


def _nothing_to_remove(numbers: Numbers, name: str) -> bool:
    """Whether the untrained model's interval holds the ideal."""
    measure = OUTCOMES[name].measure
    rows = numbers.runs(measure, UNTRAINED)
    if rows.empty:
        return False
    low, high = rows.iloc[0][["ci_low", "ci_high"]]
    return not stats.side(low, high, measure.metric.ideal)


def not_run(changes: Iterable[Change]) -> list[str]:
    """The cells that changes ask for and no recorded run tells."""
    return list(dict.fromkeys(name for change in changes for name in change.missing))


def causal_finding(changes: Sequence[Change], *, model: str) -> str:
    """What the cells of the causal model say, and which of them were not run, in Markdown."""
    missing = "; ".join(not_run(changes))
    if not any(change.effects for change in changes):
        return (
            f"**Not run.** The cells of {model} have not been run, so the book says nothing of "
            f"causal models: {missing}."
        )
    families = {
        treatment: [change for change in changes if change.treatment == treatment]
        for treatment in dict.fromkeys(change.treatment for change in changes)
    }
    words = " ".join(ruled(family, subject=f"*{name}*") for name, family in families.items())
    return f"**Finding.** {words}" + (f" Not run: {missing}." if missing else "")
