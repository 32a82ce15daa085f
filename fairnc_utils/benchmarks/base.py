"""What a benchmark is: items → scores → units → metrics with intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import stats
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel

#: Columns of the item table that ``Benchmark.score`` returns.
SCORE_COLUMNS = ("score_a", "score_b", "score_c")
ITEM_COLUMNS = ("axis", "item_id", "unit", *SCORE_COLUMNS)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, described by data and plain functions.

    ``load(split)`` → items; ``score(lm, items)`` → one row an item with ``ITEM_COLUMNS``;
    ``units(rows)`` → one row a sampled unit (target term, pair …); ``statistics``: metric →
    (columns of the unit table, function of them with ``axis=-1``); ``axes``: bias types, ``"all"``
    pools them; ``kinds``: model kinds it can score. ``extras(rows)`` → further metrics with no
    bootstrap interval, such as p values. ``measures`` and ``limits``: what the numbers say and what
    they cannot, in a sentence or two; ``source``: its key in the book's bibliography; ``variant``:
    corrected or as_released. ``strata``: column of the unit table within whose values units are
    redrawn, if the design fixed their numbers.
    """

    name: str
    splits: tuple[str, ...]
    axes: tuple[str, ...]
    load: Callable[[str], datasets.Dataset]
    score: Callable[[LanguageModel, datasets.Dataset], pd.DataFrame]
    units: Callable[[pd.DataFrame], pd.DataFrame]
    statistics: dict[str, tuple[tuple[str, ...], Callable]]
    kinds: tuple[str, ...] = ("masked",)
    extras: Callable[[pd.DataFrame], dict[str, stats.Estimate]] | None = None
    measures: str = ""
    limits: str = ""
    source: str = ""
    variant: str = "corrected"
    strata: str = ""

    def check(self, *, split: str, axis: str) -> None:
        """Raise ``FairNCError`` naming the valid values if split or axis is unknown."""
        if split not in self.splits:
            raise FairNCError(
                f"{self.name} has no split {split!r}: choose {', '.join(self.splits)}"
            )
        if axis not in ("all", *self.axes):
            raise FairNCError(
                f"{self.name} has no axis {axis!r}: choose all, {', '.join(self.axes)}"
            )

    def run(self, lm: LanguageModel, *, split: str, axis: str = "all") -> pd.DataFrame:
        """Item scores of a split (of one axis, if not ``"all"``)."""
        self.check(split=split, axis=axis)
        if lm.kind not in self.kinds:
            raise FairNCError(
                f"{self.name} scores {' and '.join(self.kinds)} models; {lm.name} is {lm.kind}"
            )
        return self.score(lm, self.items(split, axis))

    def items(self, split: str, axis: str = "all") -> datasets.Dataset:
        """Items of a split, of one axis if not ``"all"``."""
        items = self.load(split)
        return (
            items
            if axis == "all"
            else items.select(np.flatnonzero(np.array(items["axis"]) == axis))
        )

    def estimates(self, rows: pd.DataFrame) -> dict[str, stats.Estimate]:
        """Metric → value with its bootstrap interval over units, then ``extras``, from item scores."""
        table = self.units(rows)
        values = {
            metric: stats.bootstrap(
                *(table[column] for column in columns),
                statistic=statistic,
                strata=self._strata(table),
            )
            for metric, (columns, statistic) in self.statistics.items()
        }
        return values | (self.extras(rows) if self.extras else {})

    def differences(self, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, stats.Estimate]:
        """Metric → second minus first, both scored on the same items, with an interval paired over
        units.
        """
        tables = self._paired(first, second)
        strata = self._strata(tables[0])
        return {
            metric: stats.bootstrap(
                *(table[column] for table in tables for column in columns),
                statistic=_change(statistic),
                strata=strata,
            )
            for metric, (columns, statistic) in self.statistics.items()
        }

    def effects(
        self,
        first: pd.DataFrame | None,
        second: pd.DataFrame,
        transform: Callable[[str, np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, stats.Effect]:
        """Metric → second minus first as ``differences`` has it, with the error over units that
        tests, margins and power need; ``first`` None: the value itself, as its change from 0;
        ``transform(metric, values)``: of what the metric's values are made before they are taken from
        each other, in each resample anew.
        """
        tables = (self.units(second),) if first is None else self._paired(first, second)
        strata = self._strata(tables[0])
        effects = {}
        for metric, (columns, statistic) in self.statistics.items():
            sides = [[table[column].to_numpy()[None] for column in columns] for table in tables]
            made = statistic if transform is None else _transformed(statistic, metric, transform)
            before = sides[0] if len(sides) > 1 else None
            changes = stats.seed_changes(before, sides[-1], made, strata=strata)
            effects[metric] = stats.paired_effect(changes)
        return effects

    def _paired(self, first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
        """Unit tables of both, over the items that both could score. Raises ``FairNCError`` unless
        these are the same items.
        """
        if list(first["item_id"]) != list(second["item_id"]):
            raise FairNCError(
                f"{self.name}: a paired comparison needs the same items in the same order for both models"
            )
        # An item that only one of the two could score (vocabularies cut words differently) is no
        # pair.
        missing = [rows[list(SCORE_COLUMNS)].isna().to_numpy() for rows in (first, second)]
        shared = (missing[0] == missing[1]).all(axis=1)
        return self.units(first[shared]), self.units(second[shared])

    def _strata(self, table: pd.DataFrame) -> pd.Series | None:
        return table[self.strata] if self.strata else None


def _change(statistic: Callable) -> Callable:
    """A statistic of the second half of the columns minus the same of the first half."""

    def change(*columns: np.ndarray, axis: int) -> np.ndarray:
        half = len(columns) // 2
        return statistic(*columns[half:], axis=axis) - statistic(*columns[:half], axis=axis)

    return change


def _transformed(statistic: Callable, metric: str, transform: Callable) -> Callable:
    """The statistic, its values made into something else."""

    def transformed(*columns: np.ndarray, axis: int) -> np.ndarray:
        return transform(metric, statistic(*columns, axis=axis))

    return transformed


def mean(x: np.ndarray, axis: int) -> np.ndarray:
    """Mean over units."""
    return np.mean(x, axis=axis)


def percent(x: np.ndarray, axis: int) -> np.ndarray:
    """Mean over units, in percent."""
    return 100 * mean(x, axis)


def ratio(total: np.ndarray, count: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the items of resampled units: Σ total / Σ count (NaN where nothing was drawn)."""
    return stats.quotient(np.sum(total, axis=axis), np.sum(count, axis=axis))
