"""A column: one source, transformed and fitted to what a destination takes under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from singer_delivery.mapping.countries import to_country
from singer_delivery.mapping.dates import to_birthday
from singer_delivery.mapping.transforms import Transform, fills_null
from singer_delivery.mapping.values import (
    to_flag,
    to_integer,
    to_number,
    to_numbers,
    to_plain,
    to_text,
    to_texts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["text", "texts", "number", "integer", "numbers", "flag", "birthday", "country", "plain"]
"""What a destination takes for a name; ``plain``: a scalar or a flat array."""

Note = tuple[str, str]
"""(code, field): something mapped that was left out of a request all the same, such as
``("identifier_skipped", "phone_number")``. Names of fields only, never values."""

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
        """What was given (a default counts as given), and what the destination gets of it; None: nothing.

        Raises:
            UnusableValueError: The transform, or the attribute, cannot take it.
        """
        given = value
        if self.transform is not None and (self.fills_null or value is not None):
            value = self.transform(value)
            given = value if self.fills_null else given
        return given, None if value is None else self.fit(value)


def compile_column(
    name: str, kind: Kind, sources: Sequence[str], transforms: Sequence[str], apply: Transform | None, *, custom: bool
) -> Column:
    """Make one column; *apply* is what *transforms* were compiled to."""
    return Column(name, custom, kind, tuple(sources), apply, fills_null(transforms), FITS[kind])
