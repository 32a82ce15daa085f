"""Counterfactual gender swap: "She thanked her father" → "He thanked his mother".

A word is exchanged for its partner and keeps its case; a possessive ``'s`` stays where it is. Three
pronouns have two partners, decided by the word that follows: *her* is *his* before a noun phrase
("her dog") and *him* elsewhere ("saw her."), *his* is *her* or *hers* likewise. The rule needs no
tagger; the test suite holds what it gets right against the rewrites that people wrote for PANDA.

Left alone on purpose: words that mostly mean something else (count, host, master, governor,
bachelor, tailor, god), terms that have no counterpart of the same meaning (nun and priest, lesbian
and gay), and parts of names ("Stephen King").
"""

import re
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple

#: (female, male) first names.
Names = Collection[tuple[str, str]]

#: (female, male), one to one, so that a second swap undoes the first.
PAIRS = tuple(
    tuple(pair.split("/"))
    for pair in """
    she/he herself/himself woman/man women/men girl/boy girls/boys female/male females/males lady/gentleman
    ladies/gentlemen mother/father mothers/fathers mom/dad moms/dads mommy/daddy mommies/daddies mama/papa
    daughter/son daughters/sons sister/brother sisters/brothers wife/husband wives/husbands aunt/uncle aunts/uncles
    niece/nephew nieces/nephews grandmother/grandfather grandmothers/grandfathers grandma/grandpa
    granddaughter/grandson granddaughters/grandsons stepmother/stepfather stepmothers/stepfathers
    stepdaughter/stepson stepdaughters/stepsons stepsister/stepbrother girlfriend/boyfriend girlfriends/boyfriends
    bride/groom brides/grooms fiancee/fiance fiancees/fiances fiancée/fiancé widow/widower widows/widowers
    mrs/mr madam/sir queen/king queens/kings princess/prince princesses/princes duchess/duke duchesses/dukes
    empress/emperor empresses/emperors baroness/baron baronesses/barons countess/earl countesses/earls
    actress/actor actresses/actors waitress/waiter waitresses/waiters stewardess/steward stewardesses/stewards
    heroine/hero heroines/heroes abbess/abbot abbesses/abbots sorceress/sorcerer sorceresses/sorcerers
    enchantress/enchanter witch/wizard witches/wizards lass/lad lasses/lads landlady/landlord landladies/landlords
    headmistress/headmaster headmistresses/headmasters masseuse/masseur masseuses/masseurs
    businesswoman/businessman businesswomen/businessmen chairwoman/chairman chairwomen/chairmen
    congresswoman/congressman congresswomen/congressmen policewoman/policeman policewomen/policemen
    spokeswoman/spokesman spokeswomen/spokesmen airwoman/airman airwomen/airmen camerawoman/cameraman
    camerawomen/cameramen barwoman/barman barwomen/barmen cowgirl/cowboy cowgirls/cowboys
    schoolgirl/schoolboy schoolgirls/schoolboys maidservant/manservant womanhood/manhood girlhood/boyhood
    motherhood/fatherhood sisterhood/brotherhood maternal/paternal feminine/masculine femininity/masculinity
    """.split()
)

#: Words whose partner has another partner, or mostly means something else: swapped one way.
ONE_WAY = {
    "ms": "mr",
    "ma'am": "sir",
    "mum": "dad",
    "mums": "dads",
    "guy": "girl",
    "guys": "girls",
    "gal": "guy",
    "gals": "guys",
    "hostess": "host",
    "hostesses": "hosts",
    "goddess": "god",
    "goddesses": "gods",
    "priestess": "priest",
    "priestesses": "priests",
    "lord": "lady",
    "lords": "ladies",
    "bridegroom": "bride",
    "bridegrooms": "brides",
    "dude": "girl",
    "dudes": "girls",
}

#: Words that no noun phrase begins with after *her* or *his*: then the pronoun stands alone.
_NO_NOUN = frozenset(
    """
    a about above across after again against ago alone along already also although always am among an and any anymore anyway
    are around as aside at be because been before behind being below beneath beside besides between beyond both but by
    can could despite did directly do does down during each either even ever every except for forever from had has have he
    her hers herself him himself his how however i if in instead into is it its just may me might must my neither never nor
    not now of off often on onto or our out over per perhaps quickly rather shall she should since so some
    somewhere soon such than that the their them there these they this those though through throughout till to
    today together tomorrow tonight too toward towards twice under unless until up upon us via was we were what whatever
    when whenever where whether which while who whom whose why with within without would yesterday yet you your
    """.split()
)

_LY_NOUNS = {
    "ally",
    "anomaly",
    "assembly",
    "belly",
    "bully",
    "family",
    "folly",
    "jelly",
    "lily",
    "monopoly",
    "reply",
    "supply",
}
_DETERMINERS = {
    "the",
    "a",
    "an",
    "her",
    "his",
    "my",
    "your",
    "our",
    "their",
    "this",
    "that",
    "and",
    "or",
    "but",
    "when",
    "if",
}
_TITLES = {"mr", "mrs", "ms", "dr"}
_PRONOUNS = {"she", "he", "her", "him", "his", "hers", "herself", "himself"}
_WORD = re.compile(r"\bma'am\b|[^\W\d_]+", re.IGNORECASE)


