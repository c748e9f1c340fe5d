"""Attributions: which message an event is credited to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from klaviyo_insiderone_sandbox.klaviyo.jsonapi import relationship

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Attribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", omit_defaults=True):
    """One credit: the ids of the message, its campaign or flow, and the event that earned it, such as a click."""

    id: str = ""
    attributed_event: str | None = None
    campaign: str | None = None
    campaign_message: str | None = None
    flow: str | None = None
    flow_message: str | None = None
    flow_message_variation: str | None = None


TYPE_BY_RELATIONSHIP = {
    "event": "event",
    "attributed-event": "event",
    "campaign": "campaign",
    "campaign-message": "campaign-message",
    "flow": "flow",
    "flow-message": "flow-message",
    "flow-message-variation": "flow-message",
}
"""Relationship of an attribution -> the type of its target, as ``AttributionResponseObjectResource`` has them."""


def named(event_id: str, given: Iterable[Attribution]) -> tuple[Attribution, ...]:
    """Give every attribution without an id one of 32 hexadecimal digits, deterministically."""
    return tuple(
        one
        if one.id
        else msgspec.structs.replace(
            one, id=hashlib.blake2b(f"{event_id} {place}".encode(), digest_size=16).hexdigest()
        )
        for place, one in enumerate(given)
    )


def ids_of(attributions: Iterable[Attribution]) -> list[str]:
    """List every id that attributions hold."""
    return [one_id for one in attributions for one_id in msgspec.structs.astuple(one) if one_id]


def attributions_text(attributions: Iterable[Attribution]) -> str:
    """Write attributions as the control plane takes them."""
    return msgspec.json.encode(attributions).decode()


def attribution_texts(base_url: str, event_id: str, attributions: Iterable[Attribution]) -> Iterator[str]:
    """Compose the attributions of an event, as pages include them: relationships only."""
    for one in attributions:
        url = f"{base_url}/api/attributions/{one.id}"
        known = {"event": event_id, **msgspec.to_builtins(one)}
        related = ",".join(
            relationship(url, name, f'{{"type":"{kind}","id":"{known[name]}"}}' if name in known else None)
            for name, kind in TYPE_BY_RELATIONSHIP.items()
        )
        yield (f'{{"type":"attribution","id":"{one.id}","relationships":{{{related}}},"links":{{"self":"{url}/"}}}}')
