"""What has a name on the command line, as tables or as one JSON object a thing."""

import dataclasses
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fairnc_utils import catalog
from fairnc_utils._registry import Entry, Registry
from fairnc_utils.errors import FairNCError, FairNCWarning

#: What can be listed → its tables, one after the other; and what a name may be beside those that are listed.
TABLES: dict[str, tuple[tuple[Mapping, ...], str]] = {
    "benchmarks": ((catalog.BENCHMARKS,), ""),
    "words": (
        (catalog.AXES, catalog.CONTROLS, catalog.RELEASED),
        "or a .csv file with the columns word and group",
    ),
    "methods": ((catalog.METHODS, catalog.EDITS), "or base: nothing is trained"),
    "tasks": ((catalog.TASKS,), ""),
    "corpora": (
        (catalog.CORPORA,),
        "or a .txt file (a text a line), a .jsonl file (field text), a folder saved by datasets, a hub dataset",
    ),
    "models": ((catalog.MODELS,), "or a folder, or another hub name (name@revision)"),
}


def shown(whats: Sequence[str], *, as_json: bool) -> str:
    """The things of the given lists: a table each, from what is known without importing them, or as
    JSON with details.
    """
    if as_json:
        return "\n".join(
            json.dumps(row, ensure_ascii=False) for what in whats for row in _rows(what)
        )
    return "\n\n".join(_table(what, title=len(whats) > 1) for what in whats)


def _entries(table: Mapping) -> dict[str, Entry]:
    return table.entries if isinstance(table, Registry) else dict(table)


def _table(what: str, *, title: bool) -> str:
    tables, beside = TABLES[what]
    rows = [("name", "models", "data", "what it is")]
    for table in tables:
        rows += [
            (name, " ".join(entry.kinds), " ".join(entry.data), entry.line + _also(table, name))
            for name, entry in _entries(table).items()
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([what.upper()] * title + lines + [beside] * bool(beside))


def _aliases(table: Mapping, name: str) -> list[str]:
    """Short names of one thing."""
    aliases = table.aliases if isinstance(table, Registry) else {}
    return [alias for alias, of in aliases.items() if of == name]


def _also(table: Mapping, name: str) -> str:
    aliases = _aliases(table, name)
    return f" (short: {', '.join(aliases)})" if aliases else ""


def _rows(what: str) -> Iterator[dict]:
    for table in TABLES[what][0]:
        for name, entry in _entries(table).items():
            described = {
                key: value for key, value in dataclasses.asdict(entry).items() if key != "place"
            }
            if aliases := _aliases(table, name):
                described["aliases"] = aliases
            details = _details(table, name) if isinstance(table, Registry) else {}
            yield {"list": what, "name": name} | described | details


def _details(table: Registry, name: str) -> dict:
    """What the thing itself says; nothing, and a warning, where it cannot be loaded or its data
    cannot be had.
    """
    try:
        thing = table[name]
        if dataclasses.is_dataclass(thing):
            return _plain(thing)
        return {"groups": dict(Counter(group for _, group in thing()))}  # a word list
    except FairNCError as error:
        warnings.warn(str(error), FairNCWarning, stacklevel=2)
        return {}


def _plain(thing) -> dict:
    """The fields of a description that are text or numbers; of a mapping of functions, its keys."""
    row = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if dataclasses.is_dataclass(value):
            row[field.name] = dataclasses.asdict(value)
        elif isinstance(value, Mapping):
            row[field.name] = list(value)
        elif isinstance(value, str | int | float | tuple):
            row[field.name] = value
    return row
