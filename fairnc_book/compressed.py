"""The recorded runs of the study of compression: what they say, as tables and sentences.

What decides is in ``matched``; what was asked stands in ``book/about/plan-compression.md``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.stats
from pandas.io.formats.style import Styler

from fairnc_book import matched, tables
from fairnc_book.matched import Answer, Matched, Noise
from fairnc_book.matched import Outcome as Verdict
from fairnc_book.numbers import (
    MEASURES,
    METRICS,
    UNTRAINED,
    Contrast,
    Measure,
    Numbers,
    Setting,
    minutes,
)
from fairnc_book.published import COMPRESSED, ON_COMPRESSION
from fairnc_utils import stats
from fairnc_utils.compressor import COMPRESSORS, GENDER, joined, split_method
from fairnc_utils.errors import listed
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs.rows import Run, make, select

#: Profile of the runs, and the models that they are of.
EDITION, EMBEDDED, CAUSAL = "compression", "models/minilm-mlm", "smollm2"

SLOPE = MEASURES["occupation_slope/bls/gender/slope"]
_BESIDE = {name: MEASURES[key] for name, key in (
    ("definitional", "definitional/nouns/all/definitional"),
    ("selectivity", "selectivity/bls/gender/selectivity"),
)}  # fmt: skip
_UNC3 = {name: MEASURES[f"collapse/test/{name}/unc3"] for name in ("gender", "matched")}
_NC3 = {name: MEASURES[f"collapse/test/{name}/nc3"] for name in ("gender", "matched")}
_PERPLEXITY = MEASURES["perplexity/gap/masked_perplexity"]

#: Of pruning; all other compressors round.
_PRUNING = ("prune", "prune_rows", "heads", "layers")
GROUPS = ("rounding", "pruning", "students")

#: Compressors that the plan asks the difference in differences of.
_ALIKE = ("base+rtn4", "base+rtn3", "base+prune@0.3")

#: Sizes of student, and methods of debiasing, that the plan's claims rest on.
_SIZES, _DEBIASED = range(1, 5), ("bec", "adept")

#: Numbers that a control must leave as they are, up to this share of their size.
_CONTINUOUS = ("slope", "lean", "definitional", "nc3", "unc3", "masked_perplexity", "perplexity")
UNCHANGED = 1e-4

#: Claims of the plan that its predictions ask for as well.
HELPED = "NC3 or swap collapse makes debiasing survive better"
ALIKE = "Gender words are hit as words as frequent are"

#: Measures of generated text that are shown.
TEXTS = (
    "sentiment",
    "sentiment_gap",
    "biased",
    "biased_gap",
    "scorer_auc",
    "profanity",
    "profanity_gap",
    "polarity",
    "polarity_gap",
)


#: What a finding says where there is none.
ABSENT = "The runs that decide this are not recorded yet."


def group(method: str) -> str:
    """Which of ``GROUPS`` a setting of the untreated model belongs to; nothing for controls and others."""
    name, compressor = split_method(method)
    if compressor is None:
        return "students" if name.startswith(("kd", "small")) else ""
    if name != UNTRAINED.method or compressor.part == GENDER:
        return ""
    if compressor.name in ("int16", "noise"):
        return ""
    return "pruning" if compressor.name in _PRUNING else "rounding"


def shown(method: str) -> str:
    """A setting as readers see it."""
    return method.removeprefix(f"{UNTRAINED.method}+")


@dataclass(frozen=True)
class Study:
    """Runs of one model; ``resamples``: of units and seeds, for each interval."""

    numbers: Numbers
    resamples: int = 2000

    @classmethod
    def recorded(
        cls, model: str = EMBEDDED, *, resamples: int = 2000, units: bool = True
    ) -> "Study":
        """Those that come with the book; ``units``: with their unit scores, which intervals need."""
        numbers = Numbers.recorded(model, edition=EDITION)
        if units and numbers.run_ids:  # millions of scores, of other studies too
            numbers = Numbers.recorded(model, edition=EDITION, units=True)
        return cls(numbers, resamples)

    @cached_property
    def quality(self) -> pd.Series:
        """Run → natural logarithm of its perplexity on GAP test; high is worse."""
        kinds = [_PERPLEXITY, replace(_PERPLEXITY, name="perplexity")]
        rows = pd.concat([self.numbers.table(measure) for measure in kinds])
        rows = rows[np.isfinite(rows["value"])]
        return np.log(rows.set_index("run_id")["value"].astype(float))

    def rows(self, measure: Measure, method: str, regularizer: str = "none") -> pd.DataFrame:
        """Result rows of a setting by seed, of runs whose quality is known."""
        rows = self.numbers.runs(measure, Setting(method, regularizer))
        return rows[rows["run_id"].isin(self.quality.index)]

    def levels(self, measure: Measure, rows: pd.DataFrame) -> stats.Changes:
        """A measure of some runs, with its units redrawn."""
        return self.numbers.levels(measure, rows, resamples=self.resamples)

    @cached_property
    def base(self) -> float:
        """The untreated model's slope; NaN: not run."""
        rows = self.rows(SLOPE, UNTRAINED.method)
        return float(rows["value"].mean()) if len(rows) else np.nan

    @cached_property
    def noise(self) -> Noise | None:
        """The runs with noise, and the model itself; None: fewer than two of them."""
        table = self.numbers.table(SLOPE)
        names = [name for name in table["method"].unique() if _is_noise(name)]
        parts = [self.rows(SLOPE, name) for name in (UNTRAINED.method, *names)]
        rows = pd.concat(parts, ignore_index=True)
        if not names or parts[0].empty or len(rows) < 3:
            return None
        seeds = rows["seed"].where(rows["method"] != UNTRAINED.method, -1).to_numpy(int)
        quality = self.quality[rows["run_id"]].to_numpy()
        return Noise(quality, self.levels(SLOPE, rows), seeds)

    def change(self, measure: Measure, first: pd.DataFrame, second: pd.DataFrame) -> stats.Changes:
        """Second minus first, the first being one run beside all seeds of the second, or as many."""
        contrast = Contrast(measure, first, second)
        return self.numbers.changes(contrast, resamples=self.resamples)


