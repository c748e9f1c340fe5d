"""Requests run in parallel, and yet nobody's records overtake each other."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_delivery.accounts.checkpoints import Segment
from singer_delivery.destination import Group, Limits, OnceKind
from singer_delivery.sending.items import Arrival, EventItem, Source
from singer_delivery.sending.lanes import MOST_HELD_BYTES, Lanes

SECONDS = 30
EVENTS = Group("event")


def item(person: str, number: int) -> EventItem:
    """What was staged as the *number*th record, of that person."""
    source = Source("events", str(number), ("id",), Arrival(b"", None), Segment(), person)
    return EventItem(source, b"{}", [])


class Api:
    """Takes batches as a lane's `deliver` does; one that holds the person *held* waits until it is let go."""

    def __init__(self, held: str = "", failing: str = "") -> None:
        self.go_on = threading.Event()
        self.failed = threading.Event()
        self.begun: list[list[str]] = []
        self.ended: list[list[str]] = []
        self.changed = threading.Condition()
        self._held = held
        self._failing = failing

    def deliver(self, batch):
        """Take one batch."""
        yield from ()
        persons = [one.source.person for one in batch.items]
        keys = [one.source.key for one in batch.items]
        self._note(self.begun, keys)
        if self._held in persons:
            assert self.go_on.wait(SECONDS)
        if self._failing in persons:
            raise RuntimeError("refused")
        self._note(self.ended, keys)

    def until(self, keys: list[str]) -> None:
        """Wait until a batch of these records was taken."""
        with self.changed:
            assert self.changed.wait_for(lambda: keys in self.ended, SECONDS)

    def _note(self, what: list[list[str]], keys: list[str]) -> None:
        with self.changed:
            what.append(keys)
            self.changed.notify_all()


class Events(OnceKind):
    """A kind of which lanes need only the limits."""

    def __init__(self, rows: int) -> None:
        self._limits = Limits(rows, 1_000_000)

    def limits(self, variant):
        """As many rows as the test wants, whatever the *variant*."""
        del variant
        return self._limits

    stage = request = read = None


def lanes_to(api: Api | Doubts, *, max_rows: int, lanes: int = 2) -> Lanes:
    """So many lanes that deliver to *api*."""
    kinds = {"event": Events(max_rows)}
    return Lanes([api.deliver] * lanes, kinds=kinds, stopping=threading.Event(), wake=api.failed.set)


