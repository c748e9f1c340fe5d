"""Maps the exception that ended a run to an exit code and a last log line; no value of a record or setting is shown."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from singer_sdk.exceptions import InvalidJSONSchema, RecordsWithoutSchemaException, StreamMapConfigError
from singer_sdk.singerlib.exceptions import InvalidInputLine
from sqlalchemy.exc import SQLAlchemyError

from singer_delivery.accounts.rejects import RejectsLostError
from singer_delivery.destination import AnswerMismatchError, JobLostError, JobUnfinishedError, StopSendingError
from singer_delivery.disclosure import scrub_log, without_keys
from singer_delivery.errors import SettingsError
from singer_delivery.interruption import StoppedBySignalError
from singer_delivery.logs import log
from singer_delivery.memory.data_dir import AlreadyRunningError
from singer_delivery.memory.database import LedgerError
from singer_delivery.memory.private_files import UnsafeFileError
from singer_delivery.reader import DEEPEST, HEADROOM
from singer_delivery.run import NothingDeliveredError, OutputGoneError, TooManyRejectsError, UnbalancedError
from singer_delivery.sending.network import NetworkSettingError
from singer_delivery.sending.transport import GaveUpError, NoWayError
from singer_delivery.texts import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED, CONFIGURATION, TOO_MANY_REJECTS, SIGNALLED = 1, 2, 3, 128
"""Exit codes beside 0; a signal adds its number (143, 130)."""

EXIT_CODES: dict[type[Exception], int] = {
    StreamMapConfigError: CONFIGURATION,
    InvalidJSONSchema: CONFIGURATION,
    StopSendingError: CONFIGURATION,
    NoWayError: CONFIGURATION,
    NetworkSettingError: CONFIGURATION,
    LedgerError: CONFIGURATION,
    UnsafeFileError: CONFIGURATION,
    TooManyRejectsError: TOO_MANY_REJECTS,
    NothingDeliveredError: TOO_MANY_REJECTS,
    GaveUpError: FAILED,
    AnswerMismatchError: FAILED,
    JobLostError: FAILED,
    JobUnfinishedError: FAILED,
    AlreadyRunningError: FAILED,
    RecordsWithoutSchemaException: FAILED,
    InvalidInputLine: FAILED,
    UnbalancedError: FAILED,
    OutputGoneError: FAILED,
    RejectsLostError: FAILED,
}
"""Expected exceptions; their messages are ours, or known to be free of personal data."""

DRAIN_SECONDS, QUIET_SECONDS = 30, 5
"""How long the rest of the input is read after the run has ended, in total and without receiving a byte."""


def run_command(command: Callable[..., Any], *, reads_input: bool = False) -> None:
    """Run a click command and exit.

    *reads_input*: after a mistake in the settings, the rest of the input is drained, so that the tap does not fail on a
    closed pipe.
    """
    scrub_log()
    sys.setrecursionlimit(DEEPEST + HEADROOM)
    ended_by: Exception | None = None
    try:
        code = command(standalone_mode=False)
    except Exception as error:  # noqa: BLE001  (mapped to an exit code below; the default handler would print records)
        ended_by = error
    if ended_by is None:
        sys.exit(code)  # of --help and --version; None after a run
    code, lines = ending(ended_by)
    for line in lines:
        log.error("%s", line)
    log.error(
        "exit code %d: %s", code, MEANINGS.get(code, "stopped by a signal; everything before the last STATE is settled")
    )
    if reads_input and code == CONFIGURATION:
        drain(0)
    sys.exit(code)


def drain(file: int) -> None:
    """Read and drop the rest of the input, while it keeps coming, for at most :data:`DRAIN_SECONDS`.

    Otherwise the writer (Meltano) would fail on a closed pipe, and hide the reason behind its own traceback.
    """
    until = time.monotonic() + DRAIN_SECONDS
    with suppress(OSError, KeyboardInterrupt):
        while not os.isatty(file) and time.monotonic() < until and select.select([file], [], [], QUIET_SECONDS)[0]:
            if not os.read(file, 1 << 20):
                return


def ending(error: Exception) -> tuple[int, list[str]]:
    """The exit code of a run that ended with *error*, and the lines to log."""
    if isinstance(error, StoppedBySignalError):
        return SIGNALLED + error.signum, [str(error)]
    if isinstance(error, click.Abort):
        return SIGNALLED + signal.SIGINT, ["stopped before anything was read"]
    if isinstance(error, SettingsError):
        return CONFIGURATION, [f"setting {finding}" for finding in error.findings]
    if isinstance(error, UnreadableError):
        return CONFIGURATION, list(error.mistakes)
    for kind, code, words in WORDED:
        if isinstance(error, kind):
            return code, [words(error)]
    for kind, code in EXIT_CODES.items():
        if isinstance(error, kind):
            return code, [str(error)]
    frames = "".join(traceback.format_tb(error.__traceback__))  # without the message, which may quote a record
    return FAILED, [f"unforeseen {type(error).__name__}; please report it with these lines:\n{frames}"]


WORDED: tuple[tuple[type[Exception], int, Callable[[Any], str]], ...] = (
    (click.ClickException, CONFIGURATION, lambda error: str(error.format_message())),
    (SQLAlchemyError, FAILED, lambda error: f"the ledger failed ({type(error).__name__}); check its database"),
    (FileNotFoundError, CONFIGURATION, lambda error: f"no such file: {without_keys(error.filename or error)}"),
    (
        OSError,
        FAILED,
        lambda error: f"{type(error).__name__}: {error.strerror} {without_keys(error.filename or '')}".rstrip(),
    ),
)
"""Exceptions whose messages must be replaced: type, exit code, our message."""

MEANINGS = {
    FAILED: "the run failed; everything before the last STATE is settled, so run again once the cause is gone",
    CONFIGURATION: "settings or credentials; correct them and run again",
    TOO_MANY_REJECTS: "too many records were rejected, or nothing was delivered; see the lines above and the rejects "
    "file, and correct the mapping or the records",
}
"""Exit code -> explanation in the last log line."""
