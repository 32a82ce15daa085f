"""Natural language inference: does a premise entail a hypothesis, contradict it, or neither?
Classes in the usual order.

``snli`` (Bowman et al. 2015) is the training text of the published Bias-NLI numbers and comes from
the hub; ``sick`` (Marelli et al. 2014) is a small substitute, read from
``$FAIRNC_DATA/sick/SICK.txt``. GLUE's ``mnli`` makes a model of this kind too.
"""

from functools import partial

import datasets
import numpy as np

from fairnc_utils import hub
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.base import RECIPE, Task, accuracy, class_of, encode, table
from fairnc_utils.tasks.glue import ENTAILMENT

COLUMNS = ("premise", "hypothesis")
SICK = "sick/SICK.txt"

#: Split → SICK's name of it.
_SICK_SPLITS = {"train": "TRAIN", "validation": "TRIAL", "test": "TEST"}


def load_snli(split: str) -> datasets.Dataset:
    """SNLI's pairs whose annotators agreed on a label."""
    items = hub.dataset("stanfordnlp/snli", split)
    return items.select(np.flatnonzero(np.array(items["label"]) >= 0)).select_columns(
        [*COLUMNS, "label"]
    )


def load_sick(split: str) -> datasets.Dataset:
    """SICK's pairs of a split. Raises ``FairNCError`` that names file and line of a malformed row."""
    try:
        rows = table(
            SICK, ("pair_ID", "sentence_A", "sentence_B", "entailment_label", "SemEval_set")
        )
    except FairNCError as error:
        raise FairNCError(f"task sick: {error}") from error
    for *_, part, line in rows:
        if part not in _SICK_SPLITS.values():
            raise FairNCError(
                f"{SICK}, line {line}: SemEval_set {part!r} is none of {', '.join(_SICK_SPLITS.values())}"
            )
    return datasets.Dataset.from_list(
        [
            {
                "item_id": name,
                "premise": premise,
                "hypothesis": hypothesis,
                "label": class_of(label.lower(), ENTAILMENT, key=SICK, line=line),
            }
            for name, premise, hypothesis, label, part, line in rows
            if part == _SICK_SPLITS[split]
        ]
    )


def _task(name: str, source: str, corpus: str, load) -> Task:
    return Task(
        name=name,
        source=source,
        corpus=corpus,
        recipe=RECIPE,
        load=load,
        inputs=partial(encode, columns=COLUMNS),
        metrics={"accuracy": accuracy},
        labels=ENTAILMENT,
        splits=("train", "validation", "test"),
        kind="nli",
    )


SNLI = _task("snli", "bowman2015large", "SNLI", load_snli)
SICK_NLI = _task("sick", "marelli2014sick", "SICK", load_sick)
