"""How a run is asked to stop: by SIGTERM, by SIGINT, or by a lane whose delivery failed."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

WAKE = signal.SIGUSR1
"""Sent to ourselves to end a blocking read of the input when a lane has failed."""


HANDLED = (signal.SIGTERM, signal.SIGINT, WAKE)


class Interrupted(Exception):
    """The reading thread is to stop before the next line."""


class StoppedBySignalError(Exception):
    """How a run ends that a signal stopped, after what could be settled was settled."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; the last STATE says what is settled")
        self.signum = signum


class Interruption:
    """Turns signals into one flag, and ends a blocking read of the input.

    The handlers run in the main thread between two bytecodes. They raise only while :attr:`reading` is set, so that
    nothing but the wait for the next line is ever cut short.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.reading = False
        self.signum: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Handle the signals; only the main thread may do so, elsewhere (an embedded run) nothing is installed."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._previous = {signum: signal.signal(signum, self.handle) for signum in HANDLED}

    def uninstall(self) -> None:
        """Put the handlers back that were there before."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def handle(self, signum: int, _frame: FrameType | None = None) -> None:
        """Note the first signal and end a blocking read."""
        if signum != WAKE and self.signum is None:
            self.signum = signum
        self.stopping.set()
        if self.reading:
            self.reading = False
            raise Interrupted

    def wake(self) -> None:
        """End the run from another thread."""
        self.stopping.set()
        if self._previous:
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)
