"""Concept bias: the gender of an occupation read off a model's geometry, with no test items.

Each occupation, and each of some words for women and men, has three concept vectors: of class means, of
embeddings and of sentences (``concepts``). The bias of an occupation is how much nearer its vector is to the
feminine words' than to the masculine ones'. What the model says of the occupation, the log-odds of *she* against
*he* (``occupations``), takes no part in it: ``follows_…`` is Spearman's correlation of the two over occupations, and
``follows_size_…`` that of their sizes, which is what BiasLens reports. ``agreement`` is Spearman's correlation of
the biases from means and from embeddings, ``agreement_gap`` their mean distance; where NC3c of these words is 1 they
are 1 and 0 (see ``concepts``), and never is the gap above ``agreement_bound``.

Sentences are short ones of BUG that name the word, each read with its gender-swapped copy, so that the pronouns
beside an occupation are in balance and what is read is the model's. Two splits differ: ``as_written`` has no
swapped copies, so that what is read is the sentences' too; ``neutral`` is a null, in which pairs of everyday words
stand where the feminine and masculine ones do.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache, partial

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import concepts, corpora, stats, swap, words
from fairnc_utils.benchmarks import occupations
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.definitional import NOUNS
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.concepts import SOURCES, States
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel, single_token_id

#: What a word is in the comparison.
ROLES = ("target", "feminine", "masculine")

#: Feminine/masculine words: the pronouns, and the nouns that the gender swap exchanges.
PAIRS = ("she/he", "her/his", *NOUNS["swapped"].split())

#: Sentences that are read for each word, and words of the longest.
SENTENCES, LONGEST = 50, 20


def load(split: str) -> datasets.Dataset:
    """One item a word: ``item_id``, ``axis``, ``word``, ``role`` (of ``ROLES``), ``pair`` (words with the
    same one leave together), ``share`` of women, NaN but for an occupation; ``balanced``: whether sentences are
    read with their swapped copies.
    """
    occupied = occupations.load("bls").to_pandas().drop_duplicates("occupation")
    items = [
        {"word": name, "role": "target", "pair": name, "share": share}
        for name, share in zip(occupied["occupation"], occupied["share"], strict=True)
    ]
    for pair in _neutral_pairs() if split == "neutral" else PAIRS:
        for word, role in zip(pair.split("/"), ROLES[1:], strict=True):
            items.append({"word": word, "role": role, "pair": pair, "share": np.nan})
    common = {"axis": "gender", "balanced": split != "as_written"}
    return datasets.Dataset.from_list(
        [common | item | {"item_id": f"{item['word']}:{item['role']}"} for item in items]
    )


def _neutral_pairs() -> list[str]:
    """As many pairs of everyday words as there are of gender, by the order of their hashes."""
    listed = sorted((word for word, _ in words.neutral_words()), key=_order)
    firsts, seconds = listed[: len(PAIRS)], listed[len(PAIRS) : 2 * len(PAIRS)]
    return [f"{first}/{second}" for first, second in zip(firsts, seconds, strict=True)]


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sentences(wanted: Iterable[str], number: int) -> list[str]:
    """For each word up to ``number`` sentences of BUG of at most ``LONGEST`` words that name it, by the
    order of their hashes, every sentence once.
    """
    by_word = _by_word(tuple(sorted(set(wanted))))
    return list(dict.fromkeys(text for texts in by_word.values() for text in texts[:number]))


@cache
def _by_word(wanted: tuple[str, ...]) -> dict[str, list[str]]:
    by_word: dict[str, list[str]] = {word: [] for word in wanted}
    for text in dict.fromkeys(corpora.load("bug")["text"]):
        named = text.lower().split()
        for word in by_word.keys() & set(named) if len(named) <= LONGEST else ():
            by_word[word].append(text)
    return {word: sorted(texts, key=_order) for word, texts in by_word.items()}


# ---------------------------------------------------------------- scores


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """At the last layer: see ``by_layer``."""
    return by_layer(lm, items, number=SENTENCES, every_layer=False)[0]


def by_layer(
    lm: LanguageModel, items: datasets.Dataset, *, number: int = SENTENCES, every_layer: bool = True
) -> list[pd.DataFrame]:
    """Rows at each layer, or at the last alone; ``number``: sentences a word.

    ``<word>:bias`` of an occupation: ``score_a`` by means, ``score_b`` by embeddings, ``score_c`` by sentences;
    ``<word>:said``: ``score_a`` mean log-odds of she against he, ``score_b`` share of women. ``<word>:<role>`` of each
    word that takes part: ``score_a`` cosine of its class mean and row, ``score_b`` occurrences, ``score_c`` held-out
    accuracy of its vector of sentences. Words that are several tokens, or that are seen too seldom, take no part, nor
    do their pairs. Raises ``FairNCError`` where a role has no word left.
    """
    table = items.to_pandas().drop_duplicates("word")
    table["token"] = [single_token_id(lm.tokenizer, word) for word in table["word"]]
    table = table[table["token"].notna()].drop_duplicates("token").astype({"token": int})
    texts = sentences(table["word"], number)
    versions = [(text, swap.gender(text)) if all(table["balanced"]) else (text,) for text in texts]
    states = concepts.read(
        lm,
        [version for pair in versions for version in pair],
        table["token"].tolist(),
        owners=[place for place, pair in enumerate(versions) for _ in pair],
        every_layer=every_layer,
    )
    used = table.iloc[_taking_part(table, states[0].seen())]
    if missing := [role for role in ROLES if role not in set(used["role"])]:
        raise FairNCError(
            f"{lm.name}: no {missing[0]} word is one token and is seen {concepts.MIN_COUNT} times in {len(texts)} "
            "sentences; read more of them, or another model"
        )
    places = {token: place for place, token in enumerate(table["token"])}
    used = used.assign(place=[places[token] for token in used["token"]])
    said = _said(lm, used)
    return [pd.concat([_rows(lm, of_layer, used), said], ignore_index=True) for of_layer in states]


def _taking_part(table: pd.DataFrame, seen: Sequence[int]) -> np.ndarray:
    """Places of the words that are seen, and whose partner is too."""
    alone = table["role"].to_numpy() == "target"
    there = np.isin(np.arange(len(table)), list(seen))
    whole = table["pair"].map(table["pair"][there].value_counts()).fillna(0).to_numpy() == 2
    return np.flatnonzero(there & (alone | whole))


def _rows(lm: LanguageModel, states: States, used: pd.DataFrame) -> pd.DataFrame:
    of_role = {role: np.flatnonzero(used["role"] == role).tolist() for role in ROLES}
    places = used["place"].tolist()
    found = concepts.vectors(states, lm.weight, places)
    biases = [concepts.bias(found[source], *of_role.values()).numpy() for source in SOURCES]
    targets = used["word"].to_numpy()[of_role["target"]]
    columns = dict(zip(("score_a", "score_b", "score_c"), biases, strict=True))
    read_off = pd.DataFrame({"unit": targets, "item_id": targets + ":bias"} | columns)
    of_words = pd.DataFrame(
        {
            "unit": used["word"].to_numpy(),
            "item_id": (used["word"] + ":" + used["role"]).to_numpy(),
            "score_a": concepts.cosines(states, lm.weight, places).numpy(),
            "score_b": states.statistics.counts.cpu().numpy()[places],
            "score_c": [concepts.held_out_accuracy(states, place) for place in places],
        }
    )
    return pd.concat([read_off, of_words], ignore_index=True).assign(axis="gender")


def _said(lm: LanguageModel, used: pd.DataFrame) -> pd.DataFrame:
    """What the model says of the occupations that take part."""
    items = occupations.load("bls").to_pandas()
    items = items[items["occupation"].isin(used.loc[used["role"] == "target", "word"])]
    asked = pronoun_rows(
        lm, items["sentence"].tolist(), description="occupations", unit=items["occupation"].tolist()
    )
    odds = (asked["score_a"] - asked["score_b"]).groupby(asked["unit"], sort=False).mean()
    share = items.drop_duplicates("occupation").set_index("occupation")["share"]
    return pd.DataFrame(
        {"unit": odds.index, "item_id": odds.index + ":said", "score_a": odds.to_numpy()}
    ).assign(score_b=share.reindex(odds.index).to_numpy(), score_c=np.nan, axis="gender")


# ---------------------------------------------------------------- statistics


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an occupation: its bias by each source, the ``log_odds`` and the ``share`` of women."""
    part = rows["item_id"].str.rpartition(":")[2]
    columns = ["score_a", "score_b", "score_c"]
    biases = rows[part == "bias"].set_index("unit")[columns].set_axis(list(SOURCES), axis=1)
    said = rows[part == "said"].set_index("unit")[columns[:2]]
    return biases.join(said.set_axis(["log_odds", "share"], axis=1)).sort_index()


