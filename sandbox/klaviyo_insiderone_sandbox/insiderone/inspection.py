"""The users of Insider One, for tests and for the page."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klaviyo_insiderone_sandbox.insiderone.state import StoredUser


def users_text(stored: Iterable[StoredUser]) -> bytes:
    """Write every user: ``{"users": [...]}``."""
    return msgspec.json.encode({"users": [user_of(one) for one in stored]})


def users_page(stored: Iterable[StoredUser], search: str, offset: int, limit: int) -> bytes:
    """Write one page of the users that contain *search*, last changed first, and the number of matches.

    Events and drops are only counted: ``{"users": [{..., "event_count": 3, "drop_count": 0}], "total": 1}``.
    """
    found = [one for one in stored if search == "" or contains(one, search.casefold())]
    found.sort(key=attrgetter("changed_by"), reverse=True)
    return msgspec.json.encode(
        {"users": [summary_of(one) for one in found[offset : offset + limit]], "total": len(found)}
    )


def summary_of(stored: StoredUser) -> dict[str, Any]:
    """Show one user without events and drops, which are counted."""
    counts = {"event_count": len(stored.events), "drop_count": len(stored.dropped), "changed_by": stored.changed_by}
    return {**head_of(stored), **counts}


def contains(stored: StoredUser, search: str) -> bool:
    """Whether identifiers, attributes or events of a user contain a string, in any case."""
    if search in stored.insider_id or any(
        search in value.casefold() for values in stored.identifiers.values() for value in values
    ):
        return True
    if any(search in f"{name} {value.decode()}".casefold() for name, value in stored.attributes.items()):
        return True
    return any(
        search in f"{event.event_name} {bytes(event.event_params).decode()}".casefold() for event in stored.events
    )


def user_of(stored: StoredUser) -> dict[str, Any]:
    """Show one user, with events in order of arrival."""
    return {**head_of(stored), "events": stored.events, "dropped": stored.dropped, "skip_hook": stored.skip_hook}


def head_of(stored: StoredUser) -> dict[str, Any]:
    """Show identifiers and attributes as in an upsert; of several values, the latest."""
    identifiers = {name: values[-1] for name, values in stored.identifiers.items() if values}
    attributes = {name: msgspec.Raw(value) for name, value in stored.attributes.items()}
    return {
        "insider_id": stored.insider_id,
        "identifiers": nested(identifiers),
        "attributes": nested(attributes),
    }


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Put names that begin with ``custom.`` under ``custom``."""
    plain = {name: value for name, value in flat.items() if not name.startswith("custom.")}
    custom = {name.removeprefix("custom."): value for name, value in flat.items() if name.startswith("custom.")}
    return {**plain, "custom": custom} if custom else plain
