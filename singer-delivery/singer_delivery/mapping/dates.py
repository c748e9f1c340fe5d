"""Dates and times, in the forms that Insider One takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.values import NUMBERS, UnusableValueError, trim

if TYPE_CHECKING:
    from decimal import Decimal

SECONDS_LENGTH = len("2026-06-01T09:30:00")
IN_UTC = frozenset({"Z", "+00:00"})
"""What follows the seconds in the forms in which Klaviyo, and tap-klaviyo, write their times: all of them in UTC."""

EPOCH_FROM = 100_000_000
"""Smaller numbers are no epoch (1973-03-03 in seconds): they are years, dates written as digits, or keys."""

MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""

YEARS = range(1900, 2100)
"""What a number, or a text of digits alone, may mean; a text with hyphens may mean any year."""

DIGITS_FIRST, DIGITS_LAST = 19_000_101, 20_991_231
DIGITS_LENGTH = len("20260601")
HOURS, MINUTES = 24, 60
TO_THE_HOUR, TO_THE_MINUTE = len("2026060109"), len("202606010930")

_WEEK = re.compile(r"\d{4}-?W\d{2}(?!-?\d)")
"""A week without its day, which Python takes for its Monday."""


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
    """Read ISO 8601 text, eight digits (``20260601``) or an epoch number (seconds or milliseconds) as a moment in UTC.

    A number counts only where it means a moment from 1900 to 2099; a bare year, or a key, is no moment.

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
        return _read_number(value)
    except (ValueError, ArithmeticError, OSError):
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
    """Read ``20260601``; any other text of digits may mean anything.

    Raises:
        ValueError: It is no day of these two centuries.
    """
    if len(text) != DIGITS_LENGTH or int(text[:4]) not in YEARS:
        raise ValueError(len(text))
    return datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=UTC)


def _read_number(number: float | Decimal) -> datetime:
    """Read eight digits as a day, and else an epoch number.

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
    """Tell whether a number may as well be date and time written as digits, to the hour or to the minute."""
    if len(digits) not in {TO_THE_HOUR, TO_THE_MINUTE} or not digits.isdecimal():
        return False
    try:
        _read_digits(digits[:DIGITS_LENGTH])
    except ValueError:
        return False
    return int(digits[DIGITS_LENGTH:TO_THE_HOUR]) < HOURS and int(digits[TO_THE_HOUR:] or 0) < MINUTES
