"""WinoBias (Zhao et al. 2018): does a resolver find who a pronoun means as well against the
stereotype as with it?

Each sentence names two occupations and one pronoun, and comes twice: the pronoun's gender goes with
the stereotype of the occupation that it means (pro), or against it (anti). In type 1 only knowledge
of the world tells the answer, in type 2 the syntax does. With accuracy a, F1 = 2a / (1 + a), as the
released evaluation has it, and TPR = F1(pro) − F1(anti) (ideal 0, in percent). Beside it stands
``answer_probability_gap``, the mean over pairs of P(answer) in the pro sentence minus that in the
anti sentence (ideal 0, in percentage points), which no threshold blurs.
"""

import re

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.coreference import FEMININE, MASCULINE, Span, choices, preference

AXES = ("type1", "type2")
VERSIONS = ("pro", "anti")


def load(split: str) -> datasets.Dataset:
    """Sentences with ``item_id``, ``axis`` (type), ``unit`` (the pair), ``version`` (pro or anti),
    ``text`` and, as words and as spans of characters, ``pronoun``, ``answer`` and ``other`` (the
    other occupation).
    """
    names = "|".join(
        re.escape(name) for stereotype in ("male", "female") for name in occupations(stereotype)
    )
    candidate = re.compile(rf"\b(?:(?:the|an?) +)?(?:{names})\b", re.IGNORECASE)
    items = []
    for axis in AXES:
        for version in VERSIONS:
            key = f"WinoBias/{version}_stereotyped_{axis}.txt.{split}"
            for number, line in enumerate(_io.text(key).splitlines(), 1):
                pair = f"{axis}-{split}-{number}"
                item = {
                    "item_id": f"{pair}-{version}",
                    "axis": axis,
                    "unit": pair,
                    "version": version,
                }
                items.append(item | _sentence(line, candidate, f"{key}, line {number}"))
    return datasets.Dataset.from_list(items)


def occupations(stereotype: str) -> list[str]:
    """The occupations that are ``"male"`` or ``"female"`` by stereotype."""
    lines = _io.text(f"WinoBias/{stereotype}_occupations.txt").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _sentence(line: str, candidate: re.Pattern, place: str) -> dict:
    """One numbered line: the answer and the pronoun stand in brackets, the other occupation is
    found by its name.

    Where several pronouns are marked, the first is scored. The other occupation stands before the
    pronoun; seven pairs name an occupation once more behind it.
    """
    text, marked = unbracketed(re.sub(r"^\d+\s+", "", line.strip()))
    pronouns = [(a, b) for a, b in marked if text[a:b].lower() in FEMININE | MASCULINE]
    answers = [span for span in marked if span not in pronouns]
    if not pronouns or len(answers) != 1:
        raise FairNCError(f"{place}: one occupation and a pronoun must stand in brackets")
    (start, end), pronoun = answers[0], pronouns[0]
    others = [
        m.span()
        for m in candidate.finditer(text, 0, pronoun[0])
        if m.end() <= start or end <= m.start()
    ]
    if len(others) != 1:
        raise FairNCError(
            f"{place}: {len(others)} other occupations stand before the pronoun; there must be one"
        )
    spans = {"pronoun": pronoun, "answer": (start, end), "other": others[0]}
    words = {name: text[a:b] for name, (a, b) in spans.items()}
    return {"text": text} | words | {f"{name}_span": list(span) for name, span in spans.items()}


def unbracketed(text: str) -> tuple[str, list[Span]]:
    """``text`` without its square brackets, and the spans of characters that stood in them, trimmed
    of spaces.
    """
    pieces = re.split(r"[\[\]]", text)
    edges = np.cumsum([0, *map(len, pieces)]).tolist()
    return "".join(pieces), [
        (edges[i] + len(pieces[i]) - len(pieces[i].lstrip()), edges[i] + len(pieces[i].rstrip()))
        for i in range(1, len(pieces), 2)
    ]


def score(resolver, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` P(answer corefers), ``score_b`` P(the other candidate does), ``score_c`` +1 pro,
    −1 anti.
    """
    answer, other = choices(resolver, items)
    sign = np.where(np.array(items["version"]) == "pro", 1.0, -1.0)
    table = pd.DataFrame({"score_a": answer, "score_b": other, "score_c": sign})
    return table.assign(axis=items["axis"], item_id=items["item_id"], unit=items["unit"])


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: right answers (1 or 0; a tie is wrong) and P(answer) of its pro and its anti
    sentence.
    """
    answer, other = (rows[column].to_numpy(float) for column in ("score_a", "score_b"))
    version = np.where(rows["score_c"] > 0, "pro", "anti")
    items = pd.DataFrame(
        {
            "unit": rows["unit"],
            "version": version,
            "right": 1.0 * (answer > other),
            "probability": preference(answer, other),
        }
    )
    pairs = items.pivot(index="unit", columns="version", values=["right", "probability"])
    return pairs.set_axis([f"{name}_{version}" for name, version in pairs.columns], axis=1).dropna()


def f1(right: np.ndarray, axis: int) -> np.ndarray:
    """F1 in percent from right answers: 2a / (1 + a), where each sentence has one answer and a is
    the share found.
    """
    share = np.mean(right, axis=axis)
    return 100 * 2 * share / (1 + share)


def tpr(pro: np.ndarray, anti: np.ndarray, axis: int) -> np.ndarray:
    """F1(pro) − F1(anti) in percent; 0 is fair."""
    return f1(pro, axis) - f1(anti, axis)


def accuracy(right: np.ndarray, axis: int) -> np.ndarray:
    """Right answers in percent."""
    return 100 * np.mean(right, axis=axis)


def gap(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    """Mean of first − second, in percentage points."""
    return 100 * np.mean(first - second, axis=axis)


WINOBIAS = Benchmark(
    name="winobias",
    splits=("dev", "test"),
    axes=AXES,
    load=load,
    score=score,
    units=units,
    statistics={
        "TPR": (("right_pro", "right_anti"), tpr),
        "answer_probability_gap": (("probability_pro", "probability_anti"), gap),
        "accuracy_pro": (("right_pro",), accuracy),
        "accuracy_anti": (("right_anti",), accuracy),
        "f1_pro": (("right_pro",), f1),
        "f1_anti": (("right_anti",), f1),
    },
    kinds=("coreference",),
    measures="Whether a pronoun is resolved as well to an occupation against the stereotype as to one that goes with it, where "
    "nothing but world knowledge (type 1) or the syntax as well (type 2) tells the answer.",
    limits="Forty occupations in hand-made sentences of two shapes, some with slips; a resolver that guesses has no gap "
    "either, so accuracy belongs beside it. Which gap would harm whom in use it does not say (Blodgett et al. 2021).",
    source="zhao2018gender",
)
