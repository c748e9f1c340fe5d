"""Where a value stands in a record: ``source_field`` compiled to a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

Record = dict[str, Any]
Getter = Callable[[Record, Record], Any]
"""(record, item) -> the value, or None where it is null or absent.

``item`` is the line inside ``for_each``, and ``NO_ITEM`` everywhere else.
"""

NO_ITEM: Final[Record] = {}

_MISSING: Final = object()
_INDEX = re.compile(r"\[(\d+)\]")
_Steps = tuple[tuple[str, int | None, str | None], ...]
"""Per step of a dotted path: the key, the same as array index, and the rest of the path as one key.

The rest is None where looking for it would repeat a search: in the first step and in the last.
"""


def compile_source(names: Sequence[str], bag: str) -> Getter:
    """Compile a source: of several names the first whose value is not null counts.

    A name is looked up in the item, then in the record, each time as an exact key, and then as a dotted path with array
    indexes (``Items.0.SKU`` or ``Items[0].SKU``); *bag* names the open object of the record (``properties`` or
    ``event_properties``) whose keys count like those of the record, after them. A key that is present and null ends
    the search.

    >>> get = compile_source(["title", "location.city"], "properties")
    >>> get({"title": None, "location": {"city": "Oslo"}, "properties": {}}, NO_ITEM)
    'Oslo'
    """
    if len(names) > 1 and all(len(steps_of(name)) == 1 for name in names):
        return _compile_keys(tuple(names), bag)
    return first_of([_compile_name(name, bag) for name in names])


def steps_of(name: str) -> _Steps:
    """Take a source apart; a plain key is one step."""
    keys = _INDEX.sub(r".\1", name).split(".")
    return tuple(
        (
            key,
            int(key) if key.isdecimal() and key.isascii() else None,
            ".".join(keys[place:]) if 0 < place < len(keys) - 1 else None,
        )
        for place, key in enumerate(keys)
    )


def is_present(name: str, holder: Record) -> bool:
    """Whether *holder* has the key *name*, or a value at the end of it as a path, be it null."""
    if name in holder:
        return True
    (head, *_), *tail = steps_of(name)
    return bool(tail) and head in holder and _walk(holder[head], tuple(tail)) is not _MISSING


def first_of(getters: Sequence[Getter]) -> Getter:
    """Compile several getters into one that takes the first value that is not null."""
    if len(getters) == 1:
        return getters[0]

    def get_first(record: Record, item: Record) -> Any:
        for get in getters:
            value = get(record, item)
            if value is not None:
                return value
        return None

    return get_first


def _compile_name(name: str, bag: str) -> Getter:
    steps = steps_of(name)
    if len(steps) == 1:
        return _compile_key(name, bag)
    head = steps[0][0]
    tail = steps[1:]

    def get_path(record: Record, item: Record) -> Any:
        inside = record.get(bag)
        if type(inside) is not dict:
            inside = NO_ITEM
        if item:
            if name in item:
                return item[name]
            value = _walk(item, steps)
            if value is not _MISSING:
                return value
        if name in record:
            return record[name]
        if name in inside:
            return inside[name]
        value = _walk(record[head], tail) if head in record else _MISSING
        if value is _MISSING and head in inside:
            value = _walk(inside[head], tail)
        return None if value is _MISSING else value

    return get_path


def _compile_key(name: str, bag: str) -> Getter:
    def get_key(record: Record, item: Record) -> Any:
        if name in item:
            return item[name]
        if name in record:
            return record[name]
        inside = record.get(bag)
        return inside.get(name) if type(inside) is dict else None

    return get_key


def _compile_keys(names: tuple[str, ...], bag: str) -> Getter:
    """Compile several names without a path into one search; the same as the first of each alone, in half the time."""

    def get_first_key(record: Record, item: Record) -> Any:
        inside = record.get(bag)
        if type(inside) is not dict:
            inside = NO_ITEM
        for name in names:
            if name in item:
                value = item[name]
            elif name in record:
                value = record[name]
            else:
                value = inside.get(name)
            if value is not None:
                return value
        return None

    return get_first_key


def _walk(value: Any, steps: _Steps) -> Any:
    """Follow a path; a key that itself holds dots is found where it is the whole rest of the path."""
    for key, index, rest in steps:
        if type(value) is dict:
            if rest is not None and rest in value:
                return value[rest]
            if key not in value:
                return _MISSING
            value = value[key]
        elif type(value) is list and index is not None and index < len(value):
            value = value[index]
        else:
            return _MISSING
    return value
