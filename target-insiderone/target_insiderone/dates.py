"""Dates and times, in the forms that Insider One takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from target_insiderone.values import NUMBERS, UnusableValueError

SECONDS_LENGTH = len("2026-06-01T09:30:00")
IN_UTC = frozenset({"Z", "+00:00"})
"""What follows the seconds in the forms in which Klaviyo, and tap-klaviyo, write their times: all of them in UTC."""

MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""


def to_datetime(value: Any) -> str:
    """Write a moment as RFC 3339 in UTC; one without an offset is UTC already, a number counts seconds since 1970.

    >>> to_datetime("2026-06-01 12:30:00+03:00"), to_datetime("2026-06-01"), to_datetime(1780306200)
    ('2026-06-01T09:30:00Z', '2026-06-01T00:00:00Z', '2026-06-01T09:30:00Z')

    Raises:
        UnusableValueError: The value is no moment.
    """
    return write_moment(read_moment(value), value)


def to_date(value: Any) -> str:
    """Write the calendar day as ``YYYY-MM-DD``; of a moment the day it has in its own offset.

    Raises:
        UnusableValueError: The value is no day.
    """
    if isinstance(value, str):
        return _read_text(value).date().isoformat()
    return read_moment(value).date().isoformat()


def to_birthday(value: Any) -> str:
    """Write a calendar day as midnight UTC, the only form that ``birthday`` takes.

    >>> to_birthday("1985-12-10")
    '1985-12-10T00:00:00Z'

    Raises:
        UnusableValueError: The value is no day.
    """
    return f"{to_date(value)}T00:00:00Z"


def read_moment(value: Any) -> datetime:
    """Read ISO 8601 text or an epoch number (seconds; milliseconds from the year 5138 on) as a moment in UTC.

    Raises:
        UnusableValueError: The value is no moment.
    """
    if isinstance(value, str):
        moment = _read_text(value)
        if moment.tzinfo is UTC:
            return moment
        try:
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            raise UnusableValueError("not_a_date") from None
    if type(value) not in NUMBERS:
        raise UnusableValueError("not_a_date")
    try:
        seconds = float(value)
        return datetime.fromtimestamp(seconds if abs(seconds) < MILLISECONDS_FROM else seconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnusableValueError("not_a_date") from None


def write_moment(moment: datetime, source: Any) -> str:
    """Write a moment in UTC as RFC 3339 that ends in Z; *source*, of which it was read, saves writing what it is."""
    if (
        type(source) is str
        and source[SECONDS_LENGTH:] in IN_UTC
        and source[7] == "-"
        and source[10] == "T"
        and source[16] == ":"
    ):
        return f"{source[:SECONDS_LENGTH]}Z"
    return moment.isoformat().replace("+00:00", "Z")


def _read_text(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise UnusableValueError("not_a_date") from None
