"""How many requests at once: tried out by noting how long they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_klaviyo.reading.concurrency import DECAY, EASE, STRAIN, WORTH_WINDOWS, Concurrency

MOST = 16
INSTANT = 0.0  # an emission that takes no time: as many requests are of use as are allowed


def noted(*durations, most=MOST):
    concurrency = Concurrency(most)
    for seconds in durations:
        concurrency.note(seconds)
    return concurrency


def rounds(*durations):
    """The number allowed after each round of requests that all take so long."""
    concurrency, allowed = Concurrency(MOST), []
    for seconds in durations:
        for _ in range(allowed[-1] if allowed else 1):
            concurrency.note(seconds)
        allowed.append(concurrency.useful(INSTANT))
    return allowed


@given(st.lists(st.floats(0.0, 100.0), max_size=200), st.integers(1, 16), st.floats(0.0, 10.0))
def test_concurrency_stays_in_bounds(durations, most, emission):
    """There is one at least and never more than allowed. Whatever the durations."""
    assert 1 <= noted(*durations, most=most).useful(emission) <= most


def test_quick_requests_quadruple_concurrency():
    """As long as requests stay quick there are four times as many.

    The second round tells of four at once, the third of sixteen.
    """
    assert rounds(0.2, 0.2 * EASE, 0.2) == [4, 16, 16]


def test_slow_requests_halve_concurrency():
    """Requests that take longer for being many are halved.

    Up to twice the quickest there may be more; beyond three times there are fewer; between the two it stays.
    """
    strained = 0.2 * STRAIN * DECAY**60

    assert rounds(0.2, 0.2, strained, strained) == [4, 16, 8, 4]
    assert rounds(0.2, 0.2 * (EASE + STRAIN) / 2) == [4, 4]


def test_single_slow_request_is_ignored():
    """One slow request of a round is not held against the others. A round is judged by its median."""
    assert noted(0.2, 0.2, 0.2, 0.2, 30.0).useful(INSTANT) == MOST


def test_quickest_time_is_forgotten():
    """A server that has become slower for good is not overloaded forever; it may have been night there an hour ago."""
    concurrency = noted(0.01)
    allowed = []
    for _ in range(600):
        concurrency.note(0.2)
        allowed.append(concurrency.useful(INSTANT))

    assert min(allowed) < 4
    assert allowed[-1] == MOST
    assert allowed[50] < 4  # but not at once


@pytest.mark.req("C-9")
@pytest.mark.parametrize(
    ("emission", "useful"),
    [
        (0.2 / WORTH_WINDOWS * 1.01, 1),
        (0.2 / WORTH_WINDOWS * 0.99, 6),
        (0.02, 11),
        (0.01, 16),
    ],
)
def test_concurrency_hides_fetch_time(emission, useful):
    """As many are of use as hide a request behind emission.

    Ten pages are emitted while one request is under way: eleven of them, and nobody waits.
    """
    assert noted(0.2, 0.2, 0.2, 0.2, 0.2).useful(emission) == useful
