"""Compiles all columns into one function by generating Python source, without unneeded calls, loops and lookups.

For common values, the function does what each column's ``get`` and ``convert`` would do one after another; other values
are passed to these. Names from the settings enter the source as literals only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.sources import NO_ITEM, Getter, Record, compile_source, steps_of
from singer_delivery.mapping.values import CONTAINERS, UnusableValueError, is_blank

if TYPE_CHECKING:
    from singer_delivery.mapping.columns import Column, Note

Fill = Callable[[Record, Record, dict[str, Any], dict[str, Any]], "list[Note]"]
"""(record, item, root, custom) -> notes: writes the columns that have a value into *root* and *custom*; the notes name
unusable values."""

FITTING = {"string": "type(value) is str", "plain": "type(value) is str"}
"""Type -> a test that most of its values pass, which then need no conversion."""


def compile_fill(columns: Sequence[Column], bag: str, *, with_item: bool) -> Fill:
    """Compile columns; without *with_item* the function reads records only, and its item must be ``NO_ITEM``."""
    names: dict[str, Any] = {"NO_ITEM": NO_ITEM, "UnusableValueError": UnusableValueError}
    lines = ["def fill(record, item, root, custom):", " notes = []", *_open_bag(bag)]
    for number, column in enumerate(columns):
        names |= {f"transform_{number}": column.transform, f"fit_{number}": column.fit}
        names[f"otherwise_{number}"] = compile_otherwise(column, bag)
        lines += [
            " try:",
            *(f"  {line}" for line in _read(column.sources, bag, names, with_item=with_item)),
            *(f"  {line}" for line in _write(column, number)),
            " except UnusableValueError as error:",
            f"  value = otherwise_{number}(record, item, error, notes)",
            f"  if value is not None: {_place(column)}value",
        ]
    lines.append(" return notes")
    fill: Fill = _function("fill", lines, names)
    return fill


def compile_get(sources: Sequence[str], bag: str) -> Getter:
    """Compile a getter for one source of a record without items."""
    names: dict[str, Any] = {"NO_ITEM": NO_ITEM}
    reading = _read(sources, bag, names, with_item=False)
    lines = ["def get(record, item):", *_open_bag(bag), *(f" {line}" for line in reading), " return value"]
    get: Getter = _function("get", lines, names)
    return get


def compile_otherwise(column: Column, bag: str) -> Callable[[Record, Record, UnusableValueError, list[Note]], Any]:
    """Compile the fallback of a column whose first value is unusable.

    It returns the first usable value of the column's sources, else its default. If there is neither, it notes the
    reason, unless all sources are empty.
    """
    getters = [compile_source([source], bag) for source in column.sources]

    def otherwise(record: Record, item: Record, error: UnusableValueError, notes: list[Note]) -> Any:
        values = [value for get in getters if (value := get(record, item)) is not None and not is_blank(value)]
        for value in [*values[1:], None]:
            try:
                _, converted = column.convert(value)
            except UnusableValueError:
                continue
            if converted is not None:
                return converted
        if values:
            notes.append((error.code, column.source))
        return None

    return otherwise


def _function(name: str, lines: Sequence[str], names: dict[str, Any]) -> Any:
    exec(compile("\n".join(lines), f"<{name}>", "exec"), names)  # noqa: S102  (our own lines; literals by repr)
    return names[name]


def _open_bag(bag: str) -> list[str]:
    return [f" inside = record.get({bag!r})", " if type(inside) is not dict: inside = NO_ITEM"]


def _read(sources: Sequence[str], bag: str, names: dict[str, Any], *, with_item: bool) -> list[str]:
    """Lines that set ``value`` to the first source that has one; *names* receives the objects that they refer to.

    Blank strings, which are rare, are detected by a cheap comparison; then, and for empty lists and objects, the full
    search is repeated.
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
    names |= {search: compile_source(sources, bag), "is_blank": is_blank, "CONTAINERS": CONTAINERS}
    is_visible = '"!" <= value <= "~"'
    may_be_blank = f"not {is_visible} if type(value) is str else type(value) in CONTAINERS"
    lines.append(f"if value is not None and ({may_be_blank}) and is_blank(value): value = {search}(record, item)")
    return lines


def _key(name: str, *, with_item: bool) -> str:
    in_item = f"item[{name!r}] if {name!r} in item else " if with_item else ""
    return f"{in_item}record[{name!r}] if {name!r} in record else inside.get({name!r})"


def _path(name: str, search: str) -> str:
    """An expression for the value at the end of a path through objects of the record.

    Other cases, such as keys that contain dots, are left to *search*.
    """
    head, *steps = steps_of(name)
    value = f"at.get({steps[-1][0]!r}) if type(at) is dict else {search}"
    for key, _, rest in reversed(steps[:-1]):
        inner = f"None if (at := at.get({key!r})) is None else {value}"
        value = f"{search} if type(at) is not dict or {rest!r} in at else {inner}"
    elsewhere = f"{name!r} in record or {name!r} in inside or {head[0]!r} in inside"
    return f"{search} if {elsewhere} else None if (at := record.get({head[0]!r})) is None else {value}"


def _place(column: Column) -> str:
    return f"{'custom' if column.custom else 'root'}[{column.name!r}] = "


def _write(column: Column, number: int) -> list[str]:
    """Lines that transform ``value``, convert it, and store it."""
    place = _place(column)
    fitting, fitted = FITTING.get(column.value_type), f"fit_{number}(value)"
    store = f"{place}value if {fitting} else {fitted}" if fitting else f"{place}{fitted}"
    transform = f"value = transform_{number}(value)"
    if column.transform is None:
        return [f"if value is not None: {store}"]
    if column.fills_null:
        return [transform, f"if value is not None: {store}"]
    return ["if value is not None:", f" {transform}", f" if value is not None: {store}"]
