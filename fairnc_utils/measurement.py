"""One model read over one corpus: class statistics, word lists, controls, agreement, and where
gender words stand.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fairnc_utils import _cache, batching, collapse, corpora, models, processes, words
from fairnc_utils._extras import needs
from fairnc_utils._progress import progress
from fairnc_utils.collapse import ClassStatistics, Collapse
from fairnc_utils.models import LanguageModel
from fairnc_utils.words import WordList

with needs("measure"):
    import pandas as pd

_CACHE_VERSION = 1
_TOKENS = 4096  # padded tokens a batch
_STATISTICS = ("counts", "sums", "square_sums")


@dataclass(frozen=True)
class ClassMeans:
    """A model's features on a corpus, gathered by class. ``fingerprint`` names model, text and way
    of reading.
    """

    lm: LanguageModel
    statistics: ClassStatistics
    corpus: str
    split: str
    space: str
    labels: str
    texts: int | None
    fingerprint: str
    layer: int | None = None

    @cached_property
    def counts(self) -> np.ndarray:
        """Samples of each vocabulary entry (V,)."""
        return self.statistics.counts.cpu().numpy()

    @property
    def columns(self) -> dict[str, str]:
        """What every result row of this reading says of its text and features."""
        layer = "last" if self.layer is None else str(self.layer)
        return {"corpus": self.corpus, "split": self.split, "space": self.space, "layer": layer}


def read(
    model: str | LanguageModel,
    *,
    device: str = "auto",
    corpus: str = "gap",
    split: str | None = None,
    texts: int | None = None,
    space: str = "head",
    labels: str = "aligned",
    layer: int | None = None,
    keep: bool = True,
) -> ClassMeans:
    """Read a corpus (its first ``texts`` only, if given) and gather every vocabulary class, at a
    hidden ``layer`` or the last.

    ``model``: a name, to be loaded on ``device``, or a model in memory, as it is. Unless ``keep``
    is False, the statistics are kept in the cache under the content that they depend on; a damaged
    entry is made again. Inside ``processes.joined`` each process reads its share of the batches,
    and none is kept.
    """
    lm = models.load(model, device=device) if isinstance(model, str) else model
    lm.check_space(space)
    split, content = _content(corpus, split, texts)
    fingerprint = _fingerprint(lm, content, space, labels, layer)
    statistics = ClassStatistics(len(lm.weight), lm.weight.shape[1], device=lm.device)

    def gather() -> dict[str, Tensor]:
        # not waiting for a GPU to count ordinary tokens, which a small model is done with sooner
        read_features, unwanted = lm.labelled_features, ()
        if lm.device.type != "cpu" and lm.special_ids:
            read_features, unwanted = lm.every_feature, lm.special_ids
        for features, ids in _shared_features(
            lm, content, read=read_features, space=space, labels=labels, layer=layer
        ):
            statistics.update(features, ids)
        _merged(statistics.forget(unwanted))
        return {name: getattr(statistics, name) for name in _STATISTICS}

    for name, tensor in (
        _cache.tensors("statistics", fingerprint, gather)
        if keep and not processes.several()
        else gather()
    ).items():
        setattr(statistics, name, tensor.to(lm.device))
    return ClassMeans(
        lm, statistics, corpus, split or "all", space, labels, texts, fingerprint, layer
    )


def read_layers(
    lm: LanguageModel,
    *,
    corpus: str = "gap",
    split: str | None = None,
    texts: int | None = None,
    space: str = "head",
    labels: str = "aligned",
) -> list[ClassMeans]:
    """What ``read`` gives at each hidden layer, from the first to the last, in one pass over the
    corpus; none is kept.
    """
    lm.check_space(space)
    split, content = _content(corpus, split, texts)
    statistics = [ClassStatistics(*lm.weight.shape, device=lm.device) for _ in range(lm.layers)]
    for features, ids in _shared_features(lm, content, space=space, labels=labels, layer="all"):
        for of_layer, states in zip(statistics, features, strict=True):
            of_layer.update(states, ids)
    return [
        ClassMeans(
            lm,
            _merged(of_layer),
            corpus,
            split or "all",
            space,
            labels,
            texts,
            _fingerprint(lm, content, space, labels, layer),
            layer,
        )
        for layer, of_layer in enumerate(statistics, 1)
    ]


def _content(corpus: str, split: str | None, texts: int | None) -> tuple[str | None, list[str]]:
    """Split (by default the last) and the first ``texts`` texts of a corpus."""
    split = split or (corpora.splits(corpus) or (None,))[-1]
    return split, corpora.load(corpus, split)["text"][:texts]


def _fingerprint(
    lm: LanguageModel, content: Sequence[str], space: str, labels: str, layer: int | None
) -> str:
    # The device is part of it: float32 features differ in their last bits from one to another.
    facts = [
        _CACHE_VERSION,
        lm.fingerprint,
        corpora.fingerprint(content),
        space,
        labels,
        layer,
        lm.max_length,
        lm.device.type,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_slots(
    lm: LanguageModel,
    lists: Iterable[WordList],
    *,
    corpus: str = "gap",
    split: str | None = None,
    texts: int | None = None,
    per_class: int = 200,
    seed: int = 0,
) -> ClassMeans:
    """What ``read`` gives where the words of ``lists`` are masked: features at the mask, labelled
    by the word behind it.

    Each occurrence is masked alone, in a pass of its own, all else shown; of words with more than
    ``per_class`` occurrences so many are drawn by ``seed``. Raises ``FairNCError`` for a causal
    model.
    """
    lm.require_masked("collapse at slots needs a masked language model")
    split, content = _content(corpus, split, texts)
    sequences = batching.tokenize(content, lm.tokenizer, max_length=lm.max_length)
    listed = {token for word_list in lists for token in word_list.token_ids}
    occurrences: dict[int, list[tuple[int, int]]] = {}
    for row, ids in enumerate(sequences):
        for place, token in enumerate(ids):
            if token in listed:
                occurrences.setdefault(token, []).append((row, place))
    drawn = np.random.default_rng(seed)
    slots = [
        (sequences[row], place)
        for _, places in sorted(occurrences.items())
        for row, place in (places[i] for i in sorted(drawn.permutation(len(places))[:per_class]))
    ]
    statistics = ClassStatistics(*lm.weight.shape, device=lm.device)
    masked = [[*ids[:place], lm.tokenizer.mask_token_id, *ids[place + 1 :]] for ids, place in slots]
    with progress(total=len(slots), desc="reading slots", unit="slot") as bar:
        for batch in batching.bucketed(
            masked, pad_id=lm.tokenizer.pad_token_id, tokens=_TOKENS, device=lm.device
        ):
            places = torch.tensor([slots[i][1] for i in batch.index], device=lm.device)
            labels = torch.tensor([slots[i][0][slots[i][1]] for i in batch.index], device=lm.device)
            with torch.no_grad():
                features = lm.features(batch.input_ids, batch.attention_mask)
            statistics.update(features[torch.arange(len(labels), device=lm.device), places], labels)
            bar.update(len(labels))
    facts = [_fingerprint(lm, content, "head", "slots", None), sorted(listed), per_class, seed]
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return ClassMeans(lm, statistics, corpus, split or "all", "head", "aligned", texts, fingerprint)


def statistics_of(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> ClassStatistics:
    """Class statistics of the model as it is, in the head space, over token ids of texts; quietly,
    as training asks for it.
    """
    statistics = ClassStatistics(*lm.weight.shape, device=lm.device)
    for batch in batching.bucketed(
        sequences, pad_id=lm.tokenizer.pad_token_id, tokens=_TOKENS, device=lm.device
    ):
        statistics.update(*lm.labelled_features(batch.input_ids, batch.attention_mask))
    return statistics


def labelled_features(
    lm: LanguageModel,
    texts: Sequence[str],
    *,
    space: str = "head",
    labels: str = "aligned",
    layer: int | str | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(features (N, D), labels (N,)) of all ordinary tokens of the texts, batch by batch; ``"all"``
    layers: (L, N, D).
    """
    options = {"space": space, "labels": labels, "layer": layer}
    batches = _batches(lm, texts)
    return _features_of(lm.labelled_features, batches, len(texts), **options)


