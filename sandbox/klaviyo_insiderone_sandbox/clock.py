"""The sandbox's own time: real, started at a chosen instant, or frozen."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

MICROSECONDS = 1_000_000
"""Microseconds of one second; instants are whole microseconds since 1970 throughout."""


class Clock:
    """The current time of the fake APIs."""

    def __init__(self) -> None:
        self._offset = 0
        self._frozen: int | None = None

    def now(self) -> int:
        """Return the current instant, in microseconds since 1970."""
        if self._frozen is not None:
            return self._frozen
        return time.time_ns() // 1_000 + self._offset

    def start_at(self, instant: int) -> None:
        """Let the time run on from *instant*."""
        self._frozen = None
        self._offset = instant - time.time_ns() // 1_000

    def freeze(self, instant: int) -> None:
        """Stop the time at *instant*."""
        self._frozen = instant

    def run_real(self) -> None:
        """Return to the machine's time."""
        self._frozen = None
        self._offset = 0

    def http_date(self) -> str:
        """Return the current instant as an HTTP ``Date`` header."""
        return formatdate(self.now() // MICROSECONDS, usegmt=True)


def instant_of(text: str) -> int:
    """Read an RFC 3339 time (or a date alone, or a time without offset, as UTC) as microseconds since 1970.

    Raises:
        ValueError: Not a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * MICROSECONDS + moment.microsecond


@lru_cache(maxsize=65_536)
def shown_second(second: int) -> str:
    """Write an epoch second as Klaviyo shows it: ``2026-09-04T13:39:33+00:00``."""
    return datetime.fromtimestamp(second, UTC).isoformat()


def shown(instant: int) -> str:
    """Write an instant in whole seconds, as Klaviyo shows times in reads."""
    return shown_second(instant // MICROSECONDS)


def shown_exactly(instant: int) -> str:
    """Write an instant with six decimals: ``2026-09-04T13:39:33.131026+00:00``."""
    moment = datetime.fromtimestamp(instant // MICROSECONDS, UTC).replace(microsecond=instant % MICROSECONDS)
    return moment.isoformat(timespec="microseconds")
