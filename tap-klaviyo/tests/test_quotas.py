"""The limiter, against a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_klaviyo.quotas import Limiter, buckets_of

PROFILES = "/api/profiles"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def spend(limiter: Limiter, clock: Clock, names: tuple[str, ...], requests: int) -> list[float]:
    """Send as early as the limiter allows; return when."""
    sent = []
    for _ in range(requests):
        while not limiter.take(names):
            clock.now += max(limiter.delay(names), 1e-6)
        sent.append(clock.now)
    return sent


@given(st.integers(min_value=1, max_value=100), st.integers(min_value=0, max_value=60_000))
def test_no_interval_ever_holds_more_than_its_quota(percent, phase):
    """Nobody tells where the API's windows begin, so no second and no minute may exceed, wherever it begins."""
    clock = Clock()
    clock.now += phase / 1000
    sent = spend(Limiter(percent, clock), clock, (PROFILES,), 1_000)

    for limit, span in ((75, 1.0), (750, 60.0)):
        share = max(1, limit * percent // 100)
        assert all(later - earlier >= span for earlier, later in zip(sent, sent[share:], strict=False))


def test_the_minute_is_used_up():
    """750 requests of the first minute go out within its first ten seconds, the next 750 right after it."""
    clock = Clock()
    sent = spend(Limiter(100, clock), clock, (PROFILES,), 1_500)

    assert sent[749] - sent[0] < 11
    assert sent[-1] - sent[0] < 72


@pytest.mark.req("C-20")
def test_pause_holds_every_caller_back():
    """One 429 speaks for all threads."""
    clock = Clock()
    limiter = Limiter(100, clock)
    limiter.pause((PROFILES,), 25)

    assert not limiter.take((PROFILES,))
    assert limiter.delay((PROFILES,)) == 25
    assert limiter.take(("/api/events",))


def test_parameter_draws_from_a_bucket_of_its_own_as_well():
    """Predictive analytics cut the profile quota to a fifth, wherever they are asked for."""
    clock = Clock()
    names = buckets_of(PROFILES, "additional-fields%5Bprofile%5D=subscriptions%2Cpredictive_analytics")
    sent = spend(Limiter(100, clock), clock, names, 20)

    assert names == (PROFILES, "predictive_analytics")
    assert sent[10] - sent[0] >= 1
    assert buckets_of(PROFILES, "additional-fields%5Bprofile%5D=subscriptions") == (PROFILES,)


def test_limits_that_the_account_states_are_taken_over():
    """With what was already sent still counted, and a daily window where there is one."""
    clock = Clock()
    limiter = Limiter(50, clock)
    spend(limiter, clock, (PROFILES,), 3)
    limiter.learn(PROFILES, "10, 10;w=1, 40;w=60, 8;w=86400")

    assert limiter.take((PROFILES,))
    assert not limiter.take((PROFILES,))
    assert limiter.delay((PROFILES,)) > 80_000
