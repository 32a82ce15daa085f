"""Word lists by axis, resolved to token ids, with a report of what was dropped and why.

Only words that the tokenizer keeps as one token are classes of the classifier; taking the first
piece of a longer word would silently measure another word ("waitress" as "wait").
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from fairnc_utils import _io, assets
from fairnc_utils.catalog import AXES, check_words, is_word_file
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import single_token_id


@dataclass(frozen=True)
class WordList:
    """Words of one axis that are single tokens of a vocabulary.

    ``words``, ``groups`` (e.g. female, male) and ``token_ids`` run in parallel; ``dropped`` maps
    each word that was left out to the reason.
    """

    name: str
    words: tuple[str, ...]
    groups: tuple[str, ...]
    token_ids: tuple[int, ...]
    dropped: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.words)


def gender_words() -> list[tuple[str, str]]:
    """(word, ``"female"`` or ``"male"``): WinoBias's swap lists (Zhao et al. 2018; MIT licence),
    and pairs that they lack.
    """
    return _packaged_pairs("gender_words.csv")


def profession_words() -> list[tuple[str, str]]:
    """(occupation, ``"profession"``) from the Bias-NLI occupation list."""
    return [(word, "profession") for word in sorted(_io.text("Occupations/occupations").split())]


def neutral_words() -> list[tuple[str, str]]:
    """(word, ``"neutral"``): everyday words that name no person and no group, frequent in
    encyclopedic text.
    """
    return _packaged_pairs("neutral_words.csv")


def _packaged_pairs(name: str) -> list[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(assets.packaged(name)))
    return [(row["word"], row["group"]) for row in rows]


def _attribute_words(axis: str) -> list[tuple[str, str]]:
    key = "StereoSet/bias_attribute_words.json"
    content = _io.document(key)
    with _io.parsing(f"{key}, {axis}"):
        return [
            (word, axis)
            for word in sorted({word.lower() for group in content[axis] for word in group})
        ]


_DESCRIPTORS = "HolisticBias/v1.1/descriptors.json"


def descriptors() -> dict[str, dict[str, list[str]]]:
    """Axis of HolisticBias (Smith et al. 2022) → group → its descriptors."""
    content = _io.document(_DESCRIPTORS)
    with _io.parsing(_DESCRIPTORS):
        return {
            axis: {
                group: [each if isinstance(each, str) else each["descriptor"] for each in listed]
                for group, listed in groups.items()
            }
            for axis, groups in content.items()
        }


def _described(axis: str) -> list[tuple[str, str]]:
    groups = descriptors()
    with _io.parsing(f"{_DESCRIPTORS}, {axis}"):
        return [(word.lower(), axis) for listed in groups[axis].values() for word in listed]


def age_words() -> list[tuple[str, str]]:
    """(word, ``"age"``) from the descriptors of HolisticBias."""
    return _described("age")


def nationality_words() -> list[tuple[str, str]]:
    """(word, ``"nationality"``) likewise."""
    return _described("nationality")


def race_words() -> list[tuple[str, str]]:
    """(word, ``"race"``) from the attribute words of StereoSet."""
    return _attribute_words("race")


def religion_words() -> list[tuple[str, str]]:
    """(word, ``"religion"``) from the attribute words of StereoSet."""
    return _attribute_words("religion")


def pairs(name: str) -> list[tuple[str, str]]:
    """(word, group) pairs of a list: of an axis, of a plug-in, or of a ``.csv`` file with the
    columns ``word`` and ``group``.

    Raises ``FairNCError`` for an unknown name, and with file and line for a file that is not as it
    should be.
    """
    return _from_file(name) if is_word_file(check_words(name)) else list(AXES[name]())


def _from_file(path: str) -> list[tuple[str, str]]:
    groups: dict[str, tuple[str, int]] = {}
    for line, row in _io.user_table(path, ("word", "group")):
        word, group = row["word"].strip(), row["group"].strip()
        first, place = groups.setdefault(word, (group, line))
        if first != group:
            raise FairNCError(
                f"{path}, line {line}: {word!r} is of {first!r} in line {place}; keep one of the two"
            )
    return [(word, group) for word, (group, _) in groups.items()]


def evidence(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What a run's evidence says of the lists that are not ours, files and plug-ins: a hash of
    their words and groups.

    Those may change under one name; ours change with the version of this package alone, and give
    nothing. Raises as ``pairs`` does, so that a bad file is met before anything is computed.
    """
    others = [
        name
        for name in names
        if is_word_file(name) or (name in AXES and AXES.entries[name].package)
    ]
    hashes = {name: hashlib.sha256(json.dumps(pairs(name)).encode()).hexdigest() for name in others}
    return {"word_lists": hashes} if hashes else {}


def resolve(name: str, words: Iterable[tuple[str, str]], tokenizer) -> WordList:
    """Keep the (word, group) pairs whose word is one token; repeated words and ids are kept once.

    Raises ``FairNCError`` when no word of the list is in the vocabulary.
    """
    kept: dict[int, tuple[str, str]] = {}
    dropped: dict[str, str] = {}
    for word, group in words:
        token_id = single_token_id(tokenizer, word)
        if token_id is None:
            dropped[word] = "not a single token"
        elif token_id in kept and kept[token_id][0] != word:
            dropped[word] = f"same token as {kept[token_id][0]!r}"
        else:
            kept[token_id] = (word, group)
    if not kept:
        raise FairNCError(
            f"word list {name!r}: none of its {len(dropped)} words is one token of this vocabulary"
        )
    pairs = tuple(kept.values())
    return WordList(
        name, tuple(w for w, _ in pairs), tuple(g for _, g in pairs), tuple(kept), dropped
    )


