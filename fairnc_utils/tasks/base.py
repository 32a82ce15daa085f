"""What a fine-tuning task is: labelled items, how they become inputs, a head, a recipe, metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import datasets
import numpy as np

from fairnc_utils import assets, hub, stats
from fairnc_utils.errors import FairNCError
from fairnc_utils.training import Recipe

#: Devlin et al. 2019, appendix A.3: batch 32, 3 epochs; of their four learning rates the largest, as small models need it.
RECIPE = Recipe(lr=5e-5, epochs=3, batch_size=32, max_length=128, warmup=0.1)

#: Shapes of head: class probabilities, one number, class probabilities from the states at several places.
HEADS = ("classification", "regression", "mention_pair")

#: One row of ``Task.inputs``: ``input_ids`` and, where the task has them, ``token_type_ids`` and ``positions``.
Input = dict[str, list[int]]


@dataclass(frozen=True)
class Task:
    """One task, described by data and plain functions.

    ``load(split)`` → items with the task's columns of text and ``label`` (the place of the class in
    ``labels``, or a number); ``inputs(tokenizer, items, max_length)`` → one ``Input`` an item;
    ``metrics``: metric → function of predicted and true labels with ``axis``, all of them better
    when high, of which the first chooses the checkpoint on the split ``validation``; ``labels``:
    class names (none for a regression); ``head``: one of ``HEADS``; ``splits``: those with labels,
    ``train`` and ``validation`` first; ``kind``: what benchmarks call a model of this task (by
    default the task's name), so that tasks that train the same ability on other text share a
    benchmark; ``corpus``: the text in words; ``source``: the paper.
    """

    name: str
    source: str
    corpus: str
    recipe: Recipe
    load: Callable[[str], datasets.Dataset]
    inputs: Callable[..., list[Input]]
    metrics: dict[str, Callable]
    labels: tuple[str, ...] = ()
    head: str = "classification"
    splits: tuple[str, ...] = ("train", "validation")
    kind: str = ""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise FairNCError(
                f"task {self.name}: unknown head {self.head!r}: choose {', '.join(HEADS)}"
            )
        object.__setattr__(self, "kind", self.kind or self.name)

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for one item."""
        return 1 if self.head == "regression" else len(self.labels)

    def items(self, split: str) -> datasets.Dataset:
        """``load(split)``; raises ``FairNCError`` for an unknown split and for one without items."""
        if split not in self.splits:
            raise FairNCError(
                f"task {self.name} has no split {split!r}: choose {', '.join(self.splits)}"
            )
        items = self.load(split)
        if not len(items):
            raise FairNCError(f"task {self.name}: the split {split} has no items")
        return items


class NoText(FairNCError):
    """A task's text cannot be had. ``source``: the hub's dataset that holds it, with that of other
    tasks perhaps.
    """

    def __init__(self, message: str, source: str):
        super().__init__(message)
        self.source = source


def encode(
    tokenizer, items: datasets.Dataset, max_length: int, *, columns: Sequence[str] = ("sentence",)
) -> list[Input]:
    """Inputs of single sentences, or of sentence pairs where ``columns`` names two; the longer one
    is cut first.
    """
    encoded = tokenizer(
        *(list(items[column]) for column in columns), truncation=True, max_length=max_length
    )
    keys = [key for key in ("input_ids", "token_type_ids") if key in encoded]
    return [
        dict(zip(keys, row, strict=True))
        for row in zip(*(encoded[key] for key in keys), strict=True)
    ]


def from_file_or_hub(
    key: str,
    read: Callable[[str], datasets.Dataset],
    repository: str,
    split: str,
    config: str | None = None,
) -> datasets.Dataset:
    """``read(key)`` if there is a file ``$FAIRNC_DATA/<key>``, else the hub's dataset.

    Raises ``NoText`` that names both where neither is to be had.
    """
    if assets.has_local(key):
        return read(key)
    try:
        return hub.dataset(repository, split, config)
    except FairNCError as error:
        raise NoText(
            f"there is no file $FAIRNC_DATA/{key} (put it there), and {error}", repository
        ) from error


def table(
    key: str, columns: Sequence[str], *, header: Sequence[str] | None = None, torn: bool = False
) -> list[tuple]:
    """The ``columns`` of a tab-separated data file, behind each row its line number.

    ``header``: the names of all columns where the first line does not tell them; nothing is quoted;
    ``torn``: leave out lines with too few fields. Raises ``FairNCError`` that names file and line
    where a column is missing or a line has another number of fields than the header.
    """
    try:
        lines = assets.read(key).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FairNCError(
            f"{key} is not UTF-8 text (byte {error.start}); convert it first"
        ) from error
    first = 1 if header else 2
    names = list(header or lines.pop(0).rstrip("\r").split("\t"))
    if missing := [column for column in columns if column not in names]:
        raise FairNCError(
            f"{key}, line 1: there is no column {missing[0]!r} among {', '.join(names)}"
        )
    places, rows = [names.index(column) for column in columns], []
    for number, line in enumerate(lines, first):
        fields = line.rstrip("\r").split("\t")
        if fields == [""] or (torn and len(fields) < len(names)):
            continue
        if len(fields) != len(names):
            raise FairNCError(
                f"{key}, line {number}: {len(fields)} fields set apart by tabs; there should be {len(names)}"
            )
        rows.append((*(fields[place] for place in places), number))
    return rows


def class_of(value: str, labels: Sequence[str], *, key: str, line: int) -> int:
    """Place of a label that a file gives by its name or by that place; ``FairNCError`` names file
    and line of another one.
    """
    if value in labels:
        return labels.index(value)
    if value.isdecimal() and int(value) < len(labels):
        return int(value)
    raise FairNCError(
        f"{key}, line {line}: label {value!r} is none of {', '.join(labels)}, nor 0 to {len(labels) - 1}"
    )


# -------------------------- metrics of predicted and true labels along an axis, in percent as usual


def accuracy(predicted: np.ndarray, label: np.ndarray, axis: int = -1) -> np.ndarray:
    """Right predictions in percent; 100 is perfect."""
    return 100 * np.mean(predicted == label, axis=axis)


def _counts(predicted: np.ndarray, label: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """True positives, false positives, false negatives and true negatives of class 1."""
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))
    return tuple(np.sum((predicted == p) & (label == t), axis=axis, dtype=float) for p, t in pairs)


