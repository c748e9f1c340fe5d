"""Parses dates and times in many forms; formats them as RFC 3339 or as a day."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.values import NUMBERS, UnusableValueError, trim

if TYPE_CHECKING:
    from decimal import Decimal

SECONDS_LENGTH = len("2026-06-01T09:30:00")
IN_UTC = frozenset({"Z", "+00:00"})
"""Suffixes of canonical times in UTC, after the seconds."""

EPOCH_FROM = 100_000_000
"""Smaller numbers are not epoch times (this one is 1973-03-03): they are years, dates written as digits, or keys."""

MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds; as seconds they would be after the year 5138."""

YEARS = range(1900, 2100)
"""Years that a number, or a string of digits, may mean; a string with hyphens may mean any year."""

DIGITS_FIRST, DIGITS_LAST = 19_000_101, 20_991_231
DIGITS_LENGTH = len("20260601")
HOURS, MINUTES = 24, 60
TO_THE_HOUR, TO_THE_MINUTE = len("2026060109"), len("202606010930")

_WEEK = re.compile(r"\d{4}-?W\d{2}(?!-?\d)")
"""A week without a day, which Python would read as its Monday."""


def to_datetime(value: Any) -> str:
    """Convert to RFC 3339 in UTC; without an offset the time is taken as UTC, a number as seconds since 1970.

    >>> to_datetime("2026-06-01 12:30:00+03:00"), to_datetime("2026-06-01"), to_datetime(1780306200)
    ('2026-06-01T09:30:00Z', '2026-06-01T00:00:00Z', '2026-06-01T09:30:00Z')

    Raises:
        UnusableValueError: The value is not a time.
    """
    return utc_moment(value)[1]


def to_date(value: Any) -> str:
    """Convert to a calendar day, ``YYYY-MM-DD``; of a time, the day in its own offset.

    Raises:
        UnusableValueError: The value is not a day.
    """
    if isinstance(value, str):
        return _read_text(value).date().isoformat()
    return read_moment(value).date().isoformat()


def to_birthday(value: Any) -> str:
    """Convert to midnight UTC of a calendar day, the only form that ``birthday`` takes.

    >>> to_birthday("1985-12-10")
    '1985-12-10T00:00:00Z'

    Raises:
        UnusableValueError: The value is not a day.
    """
    return f"{to_date(value)}T00:00:00Z"


def read_moment(value: Any) -> datetime:
    """Parse ISO 8601, eight digits (``20260601``) or an epoch number (seconds or milliseconds) to a time in UTC.

    A number must mean a time from 1900 to 2099; a bare year, or a key, is not a time.

    Raises:
        UnusableValueError: The value is not a time.
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
        return _read_number(value)
    except (ValueError, ArithmeticError, OSError):
        raise UnusableValueError("not_a_date") from None


def utc_moment(value: Any) -> tuple[datetime, str]:
    """Parse a time as `read_moment` does, and format it as RFC 3339 that ends in Z.

    Raises:
        UnusableValueError: The value is no moment.
    """
    if type(value) is str and value[SECONDS_LENGTH:] in IN_UTC and value[7] == "-" and value[10] + value[16] == "T:":
        try:  # already in canonical form, as most times are
            return datetime.fromisoformat(value), f"{value[:SECONDS_LENGTH]}Z"
        except ValueError:
            raise UnusableValueError("not_a_date") from None
    moment = read_moment(value)
    return moment, moment.isoformat().replace("+00:00", "Z")


def _read_text(value: str) -> datetime:
    text = trim(value)
    try:
        if text.isdecimal():
            return _read_digits(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnusableValueError("not_a_date") from None
    if "W" in text and _WEEK.match(text):
        raise UnusableValueError("not_a_date")
    return moment


def _read_digits(text: str) -> datetime:
    """Parse ``20260601``; any other string of digits is ambiguous.

    Raises:
        ValueError: Not a day within `YEARS`.
    """
    if len(text) != DIGITS_LENGTH or int(text[:4]) not in YEARS:
        raise ValueError(len(text))
    return datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=UTC)


def _read_number(number: float | Decimal) -> datetime:
    """Parse eight digits as a day, other numbers as epoch times.

    Raises:
        ValueError, ArithmeticError, OSError: It is neither.
    """
    if DIGITS_FIRST <= number <= DIGITS_LAST and number == int(number):
        return _read_digits(str(int(number)))
    seconds = float(number)
    moment = datetime.fromtimestamp(seconds if abs(seconds) < MILLISECONDS_FROM else seconds / 1000, UTC)
    if abs(seconds) < EPOCH_FROM or moment.year not in YEARS or _is_written_out(str(number)):
        raise ValueError(moment.year)
    return moment


def _is_written_out(digits: str) -> bool:
    """Whether a number may be a date and time written as digits, to the hour or to the minute."""
    if len(digits) not in {TO_THE_HOUR, TO_THE_MINUTE} or not digits.isdecimal():
        return False
    try:
        _read_digits(digits[:DIGITS_LENGTH])
    except ValueError:
        return False
    return int(digits[DIGITS_LENGTH:TO_THE_HOUR]) < HOURS and int(digits[TO_THE_HOUR:] or 0) < MINUTES
