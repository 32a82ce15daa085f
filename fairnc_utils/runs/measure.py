"""Runs that measure collapse: word lists, and maps of the words."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from fairnc_utils import collapse, corpora, measurement, projection, words
from fairnc_utils.catalog import CONTROLS
from fairnc_utils.errors import FairNCError
from fairnc_utils.measurement import ClassMeans
from fairnc_utils.models import LanguageModel
from fairnc_utils.runs import checkout
from fairnc_utils.runs.loading import loaded
from fairnc_utils.runs.options import GeometryConfig, MeasureConfig, TextConfig, configured
from fairnc_utils.runs.rows import Run, make, metric_rows
from fairnc_utils.runs.store import stored
from fairnc_utils.words import WordList


def reading_of(config: TextConfig, **options) -> ClassMeans:
    """What a configuration names, read; ``options``: further ones of ``measurement.read``."""
    text = config.model_dump(include={"device", "corpus", "split", "texts"})
    return measurement.read(checkout.located(config.model), **text, **options)


@stored
def measure(**options) -> Run:
    """Collapse metrics of word lists for one model on one corpus: rows by list, variant, minimum
    count and layer.

    Options: see ``MeasureConfig``. Items hold each class's NC3 cosine (``score_a``), count
    (``score_b``) and mean squared distance to its mean (``score_c``) by list; and, as benchmark
    ``collapse_draws``, the NC3, UNC3 and NC3c of each control draw. ``layers`` adds rows of hidden
    layers, whose states meet the same embeddings. Raises ``FairNCError`` on a bad option, an
    unknown model, corpus, list or layer, or when too few classes are seen.
    """
    config = configured(MeasureConfig, options)
    _check_heldout(config)
    foreign = words.evidence(config.words)
    text = config.model_dump(include={"corpus", "split", "texts", "space", "labels"})
    reading = measurement.read(loaded(config), **text)
    least = config.min_counts[0]
    lists = measurement.word_lists(reading, config.words, min_count=least, seed=config.seed)
    rows, items = _list_rows(reading, lists, config.min_counts, config.variants)
    rows += measurement.agreement_rows(
        reading, lists, heldout=config.heldout_split, min_count=least
    )
    if config.draws:
        drawn, draw_items = measurement.draws(
            reading, number=config.draws, min_count=least, seed=config.seed
        )
        rows, items = rows + drawn, [*items, draw_items]
    if config.layers:
        rows += _layer_rows(reading.lm, lists, least, config.variants, config.layers, **text)
    return make(
        config,
        _complete(rows, reading, least),
        pd.concat(items, ignore_index=True).assign(split=reading.split),
        device=reading.lm.device,
        evidence={
            "reading": reading.fingerprint,
            "words": measurement.report(reading, lists, min_count=least),
        }
        | foreign,
    )


def _check_heldout(config: MeasureConfig) -> None:
    """Raise ``FairNCError`` if NC4 would be taken on the text that the class means come from."""
    splits = corpora.splits(config.corpus)
    if config.heldout_split in splits and config.heldout_split == (config.split or splits[-1]):
        others = [split for split in splits if split != config.heldout_split]
        raise FairNCError(
            f"option heldout_split = {config.heldout_split!r}: NC4 needs text that the class means are not taken from; "
            f"choose {', '.join((*others, 'none'))}"
        )


def collapse_of(
    lm: LanguageModel,
    names: Sequence[str],
    *,
    min_counts: Sequence[int],
    seed: int,
    texts: int | None = None,
    by_layer: bool = False,
) -> tuple[list[dict], pd.DataFrame]:
    """Rows and class items of word lists on GAP test, for a model in memory; ``by_layer``: at each
    hidden layer as well.

    Of several ``min_counts`` the first is that of the items, of control lists and of layers.
    """
    reading, least = measurement.read(lm, texts=texts, keep=False), min_counts[0]
    lists = measurement.word_lists(reading, names, min_count=least, seed=seed)
    rows, items = _list_rows(reading, lists, min_counts, ("corrected",))
    if by_layer:
        rows += _layer_rows(lm, lists, least, ("corrected",), texts=texts)
    return _complete(rows, reading, least), pd.concat(items, ignore_index=True).assign(
        split=reading.split
    )


def collapse_at_slots(
    lm: LanguageModel,
    names: Sequence[str],
    *,
    min_counts: Sequence[int],
    seed: int,
    texts: int | None = None,
) -> list[dict]:
    """Rows of word lists on GAP test where the words are masked (see ``measurement.read_slots``)."""
    lists = {name: words.load(name, lm.tokenizer) for name in names}
    reading = measurement.read_slots(lm, lists.values(), texts=texts, seed=seed)
    rows, _ = _list_rows(reading, lists, min_counts, ("corrected",))
    return [
        row | {"benchmark": "collapse_at_slots"} for row in _complete(rows, reading, min_counts[0])
    ]


def _layer_rows(
    lm: LanguageModel,
    lists: dict[str, WordList | None],
    min_count: int,
    variants: Sequence[str],
    layers: Sequence[int] | str = "all",
    **text,
) -> list[dict]:
    """Rows of each list at hidden layers, all of which are read in one pass."""
    numbers = range(1, lm.layers + 1) if layers == "all" else layers
    if unknown := sorted(set(numbers) - set(range(1, lm.layers + 1))):
        raise FairNCError(
            f"{lm.name} has no hidden layer {unknown[0]}: choose 1 to {lm.layers}, or all"
        )
    inner = [reading for reading in measurement.read_layers(lm, **text) if reading.layer in numbers]
    return [
        reading.columns | row
        for reading in inner
        for row in _list_rows(reading, lists, (min_count,), variants)[0]
    ]


def _complete(rows: list[dict], reading: ClassMeans, min_count: int) -> list[dict]:
    """The rows with what all of them share: where a row says otherwise, it is right."""
    common = {
        "benchmark": "collapse",
        "variant": "corrected",
        "min_count": min_count,
    } | reading.columns
    return [
        common | {"axis": "" if row["words"] in CONTROLS else row["words"]} | row for row in rows
    ]


def _list_rows(
    reading: ClassMeans,
    lists: dict[str, WordList | None],
    min_counts: Sequence[int],
    variants: Sequence[str],
) -> tuple[list[dict], list[pd.DataFrame]]:
    """Rows of each list by minimum count and variant, and the classes of the first count as item
    tables.
    """
    rows, items = [], []
    for name, word_list in lists.items():
        ids = word_list and word_list.token_ids
        for min_count, variant in product(min_counts, variants):
            if (
                min_count != min_counts[0]
                and len(reading.statistics.seen(ids, min_count=min_count)) < 2
            ):
                continue  # the first count is asked for; the others stand beside it where they can
            measured = collapse.measure(
                reading.statistics,
                reading.lm.weight,
                classes=ids,
                min_count=min_count,
                variant=variant,
            )
            rows += metric_rows(
                measured.estimates, words=name, variant=variant, min_count=min_count
            )
            if (min_count, variant) == (min_counts[0], "corrected"):
                items.append(measurement.class_items(reading, measured, name))
                rows += [
                    {
                        "words": name,
                        "metric": f"reference_{key}",
                        "value": value,
                        "n": len(measured.classes),
                    }
                    for key, value in collapse.simplex_reference(
                        len(measured.classes), reading.lm.weight.shape[1], device=reading.lm.device
                    ).items()
                ]
    return rows, items


@stored
def geometry(**options) -> Run:
    """Class means and word embeddings in one plane, by PCA and UMAP, with the trustworthiness of
    each map.

    Options: see ``GeometryConfig``. Items: benchmark ``pca`` or ``umap``, axis the word's group,
    unit the word, ``item_id`` ``<token id>:mean`` or ``<token id>:embedding``, coordinates in
    ``score_a`` and ``score_b``, NC3 cosine in ``score_c``; and the classes themselves as benchmark
    ``collapse``, as in ``measure``.
    """
    config = configured(GeometryConfig, options)
    foreign = words.evidence(config.words)
    reading = reading_of(config)
    lists = measurement.word_lists(reading, config.words, min_count=config.min_count)
    groups = words.grouped(lists.values())
    weight = reading.lm.weight
    measured = collapse.measure(
        reading.statistics, weight, classes=sorted(groups), min_count=config.min_count
    )
    classes = measurement.class_items(
        reading, measured, [groups[i] for i in measured.classes.tolist()]
    )
    on = measured.classes.to(weight.device)
    maps, metrics = projection.shared_maps(
        reading.statistics.means(on), weight[on], neighbors=config.neighbors, seed=config.seed
    )
    tables = [classes]
    for method, points in maps.items():
        items = measurement.map_items(reading.lm, measured, groups, points)
        tables.append(items.assign(benchmark=method))
    common = {
        "benchmark": "geometry",
        "words": "+".join(config.words),
        "min_count": config.min_count,
        "n": 2 * len(classes),
    }
    return make(
        config,
        [common | reading.columns | row for row in metrics],
        pd.concat(tables).assign(split=reading.split),
        device=reading.lm.device,
        evidence={"reading": reading.fingerprint} | foreign,
    )