def f1(predicted: np.ndarray, label: np.ndarray, axis: int = -1) -> np.ndarray:
    """Harmonic mean of precision and recall of class 1; 100 is perfect, 0 where the class is
    neither there nor predicted.
    """
    tp, fp, fn, _ = _counts(predicted, label, axis)
    return 100 * stats.quotient(2 * tp, 2 * tp + fp + fn, otherwise=0.0)


def matthews(predicted: np.ndarray, label: np.ndarray, axis: int = -1) -> np.ndarray:
    """Matthews correlation of two classes, times 100; 100 is perfect, 0 chance and what a constant
    prediction gets.
    """
    tp, fp, fn, tn = _counts(predicted, label, axis)
    whole = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return 100 * stats.quotient(tp * tn - fp * fn, whole, otherwise=0.0)


def pearson(predicted: np.ndarray, label: np.ndarray, axis: int = -1) -> np.ndarray:
    """Pearson correlation of predicted and true numbers, times 100; 100 is perfect, 0 what a
    constant prediction gets.
    """
    return 100 * stats.correlation(predicted, label, axis, otherwise=0.0)


def spearman(predicted: np.ndarray, label: np.ndarray, axis: int = -1) -> np.ndarray:
    """Pearson correlation of the ranks (ties share their mean rank), times 100; 100 is perfect."""
    return 100 * stats.correlation(predicted, label, axis, ranked=True, otherwise=0.0)