def spearman(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Spearman's correlation over occupations; NaN where either is constant."""
    return stats.correlation(x, y, axis, ranked=True)


def of_sizes(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """The same of the sizes, signs left out."""
    return spearman(np.abs(x), np.abs(y), axis)


def distance(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Mean distance."""
    return np.mean(np.abs(x - y), axis=axis)


def size(x: np.ndarray, axis: int) -> np.ndarray:
    """Mean size."""
    return np.mean(np.abs(x), axis=axis)


def extras(rows: pd.DataFrame) -> dict[str, stats.Estimate]:
    """``nc3c`` of the words that take part, ``agreement_bound`` as their cosines give it, held-out
    accuracy of the vectors of sentences in percent, and the number of ``words``.
    """
    role = rows["item_id"].str.rpartition(":")[2]
    of_words = rows[role.isin(ROLES)]
    by_role = [of_words.loc[role == name, "score_a"].to_numpy() for name in ROLES]
    plain = partial(stats.Estimate, ci_low=np.nan, ci_high=np.nan, n=len(of_words))
    return {
        "nc3c": plain(float(of_words["score_a"].mean())),
        "agreement_bound": plain(concepts.bound(*by_role)),
        "cav_accuracy": plain(100 * float(of_words["score_c"].mean())),
    }


CONCEPT_BIAS = Benchmark(
    name="concept_bias",
    splits=("as_written", "neutral", "gender"),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={
        "agreement": (("means", "embeddings"), spearman),
        "agreement_gap": (("means", "embeddings"), distance),
    }
    | {f"follows_{source}": ((source, "log_odds"), spearman) for source in SOURCES}
    | {f"follows_size_{source}": ((source, "log_odds"), of_sizes) for source in SOURCES}
    | {f"concept_bias_{source}": ((source,), size) for source in SOURCES},
    kinds=("masked", "causal"),
    extras=extras,
    measures="How near an occupation's concept vector is to feminine and to masculine words, from class means, embeddings or "
    "sentences, and whether that is what the model says of it.",
    limits="Occupations that are one token and stand in BUG: fewer than half of the list in most vocabularies. BUG's sentences "
    "are short and picked by syntax. A sentence is the mean of its tokens here, where BiasLens takes the last one.",
    source="gao2025biaslens",
)
