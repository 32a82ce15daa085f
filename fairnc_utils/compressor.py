"""What a model is compressed by: ``rtn4``, ``prune@0.3``, ``layers@4,embeddings`` … as options and rows
name it.
"""

import math
import re
from dataclasses import dataclass

from fairnc_utils.errors import FairNCError, brief

#: Name → what it does, and what its level is, where it has one.
COMPRESSORS = {
    "int8": ("weights to 8 bits a matrix, inputs to 8 bits a token", ""),
    "int16": ("weights rounded to 16 bits a row: a control that must change nothing", ""),
    "rtn4": ("weights rounded to 4 bits a row", ""),
    "rtn3": ("weights rounded to 3 bits a row", ""),
    "rtn2": ("weights rounded to 2 bits a row", ""),
    "fp4": ("weights rounded to the 4-bit floating-point grid E2M1, scaled a row", ""),
    "ternary": ("weights to −a, 0 or a of each matrix", ""),
    "split2": ("three clusters of weights a matrix, 2 bits each", ""),
    "prune": ("smallest weights of the whole model set to 0", "share"),
    "prune_rows": ("smallest weights of each row set to 0", "share"),
    "heads": ("attention heads off that the loss misses least", "share"),
    "layers": ("later layers left out", "count"),
    "noise": ("Gaussian noise on weights, in root mean squares of the matrix: a control", "size"),
}

#: What is compressed: the weights of all layers; these and the word embeddings; the embeddings of gender words alone.
WEIGHTS, EMBEDDINGS, GENDER = "weights", "embeddings", "gender"
PARTS = (WEIGHTS, EMBEDDINGS, GENDER)

#: Those that act on rows or matrices by themselves, and so on embeddings too.
ON_EMBEDDINGS = frozenset(COMPRESSORS) - {"int8", "heads", "layers"}

_FORM = re.compile(r"(?P<name>\w+?)(?:@(?P<level>[\d.]+))?(?:,(?P<part>embeddings|gender))?")


@dataclass(frozen=True)
class Compressor:
    """A compressor at a level; ``str`` gives the text that rows have, ``parse`` reads it.

    ``name``: one of ``COMPRESSORS``; ``level``: the share of weights or heads that go, the layers that
    stay, the size of the noise; None where it has none; ``part``: one of ``PARTS``. Raises ``FairNCError``
    for a level that is missing, idle or impossible, and for a part that it cannot compress.
    """

    name: str
    level: float | None = None
    part: str = WEIGHTS

    def __post_init__(self) -> None:
        if self.name not in COMPRESSORS:
            raise FairNCError(
                f"compressor {brief(self.name)}: choose {', '.join(map(_form, COMPRESSORS))}"
            )
        if not _admits(COMPRESSORS[self.name][1], self.level):
            raise FairNCError(f"compressor {self}: write {_form(self.name)}")
        if self.part != WEIGHTS and self.name not in ON_EMBEDDINGS:
            raise FairNCError(f"compressor {self}: {self.name} does not take {self.part}")

    def __str__(self) -> str:
        level = "" if self.level is None else f"@{self.level:g}"
        return self.name + level + (f",{self.part}" if self.part != WEIGHTS else "")

    @classmethod
    def parse(cls, text: str) -> "Compressor":
        """The compressor that a text names. Raises ``FairNCError`` for one that names none."""
        match = _FORM.fullmatch(text)
        if not match:
            raise FairNCError(
                f"compressor {brief(text)}: write one of {', '.join(map(_form, COMPRESSORS))}, and behind it "
                f",{EMBEDDINGS} or ,{GENDER}"
            )
        level = None if match["level"] is None else _number(match["level"])
        return cls(match["name"], level, match["part"] or WEIGHTS)

    @property
    def is_drawn(self) -> bool:
        """Whether it differs by seed."""
        return self.name == "noise"

    @property
    def keeps_inputs(self) -> bool:
        """Whether it changes nothing but weights, so that the model can be saved with them."""
        return self.name != "int8"


def split_method(method: str) -> tuple[str, Compressor | None]:
    """Method and compressor that the column ``method`` of a row names: ``bec+rtn4`` → ``bec``, 4 bits."""
    name, plus, label = method.partition("+")
    return name, Compressor.parse(label) if plus else None


def joined(method: str, compressor: Compressor | None) -> str:
    """What the column ``method`` of a row says of a method and what came after it."""
    return method if compressor is None else f"{method}+{compressor}"


def _form(name: str) -> str:
    """How it is written, with the range of its level."""
    ranges = {"": "", "share": "@0.3 (a share from 0 to 1)", "count": "@4 (a number of layers)"}
    return name + ranges.get(COMPRESSORS[name][1], "@0.1 (a size of 0 or more)")


def _admits(kind: str, level: float | None) -> bool:
    if not kind or level is None:
        return not kind and level is None
    ranges = {
        "share": 0 <= level < 1,
        "count": level >= 1 and level == int(level),
        "size": level >= 0,
    }
    return math.isfinite(level) and ranges[kind]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FairNCError(f"compressor: level {brief(text)} is no number") from None
