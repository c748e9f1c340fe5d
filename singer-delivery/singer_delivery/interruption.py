"""How a run is asked to stop: by SIGTERM, by SIGINT, or by a lane whose delivery failed."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from singer_delivery.logs import log

if TYPE_CHECKING:
    from types import FrameType


WAKE = signal.SIGUSR1
"""Sent to ourselves to end a blocking read of the input when a lane has failed."""


GRACE_SECONDS = 8.0
"""How long requests under way may take to finish after the run was asked to stop."""

ENDING_SECONDS = GRACE_SECONDS + 1.0
"""How long a run may take to end once a signal has come; most who stop a process kill it ten seconds later."""

OVERDUE = (
    "what the run waits for (the ledger's database, or the reader of the STATE) did not answer within %g s of the "
    "signal; what was not settled is read again. exit code %d"
)

ENDING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*ENDING, WAKE)


class Interrupted(Exception):
    """The reading thread is to stop before the next line."""


class Stopped(Exception):
    """The run was asked to stop while something waited: a request for its turn or its retry, a job for its end."""


class StoppedBySignalError(Exception):
    """How a run ends that a signal stopped, after what could be settled was settled."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; the last STATE says what is settled")
        self.signum = signum


class Interruption:
    """Turns signals into one flag, and ends a blocking read of the input.

    The handlers run in the main thread between two bytecodes. They raise only while :attr:`reading` is set, so that
    nothing but the wait for the next line is ever cut short. Where the main thread is inside one long call (SQLite
    waits for a lock), no handler runs before it returns; so the interpreter also writes each signal into a pipe, at
    once, and a thread of ours reads it there.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.reading = False
        self.signum: int | None = None
        self._woken = False
        self._ended = threading.Event()
        self._pipe = self._previous_pipe = -1
        self._previous: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Handle the signals; only the main thread may do so, elsewhere (an embedded run) nothing is installed."""
        if threading.current_thread() is not threading.main_thread():
            return
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._previous_pipe = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        self._previous = {signum: signal.signal(signum, self.handle) for signum in HANDLED}
        threading.Thread(target=self._watch, args=(reading,), name="watch", daemon=True).start()

    def uninstall(self) -> None:
        """Put the handlers back that were there before: the run has ended."""
        self._ended.set()
        if self._previous:
            signal.set_wakeup_fd(self._previous_pipe)
            os.close(self._pipe)
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def handle(self, signum: int, _frame: FrameType | None = None) -> None:
        """Note the first signal and end a blocking read; a `WAKE` that is not our own means nothing."""
        if signum == WAKE and not self._woken:
            return
        if signum != WAKE and self.signum is None:
            self.signum = signum
        self.stopping.set()
        if self.reading:
            self.reading = False
            raise Interrupted

    def wait(self, seconds: float) -> None:
        """Wait, unless the run is asked to stop.

        Raises:
            Stopped: It is.
        """
        if self.stopping.wait(max(0.0, seconds)):
            raise Stopped

    def wake(self) -> None:
        """End the run from another thread."""
        self._woken = True
        self.stopping.set()
        if self._previous:
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)

    def _watch(self, pipe: int) -> None:
        """End the process where a signal could not: the main thread waits for a database, or for who reads the STATE.

        Nothing is lost by it: STATE passes what is settled alone, and what the ledger has not heard of is in doubt.
        """
        with os.fdopen(pipe, "rb", buffering=0) as signals:
            while (byte := signals.read(1)) and byte[0] not in ENDING:
                pass
        if not byte or self._ended.wait(ENDING_SECONDS):
            return
        code = 128 + byte[0]
        telling = threading.Thread(target=log.error, args=(OVERDUE, ENDING_SECONDS, code), daemon=True)
        telling.start()
        telling.join(1.0)  # the log may be what everything waits for
        os._exit(code)
