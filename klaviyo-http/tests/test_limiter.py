"""Throttling: one pause for everybody, one probe after it, one end. Workers are played, and the clock is moved."""

from __future__ import annotations

import heapq
import math
from itertools import pairwise

import pytest
from klaviyo_http.limiter import Limiter, Spent

PROFILES = "GET /api/profiles"
WORKERS = 16
LATENCY = 0.2


class Account:
    """Sixteen workers that ask for page after page, and an API that answers as *answer* says.

    *answer* takes the time at which a request arrives, and returns None (served), the word ``"fails"`` (500), or the
    ``Retry-After`` of a 429 (0 = it has none).
    """

    def __init__(self, answer, patience=900.0):
        self.now = 0.0
        self.limiter = Limiter(100, patience, lambda: self.now)
        self.answer = answer
        self.sent = []
        self.throttled = []
        self.spent = []
        self.served = 0

    def play(self, pages, until=math.inf):
        """Let the workers go on until so many pages were served, some second is reached, or nobody is left."""
        waiting = [self.limiter.ticket((PROFILES,)) for _ in range(WORKERS)]
        for ticket in waiting:
            self.limiter.line_up(ticket)
        under_way = []
        while self.served < pages and self.now < until:
            delay = self.admit(waiting, under_way)
            if not waiting and not under_way:
                return
            arrival = under_way[0][0] if under_way else math.inf
            self.now = min(arrival, self.now + delay)
            if self.now == arrival:
                self.take(heapq.heappop(under_way), waiting)

    def admit(self, waiting, under_way):
        """Let out who may go; return the seconds until somebody else may."""
        for ticket in sorted(waiting):
            delay = self.limiter.admit(ticket)
            if isinstance(delay, Spent):
                self.spent.append((self.now, delay.seconds))
            if delay == 0.0:
                self.sent.append(self.now)
                heapq.heappush(under_way, (self.now + LATENCY, ticket, self.answer(self.now)))
            if delay == 0.0 or isinstance(delay, Spent):
                self.limiter.leave(ticket)
                waiting.remove(ticket)
        delays = [self.limiter.admit(ticket) for ticket in self.limiter.first()]
        return min((delay for delay in delays if isinstance(delay, float)), default=math.inf)

    def take(self, answered, waiting):
        """Take an answer; the worker asks for another page, or again for the same."""
        _, ticket, answer = answered
        self.limiter.answered(ticket)
        again = ticket
        if answer is None:
            self.served += 1
            self.limiter.served(ticket)
            again = self.limiter.ticket((PROFILES,))
        elif answer != "fails":
            self.throttled.append(self.now)
            pause = self.limiter.throttled(ticket, answer)
            again = None if isinstance(pause, Spent) else ticket
            self.spent += [(self.now, pause.seconds)] if isinstance(pause, Spent) else []
        self.limiter.done(ticket)
        if again:
            self.limiter.line_up(again)
            waiting.append(again)


RETRY_AFTER = {
    "what is left": math.ceil,
    "always one second": lambda _: 1,
    "none": lambda _: 0,
}


