"""Did annotators call a comment biased? RedditBias (Barikeri et al. 2021), all five groups at once.

A model of this task scores text and does nothing else. The comments were picked because they name a
group beside an attribute, so it has learned what is biased *among these*: how well it tells them apart,
group by group, says the benchmark of the same name. It finds no toxicity.
"""

from functools import cache, partial

import datasets

from fairnc_utils import _io
from fairnc_utils.tasks.base import RECIPE, Task, accuracy, encode, f1
from fairnc_utils.tasks.biographies import part_of

LABELS = ("other", "biased")

#: Group that the comments name → their file, below ``RedditBias/``.
FILES = {
    "gender": "gender/reddit_comments_gender_female",
    "jews": "religion1/reddit_comments_religion1_jews",
    "lgbtq": "orientation/reddit_comments_orientation_lgbtq",
    "muslims": "religion2/reddit_comments_religion2_muslims",
    "race": "race/reddit_comments_race_black",
}


def load(split: str) -> datasets.Dataset:
    """Labelled comments: ``item_id``, ``axis``, ``text``, ``label``; equal ones are one item.

    The split is drawn by a hash of the comment: seven tenths train, one validation, two test.
    """
    return datasets.Dataset.from_list(_items()[split])


@cache
def _items() -> dict[str, list[dict]]:
    by_split: dict[str, dict[str, dict]] = {"train": {}, "validation": {}, "test": {}}
    for axis, file in FILES.items():
        key = f"RedditBias/{file}_processed_phrase_annotated.csv"
        # one of the files was written on an old Macintosh
        rows = _io.table(key, ("comment",), otherwise="mac_roman")
        with _io.parsing(key):
            # what nobody labelled, or not by yes or no, is no item
            labelled = [(i, row) for i, row in enumerate(rows) if row["bias_sent"] in ("0", "1")]
        for number, row in labelled:
            text = row["comment"].strip()
            item = {"item_id": f"{axis}:{number}", "axis": axis, "text": text}
            by_split[part_of(text)].setdefault(text, item | {"label": int(row["bias_sent"])})
    return {split: list(items.values()) for split, items in by_split.items()}


REDDITBIAS = Task(
    name="redditbias",
    source="barikeri2021redditbias",
    corpus="RedditBias",
    recipe=RECIPE,
    load=load,
    inputs=partial(encode, columns=("text",)),
    metrics={"accuracy": accuracy, "f1": f1},
    labels=LABELS,
    splits=("train", "validation", "test"),
    kind="bias_statement",
)
