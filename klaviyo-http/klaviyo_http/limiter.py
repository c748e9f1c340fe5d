"""Decides which request may be sent next, and when: by quotas, in order of arrival, with a common pause after a 429.

After a 429 no request goes out until the pause is over; then a single one probes, and the others wait for its answer.
Nothing here waits or locks; `klaviyo_http.permits` does that for threads.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from klaviyo_http.quotas import LONGEST_JOURNEY, QUOTAS, UNLISTED, Bucket, Sent, limits_in

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True, order=True)
class Ticket:
    """A request's place in the queue, kept for its retries."""

    number: int
    names: tuple[str, ...] = field(compare=False)
    """The buckets that it draws from."""
    deadline: float = field(default=math.inf, compare=False)
    """Until when the request may be retried."""
    sent: Sent | None = field(default=None, compare=False)
    """The permit of the present attempt."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The quota does not return in time."""

    seconds: float | None
    """Seconds until then, according to the API; None if it only kept throttling."""


class Limiter:
    """Decides about the requests of one run.

    Args:
        percent: The share of each quota to use.
        patience: Seconds for which a request is worth waiting and repeating.
        clock: Tells the time in seconds, and never goes back.
    """

    def __init__(self, percent: int, patience: float, clock: Callable[[], float]) -> None:
        self._percent = percent
        self._patience = patience
        self._clock = clock
        self._buckets = {name: Bucket(quota, percent) for name, quota in QUOTAS.items()}
        self._learnt: dict[str, str] = {}
        self.issued = 0
        """Number of the last ticket."""
        self.line: list[Ticket] = []
        """The waiting requests, in order of arrival."""

    def ticket(self, names: tuple[str, ...]) -> Ticket:
        """Create a ticket for a request that draws from these buckets."""
        self.issued += 1
        for name in names:
            self._buckets.setdefault(name, Bucket(UNLISTED, self._percent))
        return Ticket(self.issued, names)

    def line_up(self, ticket: Ticket) -> None:
        """Add a ticket to the queue."""
        insort(self.line, ticket)

    def leave(self, ticket: Ticket) -> None:
        """Remove a ticket from the queue."""
        self.line.remove(ticket)

    def first(self) -> list[Ticket]:
        """Return the tickets that are first in the queue of each of their buckets."""
        awaited: set[str] = set()
        found = []
        for ticket in self.line:
            if awaited.isdisjoint(ticket.names):
                found.append(ticket)
            awaited.update(ticket.names)
        return found

    def admit(self, ticket: Ticket) -> float | Spent:
        """Permit a request (0), or return the seconds after which to ask again; infinite: after the next event."""
        now = self._clock()
        buckets = self._of(ticket)
        if spent := self._spent(ticket, buckets, now):
            return spent
        if any(bucket.probe for bucket in buckets) or all(ticket is not other for other in self.first()):
            return math.inf
        earliest = max(bucket.earliest() for bucket in buckets)
        if earliest > now:
            return earliest - now
        ticket.sent = Sent(now + LONGEST_JOURNEY)
        for bucket in buckets:
            bucket.count(ticket.sent)
            if bucket.throttled_since is not None:
                bucket.probe = ticket
        return 0.0

    def answered(self, ticket: Ticket) -> None:
        """Note that an answer has come, so the request has arrived."""
        if ticket.sent is not None:
            ticket.sent.arrived_by = min(ticket.sent.arrived_by, self._clock())

    def served(self, ticket: Ticket) -> None:
        """Note that the API does not throttle this request."""
        for bucket in self._of(ticket):
            if bucket.probe is ticket:
                bucket.recover()

    def hold(self, ticket: Ticket, seconds: float) -> None:
        """Hold back every request that draws from the same buckets, as a ``Retry-After`` demands."""
        for bucket in self._of(ticket):
            bucket.hold(self._clock() + seconds)

    def throttled(self, ticket: Ticket, retry_after: float) -> float | Spent:
        """Note a 429, and return the seconds of the pause: ``Retry-After``, longer where that does not help."""
        now, buckets = self._clock(), self._of(ticket)
        ticket.deadline = min(ticket.deadline, now + self._patience)
        longest = max(1.0, self._patience / 4)  # a small budget is worth a few attempts as well
        for bucket in buckets:
            bucket.throttle(now, longest, again=bucket.probe is ticket)
            bucket.hold(now + retry_after)
        return self._spent(ticket, buckets, now) or max(bucket.paused_until for bucket in buckets) - now

    def done(self, ticket: Ticket) -> None:
        """Note that an attempt is over, however it ended; if it was the probe, another may be."""
        ticket.sent = None
        for bucket in self._of(ticket):
            if bucket.probe is ticket:
                bucket.probe = None

    def learn(self, ticket: Ticket, header: str) -> None:
        """Adopt the limits that an answer states in its ``RateLimit-Limit`` (``75, 75;w=1, 750;w=60``).

        An account's limits may differ from the documented ones. If a request draws from several buckets, the header
        does not say which of them it means.
        """
        (name, *others) = ticket.names
        if others or self._learnt.get(name) == header:
            return
        self._learnt[name] = header
        for limit, seconds in limits_in(header):
            self._buckets[name].resize(limit, seconds)

    def _of(self, ticket: Ticket) -> list[Bucket]:
        return [self._buckets[name] for name in ticket.names]

    def _spent(self, ticket: Ticket, buckets: list[Bucket], now: float) -> Spent | None:
        for bucket in buckets:
            since = now if bucket.throttled_since is None else bucket.throttled_since
            bound = min(ticket.deadline, since + self._patience)
            if bucket.spent_until() > max(bound, now):
                return Spent(bucket.spent_until() - now)
            if bucket.paused_until > max(bound, now):
                return Spent(None)
        return None
