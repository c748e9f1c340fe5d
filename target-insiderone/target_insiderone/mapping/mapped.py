"""Results of the mapping: a user, or events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_delivery.errors import Filtered, Rejected
    from singer_delivery.mapping.columns import Note


class MappedProfile(msgspec.Struct):
    """One user, ready for ``users[]``.

    ``user`` has ``identifiers``; ``attributes``, unless only deletions remain; and ``not_append`` where arrays replace.
    ``delete`` is ``{}``, or ``{"whole": [...], "custom": {"whole": [...]}}`` for attribute/delete. ``optins``: opt-in
    attribute -> (its value in ``user``, an opaque text of Klaviyo's consent value and time).
    """

    user: dict[str, Any]
    identifiers: dict[str, Any]
    delete: dict[str, Any]
    optins: dict[str, tuple[bool, str]]
    notes: Sequence[Note]


class MappedEvent(msgspec.Struct):
    """The events of one record.

    Entries of ``events``, ``rejected`` and ``filtered`` start with the line (1-based; None: the whole record) and the
    event type. ``events`` may be empty, if every line was rejected or filtered. ``old``: older than
    ``skip_hook_older_than_hours``.
    """

    identifiers: dict[str, Any]
    events: list[tuple[int | None, str, dict[str, Any]]]
    rejected: list[tuple[int | None, str, Rejected]]
    filtered: list[tuple[int | None, str, Filtered]]
    old: bool
    notes: Sequence[Note] = ()
