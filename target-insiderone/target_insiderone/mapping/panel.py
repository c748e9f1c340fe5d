"""Lists the names to define in Insider One's panel, with their types; Insider One drops undefined names."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from target_insiderone.mapping.properties import WILDCARD
from target_insiderone.mapping.vocabulary import (
    ATTRIBUTES,
    EVENT_ID_PARAMETER,
    LINE_PARAMETER,
    PARAMETERS,
    RETENTION_DAYS,
    custom_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from target_insiderone.settings.settings import Settings

UNKNOWN: Final = "unknown"
"""Type of a column that the settings do not determine; records may."""

TYPES: Final[Mapping[str, str]] = {
    "consent": "boolean",
    "boolean": "boolean",
    "date": "datetime",
    "datetime": "datetime",
    "birthday": "datetime",
    "number": "number",
    "integer": "number",
    "string": "string",
    "lower": "string",
    "upper": "string",
    "trim": "string",
    "country": "string",
    "locale": "string",
    "join": "string",
    "json": "string",
}
"""Transform -> result type, in the panel's words; other transforms keep the type."""

SOURCES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("id", "email", "phone_number", "external_id", "anonymous_id", "first_name", "last_name", "organization"),
        "string",
    ),
    **dict.fromkeys(("locale", "title", "image", "metric_name", "metric_id", "profile_id", "uuid"), "string"),
    **dict.fromkeys((f"location.{name}" for name in ("address1", "address2", "city", "country", "region")), "string"),
    **dict.fromkeys(("location.zip", "location.timezone", "location.ip"), "string"),
    **dict.fromkeys(("created", "updated", "last_event_date", "datetime", "changed_at"), "datetime"),
    **dict.fromkeys(("$value", "timestamp"), "number"),
}
"""Klaviyo's own field -> its type; a shop's properties are unknown."""


class Definition(NamedTuple):
    """One name to define. *kind*: identifier, attribute, event or event parameter; *used_by*: where it comes from."""

    kind: str
    name: str
    type: str
    used_by: str


Definitions = dict[tuple[str, str], Definition]


def definitions(settings: Settings, users: Sequence[Mapping[str, Any]] = ()) -> list[Definition]:
    """List every name that a run may write, except Insider One's default names, each once.

    *users* made from records supply the names of properties, and the types that the settings leave open.
    """
    found: Definitions = {}
    for one in (*_identifiers(settings), *_attributes(settings), *_events(settings)):
        before = found.get((one.kind, one.name))
        found[one.kind, one.name] = one if before is None else _merged(before, one)
    for one in _met(users):
        before = found.get((one.kind, one.name))
        found[one.kind, one.name] = one if before is None else _merged(before, one._replace(used_by=""))
    order = ("identifier", "attribute", "event", "event parameter")
    return sorted(found.values(), key=lambda one: (order.index(one.kind), one.name))


def takes_all_properties(settings: Settings) -> bool:
    """Whether every property of a profile becomes an attribute, so that only records show the names."""
    return any(row.attribute == WILDCARD for row in settings.attribute_mappings)


def type_of(sources: Sequence[str], transforms: Sequence[str]) -> str:
    """The type of a column: from its last transform that determines one, else from Klaviyo's field."""
    for spec in reversed(transforms):
        if decided := TYPES.get(spec.partition(":")[0].strip()):
            return decided
    kinds = {SOURCES.get(source, UNKNOWN) for source in sources}
    return kinds.pop() if len(kinds) == 1 and not transforms else UNKNOWN


def type_of_value(value: Any) -> str:
    """The type of a value in a request."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, list):
        return "number array" if value and all(type_of_value(one) == "number" for one in value) else "string array"
    return "datetime" if isinstance(value, str) and _is_moment(value) else "string"


def _is_moment(text: str) -> bool:
    if len(text) < len("2026-01-01") or text[4:5] != "-":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _merged(first: Definition, second: Definition) -> Definition:
    """Merge two uses of one name; if their types differ, Insider One keeps only values of the defined type."""
    types = [one for one in dict.fromkeys([*first.type.split(" or "), *second.type.split(" or ")]) if one != UNKNOWN]
    used_by = dict.fromkeys([*first.used_by.split(", "), *second.used_by.split(", ")])
    return first._replace(type=" or ".join(types) or UNKNOWN, used_by=", ".join(name for name in used_by if name))


def _identifiers(settings: Settings) -> Iterator[Definition]:
    for place, row in enumerate(settings.identifier_mappings):
        kind, _, name = row.identifier_type.partition(".")
        if kind == "custom" and name:
            yield Definition("identifier", name, "string", f"identifier_mappings[{place}]")


def _attributes(settings: Settings) -> Iterator[Definition]:
    fixed = {custom_name(row.name, ATTRIBUTES) for row in settings.fixed_attributes}
    for place, row in enumerate(settings.attribute_mappings):
        name = None if row.attribute == WILDCARD else custom_name(row.attribute, ATTRIBUTES)
        if name and name not in fixed:
            yield Definition("attribute", name, type_of(row.sources, row.transforms), f"attribute_mappings[{place}]")
    for place, given in enumerate(settings.fixed_attributes):
        if name := custom_name(given.name, ATTRIBUTES):
            yield Definition("attribute", name, type_of_value(given.value), f"fixed_attributes[{place}]")


def _events(settings: Settings) -> Iterator[Definition]:
    for mapping in settings.event_mappings:
        event = mapping.event_type
        if event not in RETENTION_DAYS:
            yield Definition("event", event, "event", mapping.metric_name)
        yield Definition("event parameter", EVENT_ID_PARAMETER, "string", event)
        if mapping.for_each:
            yield Definition("event parameter", LINE_PARAMETER, "number", event)
        fixed_names = set()
        for given in (*mapping.fixed_parameters, *settings.fixed_event_parameters):
            if name := custom_name(given.name, PARAMETERS):
                fixed_names.add(name)
                yield Definition("event parameter", name, type_of_value(given.value), event)
        for row in (*mapping.parameter_mappings, *settings.event_parameter_mappings):
            name = custom_name(row.parameter, PARAMETERS)
            if name and name not in fixed_names:
                yield Definition("event parameter", name, type_of(row.sources, row.transforms), event)


def _met(users: Sequence[Mapping[str, Any]]) -> Iterator[Definition]:
    for user in users:
        for name, value in user.get("attributes", {}).get("custom", {}).items():
            yield Definition("attribute", name, type_of_value(value), "properties.*")
        for event in user.get("events", ()):
            for name, value in event["event_params"].get("custom", {}).items():
                yield Definition("event parameter", name, type_of_value(value), event["event_name"])
