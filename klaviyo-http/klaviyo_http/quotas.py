"""Klaviyo's quotas: how many requests an endpoint accepts, and when the next one may be sent.

An account has, per endpoint, a burst quota (a second), a steady one (a minute) and sometimes a daily one, in fixed
windows (https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling). Klaviyo does not say where they begin,
so the limiter keeps to the quota in *every* interval of that length. Some query parameters draw from a bucket of their
own as well. All moments here are seconds of one monotonic clock.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klaviyo_http.endpoints import ENDPOINTS, MEDIUM, PARAMETER_QUOTAS, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klaviyo_http.endpoints import Quota

SECOND, MINUTE, DAY = 1, 60, 86_400
LONGEST_JOURNEY = 1.0  # seconds from sending a request to its arrival, a new connection included
CLOCK_TOLERANCE = 0.05  # seconds by which the API's minute may be longer than ours
CAUTION = (1.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds without a request after the first, second, … 429 in a row, if the API does not ask for more."""


QUOTAS: Mapping[str, Quota] = {
    **{name: endpoint.quota for name, endpoint in ENDPOINTS.items()},
    **PARAMETER_QUOTAS,
}
"""Bucket -> its quota; a bucket that is not listed has `UNLISTED`."""

UNLISTED = MEDIUM


@dataclass(slots=True)
class Sent:
    """A request that went out."""

    arrived_by: float
    """When it had reached the API at the latest. The API counts it when it arrives, and does not say when that was."""


class Interval:
    """The limit of one length of time."""

    def __init__(self, limit: int, seconds: int, requests: Iterable[Sent] = ()) -> None:
        self.seconds = seconds
        self.requests: deque[Sent] = deque(requests, maxlen=limit)

    def earliest(self) -> float:
        """Return when the next request may go out; 0 if it may do so at once."""
        if len(self.requests) < (self.requests.maxlen or 1):
            return 0.0
        return self.requests[0].arrived_by + self.seconds + CLOCK_TOLERANCE


class Bucket:
    """All intervals of one quota, of which *percent* is used, and the pause after a 429."""

    def __init__(self, quota: Quota, percent: int) -> None:
        self._percent = percent
        self.intervals = {
            seconds: Interval(self._share(limit), seconds)
            for limit, seconds in ((quota.burst, SECOND), (quota.steady, MINUTE), (quota.daily, DAY))
            if limit is not None
        }
        self.paused_until = 0.0
        self.told_until = 0.0
        """The part of the pause that a ``Retry-After`` asked for."""
        self.throttled_since: float | None = None
        """When the API began to throttle; None while it does not."""
        self.probe: object | None = None
        """The one request in flight that probes whether the API still throttles."""
        self._in_a_row = 0

    def earliest(self) -> float:
        """Return when the next request may go out."""
        return max(self.paused_until, *(interval.earliest() for interval in self.intervals.values()))

    def spent_until(self) -> float:
        """Return when the quota is available again, if that takes longer than ordinary pacing (up to a minute)."""
        long = (interval.earliest() for interval in self.intervals.values() if interval.seconds > MINUTE)
        return max(self.told_until, *long, 0.0)

    def count(self, sent: Sent) -> None:
        """Count a request that goes out."""
        for interval in self.intervals.values():
            interval.requests.append(sent)

    def hold(self, until: float) -> None:
        """Send no request before the time that the API named."""
        self.told_until = max(self.told_until, until)
        self.paused_until = max(self.paused_until, until)

    def throttle(self, now: float, longest_pause: float, *, again: bool) -> None:
        """Note a 429.

        One that arrives during the pause answers a request sent before it, and is ignored.

        Args:
            now: The present.
            longest_pause: Seconds; the API may ask for more with `hold`.
            again: Whether it answered the probe.
        """
        if self.throttled_since is not None and not again:
            return
        if self.throttled_since is None:
            self.throttled_since = now
        caution = CAUTION[min(self._in_a_row, len(CAUTION) - 1)]
        self._in_a_row += 1
        self.paused_until = max(self.paused_until, now + min(caution, longest_pause))

    def recover(self) -> None:
        """Note that the API answers again."""
        self.throttled_since = None
        self._in_a_row = 0

    def resize(self, limit: int, seconds: int) -> None:
        """Set the limit of one interval; requests already sent still count."""
        known = self.intervals.get(seconds) or self.intervals[max(self.intervals)]
        if known.seconds != seconds or known.requests.maxlen != self._share(limit):
            self.intervals[seconds] = Interval(self._share(limit), seconds, known.requests)

    def _share(self, limit: int) -> int:
        return max(1, limit * self._percent // 100)


def limits_in(header: str) -> list[tuple[int, int]]:
    """Parse a ``RateLimit-Limit`` into (requests, seconds); invalid parts are skipped.

    >>> limits_in("75, 75;w=1, 750;w=60")
    [(75, 1), (750, 60)]
    """
    pairs = re.findall(r"(?:^|[,\s])([1-9]\d{0,8});w=([1-9]\d{0,6})(?=[,\s]|$)", header, re.ASCII)
    return [(int(limit), int(seconds)) for limit, seconds in pairs]


def buckets_of(method: str, path: str, query: str = "") -> tuple[str, ...]:
    """Name the buckets that a request draws from.

    >>> buckets_of("GET", "/api/profiles", "additional-fields%5Bprofile%5D=subscriptions%2Cpredictive_analytics")
    ('GET /api/profiles', 'predictive_analytics')
    """
    return (bucket_of(method, path), *(name for name in PARAMETER_QUOTAS if name in query))
