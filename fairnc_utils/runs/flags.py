"""The flags of a schema: a field is a flag, its description the help, its checks the checks."""

import argparse
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fairnc_utils.errors import FairNCError, near


class Parser(argparse.ArgumentParser):
    """A parser whose errors are a ``FairNCError`` of one line; an unknown option is told the known
    ones.
    """

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args=None, namespace=None):
        namespace, rest = super().parse_known_args(args, namespace)
        if rest:
            known = [
                name
                for action in self._actions
                for name in action.option_strings
                if name.startswith("--")
            ]
            hint = near(rest[0].partition("=")[0], known)
            raise FairNCError(f"unknown argument {rest[0]}; options are {', '.join(known)}{hint}")
        return namespace, rest

    def error(self, message: str):
        raise FairNCError(message)


def add(parser: argparse.ArgumentParser, schema: type[BaseModel], defaults: dict) -> None:
    """A flag for each field; ``defaults``: those of the command line that differ from the schema's."""
    for name, field in schema.model_fields.items():
        text = field.description + _shown_default(defaults.get(name, field.default))
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            default=argparse.SUPPRESS,  # so that the file's value stands
            help=text.replace("%", "%%"),
            **_form(_types(field.annotation)),
        )


def values(schema: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """The options that flags give, as a file would: ``none`` where nothing is a value, mappings as
    YAML has them.
    """
    return {name: _value(schema.model_fields[name], value, name) for name, value in given.items()}


def _types(annotation: Any) -> list:
    """The members of a union, without their constraints."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in _types(member)]
    return _types(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]


def _form(kinds: list) -> dict[str, Any]:
    if kinds == [bool]:
        return {"action": argparse.BooleanOptionalAction}
    several = [kind for kind in kinds if get_origin(kind) is tuple]
    (kind, *_) = _types(get_args(several[0])[0]) if several else kinds
    return {"metavar": _metavar(kind)} | ({"nargs": "+"} if several else {})


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"{{{','.join(get_args(kind))}}}"
    return {int: "N", float: "X", str: "NAME", Path: "PATH"}.get(kind, "YAML")


def _shown_default(default: Any) -> str:
    if default is None or default == () or not isinstance(default, str | int | float | tuple):
        return ""
    if isinstance(default, bool):
        return ""  # a flag that is not given
    return f" (default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"


def _value(field: FieldInfo, value: Any, name: str) -> Any:
    kinds = _types(field.annotation)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if value == "none" and NoneType in kinds:
        return None
    if isinstance(value, list) and value in [[word] for word in words]:
        return value[0]  # all, where the rest are numbers
    if Any in kinds or any(
        get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))
        for kind in kinds
    ):
        return _option(value, name)
    if tuple[Any, ...] in kinds:
        return [_option(part, name) for part in value]
    return value


def _option(text: str, name: str) -> Any:
    return parsed(text, f"option {name}", hint="; write e.g. '{kind: align}'")


def parsed(text: str, place: str, *, hint: str = "") -> Any:
    """What YAML text holds. Raises ``FairNCError`` that names the ``place`` where it is none."""
    try:
        return yaml.safe_load(text)
    except (
        ValueError,
        RecursionError,
        yaml.YAMLError,
    ) as error:  # ValueError: a number or date that is none
        raise FairNCError(f"{place}: {error}{hint}") from error