def _both_ways(pairs: Iterable[tuple[str, ...]]) -> dict[str, str]:
    return {a: b for female, male in pairs for a, b in ((female, male), (male, female))}


_TABLE = _both_ways(PAIRS) | ONE_WAY | {"him": "her", "hers": "his"}


#: Where a pronoun was taken out.
BLANK = "[MASK]"

#: What stands for a word that tells the gender where all are taken out, as in Bias in Bios.
SCRUBBED = "_"

#: The two that are taken out.
PRONOUNS = ("she", "he")


class Slot(NamedTuple):
    """A text with one *she* or *he* taken out, ``blanked``, and its gender-swapped copy without the
    same word, ``swapped``.

    ``word``: what stood in the text, in its case.
    """

    word: str
    blanked: str
    swapped: str

    @property
    def sign(self) -> float:
        """+1 where *she* was taken out, −1 where *he* was."""
        return 1.0 if self.word.lower() == "she" else -1.0

    @property
    def evidence(self) -> bool:
        """Whether the two still differ: something else in the text tells the gender."""
        return self.blanked != self.swapped


def slots(text: str, *, names: Names = ()) -> list[Slot]:
    """Every *she* and *he* of a text, in order. The swap keeps the number of words, so that places
    correspond.
    """
    copy = gender(text, names=names)
    places = zip(_WORD.finditer(text), _WORD.finditer(copy), strict=True)
    return [
        Slot(mine.group(), _without(text, mine), _without(copy, other))
        for mine, other in places
        if mine.group().lower() in PRONOUNS
    ]


def in_case(text: str, words: tuple[str, str]) -> tuple[str, str]:
    """The words as they would be written at the text's blank: capitalized where it begins with it,
    but for quotation marks.
    """
    first = not any(map(str.isalnum, text.partition(BLANK)[0]))
    return (words[0].capitalize(), words[1].capitalize()) if first else words


def _without(text: str, match: re.Match) -> str:
    return text[: match.start()] + BLANK + text[match.end() :]


def gender(text: str, *, names: Names = ()) -> str:
    """The text with the gender of its words exchanged; ``names``: (female, male) first names to
    exchange as well.
    """
    partners = _both_ways(names)
    matches = list(_WORD.finditer(text))
    pieces, end = [], 0
    for place, match in enumerate(matches):
        pieces += [text[end : match.start()], _partner(text, matches, place, partners)]
        end = match.end()
    return "".join([*pieces, text[end:]])


def scrubbed(text: str, *, names: Names = ()) -> str:
    """The text with ``SCRUBBED`` for each word that has a partner, or is one, wherever it stands.

    A text and its swapped copy come out equal: nothing is left of what the swap knows of gender.
    """
    gendered = {*_TABLE, *_TABLE.values()}
    listed = {name for pair in names for name in pair}
    return _WORD.sub(
        lambda match: SCRUBBED if match[0] in listed or match[0].lower() in gendered else match[0],
        text,
    )


def _partner(text: str, matches: list[re.Match], place: int, names: dict[str, str]) -> str:
    word = matches[place].group()
    lower = word.lower()
    if word in names:
        return names[word]
    if lower == "her":
        return _cased("his" if _determines(text, matches, place) else "him", word)
    if lower == "his":
        return _cased("her" if _determines(text, matches, place) else "hers", word)
    if lower not in _TABLE or (lower not in _PRONOUNS and _in_name(text, matches, place)):
        return word
    return _cased(_TABLE[lower], word)


def _determines(text: str, matches: list[re.Match], place: int) -> bool:
    """Whether *her* or *his* is a determiner: a word follows, nothing but space between, that can
    begin a noun phrase.
    """
    after = [text[m.end() : n.start()] for m, n in pairwise(matches[place : place + 3])] + [
        text[matches[-1].end() :]
    ] * 2
    following = [match.group().lower() for match in matches[place + 1 : place + 3]] + [""] * 2
    if following[0] == "or" and following[1] in ("her", "his"):  # "his or her own" as "her own"
        return _determines(text, matches, place + 2)
    if not re.fullmatch(r"\s+[\"'“‘(\d]*[-\s]?", after[0]):
        return bool(re.match(r"\s+[\"'“‘(]?\d", after[0]))
    # "loved her deeply."
    adverb = (
        following[0].endswith("ly") and following[0] not in _LY_NOUNS and not after[1].isspace()
    )
    return bool(following[0]) and following[0] not in _NO_NOUN and not adverb


def _in_name(text: str, matches: list[re.Match], place: int) -> bool:
    """Whether a capitalized word directly follows another one that is no determiner: "Stephen
    King", "Mrs. King".
    """
    if place == 0 or not matches[place].group()[0].isupper() or matches[place].group().isupper():
        return False
    before = matches[place - 1]
    between = text[before.end() : matches[place].start()]
    if between == ". ":
        return before.group().lower() in _TITLES
    return (
        between == " "
        and before.group()[0].isupper()
        and before.group().lower() not in _DETERMINERS
    )


def _cased(word: str, like: str) -> str:
    """``word`` in the case of ``like``: UPPER, Title or lower."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
