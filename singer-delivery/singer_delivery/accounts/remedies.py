"""What to do about each reason for which the engine itself refuses a record; destinations add their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEDIES: Final[Mapping[str, str]] = {
    "refused_request": "a request with this row alone is refused; correct the record or the mapping",
    "too_large": "the row alone is larger than a request may be; map fewer or smaller fields",
    "unreadable": "the line is no valid Singer message; look at the tap that wrote it",
    "invalid_record": "the value does not have the type that the stream's SCHEMA declares; look at the tap",
    "invalid_datetime": "the value is no date-time; correct it in the source",
    "unforeseen": "a mistake of the target: please report the log line, and replay once it is mended",
    "stream_map_failed": "an expression of stream_maps fails for this record: correct it, then replay",
    "missing_key": "the record lacks a key property of its stream; look at the tap",
    "no_identifier": "map an identifier that this record carries",
}
"""Reason code -> remedy, in one sentence."""

NOTE_HINTS: Final[Mapping[str, str]] = {
    "read_time_ahead": "records are dated ahead of this machine's clock: which of two versions is newer cannot be "
    "known by that, so all are sent, and an opt-in that may be the older one is not; set the clocks",
}
"""Code of a note -> what a run says of it, once."""