def load(name: str, tokenizer) -> WordList:
    """A list for one tokenizer: an axis (``gender``, ``neutral``, ``profession``, ``race``,
    ``religion``), one that another package adds, or a file of one's own, ``my.csv`` with the
    columns ``word`` and ``group``.
    """
    return resolve(name, pairs(name), tokenizer)


def grouped(lists: Iterable[WordList]) -> dict[int, str]:
    """Token id → group of all words of the lists; a word of several belongs to the first."""
    groups: dict[int, str] = {}
    for listed in lists:
        groups = dict(zip(listed.token_ids, listed.groups, strict=True)) | groups
    return groups


#: Names that the released list of ADEPT (which BEC and MABEL share) ends with, and that ASE's lacks, by group.
_RELEASED_NAMES = 8


def released(method: str, tokenizer) -> WordList:
    """The gender words of a method's released NC3 script, each as the *first piece* that the
    tokenizer makes of it.

    Its indices come with the released code (Xu et al. 2025). Not a list to use: "and" and "me" are
    in it, as pieces of longer words, and some ids are both female and male (the first group that
    has one keeps it here). With BERT's uncased vocabulary 425 words become 287 ids; ASE's 409
    become 271.
    """
    groups: dict[str, list[str]] = {}
    for word, group in _packaged_pairs("released_gender_words.csv"):
        groups.setdefault(group, []).append(word)
    kept: dict[int, tuple[str, str]] = {}
    for group, listed in groups.items():
        for word in (
            [word.replace("_", "") for word in listed[:-_RELEASED_NAMES]]
            if method == "ase"
            else listed
        ):
            first = tokenizer.encode(word.replace("_", " "), add_special_tokens=False)[0]
            kept.setdefault(first, (word, group))
    return WordList(
        "released",
        tuple(w for w, _ in kept.values()),
        tuple(g for _, g in kept.values()),
        tuple(kept),
    )


@lru_cache(maxsize=8)
def whole_words(tokenizer) -> dict[int, str]:
    """Id → word of every vocabulary entry that is a lower-case alphabetic word of two letters or
    more, by id.
    """
    entries = []
    for token, token_id in tokenizer.get_vocab().items():
        word = tokenizer.convert_tokens_to_string([token]).strip()
        if (
            len(word) > 1
            and word.isalpha()
            and word.islower()
            and single_token_id(tokenizer, word) == token_id
        ):
            entries.append((token_id, word))
    return dict(sorted(entries))


def control_words(
    tokenizer,
    counts: ArrayLike,
    *,
    size: int,
    exclude: Iterable[int] = (),
    min_count: int = 10,
    seed: int = 0,
    match: Sequence[int] | None = None,
) -> WordList:
    """A control list: random words, or with ``match`` words that are as frequent as those of
    another list.

    ``counts`` (V,): occurrences of each token id in the corpus; ``size``: number of words (at most
    as many as are seen ``min_count`` times); ``exclude``: ids never drawn; ``match``: token ids
    whose counts are matched one by one, nearest free count first, in an order shuffled by ``seed``,
    among the eight nearest.
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts)
    excluded = set(exclude) | set(match or ())
    names = whole_words(tokenizer)
    ids = np.fromiter(names, np.int64, len(names))
    ids = ids[(counts[ids] >= min_count) & ~np.isin(ids, list(excluded))]
    if not len(ids):
        raise FairNCError(
            f"no control words: no whole word is seen {min_count} times in this corpus; give more text or lower min_counts"
        )
    if match is None:
        drawn = rng.permutation(ids)[:size]
    else:
        drawn = _nearest_counts(
            rng, ids, counts, rng.permutation([i for i in match if counts[i] >= min_count])[:size]
        )
    label = "random" if match is None else "matched"
    return WordList(
        label,
        tuple(names[i] for i in drawn),
        (label,) * len(drawn),
        tuple(int(i) for i in drawn),
    )


def seen_gender_ids(tokenizer, counts: ArrayLike, *, min_count: int) -> list[int]:
    """Token ids of the gender words that occur ``min_count`` times; ``counts`` (V,)."""
    counts = np.asarray(counts)
    return [i for i in load("gender", tokenizer).token_ids if counts[i] >= min_count]


def control(
    kind: str,
    tokenizer,
    counts: ArrayLike,
    *,
    min_count: int,
    seed: int,
    gender: Sequence[int] | None = None,
) -> WordList:
    """A ``random`` or frequency-``matched`` control list, as large as the seen gender words, none
    of which is in it.

    ``gender``: ids of those words, for who has them already.
    """
    gender = seen_gender_ids(tokenizer, counts, min_count=min_count) if gender is None else gender
    return control_words(
        tokenizer,
        counts,
        size=len(gender),
        exclude=gender,
        min_count=min_count,
        seed=seed,
        match=gender if kind == "matched" else None,
    )


def _nearest_counts(rng, ids: np.ndarray, counts: np.ndarray, targets: np.ndarray) -> list[int]:
    """For each target id one unused id of nearly its count, drawn among the eight nearest in log
    count.
    """
    free, logs, drawn = np.ones(len(ids), bool), np.log(counts[ids]), []
    for target in targets:
        candidates = np.flatnonzero(free)
        if not len(candidates):
            break
        nearest = candidates[
            np.argsort(np.abs(logs[candidates] - np.log(counts[target])), kind="stable")[:8]
        ]
        pick = int(rng.choice(nearest))
        free[pick] = False
        drawn.append(int(ids[pick]))
    return drawn
