"""Permits: each thread waits for one before it sends a request."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from klaviyo_http.errors import RequestAbandonedError
from klaviyo_http.limiter import Limiter, Spent, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator


class QuotaNotInTimeError(Exception):
    """The quota does not recover within the caller's time limit; `spent` says when it does."""

    def __init__(self, spent: Spent) -> None:
        super().__init__(spent)
        self.spent = spent


class Permits:
    """Gives the threads of a run their permits, as its limiter decides; shared by all threads.

    Args:
        percent: The share of each quota to use.
        patience: Seconds for which a request is worth waiting and repeating.
    """

    def __init__(self, percent: int, patience: float) -> None:
        self._limiter = Limiter(percent, patience, time.monotonic)
        self._lock = threading.Lock()
        self._waiting: dict[int, threading.Condition] = {}
        """Number of a ticket -> the condition that its thread waits for."""
        self._abandoned: float = 0
        """Requests up to this number are abandoned."""

    def ticket(self, names: tuple[str, ...]) -> Ticket:
        """Create a ticket for a request."""
        with self._lock:
            return self._limiter.ticket(names)

    @contextmanager
    def permit(self, ticket: Ticket) -> Iterator[None]:
        """Wait until the request may be sent, and hold its slot while it is in flight.

        Raises:
            QuotaNotInTimeError: The quota does not return in time.
            RequestAbandonedError: Nobody awaits it any more.
        """
        try:
            self._enter(ticket)
            yield
        finally:
            with self._lock:
                self._limiter.done(ticket)
                self._call_first()

    def answered(self, ticket: Ticket) -> None:
        """Note that an answer has come."""
        with self._lock:
            self._limiter.answered(ticket)
            self._call_first()

    def served(self, ticket: Ticket, limits: str) -> None:
        """Note that the API does not throttle this request, and the ``RateLimit-Limit`` of its answer."""
        with self._lock:
            self._limiter.served(ticket)
            self._limiter.learn(ticket, limits)

    def throttled(self, ticket: Ticket, retry_after: float) -> float:
        """Pause all requests after a 429; return for how many seconds.

        Raises:
            QuotaNotInTimeError: The quota does not return in time.
        """
        with self._lock:
            pause = self._limiter.throttled(ticket, retry_after)
            self._call_all()
        return _in_time(pause)

    def hold(self, ticket: Ticket, seconds: float) -> None:
        """Hold back every request that draws from the same quotas."""
        with self._lock:
            self._limiter.hold(ticket, seconds)
            self._call_all()

    def pause(self, ticket: Ticket, seconds: float) -> None:
        """Make a request wait before it queues again.

        Raises:
            RequestAbandonedError: Nobody awaits it any more.
        """
        with self._lock, self._called(ticket) as called:
            called.wait_for(lambda: self._is_abandoned(ticket), seconds)
            self._check(ticket)

    def abandon(self) -> None:
        """End the waits of all requests that have a ticket by now."""
        with self._lock:
            self._abandoned = max(self._abandoned, self._limiter.issued)
            self._call_all()

    def close(self) -> None:
        """End every wait, now and later."""
        with self._lock:
            self._abandoned = math.inf
            self._call_all()

    def _enter(self, ticket: Ticket) -> None:
        with self._lock, self._called(ticket) as called:
            self._limiter.line_up(ticket)
            try:
                while seconds := self._wait_for(ticket):
                    called.wait(None if math.isinf(seconds) else seconds)
            finally:
                self._limiter.leave(ticket)
                self._call_first()

    def _wait_for(self, ticket: Ticket) -> float:
        self._check(ticket)
        return _in_time(self._limiter.admit(ticket))

    def _check(self, ticket: Ticket) -> None:
        if self._is_abandoned(ticket):
            raise RequestAbandonedError

    def _is_abandoned(self, ticket: Ticket) -> bool:
        return ticket.number <= self._abandoned

    @contextmanager
    def _called(self, ticket: Ticket) -> Iterator[threading.Condition]:
        """Provide the condition on which a thread waits, so that others can notify it."""
        called = self._waiting[ticket.number] = threading.Condition(self._lock)
        try:
            yield called
        finally:
            del self._waiting[ticket.number]

    def _call_first(self) -> None:
        for ticket in self._limiter.first():
            self._waiting[ticket.number].notify()

    def _call_all(self) -> None:
        for called in self._waiting.values():
            called.notify()


def _in_time(decision: float | Spent) -> float:
    if isinstance(decision, Spent):
        raise QuotaNotInTimeError(decision)
    return decision
