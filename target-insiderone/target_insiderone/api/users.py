"""A mapped record on its way: encoded once, with what is needed to send it and to account for it.

Several of these are made for every record; as `msgspec.Struct` they take a third of a dataclass's time. They are part
of no circle, so the garbage collector need not look at them (``gc=False``); but for `Arrival`, whose *settled* may be
anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from singer_delivery.exact_json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_delivery.accounts.rejects import RejectedEvent
    from singer_delivery.sending.items import Source


OWN_BYTES = 1_000
"""What the body of a request needs beside its users, at most."""


class ProfileItem(msgspec.Struct, gc=False):
    """A profile, encoded in parts so that single opt-ins can be left out at the last moment.

    *read_at*: when it was read; nothing, if that cannot be known (:mod:`singer_delivery.memory.read_times`).
    *optins_since*: from when on it is known which opt-ins were delivered
    (:mod:`singer_delivery.memory.consent_memory`).
    *attributes*: the members of ``attributes`` without the opt-ins and the braces. *tail*: the rest of the user
    (``,"not_append":true}``). *optins*: attribute -> (value, consent value and timestamp). *delete*: what
    attribute/delete is to clear, or nothing.
    """

    source: Source
    read_at: str
    optins_since: str
    ledger_key: bytes
    identifiers: bytes
    attributes: bytes
    tail: bytes
    optins: Mapping[str, tuple[Any, str]]
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    delete: Mapping[str, Any] | None

    @property
    def size(self) -> int:
        """Bytes of the encoded user, the separating comma included."""
        return len(self.identifiers) + len(self.attributes) + len(self.tail) + 32 * len(self.optins) + 40

    def user(self, optins: Mapping[str, Any]) -> bytes | None:
        """The encoded user with these opt-ins; None where neither an opt-in nor another attribute is left."""
        members = encode(optins)[1:-1]
        if members and self.attributes:
            members += b","
        members += self.attributes
        if not members:
            return None
        return b'{"identifiers":' + self.identifiers + b',"attributes":{' + members + b"}" + self.tail

    def optins_only(self, optins: Mapping[str, Any]) -> bytes:
        """The encoded user with these opt-ins and nothing else."""
        return b'{"identifiers":' + self.identifiers + b',"attributes":' + encode(optins) + b"}"

    def deletion(self) -> bytes | None:
        """The encoded user of an attribute/delete request, if there is something to clear."""
        if not self.delete:
            return None
        return b'{"identifiers":' + self.identifiers + b"," + encode(self.delete)[1:]


class EventLine(msgspec.Struct, gc=False):
    """One event made of a record.

    *key* is what the ledger knows it by, None where the record has no id. *uncertain*: an earlier request with it may
    have been applied; *identifiers*: those of that request, if they are known.
    """

    key: bytes | None
    content: bytes
    body: bytes
    event_type: str
    line: int | None
    uncertain: bool = False
    identifiers: bytes | None = None

    def intent(self, identifiers: bytes) -> bytes:
        """What the ledger keeps of it until its outcome is known: whose it is said to be, and its exact bytes."""
        return identifiers + b"\n" + self.body

    def go_again(self, intent: bytes) -> None:
        """Become what was sent before. Version 0.1.0 kept no identifiers."""
        identifiers, has_identifiers, body = intent.partition(b"\n")
        self.body = body if has_identifiers else intent
        self.identifiers = identifiers if has_identifiers else None


class EventItem(msgspec.Struct, gc=False):
    """The events made of one record, which travel as one user of the request; in several, if one cannot hold them.

    *rejected*: events of the record that the mapping rejected. They are kept when the others are settled, so that all
    rejects of a record stand in one entry.
    """

    source: Source
    identifiers: bytes
    events: list[EventLine]
    rejected: Sequence[RejectedEvent] = ()

    @property
    def size(self) -> int:
        """Bytes of the encoded user, the separating comma included."""
        size = len(self.identifiers) + len(self.events) + 30
        for event in self.events:
            size += len(event.body)
        return size


Item = ProfileItem | EventItem


def parts_of(events: Sequence[EventLine], max_bytes: int) -> list[list[EventLine]]:
    """Cut *events*, in their order, into parts of at most *max_bytes*, or of one event."""
    parts: list[list[EventLine]] = []
    left = 0
    for event in events:
        size = len(event.body) + 1
        if size > left:
            parts.append([])
            left = max_bytes
        parts[-1].append(event)
        left -= size
    return parts


def event_user(identifiers: bytes, bodies: Sequence[bytes]) -> bytes:
    """An encoded user with these events."""
    return b'{"identifiers":' + identifiers + b',"events":[' + b",".join(bodies) + b"]}"


def attributes_body(users: Sequence[bytes]) -> bytes:
    """The body of an attribute/delete request."""
    return b'{"users":[' + b",".join(users) + b"]}"


def upsert_body(users: Sequence[bytes], *, skip_hook: bool, error_callback: str | None) -> bytes:
    """The body of an upsert request; its keys always stand in the same order."""
    body = b'{"users":[' + b",".join(users) + b"]"
    if skip_hook:
        body += b',"skip_hook":true'
    if error_callback:
        body += b',"error_callback_endpoint":' + encode(error_callback)
    return body + b"}"
