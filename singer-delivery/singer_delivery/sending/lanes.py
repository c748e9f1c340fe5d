"""Parallel delivery that keeps each person's order: their next record goes where an unsettled one of theirs is.

One lane after another is filled, so that they send in turn, and few records wait for a batch to be full.
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

from singer_delivery.interruption import GRACE_SECONDS, Stopped
from singer_delivery.sending.items import OWN_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from singer_delivery.destination import Group, Kind, Limits
    from singer_delivery.sending.items import Item

    Deliver = Callable[["Batch"], Iterator[Exception]]
    """Settles a whole batch, or raises. It yields where the batch has to wait for what others come to: what to raise
    if they come to nothing."""

LOOK_EVERY_RECORDS = 250
FLUSH_AFTER_RECORDS = 10_000
HELD_BACK_RECORDS = 49_500
FLUSH_AFTER_SECONDS = 20.0
"""A batch goes out incomplete once it has waited this long, and reading waits for one that is older still, so that a
STATE waits for at most 50,000 records or 30 s. Most of these may wait for an answer: a slow one then costs little."""

MOST_BYTES = 64_000_000
"""Reading waits where what is staged and under way holds more, the lines of the input included."""

MOST_HELD_BYTES = 10_000_000
"""A batch goes out incomplete where its records hold so much more than what is sent of them, however they spell it."""

LONGEST_SPELLING = 3
"""A letter that is no ASCII takes up to so many times its bytes where the input writes it as ``\\u015f``."""

MOST_ASIDE_BYTES = 32_000_000
"""Reading waits where the batches that are set aside hold more; until what is under way has told enough, or nothing."""

PACE_SHARE = 0.2
"""Share of the newest measurement in a mean."""
LEAST_FILL_SECONDS = 0.001

LOOK_AGAIN_SECONDS = 0.1
"""How often a lane looks whether others have learned what its batches wait for."""


@dataclass(slots=True)
class Batch:
    """Items that travel together, in the order in which they came."""

    group: Group
    started: float = field(default_factory=time.monotonic)
    handed_at: float = 0.0
    first_record: int = 0
    items: list[Item] = field(default_factory=list)
    size: int = 0
    held: int = 0
    """Bytes of the lines that its items came in, which stay in memory with them, beyond those of what is sent."""
    memory: int = 0
    """Bytes of its rows and of those lines."""

    def persons(self) -> set[str]:
        """Whom its items are about."""
        return {item.source.person for item in self.items}


@dataclass(slots=True)
class Place:
    """The lane of a person, as long as *open_items* of theirs are open; *newest*: the group of their last version."""

    lane: Lane
    open_items: int = 0
    newest: Group | None = None


@dataclass(slots=True)
class Delivery:
    """A batch on its way; *why* is what its sending raises if nothing else turns up."""

    batch: Batch
    steps: Iterator[Exception]
    why: Exception | None = None


class Pace:
    """How many batches are to be under way: as many as are filled while one of them is answered."""

    def __init__(self) -> None:
        self._answer_seconds: float | None = None
        self._fill_seconds: float | None = None

    def note_answer(self, seconds: float) -> None:
        """Take note of how long a batch took to be delivered."""
        self._answer_seconds = _mean(self._answer_seconds, seconds)

    def note_filled(self, seconds: float) -> None:
        """Take note of how long a batch took to be filled, without the waits."""
        self._fill_seconds = _mean(self._fill_seconds, seconds)

    def wanted(self, oldest_seconds: float) -> float:
        """How many lanes are of use; *oldest_seconds*: for how long the oldest batch has been under way.

        As long as no answer has come, nothing is known, and any number is.

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

    A batch whose delivery yields is set aside, and gone on with once another one is settled, here or elsewhere;
    *waits_in_vain* says when nothing more will come.
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
        """Do a step, unless the run ends: what is not sent stays pending."""
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
        """Go on with what was set aside, in its order.

        Raises:
            Exception: Nothing more will come, and it still has to wait.
        """
        is_vain = self._waits_in_vain()
        self._waiting = set()
        self.aside = [delivery for delivery in self.aside if not self._is_settled(delivery)]
        if is_vain and self.aside and self.aside[0].why is not None:
            raise self.aside[0].why

    def _is_settled(self, delivery: Delivery) -> bool:
        """Deliver; False: it has to wait, be it behind others with records of the same persons."""
        if not self._waiting or self._waiting.isdisjoint(delivery.batch.persons()):
            delivery.why = next(delivery.steps, None)
            if delivery.why is None:
                self._settled(delivery.batch)
                return True
        self._waiting |= delivery.batch.persons()
        return False


