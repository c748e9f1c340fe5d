"""Lists the fields of a record that no mapping names, for a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from target_insiderone.settings.settings import Settings

EVENT_FIELDS = frozenset({"id", "datetime", "metric_name", "profile_id", "profile", "event_properties"})
"""Fields of an event that are used without a mapping row."""


def mapped_fields(settings: Settings) -> frozenset[str]:
    """The first step of every source that a mapping names."""
    names = {name for identifier in settings.identifier_mappings for name in identifier.sources}
    names |= {name for attribute in settings.attribute_mappings for name in attribute.sources}
    names |= {name for parameter in settings.event_parameter_mappings for name in parameter.sources}
    for mapping in settings.event_mappings:
        names |= {name for row in mapping.parameter_mappings for name in row.sources}
        names |= {mapping.for_each} if mapping.for_each else set()
    return frozenset(names)


def not_mapped(record: Mapping[str, Any], mapped: frozenset[str]) -> list[str]:
    """The fields of *record*, and of its open object, that no mapping names."""
    own = EVENT_FIELDS if "event_properties" in record else {"properties"}
    fields = [name for name in record if name not in own]
    inside = record.get("properties") or record.get("event_properties")
    if isinstance(inside, dict) and "properties.*" not in mapped:
        fields += [f"properties.{name}" if "properties" in record else f"event_properties.{name}" for name in inside]
    return [field for field in fields if not _is_named(field, mapped)]


def _is_named(field: str, mapped: frozenset[str]) -> bool:
    bare = field.removeprefix("event_properties.").removeprefix("properties.")
    return any(
        name in {field, bare} or name.startswith((f"{field}.", f"{field}[", f"{bare}.", f"{bare}[")) for name in mapped
    )
