"""A file of lines that several processes may append to, rewrite and read at the same time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from singer_delivery.memory.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COPY_BYTES = 1 << 20


class LineFile:
    """Lines that end with a newline byte; the file has mode 0600.

    Every change is made under an inter-process lock (a lock file next to it). A line torn by a crash is ended with a
    newline before the next append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fresh = path.with_suffix(".new")

    def append(self, lines: bytes, *, durable: bool) -> None:
        """Append whole lines; *durable*: sync them, and everything appended before.

        Raises:
            OSError: It failed; the file is unchanged, except for a possibly torn last line.
        """
        with self._exclusive():
            file = open_private(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            try:
                size = os.lseek(file, 0, os.SEEK_END)
                torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                try:
                    write_all(file, b"\n" + lines if torn and lines else lines)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file, size)
                    raise
                if durable:
                    os.fsync(file)
                    if size == 0:
                        self._sync_folder()
            finally:
                os.close(file)

    def lines(self) -> Iterator[bytes]:
        """The present lines; later changes are not seen."""
        with self._exclusive():
            if not self.path.exists():
                return
            file = os.fdopen(open_private(self.path, os.O_RDONLY), "rb")
            left = os.fstat(file.fileno()).st_size
        with file:
            while left > 0 and (line := file.readline()):
                left -= len(line)
                yield line

    def rewrite(self, change: Callable[[bytes, int], bytes]) -> int:
        """Replace every line with the result of *change*, called with the line and its position; b"" removes it.

        Returns how many lines changed. The file is locked meanwhile; nothing is written before the first change.
        """
        with self._exclusive():
            return self._rewrite(change)

    def rewrite_after(self, prepare: Callable[[Iterator[bytes]], Callable[[bytes, int], bytes] | None]) -> int:
        """Pass all lines to *prepare*, then :meth:`rewrite` with the function it returns, under one lock."""
        with self._exclusive():
            if not self.path.exists():
                return 0
            with os.fdopen(open_private(self.path, os.O_RDONLY), "rb") as file:
                change = prepare(file)
            return self._rewrite(change) if change else 0

    def size(self) -> int:
        """Bytes of the file; 0 if it does not exist."""
        return self.path.stat().st_size if self.path.exists() else 0

    def _rewrite(self, change: Callable[[bytes, int], bytes]) -> int:
        self._fresh.unlink(missing_ok=True)  # left by a process that died, since we hold the lock
        if not self.path.exists():
            return 0
        changed = position = 0
        fresh: IO[bytes] | None = None
        try:
            with os.fdopen(open_private(self.path, os.O_RDONLY), "rb") as old:
                for line in old:
                    new = change(line, position)
                    if new != line:
                        changed += 1
                        fresh = fresh or self._copy(position)
                    if fresh:
                        fresh.write(new)
                    position += len(line)
            if fresh:
                fresh.flush()
                os.fsync(fresh.fileno())
                self._fresh.replace(self.path)
                self._sync_folder()
        finally:
            if fresh:
                with suppress(OSError):  # useless if it could not be written completely
                    fresh.close()
                self._fresh.unlink(missing_ok=True)
        return changed

    def _copy(self, size: int) -> IO[bytes]:
        """Start the new file with the first *size* bytes of the present one."""
        fresh = os.fdopen(open_private(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")
        with os.fdopen(open_private(self.path, os.O_RDONLY), "rb") as old:
            while size > 0:
                piece = old.read(min(size, COPY_BYTES))
                fresh.write(piece)
                size -= len(piece)
        return fresh

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        file = open_private(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def write_all(file: int, data: bytes) -> None:
    """Write all of *data*."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
