"""Threads that run tasks, with real ones: held up by events, never by the clock."""

from __future__ import annotations

import threading

import pytest
from klaviyo_http.errors import RetriesSpentError
from tap_klaviyo.reading.fetching import Fetcher

PATIENCE = 30.0  # seconds; nothing here takes that long unless it is broken


class Held:
    """Work that signals its start, and ends when it is released."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()
        self.threads = set()

    def __call__(self):
        """Wait to be let go."""
        self.threads.add(threading.current_thread())
        self.begun.release()
        assert self.free.wait(PATIENCE)
        return threading.current_thread().name


@pytest.fixture
def fetcher():
    fetcher = Fetcher(3)
    yield fetcher
    fetcher.close()


@pytest.fixture
def held():
    held = Held()
    yield held
    held.free.set()


def take_all(fetcher):
    while fetcher.under_way:
        assert fetcher.take(PATIENCE)


@pytest.mark.req("C-9")
def test_tasks_use_all_threads(fetcher, held):
    """As many tasks run at once as there are threads.

    And no more: the fourth waits, though it was asked for, and there is no room for it.
    """
    others = set(threading.enumerate())
    tasks = [fetcher.ask(held) for _ in range(4)]
    started = set(threading.enumerate()) - others
    for _ in range(3):
        assert held.begun.acquire(timeout=PATIENCE)

    assert held.threads == started
    assert len(started) == 3
    assert (fetcher.under_way, fetcher.idle) == (4, False)
    held.free.set()
    take_all(fetcher)
    assert {task.result() for task in tasks} == {thread.name for thread in started}


def test_untaken_task_counts_as_running(fetcher, held):
    """Task counts as under way until it is taken.

    What has finished unseen still takes room; the emitting thread has not decided what to make of it.
    """
    held.free.set()
    for _ in range(3):
        fetcher.ask(held)
    for _ in range(3):
        assert held.begun.acquire(timeout=PATIENCE)

    assert (fetcher.under_way, fetcher.idle) == (3, False)
    take_all(fetcher)
    assert (fetcher.under_way, fetcher.idle) == (0, True)


@pytest.mark.parametrize("error", [RetriesSpentError("given up"), SystemExit(3)], ids=["ours", "not even an Exception"])
def test_error_reaches_the_caller(fetcher, error):
    """Error travels to who asks for the result. And ends no thread: the next task is run."""

    def fail():
        raise error

    failed = [fetcher.ask(fail) for _ in range(6)]
    answered = fetcher.ask(lambda: None)
    take_all(fetcher)

    for task in failed:
        with pytest.raises(type(error)) as caught:
            task.result()
        assert caught.value is error
    assert answered.result() is None


def test_taking_without_waiting_returns(fetcher, held):
    """Taking without waiting returns at once. It returns nothing, and no time counts as waited."""
    fetcher.ask(held)

    assert fetcher.take(0) is False
    assert fetcher.waited == 0.0
    assert fetcher.under_way == 1


def test_time_spent_waiting_is_counted(fetcher, held, monkeypatch):
    """Whether something came or not; emission is timed without it."""
    ticks = iter(range(100))
    monkeypatch.setattr("tap_klaviyo.reading.fetching.time.monotonic", lambda: float(next(ticks)))
    fetcher.ask(held)

    assert fetcher.take(0.001) is False
    assert fetcher.waited == 1.0
    held.free.set()
    take_all(fetcher)
    assert fetcher.waited == 2.0


def test_closed_fetcher_ends_threads(fetcher, held):
    """A closed fetcher lets its threads end, after the tasks submitted before, and without waiting for them."""
    for _ in range(3):
        fetcher.ask(held)
    for _ in range(3):
        assert held.begun.acquire(timeout=PATIENCE)
    fetcher.close()
    held.free.set()
    for thread in held.threads:
        thread.join(PATIENCE)

    assert not any(thread.is_alive() for thread in held.threads)
    assert all(thread.daemon for thread in held.threads)


def test_threads_never_exceed_tasks(fetcher, held):
    """No more threads are started than there are errands. One after the other needs one thread."""
    held.free.set()
    for _ in range(5):
        fetcher.ask(held)
        take_all(fetcher)

    assert len(held.threads) == 1
