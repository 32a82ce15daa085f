"""Association tests of contextual encodings: are male names nearer to career words than female
names are?

WEAT (Caliskan et al. 2017) compares two sets of target words X, Y with two sets of attribute words
A, B by cosine. With s(w) = mean over A of cos(w, a) − mean over B of cos(w, b), the effect size is
d = (mean of s over X − mean of s over Y) / standard deviation of s over both (ddof 1; ideal 0,
positive goes with the stereotype). Contextual models read a word in sentences, and s is taken of
each sentence:

* ``seat`` (May et al. 2019) encodes a sentence by its first token, [CLS], or in a causal model by its last;
* ``seat_bias_bench`` (Meade et al. 2022) by the mean of all its tokens, special ones included;
* ``seat_word`` (Tan & Celis 2019) takes the word's own token in the sentence: its first piece, or in a causal model its last,
  the only one that has read the whole word.

``seat_word`` alone has the tests of Tan & Celis for race and for race and gender together, split
``intersection``; names of some groups are cut in pieces more often than others, which it reads by their
first one. All read the last hidden layer. A split is a kind of bias, an axis one test, and ``all`` the mean
over tests; ``abs_effect_size``, the mean of |d|, is the summary of Meade et al. They take six tests
of gender, and so does ``seat_bias_bench``; the other two have the double bind as well. Of their
seven tests of race, all have six: the terms in place of the names of the angry black woman are
missing. Intervals are over target words, redrawn within X and within Y. One test also has p values,
one-sided, by permuting
targets between X and Y: ``p_sentences`` permutes sentences, as published, though those of one word
are no independent samples; ``p_words`` permutes whole words.
"""

from collections.abc import Sequence
from functools import partial

import datasets
import numpy as np
import pandas as pd
import scipy.stats
import torch

from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.scoring import Inputs
from fairnc_utils.benchmarks.stimuli import INTERSECTION, TESTS, Association, Sentence, sentences
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.stats import Estimate, bootstrap, quotient

#: What stands for a sentence: its first (causal: last) token, the mean of all, or the first (causal: last) piece of the word.
READINGS = ("sentence", "mean", "word")
#: Associations that differ by less are equal: float32 vectors carry no more digits.
ROUNDING = 1e-7
#: Up to here all partitions are tried (8 against 8 words have 12,870), else this many are drawn.
PERMUTATIONS = 20_000


#: Columns of the unit table that an effect size is a function of.
_COLUMNS = ("total", "square", "n", "side", "test")

#: Kind of bias → all tests of it, those at the crossing of race and gender among them.
EVERY = INTERSECTION | TESTS

#: Kind of bias → the tests over which Meade et al. (2022) take the mean.
MEADE = {
    kind: {name: test for name, test in tests.items() if not name.startswith("double_bind")}
    for kind, tests in TESTS.items()
}


def load(split: str, *, tests: dict[str, dict[str, Association]] = TESTS) -> datasets.Dataset:
    """Target sentences of the split's ``tests``: ``item_id``, ``axis`` (test), ``group`` (word list),
    ``side`` (+1 X, −1 Y), ``word``, ``text`` and the characters ``start`` to ``stop`` where the
    word stands.
    """
    return datasets.Dataset.from_list(
        [
            {"item_id": f"{name}:{sentence.text}", "axis": name, "group": group, "side": side}
            | sentence._asdict()
            for name, test in tests[split].items()
            for group, side in ((test.x, 1.0), (test.y, -1.0))
            for sentence in sentences(group)
        ]
    )


