"""The one scorer of token probabilities, shared by every benchmark that reads them off a language
model.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fairnc_utils import processes
from fairnc_utils._progress import progress
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel, single_token_id
from fairnc_utils.stats import quotient
from fairnc_utils.swap import BLANK, PRONOUNS, in_case

#: (token ids of the input, position whose prediction is read, target token id)
Query = tuple[Sequence[int], int, int]

#: Padded tokens a batch: what fills the device without leaving its fast memory.
TOKENS = {"cpu": 4_096, "cuda": 32_768}
#: Positions decoded at once, each to a row as wide as the vocabulary.
DECODED = {"cpu": 256, "cuda": 4_096}
#: Items that a thread asks for ahead of a GPU.
AHEAD = {"cuda": 2_048}

Prepared = TypeVar("Prepared")


class Inputs:
    """Sequences of token ids on the model's device, longest first: uploaded once, cut into batches
    there.

    ``order`` (N,): places of the sorted sequences in the list given. Raises ``FairNCError`` if one
    is longer than the model can read.
    """

    def __init__(self, lm: LanguageModel, sequences: Sequence[Sequence[int]]):
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        if (longest := lengths.max(initial=0)) > lm.max_length:
            raise FairNCError(
                f"an item has {longest} tokens; {lm.name} reads {lm.max_length} at most: shorten or drop it"
            )
        self.order = np.argsort(-lengths, kind="stable")
        self._sizes = lengths[self.order]
        flat = np.fromiter(
            chain.from_iterable(sequences[i] for i in self.order), np.int64, lengths.sum()
        )
        self._flat, self._lengths = (torch.from_numpy(x).to(lm.device) for x in (flat, self._sizes))
        self._begins = self._lengths.cumsum(0) - self._lengths
        self._pad = lm.tokenizer.pad_token_id or 0
        self.tokens = TOKENS.get(lm.device.type, TOKENS["cuda"])

    def batches(
        self, *, tokens: int | None = None
    ) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        """(slice of the sorted sequences, ids (B, T), attention mask (B, T) or None where nothing
        is padded).

        A missing mask lets the model take its faster path without looking at the device's memory,
        which would wait for it.
        """
        start = 0
        while start < len(self._sizes):
            width = int(self._sizes[start])
            rows = slice(
                start,
                min(len(self._sizes), start + max(1, (tokens or self.tokens) // max(width, 1))),
            )
            column = torch.arange(width, device=self._flat.device)
            inside = column < self._lengths[rows, None]
            ids = self._flat[(self._begins[rows, None] + column).clamp(max=len(self._flat) - 1)]
            padded = self._sizes[rows][-1] < width
            yield rows, ids.where(inside, self._pad), inside.long() if padded else None
            start = rows.stop


def mask_id(lm: LanguageModel) -> int:
    """Id of the model's mask token. Raises ``FairNCError`` if it has none."""
    if lm.tokenizer.mask_token_id is None:
        raise FairNCError(
            f"{lm.name} has no mask token: masked scoring needs a masked language model"
        )
    return lm.tokenizer.mask_token_id


def encode(tokenizer, texts: Iterable[str], *, special: bool = False) -> dict[str, list[int]]:
    """Text → token ids, each distinct text once and all in one call; ``special``: with the tokens
    around a sentence.
    """
    distinct = list(dict.fromkeys(texts))
    return (
        dict(
            zip(distinct, tokenize(tokenizer, distinct, special=special)["input_ids"], strict=True)
        )
        if distinct
        else {}
    )


def tokenize(tokenizer, texts: list[str], *, special: bool = True, **options) -> dict[str, list]:
    """Token ids of all texts in one call, whatever their length, and what the ``options`` want
    besides.
    """
    unused = {"return_attention_mask": False, "return_token_type_ids": False}
    return tokenizer(texts, add_special_tokens=special, verbose=False, **unused | options)


def masked(ids: Sequence[int], place: int, mask: int) -> Query:
    """The query for the token at ``place``, with the mask put there and all other tokens shown."""
    return (*ids[:place], mask, *ids[place + 1 :]), place, ids[place]


def means(owners: Sequence[int], values: np.ndarray, size: int) -> np.ndarray:
    """Mean of the values of each owner (size,), NaN for one without any."""
    return quotient(np.bincount(owners, values, size), np.bincount(owners, minlength=size))


def masked_log_probabilities(
    lm: LanguageModel,
    queries: Sequence[Query],
    *,
    tokens: int | None = None,
    description: str = "scoring",
) -> np.ndarray:
    """``log_probabilities`` of inputs with masks. Raises ``FairNCError`` if the model has no mask
    token.
    """
    mask_id(lm)
    return log_probabilities(lm, queries, tokens=tokens, description=description)


