"""Explanations: do attributions point at the words that truly tell the gender of a text?

A classifier of ``text_gender`` is asked which of two versions of a sentence it reads. They differ in the swapped
words alone, so that an explanation is right as far as it lies there: ``mass_accuracy`` is the attribution on their
tokens over that on all ordinary tokens, in percent (ideal 100), and ``mass_over_chance`` what it has above the share
of those tokens (0 where attributions say nothing). ``mass_gap`` is the mass in the woman's version minus that in the
man's (ideal 0). After GECO (Wilming et al. 2024), whose own sentences are not used here.

Attributions are of the margin, the score of one class minus that of the other, as sizes, one a token, and stand as
axes: ``gradient`` |Σ_d gradient · embedding|, ``integrated`` gradients on the way from an input of masks, and
``occlusion``, the change of the margin where the token is masked. Two axes are controls: ``random`` attributions,
drawn by a hash of the text, and a ``bag_of_words``, the log-odds of each token among the training texts, in which
a token that no swap touches has exactly 0. The axis ``all`` is the mean of the three that explain. ``nc1`` is that of
the two classes, over the same texts, before the last layer.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import datasets
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fairnc_utils import batching, collapse, stats
from fairnc_utils._progress import progress
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.base import percent as percent_of
from fairnc_utils.collapse import ClassStatistics
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks.biographies import GENDERS
from fairnc_utils.tasks.text_gender import TEXT_GENDER

EXPLAINING = ("gradient", "integrated", "occlusion")
CONTROLS = ("random", "bag_of_words")

#: Points at which integrated gradients are taken.
STEPS = 16

_TOKENS = 2048  # padded tokens a batch


def score(classifier: Classifier, items: datasets.Dataset) -> pd.DataFrame:
    """A row for each text and attribution: ``score_a`` share of its mass on the swapped words, ``score_b``
    their share of the tokens, ``score_c`` NC1 of the classes, the same in each row. A text whose words were cut off,
    or whose attribution is 0, has no ``score_a``.
    """
    columns = items[:]
    inputs = TEXT_GENDER.inputs(classifier.tokenizer, items, classifier.max_length)
    ids = [row["input_ids"] for row in inputs]
    ordinary, truth = _places(classifier, columns["text"], columns["changed"], ids)
    separation = class_nc1(classifier, items)
    common = {
        "unit": columns["unit"],
        "score_b": [_share(right, counted) for right, counted in zip(truth, ordinary, strict=True)],
        "score_c": separation,
    }
    tables = []
    for name, sizes in attributions(classifier, ids, ordinary).items():
        masses = [
            _mass(of_text, right, counted)
            for of_text, right, counted in zip(sizes, truth, ordinary, strict=True)
        ]
        tables.append(
            pd.DataFrame(common | {"score_a": masses, "axis": name}).assign(
                item_id=[f"{item}:{name}" for item in columns["item_id"]]
            )
        )
    return pd.concat(tables, ignore_index=True)


def _places(
    classifier: Classifier,
    texts: Sequence[str],
    changed: Sequence[Sequence[Sequence[int]]],
    ids: Sequence[Sequence[int]],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each text, which of its tokens are ordinary, and which spell a swapped word: (T,) bools."""
    encoded = classifier.tokenizer(list(texts), return_offsets_mapping=True)
    special = set(classifier.tokenizer.all_special_ids)
    ordinary = [np.array([token not in special for token in row]) for row in ids]
    truth = [
        np.array(
            [any(a < end and b > start for start, end in spans) for a, b in offsets[: len(row)]]
        )
        for offsets, spans, row in zip(encoded["offset_mapping"], changed, ids, strict=True)
    ]
    return ordinary, [right & counted for right, counted in zip(truth, ordinary, strict=True)]


def _share(truth: np.ndarray, ordinary: np.ndarray) -> float:
    return float(truth.sum() / ordinary.sum())


def _mass(sizes: np.ndarray, truth: np.ndarray, ordinary: np.ndarray) -> float:
    whole = sizes[ordinary].sum()
    return float(sizes[truth].sum() / whole) if whole > 0 and truth.any() else np.nan


