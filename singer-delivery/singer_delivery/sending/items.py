"""Mapped records, encoded once, with everything needed to send and account for them.

Several of these are made for every record; a `msgspec.Struct` takes a third of a dataclass's time. They are never part
of a cycle, so the garbage collector can ignore them (``gc=False``); except `Arrival`, whose *settled* may be anything,
and `VersionItem`, whose version is a destination's.
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
"""Most bytes of a request body besides its rows."""


class Arrival(msgspec.Struct):
    """A record as it arrived: its Singer line, which a reject contains, and when the tap read it.

    *attempt* counts the tries to deliver it. For a replayed reject, *only* names the events to send again (type and
    line; None: all), *alias* the stream that it was counted under if stream maps make several of one (empty: all), and
    *settled* is called with the outcome.
    """

    line: bytes
    time_extracted: Any
    attempt: int = 1
    only: Collection[tuple[str, int | None]] | None = None
    alias: str = ""
    settled: Callable[[Outcome, str], None] | None = None


class Source(msgspec.Struct, gc=False):
    """The record that an item was made from.

    *key*: the values of the stream's key properties, joined. *person*: equal for all records of one profile; decides
    the lane.
    """

    stream: str
    key: str
    key_properties: Sequence[str]
    arrival: Arrival
    segment: Segment
    person: str


class RejectedEvent(NamedTuple):
    """One event made from a record, and why it was not delivered; *line*: its order line, if any."""

    event_type: str
    line: int | None
    code: str
    field: str
    remedy: str
    answer: str | None = None


class VersionItem(msgspec.Struct):
    """A version of a profile; only the newest version is delivered.

    *read_at*: when it was read; "" if unknown (:mod:`singer_delivery.memory.read_times`). *optins_since*: since when
    delivered opt-ins are known (:mod:`singer_delivery.memory.consent_memory`). *content*, *email*, *phone_number*:
    digests.
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
    """One event made from a record.

    *key*: its ledger key; None if the record has no id. *uncertain*: an earlier request with it may have been applied;
    *identifiers*: those of that request, if known.
    """

    key: bytes | None
    content: bytes
    body: bytes
    event_type: str
    line: int | None
    uncertain: bool = False
    identifiers: bytes | None = None

    def intent(self, identifiers: bytes) -> bytes:
        """What the ledger keeps until the outcome is known: the identifiers, and the event's exact bytes."""
        return identifiers + b"\n" + self.body

    def go_again(self, intent: bytes) -> None:
        """Take the bytes that were sent before. Version 0.1.0 stored no identifiers."""
        identifiers, has_identifiers, body = intent.partition(b"\n")
        self.body = body if has_identifiers else intent
        self.identifiers = identifiers if has_identifiers else None


class EventItem(msgspec.Struct, gc=False):
    """The events made from one record, sent as one user of a request, or of several if they are too large.

    *rejected*: events of the record that the mapping rejected; they are kept until the others are settled, so that all
    rejects of a record are in one entry.
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
    """Split *events*, in order, into parts of at most *max_bytes*, or of one event."""
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
