"""A validator for the part of JSON Schema (draft 2020-12) that the service's schemas use; a keyword beyond it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description"})
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


Check: TypeAlias = Callable[[Any, Any, Mapping[str, Any], str], Iterator[str]]
"""Takes what the keyword has, the value, the root schema, and the value's place; gives what is wrong."""


def violations(value: Any, schema: Mapping[str, Any], *, root: Mapping[str, Any] | None = None) -> list[str]:
    """What the schema finds wrong with a JSON value, each with its place; empty where it is valid."""
    return list(_check(value, schema, root or schema, "$"))


def _check(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[str]:
    for keyword in schema.keys() - ANNOTATIONS:
        if keyword not in KEYWORDS:
            raise NotImplementedError(f"this validator does not know {keyword!r}")
        yield from KEYWORDS[keyword](schema[keyword], value, root, place)


def _reference(given: str, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    found: Any = root
    for part in given.removeprefix("#/").split("/"):
        found = found[part]
    yield from _check(value, found, root, place)


def _any_of(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    found = [list(_check(value, one, root, place)) for one in given]
    if all(found):
        yield f"{place} matches none of {len(given)}: {found}"


def _enum(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    if value not in given:
        yield f"{place} is {value!r}, wants one of {given!r}"


def _const(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from _enum([given], value, root, place)


def _type(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    names = given if isinstance(given, list) else [given]
    if not any(_is_of(value, name) for name in names):
        yield f"{place} is {value!r}, wants {names}"


def _required(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{place}.{name} is missing" for name in given if name not in value)


def _properties(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    for name in given.keys() & value.keys() if isinstance(value, dict) else ():
        yield from _check(value[name], given[name], root, f"{place}.{name}")


def _items(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from _check(item, given, root, f"{place}[{index}]")


def _minimum(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, int | float) and value < given:
        yield f"{place} is {value!r}, below {given}"


def _format(given: Any, value: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, str) and not FORMATS[given](value):
        yield f"{place} is {value!r}, no {given}"


def _is_of(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


FORMATS = {"uuid": _is_uuid, "date-time": _is_time}
KEYWORDS: dict[str, Check] = {
    "$ref": _reference, "anyOf": _any_of, "enum": _enum, "const": _const, "type": _type, "required": _required,
    "properties": _properties, "items": _items, "minimum": _minimum, "format": _format,
}  # fmt: skip
