"""What result rows call a regularizer: ``corrected``, ``as_released,labels=aligned``, ``corrected,words=random``, ``none``."""

import ast
import re
from dataclasses import dataclass
from typing import Any

from fairnc_utils.errors import FairNCError, brief

#: What a label may begin with.
PRESETS = ("none", "corrected", "as_released")

#: What a label is made of; words may be those of a file, whose name may hold any sign.
_FORM = re.compile(
    rf"(?P<preset>{'|'.join(PRESETS)})(?P<changes>(?:,(?!words=|frozen=)\w+=[^,=]+)*)"
    r"(?:,words=(?P<words>.+?))?(?:,frozen=(?P<frozen>\w+))?"
)


@dataclass(frozen=True)
class RegularizerLabel:
    """A regularizer as the column ``regularizer`` of the rows names it; ``str`` gives that text, ``parse`` reads it.

    ``preset``: ``none``, ``corrected`` or ``as_released``; ``changes``: NC3 options that differ from the preset's, as pairs of
    option and value; ``words``: the list that NC3 is trained on, None: the preset's usual one; ``frozen``: ``embeddings``
    where those of the words are not trained.
    """

    preset: str
    changes: tuple[tuple[str, Any], ...] = ()
    words: str | None = None
    frozen: str | None = None

    def __str__(self) -> str:
        pairs = [*self.changes, ("words", self.words), ("frozen", self.frozen)]
        return ",".join(
            [self.preset, *(f"{key}={value}" for key, value in pairs if value is not None)]
        )

    @classmethod
    def parse(cls, text: str) -> "RegularizerLabel":
        """The label of a row. Raises ``FairNCError`` for a text that is none."""
        match = _FORM.fullmatch(text)
        if not match:
            raise FairNCError(
                f"regularizer {brief(text)} is no label: write {', '.join(PRESETS)}, and behind it option=value after commas"
            )
        pairs = (part.split("=") for part in match["changes"].split(",")[1:])
        changes = tuple((option, _value(value)) for option, value in pairs)
        return cls(match["preset"], changes, match["words"], match["frozen"])

    @property
    def usual_words(self) -> str:
        """The list that NC3 is trained on unless another is named: the method's own as released, else the gender words."""
        return "released" if self.preset == "as_released" else "gender"


def _value(text: str) -> Any:
    """A truth value or a number as such, everything else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
