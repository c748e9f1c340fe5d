"""A dry run: the requests that would be sent, written to a file instead."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from target_insiderone.answers import Outcome
from target_insiderone.client import DELETE_ATTRIBUTES, UPSERT
from target_insiderone.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class DryRunClient:
    """In place of the client: writes each request as a JSON line ``{"path": …, "body": …}`` and accepts all."""

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb")
        self._lock = threading.Lock()

    def upsert(
        self, body: bytes, users: int, before_retry: Callable[[], None] = lambda: None, *, hurried: bool = False
    ) -> tuple[Outcome, int]:
        """Write one upsert request; it is never tried again, so *before_retry* is not asked."""
        del before_retry, hurried
        return self._write(UPSERT, body, users)

    def delete_attributes(self, body: bytes, users: int, *, hurried: bool = False) -> tuple[Outcome, int]:
        """Write one attribute/delete request."""
        del hurried
        return self._write(DELETE_ATTRIBUTES, body, users)

    def _write(self, path: str, body: bytes, users: int) -> tuple[Outcome, int]:
        with self._lock:
            self._file.write(b'{"path":"' + path.encode() + b'","body":' + body + b"}\n")
            self._file.flush()
        return Outcome(users, {}), 1