def _shared_features(
    lm: LanguageModel, texts: Sequence[str], *, read: Callable | None = None, **options
) -> Iterator[tuple[Tensor, Tensor]]:
    """``labelled_features`` of this process's batches, or what else ``read`` makes of them."""
    batches = processes.mine(_batches(lm, texts))
    return _features_of(read or lm.labelled_features, batches, len(texts), **options)


def _batches(lm: LanguageModel, texts: Sequence[str]) -> Iterator[batching.Batch]:
    sequences = batching.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    return batching.bucketed(
        sequences, pad_id=lm.tokenizer.pad_token_id, tokens=_TOKENS, device=lm.device
    )


def _features_of(
    read: Callable, batches: Iterable[batching.Batch], number: int, **options
) -> Iterator[tuple[Tensor, Tensor]]:
    with progress(total=number, desc="reading texts", unit="text") as bar:
        for batch in batches:
            yield read(batch.input_ids, batch.attention_mask, **options)
            bar.update(len(batch.index))


def _merged(statistics: ClassStatistics) -> ClassStatistics:
    """The statistics of all processes' samples, in each of them."""
    for name in (*_STATISTICS, "strays"):
        processes.total(getattr(statistics, name))
    return statistics


def word_lists(
    reading: ClassMeans, names: Sequence[str], *, min_count: int, seed: int = 0
) -> dict[str, WordList | None]:
    """Lists by name; None stands for the whole vocabulary. Controls are as many as the gender words
    that are seen.
    """
    lists: dict[str, WordList | None] = {}
    for name in names:
        if name == "vocabulary":
            lists[name] = None
        elif name in ("random", "matched"):
            lists[name] = control(reading, name, min_count=min_count, seed=seed)
        else:
            lists[name] = words.load(name, reading.lm.tokenizer)
    return lists


