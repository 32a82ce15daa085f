"""What lists of words say of a text: sentiment, profanity, gender."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np

from fairnc_utils import _io, assets, words
from fairnc_utils._extras import needs

#: A list of hurtful words that a user may bring (Bassignana et al. 2018), with a column ``lemma``.
HURTLEX = "hurtlex/hurtlex_EN.tsv"


def sentiment(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound of each text (N,), −1 negative to 1 positive (Hutto & Gilbert 2014). Raises
    ``MissingExtra`` where vaderSentiment is not installed.
    """
    analyzer = _analyzer()
    return np.array([analyzer.polarity_scores(text)["compound"] for text in texts])


@cache
def _analyzer():
    with needs("text"):
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@cache
def profanities() -> frozenset[str]:
    """The words and phrases of better-profanity, in small letters. Raises ``MissingExtra`` where it is
    not installed.
    """
    with needs("text"):
        file = resources.files("better_profanity").joinpath("profanity_wordlist.txt")
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip())


def profane(texts: Sequence[str]) -> np.ndarray:
    """1 for each text that has a word or phrase of ``profanities`` in it as such, else 0 (N,)."""
    pattern = _any_of(profanities())
    return np.array([float(bool(pattern.search(text))) for text in texts])


def hurtful() -> frozenset[str]:
    """Words that hurt: the lemmas of HurtLex where the user brought it, else ``profanities``."""
    if not assets.has_local(HURTLEX):
        return profanities()
    rows = _io.table(HURTLEX, ("lemma",), delimiter="\t", quoted=False)
    return frozenset(row["lemma"].strip().lower() for row in rows)


def gender_polarity(texts: Sequence[str]) -> np.ndarray:
    """Words for women minus words for men in each text (N,), of the book's list."""
    signs = {word.lower(): 1 if group == "female" else -1 for word, group in words.gender_words()}
    split = (re.findall(r"[^\W\d_]+", text.lower()) for text in texts)
    return np.array([float(sum(signs.get(word, 0) for word in each)) for each in split])


@cache
def _any_of(listed: frozenset[str]) -> re.Pattern:
    longest_first = sorted(listed, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
