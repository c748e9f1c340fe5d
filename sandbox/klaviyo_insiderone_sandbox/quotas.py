"""Rate limits: fixed windows of a second, a minute and a day.

Klaviyo counts per account and endpoint (https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling), Insider
One per key and group of endpoints (https://academy.insiderone.com/docs/api-rate-limits).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SECOND, MINUTE, DAY = 1, 60, 86_400

Limits = Mapping[int, int]
"""Window in seconds -> requests permitted in it."""

TIER_XS: Limits = {SECOND: 1, MINUTE: 15}
TIER_S: Limits = {SECOND: 3, MINUTE: 60}
TIER_M: Limits = {SECOND: 10, MINUTE: 150}
TIER_L: Limits = {SECOND: 75, MINUTE: 750}
TIER_XL: Limits = {SECOND: 350, MINUTE: 3500}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A quota that requests draw from: an endpoint's, or a parameter's, which several endpoints share."""

    name: str
    limits: Limits


@dataclass(slots=True)
class Window:
    """The requests counted in one bucket's current window."""

    number: int = -1
    used: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """One bucket's state, human-readable."""

    bucket: str
    window_seconds: int
    limit: int
    used: int


@dataclass(slots=True)
class Quotas:
    """The account's counters."""

    monotonic: Callable[[], float] = time.monotonic
    scale: float | None = 1.0
    """Factor on every limit; None = no quotas."""
    overrides: dict[str, Limits] = field(default_factory=dict)
    """Bucket name -> limits that replace the documented ones."""
    _windows: dict[tuple[str, int], Window] = field(default_factory=dict)
    _limits: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, buckets: list[Bucket]) -> int:
        """Count one request against all *buckets*, or none of them; return the seconds to wait, 0 if it may pass."""
        if self.scale is None:
            return 0
        now = self.monotonic()
        drawn = [
            self._window(bucket, seconds, limit, now) for bucket in buckets for seconds, limit in self.limits_of(bucket)
        ]
        waits = [(int(now // seconds) + 1) * seconds - now for window, seconds, limit in drawn if window.used >= limit]
        if waits:
            return max(1, math.ceil(max(waits)))
        for window, _, _ in drawn:
            window.used += 1
        return 0

    def limits_of(self, bucket: Bucket) -> list[tuple[int, int]]:
        """Return ``(window seconds, scaled limit)``, shortest window first."""
        limits = self.overrides.get(bucket.name, bucket.limits)
        return [(seconds, max(1, int(limit * (self.scale or 1)))) for seconds, limit in sorted(limits.items())]

    def headers(self, bucket: Bucket) -> dict[str, str]:
        """Compose the headers of an ok response: the burst quota first, and a remainder counted against it."""
        if self.scale is None:
            return {}
        limits = self.limits_of(bucket)
        burst_seconds, burst = limits[0]
        used = self._windows[bucket.name, burst_seconds].used
        listed = [str(burst), *(f"{limit};w={seconds}" for seconds, limit in limits)]
        return {
            "RateLimit-Limit": ", ".join(listed),
            "RateLimit-Remaining": str(max(0, burst - used)),
            "RateLimit-Reset": "0",
        }

    def usage(self) -> list[Usage]:
        """Return every counter whose window is still open."""
        now = self.monotonic()
        return [
            Usage(name, seconds, self._limits[name, seconds], window.used)
            for (name, seconds), window in sorted(self._windows.items())
            if window.number == int(now // seconds)
        ]

    def reset(self) -> None:
        """Return to the documented limits, with nothing counted."""
        self.scale = 1.0
        self.overrides.clear()
        self._windows.clear()

    def _window(self, bucket: Bucket, seconds: int, limit: int, now: float) -> tuple[Window, int, int]:
        window = self._windows.setdefault((bucket.name, seconds), Window())
        self._limits[bucket.name, seconds] = limit
        number = int(now // seconds)
        if window.number != number:
            window.number, window.used = number, 0
        return window, seconds, limit


def parse_limits(text: str) -> dict[int, int]:
    """Parse limits spelt as in the header: ``75;w=1, 750;w=60``.

    Raises:
        ValueError: The text has another form.
    """
    matches = [re.fullmatch(r"\s*(\d+);w=(\d+)\s*", part) for part in text.split(",")]
    found = {int(match[2]): int(match[1]) for match in matches if match}
    if len(found) != len(matches):
        raise ValueError(f"limits must look like '75;w=1, 750;w=60', not {text!r}")
    return found