def _is_noise(method: str) -> bool:
    name, compressor = split_method(method)
    return name == UNTRAINED.method and bool(
        compressor and compressor.name == "noise" and compressor.level
    )


# ---------------------------------------------------------------- what is tried here


def overview() -> pd.DataFrame:
    """One row a compressor: how it is written, and what it does."""
    levels = {"share": "@0.3", "count": "@4", "size": "@0.1", "": ""}
    rows = [(f"{name}{levels[kind]}", does) for name, (does, kind) in COMPRESSORS.items()]
    return pd.DataFrame(rows, columns=["compressor", "what it does"])


def live_table(
    results: Sequence[pd.DataFrame],
    *,
    caption: str,
    metrics: Sequence[str] = ("slope", "definitional"),
) -> Styler:
    """One row a way of compressing, of the runs that a chapter has made, one column a metric."""
    rows = pd.concat(results)
    rows = rows[rows["metric"].isin(metrics) & (rows["axis"] == "all")]
    table = []
    for method, part in rows.groupby("method", sort=False):
        by_metric = part.set_index("metric")
        name = {UNTRAINED.method: "nothing"}.get(method, shown(method))
        entries = {"compressed by": name}
        for metric in metrics:
            label = f"{METRICS[metric].label} [95% interval]"
            there = metric in by_metric.index
            entries[label] = tables.interval(by_metric.loc[metric]) if there else "–"
        table.append(entries)
    return tables.plain(pd.DataFrame(table), caption=caption)


def control_finding(results: Sequence[pd.DataFrame]) -> str:
    """Through which compressors an erased and a doubled gender direction show in the slope."""
    rows = select(pd.concat(results), metric="slope", axis="all")
    slopes = dict(zip(rows["method"], rows["value"].abs(), strict=True))
    seen, hidden = [], []
    for method in slopes:
        name, compressor = split_method(method)
        if name != UNTRAINED.method or compressor is None:
            continue
        ends = [slopes.get(f"gender×{scale}+{compressor}") for scale in (0, 2)]
        if None not in ends:
            (seen if ends[0] < slopes[method] < ends[1] else hidden).append(shown(method))
    said = f"The gender direction can be seen through {listed(seen)}." if seen else ""
    return f"{said} It cannot be seen through {listed(hidden)}." if hidden else said or "Not tried."


# ---------------------------------------------------------------- equal quality


def differences(study: Study) -> pd.DataFrame:
    """One row a compressor or kind of student: its perplexity, slope, the matched-quality difference
    with interval and verdict, and what stands beside it; ``kept``: its definitional gender as a share
    of the untreated model's. No rows without a noise curve.
    """
    methods = [m for m in study.numbers.table(SLOPE)["method"].unique() if group(m)]
    rows = [_difference(study, method) for method in methods] if study.noise else []
    columns = [
        "method",
        "group",
        "seeds",
        "quality",
        "slope",
        "holm_p",
        "verdict",
        *_BESIDE,
        "kept",
    ]
    table = pd.DataFrame(rows, columns=[*columns, *Matched.__dataclass_fields__, "smallest"])
    for _, part in table.groupby("group"):
        table.loc[part.index, "holm_p"] = stats.holm(part["p"].astype(float))
    table["verdict"] = [
        str(matched.outcome(each["matched"], holm, base=study.base))
        for each, holm in zip(rows, table["holm_p"], strict=True)
    ]
    order = table["group"].map(GROUPS.index)
    return table.assign(order=order).sort_values(["order", "quality"], ignore_index=True)


