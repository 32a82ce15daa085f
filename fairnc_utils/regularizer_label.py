"""What result rows call a regularizer: ``corrected``, ``as_released,labels=aligned``, ``corrected,words=random``, ``none``."""

import ast
from dataclasses import dataclass
from typing import Any

from fairnc_utils.errors import FairNCError, brief

#: What a label may begin with.
PRESETS = ("none", "corrected", "as_released")


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
        preset, *parts = text.split(",")
        pairs = [tuple(part.split("=")) for part in parts]
        if preset not in PRESETS or any(len(pair) != 2 for pair in pairs):
            raise FairNCError(
                f"regularizer {brief(text)} is no label: write {', '.join(PRESETS)}, and behind it option=value after commas"
            )
        changes = dict(pairs)
        words, frozen = changes.pop("words", None), changes.pop("frozen", None)
        return cls(
            preset, tuple((key, _value(text)) for key, text in changes.items()), words, frozen
        )

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
