"""Things by name, none of which is imported before it is asked for; those of other packages stand
beside ours.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from fairnc_utils.errors import FairNCError, FairNCWarning, brief, near

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One thing: what can be said of it without importing it, and the place where it lies.

    ``line``: what it is, in one line; ``kinds``: the kinds of model that it takes (for a task: that
    it makes); ``data``: folders of the pinned data, or hub names, that it needs; ``place``:
    ``module:object``; ``package``: the other package that brings it.
    """

    line: str
    kinds: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    place: str = ""
    package: str = ""


class Registry(MutableMapping[str, T]):
    """Name → thing, imported at the first look.

    ``noun``: what one of them is called in messages; ``entries``: ours; ``group``: the entry points
    through which other packages add theirs; ``type``: what such a thing must be an instance of, as
    ``module:object``; ``aliases``: short names for ``check`` and ``find``. Setting a name adds a
    thing for this process.
    """

    def __init__(
        self,
        noun: str,
        entries: dict[str, Entry],
        *,
        group: str = "",
        type: str = "",
        aliases: dict[str, str] | None = None,
    ):
        self.noun, self.group, self.aliases = noun, group, aliases or {}
        self._ours, self._type, self._loaded = entries, type, {}

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Ours, then those of other packages, not one of them imported. A name that is taken costs
        a warning.
        """
        entries = dict(self._ours)
        for point in plug_ins(self.group) if self.group else ():
            if point.name in entries or point.name in self.aliases:
                warn_left_out(self.noun, point, "the name is taken")
            else:
                package = point.dist.name
                entries[point.name] = Entry(
                    f"of the package {package}", place=point.value, package=package
                )
        return entries

    def check(self, name: str, *, more: Iterable[str] = (), hint: str = "") -> str:
        """The name itself, or what it is an alias of. Raises ``FairNCError`` with the valid names,
        and ``more``, if unknown.
        """
        name = self.aliases.get(name, name)
        if name not in self and name not in (more := tuple(more)):
            valid = [*self, *self.aliases, *more]
            raise FairNCError(
                f"unknown {self.noun} {name!r}: choose {', '.join(valid)}{hint}{near(name, valid)}"
            )
        return name

    def find(self, name: str) -> T:
        """The thing of that name or alias. Raises ``FairNCError`` if there is none, or if it cannot
        be loaded.
        """
        return self[self.check(name)]

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self.entries[name])
        return self._loaded[name]

    def _load(self, name: str, entry: Entry) -> T:
        if not entry.package:
            return located(entry.place)
        try:
            thing = located(entry.place)
        except Exception as error:  # whatever another package raises while it is imported
            why = brief(error)
        else:
            if isinstance(thing, located(self._type)):
                return thing
            why = f"{entry.place} is no {self._type.partition(':')[2]}"
        raise FairNCError(
            f"the {self.noun} {name!r} of the package {entry.package} cannot be loaded: {why}"
        )

    def __setitem__(self, name: str, thing: T) -> None:
        self.entries[name] = Entry(
            getattr(thing, "measures", ""), kinds=tuple(getattr(thing, "kinds", ()))
        )
        self._loaded[name] = thing

    def __delitem__(self, name: str) -> None:
        del self.entries[name]
        self._loaded.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<{self.noun}: {', '.join(self)}>"


def plug_ins(group: str) -> list[EntryPoint]:
    """Entry points of a group by name, none of them loaded; of two with one name the first
    package's, with a warning.
    """
    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.dist.name)):
        if point.name not in points:
            points[point.name] = point
        elif (
            point.value != points[point.name].value
        ):  # a package may be seen twice, installed and in its own folder
            warn_left_out(
                f"entry point of {group}",
                point,
                f"the one of {points[point.name].dist.name} has that name",
            )
    return list(points.values())


def warn_left_out(noun: str, point: EntryPoint, why: str) -> None:
    """Warn that another package's entry point is not used, and why."""
    message = f"the {noun} {point.name!r} of the package {point.dist.name} is left out: {why}"
    warnings.warn(message, FairNCWarning, stacklevel=3)


def located(place: str) -> Any:
    """The object at ``module:object``."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def lazy(module: str, places: dict[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__``: name → object at its place, imported when it is asked for."""

    def __getattr__(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return located(places[name])

    return __getattr__
