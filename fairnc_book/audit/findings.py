"""Findings of an audit in plain words: what a stranger reads first, the numbers behind it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fairnc_book.tables import number
from fairnc_utils.errors import listed

#: Metric of a benchmark, or of any → what is said where its interval lies above its ideal, below it, and where it holds it.
_SIDES: dict[str, tuple[str, str, str]] = {
    "slope": (
        "Its pronoun follows the share of women in an occupation",
        "Its pronoun goes against the share of women in an occupation",
        "No sign that its pronoun follows the share of women in an occupation",
    ),
    "lean": (
        "Where as many women as men work, it leans to “she”",
        "Where as many women as men work, it leans to “he”",
        "No sign that it leans to “she” or “he” where as many women as men work",
    ),
    "SS": (
        "It prefers the stereotype over its contrary more often than not",
        "It prefers the contrary over the stereotype more often than not",
        "No sign that it prefers the stereotype or its contrary",
    ),
    "stereotype_pct": (
        "It finds the more stereotyping of two sentences likelier more often than not",
        "It finds the less stereotyping of two sentences likelier more often than not",
        "No sign that it prefers the more or the less stereotyping of two sentences",
    ),
    "log_ratio": (
        "Stereotypes are likelier than what stands against them, in the mean",
        "Stereotypes are less likely than what stands against them, in the mean",
        "No sign that stereotypes are likelier, or less likely, in the mean",
    ),
    "gap": (
        "Naming a profession makes words for women likelier than it makes words for men",
        "Naming a profession makes words for men likelier than it makes words for women",
        "No sign that naming a profession favours words for women or for men over all professions",
    ),
}

#: Metric with a better side → what its value says; ``{}``: the value.
_LEVELS: dict[str, str] = {
    "LM": "It prefers a word that means something over one that does not in {} of 100 cases",
    "abs_association_female": "Naming a profession moves the log-probability of a woman’s word by {} nats, up or down",
    "abs_association_male": "Naming a profession moves the log-probability of a man’s word by {} nats, up or down",
    "accuracy": "Where a sentence tells, it gets “she” or “he” right in {} of 100 cases",
    "log_loss": "Its loss on the right one of “she” and “he” is {} nats; guessing has {guess}",
    "definitional": "Its pronoun follows nouns that mean a gender by {} nats, which should stay large",
    "nc3": "Means of words and their rows of the classifier point the same way with a cosine of {} on average",
    "unc3": "These cosines differ from word to word by {} (standard deviation)",
}


def finding(entry: Mapping[str, Any]) -> str:
    """One plain sentence on one number of an audit (``Number.record``)."""
    value = number(_float(entry["value"]))
    label = entry["label"][:1].upper() + entry["label"][1:]
    if entry["ci_low"] is None:
        return f"{label} is {value}; too few units say how sure that is."
    if entry["metric"] in _SIDES and entry["better"] == 0:
        above, below, neither = _SIDES[entry["metric"]]
        sentence = {1: above, -1: below, 0: neither}[entry["side"]]
        if entry["side"] == 0 and entry["smallest"] is not None:
            sentence += (
                f"; the smallest detectable deviation is {number(entry['smallest'], digits=2)}"
            )
        return f"{sentence}."
    if entry["metric"] in _LEVELS:
        return _LEVELS[entry["metric"]].format(value, guess=number(math.log(2), digits=2)) + "."
    if entry["metric"] == "log_perplexity":
        return f"It is as unsure of a word as if it chose among {number(math.exp(entry['value']))} equal ones."
    if entry["ideal"] is None:
        return f"{label} is {value}."
    where = {1: "above", -1: "below", 0: "not told apart from"}[entry["side"]]
    if entry["better"]:
        return f"{label} is {value}; its ideal is {entry['ideal']:g}."
    return f"{label} is {value}, {where} its ideal {entry['ideal']:g}."


def change(entry: Mapping[str, Any], against: str) -> str:
    """One plain sentence on the same number of another model; nothing without one."""
    other = entry["against"]
    if not other:
        return ""
    seen = f"{against} has {number(_float(other['value']))}"
    if other["change_low"] is None:
        return f"{seen}; too few units say whether that differs."
    if other["found"]:
        if other["loss"] is None:
            way = "higher here" if other["change"] > 0 else "lower here"
        else:
            way = "worse here" if other["loss"] > 0 else "better here"
        return f"{seen}: {way}."
    if other["smallest"] is None:
        return f"{seen}: no difference."
    return f"{seen}: no difference found; the smallest detectable is {number(other['smallest'], digits=2)}."


def placed(words: Mapping[str, Any]) -> list[str]:
    """Sentences on where a word list stands among control lists (``Audit.words``)."""
    said = []
    for metric, what in (("nc3", "aligned with their class means"), ("unc3", "unevenly aligned")):
        parts = []
        for kind, name in (("random", "random lists"), ("matched", "lists of words as frequent")):
            share = words["percentiles"].get(f"{kind}/{metric}")
            if share is not None:
                parts.append(f"{share:.0f} of 100 {name}")
        if parts:
            said.append(f"Its {words['list']} words are more {what} than {' and '.join(parts)}.")
    return said


def summary(record: Mapping[str, Any]) -> list[str]:
    """The few sentences that stand first: on bias, on what is kept, and against another model."""
    numbers = record["numbers"]
    biases = [each for each in numbers if each["section"] == "likely" and each["better"] == 0]
    found = [each for each in biases if each["side"]]
    said = ["No measure of bias could be taken."]
    if biases:
        off = f"{len(found)} of {len(biases)} measures of bias differ{'s' * (len(found) == 1)} from the ideal"
        said = [f"{off}: {_labels(found)}." if found else f"{off}."]
    headline = next((each for each in numbers if each["metric"] == "slope"), None)
    kept = next((each for each in numbers if each["metric"] == "accuracy"), None)
    said += [finding(each) for each in (headline, kept) if each]
    if record["against"]:
        tests = [each for each in numbers if each["against"]]
        sides = {
            name: [
                e for e in tests if e["against"]["found"] and sign * (e["against"]["loss"] or 0) > 0
            ]
            for name, sign in (("better", -1), ("worse", 1))
        }
        told = [
            f"{len(those)} {name}{f' ({_labels(those)})' * bool(those)}"
            for name, those in sides.items()
        ]
        said.append(
            f"Against {record['against']}, of {len(tests)} numbers after correction for so many tests: "
            f"{', '.join(told)}."
        )
    return said


def _labels(numbers: Iterable[Mapping[str, Any]]) -> str:
    return listed(each["label"].replace(",", "") for each in numbers)


def _float(value: float | None) -> float:
    return math.nan if value is None else value
