"""Parallel delivery in each person's order: while a person has an unsettled record, their next one uses the same lane.

Lanes are filled one after another, so that they send in turn, and few records wait for a batch to be full.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from singer_delivery.interruption import GRACE_SECONDS, Stopped
from singer_delivery.sending.items import OWN_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from singer_delivery.destination import Group, Kind, Limits
    from singer_delivery.sending.items import Item

    Deliver = Callable[["Batch"], Iterator[Exception]]
    """Settles a whole batch, or raises. It yields while the batch waits for the results of others: the value is what
    to raise if these decide nothing."""

LOOK_EVERY_RECORDS = 250
FLUSH_AFTER_RECORDS = 10_000
HELD_BACK_RECORDS = 49_500
FLUSH_AFTER_SECONDS = 20.0
"""An incomplete batch is sent once it has waited this long, and reading pauses for an even older one, so that a STATE
waits for at most 50,000 records or 30 s. Most of this is left for the answer, so that a slow one costs little."""

MOST_BYTES = 64_000_000
"""Reading pauses while staged and unanswered records, with their input lines, hold more memory than this."""

MOST_HELD_BYTES = 10_000_000
"""An incomplete batch is sent if its input lines exceed the bytes to send, escapes considered, by more than this."""

LONGEST_SPELLING = 3
"""A non-ASCII letter escaped as ``\\u015f`` takes up to this many times its bytes in UTF-8."""

MOST_ASIDE_BYTES = 32_000_000
"""Reading pauses while the batches that are set aside hold more than this, until requests in flight are answered."""

PACE_SHARE = 0.2
"""Weight of the newest measurement in a moving average."""
LEAST_FILL_SECONDS = 0.001

LOOK_AGAIN_SECONDS = 0.1
"""How often a lane checks whether its waiting batches can continue."""


@dataclass(slots=True)
class Batch:
    """Items of one request, in the order of the input."""

    group: Group
    limits: Limits
    started: float = field(default_factory=time.monotonic)
    handed_at: float = 0.0
    first_record: int = 0
    items: list[Item] = field(default_factory=list)
    size: int = 0
    held: int = 0
    """Bytes of the items' input lines, which stay in memory, beyond the bytes to send."""
    memory: int = 0
    """Bytes of its rows and of these lines."""

    def persons(self) -> set[str]:
        """The persons of its items."""
        return {item.source.person for item in self.items}


class Place(msgspec.Struct):
    """The lane of a person while *open_items* of theirs are unsettled; *newest*: the group of their last version."""

    lane: Lane
    open_items: int = 0
    newest: Group | None = None


@dataclass(slots=True)
class Delivery:
    """A batch being delivered; *why*: what to raise if no other batch decides its outcome."""

    batch: Batch
    steps: Iterator[Exception]
    why: Exception | None = None


class Pace:
    """How many batches should be in flight: as many as are filled while one is answered."""

    def __init__(self) -> None:
        self._answer_seconds: float | None = None
        self._fill_seconds: float | None = None

    def note_answer(self, seconds: float) -> None:
        """Note how long the delivery of a batch took."""
        self._answer_seconds = _mean(self._answer_seconds, seconds)

    def note_filled(self, seconds: float) -> None:
        """Note how long filling a batch took, without pauses."""
        self._fill_seconds = _mean(self._fill_seconds, seconds)

    def wanted(self, oldest_seconds: float) -> float:
        """How many lanes are useful; *oldest_seconds*: for how long the oldest batch has been in flight.

        Before the first answer, any number is.

        >>> pace = Pace()
        >>> pace.note_answer(0.25)
        >>> pace.note_filled(0.0625)
        >>> pace.wanted(0.0), pace.wanted(0.5)
        (5, 9)
        """
        if self._answer_seconds is None:
            return math.inf
        seconds = max(self._answer_seconds, oldest_seconds)
        return math.ceil(seconds / max(self._fill_seconds or 0.0, LEAST_FILL_SECONDS)) + 1