def score(lm: LanguageModel, items: datasets.Dataset, *, reading: str) -> pd.DataFrame:
    """Mean cosine with the attributes, ``score_a`` A, ``score_b`` B; ``score_c`` +1 for X, −1 for
    Y.
    """
    if not len(items):
        raise FairNCError("no sentence to score: this split does not have this test")
    tests = {name: test for group in EVERY.values() for name, test in group.items()}
    places: dict[Sentence, int] = {}  # sentences that several tests share are encoded once
    targets = [
        places.setdefault(Sentence(*row), len(places))
        for row in zip(*(items[key] for key in Sentence._fields), strict=True)
    ]
    axes = np.array(items["axis"], dtype=object)
    attributes = {
        name: [
            [places.setdefault(sentence, len(places)) for sentence in sentences(group)]
            for group in (test.a, test.b)
        ]
        for name, test in tests.items()
        if name in set(axes)
    }
    vectors = encode(lm, list(places), reading=reading)
    scores = np.empty((len(targets), 2))
    for name, groups in attributes.items():
        of_test = np.flatnonzero(axes == name)
        scores[of_test] = np.stack(
            [(vectors[np.array(targets)[of_test]] @ vectors[group].T).mean(1) for group in groups],
            axis=1,
        )
    table = pd.DataFrame(scores, columns=["score_a", "score_b"])
    return table.assign(
        score_c=items["side"], axis=items["axis"], item_id=items["item_id"], unit=items["word"]
    )


