"""The wildcard row (``properties.*`` -> ``*``): every property without a row of its own becomes a custom attribute."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.mapping.values import UnusableValueError, is_blank, to_plain

from target_insiderone.mapping.transforms import compile_transforms
from target_insiderone.mapping.vocabulary import ATTRIBUTES, custom_name

if TYPE_CHECKING:
    from singer_delivery.mapping.columns import Note
    from singer_delivery.mapping.sources import Record
    from singer_delivery.mapping.transforms import Transform

    from target_insiderone.settings.settings import Settings

WILDCARD: Final = "*"
PREFIX: Final = "properties."
WILDCARD_SOURCE: Final = "properties.*"
PLAIN: Final = frozenset({str, bool})
"""Types whose values can all be sent unchanged."""

NO_KEYS: Final[frozenset[str]] = frozenset()

PropertiesFiller = Callable[["Record", dict[str, Any], list[str]], "list[Note]"]
"""(record, custom attributes to add to, names of null properties to add to) -> notes."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^a-z0-9]+")
_LETTERS: Final = str.maketrans(
    {"\u0131": "i", "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ł": "l", "Ł": "L"}
)
"""Latin letters that Unicode does not decompose into a plain letter and an accent."""


@lru_cache(maxsize=10_000)
def snake_case(name: str) -> str:
    """Convert a name to snake_case, as Insider One demands for attributes and events; "" if nothing is left.

    >>> snake_case("Favourite Size"), snake_case("$shoeSize"), snake_case("Größe (EU)")
    ('favourite_size', 'shoe_size', 'grosse_eu')
    """
    plain = name if name.isascii() else unicodedata.normalize("NFKD", name.translate(_LETTERS))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return _OTHER.sub("_", _CAMEL.sub("_", ascii_only).lower()).strip("_")


def compile_properties(settings: Settings) -> PropertiesFiller | None:
    """Compile the wildcard row; None if the settings have none.

    A property becomes the custom attribute of its snake_case name. Names used by other rows or fixed attributes are
    left out; of two properties with one name, the first (in code point order) that has a value is taken, and the other
    noted. A property that a row names is left to that row, unless the row reads a field of the record with the same
    name (``title``, ``id``). Objects are left out and noted, unless ``transform: json`` converts them to strings.
    """
    row = next((row for row in settings.attribute_mappings if row.attribute == WILDCARD), None)
    if row is None:
        return None
    transform = compile_transforms(row.transforms)
    as_it_is = transform is None
    by_path, by_name = _mapped_properties(settings)
    taken = _taken_names(settings)

    @lru_cache(maxsize=1_000)  # most records have the same keys
    def plan(keys: tuple[str, ...], hidden: frozenset[str]) -> list[tuple[str, str]]:
        return [(key, snake_case(key)) for key in sorted(set(keys) - by_path - (by_name - hidden))]

    def fill_properties(record: Record, custom: dict[str, Any], nulls: list[str]) -> list[Note]:
        properties = record.get("properties")
        if type(properties) is not dict:
            return []
        notes: list[Note] = []
        null: list[str] = []
        hidden = NO_KEYS if record.keys().isdisjoint(properties) else frozenset(record.keys() & properties.keys())
        planned = plan(tuple(properties), hidden)
        for key, name in planned:
            value = properties[key]
            if not name or name in taken:
                notes.append(("property_collision" if name else "property_name_unusable", key))
            elif as_it_is and type(value) in PLAIN and name not in custom:
                custom[name] = value
            elif value is None or (as_it_is and is_null(value)):
                null.append(name)
            elif code := _write(name, value, transform, custom):
                notes.append((code, key))
        nulls += _unwritten(null, planned, properties, custom)
        return notes

    return fill_properties


def is_null(value: Any) -> bool:
    """Whether a property is null or an empty object."""
    return value is None or (type(value) is dict and not value)


def _unwritten(
    null: list[str], planned: list[tuple[str, str]], properties: Record, custom: dict[str, Any]
) -> list[str]:
    """The names of null properties that no other property has."""
    if not null:
        return []
    return sorted(set(null) - custom.keys() - {name for key, name in planned if not is_null(properties[key])})


def _write(name: str, value: Any, transform: Transform | None, custom: dict[str, Any]) -> str | None:
    """Write a property, unless a non-blank value is there already; returns why it is left out, if so."""
    if name in custom and not is_blank(custom[name]):
        return None if is_blank(value) else "property_collision"
    try:
        custom[name] = to_plain(value if transform is None else transform(value))
    except UnusableValueError as error:
        return "property_left_out" if error.code == "object_left_out" else error.code
    return None


def _mapped_properties(settings: Settings) -> tuple[set[str], set[str]]:
    """The properties that rows name: by path (``properties.title``), and by name only."""
    sources = [name for row in settings.attribute_mappings for name in row.sources]
    sources += [name for row in settings.identifier_mappings for name in row.sources]
    by_path = {name.removeprefix(PREFIX) for name in sources if name.startswith(PREFIX)}
    return by_path, {name for name in sources if not name.startswith(PREFIX)}


def _taken_names(settings: Settings) -> set[str]:
    names = [row.attribute for row in settings.attribute_mappings] + [fixed.name for fixed in settings.fixed_attributes]
    return {custom for name in names if (custom := custom_name(name, ATTRIBUTES)) is not None}