def seen_gender_ids(reading: ClassMeans, *, min_count: int) -> list[int]:
    """Token ids of the gender words that have ``min_count`` samples."""
    return words.seen_gender_ids(reading.lm.tokenizer, reading.counts, min_count=min_count)


def control(reading: ClassMeans, kind: str, *, min_count: int, seed: int) -> WordList:
    """One ``"random"`` or frequency-``"matched"`` control list, as large as the seen gender words."""
    return words.control(kind, reading.lm.tokenizer, reading.counts, min_count=min_count, seed=seed)


def report(
    reading: ClassMeans, lists: dict[str, WordList | None], *, min_count: int
) -> dict[str, dict]:
    """What became of each list: words listed, kept as single tokens, seen often enough; which were
    dropped, and why.
    """
    by_list = {}
    for name, word_list in lists.items():
        if word_list is not None:
            rare = [
                w
                for w, i in zip(word_list.words, word_list.token_ids, strict=True)
                if reading.counts[i] < min_count
            ]
            dropped = word_list.dropped | dict.fromkeys(rare, f"seen fewer than {min_count} times")
            by_list[name] = {
                "listed": len(word_list) + len(word_list.dropped),
                "single token": len(word_list),
                "seen": len(word_list) - len(rare),
                "dropped": dropped,
            }
    return by_list


def shown_words(tokenizer, ids: Sequence[int]) -> list[str]:
    """Token ids as readers know the words, without the tokenizer's mark of a word's start."""
    return [
        tokenizer.convert_tokens_to_string([token]).strip() or token
        for token in tokenizer.convert_ids_to_tokens(ids)
    ]


def class_items(reading: ClassMeans, measured: Collapse, axis: str | list[str]) -> pd.DataFrame:
    """One row a class: the word, its NC3 cosine, its count and its mean squared distance to the
    class mean.
    """
    spread = reading.statistics.variances(measured.classes.to(reading.lm.device))
    return pd.DataFrame(
        {
            "benchmark": "collapse",
            "axis": axis,
            "item_id": measured.classes.numpy().astype(str),
            "unit": shown_words(reading.lm.tokenizer, measured.classes.tolist()),
            "score_a": measured.cosines.cpu().numpy(),
            "score_b": measured.counts.cpu().numpy(),
            "score_c": spread.cpu().numpy(),
        }
    )


