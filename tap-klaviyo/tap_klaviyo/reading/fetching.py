"""Requests under way while records are written: threads fetch, and the thread that emits takes what they bring.

All decisions (what to ask, what an answer means, what is emitted) are made in the emitting thread, so nothing but the
two queues needs to be safe for threads.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SWITCH_SECONDS = 0.0001
M_ARENA_MAX, ARENAS = -8, 2  # malloc.h
DEEPEST, STACK_BYTES = 12_000, 16 << 20  # levels; each needs at most 400 bytes of the stack
PIPE_BYTES = 1 << 20  # as much as Linux lets anybody have


def prepare_process() -> None:
    """Adjust the interpreter to one thread that computes and others that hardly do, and to pages that wait in memory.

    A request has to go out at once, although records are being written; by itself it would wait for 5 ms. The
    garbage collector would look through all pages that wait to be emitted, again and again, for circles that are
    not there. glibc keeps up to eight heaps per processor, each of which retains what the largest bodies needed:
    with 16 threads that is more than all those pages. A property may be nested deeper than Python decodes by
    itself. And a pipe holds 64 kB, so that the tap and who reads from it would wait for each other 16 times in a
    page of 1 MB.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    sys.setrecursionlimit(DEEPEST)
    threading.stack_size(STACK_BYTES)
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415  (Windows has none)

        with suppress(OSError):  # standard output is no pipe
            fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            mallopt(M_ARENA_MAX, ARENAS)


class Errand(Generic[T]):
    """A request under way."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self.taken = False
        """Whether the outcome is there, and the emitting thread knows it."""

    def run(self) -> None:
        """Do the work; whatever happens is told to whom it concerns."""
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
    """A few threads that run errands in the order asked, at most *threads* at once.

    The threads are daemons: a run that is told to stop does not wait for answers that nobody will read.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.waited = 0.0
        """Seconds that the emitting thread has spent in `take`."""
        self.under_way = 0
        """Errands that were asked for and not yet taken."""
        self._asked: SimpleQueue[Errand[Any] | None] = SimpleQueue()
        self._finished: SimpleQueue[Errand[Any]] = SimpleQueue()
        self._started = 0

    @property
    def idle(self) -> bool:
        """Whether one more errand would be run at once."""
        return self.under_way < self.threads

    def ask(self, work: Callable[[], T]) -> Errand[T]:
        """Have work done by a thread."""
        errand = Errand(work)
        self.under_way += 1
        if self._started < min(self.under_way, self.threads):
            self._started += 1
            threading.Thread(target=self._run, name=f"tap-klaviyo-{self._started}", daemon=True).start()
        self._asked.put(errand)
        return errand

    def take(self, seconds: float) -> bool:
        """Take all errands that have finished; where there is none, wait for one, but not longer than *seconds*."""
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
        """Let the threads end."""
        for _ in range(self._started):
            self._asked.put(None)
        self._started = 0

    def _take(self, errand: Errand[Any]) -> None:
        errand.taken = True
        self.under_way -= 1

    def _run(self) -> None:
        while errand := self._asked.get():
            errand.run()
            self._finished.put(errand)
