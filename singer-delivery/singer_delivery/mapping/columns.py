"""A column of the mapping: one source, transformed and converted to the type of one destination field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from singer_delivery.mapping.countries import to_country
from singer_delivery.mapping.dates import to_birthday
from singer_delivery.mapping.placeholders import to_order_id
from singer_delivery.mapping.transforms import Transform, fills_null
from singer_delivery.mapping.values import (
    to_boolean,
    to_integer,
    to_number,
    to_numbers,
    to_plain,
    to_string,
    to_strings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ValueType = Literal[
    "string", "strings", "number", "integer", "numbers", "boolean", "birthday", "country", "plain", "order_id"
]
"""Type of a destination field; ``plain``: a scalar or a flat array."""

Note = tuple[str, str]
"""(code, field): a mapped value that was left out of the request, such as ``("identifier_skipped", "phone_number")``.
Field names only, never values."""

FITS: Final[Mapping[ValueType, Transform]] = {
    "string": to_string,
    "strings": to_strings,
    "number": to_number,
    "integer": to_integer,
    "numbers": to_numbers,
    "boolean": to_boolean,
    "birthday": to_birthday,
    "country": to_country,
    "plain": to_plain,
    "order_id": to_order_id,
}
"""Type -> the conversion that ends every column of that type; values that it cannot take are left out."""


class Column(NamedTuple):
    """One row of a mapping.

    *custom*: the name belongs under ``custom``. *transform*: as named in the settings. *fit*: the final conversion, by
    *value_type*. *fills_null*: the transform is also applied to absent values.
    """

    name: str
    custom: bool
    value_type: ValueType
    sources: tuple[str, ...]
    transform: Transform | None
    fills_null: bool
    fit: Transform

    @property
    def source(self) -> str:
        """Name of the column in notes."""
        return self.sources[0]

    def convert(self, value: Any) -> tuple[Any, Any]:
        """Return the given value (or its default), and the converted one, which may be None.

        Raises:
            UnusableValueError: The transform, or the attribute, cannot take it.
        """
        given = value
        if self.transform is not None and (self.fills_null or value is not None):
            value = self.transform(value)
            given = value if self.fills_null else given
        return given, None if value is None else self.fit(value)


def compile_column(
    name: str,
    value_type: ValueType,
    sources: Sequence[str],
    transforms: Sequence[str],
    apply: Transform | None,
    *,
    custom: bool,
) -> Column:
    """Make one column; *apply* is the compiled form of *transforms*."""
    return Column(name, custom, value_type, tuple(sources), apply, fills_null(transforms), FITS[value_type])
