"""How a text reads: Flesch's reading ease, with a plain count of syllables, and how a finding opens."""

import re

#: What is no prose: markup, code, formulas, targets of links, numbers with what belongs to them.
_MARKUP = re.compile(r"<[^>]*>|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|\{[\w:-]+\}|[*_\[\]]")
_NUMBER = re.compile(r"[−+-]?[\d.,]*\d%?")
_SENTENCE = re.compile(r"[.!?](?:\s|$)|\n\s*\n|\n(?=\s*[-*] )")
_WORD = re.compile(r"[A-Za-z][A-Za-z’']*")
_VOWELS = re.compile(r"[aeiouy]+")


def ease(text: str) -> float:
    """Flesch's reading ease of an English text: 206.8 − 1.015 words a sentence − 84.6 syllables a word.

    High is easy: 60 to 70 is plain English, below 30 is hard. Numbers, code and formulas do not count. 100
    for a text without words.
    """
    plain = _MARKUP.sub(" ", text)
    sentences = [part for part in _SENTENCE.split(_NUMBER.sub(" ", plain)) if _WORD.search(part)]
    words = [word for part in sentences for word in _WORD.findall(part)]
    if not words:
        return 100.0
    syllables = sum(map(_syllables, words))
    return 206.835 - 1.015 * len(words) / len(sentences) - 84.6 * syllables / len(words)


def _syllables(word: str) -> int:
    """Groups of vowels, without a silent e at the end; an abbreviation in capitals counts as one."""
    if word.isupper():
        return 1
    low = word.lower()
    count = len(_VOWELS.findall(low))
    if low.endswith("e") and not low.endswith(("le", "ee")) and count > 1:
        count -= 1
    if (
        low.endswith(("es", "ed"))
        and not low.endswith(("ted", "ded", "ses", "zes", "ces", "ges", "les"))
        and count > 1
    ):
        count -= 1
    return max(count, 1)


#: A number on its own: not one inside a name, such as NC3, int8 or prune@0.3.
LONE = re.compile(r"(?<![\w@.,])[−+-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\w@])")
_FINDING = re.compile(r"\*\*(?:Finding|Answer)\.\*\* (.+?[.!?:;])(?:\s|$)", re.DOTALL)


def opening(finding: str) -> str:
    """The first sentence of a finding, without markup; empty if the text is no finding."""
    found = _FINDING.search(finding)
    return " ".join(_MARKUP.sub(" ", found[1]).split()) if found else ""
