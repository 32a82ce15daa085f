"""The page of words, as data: every measured word with its cosine, count, spread and contexts."""

from collections.abc import Iterable
from functools import partial
from itertools import takewhile
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import EDITION, WAY, live_and_recorded, significant
from fairnc_utils import corpora, stats, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import Run, load, make, metric_rows, recorded_units, select

#: Column of the items of a collapse run → what it holds.
_ITEM_COLUMNS = {
    "unit": "word",
    "axis": "list",
    "score_a": "cosine",
    "score_b": "count",
    "score_c": "spread",
}

#: What is known of a word of a run.
_WORD = ["run_id", *_ITEM_COLUMNS.values()]


def measured_words(live: str | Path, *, edition: str = EDITION) -> pd.DataFrame:
    """One row a word, list and way of training: of a run below ``live`` before a recorded one, of the
    run that saw most occurrences of the list before another, then of the newest.

    Chapters measure one model on more or less text; which of them ran last says nothing.

    Columns: those of ``WAY``, ``run_id``, ``list``, ``word``, ``cosine`` (ideal 1), ``count``,
    ``spread`` (mean squared distance to the class mean, ideal 0). Raises ``FairNCError`` if no run
    has measured words.
    """
    runs = live_and_recorded(live, edition=edition)
    runs = select(runs, benchmark="collapse", variant="corrected").drop_duplicates("run_id")
    classes = pd.concat(
        [_live_words(live).assign(live=True), _recorded_words().assign(live=False)],
        ignore_index=True,
    )
    classes["seen"] = classes.groupby(["live", "run_id", "list"])["count"].transform("sum")
    measured = classes.merge(runs[["run_id", "created", *WAY]], on="run_id")
    if measured.empty:
        raise FairNCError(
            f"no run below {live} has measured words: run the chapter on measuring collapse first"
        )
    best = measured.sort_values(["live", "seen", "created"], kind="stable")
    shown = best.drop_duplicates([*WAY, "list", "word"], keep="last").sort_index()
    return shown.drop(columns=["live", "seen", "created"]).reset_index(drop=True)


def _live_words(live: str | Path) -> pd.DataFrame:
    """The columns ``_WORD`` of the runs below a folder, from their items."""
    items = select(load(live, "items"), benchmark="collapse")
    return items.rename(columns=_ITEM_COLUMNS)[_WORD]


def _recorded_words() -> pd.DataFrame:
    """The columns ``_WORD`` of the recorded runs, from their unit scores."""
    units = select(recorded_units(), benchmark="collapse")
    units = units.rename(columns={"axis": "list", "unit": "word"})
    keys = ["run_id", "list", "word"]
    # sorted, so that what other runs measured changes no order
    wide = units.pivot_table(index=keys, columns="column", values="value")
    return wide.reset_index().reindex(columns=_WORD)


def contexts(
    tokenizer, texts: Iterable[str], wanted: Iterable[str], *, number: int = 2, reach: int = 40
) -> dict[str, list[tuple[str, str, str]]]:
    """Word → up to ``number`` places in different texts: about ``reach`` characters before, the
    word, as many after.
    """
    wanted, special = set(wanted), set(tokenizer.all_special_ids)
    written = {
        i: tokenizer.convert_tokens_to_string([token]).strip()
        for token, i in tokenizer.get_vocab().items()
    }
    word_of = {i: word for i, word in written.items() if word in wanted and i not in special}
    places: dict[str, list] = {}
    for text in texts:
        encoded = tokenizer(
            text,
            return_offsets_mapping=True,
            add_special_tokens=False,
            truncation=True,
            max_length=512,
        )
        first = {}
        for token, (start, end) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            if token in word_of:
                first.setdefault(word_of[token], (start, end))
        for word, (start, end) in first.items():
            if len(places.setdefault(word, [])) < number:
                places[word].append(_snippet(text, start, end, reach))
    return places


def _snippet(text: str, start: int, end: int, reach: int) -> tuple[str, str, str]:
    """What stands before, at and after a place, cut at spaces, with an ellipsis where it was cut."""
    before, after = text[max(0, start - reach) : start], text[end : end + reach]
    if start > reach:
        before = "… " + before.partition(" ")[2]
    if end + reach < len(text):
        after = after.rpartition(" ")[0] + " …"
    return before, text[start:end], after


