"""Klaviyo's clock, from its successful answers; trusted only within limits around this machine's clock.

A bookmark says "everything before this has been read", so a clock that is ahead loses records. An answer that failed
may come from a machine between here and Klaviyo, so its ``Date`` is ignored. The ``Date`` of a good answer may
be at most `TOLERANCE` ahead of the local clock, and never beyond what the next run reads again.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

TOLERANCE = timedelta(seconds=60)
"""By how much the server's clock may be ahead of this machine's."""

GRAIN = timedelta(seconds=1)  # of a ``Date``


class ServerClock:
    """The server's time; thread-safe.

    An answer's ``Date`` was written between its request and its arrival, which bounds the offset to the local
    clock. The bounds of all answers are intersected; an answer that contradicts them starts over, so that
    a single odd ``Date`` is forgotten at the next correct one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: datetime | None = None
        self._least = timedelta.min
        self._most = timedelta.max

    @property
    def is_known(self) -> bool:
        """Whether a successful answer had a time."""
        return self._latest is not None

    def note(self, date: datetime | None, sent: datetime, arrived: datetime) -> None:
        """Note the ``Date`` of a good answer, and the local times of request and arrival."""
        if date is None:
            return
        least, most = date - arrived, date + GRAIN - sent
        with self._lock:
            if least > self._most or most < self._least:
                self._least, self._most = least, most
            else:
                self._least, self._most = max(least, self._least), min(most, self._most)
            self._latest = max(date, self._latest or date)  # answers may overtake each other

    def moment_of(self, own: datetime) -> datetime:
        """Return the server's time at a time of this machine's clock; at most `TOLERANCE` after that."""
        with self._lock:
            correction = min(max(timedelta(0), self._least), self._most)
        return own + min(correction, TOLERANCE)

    def latest(self, reach: timedelta, now: datetime | None = None) -> datetime:
        """Return the server's latest time, at most `TOLERANCE`, and *reach*, after *now* of the local clock.

        *reach*: the overlap that the next run reads again.
        """
        own = now or datetime.now(UTC)
        return own if self._latest is None else min(self._latest, own + min(TOLERANCE, reach))

    def lead(self, now: datetime | None = None) -> timedelta:
        """Return how far the server's clock is ahead of the local one; negative if it is behind."""
        own = now or datetime.now(UTC)
        return timedelta(0) if self._latest is None else self._latest - own
