"""Threads at the turnstile: nobody waits for ever, and nobody is forgotten."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tap_klaviyo.errors import RequestAbandonedError
from tap_klaviyo.turnstile import QuotaNotInTimeError, Turnstile

PROFILES = ("/api/profiles",)
WORKERS = 8


@pytest.fixture
def workers():
    with ThreadPoolExecutor(WORKERS) as executor:
        yield executor


def throttle(turnstile, retry_after):
    """Have a request answered by a 429."""
    ticket = turnstile.ticket(PROFILES)
    with turnstile.passage(ticket):
        turnstile.throttled(ticket, retry_after)


def waiting_workers(turnstile, workers, work=lambda _ticket: None):
    """Have every worker ask for the way through; return once all of them have begun to."""
    gate = threading.Barrier(WORKERS + 1)

    def ask():
        ticket = turnstile.ticket(PROFILES)
        gate.wait()
        with turnstile.passage(ticket):
            work(ticket)

    asked = [workers.submit(ask) for _ in range(WORKERS)]
    gate.wait()
    return asked


def test_closing_ends_every_wait_at_once(workers):
    """A run that is stopped must not hang for the rest of a Retry-After."""
    turnstile = Turnstile(100, 900)
    throttle(turnstile, 800)
    asked = waiting_workers(turnstile, workers)
    backing_off = workers.submit(turnstile.pause, turnstile.ticket(PROFILES), 800)
    turnstile.close()

    assert {type(one.exception(timeout=10)) for one in [*asked, backing_off]} == {RequestAbandonedError}
    with pytest.raises(RequestAbandonedError), turnstile.passage(turnstile.ticket(PROFILES)):
        pass


def test_abandoned_requests_end_and_later_ones_do_not(workers):
    """A stream that has failed must not go on asking while the next one is read; they may draw from one quota."""
    turnstile = Turnstile(100, 900)
    throttle(turnstile, 0.3)
    asked = [workers.submit(turnstile.pause, turnstile.ticket(PROFILES), 800) for _ in range(3)]
    turnstile.abandon()
    later = turnstile.ticket(PROFILES)
    with turnstile.passage(later):
        turnstile.served(later, "")

    assert {type(one.exception(timeout=10)) for one in asked} == {RequestAbandonedError}


@pytest.mark.req("C-19")
def test_pause_that_outlasts_the_budget_reaches_all_who_wait(workers):
    """One of them learns it from its answer; the others must not wait for their turn to hear of it."""
    turnstile = Turnstile(100, 900)
    throttle(turnstile, 800)
    asked = waiting_workers(turnstile, workers)
    last = turnstile.ticket(PROFILES)
    with pytest.raises(QuotaNotInTimeError):
        turnstile.throttled(last, 5_000)
    spent = [one.exception(timeout=10) for one in asked]

    assert {type(error) for error in spent} == {QuotaNotInTimeError}
    assert all(4_900 < error.spent.seconds <= 5_000 for error in spent)


@pytest.mark.req("C-20")
def test_only_one_thread_probes_and_each_failure_hands_the_probing_on(workers):
    """All but the last die without an answer; that one's success ends the throttling."""
    turnstile = Turnstile(100, 4)
    throttle(turnstile, 0.2)
    inside, crowd, order = threading.Semaphore(1), [], []

    def work(ticket):
        if not inside.acquire(blocking=False):
            crowd.append(ticket.number)
        order.append(ticket.number)
        inside.release()
        if len(order) < WORKERS:
            raise ConnectionResetError
        turnstile.served(ticket, "")

    asked = waiting_workers(turnstile, workers, work)
    outcomes = [type(one.exception(timeout=10)) for one in asked]

    assert sorted(map(str, outcomes)) == sorted(map(str, [ConnectionResetError] * (WORKERS - 1) + [type(None)]))
    assert crowd == []
    assert len(order) == WORKERS
