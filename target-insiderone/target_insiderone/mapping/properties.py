"""``properties.*`` -> ``*``: every property that no other row names becomes a custom attribute."""

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
NO_KEYS: Final[frozenset[str]] = frozenset()

PropertiesFiller = Callable[["Record", dict[str, Any], list[str]], "list[Note]"]
"""(record, custom attributes to add to, names of null properties to add to) -> notes."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^a-z0-9]+")
_LETTERS: Final = str.maketrans(
    {"\u0131": "i", "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ł": "l", "Ł": "L"}
)
"""Latin letters that do not fall apart into a plain one and an accent."""


@lru_cache(maxsize=10_000)
def snake_case(name: str) -> str:
    """Write a name as Insider One wants its attributes and events; "" where nothing of it can be written so.

    >>> snake_case("Favourite Size"), snake_case("$shoeSize"), snake_case("Größe (EU)")
    ('favourite_size', 'shoe_size', 'grosse_eu')
    """
    plain = name if name.isascii() else unicodedata.normalize("NFKD", name.translate(_LETTERS))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return _OTHER.sub("_", _CAMEL.sub("_", ascii_only).lower()).strip("_")


def compile_properties(settings: Settings) -> PropertiesFiller | None:
    """Compile the wildcard row, or None where the settings have none.

    A property goes to the custom attribute of its name in snake case. Names of other rows and of fixed attributes are
    left to them; of two properties with one name the first in code point order that is there is taken, and the other
    noted. A property that a row names is left to that row, unless a field of the record with the same name stands in
    its way (``title``, ``id``). Objects are left out and noted, unless ``transform: json`` writes them as text.
    """
    row = next((row for row in settings.attribute_mappings if row.attribute == WILDCARD), None)
    if row is None:
        return None
    transform = compile_transforms(row.transforms)
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
            elif value is None:
                null.append(name)
            elif transform is None and type(value) is str and name not in custom:
                custom[name] = value
            elif code := _write(name, value, transform, custom):
                notes.append((code, key))
        nulls += _unwritten(null, planned, properties)
        return notes

    return fill_properties


def _unwritten(null: list[str], planned: list[tuple[str, str]], properties: Record) -> list[str]:
    """Of the names of null properties those that no other property has."""
    return sorted(set(null) - {name for key, name in planned if properties[key] is not None}) if null else []


def _write(name: str, value: Any, transform: Transform | None, custom: dict[str, Any]) -> str | None:
    """Write a property, unless a value stands there already; return why it is left out. A blank one gives way."""
    if name in custom and not is_blank(custom[name]):
        return None if is_blank(value) else "property_collision"
    try:
        custom[name] = to_plain(value if transform is None else transform(value))
    except UnusableValueError as error:
        return "property_left_out" if error.code == "object_left_out" else error.code
    return None


def _mapped_properties(settings: Settings) -> tuple[set[str], set[str]]:
    """The properties that rows name: by their path (``properties.title``), and by their name alone."""
    sources = [name for row in settings.attribute_mappings for name in row.sources]
    sources += [name for row in settings.identifier_mappings for name in row.sources]
    by_path = {name.removeprefix(PREFIX) for name in sources if name.startswith(PREFIX)}
    return by_path, {name for name in sources if not name.startswith(PREFIX)}


def _taken_names(settings: Settings) -> set[str]:
    names = [row.attribute for row in settings.attribute_mappings] + [fixed.name for fixed in settings.fixed_attributes]
    return {custom for name in names if (custom := custom_name(name, ATTRIBUTES)) is not None}
