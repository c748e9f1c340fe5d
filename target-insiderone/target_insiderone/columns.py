"""A column: one source, transformed and fitted to what Insider One takes under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from target_insiderone.countries import to_country
from target_insiderone.dates import to_birthday
from target_insiderone.sources import Getter, Record, compile_source
from target_insiderone.transforms import Transform, compile_transforms, fills_null
from target_insiderone.values import (
    UnusableValueError,
    to_flag,
    to_integer,
    to_number,
    to_numbers,
    to_plain,
    to_text,
    to_texts,
)
from target_insiderone.vocabulary import custom_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from target_insiderone.mapped import Note
    from target_insiderone.settings import FixedValue
    from target_insiderone.vocabulary import Kind

FITS: Final[Mapping[Kind, Transform]] = {
    "text": to_text,
    "texts": to_texts,
    "number": to_number,
    "integer": to_integer,
    "numbers": to_numbers,
    "flag": to_flag,
    "birthday": to_birthday,
    "country": to_country,
    "plain": to_plain,
}
"""Kind -> the last step of every column of that kind; what does not fit is left out."""


class Column(NamedTuple):
    """``custom``: the name stands under ``custom``. ``source`` is what notes call the column."""

    name: str
    custom: bool
    source: str
    get: Getter
    convert: Transform


def compile_column(
    name: str, sources: Sequence[str], transforms: Sequence[str], *, bag: str, defaults: Mapping[str, Kind]
) -> Column:
    """Compile one row of a mapping; *defaults* are the names that stand at the root."""
    custom = custom_name(name, defaults)
    fit = FITS["plain" if custom is not None else defaults[name]]
    get = compile_source(sources, bag)
    transform = compile_transforms(transforms)
    if transform is None:
        convert = fit
    elif fills_null(transforms):
        get, convert = _then(get, transform), fit
    else:
        convert = _chain(transform, fit)
    return Column(name if custom is None else custom, custom is not None, sources[0], get, convert)


def fill(
    columns: Iterable[Column], record: Record, item: Record, root: dict[str, Any], custom: dict[str, Any]
) -> list[Note]:
    """Write the columns that have a value into *root* and *custom*; tell which values were unusable."""
    notes: list[Note] = []
    for name, is_custom, source, get, convert in columns:
        try:
            value = get(record, item)
            if value is not None:
                value = convert(value)
        except UnusableValueError as error:
            notes.append((error.code, source))
            continue
        if value is not None:
            if is_custom:
                custom[name] = value
            else:
                root[name] = value
    return notes


def split_fixed(values: Iterable[FixedValue], defaults: Mapping[str, Kind]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part fixed values into those at the root and those under ``custom``, by name."""
    named = [(custom_name(fixed.name, defaults), fixed) for fixed in values]
    root = {fixed.name: fixed.value for custom, fixed in named if custom is None}
    return root, {custom: fixed.value for custom, fixed in named if custom is not None}


def _then(get: Getter, transform: Transform) -> Getter:
    def get_transformed(record: Record, item: Record) -> Any:
        return transform(get(record, item))

    return get_transformed


def _chain(transform: Transform, fit: Transform) -> Transform:
    def convert(value: Any) -> Any:
        value = transform(value)
        return None if value is None else fit(value)

    return convert
