"""The one error type that the package raises on bad input, its warning, and how messages name things."""

import difflib
import reprlib
from collections.abc import Iterable

_LONGEST = 1500  # characters of a message
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 100


class FairNCError(ValueError):
    """Bad input. The message is one sentence that names the input and the remedy, on one line
    whatever the input holds.
    """

    def __init__(self, message: str):
        message = " ".join(message.split())
        half = _LONGEST // 2
        super().__init__(
            message if len(message) <= _LONGEST else f"{message[:half]} … {message[-half:]}"
        )


class FairNCWarning(UserWarning):
    """What was asked for goes on, and something about it should be known, such as a plug-in that
    cannot be used.
    """


def listed(names: Iterable[str], *, otherwise: str = "") -> str:
    """*a*, *a and b*, *a, b and c*, each name once; ``otherwise`` where there is none."""
    *head, last = list(dict.fromkeys(names)) or [otherwise]
    return f"{', '.join(head)} and {last}" if head else last


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: ``; did you mean …?``, or nothing where no known one
    is like it.
    """
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {alike[0]}?" if alike else ""


def brief(value: object) -> str:
    """``repr`` of an input for a message, however large the input: the middle of a long one is left
    out.
    """
    return _BRIEF.repr(value)
