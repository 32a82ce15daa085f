"""Where a classifier's bias comes from: the model before fine-tuning, or the data of it.

What is asked stands in ``book/about/plan-where-bias-comes-from.md``, which was fixed before the runs
together with this file. ``recorded`` reads the runs, ``evaluate`` makes one table of answers of them,
which the chapter's figures, tables and sentences read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.planned.data import EMBEDDED, regularizer
from fairnc_book.verdicts import equivalent
from fairnc_utils import stats
from fairnc_utils.benchmarks import BENCHMARKS
from fairnc_utils.benchmarks.occupations import BUG_SPLIT
from fairnc_utils.errors import listed
from fairnc_utils.runs import recording
from fairnc_utils.runs.rows import Run, make, recorded_units, select
from fairnc_utils.runs.rows import recorded as recorded_rows

#: Profile of the runs.
EDITION = "where"

#: Doses of co-occurrence in the fine-tuning texts; those near 1, whose line is the elasticity.
ALPHAS = (-1.0, 0.0, 0.5, 0.75, 0.9, 1.0, 1.5, 2.0)
NEAR = (0.75, 0.9, 1.0, 1.5)
AS_IS, SLIGHT = 1.0, 0.9

#: Below this share of the base's slope an upstream change hardly matters; below this elasticity an edit
#: of the data is ineffective.
MARGIN = 0.2

_BENCHMARK = "bug_counterfactual"

#: Columns of units that a profession's effect is made of, and ℓ behind them.
_EFFECT, _ODDS = ("effect_male", "effect_female", "number_male", "number_female"), "log_odds"

#: Number of their values that an interval needs, seeds or clusters.
_FEWEST = 2


@dataclass(frozen=True)
class Condition:
    """What is done to the model before fine-tuning: ``model`` that it starts from, ``method`` and
    ``regularizer`` as rows call them; ``against``: the condition that it is compared with.
    """

    key: str
    label: str
    model: str = EMBEDDED
    method: str = "base"
    regularizer: str = "none"
    against: str = "base"


def _bec(key: str, label: str, dosed: str) -> Condition:
    return Condition(key, label, method="bec", regularizer=dosed)


BASE, RANDOM = "base", "random_init"
AGAIN, UNSEEN = "again", "without_bug"
CONDITIONS = (
    Condition(BASE, "base"),
    Condition("bec", "BEC", method="bec"),
    _bec("bec_uniform", "BEC + NC3 uniform", regularizer("uniform", 1.0)),
    _bec("bec_both", "BEC + NC3 both", regularizer("both", 1.0)),
    _bec("bec_swap", "BEC + swap collapse", regularizer("swap", 1.0)),
    Condition("adept", "ADEPT", method="adept"),
    Condition("mabel", "MABEL", method="mabel"),
    Condition("noise_0.1", "weight noise .1", method="noise_0.1"),
    Condition("noise_0.2", "weight noise .2", method="noise_0.2"),
    Condition("hard_debias", "gender direction removed", method="hard_debias"),
    Condition(RANDOM, "random initialization", method=RANDOM),
    Condition(AGAIN, "pre-trained again, as is", "runs/bases/alpha-1", against=AGAIN),
    Condition(
        "again_0", "pre-trained on either gender by lot", "runs/bases/alpha-0", against=AGAIN
    ),
    Condition(
        "again_-1", "pre-trained on swapped gender", "runs/bases/alpha-minus-1", against=AGAIN
    ),
    Condition(UNSEEN, "pre-trained without BUG", "runs/bases/without-bug", against=AGAIN),
)
BY_KEY = {condition.key: condition for condition in CONDITIONS}

#: Those whose effect on the slope is tested: all that are compared with another one. A model without
#: pre-training is a control, and the one without BUG another base.
UPSTREAM = tuple(
    each.key for each in CONDITIONS if each.key != each.against and each.key not in (RANDOM, UNSEEN)
)

#: Conditions with a curve over doses → its doses.
DOSED = {BASE: ALPHAS, RANDOM: ALPHAS, UNSEEN: (-1.0, 0.0, *NEAR)}


@dataclass(frozen=True)
class Setting:
    """Runs that differ by seed: the condition, how and how far the texts were changed, and ``epochs``
    where the last checkpoint of so many was kept, None for the best one of a usual training.
    """

    condition: str
    alpha: float = AS_IS
    how: str = "swap"
    epochs: int | None = None


class Word(StrEnum):
    """What is said of an answer."""

    HARDLY = "hardly matters"
    MATTERS = "matters"
    OPEN = "open"
    NOT_RUN = "not run"
    FAILED = "instrument failed"
    BAKSI = "Baksi"
    STEED = "Steed"
    NEITHER = "neither"
    PASSED = "passed"


def cf_slope(*columns: np.ndarray, axis: int) -> np.ndarray:
    """Slope of the effects on ℓ, from ``_EFFECT`` and ℓ, as the benchmark has it."""
    return _statistic("cf_slope")[1](*columns, axis=axis)


def _statistic(metric: str) -> tuple[tuple[str, ...], Callable]:
    # the benchmark is imported here: who reads numbers needs nothing that trains
    return BENCHMARKS[_BENCHMARK].statistics[metric]


def effect(male: np.ndarray, female: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Effects in points, from ``_EFFECT``, as the benchmark has them."""
    from fairnc_utils.benchmarks import bug_counterfactual

    return bug_counterfactual.effect(male, female, n, m)


