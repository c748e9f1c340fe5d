"""A collection and the threads that fetch from it, played: the clock is moved by requests and by emission alone."""

from __future__ import annotations

import heapq
import json
from bisect import bisect_left
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import cycle
from operator import attrgetter
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from klaviyo_http.client import Fetched
from klaviyo_http.documents import Links
from klaviyo_http.errors import KlaviyoError, RefusedRequestError, RetriesSpentError
from klaviyo_http.moments import whole_second
from tap_klaviyo.reading import windows
from tap_klaviyo.reading.fetching import Task

EPOCH = datetime(1990, 1, 1, tzinfo=UTC)
PAGE_BYTES = 1_000  # of every page, so that nothing about the budget is an estimate
ENOUGH = 5_000  # requests; who asks for more will never end


def moment(second):
    """The moment so many seconds after the epoch; None stays None."""
    return None if second is None else EPOCH + timedelta(seconds=second)


class Thing(NamedTuple):
    """A record: seconds after the epoch, and its id; so do they sort."""

    second: int
    id: str

    @property
    def spelt(self):
        """Its second, as slices compare it."""
        return whole_second(moment(self.second))[:-1]


class Page(NamedTuple):
    """A page of things."""

    data: list
    links: Links


class Collection:
    """A `Source` of things.

    The cursor of a page names its last thing, and the end of the window as it was when the first page was asked for. A
    thing that has moved takes the cursor along; when it is gone, the cursor is refused, or leads nowhere.
    """

    name = "things"
    page_bytes = PAGE_BYTES

    def __init__(self, seconds, size):
        """Hold a thing for each of *seconds*; a page has *size* of them."""
        self.seconds = {f"K{number:06}": second for number, second in enumerate(sorted(seconds))}
        self.size = size
        self.firsts = []
        self.links = []
        self.waiting_bytes = 0  # read and not yet emitted
        self.most_waiting_bytes = 0
        self.decoded_again = 0
        self.accident = lambda _: None  # happens after each page
        self.always_names_next = False
        self.refuses_lost_cursors = True
        self.unavailable = None  # the id of a thing whose page fails

    @cached_property
    def things(self):
        """All things in their order."""
        return sorted(Thing(second, key) for key, second in self.seconds.items())

    def change(self, key, second):
        """Move a thing, or erase it (None)."""
        del self.seconds[key]
        if second is not None:
            self.seconds[key] = second
        del self.things

    @property
    def requests(self):
        """How many pages were requested."""
        return len(self.firsts) + len(self.links)

    def first(self, start, end):
        """Like profiles: what happened in the second before comes along."""
        self.firsts.append((start, end))
        place = bisect_left(self.things, ((start - EPOCH).total_seconds() - 1, "")) if start else 0
        return self._page(place, (end - EPOCH).total_seconds())

    def follow(self, link):
        """Read the page behind the thing that a link names, where that is now."""
        self.links.append(link)
        key, end = json.loads(link)
        if key not in self.seconds:
            if self.refuses_lost_cursors:
                raise RefusedRequestError("no such cursor", status=400, parameter="page[cursor]")
            return self.answer([], None)
        return self._page(bisect_left(self.things, (self.seconds[key], key)) + 1, end)

    def span(self, page):
        """Tell the times of the first and the last thing."""
        return (moment(page.data[0].second), moment(page.data[-1].second)) if page.data else None

    def can_ask_for_less(self, _):
        """Give up nothing."""
        return False

    def _page(self, place, end):
        data = [thing for thing in self.things[place : place + self.size] if thing.second < end]
        if any(thing.id == self.unavailable for thing in data):
            raise RetriesSpentError("given up")
        rest = self.things[place + self.size : place + self.size + 1]
        more = len(data) == self.size and (self.always_names_next or (rest and rest[0].second < end))
        return self.answer(data, json.dumps([data[-1].id, end]) if more else None)

    def answer(self, data, link):
        """Answer with a page, and keep the accounts."""
        assert self.requests < ENOUGH, "endless"
        page = Page(data, Links(next=link))
        self.waiting_bytes += PAGE_BYTES
        self.most_waiting_bytes = max(self.most_waiting_bytes, self.waiting_bytes)
        self.accident(page)

        def decode():
            self.decoded_again += 1
            return page

        return Fetched(decode, EPOCH, 0.0, PAGE_BYTES, page)