def _difference(study: Study, method: str) -> dict:
    rows = study.rows(SLOPE, method)
    quality = study.quality[rows["run_id"]].to_numpy()
    values = study.levels(SLOPE, rows)
    difference = matched.matched(study.noise, quality, values, rising=study.base < 0)
    beside, untrained = (
        {
            name: float(study.numbers.runs(each, Setting(of))["value"].mean())
            for name, each in _BESIDE.items()
        }
        for of in (method, UNTRAINED.method)
    )
    return {
        "method": method,
        "group": group(method),
        "seeds": len(rows),
        "quality": float(quality.mean()),
        "slope": float(values.observed.mean()),
        **beside,
        "kept": beside["definitional"] / untrained["definitional"],
        **asdict(difference),
        "smallest": difference.smallest,
        "matched": difference,
    }


def differences_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``differences`` as a reader sees it."""
    return tables.plain(
        pd.DataFrame(
            {
                "compressed by": rows["method"].map(shown),
                "perplexity": np.exp(rows["quality"].astype(float)).map(tables.number),
                "slope": rows["slope"].map(tables.number),
                "of noise as bad": rows["expected"].map(tables.number),
                "difference [95% interval]": _intervals(rows),
                "at equal quality": rows["verdict"],
                "smallest that would be seen": rows["smallest"].map(tables.number),
                "definitional": rows["definitional"].map(tables.number),
                "selectivity": rows["selectivity"].map(tables.number),
            }
        ),
        caption=caption,
    )


def _intervals(rows: pd.DataFrame, *, percent: bool = False) -> list[str]:
    scale = 100 if percent else 1
    ends = rows[["value", "ci_low", "ci_high"]].astype(float) * scale
    return [
        tables.interval(row) if np.isfinite(row["value"]) else "–" for _, row in ends.iterrows()
    ]


# ---------------------------------------------------------------- survival


def survivals(study: Study) -> pd.DataFrame:
    """One row a debiasing and compressor: how much of its effect on the slope is left (1: all), with its
    interval, and the ``gain`` over the same method without a regularizer; ``debiased``: whether that
    effect was towards 0. NaN where nothing was there to survive.
    """
    rows, pairs = [], {}
    for method, regularizer, compressor in _treated(study):
        pair = _pair(study, method, regularizer, compressor)
        if pair is None:
            continue
        pairs[method, regularizer, str(compressor)] = pair
        effect = matched.survival(*pair)
        row = {"method": method, "regularizer": regularizer, "compressor": str(compressor)}
        before = pair[1].observed.mean()
        row |= {"treatment": treatment(regularizer), "before": before}
        row |= {"debiased": bool(before * study.base < 0)}
        row |= dict.fromkeys(("value", "ci_low", "ci_high"), np.nan) | {"seeds": 0}
        if effect is not None:
            row |= {name: getattr(effect, name) for name in ("value", "ci_low", "ci_high", "seeds")}
        rows.append(row | {"effect": effect})
    columns = ["method", "regularizer", "treatment", "compressor", "before", "debiased", "value"]
    table = pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "seeds", "effect"])
    return _with_gains(table, pairs)


def _treated(study: Study) -> list[tuple]:
    """Method, regularizer and compressor of the debiased settings that were compressed."""
    table = study.numbers.table(SLOPE).drop_duplicates(["method", "regularizer"])
    table = table.sort_values(["method", "regularizer"])
    split = [
        (*split_method(method), regularizer)
        for method, regularizer in zip(table["method"], table["regularizer"], strict=True)
    ]
    return [
        (method, regularizer, compressor)
        for method, compressor, regularizer in split
        if compressor and method != UNTRAINED.method
    ]


def _pair(study: Study, method: str, regularizer: str, compressor) -> tuple | None:
    """Changes from the untrained model, both compressed and both not, at the seeds that both have."""
    compressed = study.rows(SLOPE, joined(method, compressor), regularizer)
    plain = study.rows(SLOPE, method, regularizer)
    untrained = [study.rows(SLOPE, joined(UNTRAINED.method, c)) for c in (compressor, None)]
    seeds = compressed.index.intersection(plain.index)
    if not len(seeds) or any(rows.empty for rows in untrained):
        return None
    return tuple(
        study.change(SLOPE, first.iloc[:1], second.loc[seeds])
        for first, second in zip(untrained, (compressed, plain), strict=True)
    )


def _with_gains(table: pd.DataFrame, pairs: dict) -> pd.DataFrame:
    """``gain``: survival minus that of the method alone, with its interval and Holm's p over all."""
    gains = []
    for row in table.to_dict("records"):
        alone = pairs.get((row["method"], "none", row["compressor"]))
        pair = pairs[row["method"], row["regularizer"], row["compressor"]]
        same = alone is not None and len(alone[0].observed) == len(pair[0].observed)
        both = row["effect"] is not None and same and matched.survival(*alone) is not None
        if row["regularizer"] == "none" or not both:
            gains.append((np.nan,) * 4)
            continue
        effect = matched.survival_difference(alone, pair)
        gains.append((effect.value, effect.ci_low, effect.ci_high, effect.p()))
    names = ["gain", "gain_low", "gain_high", "gain_p"]
    table[names] = pd.DataFrame(gains, columns=names, index=table.index).astype(float)
    return table.assign(gain_holm=stats.holm(table["gain_p"]))