# -------------------------------------------------------------------------------------------- runs


class Grid:
    """The runs of this chapter.

    ``results``, ``units``: rows and unit scores, of which those of profile ``EDITION`` count; ``runs``:
    provenance by run id, which tells how a run's texts were changed.
    """

    def __init__(self, results: pd.DataFrame, units: pd.DataFrame, runs: Mapping[str, dict]):
        self.results = select(results, profile=EDITION)
        self.settings: dict[Setting, dict[int, str]] = {}
        first = self.results.sort_values("created", kind="stable").drop_duplicates("run_id")
        for row in first.to_dict("records"):
            if setting := _setting(row, runs.get(row["run_id"], {}).get("config", {})):
                self.settings.setdefault(setting, {})[int(row["seed"])] = row["run_id"]
        self._units = units[units["run_id"].isin(set(self.results["run_id"]))]

    @property
    def run_ids(self) -> list[str]:
        """Ids of all runs of a setting, sorted."""
        return sorted(run_id for seeds in self.settings.values() for run_id in seeds.values())

    @cached_property
    def _parts(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Benchmark, split → units in rows, column and run in columns."""
        parts = self._units[self._units["axis"] == "gender"].groupby(["benchmark", "split"])
        return {
            place: part.pivot(
                index="unit", columns=["column", "run_id"], values="value"
            ).sort_index()
            for place, part in parts
        }

    def seeds(self, *settings: Setting) -> list[int]:
        """Seeds that all of the settings have, in order."""
        return sorted(
            set.intersection(*(set(self.settings.get(setting, {})) for setting in settings))
        )

    def columns(
        self,
        setting: Setting,
        names: Sequence[str],
        seeds: Iterable[int],
        *,
        benchmark: str = _BENCHMARK,
        split: str = "test",
        units: pd.Index | None = None,
    ) -> list[np.ndarray]:
        """Unit scores (S, U) of each name, the seeds in their order; ``units``: these, None: those that
        all runs of the split have.
        """
        wide = self._parts[benchmark, split]
        runs = [self.settings[setting][seed] for seed in seeds]
        whole = wide.loc[self.units(split, benchmark) if units is None else units]
        return [whole[name][runs].to_numpy(float).T for name in names]

    def units(self, split: str = "test", benchmark: str = _BENCHMARK) -> pd.Index:
        """Units that all runs of a split have, in order."""
        return self._parts[benchmark, split].dropna().index

    @property
    def training_minutes(self) -> float:
        """Minutes that the steps of fine-tuning took, on the devices they ran on."""
        curves = select(self._units, benchmark="training", column="seconds_per_step")
        curves = curves.assign(step=curves["unit"].astype(int)).sort_values(["run_id", "step"])
        steps = curves.groupby("run_id")["step"].diff().fillna(curves["step"])
        return float((steps * curves["value"]).sum()) / 60

    def has(self, split: str, benchmark: str = _BENCHMARK) -> bool:
        """Whether units of a split are there."""
        return (benchmark, split) in self._parts

    def values(self, setting: Setting, metric: str, seeds: Iterable[int], **where) -> np.ndarray:
        """The rows' values of a metric, one a seed; NaN where a run has none."""
        rows = select(self.results, metric=metric, axis="gender", **where).set_index("run_id")[
            "value"
        ]
        return np.array([rows.get(self.settings[setting][seed], np.nan) for seed in seeds], float)


def _setting(row: dict, config: dict) -> Setting | None:
    """The setting of a run, by a row of it and its options; None for one that the plan does not have."""
    change = config.get("cooccurrence")
    if change is None:
        return None
    place = (row["model"], row["method"].partition("+")[0], row["regularizer"])
    for each in CONDITIONS:
        if place == (each.model, each.method, each.regularizer):
            epochs = config.get("epochs") if config.get("kept") == "last" else None
            return Setting(each.key, float(change["alpha"]), change["how"], epochs)
    return None


def recorded() -> Grid:
    """The runs that come with the book."""
    return Grid(recorded_rows(), recorded_units(), recording.runs())


# ----------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answer:
    """One number of the chapter with its intervals: over seeds and professions, over either alone.

    ``question``: what it belongs to; ``compared``: the slope that a change is a change from;
    ``within``: whether its 90% interval lies within the margin; ``word``: what is said of it. NaN where
    runs are missing.
    """

    question: str
    condition: str
    alpha: float
    how: str
    metric: str
    split: str = "test"
    value: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    seeds_low: float = np.nan
    seeds_high: float = np.nan
    units_low: float = np.nan
    units_high: float = np.nan
    seeds: int = 0
    units: int = 0
    p: float = np.nan
    holm_p: float = np.nan
    compared: float = np.nan
    within: bool = False
    word: str = ""


def _answer(
    question: str,
    setting: Setting,
    metric: str,
    changes: stats.Changes,
    *,
    margin: float = 0.0,
    **more,
) -> Answer:
    """Mean over seeds of what was observed, with its intervals; ``within``: whether the 90% interval
    lies within ±margin.
    """
    whole = stats.crossed_bootstrap(changes)
    alone = (np.nan, np.nan)
    if changes.resampled is not None:
        alone = np.quantile(changes.resampled.mean(1), [0.025, 0.975])
    tested = bool(np.isfinite(whole.error))
    return Answer(
        question,
        setting.condition,
        setting.alpha,
        setting.how,
        metric,
        value=whole.value,
        ci_low=whole.ci_low,
        ci_high=whole.ci_high,
        seeds_low=whole.t_low,
        seeds_high=whole.t_high,
        units_low=float(alone[0]),
        units_high=float(alone[1]),
        seeds=whole.seeds,
        units=whole.units,
        p=whole.p() if tested else np.nan,
        within=tested and equivalent(whole, margin),
        **more,
    )


def _lacking(question: str, setting: Setting, metric: str) -> Answer:
    return Answer(
        question, setting.condition, setting.alpha, setting.how, metric, word=str(Word.NOT_RUN)
    )


def evaluate(grid: Grid, *, resamples: int = 2000) -> pd.DataFrame:
    """One row an ``Answer``: dose response and its reference, controls, elasticities, upstream effects,
    who explains, collapse.
    """
    rows = [
        *_dose_response(grid, resamples),
        *_controls(grid, resamples),
        *_elasticities(grid, resamples),
        *_upstream(grid, resamples),
        *_explained(grid, resamples),
        *_collapse(grid, resamples),
    ]
    return pd.DataFrame([asdict(row) for row in rows])


def _changes(
    grid: Grid,
    setting: Setting,
    metric: str,
    resamples: int,
    *,
    against: Setting | None = None,
    split: str = "test",
) -> stats.Changes | None:
    """A metric of the counterfactual benchmark seed by seed, or its change from ``against``; None where
    no seed has it.
    """
    settings = [setting] if against is None else [against, setting]
    if not (seeds := grid.seeds(*settings)) or not grid.has(split):
        return None
    names, statistic = _statistic(metric)
    sides = [grid.columns(each, names, seeds, split=split) for each in settings]
    return stats.seed_changes(
        sides[0] if against else None, sides[-1], statistic, resamples=resamples
    )


def _dose_response(grid: Grid, resamples: int) -> Iterator[Answer]:
    """The slope at each dose, and that of Bayes' rule on the same training texts; beside it size,
    flips, true positive rates and accuracy.
    """
    for condition, alphas in DOSED.items():
        for alpha in alphas:
            setting = Setting(condition, alpha)
            changes = _changes(grid, setting, "cf_slope", resamples)
            if changes is None:
                yield _lacking("dose", setting, "cf_slope")
                continue
            yield _answer("dose", setting, "cf_slope", changes)
            for metric in ("cf_rms", "flip_rate"):
                yield _answer("dose", setting, metric, _changes(grid, setting, metric, resamples))
            yield from _plain(grid, setting)
    for how in ("placebo", "resample", "scrub"):
        for setting in (each for each in grid.settings if each.how == how):
            yield _answer(
                "dose", setting, "cf_slope", _changes(grid, setting, "cf_slope", resamples)
            )
            yield from _plain(grid, setting)


def _plain(grid: Grid, setting: Setting) -> Iterator[Answer]:
    """Metrics whose rows have no units of this benchmark: means over seeds."""
    seeds = grid.seeds(setting)
    for benchmark, metrics in (
        ("cooccurrence", ("bayes_slope", "changed_pct")),
        ("bug_profession", ("TPR-GAP", "TPR-RMS", "probability_gap", "accuracy")),
    ):
        split = "train" if benchmark == "cooccurrence" else "test"
        for metric in metrics:
            values = grid.values(setting, metric, seeds, benchmark=benchmark, split=split)
            if len(values := values[~np.isnan(values)]):
                yield replace(_answer("dose", setting, metric, stats.Changes(values)), split=split)


#: Control → its setting, what its slope is compared with, and the sign that the value must have; 0: none.
CONTROLS: dict[str, tuple[Setting, Setting | None, int]] = {
    "inverted texts turn the sign": (Setting(BASE, -1.0), None, -1),
    "the same without pre-training": (Setting(RANDOM, -1.0), None, -1),
    "amplified texts enlarge the slope": (Setting(BASE, 2.0), Setting(BASE), 1),
    "no pre-training, balanced texts": (Setting(RANDOM, 0.0), None, 0),
    "swapping to no effect": (Setting(BASE, 0.0, "placebo"), Setting(BASE), 0),
}


def _controls(grid: Grid, resamples: int) -> Iterator[Answer]:
    """The controls that are runs: each passes if the sign of its value is the expected one, or where
    none is expected if the value lies within the margin.
    """
    margin = MARGIN * abs(_slope_as_is(grid))
    for name, (setting, against, sign) in CONTROLS.items():
        changes = _changes(grid, setting, "cf_slope", resamples, against=against)
        if changes is None:
            yield _lacking(f"control: {name}", setting, "cf_slope")
            continue
        row = _answer(f"control: {name}", setting, "cf_slope", changes, margin=margin)
        expected = sign * np.sign(_slope_as_is(grid))
        moved = stats.side(row.ci_low, row.ci_high)
        passed = row.within if sign == 0 else moved == expected
        word = Word.PASSED if passed else Word.OPEN if moved in (0, expected) else Word.FAILED
        yield replace(row, word=str(word))
    yield from _scrubbed(grid, resamples)
    yield from _halves(grid, resamples)


def _scrubbed(grid: Grid, resamples: int) -> Iterator[Answer]:
    """Without gender in training and test texts both versions are one text: every effect is 0."""
    setting = Setting(BASE, AS_IS, "scrub")
    name = "control: no gender in any text"
    changes = _changes(grid, setting, "cf_rms", resamples, split="scrubbed")
    if changes is None:
        yield _lacking(name, setting, "cf_rms")
        return
    (male, female, *numbers) = grid.columns(setting, _EFFECT, grid.seeds(setting), split="scrubbed")
    largest = float(np.abs(effect(male, female, *numbers)).max())
    row = replace(_answer(name, setting, "cf_rms", changes), split="scrubbed", value=largest)
    yield replace(row, word=str(Word.PASSED if largest < 1e-3 else Word.FAILED))


def _halves(grid: Grid, resamples: int) -> Iterator[Answer]:
    """Half of the seeds against the other half, at the texts as they are: nothing differs but chance."""
    setting, name = Setting(BASE), "control: half of the seeds against the other half"
    seeds = grid.seeds(setting)
    half = len(seeds) // 2
    if half < 1:
        yield _lacking(name, setting, "cf_slope")
        return
    names = (*_EFFECT, _ODDS)
    first, second = (
        grid.columns(setting, names, part) for part in (seeds[:half], seeds[half : 2 * half])
    )
    changes = stats.seed_changes(first, second, cf_slope, resamples=resamples)
    row = _answer(name, setting, "cf_slope", changes)
    differs = stats.side(row.ci_low, row.ci_high)
    yield replace(row, word=str(Word.FAILED if differs else Word.PASSED))


def _slope_as_is(grid: Grid, condition: str = BASE) -> float:
    """The mean slope of a condition at the texts as they are; NaN where it was not run."""
    setting = Setting(condition)
    if not (seeds := grid.seeds(setting)):
        return float("nan")
    return float(cf_slope(*grid.columns(setting, (*_EFFECT, _ODDS), seeds), axis=-1).mean())


# -------------------------------------------------------------------------------------- elasticity


def elasticity(*columns: np.ndarray, axis: int) -> np.ndarray:
    """Least-squares line of the slopes at the doses ``NEAR``, over the slope at 1: 1 where the slope
    follows the texts in proportion, 0 where their edit is ineffective.

    Columns: ``_EFFECT`` at each dose in turn, then ℓ.
    """
    slopes = np.stack(
        [
            cf_slope(*columns[start : start + len(_EFFECT)], columns[-1], axis=axis)
            for start in range(0, len(columns) - 1, len(_EFFECT))
        ],
        -1,
    )
    centred = np.array(NEAR) - np.mean(NEAR)
    return (slopes @ centred) / (centred @ centred) / slopes[..., NEAR.index(AS_IS)]


def _near(grid: Grid, condition: str, seeds: Sequence[int]) -> list[np.ndarray]:
    """The columns of ``elasticity``."""
    settings = [Setting(condition, alpha) for alpha in NEAR]
    effects = [column for setting in settings for column in grid.columns(setting, _EFFECT, seeds)]
    return [*effects, *grid.columns(settings[0], [_ODDS], seeds)]


def _elasticities(grid: Grid, resamples: int) -> Iterator[Answer]:
    """Elasticity of each condition with a curve; that without pre-training minus the base's; and what
    a tenth less of the co-occurrence does to the slope of the base. The last two are one Holm family.
    """
    for condition in DOSED:
        setting = Setting(condition)
        seeds = grid.seeds(*(Setting(condition, alpha) for alpha in NEAR))
        if not seeds:
            yield _lacking("elasticity", setting, "elasticity")
            continue
        changes = stats.seed_changes(
            None, _near(grid, condition, seeds), elasticity, resamples=resamples
        )
        yield _answer("elasticity", setting, "elasticity", changes, margin=MARGIN)
    tested = [_slight(grid, resamples), _pre_training(grid, resamples)]
    yield from _holm(tested)


def _slight(grid: Grid, resamples: int) -> Answer:
    setting = Setting(BASE, SLIGHT)
    changes = _changes(grid, setting, "cf_slope", resamples, against=Setting(BASE))
    if changes is None:
        return _lacking("slight change", setting, "cf_slope")
    return _answer("slight change", setting, "cf_slope", changes)


def _pre_training(grid: Grid, resamples: int) -> Answer:
    setting = Setting(RANDOM)
    seeds = grid.seeds(*(Setting(each, alpha) for each in (BASE, RANDOM) for alpha in NEAR))
    if not seeds:
        return _lacking("without pre-training", setting, "elasticity")
    sides = [_near(grid, condition, seeds) for condition in (BASE, RANDOM)]
    changes = stats.seed_changes(*sides, elasticity, resamples=resamples)
    return _answer("without pre-training", setting, "elasticity", changes)


def _holm(rows: Sequence[Answer]) -> list[Answer]:
    """The rows with Holm's p over them."""
    adjusted = stats.holm([row.p for row in rows])
    return [replace(row, holm_p=float(p)) for row, p in zip(rows, adjusted, strict=True)]


# ---------------------------------------------------------------------------------------- upstream


def _upstream(grid: Grid, resamples: int) -> Iterator[Answer]:
    """The change of the slope that each upstream condition makes at the texts as they are, and what is
    said of it: *hardly matters* within ±20% of the slope that it is compared with, else *matters* where
    Holm's p tells it from 0, else *open*.
    """
    rows = []
    for key in UPSTREAM:
        setting, against = Setting(key), Setting(BY_KEY[key].against)
        changes = _changes(grid, setting, "cf_slope", resamples, against=against)
        if changes is None:
            rows.append(_lacking("upstream", setting, "cf_slope"))
            continue
        compared = _slope_as_is(grid, against.condition)
        row = _answer("upstream", setting, "cf_slope", changes, margin=MARGIN * abs(compared))
        rows.append(replace(row, compared=compared))
    for row in _holm(rows):
        yield row if row.word else replace(row, word=str(_upstream_word(row)))


def _upstream_word(row: Answer) -> Word:
    if row.within:
        return Word.HARDLY
    return Word.MATTERS if row.holm_p < 1 - stats.LEVEL else Word.OPEN


# ------------------------------------------------------------------------------------ who explains


def _explained(grid: Grid, resamples: int) -> Iterator[Answer]:
    """Unique R² of data and model for the effects of professions, over all doses and as is alone."""
    for scope, alphas in (("all doses", ALPHAS), ("as is", (AS_IS,))):
        arrays = _explaining(grid, alphas)
        setting = Setting(BASE, AS_IS)
        names = ("unique_r2_data", "unique_r2_model", "unique_r2_difference")
        if arrays is None:
            yield from (_lacking(f"explained: {scope}", setting, name) for name in names)
            continue
        professions = arrays[0].shape[1]
        rng = np.random.default_rng(0)
        drawn = [
            _redrawn_shares(arrays, rng.integers(professions, size=professions))
            for _ in range(resamples)
        ]
        observed, draws = unique_shares(*arrays), np.array(drawn)
        draws = np.column_stack([draws, draws[:, 0] - draws[:, 1]])
        ends = np.nanquantile(draws, [0.025, 0.975], axis=0)
        values = (*observed, observed[0] - observed[1])
        for name, value, (low, high) in zip(names, values, ends.T, strict=True):
            row = Answer(f"explained: {scope}", BASE, AS_IS, "swap", name, value=float(value))
            yield replace(
                row, ci_low=float(low), ci_high=float(high), units=professions, seeds=len(arrays[0])
            )


def _redrawn_shares(arrays: Sequence[np.ndarray], drawn: np.ndarray) -> tuple[float, float]:
    return unique_shares(*(array[:, drawn] for array in arrays))


def _explaining(
    grid: Grid, alphas: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Δ_p, the log-odds of the fine-tuning texts α·ℓ_p, and the upstream model's own log-odds of *she*
    beside p, each (runs, professions).
    """
    if not grid.has(BUG_SPLIT, "occupation_slope") or not grid.has("test"):
        return None
    effects, data, model = [], [], []
    units = grid.units().intersection(grid.units(BUG_SPLIT, "occupation_slope"))
    for setting in (Setting(each.key, alpha) for each in CONDITIONS for alpha in alphas):
        if seeds := grid.seeds(setting):
            *parts, odds = grid.columns(setting, (*_EFFECT, _ODDS), seeds, units=units)
            place = {"benchmark": "occupation_slope", "split": BUG_SPLIT, "units": units}
            effects.append(effect(*parts))
            data.append(setting.alpha * odds)
            model += grid.columns(setting, ["log_odds"], seeds, **place)
    if not effects:
        return None
    return tuple(np.concatenate(parts) for parts in (effects, data, model))


def unique_shares(effects: np.ndarray, data: np.ndarray, model: np.ndarray) -> tuple[float, float]:
    """Unique R² of ``data`` and of ``model`` for ``effects``, all (runs, professions), each run's mean
    taken off: how much of the spread over professions is told by one and not by the other.
    """
    y, x, z = ((array - array.mean(1, keepdims=True)).ravel() for array in (effects, data, model))
    total = y @ y
    if total == 0:
        return float("nan"), float("nan")
    whole = _r2(y, np.column_stack([x, z]), total)
    return whole - _r2(y, z[:, None], total), whole - _r2(y, x[:, None], total)


def _r2(y: np.ndarray, columns: np.ndarray, total: float) -> float:
    fitted = columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
    return float(1 - np.sum((y - fitted) ** 2) / total)


# ---------------------------------------------------------------------------------------- collapse


#: What is set against NC1: metric → the benchmark of its rows.
AGAINST_NC1 = {
    "gender_eta2": "class_collapse",
    "gender_nc": "class_collapse",
    "cf_rms": _BENCHMARK,
    "TPR-RMS": "bug_profession",
}


def by_run(grid: Grid) -> pd.DataFrame:
    """One row a run and split of those whose collapse was measured: ``setting``, ``alpha``, ``epochs``,
    ``seed``, ``split``, ``nc1``, ``nc3``, ``nc4`` and the metrics of ``AGAINST_NC1``.
    """
    rows = []
    for setting in (each for each in grid.settings if each.epochs is not None):
        seeds = grid.seeds(setting)
        for split in ("train", "test"):
            values = {
                metric: grid.values(setting, metric, seeds, benchmark=benchmark, split=split)
                for metric, benchmark in _collapse_metrics()
            }
            rows.append(
                pd.DataFrame(values).assign(
                    setting=f"{setting.alpha:g}, {setting.epochs}",
                    alpha=setting.alpha,
                    epochs=setting.epochs,
                    seed=seeds,
                    split=split,
                )
            )
    names = [
        "setting",
        "alpha",
        "epochs",
        "seed",
        "split",
        *(name for name, _ in _collapse_metrics()),
    ]
    return pd.concat(rows)[names] if rows else pd.DataFrame(columns=names)


def _collapse_metrics() -> list[tuple[str, str]]:
    return [*((name, "class_collapse") for name in ("nc1", "nc3", "nc4")), *AGAINST_NC1.items()]


def _collapse(grid: Grid, resamples: int) -> Iterator[Answer]:
    """Spearman's correlation over runs of NC1 with what gender does, on either split, by bootstrap over
    settings.
    """
    table = by_run(grid)
    for split in ("train", "test"):
        part = table[table["split"] == split]
        for metric in AGAINST_NC1:
            row = Answer("collapse", BASE, np.nan, "", metric, split)
            there = part[["nc1", metric]].notna().all(axis=1)
            if there.sum() <= _FEWEST:
                yield replace(row, word=str(Word.NOT_RUN))
                continue
            pair = part[there]
            effect = stats.clustered_correlation(
                pair["nc1"], pair[metric], pair["setting"], resamples=resamples
            )
            ends = {"value": effect.value, "ci_low": effect.ci_low, "ci_high": effect.ci_high}
            yield replace(row, **ends, seeds=effect.seeds, units=effect.units)


# ----------------------------------------------------------------------------------------- verdict


def one(
    answers: pd.DataFrame,
    question: str,
    *,
    condition: str = BASE,
    alpha: float = AS_IS,
    metric: str = "cf_slope",
    how: str = "swap",
) -> pd.Series:
    """The answer of that place."""
    return tables.one(
        answers, question=question, condition=condition, alpha=alpha, metric=metric, how=how
    )


def _side(row: pd.Series) -> int:
    return stats.side(row["ci_low"], row["ci_high"])


def verdict(answers: pd.DataFrame) -> Word:
    """Who is right on slight changes of co-occurrence, by the rule of the plan."""
    base = one(answers, "dose")
    of_base = one(answers, "elasticity", metric="elasticity")
    slight = one(answers, "slight change", alpha=SLIGHT)
    change = one(answers, "without pre-training", condition=RANDOM, metric="elasticity")
    if any(np.isnan(row["ci_low"]) for row in (base, of_base, slight, change)):
        return Word.NOT_RUN
    # were the edit ineffective in a pre-trained model, it could turn the sign only without one
    if not _side(base) or not any(_turned(answers, condition) for condition in (BASE, RANDOM)):
        return Word.FAILED
    if _side(of_base) > 0 and _significant(slight) == -_side(base) and not of_base["within"]:
        return Word.BAKSI
    if of_base["within"] and _significant(change) > 0:
        return Word.STEED
    return Word.NEITHER


def _turned(answers: pd.DataFrame, condition: str) -> bool:
    """Whether inverted texts put the slope on the other side of 0."""
    ends = (one(answers, "dose", condition=condition, alpha=alpha) for alpha in (-1.0, AS_IS))
    inverted, as_is = map(_side, ends)
    return inverted == -as_is != 0


def _significant(row: pd.Series) -> int:
    """The sign of a change where Holm's p tells it from 0, else 0."""
    return int(np.sign(row["value"])) if row["holm_p"] < 1 - stats.LEVEL else 0


# --------------------------------------------------------------------------------------- sentences


def missing(answers: pd.DataFrame, questions: Sequence[str]) -> bool:
    """Whether no run answers any of the questions."""
    return bool(answers.loc[answers["question"].isin(questions), "value"].isna().all())


_ABSENT = "The runs that would tell are not recorded yet."

_VERDICTS = {
    Word.BAKSI: "Slight changes of co-occurrence change the classifier of a pre-trained model: Baksi et al. are right.",
    Word.STEED: "Slight changes of co-occurrence do next to nothing once the model is pre-trained: Steed et al. are right.",
    Word.NEITHER: "Neither claim is borne out by the plan's rule.",
    Word.FAILED: "The instrument failed its own control, so nothing is decided.",
    Word.NOT_RUN: _ABSENT,
}


def said(word: Word) -> str:
    """A verdict on slight changes as a plain sentence."""
    return _VERDICTS[word]


def beforehand(results: pd.DataFrame) -> str:
    """Whether result rows tell what changing the model before fine-tuning does; a sentence where they do
    not.
    """
    if len(select(results, benchmark="bias_source", axis="upstream")):
        return ""
    return "Whether changing the model beforehand would move it as well was not run."


def answer(answers: pd.DataFrame) -> str:
    """The verdict on slight changes, one plain sentence first."""
    word = verdict(answers)
    lead = _VERDICTS[word]
    if word is Word.NOT_RUN:
        return lead
    elastic, slight = (
        one(answers, "elasticity", metric="elasticity"),
        one(answers, "slight change", alpha=SLIGHT),
    )
    without = one(answers, "elasticity", condition=RANDOM, metric="elasticity")
    return (
        f"{lead} Elasticity of the base {tables.interval(elastic)}, without pre-training "
        f"{tables.interval(without)}; change of the slope from α = 1 to α = {SLIGHT:g}: "
        f"{tables.interval(slight)} points a unit of log-odds."
    )


def dose_finding(answers: pd.DataFrame) -> str:
    """What the curve over doses shows."""
    if missing(answers, ["dose"]):
        return _ABSENT
    lowest, balanced, as_is = (one(answers, "dose", alpha=alpha) for alpha in (-1.0, 0.0, 1.0))
    share = ""
    reference = select(
        answers, question="dose", condition=BASE, alpha=AS_IS, metric="bayes_slope", how="swap"
    )
    if len(reference) and as_is["value"]:
        ratio = as_is["value"] / reference["value"].iloc[0]
        share = f" As is, it uses gender {tables.number(ratio)} times as much as Bayes' rule would without the text."
    turned = _turned(answers, BASE)
    return (
        f"Inverted texts {'turn' if turned else 'do not turn'} the sign of the effect. Slope: "
        f"{tables.interval(lowest)} at α = −1, {tables.interval(balanced)} balanced, {tables.interval(as_is)} as is.{share}"
    )


def upstream_finding(answers: pd.DataFrame) -> str:
    """Which upstream changes hardly matter."""
    rows = select(answers, question="upstream")
    if rows["value"].isna().all():
        return _ABSENT
    names: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        names.setdefault(row["word"], []).append(BY_KEY[row["condition"]].label)
    run = len(rows) - len(names.get(Word.NOT_RUN, ()))
    by_word = "; ".join(f"{word}: {', '.join(those)}" for word, those in names.items())
    hardly = len(names.get(Word.HARDLY, ()))
    lead = "Some changes of the model beforehand hardly matter for the classifier."
    if hardly in (0, run):
        lead = f"{'Every change' if hardly else 'No change'} of the model beforehand is shown to hardly matter."
    return f"{lead} {hardly} of {run} move its slope by less than a fifth of it. {by_word[0].upper()}{by_word[1:]}."


def explained_finding(answers: pd.DataFrame) -> str:
    """Whether data or model explains the effects of professions."""
    scopes = ("all doses", "as is")
    if missing(answers, [f"explained: {scope}" for scope in scopes]):
        return _ABSENT
    parts, leads = [], []
    for scope in scopes:
        data, model, more = (
            one(answers, f"explained: {scope}", metric=f"unique_r2_{name}")
            for name in ("data", "model", "difference")
        )
        said = {1: "more than", -1: "less than", 0: "not clearly more or less than"}[_side(more)]
        leads.append({1: "more", -1: "less", 0: "not clearly more or less"}[_side(more)])
        parts.append(
            f"{scope}, the data alone explain {tables.interval(data)} of the spread over professions, "
            f"{said} the model alone, {tables.interval(model)}"
        )
    lead = f"Over all doses the data explain {leads[0]} than the model; on texts as they are, {leads[1]}."
    return f"{lead} {parts[0][0].upper()}{parts[0][1:]}; {parts[1]}."


#: What is set beside NC1, as a sentence says it.
_BESIDE_NC1 = {
    "gender_nc": "gender's part of NC1",
    "TPR-RMS": "the gaps of true positive rates",
    "cf_rms": "the size of the effects",
    "gender_eta2": "η²",
}


def collapse_finding(answers: pd.DataFrame) -> str:
    """What of gender falls with NC1, on training and on test texts."""
    if missing(answers, ["collapse"]):
        return _ABSENT
    leads, numbers = [], []
    for split, name in (("train", "training"), ("test", "test")):
        rows = select(answers, question="collapse", split=split).dropna(subset="value")
        rows = rows.set_index("metric")
        sides = {metric: _side(rows.loc[metric]) for metric in _BESIDE_NC1 if metric in rows.index}
        said = [
            f"{listed(named)} {verb if len(named) == 1 else verbs}"
            for side, verb, verbs in (
                (1, "falls with NC1", "fall with NC1"),
                (-1, "rises as NC1 falls", "rise as NC1 falls"),
                (0, "does not clearly go with it", "do not clearly go with it"),
            )
            if (named := [_BESIDE_NC1[metric] for metric in sides if sides[metric] == side])
        ]
        if not any(sides.values()):
            said = ["none of it clearly goes with NC1"]
        leads.append(f"On {name} texts {'; '.join(said)}.")
        each = [f"{_BESIDE_NC1[metric]} {tables.interval(rows.loc[metric])}" for metric in sides]
        numbers.append(f"on {name} texts {', '.join(each)}")
    return f"{' '.join(leads)} Correlations with NC1: {'; '.join(numbers)}."


def controls_finding(answers: pd.DataFrame) -> str:
    """How many controls passed, and which did not."""
    rows = answers[answers["question"].str.startswith("control: ")]
    run = rows[rows["value"].notna()]
    if run.empty:
        return _ABSENT
    failed = run.loc[run["word"] == Word.FAILED, "question"].str.removeprefix("control: ")
    lead = "All controls that were run hold." if failed.empty else "Not all controls hold."
    said = [f"{lead} {len(run) - len(failed)} of {len(run)} do."]
    said += [f"Not so: {listed(failed)}."] if len(failed) else []
    said += [f"Not run: {len(rows) - len(run)}."] if len(run) < len(rows) else []
    return " ".join(said)


# ------------------------------------------------------------------------------- live runs and costs


def live_finding(runs: Mapping[float, Run]) -> str:
    """Whether the sign turns between live runs at several doses; ``runs``: dose → run."""
    slopes = {
        alpha: tables.one(run.results, benchmark=_BENCHMARK, metric="cf_slope", axis="gender")
        for alpha, run in sorted(runs.items())
    }
    sides = {_side(row) for row in slopes.values()}
    signs = {int(np.sign(row["value"])) for row in slopes.values()}
    turned = "turns with the texts" if {-1, 1} <= sides else "does not turn"
    if {-1, 1} <= signs and not {-1, 1} <= sides:
        turned = "turns, though an interval holds 0"
    said = "; ".join(f"α = {tables.number(a)}: {tables.interval(row)}" for a, row in slopes.items())
    return f"The sign of the slope {turned}. Slope in points a unit of log-odds, {said}."


#: Texts of Bias in Bios that are trained on, in three epochs; settings of the hub version, five doses and
#: three seeds; and what a text costs there against here: weights of the encoders, lengths of the texts.
HUB_TEXTS, HUB_RUNS = 257_478, 15
_WEIGHTS, _TOKENS = 85.1e6 / 10.6e6, 90 / 35


def cost(grid: Grid, *, texts: int = 8000) -> str:
    """What the recorded runs took, and what the version with the hub's model and data would."""
    minutes, seeds = grid.training_minutes, len(grid.run_ids)
    if not seeds:
        return _ABSENT
    usual = [setting for setting in grid.settings if setting.epochs is None]
    share = sum(len(grid.settings[setting]) for setting in usual) / seeds
    hours = minutes * share / max(1, sum(len(grid.settings[setting]) for setting in usual)) / 60
    hub = hours * HUB_RUNS * HUB_TEXTS / texts * _WEIGHTS * _TOKENS
    return (
        f"The steps of {seeds} recorded runs took {minutes:.0f} minutes of training on their device. The version with "
        f"roberta-base and Bias in Bios, {HUB_RUNS} runs on all {HUB_TEXTS:,} texts, would take about {hub:.0f} hours there, "
        "in proportion to the weights of the encoder and the tokens read; an estimate, nothing that was run."
    )


# ------------------------------------------------------------------------------------------ tables


def upstream_table(answers: pd.DataFrame, *, caption: str) -> Styler:
    """Each upstream condition with the change that it makes to the slope, and its word."""
    rows = select(answers, question="upstream")
    shown = pd.DataFrame(
        {
            "before fine-tuning": [BY_KEY[key].label for key in rows["condition"]],
            "compared with": [BY_KEY[BY_KEY[key].against].label for key in rows["condition"]],
            "change of the slope [95%]": [tables.interval(row) for _, row in rows.iterrows()],
            "Holm p": rows["holm_p"].map(tables.number),
            "seeds": rows["seeds"],
            "verdict": rows["word"],
        }
    )
    return tables.plain(shown, caption=caption)


def controls_table(answers: pd.DataFrame, *, caption: str) -> Styler:
    """Each control with its value and whether it passed."""
    rows = answers[answers["question"].str.startswith("control: ")]
    shown = pd.DataFrame(
        {
            "control": rows["question"].str.removeprefix("control: "),
            "value [95%]": [tables.interval(row) for _, row in rows.iterrows()],
            "seeds": rows["seeds"],
            "outcome": rows["word"],
        }
    )
    return tables.plain(shown, caption=caption)


def beside_table(answers: pd.DataFrame, *, caption: str) -> Styler:
    """What else each dose does to the base: size of effects, flips, true positive rates, accuracy."""
    metrics = ("cf_slope", "cf_rms", "flip_rate", "TPR-GAP", "TPR-RMS", "accuracy", "changed_pct")
    rows = select(answers, question="dose", condition=BASE)
    lines = []
    for (how, alpha), part in rows.groupby(["how", "alpha"], sort=False):
        of = part.set_index("metric")
        name = how if how == "scrub" else f"{how}, α = {tables.number(alpha)}"
        lines.append(
            {"training texts": name}
            | {
                _LABELS[metric]: tables.interval(of.loc[metric]) if metric in of.index else "–"
                for metric in metrics
            }
        )
    return tables.plain(pd.DataFrame(lines), caption=caption)


_LABELS = {
    "cf_slope": "slope (0)",
    "cf_rms": "RMS (0 ↓)",
    "flip_rate": "flips % (0 ↓)",
    "TPR-GAP": "TPR gap (0)",
    "TPR-RMS": "TPR RMS (0 ↓)",
    "accuracy": "accuracy % (100 ↑)",
    "changed_pct": "texts changed %",
}


# -------------------------------------------------------------------------------------------- rows


def as_run(answers: pd.DataFrame, config: dict, *, runs: Sequence[str]) -> Run:
    """The answers as result rows of benchmark ``bias_source``; ``runs``: ids of the runs that they rest
    on.
    """
    rows = [
        {
            "benchmark": "bias_source",
            "origin": "recorded",
            "method": row["condition"],
            "split": row["split"],
            "axis": row["question"],
            "variant": "" if np.isnan(row["alpha"]) else f"{row['how']}@{row['alpha']:g}",
            "words": row["word"],
            "metric": row["metric"],
            "n": row["seeds"],
        }
        | {name: row[name] for name in ("value", "ci_low", "ci_high")}
        for row in answers.to_dict("records")
        if not np.isnan(row["value"])
    ]
    word = {"benchmark": "bias_source", "origin": "recorded", "axis": "verdict"}
    rows.append(word | {"words": str(verdict(answers)), "metric": "verdict", "value": float("nan")})
    return make(config, rows, None, device="cpu", evidence={"runs": list(runs)})
