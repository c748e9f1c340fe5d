"""Read times of records, and which of them are credible."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TOLERANCE_SECONDS = 60
"""How far ahead of this machine's clock a read time may be; a later one is `UNDATED`."""

UNDATED = ""
"""Read time of a record that has none, or an impossible one; sorts before any other."""


def read_time(time_extracted: object) -> str:
    """When a record was read, comparable as a string: ISO 8601 in UTC with microseconds; now, if the tap does not say.

    A time in the future becomes `UNDATED`.
    """
    try:
        at = in_utc(time_extracted) if isinstance(time_extracted, str) else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        return _text(datetime.now(tz=UTC))
    return UNDATED if at > latest_credible() else at


def latest_credible() -> str:
    """The latest credible read time at this moment."""
    return _latest_credible_in(int(time.time()))


@lru_cache(maxsize=1)  # called for every record
def _latest_credible_in(second: int) -> str:
    return _text(datetime.fromtimestamp(second + TOLERANCE_SECONDS, tz=UTC))


def is_near(one: str, other: str) -> bool:
    """Whether two times are too close to be ordered reliably by different clocks."""
    distance = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    return abs(distance) <= timedelta(seconds=TOLERANCE_SECONDS)


@lru_cache(maxsize=16)  # all records of a page have the same
def in_utc(text: str) -> str:
    """Convert an ISO 8601 time to UTC with microseconds; without an offset it is taken as UTC.

    Raises:
        ValueError, OverflowError: Not a time.
    """
    at = datetime.fromisoformat(text)
    return _text(at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
