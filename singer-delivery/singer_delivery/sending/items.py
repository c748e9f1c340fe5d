"""Where a record came from, and how it came in: what every item of a destination carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.accounts.checkpoints import Segment


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
