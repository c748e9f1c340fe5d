"""Tunes the process that a target runs in: interpreter, pipe and log lines."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from singer_sdk.logging import ConsoleFormatter

from singer_delivery.disclosure import keep_secret, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

SWITCH_SECONDS = 0.001
M_ARENA_MAX, ARENAS = -8, 2  # malloc.h
PIPE_BYTES = 1 << 20


def prepare_process() -> None:
    """Tune the interpreter for one thread that reads and others that send.

    A shorter switch interval lets requests go out while records are being mapped; the default would delay each step by
    5 ms. The garbage collector runs less often: records make no cycles, and its runs cost a third of the time. The
    input pipe is enlarged to 1 MB (Linux), or tap and target would wait for each other every 64 kB. glibc keeps few
    heaps: by default each thread has its own, which keeps the memory of its largest bodies.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # standard input is not a pipe
            fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, ARENAS)


def name_log_lines(config: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Put the integration's name into every log line, to distinguish the lines of several pipelines."""
    keep_secret(value for name, value in config.items() if properties.get(name, {}).get("writeOnly"))
    name = shown(config.get("integration_name") or properties["integration_name"]["default"])

    def prefix(record: logging.LogRecord) -> bool:
        if not hasattr(record, "integration_name"):
            record.integration_name = name
            record.msg = f"[{name}] {record.msg}"
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(prefix)


def log_to_stderr(level: str | None) -> None:
    """Set up logging as the SDK does for its own command line, warnings and errors only."""
    handler = logging.StreamHandler()
    handler.setFormatter(ConsoleFormatter())
    logging.basicConfig(level=(level or "WARNING").upper(), handlers=[handler])


class QuietVariables(logging.Filter):
    """Drops a line that the SDK logs in every run; it wrongly suggests that environment variables are ignored."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is shown."""
        return not str(record.msg).startswith("Skipping parse of env var")


QUIET = QuietVariables()
"""The filter instance shared by all loggers."""
