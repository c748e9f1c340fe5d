"""How the limiter keeps to the quotas, against a clock that the test moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_klaviyo.limiter import Limiter
from tap_klaviyo.quotas import DAY, MINUTE, SECOND, buckets_of, limits_in

PROFILES = "/api/profiles"


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def send(limiter, clock, names, journey=0.0):
    """Send a request as early as the limiter allows, and take its answer after *journey* seconds; return its ticket."""
    ticket = limiter.ticket(names)
    limiter.line_up(ticket)
    while wait := limiter.admit(ticket):
        clock.now += max(wait, 1e-6)
    limiter.leave(ticket)
    clock.now += journey
    limiter.answered(ticket)
    limiter.served(ticket)
    limiter.done(ticket)
    return ticket


def spend(limiter, clock, names, requests):
    """Send so many requests, each answered at once; return when."""
    sent = []
    for _ in range(requests):
        send(limiter, clock, names)
        sent.append(clock.now)
    return sent


@pytest.mark.req("IN-47")
@given(st.integers(min_value=1, max_value=100), st.integers(min_value=0, max_value=60_000))
def test_no_interval_ever_holds_more_than_its_quota(percent, phase):
    """Nobody tells where the API's windows begin, so no second and no minute may exceed, wherever it begins."""
    clock = Clock(1000 + phase / 1000)
    sent = spend(Limiter(percent, 900, clock), clock, (PROFILES,), 1_000)

    for limit, span in ((75, SECOND), (750, MINUTE)):
        share = max(1, limit * percent // 100)
        assert all(later - earlier >= span for earlier, later in zip(sent, sent[share:], strict=False))
