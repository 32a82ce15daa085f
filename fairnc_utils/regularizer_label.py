"""What result rows call a regularizer: ``repaired,kind=both,dose=0.3``,
``as_released,labels=aligned``, ``swap``, ``none``.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any

from fairnc_utils.errors import FairNCError, brief

#: What a label may begin with: nothing, NC3 in three editions, swap collapse.
PRESETS = ("none", "corrected", "repaired", "as_released", "swap")

#: Those that are NC3.
NC3_PRESETS = ("corrected", "repaired", "as_released")

#: What a label is made of; words may be those of a file, whose name may hold any sign.
_FORM = re.compile(
    rf"(?P<preset>{'|'.join(PRESETS)})(?P<changes>(?:,(?!dose=|words=|frozen=)\w+=[^,=]+)*)"
    r"(?:,dose=(?P<dose>[\d.e+-]+))?(?:,words=(?P<words>.+?))?(?:,frozen=(?P<frozen>\w+))?"
)


@dataclass(frozen=True)
class RegularizerLabel:
    """A regularizer as the column ``regularizer`` of the rows names it; ``str`` gives that text,
    ``parse`` reads it.

    ``preset``: one of ``PRESETS``; ``changes``: options that differ from the preset's, as pairs of
    option and value; ``words``: the list that NC3 is trained on, None: the preset's usual one;
    ``frozen``: ``embeddings`` where those of the words are not trained; ``dose``: see
    ``fairnc_utils.dose``, None: the weight itself was given.
    """

    preset: str
    changes: tuple[tuple[str, Any], ...] = ()
    words: str | None = None
    frozen: str | None = None
    dose: float | None = None

    def __str__(self) -> str:
        pairs = [
            *self.changes,
            ("dose", self.dose if self.dose is None else f"{self.dose:g}"),
            ("words", self.words),
            ("frozen", self.frozen),
        ]
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
        dose = match["dose"] and float(match["dose"])
        return cls(match["preset"], changes, match["words"], match["frozen"], dose)

    @property
    def is_nc3(self) -> bool:
        """Whether it is NC3, in one of its editions."""
        return self.preset in NC3_PRESETS

    @property
    def kind(self) -> str:
        """What is minimized: ``uniform``, ``align`` or ``both`` (NC3), a form of swap collapse,
        ``none``.
        """
        usual = {"none": "none", "swap": "margin"}.get(self.preset, "uniform")
        return dict(self.changes).get("form" if self.preset == "swap" else "kind", usual)

    @property
    def usual_words(self) -> str | None:
        """The list that NC3 is trained on unless another is named: the method's own as released,
        else the gender words.
        """
        if not self.is_nc3:
            return None
        return "released" if self.preset == "as_released" else "gender"


def _value(text: str) -> Any:
    """A truth value or a number as such, everything else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