def treatment(regularizer: str) -> str:
    """What readers call a regularizer."""
    label = RegularizerLabel.parse(regularizer)
    return {"none": "none", "swap": "swap collapse"}.get(label.preset, f"NC3 {label.kind}")


def survivals_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``survivals`` as a reader sees it."""
    ends = zip(rows["gain"], rows["gain_low"], rows["gain_high"], strict=True)
    gains = pd.DataFrame(ends, columns=["value", "ci_low", "ci_high"])
    return tables.plain(
        pd.DataFrame(
            {
                "method": rows["method"],
                "with": rows["treatment"],
                "compressed by": rows["compressor"],
                "change of the slope before": rows["before"].map(tables.number),
                "survives, % [95% interval]": [
                    text if each is not None else "nothing to survive"
                    for text, each in zip(
                        _intervals(rows, percent=True), rows["effect"], strict=True
                    )
                ],
                "more than the method alone, points": _intervals(gains, percent=True),
                "seeds": rows["seeds"].map("{:.0f}".format),
            }
        ),
        caption=caption,
    )


# ---------------------------------------------------------------- students


def students(study: Study) -> pd.DataFrame:
    """One row a size of student that was trained with and without a teacher: slopes, perplexities, and
    the difference with its interval and Holm's p.
    """
    rows = []
    for layers in _SIZES:
        small, taught = (study.rows(SLOPE, f"{name}{layers}") for name in ("small", "kd"))
        seeds = small.index.intersection(taught.index)
        if not len(seeds):
            continue
        sides = small.loc[seeds], taught.loc[seeds]
        effect = stats.crossed_bootstrap(study.change(SLOPE, *sides))
        quality = [float(study.quality[side["run_id"]].mean()) for side in sides]
        row = {"layers": layers, "seeds": len(seeds), "small": sides[0]["value"].mean()}
        row |= {"taught": sides[1]["value"].mean(), "quality_small": quality[0]}
        row |= {"quality_taught": quality[1], "p": effect.p()}
        rows.append(row | {name: getattr(effect, name) for name in ("value", "ci_low", "ci_high")})
    columns = ["layers", "seeds", "small", "taught", "quality_small", "quality_taught", "p"]
    table = pd.DataFrame(rows, columns=[*columns, "value", "ci_low", "ci_high"])
    return table.assign(holm_p=stats.holm(table["p"].astype(float)))


def students_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``students`` as a reader sees it."""
    perplexities = {
        f"perplexity {name}": np.exp(rows[f"quality_{column}"].astype(float)).map(tables.number)
        for name, column in (("without", "small"), ("with teacher", "taught"))
    }
    return tables.plain(
        pd.DataFrame(
            {
                "layers": rows["layers"],
                **perplexities,
                "slope without": rows["small"].map(tables.number),
                "slope with teacher": rows["taught"].map(tables.number),
                "with − without [95% interval]": _intervals(rows),
                "seeds": rows["seeds"],
            }
        ),
        caption=caption,
    )


# ---------------------------------------------------------------- words, controls


def alike(study: Study) -> pd.DataFrame:
    """One row a compressor: change of UNC3 of gender words minus that of matched words, with 95% and 90%
    intervals over words.
    """
    rows = []
    for method in study.numbers.table(_UNC3["gender"])["method"].unique():
        if split_method(method)[1] is None or not method.startswith(UNTRAINED.method):
            continue
        changes = [_of_words(study, measure, method) for measure in _UNC3.values()]
        if all(change is not None and change.resampled is not None for change in changes):
            difference = matched.difference_in_differences(*changes)
            parts = {name: c.observed[0] for name, c in zip(_UNC3, changes, strict=True)}
            rows.append({"method": method} | parts | asdict(difference))
    fields = matched.Difference.__dataclass_fields__
    return pd.DataFrame(rows, columns=["method", *_UNC3, *fields])