def log_probabilities(
    lm: LanguageModel,
    queries: Sequence[Query],
    *,
    tokens: int | None = None,
    description: str = "scoring",
) -> np.ndarray:
    """ln P(target | input) of each query → (Q,) float64.

    A causal model predicts at a position the token behind it. Equal inputs are encoded once and
    equal positions of them decoded once; inputs are batched by length (``tokens`` a batch, padding
    included). Only the scores leave the device, once. Inside ``processes.joined`` each process
    scores its share of the batches, and has the scores of all. Raises ``FairNCError`` if an input
    is longer than the model can read.
    """
    plan = _Plan(lm, queries)
    with progress(total=plan.size, desc=description, unit="input") as bar:
        return plan.in_order(plan.scores(lm, tokens=tokens, done=bar.update))


def scored_ahead(
    lm: LanguageModel,
    size: int,
    ask: Callable[[slice], tuple[list[Query], list[int]]],
    *,
    owners: int,
    description: str,
) -> tuple[np.ndarray, np.ndarray]:
    """``log_probabilities`` of what ``ask`` asks of ``size`` items, and the owner of each (Q,).

    ``ask`` gives the queries of a slice of the items, and their owners counted from the slice's
    first, ``owners`` an item. On a GPU a thread tokenizes and asks the next slice while the one
    before is scored; the order is that of the items. A CPU, which has to do both itself, takes all
    at once.
    """
    step = max(1, AHEAD.get(lm.device.type, size))
    slices = [slice(i, min(i + step, size)) for i in range(0, size, step)] or [slice(0, 0)]

    def prepared(part: slice) -> tuple["_Plan", np.ndarray]:
        queries, of = ask(part)
        return _Plan(lm, queries), np.array(of, dtype=np.int64) + owners * part.start

    made = []
    with progress(desc=description, unit="input") as bar:
        for plan, of in _one_ahead(prepared, slices):
            bar.total = (bar.total or 0) + plan.size
            made.append((plan, plan.scores(lm, done=bar.update), of))
        # only now: the first score that is asked for waits for the device
        values = [plan.in_order(scores) for plan, scores, _ in made]
    return np.concatenate(values), np.concatenate([of for *_, of in made])


def _one_ahead(work: Callable[[slice], Prepared], slices: Sequence[slice]) -> Iterator[Prepared]:
    """``work`` of each slice, in order, of which a thread does the next while this one is used."""
    if len(slices) == 1:
        yield work(slices[0])
        return
    interval = sys.getswitchinterval()
    # Work on a GPU is started by many short calls, each of which would else wait 5 ms for the
    # thread to let go of Python.
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(work, slices[0])
            for part in slices[1:]:
                ready = following.result()
                following = thread.submit(work, part)
                yield ready
            yield following.result()
    finally:
        sys.setswitchinterval(interval)


class _Plan:
    """Queries sorted by input and position, with what has to be read for them on the device."""

    def __init__(self, lm: LanguageModel, queries: Sequence[Query]):
        inputs: dict[tuple, int] = {}
        input_of = np.array(
            [inputs.setdefault(tuple(ids), len(inputs)) for ids, _, _ in queries], dtype=np.int64
        )
        self.size, self.source = len(inputs), Inputs(lm, list(inputs))
        row, position, target = np.argsort(self.source.order)[input_of], *_columns(queries)
        self.order = np.lexsort((position, row))
        row, position, target = row[self.order], position[self.order], target[self.order]
        first = np.diff(row, prepend=-1).astype(bool) | np.diff(position, prepend=-1).astype(bool)
        # queries of one place, a position of an input, stand together
        self.row, self.place_of = row[first], np.cumsum(first) - 1
        self.on_device = _Places(
            *(
                torch.from_numpy(x).to(lm.device)
                for x in (self.row, position[first], self.place_of, target)
            )
        )

    @torch.no_grad()
    def scores(
        self, lm: LanguageModel, *, tokens: int | None = None, done: Callable[[int], object]
    ) -> Tensor:
        """Score of each sorted query, on the device, which may still be at work on them."""
        dtype = torch.promote_types(lm.weight.dtype, torch.float32)
        scores = torch.zeros(len(self.order), dtype=dtype, device=lm.device)
        for rows, ids, mask in processes.mine(self.source.batches(tokens=tokens)):
            features = lm.features(ids, mask)
            start, stop = np.searchsorted(self.row, (rows.start, rows.stop))
            for places in _pieces(start, stop, DECODED.get(lm.device.type, DECODED["cuda"])):
                asked = slice(*np.searchsorted(self.place_of, (places.start, places.stop)))
                scores[asked] = self.on_device.read(lm, features, rows.start, places, asked)
            done(len(ids))
        return processes.total(scores)

    def in_order(self, sorted_scores: Tensor) -> np.ndarray:
        """The scores of the queries as they were asked (Q,)."""
        scores = np.empty(len(self.order))
        scores[self.order] = sorted_scores.double().cpu().numpy()
        return scores


