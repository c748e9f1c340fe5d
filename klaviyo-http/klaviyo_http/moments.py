"""Parses Klaviyo's time formats, and converts them to the format of records (RFC 3339, UTC, ``Z``)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAIN = timedelta(seconds=1)  # of most of Klaviyo's times, and of bookmarks and filters
FIRST_MOMENT, LAST_MOMENT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SPELLINGS = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
_CONSENT_TIMES = re.compile(
    rb'("(?:consent_timestamp|created_timestamp|last_updated|timestamp|valid_until)"\s*:\s*)("[^"\\]*")'
)
_PREDICTION_TIMES = re.compile(rb'("expected_date_of_next_order"\s*:\s*)("[^"\\]*")')
_METADATA = re.compile(rb'"metadata"\s*:\s*(?={)')

_read_moment = msgspec.json.Decoder(datetime).decode
_read_text = msgspec.json.Decoder(str).decode
_read_value_at = json.JSONDecoder(parse_int=str).raw_decode  # as int, thousands of digits would be refused


def parse_moment(text: str) -> datetime:
    """Read a date or date-time; one without an offset is UTC.

    Raises:
        ValueError: The string is neither.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def clamped_moment(text: str) -> datetime:
    """Read a date or date-time as `parse_moment` does; limited to the calendar.

    Raises:
        ValueError: The string is neither.
    """
    try:
        return parse_moment(text)
    except OverflowError:
        return FIRST_MOMENT if text.strip().startswith("0") else LAST_MOMENT


def whole_second(moment: datetime) -> str:
    """Write a time as bookmarks and filters have it: ``2026-08-14T09:12:40Z``; a fraction is cut off."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}".zfill(20)  # glibc does not pad a year


def rfc3339(text: str) -> str:
    """Write a date-time of the API in RFC 3339 UTC; anything else stays as it is.

    A space or ``t`` for ``T``, ``z``, any offset or none (which is UTC); the fraction of a second keeps its digits.

    >>> rfc3339("2021-05-17 23:43:28.5+02:00")
    '2021-05-17T21:43:28.5Z'
    """
    match = _SPELLINGS.fullmatch(text)
    if match is None:
        return text
    day, clock, fraction, offset = match.groups("")
    try:
        moment = parse_moment(f"{day}T{clock}{offset.upper()}")
    except (ValueError, OverflowError):
        return text
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction}Z"


def rfc3339_json(value: msgspec.Raw) -> msgspec.Raw:
    """The same for a JSON value: strings are normalised, everything else stays unchanged."""
    return msgspec.Raw(_normalized(bytes(value)))


def consent_times_rfc3339(subscriptions: msgspec.Raw) -> msgspec.Raw:
    """Rewrite the declared date-times of a ``subscriptions`` object, and leave every other byte as it is.

    The names are those of the date-times in ``Subscriptions`` of the OpenAPI document. They may stand in any of its
    objects but ``metadata``, which is open: what it holds is not declared.
    """
    encoded = bytes(subscriptions)
    if _METADATA.search(encoded) is None:
        return msgspec.Raw(_CONSENT_TIMES.sub(_normalized_member, encoded))
    pieces: list[bytes] = []
    start = 0
    for closed, opened in _metadata_spans(encoded):
        pieces += _CONSENT_TIMES.sub(_normalized_member, encoded[start:closed]), encoded[closed:opened]
        start = opened
    pieces.append(_CONSENT_TIMES.sub(_normalized_member, encoded[start:]))
    return msgspec.Raw(b"".join(pieces))


def prediction_times_rfc3339(predictive_analytics: msgspec.Raw) -> msgspec.Raw:
    """The same for a ``predictive_analytics`` object, whose date may lack an offset."""
    return msgspec.Raw(_PREDICTION_TIMES.sub(_normalized_member, bytes(predictive_analytics)))


def _normalized(encoded: bytes) -> bytes:
    if encoded[11:12] == b"T" and encoded.endswith(b'+00:00"'):  # what the API sends nearly always
        try:
            _read_moment(encoded)
        except msgspec.DecodeError:
            return encoded
        return encoded[:-7] + b'Z"'
    return msgspec.json.encode(rfc3339(_read_text(encoded))) if encoded.startswith(b'"') else encoded


def _normalized_member(member: re.Match[bytes]) -> bytes:
    return member[1] + _normalized(member[2])


def _metadata_spans(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Find where the ``metadata`` objects begin and end."""
    text = encoded.decode("latin-1")  # a character for each byte
    end = 0
    while metadata := _METADATA.search(encoded, end):
        _, end = _read_value_at(text, metadata.end())
        yield metadata.end(), end
