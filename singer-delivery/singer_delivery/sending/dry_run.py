"""A dry run: the requests that would be sent, written to a file instead."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from singer_delivery.destination import Answer
from singer_delivery.memory.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from singer_delivery.destination import Job, Request, Response


class DryRun:
    """In place of the transport: writes each request as a JSON line ``{"path": …, "body": …}`` and accepts all."""

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb")
        self._lock = threading.Lock()

    def send(
        self,
        request: Request,
        rows: int,
        read: Callable[[Response, int], Answer | Job],
        before_retry: Callable[[], None] = lambda: None,
    ) -> tuple[Answer | Job, int]:
        """Write one request; there is no answer to read, and no retry."""
        del rows, read, before_retry
        with self._lock:
            self._file.write(b'{"path":"' + request.path.encode() + b'","body":' + request.body + b"}\n")
            self._file.flush()
        return Answer({}), 1