@pytest.mark.req("C-20")
@pytest.mark.parametrize("retry_after", RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
def test_throttling_costs_two_requests(retry_after):
    """Throttling of 25 seconds costs at most two requests besides those in flight.

    Whatever ``Retry-After`` says: sixteen may be under way when it begins, and no crowd knocks at a closed door.
    """
    account = Account(lambda now: retry_after(26.5 - now) if 1.5 <= now < 26.5 else None)
    account.play(pages=200)

    assert account.served == 200
    assert len(account.throttled) <= WORKERS + 2


@pytest.mark.req("C-20")
def test_retry_after_is_respected():
    """No request is sent before a Retry-After has passed. The longest one counts, for every worker."""
    account = Account(lambda now: {0.0: 7}.get(now, 3) if now < 7 else None)
    account.play(pages=50)

    assert [moment for moment in account.sent if LATENCY < moment < LATENCY + 7] == []
    assert account.served == 50


def test_successful_probe_releases_all():
    """One request probes and its success lets all others out. Once the API answers, nothing is held back any more."""
    account = Account(lambda now: 2 if now < 1 else None)
    account.play(pages=WORKERS + 1)
    after = [moment for moment in account.sent if moment > 1]

    assert after[1] - after[0] == pytest.approx(LATENCY)
    assert after[1 : WORKERS + 1] == [after[1]] * WORKERS


def test_failed_probe_is_passed_on():
    """Probe that fails otherwise hands the probing on.

    A reset or a 500 says nothing about the quota; whoever is next asks, and nobody waits for ever.
    """
    answers = iter([2.0] * WORKERS + ["fails"] * 5)
    account = Account(lambda _: next(answers, None))
    account.play(pages=40, until=600)
    probes = account.sent[WORKERS : WORKERS + 6]

    assert account.served == 40
    assert [round(later - earlier, 3) for earlier, later in pairwise(probes)] == [LATENCY] * 5


@pytest.mark.req("C-19")
def test_long_pause_ends_all_requests():
    """Pause beyond the budget ends every request at once.

    Those that wait for somebody else's probe included, and each learns when the quota returns.
    """
    account = Account(lambda now: 600 if now < 2000 else None)
    account.play(pages=1, until=3000)

    assert account.served == 0
    assert len(account.throttled) == WORKERS + 1
    assert len(account.spent) == WORKERS
    assert {(round(moment, 1), seconds) for moment, seconds in account.spent} == {(600.4, 600.0)}


def test_retry_after_within_budget_waits():
    """Retry-After as long as the budget is waited for. It is not beyond it; the request goes out once more."""
    account = Account(lambda now: 1 if now < 1 else None, patience=1)
    account.play(pages=WORKERS)

    assert account.spent == []
    assert account.served == WORKERS


def test_endless_throttling_ends_in_budget():
    """Endless throttling ends every request within the budget.

    Also where the API never says when: then the error does not pretend to know.
    """
    account = Account(lambda _: 0, patience=60)
    account.play(pages=1, until=3000)

    assert len(account.spent) == WORKERS
    assert {seconds for _, seconds in account.spent} == {None}
    assert max(moment for moment, _ in account.spent) <= 61


def test_recovery_begins_the_caution_anew():
    """A throttling an hour later is a new one: it does not start with the pause that the last one had reached."""
    account = Account(lambda now: 0 if now < 15 or 100 <= now < 100.5 else None)
    account.play(pages=100_000, until=103)

    assert account.sent[-1] > 102


def test_throttled_bucket_leaves_others_alone():
    """Throttled bucket leaves the others alone. Events are read on while profiles are throttled."""
    limiter = Limiter(100, 900, lambda: 0.0)
    profiles, events = limiter.ticket((PROFILES,)), limiter.ticket(("GET /api/events",))
    limiter.line_up(profiles)
    limiter.admit(profiles)
    limiter.leave(profiles)
    limiter.throttled(profiles, 25)
    limiter.done(profiles)
    limiter.line_up(profiles)
    limiter.line_up(events)

    assert limiter.admit(profiles) == 25
    assert limiter.admit(events) == 0


def let_out(limiter, ticket):
    """Have a request wait its turn, which has come."""
    limiter.line_up(ticket)
    assert limiter.admit(ticket) == 0.0
    limiter.leave(ticket)


@pytest.mark.req("C-20")
def test_budget_starts_at_first_failure():
    """Budget of a request counts from its first failure.

    Also where others were served meanwhile: a page that is throttled again and again must not take for ever.
    """
    now = [0.0]
    limiter = Limiter(100, 10, lambda: now[0])
    unlucky, lucky = limiter.ticket((PROFILES,)), limiter.ticket((PROFILES,))
    let_out(limiter, unlucky)
    limiter.throttled(unlucky, 2)
    limiter.done(unlucky)
    now[0] = 3.0
    let_out(limiter, lucky)
    limiter.served(lucky)
    limiter.done(lucky)
    now[0] = 8.0
    let_out(limiter, unlucky)

    assert limiter.throttled(unlucky, 5) == Spent(5.0)


@pytest.mark.req("C-20")
def test_waiters_give_up_with_probe():
    """Request that only waits for the probes of others gives up with them.

    Its own attempts have not even begun; else every worker would add a budget of its own, one after the other.
    """
    now = [0.0]
    limiter = Limiter(100, 10, lambda: now[0])
    asking, waiting = limiter.ticket((PROFILES,)), limiter.ticket((PROFILES,))
    let_out(limiter, asking)
    limiter.throttled(asking, 5)
    limiter.done(asking)
    now[0] = 6.0
    let_out(limiter, asking)
    limiter.line_up(waiting)
    limiter.throttled(asking, 9)
    limiter.done(asking)

    assert limiter.admit(waiting) == Spent(9.0)