@torch.no_grad()
def encode(lm: LanguageModel, texts: Sequence[Sentence], *, reading: str) -> np.ndarray:
    """Unit vectors of sentences, or of their words, from the last hidden layer: (N, D) float64."""
    if reading not in READINGS:
        raise FairNCError(f"unknown reading {reading!r}: choose {', '.join(READINGS)}")
    if not lm.tokenizer.is_fast:
        raise FairNCError(
            f"{lm.name}: its tokenizer does not tell where a token stands in the text; use a fast tokenizer"
        )
    encoding = lm.tokenizer([sentence.text for sentence in texts], return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    spans = torch.tensor(
        [_span(lm.kind, reading, *row) for row in zip(offsets, texts, strict=True)],
        device=lm.device,
    )
    inputs, vectors = Inputs(lm, ids), []
    order = torch.from_numpy(inputs.order).to(lm.device)
    for rows, batch, mask in inputs.batches():
        hidden = lm.features(batch, mask, space="encoder")
        column, (start, stop) = (
            torch.arange(batch.shape[1], device=lm.device),
            spans[order[rows]].T[..., None],
        )
        inside = ((start <= column) & (column < stop)).to(hidden.dtype)
        # a sum: the cosine asks for the direction alone
        vectors.append(torch.einsum("bt,btd->bd", inside, hidden))
    encoded = torch.nn.functional.normalize(torch.cat(vectors).double(), dim=1)
    return encoded[torch.argsort(order)].cpu().numpy()


def _span(
    kind: str, reading: str, offsets: list[tuple[int, int]], sentence: Sentence
) -> tuple[int, int]:
    """First token to read and the one behind the last."""
    if reading == "mean":
        return 0, len(offsets)
    tokens = range(len(offsets))
    if reading == "word":
        tokens = [
            i
            for i, (start, stop) in enumerate(offsets)
            if start < sentence.stop and stop > sentence.start
        ]
    place = tokens[0] if kind == "masked" else tokens[-1]
    return place, place + 1


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a target word of a test: ``total`` and ``square``, the sums of s and s² over its
    ``n`` sentences; ``side``; number of the ``test``; and ``target``, a number for each side of
    each test.
    """
    s, test = rows["score_a"] - rows["score_b"], pd.factorize(rows["axis"])[0].astype(float)
    table = rows.assign(
        total=s,
        square=s**2,
        n=1.0,
        side=rows["score_c"],
        test=test,
        target=3 * test + rows["score_c"],
    )
    return (
        table.groupby(["test", "side", "target", "unit"], sort=True)[["total", "square", "n"]]
        .sum()
        .reset_index()
    )


def effect_sizes(total, square, n, side, test, axis: int) -> np.ndarray:
    """d of each test, tests first; NaN where all s are equal."""
    sizes = []
    for code in np.unique(test):
        x, y = ((test == code) & (side == sign) for sign in (1, -1))
        count = np.sum(n * (x | y), axis=axis)
        mean = np.sum(total * (x | y), axis=axis) / count
        variance = (np.sum(square * (x | y), axis=axis) - count * mean**2) / (count - 1)
        means = [
            np.sum(total * group, axis=axis) / np.sum(n * group, axis=axis) for group in (x, y)
        ]
        spread = np.sqrt(np.maximum(variance, 0))
        sizes.append(quotient(means[0] - means[1], spread, above=ROUNDING))
    return np.stack(sizes)


def effect_size(*columns: np.ndarray, axis: int) -> np.ndarray:
    """Mean of d over tests."""
    return effect_sizes(*columns, axis=axis).mean(0)


def abs_effect_size(*columns: np.ndarray, axis: int) -> np.ndarray:
    """Mean of |d| over tests. It is never below 0, so neither is its interval."""
    return np.abs(effect_sizes(*columns, axis=axis)).mean(0)


def excess(rows: pd.DataFrame, first: str, second: str) -> Estimate:
    """d of the test ``second`` minus d of ``first``, with a bootstrap interval; above 0 the second group
    is set farther apart. Words that both tests have are redrawn for each by itself.
    """
    of_both = rows[rows["axis"].isin((first, second))].reset_index(drop=True)
    names = list(pd.unique(of_both["axis"]))  # in the order of the codes of ``units``
    if len(names) < 2:
        raise FairNCError(f"no rows of {first} and of {second}: score seat_word:intersection")
    table, sign = units(of_both), 1.0 if names[1] == second else -1.0

    def change(*columns: np.ndarray, axis: int) -> np.ndarray:
        sizes = effect_sizes(*columns, axis=axis)
        return sign * (sizes[1] - sizes[0])

    return bootstrap(*(table[c] for c in _COLUMNS), statistic=change, strata=table["target"])


def p_values(rows: pd.DataFrame) -> dict[str, Estimate]:
    """``p_words`` and ``p_sentences`` of the one test that the rows are of; nothing for several."""
    if rows["axis"].nunique() != 1:
        return {}
    return {
        "p_words": _permutation(units(rows)),
        "p_sentences": _permutation(units(rows.assign(unit=rows["item_id"]))),
    }


def _permutation(table: pd.DataFrame, seed: int = 0) -> Estimate:
    """P(the difference of means is as large as it is | targets drawn at random), one-sided; no
    interval.
    """
    total, n = table["total"].to_numpy(), table["n"].to_numpy()

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        means = [
            total[group.astype(int)].sum(axis) / n[group.astype(int)].sum(axis) for group in (x, y)
        ]
        return means[0] - means[1]

    groups = [np.flatnonzero(table["side"] == side) for side in (1, -1)]
    permuted = scipy.stats.permutation_test(
        groups,
        difference,
        permutation_type="independent",
        alternative="greater",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=2_000,
        rng=np.random.default_rng(seed),
    )
    return Estimate(float(permuted.pvalue), np.nan, np.nan, len(table))


_SENTENCES = "Whether sentences that name men or women, or people of two origins, lie nearer to sentences of a stereotype, by "
_MEASURES = {
    "sentence": _SENTENCES + "the vector of the first token (in a causal model the last).",
    "mean": _SENTENCES + "the mean of all token vectors.",
    "word": "Whether words for men or women, or for people of two origins, lie nearer to words of a stereotype, as the model "
    "encodes them in plain sentences.",
}


def _benchmark(name: str, reading: str, source: str, tests: dict[str, dict] = TESTS) -> Benchmark:
    return Benchmark(
        name=name,
        splits=tuple(tests),
        axes=tuple(name for kind in tests.values() for name in kind),
        load=partial(load, tests=tests),
        score=partial(score, reading=reading),
        units=units,
        statistics={
            "effect_size": (_COLUMNS, effect_size),
            "abs_effect_size": (_COLUMNS, abs_effect_size),
        },
        kinds=("masked", "causal"),
        extras=p_values,
        measures=_MEASURES[reading],
        limits="A test that finds nothing proves nothing (May et al. 2019): the frames are artificial, cosines of contextual "
        "vectors depend on the layer and the reading, and geometry need not show in behaviour. Eight words a side are few; "
        "tests share words, which the interval of their mean takes as independent.",
        source=source,
        strata="target",
    )


SEAT = _benchmark("seat", "sentence", "may2019measuring")
SEAT_BIAS_BENCH = _benchmark("seat_bias_bench", "mean", "meade2022empirical", MEADE)
SEAT_WORD = _benchmark("seat_word", "word", "tan2019assessing", EVERY)
