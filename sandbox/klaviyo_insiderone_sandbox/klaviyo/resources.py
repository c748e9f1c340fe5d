"""Stored resources: attributes as JSON text, and the ids of related resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Resource:
    """One resource of any simple type."""

    __slots__ = ("attributes", "id", "related")

    def __init__(self, resource_id: str, attributes: Mapping[str, str]) -> None:
        self.id = resource_id
        self.attributes = dict(attributes)
        """Name -> JSON text, exactly as given; missing ones are shown as null."""
        self.related: dict[str, list[str]] = {}
        """Relationship -> ids."""

    @staticmethod
    def of(resource_id: str, **attributes: Any) -> Resource:
        """Make a resource of plain values."""
        return Resource(resource_id, {name: msgspec.json.encode(value).decode() for name, value in attributes.items()})

    def value(self, path: str) -> Any:
        """Decode an attribute, or by its dotted path a member of one; None where there is none. ``id`` is the id."""
        if path == "id":
            return self.id
        name, *members = path.split(".")
        value = msgspec.json.decode(self.attributes.get(name, "null"))
        for member in members:
            value = value.get(member) if isinstance(value, dict) else None
        return value

    def relate(self, relationship: str, other: Resource, inverse: str) -> None:
        """Relate two resources, each to the other."""
        self.related.setdefault(relationship, []).append(other.id)
        other.related.setdefault(inverse, []).append(self.id)
