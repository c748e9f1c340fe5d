"""When a record was read, and which such times can be believed."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TOLERANCE_SECONDS = 60
"""How far ahead of this machine's clock a reading may be dated. What is dated later has no time to be compared by."""

UNDATED = ""
"""The time of a reading that has none, or one that cannot be: earlier than any other."""


def read_time(time_extracted: object) -> str:
    """When a record was read, comparable as text: ISO 8601 in UTC with microseconds; now, if the tap does not say.

    A time ahead of now makes it `UNDATED`.
    """
    if isinstance(time_extracted, str):
        with suppress(ValueError, OverflowError):
            at = in_utc(time_extracted)
            return UNDATED if at > latest_credible() else at
    return _text(datetime.now(tz=UTC))


def latest_credible() -> str:
    """The latest time that a reading may have now."""
    return _latest_credible_in(int(time.time()))


@lru_cache(maxsize=1)  # every record asks
def _latest_credible_in(second: int) -> str:
    return _text(datetime.fromtimestamp(second + TOLERANCE_SECONDS, tz=UTC))


def is_near(one: str, other: str) -> bool:
    """Whether two clocks may disagree on the order of these times."""
    distance = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    return abs(distance) <= timedelta(seconds=TOLERANCE_SECONDS)


@lru_cache(maxsize=16)  # all records of a page have the same
def in_utc(text: str) -> str:
    """Write an ISO 8601 time in UTC with microseconds; without an offset it is UTC.

    Raises:
        ValueError, OverflowError: It is none.
    """
    at = datetime.fromisoformat(text)
    return _text(at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
