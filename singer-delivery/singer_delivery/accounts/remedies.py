"""Remedies for the engine's own reason codes; destinations add theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEDIES: Final[Mapping[str, str]] = {
    "refused_request": "a request with this row alone is refused, see `answer`; correct the record or the mapping",
    "unanswered": "a request with this row alone gets no usable answer, see `answer`, while others do; it may still "
    "have been applied: replay it later, or correct the record",
    "too_large": "the row alone is larger than a request may be; map fewer or smaller fields",
    "unreadable": "the line is not a valid Singer message; check the tap that wrote it",
    "invalid_record": "the value does not have the type that the stream's SCHEMA declares; check the tap",
    "invalid_datetime": "the value is not a date-time; correct it in the source",
    "unforeseen": "a bug in the target: please report the log line, and replay once it is fixed",
    "stream_map_failed": "an expression of stream_maps fails for this record: correct it, then replay",
    "missing_key": "the record lacks a key property of its stream; check the tap",
    "no_identifier": "map an identifier that this record carries",
}
"""Reason code -> remedy, in one sentence."""

NOTE_HINTS: Final[Mapping[str, str]] = {
    "read_time_ahead": "records are dated ahead of this machine's clock, so it is unknown which of two versions is "
    "newer: all are sent, except opt-ins that may be the older version; correct the clocks",
}
"""Note code -> warning, logged once per run."""
