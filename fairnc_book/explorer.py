"""What the book's interactive pages show, as data: every measured word with its contexts, and runs side by side."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_utils import corpora, stats, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.rows import Run, metric_rows
from fairnc_utils.stats import LEVEL

#: What tells one way of training from another.
CELL = ("origin", "model", "method", "regularizer", "lam")

#: What tells one number of a run from another.
NUMBER = ("benchmark", "split", "axis", "words", "corpus", "variant", "min_count", "space", "layer", "metric")

_CLASS_COLUMNS = {"unit": "word", "axis": "list", "score_a": "cosine", "score_b": "count", "score_c": "spread"}


# ---------------------------------------------------------------- words


def measured_words(live: str | Path) -> pd.DataFrame:
    """One row a word, list and run, of the runs below ``live`` and the recorded ones.

    Columns: those of ``CELL``, ``run_id``, ``list``, ``word``, ``cosine`` (ideal 1), ``count``, ``spread`` (mean squared
    distance to the class mean, ideal 0). Raises ``FairNCError`` if no run has measured words.
    """
    results = pd.concat([records.load(live), records.recorded()], ignore_index=True)
    runs = results[(results["benchmark"] == "collapse") & (results["variant"] == "corrected")]
    runs = runs.drop_duplicates("run_id")[["run_id", *CELL]]
    items = records.load(live, "items")
    own = items[items["benchmark"] == "collapse"].rename(columns=_CLASS_COLUMNS)[["run_id", *_CLASS_COLUMNS.values()]]
    units = records.recorded_units()
    units = units[units["benchmark"] == "collapse"].rename(columns={"axis": "list", "unit": "word"})
    kept = units.pivot_table(index=["run_id", "list", "word"], columns="column", values="value", sort=False).reset_index()
    found = pd.concat([own, kept], ignore_index=True).merge(runs, on="run_id")
    if found.empty:
        raise FairNCError(f"no run below {live} has measured words: run the chapter on measuring collapse first")
    return found.drop_duplicates([*CELL, "list", "word"], ignore_index=True)


def contexts(
    tokenizer, texts: Iterable[str], wanted: Iterable[str], *, number: int = 2, reach: int = 48
) -> dict[str, list[tuple[str, str, str]]]:
    """Word → up to ``number`` places in different texts: about ``reach`` characters before, the word, as many after."""
    wanted, special = set(wanted), set(tokenizer.all_special_ids)
    written = {i: tokenizer.convert_tokens_to_string([token]).strip() for token, i in tokenizer.get_vocab().items()}
    word_of = {i: word for i, word in written.items() if word in wanted and i not in special}
    found: dict[str, list] = {}
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, truncation=True, max_length=512)
        here = {}
        for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if token in word_of:
                here.setdefault(word_of[token], (start, end))
        for word, (start, end) in here.items():
            if len(places := found.setdefault(word, [])) < number:
                places.append(_snippet(text, start, end, reach))
    return found


def _snippet(text: str, start: int, end: int, reach: int) -> tuple[str, str, str]:
    """What stands before, at and after a place, cut at spaces, with an ellipsis where it was cut."""
    before, after = text[max(0, start - reach) : start], text[end : end + reach]
    if start > reach:
        before = "… " + before.partition(" ")[2]
    if end + reach < len(text):
        after = after.rpartition(" ")[0] + " …"
    return before, text[start:end], after


def words_data(measured: pd.DataFrame, tokenizer, *, corpus: str = "gap", split: str = "test", number: int = 2) -> dict:
    """The data of the page of words: words with counts and contexts, lists, and for each run its cosines and spreads.

    Runs name words by their place in ``words``. Groups are those of the word lists (female, male).
    """
    names = sorted(set(measured["word"]))
    place = {word: i for i, word in enumerate(names)}
    counts = measured.drop_duplicates("word").set_index("word")["count"]
    texts = corpora.load(corpus, split)["text"]
    found = contexts(tokenizer, texts, names, number=number)
    gender = words.load("gender", tokenizer)
    lists = {
        name: sorted(place[word] for word in set(rows["word"])) for name, rows in measured.groupby("list", sort=False)
    }
    runs = []
    for key, rows in measured.groupby(list(CELL), sort=False):
        own = rows.drop_duplicates("word")
        runs.append(
            dict(zip(CELL, key, strict=True))
            | {"lists": list(dict.fromkeys(rows["list"])), "word": [place[word] for word in own["word"]],
               "cosine": own["cosine"].round(3).tolist(), "spread": _digits(own["spread"]).tolist()}
        )  # fmt: skip
    return {
        "corpus": f"{corpus} {split}", "words": names, "counts": counts.loc[names].astype(int).tolist(), "lists": lists,
        "contexts": [found.get(word, []) for word in names], "runs": runs,
        "groups": {word: group for word, group in zip(gender.words, gender.groups, strict=True) if word in place},
    }  # fmt: skip


def count_correlation(measured: pd.DataFrame, *, profile: str) -> Run:
    """Spearman correlation of a word's cosine with how often it was seen, by list and run; bootstrap interval over words.

    Ideal 0: the cosine says nothing of frequency. Lists of fewer than ten words are left out.
    """
    rows = []
    for key, own in measured.groupby([*CELL, "list"], sort=False):
        if len(own) >= 10:
            found = stats.bootstrap(own["count"], own["cosine"], statistic=_spearman, resamples=500)
            columns = dict(zip((*CELL, "words"), key, strict=True)) | {"benchmark": "explorer", "profile": profile}
            rows += metric_rows({"count_correlation": found}, **columns)
    return records.make({"of": "words", "profile": profile}, rows, None, device="cpu", evidence=_evidence(measured))


def _spearman(count: np.ndarray, cosine: np.ndarray, axis: int) -> np.ndarray:
    ranks = [scipy.stats.rankdata(values, axis=axis) for values in (count, cosine)]
    first, second = (part - part.mean(axis=axis, keepdims=True) for part in ranks)
    return (first * second).sum(axis) / np.sqrt((first**2).sum(axis) * (second**2).sum(axis))


def _evidence(table: pd.DataFrame) -> dict:
    return {"rows": corpora.fingerprint([table.to_json(orient="values")])}


# ---------------------------------------------------------------- runs


def comparison(results: pd.DataFrame) -> pd.DataFrame:
    """One row a number and way of training: the mean over seeds with its t interval, or the one run's own interval.

    Columns: ``CELL``, ``NUMBER``, ``value``, ``ci_low``, ``ci_high``, ``seeds``. Differences between runs, and metrics that the
    book's tables do not name, are left out.
    """
    keys = [*CELL, *NUMBER]
    single = (results["variant"] != "difference") & (results["benchmark"] != "trajectory")  # of a run as a whole
    rows = results[results["metric"].isin(tables.METRICS) & single]
    rows = rows.drop_duplicates([*keys, "seed"], keep="last")
    table = rows.groupby(keys, sort=False, dropna=False).agg(
        value=("value", "mean"), sd=("value", "std"), seeds=("value", "size"), ci_low=("ci_low", "first"),
        ci_high=("ci_high", "first"),
    ).reset_index()  # fmt: skip
    several = table["seeds"] > 1
    reach = scipy.stats.t.ppf((1 + LEVEL) / 2, table["seeds"] - 1) * table["sd"] / np.sqrt(table["seeds"])
    table["ci_low"] = table["ci_low"].where(~several, table["value"] - reach)
    table["ci_high"] = table["ci_high"].where(~several, table["value"] + reach)
    return table.drop(columns="sd")


def apart(table: pd.DataFrame, *, profile: str) -> Run:
    """How much each way of training changes: numbers with an interval that it shares with the untrained model.

    Rows: ``numbers_shared``, and ``numbers_apart``, those of them whose two intervals do not touch.
    """
    with_interval = table.dropna(subset=["ci_low", "ci_high"])
    bases = with_interval[with_interval["method"] == "base"].drop_duplicates(NUMBER)
    rows = []
    for key, own in with_interval[with_interval["method"] != "base"].groupby(list(CELL), sort=False):
        both = own.merge(bases, on=list(NUMBER), suffixes=("", "_base"))
        separate = (both["ci_low"] > both["ci_high_base"]) | (both["ci_high"] < both["ci_low_base"])
        found = dict(zip(CELL, key, strict=True)) | {"benchmark": "comparer", "profile": profile}
        rows += [found | {"metric": "numbers_shared", "value": len(both)}]
        rows += [found | {"metric": "numbers_apart", "value": separate.sum()}]
    return records.make({"of": "runs", "profile": profile}, rows, None, device="cpu", evidence=_evidence(table))


def runs_data(table: pd.DataFrame) -> dict:
    """The data of the page of runs: numbers with their labels and ideals, and for each run the values that it has."""
    numbers = table.drop_duplicates(NUMBER).reset_index(drop=True)
    place = numbers.reset_index().set_index(list(NUMBER))["index"]
    runs = []
    for key, rows in table.groupby(list(CELL), sort=False):
        at = place.loc[pd.MultiIndex.from_frame(rows[list(NUMBER)])]
        values = {name: _digits(rows[name]).tolist() for name in ("value", "ci_low", "ci_high")}
        values = {name: [None if np.isnan(x) else x for x in column] for name, column in values.items()}
        runs.append(dict(zip(CELL, key, strict=True)) | {"seeds": int(rows["seeds"].max()), "at": at.tolist()} | values)
    described = [_described(row) for _, row in numbers.iterrows()]
    return {"numbers": described, "runs": runs}


def _described(row: pd.Series) -> list[str]:
    """Benchmark, of what, metric and ideal of one number, as a reader sees them."""
    label, ideal = tables.METRICS[row["metric"]]
    of = [row["words"] or (row["axis"] if row["axis"] != "all" else ""), row["split"]]
    of += [f"layer {row['layer']}"] if row["layer"] not in ("", "last") else []
    of += [f"≥ {row['min_count']:.0f} samples"] if row["min_count"] > 0 else []
    of += [row["variant"].replace("_", " ")] if row["variant"] not in ("", "corrected") else []
    return [row["benchmark"], ", ".join(part for part in of if part), label, ideal]


def _digits(values: pd.Series, digits: int = 4) -> np.ndarray:
    """Values with so many significant digits: what a page needs, in as few characters."""
    return np.array([float(f"{value:.{digits}g}") for value in values])


def label(run: Sequence | pd.Series | dict) -> str:
    """A way of training in words, from its ``CELL`` columns."""
    if run["method"] == "base":
        return "before training"
    nc3 = "no NC3" if run["regularizer"] == "none" else f"NC3 {run['regularizer']}, λ = {run['lam']:g}"
    return f"{run['method']}, {nc3}"


def correlation_table(rows: pd.DataFrame) -> Styler:
    """Rows of ``count_correlation``, one a list."""
    shown = [
        {"list": row["words"], "rank correlation (ideal 0)": tables.interval(row), "words": f"{row['n']:.0f}"}
        for _, row in rows.iterrows()
    ]
    return tables.plain(pd.DataFrame(shown), caption="Rank correlation of cosine and count [95% interval over words].")


def apart_table(rows: pd.DataFrame) -> Styler:
    """Rows of ``apart``, one a way of training."""
    shown = [
        {"way of training": label(dict(zip(CELL, key, strict=True))), "origin": key[0]}
        | {metric.removeprefix("numbers_"): f"{value:.0f}" for metric, value in zip(own["metric"], own["value"], strict=True)}
        for key, own in rows.groupby(list(CELL), sort=False)
    ]
    return tables.plain(pd.DataFrame(shown), caption="Numbers shared with the untrained model, and those with intervals apart.")