def pronoun_log_probabilities(
    lm: LanguageModel, sentences: Sequence[str], *, description: str = "pronouns"
) -> np.ndarray:
    """ln P(she) and ln P(he) at the ``BLANK`` of each sentence, as ``word_log_probabilities`` → (N,
    2) float64.
    """
    asked = [(sentence, in_case(sentence, PRONOUNS)) for sentence in sentences]
    return word_log_probabilities(lm, asked, description=description)


def pronoun_rows(
    lm: LanguageModel, sentences: Sequence[str], *, description: str, **columns
) -> pd.DataFrame:
    """Item rows: ``score_a`` ln P(she), ``score_b`` ln P(he) at the ``BLANK``, and the other
    ``columns``.
    """
    scores = pronoun_log_probabilities(lm, sentences, description=description)
    return pd.DataFrame(scores, columns=["score_a", "score_b"]).assign(**columns)


def word_log_probabilities(
    lm: LanguageModel,
    sentences: Sequence[tuple[str, tuple[str, str]]],
    *,
    description: str = "words",
) -> np.ndarray:
    """ln P of two words at the ``BLANK`` of each sentence, up to a constant of the sentence → (N,
    2) float64.

    A masked model gives both in the blank, given the words on its two sides. A causal model gives
    the probability of the word and the words behind it given those before it; by Bayes' rule the
    ratio of the two is the same quantity. It is a sum over tokens, not divided by their number.
    Raises ``FairNCError`` where a masked model cuts a word in pieces.
    """
    return (_in_the_blank if lm.kind == "masked" else _with_what_follows)(
        lm, sentences, description
    )


def _ids(lm: LanguageModel, words: tuple[str, str]) -> tuple[int, int]:
    ids = tuple(single_token_id(lm.tokenizer, word) for word in words)
    if None in (*ids, lm.tokenizer.mask_token_id):
        raise FairNCError(
            f"{lm.name}: needs a mask token, and {' and '.join(words)} as one token each, to fill one blank"
        )
    return ids


def _in_the_blank(
    lm: LanguageModel, sentences: Sequence[tuple[str, tuple]], description: str
) -> np.ndarray:
    mask, ids = (
        lm.tokenizer.mask_token,
        {words: _ids(lm, words) for words in {words for _, words in sentences}},
    )
    inputs = tokenize(lm.tokenizer, [text.replace(BLANK, mask) for text, _ in sentences])[
        "input_ids"
    ]
    queries = [
        (row, row.index(lm.tokenizer.mask_token_id), target)
        for row, (_, words) in zip(inputs, sentences, strict=True)
        for target in ids[words]
    ]
    return masked_log_probabilities(lm, queries, description=description).reshape(-1, 2)


def _with_what_follows(
    lm: LanguageModel, sentences: Sequence[tuple[str, tuple]], description: str
) -> np.ndarray:
    queries, owners = [], []
    texts = [
        [text.replace(BLANK, words[version]) for text, words in sentences] for version in range(2)
    ]
    versions = [tokenize(lm.tokenizer, column)["input_ids"] for column in texts]
    for row, pair in enumerate(zip(*versions, strict=True)):
        start = next(i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b)
        if start == 0:  # nothing is before the word, and something has to be
            start, pair = 1, [[lm.start_id, *ids] for ids in pair]
        for column, ids in enumerate(pair):
            queries += [(ids, place - 1, ids[place]) for place in range(start, len(ids))]
            owners += [2 * row + column] * (len(ids) - start)
    values = log_probabilities(lm, queries, description=description)
    return np.bincount(owners, values, 2 * len(sentences)).reshape(-1, 2)


def _columns(queries: Sequence[Query]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and targets."""
    return tuple(
        np.array([query[column] for query in queries], dtype=np.int64) for column in (1, 2)
    )


def _pieces(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, stop)) for i in range(start, stop, size))


class _Places(NamedTuple):
    """The places to decode, ``row`` and ``position`` (P,), and the queries, ``place`` and
    ``target`` (Q,), on the device.
    """

    row: Tensor
    position: Tensor
    place: Tensor
    target: Tensor

    def read(
        self, lm: LanguageModel, features: Tensor, begin: int, places: slice, asked: slice
    ) -> Tensor:
        """Scores of the queries ``asked``, whose ``places`` lie in a batch that starts with row
        ``begin``.
        """
        decoded = lm.log_probabilities(features[self.row[places] - begin, self.position[places]])
        return decoded[self.place[asked] - places.start, self.target[asked]]