def _of_words(study: Study, measure: Measure, method: str) -> stats.Changes | None:
    """The change from the base of a metric of words, by the first seed."""
    pair = study.numbers.contrast(measure, UNTRAINED, Setting(method))
    if pair.missing:
        return None
    first, second = pair.first.iloc[:1], pair.second.iloc[:1]
    return study.change(measure, first, second)


def alike_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``alike`` as a reader sees it."""
    return tables.plain(
        pd.DataFrame(
            {
                "compressed by": rows["method"].map(shown),
                "UNC3 of gender words changes by": rows["gender"].map(tables.number),
                "of matched words": rows["matched"].map(tables.number),
                "difference [95% interval]": _intervals(rows),
            }
        ),
        caption=caption,
    )


def controls(study: Study) -> pd.DataFrame:
    """One row a control: what it is to show, the number that says so, its bound, whether it ``holds``."""
    rows = []
    base = study.numbers.results
    key = ["benchmark", "split", "axis", "words", "min_count", "metric"]
    plain = select(base, method=UNTRAINED.method, metric=list(_CONTINUOUS))
    plain = plain[plain["benchmark"] != "training"].drop_duplicates(key, keep="last")
    for name in ("int16", "noise@0"):
        other = select(base, method=f"{UNTRAINED.method}+{name}")
        both = plain.merge(other, on=key, suffixes=("", "_other"))
        if len(both):
            size = both["value"].abs().clip(lower=1)
            off = float(((both["value_other"] - both["value"]).abs() / size).max())
            rows.append((name, "largest change of a number", off, UNCHANGED, off <= UNCHANGED))
    method = f"{UNTRAINED.method}+rtn3,{GENDER}"
    ends = {name: _of_words(study, measure, method) for name, measure in _NC3.items()}
    if all(each is not None for each in ends.values()):
        gender, other = (float(each.observed[0]) for each in ends.values())
        runs = [study.rows(SLOPE, each)["run_id"] for each in (UNTRAINED.method, method)]
        worse = float(np.exp(study.quality[runs[1]].mean() - study.quality[runs[0]].mean()) - 1)
        name = f"rtn3,{GENDER}"
        rows += [
            (name, "change of NC3, gender words", gender, 0.0, gender < 0),
            (name, "change of NC3, matched words", other, 0.01, abs(other) <= 0.01),
            (name, "rise of perplexity", worse, 0.02, worse <= 0.02),
        ]
    return pd.DataFrame(rows, columns=["control", "what", "value", "bound", "holds"])


def controls_table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``controls`` as a reader sees it."""
    return tables.plain(
        pd.DataFrame(
            {
                "control": rows["control"],
                "what it shows": rows["what"],
                "value": rows["value"].map("{:.2g}".format),
                "holds": rows["holds"].map({True: "yes", False: "**no**"}),
            }
        ),
        caption=caption,
    )


# ---------------------------------------------------------------- generated text


def generated(study: Study) -> pd.DataFrame:
    """Result rows of what the causal model writes, one a setting, axis and measure, the mean over seeds."""
    rows = select(study.numbers.results, benchmark="bold", metric=list(TEXTS))
    rows = rows.assign(perplexity=np.exp(rows["run_id"].map(study.quality).astype(float)))
    keys = ["method", "axis", "metric"]
    numbers = ["value", "ci_low", "ci_high", "perplexity", "n"]
    return rows.groupby(keys, sort=False)[numbers].mean().reset_index()


def generated_table(rows: pd.DataFrame, axis: str, *, caption: str) -> Styler:
    """The measures of one axis, a row a setting, in order of perplexity, the scorer's AUC beside its share."""
    part = rows[rows["axis"] == axis].sort_values("perplexity", kind="stable")
    lines = []
    for method, of_cell in part.groupby("method", sort=False):
        by_metric = of_cell.set_index("metric")
        entries = {"compressed by": shown(method)}
        entries["perplexity"] = tables.number(of_cell["perplexity"].iloc[0])
        for name in TEXTS:
            if name in by_metric.index:
                entries[METRICS[name].label] = tables.interval(by_metric.loc[name])
        lines.append(entries)
    return tables.plain(pd.DataFrame(lines), caption=caption)


