"""Stops a run on SIGTERM, on SIGINT, or when a lane fails."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from singer_delivery.logs import log

if TYPE_CHECKING:
    from types import FrameType


WAKE = signal.SIGUSR1
"""Sent to our own process to interrupt a blocking read of the input when a lane has failed."""


GRACE_SECONDS = 8.0
"""How long requests in flight may take to finish after the run was asked to stop."""

ENDING_SECONDS = GRACE_SECONDS + 1.0
"""How long a run may take to end after a signal; most supervisors kill a process after ten seconds."""

OVERDUE = (
    "the ledger's database, or the reader of the STATE, did not answer within %g s of the signal; unsettled records "
    "will be read again. exit code %d"
)

ENDING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*ENDING, WAKE)


class Interrupted(Exception):
    """The reading thread must stop before the next line."""


class Stopped(Exception):
    """The run was asked to stop while a request waited for its turn or its retry, or a job for its end."""


class StoppedBySignalError(Exception):
    """A signal stopped the run; everything that could be settled was settled."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; everything before the last STATE is settled")
        self.signum = signum


class Interruption:
    """Turns signals into one flag, and interrupts a blocking read of the input.

    The handlers run in the main thread between two bytecodes. They raise only while :attr:`reading` is set, so that
    only the wait for the next line is interrupted. While the main thread is inside one long call (SQLite waits for a
    lock), no handler can run; so the interpreter also writes each signal to a pipe immediately, and a thread reads it
    there.
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
        """Install the handlers; only in the main thread, as Python demands (an embedded run has none)."""
        if threading.current_thread() is not threading.main_thread():
            return
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._previous_pipe = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        self._previous = {signum: signal.signal(signum, self.handle) for signum in HANDLED}
        threading.Thread(target=self._watch, args=(reading,), name="watch", daemon=True).start()

    def uninstall(self) -> None:
        """Restore the previous handlers at the end of the run."""
        self._ended.set()
        if self._previous:
            signal.set_wakeup_fd(self._previous_pipe)
            os.close(self._pipe)
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def handle(self, signum: int, _frame: FrameType | None = None) -> None:
        """Record the first signal and interrupt a blocking read; a `WAKE` from another process is ignored."""
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
            Stopped: The run is asked to stop.
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
        """End the process after a signal if the main thread hangs in a call to the database or the output.

        Nothing is lost: STATE passes settled records only, and the ledger treats unconfirmed ones as uncertain.
        """
        with os.fdopen(pipe, "rb", buffering=0) as signals:
            while (byte := signals.read(1)) and byte[0] not in ENDING:
                pass
        if not byte or self._ended.wait(ENDING_SECONDS):
            return
        code = 128 + byte[0]
        logging_thread = threading.Thread(target=log.error, args=(OVERDUE, ENDING_SECONDS, code), daemon=True)
        logging_thread.start()
        logging_thread.join(1.0)  # the log itself may be what hangs
        os._exit(code)
