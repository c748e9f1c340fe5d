"""Holds each STATE back until every record before it is settled."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

State = dict[str, Any]


class Segment:
    """The records between two STATE messages.

    A record that needs a request is opened when it is staged and settled when its outcome is known. Records whose
    outcome is known at once (filtered, rejected by the mapping) are never opened.
    """

    __slots__ = ("opened", "settled", "state")

    def __init__(self) -> None:
        self.opened = 0  # counted by the reading thread alone
        self.settled = 0  # counted under the lock of Checkpoints
        self.state: State | None = None  # set when the STATE that closes the segment arrives


class Checkpoints:
    """Holds the STATEs of the input back until the records before them are settled.

    *write* receives each STATE value that becomes due, in order; if several become due at once, only the newest. It
    runs in the thread that settled the last record, one call at a time. While *may_pass* returns False, due STATEs are
    held: they are written once it returns True, or by :meth:`release`.
    """

    def __init__(self, write: Callable[[State], None], may_pass: Callable[[], bool] = lambda: True) -> None:
        self.write = write
        self._may_pass = may_pass
        self._held: State | None = None
        self._lock = threading.Lock()
        self._waiting: deque[Segment] = deque()
        self._written: State | None = None
        self.current = Segment()

    def open(self) -> Segment:
        """Count one more record that needs a request; returns the segment to settle."""
        self.current.opened += 1
        return self.current

    def add_state(self, state: State) -> None:
        """Close the current segment with the STATE that follows it."""
        with self._lock:
            self.current.state = state
            self._waiting.append(self.current)
            self.current = Segment()
            self._write_what_is_due()

    def settle(self, segments: Iterable[Segment]) -> None:
        """Count one settled record for each entry of *segments* (one entry per record)."""
        with self._lock:
            for segment in segments:
                segment.settled += 1
            self._write_what_is_due()

    def release(self) -> None:
        """Write the STATE that is due but held back, if there is one."""
        with self._lock:
            self._write_held()

    def _write_what_is_due(self) -> None:
        while self._waiting and self._waiting[0].opened == self._waiting[0].settled:
            self._held = self._waiting.popleft().state
        if self._held is not None and self._may_pass():
            self._write_held()

    def _write_held(self) -> None:
        due, self._held = self._held, None
        if due is None or due == self._written:
            return
        self.write(due)
        self._written = due
