"""Accessors for unvalidated settings; values of the wrong type are skipped (the schema check reports them)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_delivery.disclosure import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Row = dict[str, Any]


def rows(config: Mapping[str, Any], name: str, at: str = "") -> Iterator[tuple[str, Row]]:
    """Walk the rows of a list setting with their paths, such as ``attribute_mappings[2]``."""
    listed = config.get(name)
    if isinstance(listed, list):
        for place, row in enumerate(listed):
            if isinstance(row, dict):
                yield f"{at}{name}[{place}]", row


def string(row: Row, name: str) -> str:
    """Read a string; "" if it is missing or of another type."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def strings(row: Row, name: str) -> list[str]:
    """Read a setting that may be one string or a list of strings."""
    value = row.get(name)
    listed: Sequence[Any] = value if isinstance(value, list) else [value]
    return [element for element in listed if isinstance(element, str)]


def path_of(parts: Sequence[str | int]) -> str:
    """Format a path as in our messages.

    >>> path_of(["event_mappings", 0, "event_type"])
    'event_mappings[0].event_type'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in parts).removeprefix(".")
