"""Fetches pages in threads while records are written; the emitting thread takes the results.

All decisions (requests, meaning of answers, order of records) are made in the emitting thread, so only the
two queues need to be thread-safe.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Task(Generic[T]):
    """A request in flight."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self.taken = False
        """Whether it has finished, and the emitting thread has taken it."""

    def run(self) -> None:
        """Do the work, and keep its result or its error."""
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error

    def result(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # it is a T now, which may well be None


class Fetcher:
    """A few threads that run tasks in the order asked, at most *threads* at once.

    The threads are daemons: a run that is asked to stop does not wait for answers that will not be used.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.waited = 0.0
        """Seconds that the emitting thread has spent in `take`."""
        self.under_way = 0
        """Tasks that were asked for and not yet taken."""
        self._asked: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._finished: SimpleQueue[Task[Any]] = SimpleQueue()
        self._started = 0

    @property
    def idle(self) -> bool:
        """Whether another task would start immediately."""
        return self.under_way < self.threads

    def ask(self, work: Callable[[], T]) -> Task[T]:
        """Run *work* in a thread."""
        task = Task(work)
        self.under_way += 1
        if self._started < min(self.under_way, self.threads):
            self._started += 1
            threading.Thread(target=self._run, name=f"tap-klaviyo-{self._started}", daemon=True).start()
        self._asked.put(task)
        return task

    def take(self, seconds: float) -> bool:
        """Take all tasks that have finished; if there is none, wait up to *seconds* for one."""
        began = time.monotonic()
        try:
            self._take(self._finished.get(timeout=seconds))
        except Empty:
            return False
        finally:
            if seconds:
                self.waited += time.monotonic() - began
        while not self._finished.empty():
            self._take(self._finished.get_nowait())
        return True

    def close(self) -> None:
        """Let the threads end after the tasks in the queue."""
        for _ in range(self._started):
            self._asked.put(None)
        self._started = 0

    def _take(self, task: Task[Any]) -> None:
        task.taken = True
        self.under_way -= 1

    def _run(self) -> None:
        while task := self._asked.get():
            task.run()
            self._finished.put(task)
