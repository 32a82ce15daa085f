"""Words, sentence frames and tests of the association tests (WEAT and SEAT), read from
``data/seat.json``.

Word lists: Caliskan et al. (2017) for tests 3 to 8; May et al. (2019) for their variants b, which
put terms for names or names for terms, for the double bind (after Heilman et al. 2004) and for the
angry black woman; names of white and of black men are the male half of those of test 5. The sentence
frames are those of May et al.: they say as little as possible beyond the word. Words are grouped by the
frames that suit them. May et al. leave out sentences at random where one target has more than the
other; these lists keep them all, because means are compared, not sums.
"""

import json
from typing import NamedTuple

from fairnc_utils import assets


class Sentence(NamedTuple):
    """A sentence, the word that it was made for, and the characters ``text[start:stop]`` where that
    word stands.
    """

    word: str
    text: str
    start: int
    stop: int


class Association(NamedTuple):
    """Are ``x`` words nearer to ``a`` and ``y`` words nearer to ``b`` than the other way round?
    Names of word lists.
    """

    x: str
    y: str
    a: str
    b: str


_DATA = json.loads(assets.packaged("seat.json"))

#: Kind of word → its frames. ``{}`` is the word, ``{s}`` its plural.
FRAMES: dict[str, list[str]] = _DATA["frames"]

#: Word list → kind of word → words.
LISTS: dict[str, dict[str, list[str]]] = _DATA["lists"]

#: Kind of bias → name of the test → its four word lists; x with a and y with b is the stereotype.
TESTS = {
    kind: {name: Association(**lists) for name, lists in tests.items()}
    for kind, tests in _DATA["tests"].items()
}

#: The same for race, and for race and gender together (after Tan & Celis 2019), and of occupations: Winogender's 60, by
#: the majority of their workers in the labour statistics.
INTERSECTION = {
    "intersection": {name: Association(**lists) for name, lists in _DATA["intersection"].items()}
}

#: Irregular plurals of these lists.
_PLURALS: dict[str, str] = _DATA["plurals"]


def sentences(name: str) -> list[Sentence]:
    """All sentences of a word list, word by word."""
    return [
        _fill(frame, word)
        for kind, words in LISTS[name].items()
        for word in words
        for frame in FRAMES[kind]
    ]


def _fill(frame: str, word: str) -> Sentence:
    before, after = frame.replace("{s}", "{}").split("{}")
    form = plural(word) if "{s}" in frame else word
    if before.endswith(("A ", " a ")) and _vowel(form):
        before = before[:-1] + "n "
    if not before:
        form = form[0].upper() + form[1:]
    return Sentence(word, before + form + after, len(before), len(before) + len(form))


def plural(word: str) -> str:
    """The plural of a noun of these lists."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("y") and not word.endswith(("ay", "ey", "oy")):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch")) else "s")


def _vowel(word: str) -> bool:
    """Whether the article before it is "an": by sound, as in "an honor", "a European", "a
    Ukrainian".
    """
    return word.lower().startswith(("a", "e", "i", "o", "u", "hono")) and not word.startswith(
        ("Eu", "Uk")
    )
