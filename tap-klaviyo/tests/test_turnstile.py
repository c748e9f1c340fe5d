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
def turnstile():
    return Turnstile(100, 900)


@pytest.fixture
def workers(turnstile):
    """Offer threads; at the end none waits any more, so that a test that fails does not hang."""
    with ThreadPoolExecutor(WORKERS) as executor:
        yield executor
        turnstile.close()


def throttle(turnstile, retry_after):
    """Have a request answered by a 429."""
    ticket = turnstile.ticket(PROFILES)
    with turnstile.passage(ticket):
        turnstile.throttled(ticket, retry_after)


def until_waiting(turnstile, number):
    """Return once so many threads have looked around and wait to be called; nothing public tells that."""
    while sum(len(called._waiters) for called in list(turnstile._waiting.values())) < number:
        pass


def waiting_workers(turnstile, workers, work=lambda _ticket: None):
    """Have every worker wait for the way through."""

    def ask():
        ticket = turnstile.ticket(PROFILES)
        with turnstile.passage(ticket):
            work(ticket)

    asked = [workers.submit(ask) for _ in range(WORKERS)]
    until_waiting(turnstile, WORKERS)
    return asked


def test_closing_ends_every_wait_at_once(turnstile, workers):
    """A run that is stopped must not hang for the rest of a Retry-After."""
    throttle(turnstile, 800)
    asked = waiting_workers(turnstile, workers)
    turnstile.close()

    assert {type(one.exception(timeout=10)) for one in asked} == {RequestAbandonedError}
    with pytest.raises(RequestAbandonedError), turnstile.passage(turnstile.ticket(PROFILES)):
        pass


def test_abandoned_requests_end_and_later_ones_do_not(turnstile, workers):
    """A stream that has failed must not go on asking while the next one is read; they may draw from one quota."""
    throttle(turnstile, 0.3)
    asked = [workers.submit(turnstile.pause, turnstile.ticket(PROFILES), 800) for _ in range(3)]
    until_waiting(turnstile, 3)
    turnstile.abandon()
    later = turnstile.ticket(PROFILES)
    with turnstile.passage(later):
        turnstile.served(later, "")

    assert {type(one.exception(timeout=10)) for one in asked} == {RequestAbandonedError}


@pytest.mark.req("C-19")
def test_pause_that_outlasts_the_budget_reaches_all_who_wait(turnstile, workers):
    """One of them learns it from its answer; the others must not wait for their turn to hear of it."""
    throttle(turnstile, 800)
    asked = waiting_workers(turnstile, workers)
    last = turnstile.ticket(PROFILES)
    with pytest.raises(QuotaNotInTimeError):
        turnstile.throttled(last, 5_000)
    spent = [one.exception(timeout=10) for one in asked]

    assert {type(error) for error in spent} == {QuotaNotInTimeError}
    assert all(4_900 < error.spent.seconds <= 5_000 for error in spent)


@pytest.mark.req("C-20")
def test_only_one_thread_probes_and_each_failure_hands_the_probing_on(turnstile, workers):
    """All but the last die without an answer, each while the others wait. What the last one gets ends it."""
    throttle(turnstile, 0.2)
    order = []

    def work(ticket):
        order.append(ticket.number)
        until_waiting(turnstile, WORKERS - len(order))
        if len(order) < WORKERS:
            raise ConnectionResetError
        turnstile.served(ticket, "")

    asked = waiting_workers(turnstile, workers, work)
    outcomes = [one.exception(timeout=10) for one in asked]

    assert sum(isinstance(error, ConnectionResetError) for error in outcomes) == WORKERS - 1
    assert sum(error is None for error in outcomes) == 1
    assert order == sorted(order)


def test_all_go_out_together_when_the_wait_is_over(turnstile, workers):
    """Nobody waits for the answer of the one before, unless that is a probe."""
    turnstile.hold(turnstile.ticket(PROFILES), 0.2)
    together = threading.Barrier(WORKERS)
    asked = waiting_workers(turnstile, workers, lambda _ticket: together.wait(timeout=10))

    assert [one.exception(timeout=20) for one in asked] == [None] * WORKERS
