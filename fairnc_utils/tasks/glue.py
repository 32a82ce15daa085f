"""GLUE (Wang et al. 2019): nine tasks of understanding English, by configuration.

The text comes from ``$FAIRNC_DATA/glue/<folder>`` in the format of the GLUE download, else from the
hub (``nyu-mll/glue``). GLUE keeps the labels of its test sets, so that the development set both
chooses the checkpoint and is reported, as is usual there; the value is a little too high for that.
Metrics are those of the paper, in percent.
"""

from dataclasses import dataclass
from functools import partial

import datasets

from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.base import (
    RECIPE,
    Task,
    accuracy,
    class_of,
    encode,
    f1,
    from_file_or_hub,
    matthews,
    pearson,
    spearman,
    table,
)

REPOSITORY = "nyu-mll/glue"
SENTENCES = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "neutral", "contradiction")
ACCURACY = {"accuracy": accuracy}


@dataclass(frozen=True)
class _Format:
    """Where a task's columns are: ``text`` in the hub's names, ``local`` in the files' (if others),
    ``label`` in the files'.
    """

    name: str
    folder: str
    text: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: dict
    local: tuple[str, ...] = ()
    label: str = "label"
    header: tuple[str, ...] | None = None
    torn: bool = False
    files: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "dev"))


#: The hub's names of the tasks and its order of the labels. QQP is released with torn lines, which the hub leaves out too.
FORMATS = (
    _Format(
        "cola",
        "CoLA",
        ("sentence",),
        ("unacceptable", "acceptable"),
        {"matthews": matthews} | ACCURACY,
        header=("source", "label", "mark", "sentence"),
    ),
    _Format("sst2", "SST-2", ("sentence",), ("negative", "positive"), ACCURACY),
    _Format(
        "mrpc",
        "MRPC",
        SENTENCES,
        ("not_equivalent", "equivalent"),
        {"f1": f1} | ACCURACY,
        local=("#1 String", "#2 String"),
        label="Quality",
    ),
    _Format(
        "qqp",
        "QQP",
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        {"f1": f1} | ACCURACY,
        label="is_duplicate",
        torn=True,
    ),
    _Format(
        "stsb", "STS-B", SENTENCES, (), {"spearman": spearman, "pearson": pearson}, label="score"
    ),
    _Format(
        "mnli",
        "MNLI",
        ("premise", "hypothesis"),
        ENTAILMENT,
        ACCURACY,
        local=SENTENCES,
        label="gold_label",
        files=(
            ("train", "train"),
            ("validation", "dev_matched"),
            ("validation_mismatched", "dev_mismatched"),
        ),
    ),
    _Format("qnli", "QNLI", ("question", "sentence"), ("entailment", "not_entailment"), ACCURACY),
    _Format("rte", "RTE", SENTENCES, ("entailment", "not_entailment"), ACCURACY),
    _Format("wnli", "WNLI", SENTENCES, ("not_entailment", "entailment"), ACCURACY),
)


def load(split: str, *, form: _Format) -> datasets.Dataset:
    """Items of a split: the hub's columns of text and ``label``, with ``item_id``, the row's place
    in the file.
    """
    file = dict(form.files)[split]
    hub_split = "validation_matched" if (form.name, split) == ("mnli", "validation") else split
    items = from_file_or_hub(
        f"glue/{form.folder}/{file}.tsv",
        partial(_read, form=form),
        REPOSITORY,
        hub_split,
        form.name,
    ).select_columns([*form.text, "label"])
    return items.add_column("item_id", [str(i) for i in range(len(items))])


def _read(key: str, *, form: _Format) -> datasets.Dataset:
    rows = table(key, [*(form.local or form.text), form.label], header=form.header, torn=form.torn)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(form.text)}
    return datasets.Dataset.from_dict(
        columns | {"label": [_label(row[-2], form, key, row[-1]) for row in rows]}
    )


def _label(value: str, form: _Format, key: str, line: int) -> int | float:
    if form.labels:
        return class_of(value, form.labels, key=key, line=line)
    try:
        return float(value)
    except ValueError:
        raise FairNCError(
            f"{key}, line {line}: {value!r} is no number; a score from 0 to 5 is expected"
        ) from None


def _task(form: _Format) -> Task:
    return Task(
        name=form.name,
        source="wang2019glue",
        corpus=f"GLUE {form.folder}",
        recipe=RECIPE,
        load=partial(load, form=form),
        inputs=partial(encode, columns=form.text),
        metrics=form.metrics,
        labels=form.labels,
        head="classification" if form.labels else "regression",
        splits=tuple(split for split, _ in form.files),
        kind="nli" if form.labels == ENTAILMENT else "",
    )


#: GLUE task name → task.
GLUE = {form.name: _task(form) for form in FORMATS}
COLA, SST2, MRPC, QQP, STSB, MNLI, QNLI, RTE, WNLI = GLUE.values()
