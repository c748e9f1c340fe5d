"""Klaviyo's quotas: how many requests an endpoint takes, and when the next one may go out.

An account has, per endpoint, a burst quota (a second), a steady one (a minute) and sometimes a daily one, in fixed
windows (https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling). Where those windows begin is not told,
so the limiter keeps to the quota in *every* interval of that length. Some query parameters draw from a bucket of their
own as well.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SECOND, MINUTE, DAY = 1, 60, 86_400
ARRIVAL_SLACK = 0.1  # seconds: two requests may be closer together when they arrive than when they left


@dataclass(frozen=True, slots=True)
class Quota:
    """Requests per second, per minute and, where there is such a limit, per day."""

    burst: int
    steady: int
    daily: int | None = None


EXTRA_LARGE = Quota(350, 3500)
LARGE = Quota(75, 750)
MEDIUM = Quota(10, 150)

QUOTAS: Mapping[str, Quota] = {"/api/events": EXTRA_LARGE, "/api/profiles": LARGE, "/api/metrics": MEDIUM}
"""Path -> the quota of the endpoint."""

PARAMETER_QUOTAS: Mapping[str, Quota] = {"predictive_analytics": MEDIUM}
"""Value of ``additional-fields[…]`` -> the bucket that it draws from, whatever the endpoint."""


class Window:
    """The quota of one interval length."""

    def __init__(self, limit: int, seconds: int, sent: Iterable[float] = ()) -> None:
        self.seconds = seconds
        self.sent: deque[float] = deque(sent, maxlen=limit)

    def earliest(self) -> float:
        """Return when the next request may go out."""
        return self.sent[0] + self.seconds + ARRIVAL_SLACK if len(self.sent) == self.sent.maxlen else 0.0


class Bucket:
    """All windows of one quota, of which *percent* is ours to use, and the pause that a 429 imposed on it."""

    def __init__(self, quota: Quota, percent: int) -> None:
        self._percent = percent
        self.windows = {
            seconds: Window(self._share(limit), seconds)
            for limit, seconds in ((quota.burst, SECOND), (quota.steady, MINUTE), (quota.daily, DAY))
            if limit is not None
        }
        self.paused_until = 0.0

    def earliest(self) -> float:
        """Return when the next request may go out."""
        return max(self.paused_until, *(window.earliest() for window in self.windows.values()))

    def resize(self, limit: int, seconds: int) -> None:
        """Set the limit of one window; what was sent still counts."""
        known = self.windows.get(seconds) or self.windows[max(self.windows)]
        if known.seconds != seconds or known.sent.maxlen != self._share(limit):
            self.windows[seconds] = Window(self._share(limit), seconds, known.sent)

    def _share(self, limit: int) -> int:
        return max(1, limit * self._percent // 100)


class Limiter:
    """Hands out the moments at which requests may go out; one limiter serves all threads of a run.

    Moments are seconds of *clock*, which is monotonic.
    """

    def __init__(self, percent: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets = {name: Bucket(quota, percent) for name, quota in {**QUOTAS, **PARAMETER_QUOTAS}.items()}
        self._learnt: dict[str, str] = {}

    def delay(self, names: Iterable[str]) -> float:
        """Return the seconds until a request that draws from these buckets may go out; 0 if it may do so now."""
        with self._lock:
            return max(0.0, *(self._buckets[name].earliest() - self._clock() for name in names))

    def take(self, names: Iterable[str]) -> bool:
        """Count a request that goes out now, unless it has to wait (see `delay`)."""
        with self._lock:
            buckets = [self._buckets[name] for name in names]
            now = self._clock()
            if any(bucket.earliest() > now for bucket in buckets):
                return False
            for bucket in buckets:
                for window in bucket.windows.values():
                    window.sent.append(now)
            return True

    def pause(self, names: Iterable[str], seconds: float) -> None:
        """Hold back every request that draws from these buckets, as a ``Retry-After`` demands."""
        with self._lock:
            until = self._clock() + seconds
            for name in names:
                bucket = self._buckets[name]
                bucket.paused_until = max(bucket.paused_until, until)

    def learn(self, name: str, header: str) -> None:
        """Take over the limits that an answer states in its ``RateLimit-Limit`` (``75, 75;w=1, 750;w=60``).

        An account may have others than the documented ones.
        """
        if self._learnt.get(name) == header:
            return
        with self._lock:
            self._learnt[name] = header
            for limit, seconds in re.findall(r"(\d+);w=(\d+)", header):
                if int(limit) and int(seconds):
                    self._buckets[name].resize(int(limit), int(seconds))


def buckets_of(path: str, query: str = "") -> tuple[str, ...]:
    """Name the buckets that a request draws from.

    >>> buckets_of("/api/profiles", "additional-fields%5Bprofile%5D=subscriptions%2Cpredictive_analytics")
    ('/api/profiles', 'predictive_analytics')
    """
    return (path, *(name for name in PARAMETER_QUOTAS if name in query))
