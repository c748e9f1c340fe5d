"""The users of Insider One, for tests and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klaviyo_insiderone_sandbox.insiderone.state import StoredUser


def users_text(stored: Iterable[StoredUser]) -> bytes:
    """Write every user: ``{"users": [...]}``."""
    return msgspec.json.encode({"users": [user_of(one) for one in stored]})


def users_page(stored: Iterable[StoredUser], search: str, offset: int, limit: int) -> bytes:
    """Write one page of the users that contain *search*, lately changed ones first, and how many match."""
    found = [one for one in reversed(list(stored)) if search == "" or contains(one, search.casefold())]
    return msgspec.json.encode({"users": [user_of(one) for one in found[offset : offset + limit]], "total": len(found)})


def contains(stored: StoredUser, search: str) -> bool:
    """Tell whether identifiers, attributes or events of a user contain a text, in any case."""
    if search in stored.insider_id or any(
        search in value.casefold() for values in stored.identifiers.values() for value in values
    ):
        return True
    if any(search in f"{name} {value.decode()}".casefold() for name, (_, value) in stored.attributes.items()):
        return True
    return any(
        search in f"{event.event_name} {bytes(event.event_params).decode()}".casefold() for event in stored.events
    )


def user_of(stored: StoredUser) -> dict[str, Any]:
    """Show one user in the shape in which it is written; of several values of an identifier, the latest."""
    identifiers = {name: values[-1] for name, values in stored.identifiers.items() if values}
    attributes = {name: msgspec.Raw(value) for name, (_, value) in stored.attributes.items()}
    return {
        "insider_id": stored.insider_id,
        "identifiers": nested(identifiers),
        "attributes": nested(attributes),
        "events": stored.events,
        "dropped": stored.dropped,
        "skip_hook": stored.skip_hook,
    }


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Put names that begin with ``custom.`` under ``custom``."""
    plain = {name: value for name, value in flat.items() if not name.startswith("custom.")}
    custom = {name.removeprefix("custom."): value for name, value in flat.items() if name.startswith("custom.")}
    return {**plain, "custom": custom} if custom else plain