class Lanes:
    """Fills batches by count and bytes and hands them to the lanes, which are opened as answers take longer.

    Args:
        delivers: For each lane that may be opened, what sends a batch and settles its items.
        kinds: How the records of each kind are delivered.
        stopping: Set when the run is to stop; nothing new is started then.
        wake: Called after a lane failed, to end a blocking read of the input.
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
        self._limits: dict[Group, Limits] = {}
        self._stopping = stopping
        self._wake = wake
        self._records = 0
        self._closed = threading.Event()
        # One batch may wait while all lanes are busy: more would keep the STATEs back, not speed anything up.
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
        self._lanes = [*self._lanes, lane]  # other threads walk through the list
        self._places.release()
        lane.thread.start()
        return lane

    def _done(self, seconds: float) -> None:
        self._pace.note_answer(seconds)
        self._places.release()

    def add(self, group: Group, item: Item) -> None:
        """Stage one item; blocks while all lanes are busy and a batch waits already, or where too much is staged."""
        limits = self._limits.get(group) or self._limits.setdefault(
            group, self._kinds[group.kind].limits(group.variant)
        )
        lane = self._lane_of(item.source.person, group)
        size = item.size
        lane.staged[item.source.stream] += 1
        filling = lane.filling.get(group)
        length = len(item.source.arrival.line)
        held = length - LONGEST_SPELLING * size
        if filling is not None and (
            filling.size + size > limits.size - OWN_BYTES or filling.held + held > MOST_HELD_BYTES
        ):
            self._send(lane, group)
        with lane.filling_lock:
            batch = lane.filling.get(group)
            if batch is None:
                batch = lane.filling[group] = Batch(group, first_record=self._records)
            batch.items.append(item)
            batch.size += size
            batch.held += held
            batch.memory += size + length
        self._staged_bytes += size + length
        if len(batch.items) >= limits.rows:
            self._send(lane, group, is_full=True)
        elif self._staged_bytes - self._settled_bytes > MOST_BYTES:
            self.flush()
            self._wait_while(self._is_too_much)

    def _lane_of(self, person: str, group: Group) -> Lane:
        """The lane that holds open records of the person; if none does, the one that is being filled.

        Where the last version of theirs is in another group, that is sent first: batches of one lane go out in the
        order in which they are handed over, and what has just changed must not be overwritten by what it was days ago.
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
        """Let the persons of a batch take any lane again, unless other records of theirs are open.

        Where a batch failed, they stay: nothing that came later is sent before it.
        """
        with self._placing:
            self._settled_bytes += batch.memory
            for item in batch.items:
                place = self._place_of[item.source.person]
                place.open_items -= 1
                if not place.open_items:
                    del self._place_of[item.source.person]

    def staged(self) -> Counter[str]:
        """How many items each stream has staged so far."""
        return sum((lane.staged for lane in self._lanes), Counter())

    def count_record(self) -> None:
        """Count one record of the input: it makes the waiting batches older; blocks while one is too old."""
        self._records += 1
        if self._records % LOOK_EVERY_RECORDS == 0:
            self.flush(older_than_records=FLUSH_AFTER_RECORDS)
            self._wait_while(self._is_held_back)

    def _wait_while(self, holds: Callable[[], bool]) -> None:
        """Wait as long as *holds*; that time does not count as filling."""
        began = time.monotonic()
        while holds() and not self._stopping.is_set():
            time.sleep(0.002)
        self._filled_since += time.monotonic() - began

    def _is_too_much(self) -> bool:
        """Whether what is staged and under way holds too much memory."""
        return self._staged_bytes - self._settled_bytes > MOST_BYTES

    def _is_held_back(self) -> bool:
        """Whether reading has to wait, since a batch waits that is too old, or too much is set aside."""
        if self._is_too_much():
            return True
        aside = [delivery.batch for lane in self._lanes for delivery in lane.aside]
        if sum(batch.size + max(batch.held, 0) for batch in aside) > MOST_ASIDE_BYTES:
            return True
        on_the_way = [batch for lane in self._lanes for batch in (*lane.filling.copy().values(), *list(lane.handed))]
        oldest = min((batch.first_record for batch in (*on_the_way, *aside)), default=self._records)
        return oldest < self._records - HELD_BACK_RECORDS

    def _nothing_more_comes(self) -> bool:
        """Whether all that was read has been tried, and nothing more is read, or not before something is settled."""
        return (self._closed.is_set() or self._is_held_back()) and not any(lane.handed for lane in self._lanes)

    def flush(self, *, older_than_records: int = 0, older_than_seconds: float = math.inf) -> None:
        """Send what is staged and began that long ago, by either measure (default: all of it)."""
        now = time.monotonic()
        for lane in self._lanes:
            for group in sorted(lane.filling.copy(), key=self._rank):
                batch = lane.filling.get(group)
                if batch is not None and (
                    self._records - batch.first_record >= older_than_records
                    or now - batch.started >= older_than_seconds
                ):
                    self._send(lane, group)

    def _rank(self, group: Group) -> int:
        return self._kinds[group.kind].rank

    def flush_old(self) -> None:
        """Send the batches that have waited long enough."""
        self.flush(older_than_records=FLUSH_AFTER_RECORDS, older_than_seconds=FLUSH_AFTER_SECONDS)

    def finish(self) -> None:
        """Send everything staged and wait until it is settled, or as long as a stopped run may take.

        Raises:
            Exception: What made a lane fail.
        """
        if not self._stopping.is_set():
            self.flush()
        for lane in self._lanes:
            with lane.handing_over:  # by the clock: nothing may come behind the end
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
        """Hand the batch that the lane is filling over to its worker; blocks until there is a place for it."""
        if is_full:
            self._pace.note_filled(time.monotonic() - self._filled_since)
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
        """Choose the lane to fill: the one that will be free first, or another one where that pays."""
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
    """For how long the oldest batch that is under way has been so."""
    handed = [list(lane.handed) for lane in lanes]
    return time.monotonic() - min((batches[0].handed_at for batches in handed if batches), default=time.monotonic())


def _expected(lane: Lane) -> tuple[int, float]:
    """Tell when a lane will be free, as compared with the others: the fewer batches it has, and the older they are."""
    handed = list(lane.handed)
    return len(handed), handed[0].started if handed else 0.0
