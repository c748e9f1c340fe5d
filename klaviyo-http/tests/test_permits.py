"""Threads at the permits: nobody waits for ever, and nobody is forgotten."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from klaviyo_http.errors import RequestAbandonedError
from klaviyo_http.permits import Permits, QuotaNotInTimeError

PROFILES = ("GET /api/profiles",)
WORKERS = 8


@pytest.fixture
def permits():
    return Permits(100, 900)


@pytest.fixture
def workers(permits):
    """Offer threads; at the end none waits any more, so that a test that fails does not hang."""
    with ThreadPoolExecutor(WORKERS) as executor:
        yield executor
        permits.close()


def throttle(permits, retry_after):
    """Have a request answered by a 429."""
    ticket = permits.ticket(PROFILES)
    with permits.permit(ticket):
        permits.throttled(ticket, retry_after)


def until_waiting(permits, number):
    """Return once this many threads are waiting to be called; no public attribute shows that."""
    while sum(len(called._waiters) for called in list(permits._waiting.values())) < number:
        pass


def waiting_workers(permits, workers, work=lambda _ticket: None):
    """Have every worker wait for the way through."""

    def ask():
        ticket = permits.ticket(PROFILES)
        with permits.permit(ticket):
            work(ticket)

    asked = [workers.submit(ask) for _ in range(WORKERS)]
    until_waiting(permits, WORKERS)
    return asked


def test_closing_ends_permit_waits(permits, workers):
    """Closing ends every wait at once. A run that is stopped must not hang for the rest of a Retry-After."""
    throttle(permits, 800)
    asked = waiting_workers(permits, workers)
    permits.close()

    assert {type(one.exception(timeout=10)) for one in asked} == {RequestAbandonedError}
    with pytest.raises(RequestAbandonedError), permits.permit(permits.ticket(PROFILES)):
        pass


def test_abandoning_spares_later_requests(permits, workers):
    """Abandoned requests end and later ones do not.

    A stream that has failed must not go on asking while the next one is read; they may draw from one quota.
    """
    throttle(permits, 0.3)
    asked = [workers.submit(permits.pause, permits.ticket(PROFILES), 800) for _ in range(3)]
    until_waiting(permits, 3)
    permits.abandon()
    later = permits.ticket(PROFILES)
    with permits.permit(later):
        permits.served(later, "")

    assert {type(one.exception(timeout=10)) for one in asked} == {RequestAbandonedError}


@pytest.mark.req("C-19")
def test_long_pause_reaches_all_waiters(permits, workers):
    """Pause that outlasts the budget reaches all who wait.

    One of them learns it from its answer; the others must not wait for their turn to hear of it.
    """
    throttle(permits, 800)
    asked = waiting_workers(permits, workers)
    last = permits.ticket(PROFILES)
    with pytest.raises(QuotaNotInTimeError):
        permits.throttled(last, 5_000)
    spent = [one.exception(timeout=10) for one in asked]

    assert {type(error) for error in spent} == {QuotaNotInTimeError}
    assert all(4_900 < error.spent.seconds <= 5_000 for error in spent)


@pytest.mark.req("C-20")
def test_one_thread_probes_at_once(permits, workers):
    """Only one thread probes and each failure hands the probing on.

    All but the last die without an answer, each while the others wait. What the last one gets ends it.
    """
    throttle(permits, 0.2)
    order = []

    def work(ticket):
        order.append(ticket.number)
        until_waiting(permits, WORKERS - len(order))
        if len(order) < WORKERS:
            raise ConnectionResetError
        permits.served(ticket, "")

    asked = waiting_workers(permits, workers, work)
    outcomes = [one.exception(timeout=10) for one in asked]

    assert sum(isinstance(error, ConnectionResetError) for error in outcomes) == WORKERS - 1
    assert sum(error is None for error in outcomes) == 1
    assert order == sorted(order)


def test_waiters_are_released_together(permits, workers):
    """All go out together when the wait is over.

    Nobody waits for the answer of the one before, unless that is a probe.
    """
    permits.hold(permits.ticket(PROFILES), 0.2)
    together = threading.Barrier(WORKERS)
    asked = waiting_workers(permits, workers, lambda _ticket: together.wait(timeout=10))

    assert [one.exception(timeout=20) for one in asked] == [None] * WORKERS
