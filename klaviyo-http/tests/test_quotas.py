"""Pacing: how many requests the limiter lets out, and when, against a clock that the test moves."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.limiter import Limiter, Spent
from klaviyo_http.quotas import DAY, MINUTE, SECOND, buckets_of, limits_in

PROFILES = "GET /api/profiles"
PREDICTIONS = buckets_of("GET", "/api/profiles", "additional-fields%5Bprofile%5D=subscriptions%2Cpredictive_analytics")


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


def send(limiter, clock, names=(PROFILES,), journey=0.0):
    """Send a request as early as the limiter allows, and take its answer *journey* seconds later; return when sent."""
    ticket = limiter.ticket(names)
    limiter.line_up(ticket)
    while wait := limiter.admit(ticket):
        clock.now += max(wait, 1e-6)
    limiter.leave(ticket)
    sent = clock.now
    clock.now += journey
    limiter.answered(ticket)
    limiter.served(ticket)
    limiter.done(ticket)
    return sent


@given(st.integers(min_value=1, max_value=100), st.integers(min_value=0, max_value=60_000))
def test_no_interval_exceeds_its_quota(percent, phase):
    """No interval ever holds more than its quota.

    It is unknown when the API's windows begin, so no second and no minute may exceed the quota, whenever it begins.
    """
    clock = Clock(1000 + phase / 1000)
    limiter = Limiter(percent, 900, clock)
    sent = [send(limiter, clock) for _ in range(1_000)]

    for limit, span in ((75, SECOND), (750, MINUTE)):
        share = max(1, limit * percent // 100)
        assert all(later - earlier >= span for earlier, later in zip(sent, sent[share:], strict=False))


@given(st.lists(st.floats(min_value=0, max_value=0.9), min_size=300, max_size=300))
def test_quota_holds_for_slow_requests(journeys):
    """Quota holds however long requests travel.

    The API counts a request when it arrives, which may be as late as its answer, and as early as it was sent.
    """
    clock = Clock()
    limiter = Limiter(100, 900, clock)
    limiter.learn(limiter.ticket((PROFILES,)), "10, 10;w=1, 100;w=60")
    sent = [send(limiter, clock, journey=journey) for journey in journeys]
    arrived = [moment + journey for moment, journey in zip(sent, journeys, strict=True)]

    for limit, span in ((10, SECOND), (100, MINUTE)):
        assert all(early - late >= span for late, early in zip(arrived, sent[limit:], strict=False))


def test_minute_is_used_up(clock):
    """750 requests of the first minute go out within its first twelve seconds, the next 750 right after it."""
    limiter = Limiter(100, 900, clock)
    sent = [send(limiter, clock) for _ in range(1_500)]

    assert sent[749] - sent[0] < 12
    assert sent[-1] - sent[0] < 72


@pytest.mark.req("CS-05")
def test_parameter_has_its_own_bucket(clock):
    """A parameter also uses its own bucket.

    Predictive analytics cut the profile quota to a fifth, wherever they are asked for, and its share likewise.
    """
    limiter = Limiter(50, 900, clock)
    sent = [send(limiter, clock, PREDICTIONS) for _ in range(76)]

    assert PREDICTIONS == (PROFILES, "predictive_analytics")
    assert buckets_of("GET", "/api/profiles", "additional-fields%5Bprofile%5D=subscriptions") == (PROFILES,)
    assert sent[5] - sent[0] >= SECOND
    assert sent[75] - sent[0] >= MINUTE


def test_stated_limits_are_adopted(clock):
    """Limits that the account states are taken over.

    With what was already sent still counted, and a daily window where there is one.
    """
    limiter = Limiter(50, 900, clock)
    for _ in range(3):
        send(limiter, clock)
    limiter.learn(limiter.ticket((PROFILES,)), "10, 10;w=1, 40;w=60, 8;w=86400")
    send(limiter, clock)
    waiting = limiter.ticket((PROFILES,))
    limiter.line_up(waiting)
    refused = limiter.admit(waiting)

    assert isinstance(refused, Spent)
    assert refused.seconds == pytest.approx(DAY, rel=0.01)


def test_ambiguous_limits_are_ignored(clock):
    """Limits of an answer that two buckets gave are taken for neither.

    It is not told which of them is meant; taken for the endpoint's, the smaller one would outlast the parameter.
    """
    limiter = Limiter(100, 900, clock)
    limiter.learn(limiter.ticket(PREDICTIONS), "10, 10;w=1, 150;w=60")
    sent = [send(limiter, clock) for _ in range(75)]

    assert sent[74] == sent[0]


def test_steady_pace_never_gives_up(clock):
    """Keeping pace is no reason to give up.

    However small the retry budget: a quota of a minute returns, a daily one does not.
    """
    limiter = Limiter(1, 0, clock)
    sent = [send(limiter, clock) for _ in range(15)]

    assert sent[7] - sent[0] >= MINUTE
    assert sent[14] - sent[7] >= MINUTE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "75",
        "unlimited;w=never",
        "0, 0;w=1, 0;w=0",
        "-1;w=-60",
        f"{'9' * 5_000};w=60",
        f"{sys.maxsize}9;w=1",
        "7.5;w=60",
        "\N{SUPERSCRIPT TWO};w=1",
        ";;;w=,,w==1",
    ],
    ids=range(10),
)
def test_header_without_sense_changes_nothing(clock, header):
    """A proxy may write what it likes; the documented limits stand until the API states others."""
    limiter = Limiter(100, 900, clock)
    limiter.learn(limiter.ticket((PROFILES,)), header)
    sent = [send(limiter, clock) for _ in range(751)]

    assert sent[74] == sent[0]
    assert sent[75] - sent[0] >= SECOND
    assert sent[750] - sent[0] >= MINUTE


def test_limits_header_order_is_irrelevant():
    """Limits are read wherever they stand in the header. In any order, with or without spaces."""
    assert limits_in("75, 75;w=1, 750;w=60") == [(75, 1), (750, 60)]
    assert limits_in("750;w=60,75;w=1") == [(750, 60), (75, 1)]


def test_unlisted_endpoint_has_quota(clock):
    """Endpoint that nobody listed has a quota too.

    A link may name a path that the table does not know; it is kept to a modest pace, not refused by a mistake.
    """
    limiter = Limiter(100, 900, clock)
    sent = [send(limiter, clock, ("GET /api/unheard-of",)) for _ in range(11)]

    assert sent[9] == sent[0]
    assert sent[10] - sent[0] >= SECOND


def test_trailing_slash_shares_endpoint():
    """A slash at the end of a path does not make another endpoint.

    Klaviyo takes collections with or without one, and its links may have it: it is the same quota.
    """
    assert buckets_of("GET", "/api/profiles/", "sort=updated") == (PROFILES,)
    assert buckets_of("GET", "/api/profiles", "sort=updated") == (PROFILES,)


def test_requests_keep_their_order(clock):
    """Requests go out in the order asked.

    The oldest page is the one that everything waits for; who asks later does not overtake it for the same quota.
    """
    limiter = Limiter(100, 900, clock)
    limiter.learn(limiter.ticket((PROFILES,)), "1, 1;w=1")
    send(limiter, clock)
    first, second = limiter.ticket((PROFILES,)), limiter.ticket((PROFILES,))
    other = limiter.ticket(("GET /api/events",))
    for ticket in (second, other, first):  # a repeated request comes back later, and keeps its place
        limiter.line_up(ticket)
    early = (limiter.admit(second), limiter.admit(other))
    clock.now += 2

    assert early == (math.inf, 0.0)
    assert limiter.admit(second) == math.inf
    assert limiter.admit(first) == 0.0