def words_data(
    measured: pd.DataFrame, tokenizer, *, corpus: str = "gap", split: str = "test", number: int = 2
) -> dict:
    """The data of the page of words: words with counts and contexts, lists, and for each run its
    cosines and spreads.

    ``lists`` and ``measured`` name words by their place in ``words``; runs that measured the same words
    share an entry of ``measured``. Groups are those of the word lists (female, male). ``rare``: whole
    words of the vocabulary that were not measured (``front_coded``), ``fewest``: how often a word must
    stand in the text.
    """
    names = sorted(set(measured["word"]))
    place = {word: i for i, word in enumerate(names)}
    counts = measured.drop_duplicates("word").set_index("word")["count"]
    texts = corpora.load(corpus, split)["text"]
    places = contexts(tokenizer, texts, names, number=number)
    gender = words.load("gender", tokenizer)
    lists = {
        name: sorted(place[word] for word in set(rows["word"]))
        for name, rows in measured.groupby("list", sort=False)
    }
    runs: list[dict] = []
    shared: list[list[int]] = []
    for way, rows in measured.groupby(list(WAY), sort=False):
        once = rows.drop_duplicates("word")
        places_of_run = [place[word] for word in once["word"]]
        if places_of_run not in shared:
            shared.append(places_of_run)
        columns = {
            "lists": list(dict.fromkeys(rows["list"])),
            "measured": shared.index(places_of_run),
            "cosine": once["cosine"].round(3).tolist(),
            "spread": significant(once["spread"], 3),
        }
        runs.append(dict(zip(WAY, way, strict=True)) | columns)
    return {
        "corpus": f"{corpus} {split}",
        "words": names,
        "counts": counts.loc[names].astype(int).tolist(),
        "lists": lists,
        "contexts": [places.get(word, []) for word in names],
        "measured": shared,
        "runs": runs,
        "rare": front_coded(set(words.whole_words(tokenizer).values()) - place.keys()),
        "fewest": int(counts.min()),
        "groups": {
            word: group
            for word, group in zip(gender.words, gender.groups, strict=True)
            if word in place
        },
    }


def front_coded(names: Iterable[str]) -> str:
    """Words of letters in order, in few characters: of each, how many letters it begins with are those
    of the word before it, as a letter from *a* for none, then the others.
    """
    coded, before = [], ""
    for name in sorted({name.lower() for name in names if name.isascii() and name.isalpha()}):
        shared = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, name, strict=False))
        )
        coded.append(chr(ord("a") + min(shared, 25)) + name[min(shared, 25) :])
        before = name
    return " ".join(coded)


def count_correlation(measured: pd.DataFrame, *, profile: str) -> Run:
    """Spearman correlation of a word's cosine with how often it was seen, by list and run;
    bootstrap interval over words.

    Ideal 0: the cosine says nothing of frequency. Lists of fewer than ten words are left out.
    """
    rows = []
    spearman = partial(stats.correlation, ranked=True)
    for key, group in measured.groupby([*WAY, "list"], sort=False):
        if len(group) >= 10:
            estimate = stats.bootstrap(
                group["count"], group["cosine"], statistic=spearman, resamples=500
            )
            columns = dict(zip((*WAY, "words"), key, strict=True)) | {
                "benchmark": "explorer",
                "profile": profile,
            }
            rows += metric_rows({"count_correlation": estimate}, **columns)
    evidence = {"rows": corpora.fingerprint([measured.to_json(orient="values")])}
    return make({"of": "words", "profile": profile}, rows, None, device="cpu", evidence=evidence)


def correlation_table(rows: pd.DataFrame) -> Styler:
    """Rows of ``count_correlation``, one a list."""
    shown = [
        {
            "list": row["words"],
            "rank correlation (ideal 0)": tables.interval(row),
            "words": f"{row['n']:.0f}",
        }
        for _, row in rows.iterrows()
    ]
    return tables.plain(
        pd.DataFrame(shown),
        caption="Rank correlation of cosine and count [95% interval over words].",
    )