class Lane:
    """One worker thread with its unfinished batches.

    A batch whose delivery yields is set aside, and continued once another one is settled, in any lane; *waits_in_vain*
    says when no more batches will come.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        failed: Callable[[Exception], None],
        stopping: threading.Event,
        settled: Callable[[Batch], None],
        done: Callable[[float], None],
        waits_in_vain: Callable[[], bool],
    ) -> None:
        self.filling: dict[Group, Batch] = {}
        self.filling_lock = threading.Lock()
        self.handing_over = threading.Lock()  # batches enter the queue in the order in which they were begun
        self.queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.handed: deque[Batch] = deque()
        self.aside: list[Delivery] = []
        self._waiting: set[str] = set()  # the persons of what is set aside
        self.staged: Counter[str] = Counter()
        self._deliver = deliver
        self._failed = failed
        self._stopping = stopping
        self._settled = settled
        self._done = done
        self._waits_in_vain = waits_in_vain
        self._is_open = True
        self._is_usable = True
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    def _work(self) -> None:
        while self._is_open or self.aside:
            try:
                batch = self.queue.get(timeout=LOOK_AGAIN_SECONDS if self.aside else None)
            except queue.Empty:
                self._try(self._look_again)
                continue
            if batch is None:
                self._is_open = False
                continue
            began = time.monotonic()
            self._try(partial(self._begin, batch))
            self.handed.popleft()
            self._done(time.monotonic() - began)

    def _try(self, step: Callable[[], None]) -> None:
        """Run a step, unless the run is ending: unsent items stay pending."""
        try:
            if self._is_usable and not self._stopping.is_set():
                step()
                return
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001  (handed to the reading thread, which raises it)
            self._failed(error)
        self._is_usable = False
        self.aside = []

    def _begin(self, batch: Batch) -> None:
        delivery = Delivery(batch, self._deliver(batch))
        if not self._is_settled(delivery):
            self.aside.append(delivery)
        elif self.aside:
            self._look_again()

    def _look_again(self) -> None:
        """Continue the batches that were set aside, in order.

        Raises:
            Exception: No more batches will come, and one still has to wait.
        """
        is_vain = self._waits_in_vain()
        self._waiting = set()
        self.aside = [delivery for delivery in self.aside if not self._is_settled(delivery)]
        if is_vain and self.aside and self.aside[0].why is not None:
            raise self.aside[0].why

    def _is_settled(self, delivery: Delivery) -> bool:
        """Deliver a batch; False if it has to wait, possibly behind others with records of the same persons."""
        if not self._waiting or self._waiting.isdisjoint(delivery.batch.persons()):
            delivery.why = next(delivery.steps, None)
            if delivery.why is None:
                self._settled(delivery.batch)
                return True
        self._waiting |= delivery.batch.persons()
        return False


class Lanes:
    """Fills batches by count and bytes and hands them to lanes; more lanes are opened as answers take longer.

    Args:
        delivers: For each possible lane, the function that sends a batch and settles its items.
        kinds: Name -> kind.
        stopping: Set when the run is asked to stop; nothing new is started then.
        wake: Called after a lane failed, to interrupt a blocking read of the input.
    """

    def __init__(
        self,
        delivers: list[Deliver],
        *,
        kinds: Mapping[str, Kind],
        stopping: threading.Event,
        wake: Callable[[], None],
    ) -> None:
        self.failure: Exception | None = None
        self._kinds = kinds
        self._stopping = stopping
        self._wake = wake
        self._records = 0
        self._closed = threading.Event()
        # One batch may wait while all lanes are busy: more would delay STATEs without speeding anything up.
        self._places = threading.Semaphore(1)
        self._delivers = delivers
        self._lanes: list[Lane] = []
        self._opening = threading.Lock()
        self._pace = Pace()
        self._filled_since = time.monotonic()
        self._filled = self._open_lane()
        self._place_of: dict[str, Place] = {}
        self._placing = threading.Lock()
        self._staged_bytes = 0
        self._settled_bytes = 0
        self._clock = threading.Thread(target=self._flush_by_time, name="flush", daemon=True)
        self._clock.start()

    def _open_lane(self) -> Lane:
        number = len(self._lanes)
        lane = Lane(
            f"lane-{number}",
            self._delivers[number],
            self._fail,
            self._stopping,
            self._settled,
            self._done,
            self._nothing_more_comes,
        )
        self._lanes = [*self._lanes, lane]  # a new list, since other threads iterate over the old one
        self._places.release()
        lane.thread.start()
        return lane

    def _done(self, seconds: float) -> None:
        self._pace.note_answer(seconds)
        self._places.release()

    def add(self, group: Group, item: Item) -> None:
        """Stage one item; blocks while all lanes are busy and a batch waits already, or while too much is staged."""
        source, size = item.source, item.size
        lane = self._lane_of(source.person, group)
        lane.staged[source.stream] += 1
        length = len(source.arrival.line)
        held = length - LONGEST_SPELLING * size
        batch = lane.filling.get(group)
        if batch is not None and (
            batch.size + size > batch.limits.size - OWN_BYTES or batch.held + held > MOST_HELD_BYTES
        ):
            self._send(lane, group)
        with lane.filling_lock:
            batch = lane.filling.get(group)
            if batch is None:
                limits = self._kinds[group.kind].limits(group.variant)
                batch = lane.filling[group] = Batch(group, limits, first_record=self._records)
            batch.items.append(item)
            batch.size += size
            batch.held += held
            batch.memory += size + length
        self._staged_bytes += size + length
        if len(batch.items) >= batch.limits.rows:
            self._send(lane, group, is_full=True)
        elif self._staged_bytes - self._settled_bytes > MOST_BYTES:
            self.flush()
            self._wait_while(self._is_too_much)

    def _lane_of(self, person: str, group: Group) -> Lane:
        """The lane with unsettled records of the person; if there is none, the one being filled.

        If the person's last version is in another group, that group's batch is sent first: a lane sends batches in the
        order of handing over, and a new version must not be overwritten by one of days ago.
        """
        last: Group | None = None
        with self._placing:
            place = self._place_of.get(person)
            if place is None:
                place = self._place_of[person] = Place(self._filled)
            place.open_items += 1
            if self._kinds[group.kind].memory == "newest":
                last, place.newest = place.newest, group
        if last is not None and last != group:
            self._send(place.lane, last)
        return place.lane

    def _settled(self, batch: Batch) -> None:
        """Release the persons of a batch from its lane, unless other records of theirs are unsettled.

        If a batch failed, they are not released: nothing later may be sent before it.
        """
        with self._placing:
            self._settled_bytes += batch.memory
            for item in batch.items:
                place = self._place_of[item.source.person]
                place.open_items -= 1
                if not place.open_items:
                    del self._place_of[item.source.person]

    def staged(self) -> Counter[str]:
        """Stream -> number of staged items so far."""
        return sum((lane.staged for lane in self._lanes), Counter())

    def count_record(self) -> None:
        """Count one record of the input, by which waiting batches age; blocks while one is too old."""
        self._records += 1
        if self._records % LOOK_EVERY_RECORDS == 0:
            self.flush(older_than_records=FLUSH_AFTER_RECORDS)
            self._wait_while(self._is_held_back)

    def _wait_while(self, holds: Callable[[], bool]) -> None:
        """Wait while *holds* is true; this time does not count as filling."""
        began = time.monotonic()
        while holds() and not self._stopping.is_set():
            time.sleep(0.002)
        self._filled_since += time.monotonic() - began

    def _is_too_much(self) -> bool:
        """Whether staged and unanswered records hold too much memory."""
        return self._staged_bytes - self._settled_bytes > MOST_BYTES

    def _is_held_back(self) -> bool:
        """Whether reading has to pause, because a batch is too old, or too much is set aside."""
        if self._is_too_much():
            return True
        aside = [delivery.batch for lane in self._lanes for delivery in lane.aside]
        if sum(batch.size + max(batch.held, 0) for batch in aside) > MOST_ASIDE_BYTES:
            return True
        on_the_way = [batch for lane in self._lanes for batch in (*lane.filling.copy().values(), *list(lane.handed))]
        oldest = min((batch.first_record for batch in (*on_the_way, *aside)), default=self._records)
        return oldest < self._records - HELD_BACK_RECORDS

    def _nothing_more_comes(self) -> bool:
        """Whether all records read were tried, and no more are read, at least until something is settled."""
        return (self._closed.is_set() or self._is_held_back()) and not any(lane.handed for lane in self._lanes)

    def flush(self, *, older_than_records: int = 0, older_than_seconds: float = math.inf) -> None:
        """Send the batches that began that long ago, by either measure (default: all)."""
        now = time.monotonic()
        for lane in self._lanes:
            for group in sorted(lane.filling.copy(), key=self._rank):
                batch = lane.filling.get(group)
                if batch is not None and (
                    self._records - batch.first_record >= older_than_records
                    or now - batch.started >= older_than_seconds
                ):
                    self._send(lane, group)

    def _before(self, lane: Lane, group: Group) -> list[Group]:
        """The groups of a lower rank, in order, that have rows of persons in this group's batch."""
        filling = lane.filling.copy()
        if len(filling) < 2 or (batch := filling.get(group)) is None:
            return []
        lower = [other for other in filling if self._rank(other) < self._rank(group)]
        persons = batch.persons() if lower else set()
        return sorted((other for other in lower if not persons.isdisjoint(filling[other].persons())), key=self._rank)

    def _rank(self, group: Group) -> int:
        return self._kinds[group.kind].rank

    def flush_old(self) -> None:
        """Send the batches that have waited long enough."""
        self.flush(older_than_records=FLUSH_AFTER_RECORDS, older_than_seconds=FLUSH_AFTER_SECONDS)

    def finish(self) -> None:
        """Send everything staged and wait until it is settled; a stopped run waits for at most `GRACE_SECONDS`.

        Raises:
            Exception: Whatever made a lane fail.
        """
        if not self._stopping.is_set():
            if waiting := sum(len(lane.filling) for lane in self._lanes):
                self._places.release(waiting)  # nothing more is read, so that all of them may wait in their lanes
            self.flush()
        for lane in self._lanes:
            with lane.handing_over:  # no batch handed over by the clock may follow the end mark
                lane.queue.put(None)
        self._closed.set()
        deadline: float | None = None
        while any(lane.thread.is_alive() for lane in self._lanes):
            if deadline is None and self._stopping.is_set():
                deadline = time.monotonic() + GRACE_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                break
            for lane in self._lanes:
                lane.thread.join(timeout=0.02)
        if self.failure is not None:
            raise self.failure

    def _send(self, lane: Lane, group: Group, *, is_full: bool = False) -> None:
        """Hand the batch that is being filled to the lane's worker; blocks until a slot is free.

        Batches of a lower rank that have rows of the same persons go before it.
        """
        if is_full:
            self._pace.note_filled(time.monotonic() - self._filled_since)
        for lower in self._before(lane, group):
            self._send(lane, lower)
        with lane.handing_over:
            with lane.filling_lock:
                batch = lane.filling.pop(group, None)
            if batch is None:
                return
            while not self._places.acquire(timeout=0.2):
                if self._stopping.is_set():
                    return  # never sent: its items stay pending
            batch.handed_at = time.monotonic()
            lane.handed.append(batch)
            lane.queue.put(batch)
        if is_full:
            self._filled_since = time.monotonic()
        if lane is self._filled:
            self._fill_next()

    def _fill_next(self) -> None:
        """Choose the lane to fill: the one that will be free first, or a new one if that is useful."""
        with self._opening:
            lanes = self._lanes
            lane = min(lanes, key=_expected)
            if lane.handed and len(lanes) < min(len(self._delivers), self._pace.wanted(_oldest_seconds(lanes))):
                lane = self._open_lane()
            self._filled = lane

    def _flush_by_time(self) -> None:
        while not self._closed.wait(FLUSH_AFTER_SECONDS / 4):
            if self._stopping.is_set():
                return
            self.flush_old()

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
        self._wake()


def _mean(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + PACE_SHARE * (seconds - before)


def _oldest_seconds(lanes: Sequence[Lane]) -> float:
    """For how long the oldest batch has been in flight."""
    handed = [list(lane.handed) for lane in lanes]
    return time.monotonic() - min((batches[0].handed_at for batches in handed if batches), default=time.monotonic())


def _expected(lane: Lane) -> tuple[int, float]:
    """Sort key for when a lane will be free: sooner with fewer batches, and with an older first one."""
    handed = list(lane.handed)
    return len(handed), handed[0].started if handed else 0.0