def _called_biased(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of texts called biased, by perplexity: of the model with noise and without, and of compressed
    models.
    """
    share = select(rows, metric="biased", axis="all").sort_values("perplexity")
    noisy = [method == UNTRAINED.method or _is_noise(method) for method in share["method"]]
    return share[noisy], share[np.logical_not(noisy)]


def texts_beside_noise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a compressed model: the ``gap`` of the share of its texts that are called biased to that of
    noise at equal perplexity, and whether it ``differs`` from 0 after Holm's correction; NaN and False
    outside of the perplexities of noise.

    ``rows``: as of ``generated``. Noise is read straight between its levels; errors are over prompts alone.
    """
    curve, others = _called_biased(rows)
    if len(curve) < 2:
        return others.assign(gap=np.nan, differs=False)
    known, at = curve["perplexity"], others["perplexity"]
    ends = {"left": np.nan, "right": np.nan}

    def between(values: pd.Series | np.ndarray) -> np.ndarray:
        return np.interp(np.log(at), np.log(known), values, **ends)

    errors = (stats.standard_error(part["ci_low"], part["ci_high"]) for part in (others, curve))
    of_others, of_curve = errors
    told = others.assign(gap=others["value"] - between(curve["value"]), differs=False)
    there = told["gap"].notna()
    p = 2 * scipy.stats.norm.sf(np.abs(told["gap"] / np.hypot(of_others, between(of_curve))))
    told.loc[there, "differs"] = stats.holm(p[there]) < 1 - stats.LEVEL
    return told


def generated_finding(rows: pd.DataFrame) -> str:
    """Whether compressed models write texts called biased as often as noise at equal perplexity does, as
    the plan predicted; ``rows``: as of ``generated``.
    """
    told, (curve, _) = texts_beside_noise(rows), _called_biased(rows)
    if told["gap"].isna().all():
        return ABSENT
    first, last = curve["value"].iloc[0], curve["value"].iloc[-1]
    way = "less often" if last < first else "no less often"
    said = [
        f"Noise alone makes texts that are {way} called biased. It takes their share from {first:.0f}% to {last:.0f}%."
    ]
    for word, part in (
        ("more", told[told["differs"] & (told["gap"] > 0)]),
        ("fewer", told[told["differs"] & (told["gap"] < 0)]),
    ):
        if len(part):
            write = "writes" if len(part) == 1 else "write"
            points = listed([f"{abs(value):.1f}" for value in part["gap"]])
            said.append(
                f"At equal perplexity {_names(part)} {write} {word} of them, by {points} points."
            )
    for lead, part in (
        ("No difference is shown for", told[told["gap"].notna() & ~told["differs"]]),
        ("Not comparable:", told[told["gap"].isna()]),
    ):
        said += [f"{lead} {_names(part)}."] if len(part) else []
    said.append("Intervals are over prompts alone.")
    return " ".join(said)


def _names(rows: pd.DataFrame) -> str:
    return listed(map(shown, rows["method"]))


# ---------------------------------------------------------------- costs, published values


def published_table(facts: pd.DataFrame, *, caption: str) -> Styler:
    """What Gonçalves and Strubell published of models and their compressed versions, a row a model
    (``published.load``).
    """
    rows = facts[facts["source"] == ON_COMPRESSION]
    models = rows["model"].unique()
    heads = [
        ("stereoset_intra", "gender", "SS"),
        ("stereoset_intra", "gender", "LM"),
        ("crows_bias_bench", "gender", "stereotype_pct"),
        ("seat_bias_bench", "all", "abs_effect_size"),
    ]
    lines = []
    for (model, method), _ in facts[facts["model"].isin(models)].groupby(
        ["model", "method"], sort=False
    ):
        if method not in (UNTRAINED.method, *COMPRESSED):
            continue
        entries = {
            "model": model,
            "version": {UNTRAINED.method: "as it is"}.get(method, shown(method)),
        }
        for benchmark, axis, metric in heads:
            fact = select(
                facts, model=model, method=method, benchmark=benchmark, axis=axis, metric=metric
            )
            name = f"{benchmark.partition('_')[0]}: {METRICS[metric].label}"
            entries[name] = f"{fact['value'].iloc[0]:g}" if len(fact) else "–"
        if set(entries.values()) - {model, entries["version"], "–"}:
            lines.append(entries)
    return tables.plain(pd.DataFrame(lines), caption=caption)


# ---------------------------------------------------------------- answers


def answers(
    study: Study,
    equal: pd.DataFrame,
    survived: pd.DataFrame,
    taught: pd.DataFrame,
    words: pd.DataFrame,
) -> dict[str, Answer]:
    """Claim → what the runs say of it, by the plan's rule; *not run* until all that it rests on is."""
    distilled = equal[equal["method"].isin([f"kd{layers}" for layers in _SIZES])]
    int8 = equal[equal["method"] == "base+int8"]["verdict"]
    alone = survived[(survived["regularizer"] == "none") & (survived["compressor"] == "rtn4")]
    asked = words[words["method"].isin(_ALIKE)]
    base = study.numbers.runs(_UNC3["gender"], UNTRAINED)["value"].mean()
    gaps = [matched.Difference(*row) for row in asked[list(_FIELDS)].itertuples(index=False)]
    said = {
        "Distillation makes a model fairer at equal quality": (
            len(distilled) == len(_SIZES),
            _one_way(distilled["verdict"]),
        ),
        "It is the teacher that makes a student fairer": (
            len(taught) == len(_SIZES),
            _signs(taught, "holm_p", "value", -np.sign(study.base)),
        ),
        "Eight bits lower the bias": (len(int8) > 0, _eight_bits(int8)),
        "Debiasing survives four bits": (
            set(alone["method"]) == set(_DEBIASED),
            matched.survives(alone["effect"]),
        ),
        HELPED: (
            bool(survived["gain_p"].notna().any()),
            _signs(survived, "gain_holm", "gain", 1),
        ),
        ALIKE: (
            len(gaps) == len(_ALIKE),
            matched.alike(gaps, base=base),
        ),
    }
    return {claim: answer if run else Answer.NOT_RUN for claim, (run, answer) in said.items()}


def _signs(rows: pd.DataFrame, p: str, value: str, better: float) -> Answer:
    """Whether values significant after Holm lie on the better side alone, or on the other alone."""
    signs = np.sign(rows.loc[rows[p] < 1 - stats.LEVEL, value])
    if not len(signs):
        return Answer.INCONCLUSIVE
    return matched.one_way(signs == better, signs == -better)


_FIELDS = tuple(matched.Difference.__dataclass_fields__)


def _one_way(verdicts: Iterable[str]) -> Answer:
    verdicts = list(verdicts)
    return matched.one_way(
        [each == Verdict.FAIRER for each in verdicts],
        [each == Verdict.LESS_FAIR for each in verdicts],
    )


def _eight_bits(verdicts: Sequence[str]) -> Answer:
    if not len(verdicts):
        return Answer.NOT_RUN
    against = (Verdict.LESS_FAIR, Verdict.NO_DIFFERENCE)
    return matched.one_way(
        [each == Verdict.FAIRER for each in verdicts], [each in against for each in verdicts]
    )


def answers_table(said: dict[str, Answer], *, caption: str) -> Styler:
    """``answers`` as a reader sees them."""
    rows = pd.DataFrame({"claim": said.keys(), "the runs say": map(str, said.values())})
    return tables.left(tables.plain(rows, caption=caption))


# ---------------------------------------------------------------- sentences


def finding(equal: pd.DataFrame) -> str:
    """Which compressors are fairer at equal quality, in one plain sentence, and the rest behind it."""
    if equal.empty:
        return ABSENT
    by_verdict = {
        verdict: [shown(m) for m in equal.loc[equal["verdict"] == verdict, "method"]]
        for verdict in map(str, Verdict)
    }
    fairer = by_verdict[Verdict.FAIRER]
    lead = (
        f"At equal quality {listed(fairer)} follow{'s' * (len(fairer) == 1)} the labour statistics less. "
        f"{_keeps(equal[equal['verdict'] == Verdict.FAIRER])}"
        if fairer
        else "No compressor is shown to be fairer than plain noise that costs as much quality."
    )
    rest = [
        f"{verdict}: {listed(names)}"
        for verdict, names in by_verdict.items()
        if names and verdict != Verdict.FAIRER
    ]
    return f"{lead.strip()} By verdict: {'; '.join(rest)}." if rest else lead.strip()


#: A compressor that keeps less than this share of definitional gender has forgotten gender.
KEEPS = 0.5


def _keeps(rows: pd.DataFrame) -> str:
    """Which of the compressors that the rule calls fairer keep the gender that words name, which no
    fairness asks to lose.
    """
    known = rows[rows["kept"].notna()]
    names = [
        [f"{shown(row.method)} ({100 * row.kept:.0f}%)" for row in part.itertuples()]
        for part in (known[known["kept"] >= KEEPS], known[known["kept"] < KEEPS])
    ]
    said = [f"is kept by {listed(names[0])}"] if names[0] else []
    said += [f"is lost by {listed(names[1])}: forgetting is not fairness"] if names[1] else []
    return (
        f"Most of the gender that words such as *mother* name {' and '.join(said)}." if said else ""
    )


def survival_finding(rows: pd.DataFrame) -> str:
    """What debiasing keeps, in one plain sentence, and whether a regularizer makes more of it survive;
    training that had raised the slope is no debiasing.
    """
    run = rows[rows["value"].notna() & rows["debiased"].astype(bool)]
    if run.empty:
        return (
            ABSENT
            if rows.empty
            else ("No debiasing is shown to move the slope, so there is nothing to survive.")
        )
    lost = run[run["ci_high"] < matched.SURVIVES]
    kept = run[run["ci_low"] > matched.SURVIVES]
    names = [
        f"{row.method}{'' if row.regularizer == 'none' else f' with {row.treatment}'} under {row.compressor}"
        for row in lost.itertuples()
    ]
    lead = (
        f"Compression undoes part of some debiasing: that of {listed(names)}."
        if names
        else "No compressor is shown to undo a debiasing."
    )
    bound = f"{100 * matched.SURVIVES:.0f}%"
    more = run[run["gain_holm"] < 1 - stats.LEVEL]
    gained = [
        f"{row.method} with {row.treatment} under {row.compressor}"
        for row in more[more["gain"] > 0].itertuples()
    ]
    beside = run["gain"].notna().sum()
    better = (
        f" A regularizer lets more of it survive in {len(gained)} of {beside} cases: {listed(gained)}."
        if gained
        else f" In none of {beside} cases is a regularizer shown to let more of it survive."
        if beside
        else ""
    )
    return f"{lead} More than {bound} survive in {len(kept)} of {len(run)} cases by their interval.{better}"


def students_finding(rows: pd.DataFrame) -> str:
    """Whether a teacher changes the slope of a student, in one plain sentence."""
    if rows.empty:
        return ABSENT
    moved = rows[rows["holm_p"] < 1 - stats.LEVEL]
    if moved.empty:
        return "No teacher is shown to change how its student follows the labour statistics."
    parts = {"raises": moved[moved["value"] > 0], "lowers": moved[moved["value"] < 0]}
    sizes = {verb: listed(map(str, part["layers"])) for verb, part in parts.items() if len(part)}
    if len(sizes) > 1:
        said = "; ".join(f"it {verb} it with {layers} layers" for verb, layers in sizes.items())
        return f"The teacher raises the slope of some students and lowers that of others. In detail, {said}."
    ((verb, layers),) = sizes.items()
    which = "its" if len(moved) == len(rows) else "some"
    return f"The teacher {verb} the slope of {which} students. It does so with {layers} layers."


def controls_finding(rows: pd.DataFrame) -> str:
    """Whether the recorded controls hold."""
    if rows.empty:
        return "The controls are not recorded yet."
    failed = rows.loc[~rows["holds"].astype(bool), "control"].unique()
    if len(failed):
        return f"**Controls that fail: {listed(failed)}.** What rests on them does not count."
    return f"All {len(rows)} recorded controls hold."


def cost(study: Study) -> str:
    """What the recorded runs took, in a sentence."""
    said = [
        f"{number:.0f} minutes on {device}"
        for device, number in minutes(study.numbers.results).items()
    ]
    return f"The recorded runs took {listed(said)}." if said else "No run is recorded yet."


# ---------------------------------------------------------------- rows


def as_run(
    config: dict,
    runs: Sequence[str],
    *,
    equal: pd.DataFrame,
    survived: pd.DataFrame,
    taught: pd.DataFrame,
    words: pd.DataFrame,
) -> Run:
    """What was found as result rows of benchmark ``compressed``; ``runs``: ids of the runs that they rest
    on.
    """
    common = {"benchmark": "compressed", "origin": "recorded"}
    rows = [
        common
        | {"split": "matched", "method": row.method, "variant": row.verdict}
        | _value(row, "matched_difference", row.seeds)
        for row in equal.itertuples()
    ]
    rows += [
        common
        | {"split": "matched", "method": row.method, "variant": row.verdict}
        | {"metric": "definitional_kept", "value": row.kept, "n": row.seeds}
        for row in equal.itertuples()
        if np.isfinite(row.kept)
    ]
    rows += [
        common
        | {"split": "survival", "method": f"{row.method}+{row.compressor}"}
        | {"regularizer": row.regularizer}
        | _value(row, "survival", row.seeds)
        for row in survived.itertuples()
    ]
    rows += [
        common
        | {"split": "students", "method": f"kd{row.layers}"}
        | _value(row, "taught", row.seeds)
        for row in taught.itertuples()
    ]
    rows += [
        common | {"split": "words", "method": row.method} | _value(row, "unc3_difference", 1)
        for row in words.itertuples()
    ]
    rows = rows or [common | {"metric": "runs", "value": float(len(runs))}]
    return make(config, rows, None, device="cpu", evidence={"runs": list(runs)})


def _value(row, metric: str, n: int) -> dict:
    ends = {name: getattr(row, name) for name in ("value", "ci_low", "ci_high")}
    return ends | {"metric": metric, "n": n}
