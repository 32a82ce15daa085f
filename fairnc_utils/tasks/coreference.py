"""Coreference as a question about pairs: does this pronoun refer to that mention?

The resolver is trained on GAP's development part and chosen on its validation part; its test part
is measured by the benchmark ``gap``. Who has OntoNotes trains on that instead
(``coreference_ontonotes``). A sentence of WinoBias or Winogender names two candidates: each is put
to the resolver, and the likelier one is its choice.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import datasets
import numpy as np

from fairnc_utils import _io
from fairnc_utils.errors import FairNCError
from fairnc_utils.stats import quotient
from fairnc_utils.tasks.base import Input, Task, accuracy, f1
from fairnc_utils.training import Recipe

#: Split of the task → part of GAP.
GAP_PARTS = {"train": "development", "validation": "validation", "test": "test"}
GAP_COLUMNS = (
    "ID",
    "Text",
    "Pronoun",
    "Pronoun-offset",
    "A",
    "A-offset",
    "A-coref",
    "B",
    "B-offset",
    "B-coref",
    "URL",
)

FEMININE = frozenset({"she", "her", "hers", "herself"})
MASCULINE = frozenset({"he", "him", "his", "himself"})

#: Words kept on either side of what a question is about: most of a long text says nothing on it.
CONTEXT = 10
#: Words before a pronoun of a document among which its candidates are looked for.
REACH = 50

#: (first character, one behind the last)
Span = tuple[int, int]


# ---------------------------------------------------------- pairs to inputs, pairs to probabilities


def inputs(tokenizer, items: Sequence[dict], max_length: int) -> list[Input]:
    """Token ids of each pair's text, and ``positions``: the last token of the pronoun and that of
    the mention.

    The last token of an English name or short noun phrase is its head. Raises ``FairNCError`` if
    one of them is cut off.
    """
    encoded = tokenizer([item["text"] for item in items], truncation=True, max_length=max_length)
    pairs = []
    for row, item in enumerate(items):
        places = [
            encoded.char_to_token(row, item[span][1] - 1)
            for span in ("pronoun_span", "mention_span")
        ]
        if None in places:
            raise FairNCError(
                f"coreference item {item['item_id']}: pronoun or mention lies beyond {max_length} tokens; shorten the text"
            )
        pairs.append({"input_ids": encoded["input_ids"][row], "positions": places})
    return pairs


def choices(resolver, items: datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """P(the pronoun refers to it) of each item's answer and of the other candidate, both (N,), by a
    fine-tuned resolver.

    ``items``: ``item_id``, ``text`` and the character spans ``pronoun_span``, ``answer_span``,
    ``other_span``.
    """
    pairs = [
        item | {"mention_span": item[span]}
        for span in ("answer_span", "other_span")
        for item in items
    ]
    probabilities = resolver.probabilities(inputs(resolver.tokenizer, pairs, resolver.max_length))[
        :, 1
    ]
    return probabilities[: len(items)], probabilities[len(items) :]


def preference(answer: np.ndarray, other: np.ndarray) -> np.ndarray:
    """P(answer | one of the two and not both), from the probabilities of either; above .5 the
    answer is chosen.

    Takes the two questions as independent: a(1 − b) / (a(1 − b) + b(1 − a)); .5 where both are
    certain.
    """
    first, second = answer * (1 - other), other * (1 - answer)
    return quotient(first, first + second, otherwise=0.5)


# ---------------------------------------------------------------- GAP


def gap(split: str) -> datasets.Dataset:
    """Pairs of GAP (Webster et al. 2018): two of each text, pronoun × name A and pronoun × name B.

    Columns: ``item_id``, ``unit`` (the text), ``text`` (``CONTEXT`` words around the three),
    ``pronoun``, ``mention``, ``pronoun_span``, ``mention_span`` (characters), ``gender`` of the
    pronoun, ``label`` (1: they corefer). Raises ``FairNCError`` naming file and line where a local
    file is malformed.
    """
    key = f"GAP/gap-{GAP_PARTS[split]}.tsv"
    lines = _io.text(key).splitlines()
    return datasets.Dataset.from_list(
        [
            pair
            for number, line in enumerate(lines[1:], 2)
            for pair in _gap_pairs(line.split("\t"), f"{key}, line {number}")
        ]
    )


def _gap_pairs(line: list[str], place: str) -> list[dict]:
    if len(line) != len(GAP_COLUMNS):
        raise FairNCError(
            f"{place}: {len(line)} columns where GAP has {len(GAP_COLUMNS)}, separated by tabs"
        )
    row = dict(zip(GAP_COLUMNS, line, strict=True))
    spans = {name: _gap_span(row, name, place) for name in ("Pronoun", "A", "B")}
    text, begin = cropped(
        row["Text"], min(spans.values())[0], max(end for _, end in spans.values())
    )
    spans = {name: [start - begin, end - begin] for name, (start, end) in spans.items()}
    gender = "feminine" if row["Pronoun"].lower() in FEMININE else "masculine"
    return [
        {
            "item_id": f"{row['ID']}-{name}",
            "unit": row["ID"],
            "text": text,
            "pronoun": row["Pronoun"],
            "mention": row[name],
            "pronoun_span": spans["Pronoun"],
            "mention_span": spans[name],
            "gender": gender,
            "label": _gap_label(row, f"{name}-coref", place),
        }
        for name in ("A", "B")
    ]


def _gap_span(row: dict, name: str, place: str) -> Span:
    offset = row[f"{name}-offset"]
    if (
        not offset.isdigit()
        or not row[name]
        or row["Text"][int(offset) :][: len(row[name])] != row[name]
    ):
        raise FairNCError(
            f"{place}: {name} {row[name]!r} is not in the text at {name}-offset {offset!r}"
        )
    return int(offset), int(offset) + len(row[name])


def _gap_label(row: dict, column: str, place: str) -> int:
    if row[column].upper() not in ("TRUE", "FALSE"):
        raise FairNCError(f"{place}: {column} is {row[column]!r}; it must be TRUE or FALSE")
    return int(row[column].upper() == "TRUE")


def cropped(text: str, start: int, end: int) -> tuple[str, int]:
    """``text`` from ``CONTEXT`` words before ``start`` to as many behind ``end``, and where in the
    text that begins.
    """
    before = [word.start() for word in re.finditer(r"\S+", text[:start])][-CONTEXT:]
    behind = [word.end() for word in re.finditer(r"\S+", text[end:])][:CONTEXT]
    begin = before[0] if before else start
    return text[begin : end + (behind[-1] if behind else 0)], begin


# ---------------------------------------------------------------- OntoNotes


def ontonotes() -> datasets.Dataset:
    """Pairs from the CoNLL-2012 files below ``$FAIRNC_DATA/ontonotes/…/train/`` (Pradhan et al.
    2012), columns as in ``gap``.

    Each gendered pronoun of a chain × each annotated mention, itself no pronoun, among the
    ``REACH`` words before it.
    """
    root = os.environ.get("FAIRNC_DATA")
    every = sorted(Path(root, "ontonotes").rglob("*_conll")) if root else []
    files = [file for file in every if "train" in file.relative_to(root).parts]
    if not files:
        raise FairNCError(
            "OntoNotes is not there: put its CoNLL-2012 files at $FAIRNC_DATA/ontonotes/train/ (names end in _conll; "
            f"FAIRNC_DATA is {root or 'not set'}), or use the task coreference"
        )
    # beside the same text as parsed by machine
    gold = [file for file in files if file.name.endswith("gold_conll")]
    return datasets.Dataset.from_list(
        [
            pair
            for file in gold or files
            for document in conll(file)
            for pair in _document_pairs(*document)
        ]
    )


def conll(file: Path) -> Iterator[tuple[str, list[str], list[tuple[str, int, int]]]]:
    """Documents of a CoNLL-2012 file: name, words, mentions (chain, first word, one behind the
    last).

    Raises ``FairNCError`` naming file and line for a line with too few columns and for brackets
    that do not match.
    """
    name, words, mentions, opened = "", [], [], {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#begin document"):
            name, words, mentions, opened = f"{file.stem}:{number}", [], [], {}
        elif line.startswith("#end document"):
            if any(opened.values()):
                raise FairNCError(f"{file}, line {number}: the document ends inside a mention")
            yield name, words, mentions
        elif line.strip() and not line.startswith("#"):
            fields = line.split()
            if len(fields) < 12 or not name:
                raise FairNCError(
                    f"{file}, line {number}: no line of CoNLL-2012 (12 columns or more, inside a document)"
                )
            words.append(fields[3])
            _note_mentions(fields[-1], len(words) - 1, opened, mentions, f"{file}, line {number}")


def _note_mentions(field: str, word: int, opened: dict, mentions: list, place: str) -> None:
    """Read the last column of one word, such as ``(12|(3)|5)``, into the mentions that are open and
    those that ended.
    """
    for part in [] if field == "-" else field.split("|"):
        shape = re.fullmatch(r"(\()?(\d+)(\))?", part)
        if not shape or not (shape[1] or shape[3]):
            raise FairNCError(f"{place}: {field!r} is no coreference column")
        if shape[1]:
            opened.setdefault(shape[2], []).append(word)
        if shape[3]:
            if not opened.get(shape[2]):
                raise FairNCError(f"{place}: chain {shape[2]} ends where none began")
            mentions.append((shape[2], opened[shape[2]].pop(), word + 1))


def _document_pairs(
    name: str, words: list[str], mentions: list[tuple[str, int, int]]
) -> list[dict]:
    pronouns = [
        (chain, start)
        for chain, start, end in mentions
        if end - start == 1 and words[start].lower() in FEMININE | MASCULINE
    ]
    at = {start for _, start in pronouns}
    pairs = []
    for chain, place in pronouns:
        begin, stop = max(0, place - REACH), place + 1 + CONTEXT
        text = " ".join(words[begin:stop])
        edges = np.cumsum([0, *(len(word) + 1 for word in words[begin:stop])]).tolist()
        near = [
            m
            for m in mentions
            if begin <= m[1] and m[2] <= place and not (m[2] - m[1] == 1 and m[1] in at)
        ]
        pairs += [
            {
                "item_id": f"{name}-{start}-{place}",
                "unit": name,
                "text": text,
                "pronoun": words[place],
                "mention": " ".join(words[start:end]),
                "pronoun_span": [edges[place - begin], edges[place - begin + 1] - 1],
                "mention_span": [edges[start - begin], edges[end - begin] - 1],
                "gender": "feminine" if words[place].lower() in FEMININE else "masculine",
                "label": int(other == chain),
            }
            for other, start, end in near
        ]
    return pairs


def _ontonotes(split: str) -> datasets.Dataset:
    # chosen on the same text, so that the two tasks compare
    return ontonotes() if split == "train" else gap(split)


_task = partial(
    Task,
    kind="coreference",
    inputs=inputs,
    # not F1 first: calling every pair coreferent gets 60 of it
    metrics={"accuracy": accuracy, "f1": f1},
    labels=("apart", "coreferent"),
    head="mention_pair",
    recipe=Recipe(lr=5e-5, epochs=3, batch_size=16, max_length=256, warmup=0.1),
)

COREFERENCE = _task(
    name="coreference", source="webster2018mind", corpus="GAP development", load=gap
)
COREFERENCE_ONTONOTES = _task(
    name="coreference_ontonotes",
    source="pradhan2012conll",
    corpus="OntoNotes 5.0, CoNLL-2012",
    load=_ontonotes,
)