def test_long_lines_limit_batch():
    """A batch holds few records that came in long lines.

    Their lines stay in memory until they are settled, however little of them is sent.
    """
    api = Api()
    lanes = lanes_to(api, max_rows=1_000, lanes=1)
    long = Arrival(b"x" * (MOST_HELD_BYTES // 2), None)
    for number in range(4):
        one = item("ada", number)
        one.source.arrival = long
        lanes.add(EVENTS, one)
    lanes.finish()

    assert api.begun == [["0", "1"], ["2", "3"]]


@pytest.mark.req("IN-61")
def test_record_waits_for_its_person():
    """A record waits for an open one of its person and nobody else waits.

    One slow request holds up the persons in it, not the others.
    """
    api = Api(held="ada")
    lanes = lanes_to(api, max_rows=2, lanes=3)
    for number, person in enumerate(["ada", "bob", "cid", "dan", "ada", "eve", "fay"]):
        lanes.add(EVENTS, item(person, number))
    api.until(["2", "3"])
    api.until(["5", "6"])

    assert ["4"] not in api.begun
    api.go_on.set()
    lanes.finish()
    assert api.ended[-2:] == [["0", "1"], ["4"]]


def test_record_never_overtakes_failed_one():
    """A record does not overtake one that failed.

    What failed comes again in the next run; what belongs behind it must not be there already.
    """
    api = Api(held="bob", failing="ada")
    lanes = lanes_to(api, max_rows=1)
    lanes.add(EVENTS, item("bob", 0))
    lanes.add(EVENTS, item("ada", 1))
    assert api.failed.wait(SECONDS)
    lanes.add(EVENTS, item("ada", 2))
    lanes.add(EVENTS, item("cid", 3))
    api.go_on.set()
    api.until(["3"])

    with pytest.raises(RuntimeError, match="refused"):
        lanes.finish()
    assert api.ended == [["0"], ["3"]]
    assert ["2"] not in api.begun


class Visits(Events):
    """Goes after events."""

    rank = 1


def test_lower_rank_goes_first():
    """Waiting rows of a lower rank go first, if they are of the same persons.

    A full batch of visits used to overtake the person that they belong to, whose batch was not full yet.
    """
    api = Api()
    kinds = {"event": Events(10), "visit": Visits(2)}
    lanes = Lanes([api.deliver], kinds=kinds, stopping=threading.Event(), wake=api.failed.set)
    lanes.add(EVENTS, item("ada", 0))
    for number, person in enumerate(["bob", "cid", "ada", "bob"], 1):
        lanes.add(Group("visit"), item(person, number))
    lanes.finish()

    assert api.begun == [["1", "2"], ["0"], ["3", "4"]]


class Doubts:
    """Takes batches as a lane's `deliver` does; they wait until one of the person *accepted* was tried."""

    def __init__(self, accepted: str) -> None:
        self.ended: list[list[str]] = []
        self.tried: list[list[str]] = []
        self.is_clear = False
        self.failed = threading.Event()
        self._accepted = accepted

    def deliver(self, batch):
        """Take one batch."""
        keys = [one.source.key for one in batch.items]
        self.tried.append(keys)
        self.is_clear |= self._accepted in batch.persons()
        while not self.is_clear:
            yield RuntimeError(f"batch {keys}")
        self.ended.append(keys)


@pytest.mark.req("IN-60", "IN-61")
def test_waiting_batches_keep_order():
    """Batches that are set aside keep the order of each person.

    A later record of somebody who waits must not be the one that is tried.
    """
    api = Doubts(accepted="cid")
    lanes = lanes_to(api, max_rows=1, lanes=1)
    for number, person in enumerate(["ada", "bob", "ada", "cid", "bob"]):
        lanes.add(EVENTS, item(person, number))
    lanes.finish()

    assert sorted(api.ended) == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert api.tried[:3] == [["0"], ["1"], ["3"]]
    assert api.ended.index(["0"]) < api.ended.index(["2"])
    assert api.ended.index(["1"]) < api.ended.index(["4"])


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("lanes", [1, 3])
def test_hopeless_batch_fails(lanes):
    """A batch fails if it waits and no others come. The input ends, and nothing was accepted."""
    api = Doubts(accepted="nobody")
    filled = lanes_to(api, max_rows=2, lanes=lanes)
    for number in range(6):
        filled.add(EVENTS, item(f"p{number}", number))

    with pytest.raises(RuntimeError, match="batch"):
        filled.finish()
    assert len(api.tried) == 3


@pytest.mark.parametrize("kind", ["records", "bytes"])
def test_waiting_batches_are_bounded(monkeypatch, kind):
    """Not all of the input is set aside. It stays in memory, and its STATE waits: the run stops once it is too much."""
    monkeypatch.setattr("singer_delivery.sending.lanes.MOST_ASIDE_BYTES", 5_000_000 if kind == "bytes" else 10**9)
    stopping = threading.Event()
    api = Doubts(accepted="nobody")
    lanes = Lanes([api.deliver], kinds={"event": Events(10)}, stopping=stopping, wake=stopping.set)
    line = Arrival(b"x" * 50_000 if kind == "bytes" else b"", None)
    count = 0
    while not stopping.is_set():
        one = item(f"p{count}", count)
        one.source.arrival = line
        lanes.add(EVENTS, one)
        lanes.count_record()
        count += 1

    with pytest.raises(RuntimeError, match="batch"):
        lanes.finish()
    assert count <= (1_000 if kind == "bytes" else 50_000)


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_everything_arrives_in_order(persons, max_rows, lanes):
    """Everything arrives and everybody in order. Whatever batches and lanes make of it."""
    api = Api()
    filled = lanes_to(api, max_rows=max_rows, lanes=lanes)
    for number, person in enumerate(persons):
        filled.add(EVENTS, item(person, number))
    filled.finish()

    arrived = [int(key) for keys in api.ended for key in keys]
    assert sorted(arrived) == list(range(len(persons)))
    for person in set(persons):
        of_person = [number for number in arrived if persons[number] == person]
        assert of_person == sorted(of_person)
