"""The file of rejected records, with reason and remedy; `replay` reads it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from singer_delivery.disclosure import without_keys
from singer_delivery.exact_json import decode, encode
from singer_delivery.memory.digests import Digester
from singer_delivery.memory.line_file import LineFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from singer_delivery.sending.items import RejectedEvent, Source

WRITE_AFTER_BYTES = 1_000_000
"""Rejects are buffered up to this many bytes; before a STATE, the buffer is written and the file synced."""

MOST_LINES_APART = 500
"""A record with more rejected lines than this gets one entry per kind of error, since an entry may be longer than the
line itself."""

MERGE_AFTER_REJECTS = 100_000
"""After this many rejects, a run merges the repeated ones before its end."""


class RejectsLostError(Exception):
    """Rejects could not be written, so no STATE may pass them."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"rejects cannot be kept in {without_keys(path)} ({error.strerror}); STATE is held back, so nothing is "
            "lost: make room, or correct the permissions, and run again"
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a record, or some of the events made from it, was not delivered.

    *stream* is where it is counted; *source_stream* is its name in the input, if a stream map renames it.
    *time_extracted*: when the tap read it, so that a replay never overwrites newer data. *answer*: the API's own
    words, if any. *attempt* counts the tries. *events*: the events concerned, by default all of them; *code*, *field*,
    *remedy* and *answer* are then those of the first.
    """

    stream: str
    key: str
    key_properties: Sequence[str]
    code: str
    field: str
    remedy: str
    record: Any
    answer: str | None = None
    time_extracted: Any = None
    attempt: int = 1
    events: Sequence[RejectedEvent] = ()
    source_stream: str = ""


def reject_of(
    source: Source,
    code: str,
    field: str,
    remedy: str,
    *,
    answer: str | None = None,
    events: Sequence[RejectedEvent] = (),
) -> Reject:
    """Make the reject of a record, as it was in the input, before any stream map."""
    message = decode(source.arrival.line)
    return Reject(
        stream=source.stream,
        key=source.key,
        key_properties=source.key_properties,
        code=code,
        field=field,
        remedy=remedy,
        record=message["record"],
        answer=answer,
        time_extracted=source.arrival.time_extracted,
        attempt=source.arrival.attempt,
        events=events,
        source_stream=message["stream"],
    )


def reject_of_events(source: Source, events: Sequence[RejectedEvent]) -> Reject:
    """Make one reject for a record some of whose events were rejected, listing all of these events."""
    first = events[0]
    return reject_of(source, first.code, first.field, first.remedy, answer=first.answer, events=events)


class RejectsFile:
    """Appends rejects as JSON lines; :meth:`sync` must be called before any STATE that passes them.

    After one failed write, every further one fails too, so that no STATE passes a reject that was not kept.
    """

    def __init__(self, path: Path, *, run_id: str) -> None:
        self.path = path
        self._file = LineFile(path)
        self._run_id = run_id
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._is_synced = True
        self._failure: RejectsLostError | None = None
        self._added: set[bytes] = set()  # what this run rejected, by `sameness`

    def add(self, reject: Reject) -> None:
        """Buffer one reject; it is on disk after the next :meth:`sync`.

        Raises:
            RejectsLostError: Rejects cannot be written.
        """
        line = encode(_as_entry(reject, self._run_id)) + b"\n"
        with self._lock:
            if same := sameness(line):
                self._added.add(same)
            self._unwritten.append(line)
            self._unwritten_bytes += len(line)
            if self._unwritten_bytes >= WRITE_AFTER_BYTES:
                self._write(durable=False)
            if len(self._added) >= MERGE_AFTER_REJECTS:
                self._write(durable=False)
                self._merge()

    def sync(self) -> None:
        """Write the buffered rejects and sync the file.

        Raises:
            RejectsLostError: They cannot be written.
        """
        with self._lock:
            if self._failure or self._unwritten or not self._is_synced:
                self._write(durable=True)

    def _write(self, *, durable: bool) -> None:
        if self._failure:
            raise self._failure
        try:
            self._file.append(b"".join(self._unwritten), durable=durable)
        except OSError as error:
            self._failure = RejectsLostError(self.path, error)
            raise self._failure from None
        self._unwritten.clear()
        self._unwritten_bytes = 0
        self._is_synced = durable

    def entries(self) -> Iterator[dict[str, Any] | None]:
        """All present entries, oldest first; None for a line that cannot be read."""
        return map(entry_of, self._file.lines())

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> int:
        """Replace every readable entry with the result of *change* (None removes it); returns how many changed."""

        def changed(line: bytes, _position: int) -> bytes:
            entry = entry_of(line)
            new = None if entry is None else change(dict(entry))
            if entry is None or new == entry:
                return line
            return b"" if new is None else encode(new) + b"\n"

        return self._file.rewrite(changed)

    def remove(self, is_gone: Callable[[bytes], bool]) -> int:
        """Remove the lines, readable or not, for which *is_gone* is true; returns how many."""
        return self._file.rewrite(lambda line, _position: b"" if is_gone(line) else line)

    def compact(self, *, max_bytes: int, max_days: int) -> int:
        """Drop the oldest rejects above *max_bytes* in total, and those older than *max_days*; returns how many.

        An unreadable line counts as old as the line before it.
        """
        oldest = datetime.now(tz=UTC) - timedelta(days=max_days)
        beyond = self._file.size() - max_bytes
        is_old = False

        def kept(line: bytes, position: int) -> bytes:
            nonlocal is_old
            at = _time_of(line)
            is_old = is_old if at is None else at < oldest
            return b"" if is_old or position < beyond else line

        return self._file.rewrite(kept)

    def merge_repeats(self) -> None:
        """Merge repeated rejects of one record and reason into the last one, with a count.

        Otherwise a record that the tap reads again in every run would fill the file. Only records rejected by this run
        are looked up, so memory is bounded however long the file is.
        """
        with self._lock:
            if self._added and not self._failure:
                self._merge()

    def _merge(self) -> None:
        added, self._added = self._added, set()

        def prepare(lines: Iterator[bytes]) -> Callable[[bytes, int], bytes] | None:
            repeats = _find_repeats(lines, added)
            return repeats.merged if repeats.positions else None

        self._file.rewrite_after(prepare)


class _Repeats:
    """Which lines of a file repeat one another, by position."""

    def __init__(self) -> None:
        self.positions: dict[int, _Repeat] = {}

    def merged(self, line: bytes, position: int) -> bytes:
        """The replacement of one line: of repeated lines only the last is kept, with the count of all."""
        repeat = self.positions.get(position)
        if repeat is None:
            return line
        if position != repeat.last:
            return b""
        entry = entry_of(line)
        if entry is None:
            return line
        found = {"count": repeat.count, "first_at": repeat.first_at, "attempt": repeat.attempt}
        return encode(entry | found) + b"\n"


@dataclass(slots=True)
class _Repeat:
    count: int
    first_at: str
    attempt: int
    last: int


def _find_repeats(lines: Iterator[bytes], wanted: set[bytes]) -> _Repeats:
    found: dict[bytes, _Repeat] = {}
    repeats = _Repeats()
    position = 0
    for line in lines:
        same = sameness(line)
        if same in wanted:
            head = _decode_head(line)
            repeat = found.get(same)
            if repeat is None:
                found[same] = _Repeat(head.count, head.first_at or head.at, head.attempt, position)
            else:
                repeats.positions |= {repeat.last: repeat, position: repeat}
                repeat.count += head.count
                repeat.attempt = max(repeat.attempt, head.attempt)
                repeat.last = position
        position += len(line)
    return repeats


class _Event(msgspec.Struct):
    event_type: str | None = None
    line: int | None = None
    code: str = ""
    field: str = ""
    line_ranges: tuple[tuple[int, int], ...] = ()


class _Head(msgspec.Struct):
    """The members of an entry that can be read without decoding its record."""

    stream: str
    code: str
    at: str = ""
    key: str = ""
    field: str = ""
    event_type: str | None = None
    line: int | None = None
    lines: tuple[_Event, ...] = ()
    first_at: str = ""
    count: int = 1
    attempt: int = 1
    record: msgspec.Raw = msgspec.Raw()
    replayed: msgspec.Raw = msgspec.Raw()


class _At(msgspec.Struct):
    at: str


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_at = msgspec.json.Decoder(_At).decode
_digest = Digester("rejects")


def sameness(line: bytes) -> bytes | None:
    """A digest that is equal for entries of one record and one reason that were not replayed yet.

    A record without a key is identified by its content. None for a replayed entry or an unreadable line.
    """
    try:
        head = _decode_head(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bytes(head.replayed):
        return None
    events = msgspec.json.encode((head.event_type, head.line, head.lines))
    return _digest(head.stream, head.key, head.code, head.field, events, b"" if head.key else bytes(head.record))


def entry_of(line: bytes) -> dict[str, Any] | None:
    """Decode a line into an entry; None if it holds none."""
    try:
        entry = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return None
    return entry if isinstance(entry, dict) else None


def _as_entry(reject: Reject, run_id: str) -> dict[str, Any]:
    """The JSON object of a reject; ``lines`` is present only if several events are concerned."""
    first = reject.events[0] if reject.events else None
    entry = {
        "id": uuid.uuid4().hex,
        "stream": reject.stream,
        "key": reject.key,
        "key_properties": reject.key_properties,
        "code": reject.code,
        "field": reject.field,
        "remedy": reject.remedy,
        "event_type": first.event_type if first else None,
        "line": first.line if first else None,
        "answer": reject.answer,
        "attempt": reject.attempt,
        "run_id": run_id,
        "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "time_extracted": reject.time_extracted,
    }
    if len(reject.events) > 1:
        entry["lines"] = lines_of_entry(reject.events)
    if reject.source_stream not in {"", reject.stream}:
        entry["source_stream"] = reject.source_stream
    entry["record"] = reject.record
    return entry


def lines_of_entry(events: Sequence[RejectedEvent]) -> list[dict[str, Any]]:
    """The rejected events of a record as JSON objects; if there are many, equal ones are merged.

    Merged ones carry their line numbers as ``line_ranges`` (``[[1, 5], [7, 7]]``).
    """
    if len(events) <= MOST_LINES_APART:
        return [event._asdict() for event in events]
    alike: dict[RejectedEvent, list[list[int]]] = {}
    for event in events:
        ranges = alike.setdefault(event._replace(line=None), [])
        if event.line is None:
            continue
        if ranges and ranges[-1][1] == event.line - 1:
            ranges[-1][1] = event.line
        else:
            ranges.append([event.line, event.line])
    return [
        event._asdict() | ({"line": ranges[0][0], "line_ranges": ranges} if ranges else {})
        for event, ranges in alike.items()
    ]


def events_of_entry(entry: Mapping[str, Any]) -> set[tuple[str, int | None]]:
    """Type and line of each event that an entry names; empty if it concerns the whole record."""
    found: set[tuple[str, int | None]] = set()
    for event in entry.get("lines") or ([entry] if entry.get("event_type") else []):
        ranges = event.get("line_ranges") or ()
        found.update((event["event_type"], line) for first, last in ranges for line in range(first, last + 1))
        if not ranges:
            found.add((event["event_type"], event.get("line")))
    return found


def _time_of(line: bytes) -> datetime | None:
    try:
        at = datetime.fromisoformat(_decode_at(line).at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)