class Threads:
    """A `Fetcher`. An task is run when a thread is free, and may be taken when its duration has passed."""

    def __init__(self, threads, durations):
        """Play so many threads; requests take *durations* seconds, in turn."""
        self.threads = threads
        self.waited = 0.0
        self.now = 0.0
        self.company = []  # of each task, when it was asked for: how many were under way, itself included
        self._durations = cycle(durations)
        self._queue = deque()
        self._running = []
        self._asked = 0

    @property
    def under_way(self):
        """Tasks that were submitted and not yet taken."""
        return len(self._queue) + len(self._running)

    @property
    def idle(self):
        """Whether a thread is free."""
        return self.under_way < self.threads

    def ask(self, work):
        """Queue a task."""
        seconds = next(self._durations)
        task = Task(lambda: replace(work(), seconds=seconds))
        self._asked += 1
        self._queue.append((seconds, self._asked, task))
        self.company.append(self.under_way)
        self._start(self.now)
        return task

    def take(self, seconds):
        """Take what has finished; wait for it as long as *seconds*."""
        assert self._running or not seconds, "waits for nothing"
        arrival = self._running[0][0] if self._running else float("inf")
        wait = max(min(seconds, arrival - self.now), 0.0)
        self.waited += wait
        if arrival > self.now + seconds:
            self.now += wait
            return False
        self.now = max(self.now, arrival)
        while self._running and self._running[0][0] <= self.now:
            finished, _, task = heapq.heappop(self._running)
            task.taken = True
            self._start(finished)
        return True

    def _start(self, now):
        while self._queue and len(self._running) < self.threads:
            seconds, number, task = self._queue.popleft()
            task.run()
            heapq.heappush(self._running, (now + seconds, number, task))


@dataclass
class Played:
    """What a reading came to."""

    read: list = field(default_factory=list)
    """All things that count, in the order they came."""
    ends: dict = field(default_factory=dict)
    """Start -> end of each window, as far as it was cut when its last page came out."""
    error: KlaviyoError | None = None
    settled: int = 0

    @property
    def once(self):
        """Ids as a stream would emit them: none twice."""
        return list(dict.fromkeys(thing.id for thing in self.read))

    def note(self, page):
        """Take note of a page."""
        self.ends.pop(page.start, None)
        self.ends[page.start] = page.end
        self.read += [thing for thing in page.fetched.document.data if page.holds(thing.spelt)]

    def settle(self):
        """Count the times that a STATE might have been written."""
        self.settled += 1


def play(collection, bounds, *, threads=16, durations=(0.2,), emission=0.01, budget=40_000_000, before_page=None):
    """Read a collection between two seconds; *emission* is that of a page. Return `Played`, and its threads."""
    pool = Threads(threads, durations)
    played = Played()
    with played_clock(pool, budget):
        reading = windows.WindowedReading(
            collection, pool, (moment(bounds[0]), moment(bounds[1])), played.settle, before_page
        )
        try:
            for page in reading.slices():
                collection.waiting_bytes -= PAGE_BYTES
                played.note(page)
                pool.now += emission
        except KlaviyoError as error:
            played.error = error
    return played, pool


def play_merged(collections, bounds, *, threads, durations, emission, budget):
    """Read several at once, merged by time as the metrics of a stream are; return the things, and the threads."""
    pool = Threads(threads, durations)

    def things(collection, reading):
        for page in reading.slices():
            collection.waiting_bytes -= PAGE_BYTES
            pool.now += emission
            yield from (thing for thing in page.fetched.document.data if page.holds(thing.spelt))

    with played_clock(pool, budget):
        limits = (moment(bounds[0]), moment(bounds[1]))
        readings = [
            windows.WindowedReading(one, pool, limits, lambda: None, share=len(collections)) for one in collections
        ]
        readings[0].until_opened()
        for reading in readings[1:]:
            reading.open()
        chains = [things(*one) for one in zip(collections, readings, strict=True)]
        return list(heapq.merge(*chains, key=attrgetter("second"))), pool


@contextmanager
def played_clock(pool, budget):
    """Have the windows look at the threads' clock, and keep to a budget of bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "time", SimpleNamespace(monotonic=lambda: pool.now))
        patch.setattr(windows, "BUDGET_BYTES", budget)
        yield


@pytest.fixture(scope="session", name="collect")
def collect_function():
    return Collection


@pytest.fixture(scope="session", name="play")
def play_function():
    return play


@pytest.fixture(scope="session", name="play_merged")
def play_merged_function():
    return play_merged
