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
from typing import TYPE_CHECKING

from singer_delivery.interruption import GRACE_SECONDS
from singer_delivery.sending.items import OWN_BYTES
from singer_delivery.sending.transport import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from singer_delivery.destination import Group, Kind, Limits
    from singer_delivery.sending.items import Item

LOOK_EVERY_RECORDS = 250
FLUSH_AFTER_RECORDS = 4_500
HELD_BACK_RECORDS = 9_500
FLUSH_AFTER_SECONDS = 20.0
"""A batch goes out incomplete once it has waited this long, and reading waits for one that is older still, so that a
STATE is due every 10,000 records or 30 s. Half of the records may wait for their batch to be full, half for the answer:
so a slow answer costs least."""

MOST_HELD_BYTES = 10_000_000
"""A batch goes out incomplete where its records hold so much more than what is sent of them, however they spell it."""

LONGEST_SPELLING = 3
"""A letter that is no ASCII takes up to so many times its bytes where the input writes it as ``\\u015f``."""


@dataclass(slots=True)
class Batch:
    """Items that travel together, in the order in which they came."""

    group: Group
    started: float = field(default_factory=time.monotonic)
    first_record: int = 0
    items: list[Item] = field(default_factory=list)
    size: int = 0
    held: int = 0
    """Bytes of the lines that its items came in, which stay in memory with them, beyond those of what is sent."""


@dataclass(slots=True)
class Place:
    """The lane of a person, as long as *open_items* of theirs are open; *newest*: the group of their last version."""

    lane: Lane
    open_items: int = 0
    newest: Group | None = None


class Lane:
    """One worker thread with its unfinished batches; *deliver* settles a whole batch or raises."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[Batch], None],
        failed: Callable[[Exception], None],
        stopping: threading.Event,
        settled: Callable[[Batch], None],
        done: Callable[[], None],
    ) -> None:
        self.filling: dict[Group, Batch] = {}
        self.filling_lock = threading.Lock()
        self.handing_over = threading.Lock()  # batches enter the queue in the order in which they were begun
        self.queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.handed: deque[Batch] = deque()
        self.staged: Counter[str] = Counter()
        self._deliver = deliver
        self._failed = failed
        self._stopping = stopping
        self._settled = settled
        self._done = done
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    def _work(self) -> None:
        usable = True
        while (batch := self.queue.get()) is not None:
            if not usable or self._stopping.is_set():
                continue  # never sent: its items stay pending
            try:
                self._deliver(batch)
            except Stopped:
                usable = False
            except Exception as error:  # noqa: BLE001  (handed to the reading thread, which raises it)
                usable = False
                self._failed(error)
            else:
                self._settled(batch)
            finally:
                self.handed.popleft()
                self._done()


class Lanes:
    """Fills batches by count and bytes and hands them to the lanes.

    Args:
        delivers: For each lane, what sends one batch and settles its items.
        kinds: How the records of each kind are delivered.
        stopping: Set when the run is to stop; nothing new is started then.
        wake: Called after a lane failed, to end a blocking read of the input.
    """

    def __init__(
        self,
        delivers: list[Callable[[Batch], None]],
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
        self._places = threading.Semaphore(len(delivers) + 1)
        self._lanes = [
            Lane(f"lane-{number}", deliver, self._fail, stopping, self._settled, self._places.release)
            for number, deliver in enumerate(delivers)
        ]
        self._filled = self._lanes[0]
        self._place_of: dict[str, Place] = {}
        self._placing = threading.Lock()
        self._clock = threading.Thread(target=self._flush_by_time, name="flush", daemon=True)
        for lane in self._lanes:
            lane.thread.start()
        self._clock.start()

    def add(self, group: Group, item: Item) -> None:
        """Stage one item; blocks while all lanes are busy and a batch waits already."""
        limits = self._limits.get(group) or self._limits.setdefault(
            group, self._kinds[group.kind].limits(group.variant)
        )
        lane = self._lane_of(item.source.person, group)
        size = item.size
        lane.staged[item.source.stream] += 1
        filling = lane.filling.get(group)
        held = len(item.source.arrival.line) - LONGEST_SPELLING * size
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
        if len(batch.items) >= limits.rows:
            self._send(lane, group)

    def _lane_of(self, person: str, group: Group) -> Lane:
        """The lane that holds open records of the person; if none does, the one that is being filled.

        Where the last version of theirs is in another group, that is sent first: batches of one lane go out in the order in
        which they are handed over, and what has just changed must not be overwritten by what it was days ago.
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
            while self._oldest() < self._records - HELD_BACK_RECORDS and not self._stopping.is_set():
                time.sleep(0.002)

    def _oldest(self) -> int:
        """The number of the first record that is staged and not settled; without one, that of the last record."""
        batches = [batch for lane in self._lanes for batch in (*lane.filling.copy().values(), *list(lane.handed))]
        return min((batch.first_record for batch in batches), default=self._records)

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
        self._closed.set()
        for lane in self._lanes:
            lane.queue.put(None)
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

    def _send(self, lane: Lane, group: Group) -> None:
        """Hand the batch that the lane is filling over to its worker; blocks until there is a place for it."""
        with lane.handing_over:
            with lane.filling_lock:
                batch = lane.filling.pop(group, None)
            if batch is None:
                return
            while not self._places.acquire(timeout=0.2):
                if self._stopping.is_set():
                    return  # never sent: its items stay pending
            lane.handed.append(batch)
            lane.queue.put(batch)
        if lane is self._filled:
            self._filled = min(self._lanes, key=_expected)

    def _flush_by_time(self) -> None:
        while not self._closed.wait(FLUSH_AFTER_SECONDS / 4):
            if self._stopping.is_set():
                return
            self.flush_old()

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
        self._wake()


def _expected(lane: Lane) -> tuple[int, float]:
    """Tell when a lane will be free, as compared with the others: the fewer batches it has, and the older they are."""
    handed = list(lane.handed)
    return len(handed), handed[0].started if handed else 0.0
