"""The file of rejected records: the one place outside the API where records are kept."""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from target_insiderone.exact_json import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class _At(msgspec.Struct):
    at: str


_decode_at = msgspec.json.Decoder(_At).decode


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a record, or one event made of it, was not delivered.

    *time_extracted*: when the tap read it, so that a replay never overwrites what was read later. *answer* holds
    Insider One's own words, if any. *attempt* counts the tries.
    """

    stream: str
    key: str
    key_properties: Sequence[str]
    code: str
    field: str
    remedy: str
    record: Any
    event_type: str | None = None
    line: int | None = None
    answer: str | None = None
    time_extracted: Any = None
    attempt: int = 1


class RejectsFile:
    """Appends rejects as JSON lines; :meth:`sync` must be called before any STATE that passes them.

    The file is 0600. Several processes may append or compact at once: each does so under one lock (a file beside it),
    and a line torn by a crash is closed with a newline before the next one.
    """

    def __init__(self, path: Path, *, run_id: str) -> None:
        self.path = path
        self._run_id = run_id
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []

    def add(self, reject: Reject) -> None:
        """Stage one reject; it is on the disk after the next :meth:`sync`."""
        line = encode(
            {
                "id": uuid.uuid4().hex,
                "stream": reject.stream,
                "key": reject.key,
                "key_properties": reject.key_properties,
                "code": reject.code,
                "field": reject.field,
                "remedy": reject.remedy,
                "event_type": reject.event_type,
                "line": reject.line,
                "answer": reject.answer,
                "attempt": reject.attempt,
                "run_id": self._run_id,
                "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
                "time_extracted": reject.time_extracted,
                "record": reject.record,
            }
        )
        with self._lock:
            self._unwritten.append(line + b"\n")

    def sync(self) -> None:
        """Write what is staged and wait until the disk has it."""
        with self._lock:
            if not self._unwritten:
                return
            lines = b"".join(self._unwritten)
            self._unwritten.clear()
            with self._exclusive():
                file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    _write_all(file, lines if _ends_whole(file) else b"\n" + lines)
                    os.fsync(file)
                finally:
                    os.close(file)

    def read(self) -> list[dict[str, Any]]:
        """All rejects that can be read, oldest first; a torn line is passed over."""
        with self._exclusive():
            return [entry for line in self._lines() if (entry := _entry(line)) is not None]

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> int:
        """Replace every readable reject by what *change* makes of it (None: take it out); returns how many differ."""
        with self._exclusive():
            lines = self._lines()
            changed = 0
            kept: list[bytes] = []
            for line in lines:
                entry = _entry(line)
                new = None if entry is None else change(dict(entry))
                if entry is not None and new != entry:
                    changed += 1
                    line = b"" if new is None else encode(new) + b"\n"  # noqa: PLW2901  (the line is replaced)
                kept.append(line)
            if changed:
                self._replace(kept)
            return changed

    def compact(self, *, max_bytes: int, max_days: int) -> int:
        """Drop the oldest rejects beyond *max_bytes* in all or *max_days* of age; returns how many went."""
        with self._exclusive():
            lines = self._lines()
            kept = _newest(lines, max_bytes, datetime.now(tz=UTC) - timedelta(days=max_days))
            if len(kept) == len(lines):
                return 0
            self._replace(kept)
            return len(lines) - len(kept)

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []

    def _replace(self, lines: list[bytes]) -> None:
        fresh = self.path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        file = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if isinstance(entry, dict) else None


def _newest(lines: list[bytes], max_bytes: int, oldest: datetime) -> list[bytes]:
    """The last of *lines* that fit *max_bytes* and are not older than *oldest*; an unreadable line has no age."""
    kept = 0
    for line in reversed(lines):
        max_bytes -= len(line)
        if max_bytes < 0 or _age_of(line) < oldest:
            break
        kept += 1
    return lines[len(lines) - kept :]


def _age_of(line: bytes) -> datetime:
    try:
        return datetime.fromisoformat(_decode_at(line).at)
    except (msgspec.DecodeError, ValueError):
        return datetime.max.replace(tzinfo=UTC)


def _ends_whole(file: int) -> bool:
    """Whether the file is empty or ends with a newline (a torn last line does not)."""
    size = os.lseek(file, 0, os.SEEK_END)
    return size == 0 or os.pread(file, 1, size - 1) == b"\n"


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
