"""Compiles a ``source_field`` to a function that reads it from a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from singer_delivery.mapping.values import is_blank

Record = dict[str, Any]
Getter = Callable[[Record, Record], Any]
"""(record, item) -> the value, or None if it is null or absent; a blank value only if there is no other.

``item`` is the line inside ``for_each``, and ``NO_ITEM`` everywhere else.
"""

NO_ITEM: Final[Record] = {}

_MISSING: Final = object()
_INDEX = re.compile(r"\[(\d+)\]")
_Steps = tuple[tuple[str, int | None, str | None], ...]
"""Per step of a dotted path: the key, the key as array index, and the rest of the path as one key.

The rest is None in the first and the last step, where looking it up would repeat another lookup.
"""


def compile_source(names: Sequence[str], bag: str) -> Getter:
    """Compile a source; of several names, the first that has a value wins.

    A name is looked up in the item, then in the record, each time first as an exact key, then as a dotted path with
    array indexes (``Items.0.SKU`` or ``Items[0].SKU``). *bag* names the open object of the record (``properties`` or
    ``event_properties``), whose keys are looked up after those of the record. A key that is present but null ends the
    search of its name. A blank string, and an empty list or object, is used only if there is no other value.

    >>> get = compile_source(["title", "location.city"], "properties")
    >>> get({"title": None, "location": {"city": "Oslo"}, "properties": {}}, NO_ITEM)
    'Oslo'
    """
    return first_of([_compile_name(name, bag) for name in names])


@lru_cache(maxsize=4096)  # called with the same sources for every record
def steps_of(name: str) -> _Steps:
    """Split a source into steps; a plain key is one step."""
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
    """Whether *holder* has the key *name*, or a value (possibly null) at that path."""
    if name in holder:
        return True
    (head, *_), *tail = steps_of(name)
    return bool(tail) and head in holder and _walk(holder[head], tuple(tail)) is not _MISSING


def first_of(getters: Sequence[Getter]) -> Getter:
    """Compile several getters into one that returns the first value, else the first blank one."""
    if len(getters) == 1:
        return getters[0]

    def get_first(record: Record, item: Record) -> Any:
        blank = None
        for get in getters:
            value = get(record, item)
            if is_blank(value):
                blank = value if blank is None else blank
            elif value is not None:
                return value
        return blank

    return get_first


def _compile_name(name: str, bag: str) -> Getter:
    steps = steps_of(name)

    def search(record: Record, item: Record) -> Any:
        blank = None
        for value in _found(name, steps, bag, record, item):
            if not is_blank(value):
                return blank if value is None else value
            blank = value if blank is None else blank
        return blank

    def get_key(record: Record, item: Record) -> Any:
        if name in item:
            value = item[name]
        elif name in record:
            value = record[name]
        else:
            inside = record.get(bag)
            value = inside.get(name) if type(inside) is dict else None
        return search(record, item) if is_blank(value) else value

    def get_path(record: Record, item: Record) -> Any:
        value = _first(name, steps, bag, record, item)
        return search(record, item) if is_blank(value) else value

    return get_key if len(steps) == 1 else get_path


def _first(name: str, steps: _Steps, bag: str, record: Record, item: Record) -> Any:
    """The first value of `_found`, or None; without a generator, because it runs for every record and path."""
    head = steps[0][0]
    if item:
        if name in item:
            return item[name]
        if head in item and (value := _walk(item, steps)) is not _MISSING:
            return value
    inside = record.get(bag)
    if type(inside) is not dict:
        inside = NO_ITEM
    for holder in (record, inside):
        if name in holder:
            return holder[name]
    for holder in (record, inside):
        if head in holder and (value := _walk(holder, steps)) is not _MISSING:
            return value
    return None


def _found(name: str, steps: _Steps, bag: str, record: Record, item: Record) -> Iterator[Any]:
    """Every value found under *name*, in order of precedence."""
    inside = record.get(bag)
    if type(inside) is not dict:
        inside = NO_ITEM
    is_path = len(steps) > 1
    if name in item:
        yield item[name]
    elif is_path and (value := _walk(item, steps)) is not _MISSING:
        yield value
    for holder in (record, inside):
        if name in holder:
            yield holder[name]
    if is_path:
        for holder in (record, inside):
            if (value := _walk(holder, steps)) is not _MISSING:
                yield value


def _walk(value: Any, steps: _Steps) -> Any:
    """Follow a path; a key that contains dots is found if it is the entire rest of the path."""
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