def map_items(
    lm: LanguageModel,
    measured: Collapse,
    groups: Mapping[int, str],
    points: Sequence[np.ndarray],
    name: str = "",
) -> pd.DataFrame:
    """One row a point of a map of class means and word embeddings (two of (K, 2)): ``axis`` the
    word's group, ``item_id`` ``<name>:<token id>:mean`` or ``…:embedding``, coordinates in
    ``score_a`` and ``score_b``, the word's NC3 cosine in ``score_c``.
    """
    mark, ids, tables = f"{name}:" if name else "", measured.classes.tolist(), []
    for kind, flat in zip(("mean", "embedding"), points, strict=True):
        x, y = flat.T
        columns = {
            "axis": [groups[i] for i in ids],
            "item_id": [f"{mark}{i}:{kind}" for i in ids],
            "unit": shown_words(lm.tokenizer, ids),
            "score_a": x,
            "score_b": y,
            "score_c": measured.cosines.cpu().numpy(),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def agreement_rows(
    reading: ClassMeans, lists: dict[str, WordList | None], *, heldout: str | None, min_count: int
) -> list[dict]:
    """NC4 of each list on another split of the corpus, with and without the decoder's bias; none if
    it has no such split.
    """
    if heldout not in corpora.splits(reading.corpus):
        return []
    texts = corpora.load(reading.corpus, heldout)["text"][: reading.texts]
    held = list(
        _shared_features(
            reading.lm, texts, space=reading.space, labels=reading.labels, layer=reading.layer
        )
    )
    rows = []
    for name, word_list in lists.items():
        for metric, bias in (("nc4", reading.lm.bias), ("nc4_no_bias", None)):
            value = collapse.nearest_class_agreement(
                held,
                reading.statistics,
                reading.lm.weight,
                bias=bias,
                classes=word_list and word_list.token_ids,
                min_count=min_count,
            )
            rows.append({"words": name, "metric": metric, "value": float(value), "split": heldout})
    return rows


def draws(
    reading: ClassMeans,
    *,
    number: int,
    min_count: int,
    seed: int = 0,
    classes: Sequence[int] | None = None,
) -> tuple[list[dict], pd.DataFrame]:
    """Where gender words stand among control lists: the share of draws with a lower value, and
    every draw as an item. ``classes``: token ids of other words in their stead, each seen
    ``min_count`` times.
    """
    least = {"min_count": min_count, "groups": 1}  # draws need no intervals
    gender = list(classes or seen_gender_ids(reading, min_count=min_count))
    actual = collapse.measure(reading.statistics, reading.lm.weight, classes=gender, **least)
    rows, drawn = [], []
    for kind in ("random", "matched"):
        values = []
        for draw in progress(range(number), desc=f"{kind} word lists", unit="list"):
            word_list = words.control(
                kind,
                reading.lm.tokenizer,
                reading.counts,
                min_count=min_count,
                seed=seed + 1 + draw,
                gender=gender,
            )
            measured = collapse.measure(
                reading.statistics, reading.lm.weight, classes=word_list.token_ids, **least
            )
            values.append((float(measured.nc3), float(measured.unc3), float(measured.nc3c)))
        table = pd.DataFrame(values, columns=["score_a", "score_b", "score_c"])
        for metric, column in (("nc3", "score_a"), ("unc3", "score_b"), ("nc3c", "score_c")):
            below = 100 * (table[column] < float(getattr(actual, metric))).mean()
            rows.append(
                {
                    "words": kind,
                    "metric": f"{metric}_gender_percentile",
                    "value": below,
                    "n": number,
                }
            )
        drawn.append(
            table.assign(
                benchmark="collapse_draws", axis=kind, unit=kind, item_id=table.index.astype(str)
            )
        )
    return rows, pd.concat(drawn, ignore_index=True)


def __getattr__(name: str) -> type[ClassMeans]:
    if name == "Reading":  # until 0.3
        warnings.warn(
            "measurement.Reading is called ClassMeans; version 0.3 drops the old name",
            DeprecationWarning,
            stacklevel=2,
        )
        return ClassMeans
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
