"""The transport of a dry run: writes requests to a file instead of sending them."""

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
    """Writes each request as a JSON line ``{"path": …, "body": …}``, and reports every row as accepted."""

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb")
        self._lock = threading.Lock()

    def send(
        self,
        request: Request,
        rows: int,
        read: Callable[[Response, int], Answer | Job],
        before_retry: Callable[[], None] = lambda: None,
        *,
        hurried: bool = False,
    ) -> tuple[Answer | Job, int]:
        """Write one request; nothing is read or retried."""
        del rows, read, before_retry, hurried
        with self._lock:
            self._file.write(b'{"path":"' + request.path.encode() + b'","body":' + request.body + b"}\n")
            self._file.flush()
        return Answer({}), 1
