"""Klaviyo's spellings of a moment, and the one that the records carry (RFC 3339, UTC, ``Z``)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_CONSENT_TIMES = re.compile(
    rb'("(?:consent_timestamp|created_timestamp|last_updated|timestamp|valid_until)"\s*:\s*)("[^"\\]*")'
)
_PREDICTION_TIMES = re.compile(rb'("expected_date_of_next_order"\s*:\s*)("[^"\\]*")')


def parse_moment(text: str) -> datetime:
    """Read a date or date-time; one without an offset is UTC.

    Raises:
        ValueError: The text is neither.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def whole_second(moment: datetime) -> str:
    """Spell a moment as bookmarks and filters do: ``2026-08-14T09:12:40Z``; a fraction is cut off."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339(text: str) -> str:
    """Spell a date-time of the API in RFC 3339 UTC; what is no date-time stays as it is.

    A blank instead of ``T``, offsets and fractions of a second have all been seen (``2021-05-17 23:43:28+00:00``).

    >>> rfc3339("2021-05-17 23:43:28.5+02:00")
    '2021-05-17T21:43:28.5Z'
    """
    if len(text) == 25 and text[10] == "T" and text.endswith("+00:00"):  # what the API sends nearly always
        return text[:19] + "Z"
    match = _PLAIN.fullmatch(text)
    if match is None:
        return text
    fraction, offset = match.group(1) or "", match.group(2)
    try:
        moment = parse_moment(text[:19] + (offset or "Z"))
    except (ValueError, OverflowError):
        return text
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z" if moment.year >= 1000 else text


def rfc3339_json(value: msgspec.Raw) -> msgspec.Raw:
    """Do the same to a JSON value: a string is spelt anew, null and everything else passes."""
    encoded = bytes(value)
    if len(encoded) == 27 and encoded[11] == 84 and encoded.endswith(b'+00:00"'):  # 84: T
        return msgspec.Raw(encoded[:20] + b'Z"')
    if not encoded.startswith(b'"'):
        return value
    return msgspec.Raw(msgspec.json.encode(rfc3339(msgspec.json.decode(encoded, type=str))))


def consent_times_rfc3339(subscriptions: msgspec.Raw) -> msgspec.Raw:
    """Spell the declared date-times of a ``subscriptions`` object anew, and leave every other byte alone.

    The names are those of the date-times in ``Subscriptions`` of the OpenAPI document; none of its objects is open.
    """
    return _spelt_anew(_CONSENT_TIMES, subscriptions)


def prediction_times_rfc3339(predictive_analytics: msgspec.Raw) -> msgspec.Raw:
    """Do the same to a ``predictive_analytics`` object, whose date may lack an offset."""
    return _spelt_anew(_PREDICTION_TIMES, predictive_analytics)


def _spelt_anew(times: re.Pattern[bytes], value: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(times.sub(lambda match: match[1] + bytes(rfc3339_json(msgspec.Raw(match[2]))), bytes(value)))
