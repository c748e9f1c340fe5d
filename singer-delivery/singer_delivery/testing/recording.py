"""A recorded Singer input of good and bad records with STATEs in between.

Every STATE holds the number of records before it, so that a run can resume from its last STATE.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Record = dict[str, Any]
Key = tuple[str, str]
"""(stream, id)."""

READ_AT = datetime(2026, 6, 1, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Recording:
    """Lines of Singer input, of streams whose key is ``id``.

    *records*: (stream, record), in the order of their read times. *schemas*: stream -> its properties. *bad*: the
    records that must end as rejects, whatever happens.
    """

    records: Sequence[tuple[str, Record]]
    schemas: Mapping[str, Mapping[str, Any]]
    bad: frozenset[Key]
    state_every: int

    @cached_property
    def lines(self) -> list[bytes]:
        """One RECORD line for each record."""
        return [_line(_message(stream, record, place)) for place, (stream, record) in enumerate(self.records)]

    def input_after(self, position: int) -> bytes:
        """The input of a run that resumes after the first *position* records."""
        parts = [_line(_schema(stream, properties)) for stream, properties in self.schemas.items()]
        for place, line in enumerate(self.lines[position:], start=position + 1):
            parts.append(line)
            if place % self.state_every == 0 or place == len(self.lines):
                parts.append(_line({"type": "STATE", "value": {"bookmarks": {"position": place}}}))
        return b"".join(parts)


def _schema(stream: str, properties: Mapping[str, Any]) -> Record:
    schema = {"type": "object", "properties": properties}
    return {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]}


def _message(stream: str, record: Record, place: int) -> Record:
    read_at = (READ_AT + timedelta(seconds=place)).isoformat()
    return {"type": "RECORD", "stream": stream, "record": record, "time_extracted": read_at}


def _line(message: Record) -> bytes:
    return json.dumps(message).encode() + b"\n"
