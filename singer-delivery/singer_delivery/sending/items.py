"""A mapped record on its way: encoded once, with what is needed to send it and to account for it.

Several of these are made for every record; as `msgspec.Struct` they take a third of a dataclass's time. They are part
of no cycle, so the garbage collector need not look at them (``gc=False``); but for `Arrival`, whose *settled* may be
anything, and `VersionItem`, whose version is a destination's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.accounts.checkpoints import Segment
    from singer_delivery.destination import Version


OWN_BYTES = 1_000
"""What the body of a request needs beside its rows, at most."""


class Arrival(msgspec.Struct):
    """How a record came in: its Singer line, from which a reject takes the record, and when the tap read it.

    *attempt* counts the tries to deliver it. For a replayed reject, *only* names the events of the record that are to
    go (type and line; None: all of them), *alias* the stream that it was counted under, where stream maps make several
    of one (empty: all of them), and *settled* is told the outcome.
    """

    line: bytes
    time_extracted: Any
    attempt: int = 1
    only: Collection[tuple[str, int | None]] | None = None
    alias: str = ""
    settled: Callable[[Outcome, str], None] | None = None


class Source(msgspec.Struct, gc=False):
    """Where an item came from.

    *key*: the values of the stream's key properties, joined. *person*: what decides the lane, the same for all records
    of one profile.
    """

    stream: str
    key: str
    key_properties: Sequence[str]
    arrival: Arrival
    segment: Segment
    person: str


class RejectedEvent(NamedTuple):
    """One event made of a record, and why it was not delivered; *line* is that of the order, if it has lines."""

    event_type: str
    line: int | None
    code: str
    field: str
    remedy: str
    answer: str | None = None


class VersionItem(msgspec.Struct):
    """A version of something, of which the newest counts.

    *read_at*: when it was read; nothing, if that cannot be known (:mod:`singer_delivery.memory.read_times`).
    *optins_since*: from when on it is known which opt-ins were delivered
    (:mod:`singer_delivery.memory.consent_memory`). *content*, *email*, *phone_number*: digests.
    """

    source: Source
    read_at: str
    optins_since: str
    ledger_key: bytes
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    version: Version

    @property
    def size(self) -> int:
        """Bytes of the row, the separating comma included."""
        return self.version.size


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


Item = VersionItem | EventItem


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
