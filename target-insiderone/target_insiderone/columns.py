"""A column: one source, transformed and fitted to what Insider One takes under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from target_insiderone.countries import to_country
from target_insiderone.dates import to_birthday
from target_insiderone.placeholders import to_order_id
from target_insiderone.transforms import Transform, compile_transforms, fills_null
from target_insiderone.values import (
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
    "order_id": to_order_id,
}
"""Kind -> the last step of every column of that kind; what does not fit is left out."""


class Column(NamedTuple):
    """One row of a mapping.

    *custom*: the name stands under ``custom``. *transform*: what the settings name, *fit*: the last step, by *kind*.
    *fills_null*: the transform also sees a value that is absent.
    """

    name: str
    custom: bool
    kind: Kind
    sources: tuple[str, ...]
    transform: Transform | None
    fills_null: bool
    fit: Transform

    @property
    def source(self) -> str:
        """What notes call the column."""
        return self.sources[0]

    def convert(self, value: Any) -> tuple[Any, Any]:
        """What was given (a default counts as given), and what Insider One gets of it; None: nothing.

        Raises:
            UnusableValueError: The transform, or the attribute, cannot take it.
        """
        given = value
        if self.transform is not None and (self.fills_null or value is not None):
            value = self.transform(value)
            given = value if self.fills_null else given
        return given, None if value is None else self.fit(value)


def compile_column(
    name: str, sources: Sequence[str], transforms: Sequence[str], *, defaults: Mapping[str, Kind]
) -> Column:
    """Compile one row of a mapping; *defaults* are the names that stand at the root."""
    custom = custom_name(name, defaults)
    kind = "plain" if custom is not None else defaults[name]
    return Column(
        name=name if custom is None else custom,
        custom=custom is not None,
        kind=kind,
        sources=tuple(sources),
        transform=compile_transforms(transforms),
        fills_null=fills_null(transforms),
        fit=FITS[kind],
    )


def split_fixed(values: Iterable[FixedValue], defaults: Mapping[str, Kind]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part fixed values into those at the root and those under ``custom``, by name."""
    named = [(custom_name(fixed.name, defaults), fixed) for fixed in values]
    root = {fixed.name: fixed.value for custom, fixed in named if custom is None}
    return root, {custom: fixed.value for custom, fixed in named if custom is not None}
