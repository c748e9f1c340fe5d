"""Columns as one plain function, written as Python source: no call, no loop and no lookup that a row does not need.

It does what each column's ``get`` and ``convert`` do one after another, for what most records hold; anything else it
hands to them. Names from the settings go into the source as literals only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.sources import NO_ITEM, Getter, Record, compile_source, steps_of
from singer_delivery.mapping.values import UnusableValueError, is_blank

if TYPE_CHECKING:
    from singer_delivery.mapping.columns import Column, Note

Fill = Callable[[Record, Record, dict[str, Any], dict[str, Any]], "list[Note]"]
"""(record, item, root, custom) -> notes: write the columns that have a value into *root* and *custom*; tell which
values were unusable."""

FITTING = {"text": "type(value) is str", "plain": "type(value) is str"}
"""Kind -> what is true of most of its values, which then stay as they are."""


def compile_fill(columns: Sequence[Column], bag: str, *, with_item: bool) -> Fill:
    """Compile columns; without *with_item* the function is for records alone, its item is ``NO_ITEM``."""
    names: dict[str, Any] = {"NO_ITEM": NO_ITEM, "UnusableValueError": UnusableValueError}
    lines = ["def fill(record, item, root, custom):", " notes = []", *_open_bag(bag)]
    for number, column in enumerate(columns):
        names |= {f"transform_{number}": column.transform, f"fit_{number}": column.fit}
        lines += [
            " try:",
            *(f"  {line}" for line in _read(column.sources, bag, names, with_item=with_item)),
            *(f"  {line}" for line in _write(column, number)),
            " except UnusableValueError as error:",
            f"  notes.append((error.code, {column.source!r}))",
        ]
    lines.append(" return notes")
    fill: Fill = _function("fill", lines, names)
    return fill


def compile_get(sources: Sequence[str], bag: str) -> Getter:
    """Compile the reading of one source of a record that has no items."""
    names: dict[str, Any] = {"NO_ITEM": NO_ITEM}
    reading = _read(sources, bag, names, with_item=False)
    lines = ["def get(record, item):", *_open_bag(bag), *(f" {line}" for line in reading), " return value"]
    get: Getter = _function("get", lines, names)
    return get


def _function(name: str, lines: Sequence[str], names: dict[str, Any]) -> Any:
    exec(compile("\n".join(lines), f"<{name}>", "exec"), names)  # noqa: S102  (the lines are ours, literals by repr)
    return names[name]


def _open_bag(bag: str) -> list[str]:
    return [f" inside = record.get({bag!r})", " if type(inside) is not dict: inside = NO_ITEM"]


def _read(sources: Sequence[str], bag: str, names: dict[str, Any], *, with_item: bool) -> list[str]:
    """Set ``value`` to the first source that is there; *names* receives what the lines refer to.

    A blank text, which is rare, is found by a quick look at where it starts; then the whole search is made once more.
    """
    lines: list[str] = []
    for source in sources:
        if len(steps_of(source)) == 1:
            expression = _key(source, with_item=with_item)
        else:
            get = f"get_{len(names)}"
            names[get] = compile_source([source], bag)
            path = f"{get}(record, item)"
            expression = path if with_item else _path(source, path)
        lines.append(f"if value is None: value = {expression}" if lines else f"value = {expression}")
    search = f"get_{len(names)}"
    names |= {search: compile_source(sources, bag), "is_blank": is_blank}
    is_visible = '"!" <= value <= "~"'
    lines.append(f"if type(value) is str and not {is_visible} and is_blank(value): value = {search}(record, item)")
    return lines


def _key(name: str, *, with_item: bool) -> str:
    in_item = f"item[{name!r}] if {name!r} in item else " if with_item else ""
    return f"{in_item}record[{name!r}] if {name!r} in record else inside.get({name!r})"


def _path(name: str, search: str) -> str:
    """The value at the end of a path through objects of the record.

    Anything else, such as a key that holds dots itself, is left to *search*.
    """
    head, *steps = steps_of(name)
    value = f"at.get({steps[-1][0]!r}) if type(at) is dict else {search}"
    for key, _, rest in reversed(steps[:-1]):
        inner = f"None if (at := at.get({key!r})) is None else {value}"
        value = f"{search} if type(at) is not dict or {rest!r} in at else {inner}"
    elsewhere = f"{name!r} in record or {name!r} in inside or {head[0]!r} in inside"
    return f"{search} if {elsewhere} else None if (at := record.get({head[0]!r})) is None else {value}"


def _write(column: Column, number: int) -> list[str]:
    """Transform ``value``, fit it, and put it where it belongs."""
    place = f"{'custom' if column.custom else 'root'}[{column.name!r}] = "
    fitting, fitted = FITTING.get(column.kind), f"fit_{number}(value)"
    store = f"{place}value if {fitting} else {fitted}" if fitting else f"{place}{fitted}"
    transform = f"value = transform_{number}(value)"
    if column.transform is None:
        return [f"if value is not None: {store}"]
    if column.fills_null:
        return [transform, f"if value is not None: {store}"]
    return ["if value is not None:", f" {transform}", f" if value is not None: {store}"]
