"""The tiny book's table of results: what its chapters computed must stay.

``python -m tests.nets.tiny build/tiny/results.parquet`` compares a table to the reference, and
writes the reference with ``--write``; do that only after a change that is meant to move numbers.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))  # so that ``python -m`` finds what pytest finds
import snapshots

#: The claims have a net of their own, at 1e-6; here their rows would be most of the table. Turned rows and those of the second
#: edition came after the reference; ``test_duality`` and ``test_planned`` hold them.
ELSEWHERE = ["claims", "planned", "turning"]

#: What tells one row from another.
KEYS = [
    "benchmark",
    "split",
    "axis",
    "words",
    "corpus",
    "space",
    "layer",
    "variant",
    "min_count",
    "model",
    "method",
    "regularizer",
    "lam",
    "seed",
    "metric",
]
NUMBERS = ["n", "value", "ci_low", "ci_high"]

#: How far a number may lie from its reference, relative to its size where that is above 1: another order of float32 sums.
#: Most move by 2e-6 or less between processors (with AVX2 and without), the bounds of an effect size by up to 2e-5.
NOISE = 5e-5
#: What jumps with a small change, in absolute terms: ranks and shares of permutations; neighbours in a picture, whose layout is
#: searched for.
JUMPY = dict.fromkeys(
    ("wilcoxon_r", "wilcoxon_p", "p_words", "p_sentences", "both_ways_r"), 2e-3
) | {"trustworthiness": 0.05}


def reduced(table: pd.DataFrame) -> pd.DataFrame:
    """The live rows without place, time and id: a run's id hashes fingerprints of float32 numbers.

    Rows alike in ``KEYS``, of one model in several chapters, are ordered by their numbers.
    """
    rows = table[(table["origin"] == "live") & ~table["benchmark"].isin(ELSEWHERE)]
    model = rows["model"].str.replace(
        r"^.*(?=build/tiny/)", "", regex=True
    )  # a folder of this build
    rows = snapshots.as_read(rows.assign(model=model)[[*KEYS, "profile", *NUMBERS]])
    return rows.sort_values([*KEYS, *NUMBERS], kind="stable", ignore_index=True)


def check(table: pd.DataFrame) -> None:
    """Assert that a tiny book's table has the rows of the reference, and their numbers to
    ``NOISE``.
    """
    expected, rows = snapshots.read("tiny"), reduced(table)
    others = [column for column in expected if column not in NUMBERS]
    pd.testing.assert_frame_equal(rows[others], expected[others], check_dtype=False)
    for column in NUMBERS:
        bound = expected["metric"].map(JUMPY).fillna(NOISE) * expected[column].abs().clip(lower=1)
        off = (rows[column] - expected[column]).abs() > bound
        off |= rows[column].isna() != expected[column].isna()
        moved = expected[off].assign(now=rows.loc[off, column])
        assert moved.empty, (
            f"{len(moved)} of {column} moved:\n{moved[[*KEYS, column, 'now']].head(9).to_string()}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", help="results.parquet of a tiny book")
    parser.add_argument("--write", action="store_true", help="make it the reference")
    given = parser.parse_args()
    results = pd.read_parquet(given.table)
    if given.write:
        snapshots.write("tiny", reduced(results))
    check(results)
