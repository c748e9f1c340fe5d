"""The transport of a dry run: writes requests to a file instead of sending them."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from singer_delivery.destination import Answer
from singer_delivery.memory.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from singer_delivery.destination import Job, Request, Response


class DryRun:
    """Writes each request as a JSON line ``{"path": …, "body": …}``, and reports every row as accepted.

    A body that is no JSON, or of several lines, is written as a string.
    """

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
            self._file.write(b'{"path":"' + request.path.encode() + b'","body":' + one_line(request.body) + b"}\n")
            self._file.flush()
        return Answer({}), 1


def one_line(body: bytes) -> bytes:
    r"""A body as a JSON value without line breaks.

    >>> one_line(b'{"rows":[1.10]}'), one_line(b"id,name\n1,Ada"), one_line(b"")
    (b'{"rows":[1.10]}', b'"id,name\\n1,Ada"', b'""')
    """
    with suppress(msgspec.DecodeError, RecursionError):
        msgspec.json.decode(body, type=msgspec.Raw)
        if b"\n" not in body:
            return body
    return msgspec.json.encode(body.decode(errors="replace"))