def class_nc1(classifier: Classifier, items: datasets.Dataset) -> float:
    """NC1 of the two classes over some texts before the last layer, ideal 0; NaN for few texts."""
    inputs = TEXT_GENDER.inputs(classifier.tokenizer, items, classifier.max_length)
    features = torch.from_numpy(classifier.features(inputs))
    by_class = ClassStatistics(len(GENDERS), features.shape[1])
    by_class.update(features, torch.tensor(items["label"][:]))
    if len(by_class.seen()) < len(GENDERS):
        return float("nan")
    weight = classifier.last_layer.weight.detach().double().cpu()
    return float(collapse.measure(by_class, weight, groups=1).nc1)


# ---------------------------------------------------------------- attributions


def attributions(
    classifier: Classifier, ids: Sequence[Sequence[int]], ordinary: Sequence[np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """Attribution → for each input the size that each token has, (T,); special ones have none."""
    with progress(total=len(ids) * len(EXPLAINING), desc="explaining", unit="text") as bar:
        by_name = {
            name: _signed(classifier, ids, ordinary, attribute, bar)
            for name, attribute in (
                ("gradient", gradient_times_input),
                ("integrated", integrated_gradients),
                ("occlusion", occlusion),
            )
        }
    known = token_log_odds(classifier)
    sizes = {name: list(map(np.abs, signed)) for name, signed in by_name.items()}
    return sizes | {
        "random": [_drawn(row) for row in ids],
        "bag_of_words": [np.abs([known.get(token, 0.0) for token in row]) for row in ids],
    }


def _signed(classifier, ids, ordinary, attribute, bar) -> list[np.ndarray]:
    rows: list = [None] * len(ids)
    for batch in batching.bucketed(
        ids, pad_id=classifier.tokenizer.pad_token_id, tokens=_TOKENS, device=classifier.device
    ):
        counted = torch.zeros_like(batch.input_ids, dtype=torch.bool)
        for row, place in enumerate(batch.index):
            counted[row, : len(ids[place])] = torch.from_numpy(ordinary[place]).to(counted.device)
        signed = attribute(classifier, batch.input_ids, batch.attention_mask, counted)
        for row, place in enumerate(batch.index):
            rows[place] = signed[row, : len(ids[place])].double().cpu().numpy()
        bar.update(len(batch.index))
    return rows


def margin(classifier: Classifier, embedded: Tensor, mask: Tensor) -> Tensor:
    """Score of a woman's text minus that of a man's, of embedded inputs: (B, T, D), (B, T) → (B,)."""
    logits = classifier.model(inputs_embeds=embedded, attention_mask=mask).logits
    return logits[:, 1] - logits[:, 0]


def _embedded(classifier: Classifier, ids: Tensor) -> Tensor:
    return classifier.model.base_model.get_input_embeddings()(ids).detach()


def _masked(classifier: Classifier, ids: Tensor, places: Tensor) -> Tensor:
    return ids.masked_fill(places, classifier.tokenizer.mask_token_id)


def _gradient(classifier: Classifier, embedded: Tensor, mask: Tensor) -> Tensor:
    embedded = embedded.requires_grad_(True)
    with torch.enable_grad():
        total = margin(classifier, embedded, mask).sum()
    return torch.autograd.grad(total, embedded)[0]


def gradient_times_input(
    classifier: Classifier, ids: Tensor, mask: Tensor, ordinary: Tensor
) -> Tensor:
    """Σ_d gradient of the margin · embedding at each token (B, T); 0 at special ones."""
    embedded = _embedded(classifier, ids)
    gradient = _gradient(classifier, embedded.clone(), mask)
    return (gradient * embedded).sum(-1) * ordinary


def integrated_gradients(
    classifier: Classifier, ids: Tensor, mask: Tensor, ordinary: Tensor, *, steps: int = STEPS
) -> Tensor:
    """Integrated gradients of the margin (Sundararajan et al. 2017) from the input with all ordinary tokens
    masked: (B, T), whose sum is the change of the margin but for the error of ``steps`` points.
    """
    start = _embedded(classifier, _masked(classifier, ids, ordinary))
    way = _embedded(classifier, ids) - start
    gradient = torch.zeros_like(way)
    for step in range(steps):
        gradient += _gradient(classifier, start + (step + 0.5) / steps * way, mask) / steps
    return (gradient * way).sum(-1)


@torch.no_grad()
def occlusion(classifier: Classifier, ids: Tensor, mask: Tensor, ordinary: Tensor) -> Tensor:
    """Margin minus the margin with the token masked, at each ordinary token (B, T)."""
    whole = margin(classifier, _embedded(classifier, ids), mask)
    changes = torch.zeros(ids.shape, dtype=whole.dtype, device=whole.device)
    for place in range(ids.shape[1]):
        here = torch.zeros_like(ordinary)
        here[:, place] = ordinary[:, place]
        if here.any():
            hidden = _embedded(classifier, _masked(classifier, ids, here))
            changes[:, place] = whole - margin(classifier, hidden, mask)
    return changes * ordinary


def token_log_odds(classifier: Classifier) -> dict[int, float]:
    """Token → log-odds of a woman's text among the training texts that have it, half a text added to each
    gender; 0 for a token that no swap touches, as both versions of a sentence are among them.
    """
    items = TEXT_GENDER.load("train")
    inputs = TEXT_GENDER.inputs(classifier.tokenizer, items, classifier.max_length)
    counts: Counter[tuple[int, int]] = Counter()
    for row, label in zip(inputs, items["label"], strict=True):
        counts.update((token, label) for token in set(row["input_ids"]))
    return {
        token: float(np.log((counts[token, 1] + 0.5) / (counts[token, 0] + 0.5)))
        for token, _ in counts
    }


def _drawn(ids: Sequence[int]) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(str(list(ids)).encode()).digest()[:8], "big")
    return np.random.default_rng(seed).random(len(ids))


# ---------------------------------------------------------------- statistics


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: ``mass`` and ``chance``, means over its versions and explanations, and ``gap``, the mass in
    the woman's version minus that in the man's. Controls count where they stand alone.
    """
    if rows["axis"].isin(EXPLAINING).any():
        rows = rows[rows["axis"].isin(EXPLAINING)]
    rows = rows.assign(gender=rows["item_id"].str.split(":").str[1])
    by_gender = (
        rows.groupby(["unit", "gender"])["score_a"].mean().unstack().reindex(columns=GENDERS)
    )
    table = pd.DataFrame(
        {
            "mass": by_gender.mean(axis=1, skipna=False),
            "chance": rows.groupby("unit")["score_b"].mean(),
            "gap": by_gender[GENDERS[1]] - by_gender[GENDERS[0]],
        }
    )
    return table.dropna()


def over_chance(mass: np.ndarray, chance: np.ndarray, axis: int) -> np.ndarray:
    """Mass above the share of the tokens, in points."""
    return percent_of(mass - chance, axis)


def extras(rows: pd.DataFrame) -> dict[str, stats.Estimate]:
    """NC1 of the two classes."""
    return {"nc1": stats.Estimate(float(rows["score_c"].iloc[0]), np.nan, np.nan, len(GENDERS))}


EXPLANATIONS = Benchmark(
    name="explanations",
    splits=("validation", "test"),
    axes=(*EXPLAINING, *CONTROLS),
    load=TEXT_GENDER.load,
    score=score,
    units=units,
    statistics={
        "mass_accuracy": (("mass",), percent_of),
        "mass_over_chance": (("mass", "chance"), over_chance),
        "mass_gap": (("gap",), percent_of),
    },
    kinds=("text_gender",),
    extras=extras,
    measures="How much of an explanation of a classifier lies on the words that truly tell the gender of a text.",
    limits="A task that a list of words solves, on short sentences of BUG. Other words may carry what attention has brought "
    "them from the swapped ones, so that a mass elsewhere need not be a wrong explanation. Attributions of embeddings say "
    "nothing of the layers between.",
    source="wilming2024geco",
)
