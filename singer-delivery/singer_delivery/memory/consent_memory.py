"""Determines since when the ledger knows all delivered opt-ins: since the first run, or since the memory was lost."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from singer_delivery.disclosure import shown
from singer_delivery.logs import log
from singer_delivery.memory.read_times import UNDATED, in_utc, latest_credible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from singer_delivery.memory.ledger import Ledger

AHEAD = timedelta(minutes=15)
"""How far a bookmark may be ahead of the last time noted in the run that wrote it: clocks differ."""

NOTE_EVERY_SECONDS = 60


class ConsentMemory:
    """Decides once per stream, and stores the result in the ledger; used by the reading thread only.

    The ledger is asked first. If it does not know the stream, earlier runs are recognized by the STATE that the tap
    resumes from, which comes before the SCHEMA (or at least before the first record), by the summaries in *folder*, or
    by a reject. A STATE that follows records, or that no record follows, belongs to this run. If the ledger knows the
    stream, but its last run was before the bookmark that the tap resumes from, it is an older copy, and counts as new.
    """

    def __init__(
        self, ledger: Ledger | None, digest: Callable[..., bytes], folder: Path, *, withholds: bool, destination: str
    ) -> None:
        self._ledger = ledger
        self._withholds = withholds
        self._digest = digest
        self._folder = folder
        self._destination = destination
        self._since: dict[str, str] = {}
        self._undecided: dict[str, str] = {}  # stream -> the tap's name for it
        self._resumed: dict[str, str] = {}  # stream -> its bookmark between its SCHEMA and its first record
        self._state: Any = None
        self._noted_at = -math.inf
        self.is_replay = False

    def note_state(self, state: Any, read: Mapping[str, int]) -> None:
        """Process a STATE of the input; *read*: stream -> records before it."""
        self._state = state
        for stream, of_tap in list(self._undecided.items()):
            if read.get(stream) or not has_bookmark(state, of_tap):
                self._decide(stream, stream in self._resumed, self._resumed.get(stream, UNDATED))
            else:
                self._resumed[stream] = bookmark_time(state, of_tap)

    def end(self) -> None:
        """Process the end of the input: a bookmark that no record followed is that of an empty first run."""
        for stream in self._resumed.keys() & self._undecided.keys():
            self._decide(stream, has_earlier_runs=False)

    def begin(self, stream: str, of_tap: str) -> None:
        """Process the SCHEMA of a stream of profiles; *of_tap*: its name in the tap."""
        if stream in self._since:
            return
        if self.is_replay:
            self._decide(stream, has_earlier_runs=True)
        elif self._state is not None:
            self._decide(stream, has_bookmark(self._state, of_tap), bookmark_time(self._state, of_tap))
        else:
            self._undecided[stream] = of_tap

    def since(self, stream: str) -> str:
        """Since when all delivered opt-ins are known (ISO 8601, UTC); empty: since the first run."""
        if stream not in self._since:
            self._decide(stream, stream in self._resumed, self._resumed.get(stream, UNDATED))
        return self._since[stream]

    def _decide(self, stream: str, has_earlier_runs: bool, resumed_at: str = UNDATED) -> None:
        self._undecided.pop(stream, None)
        self._since[stream] = ""
        if self._ledger is None:
            return
        is_copy = not self.is_replay and self._is_older_copy(stream, resumed_at)
        if not self._withholds:
            return
        key = self._digest("opt-ins", stream)
        since = self._ledger.remembers_since(key)
        if since is None or is_copy:
            is_lost = is_copy or has_earlier_runs or was_delivered_before(self._folder, stream)
            since = self._ledger.note_since(key, _now() if is_lost else "", replace=is_copy)
            if since:
                log.warning(
                    "stream %s: there were earlier runs that this ledger does not know%s, so it is unknown who opted "
                    "out inside %s since: opt-ins from before now are withheld (noted as optin_withheld); opt-outs and "
                    "later opt-ins are sent. Restore the data_dir of the last run, or set "
                    "`optins_without_memory: send`",
                    shown(stream),
                    " (it is an older copy)" if is_copy else "",
                    self._destination,
                )
        elif since:
            log.info("stream %s: opt-ins before %s are withheld, see `optins_without_memory`", shown(stream), since)
        self._since[stream] = since

    def note_progress(self) -> None:
        """Note that the run goes on, once a minute at most: the STATE of a long run is ahead of its start."""
        if self._ledger is None or time.monotonic() < self._noted_at + NOTE_EVERY_SECONDS:
            return
        self._noted_at = time.monotonic()
        for stream in list(self._since):
            self._ledger.note_run(self._digest("last run", stream), _now())

    def _is_older_copy(self, stream: str, resumed_at: str) -> bool:
        """Note this run, and tell whether the tap resumes from after the last run that the ledger knows."""
        last_run = self._ledger.note_run(self._digest("last run", stream), _now()) if self._ledger else None
        return last_run is not None and in_utc(last_run) < resumed_at


def has_bookmark(state: Any, stream: str) -> bool:
    """Whether a STATE has a bookmark of the stream."""
    bookmarks = state.get("bookmarks", state) if isinstance(state, dict) else None
    return isinstance(bookmarks, dict) and bool(bookmarks.get(stream))


def bookmark_time(state: Any, stream: str) -> str:
    """Until when the run that wrote the bookmark of a stream went on at least (ISO 8601, UTC); `UNDATED` if unknown."""
    bookmarks = state.get("bookmarks", state) if isinstance(state, dict) else None
    bookmark = bookmarks.get(stream) if isinstance(bookmarks, dict) else None
    value = bookmark.get("replication_key_value") if isinstance(bookmark, dict) else None
    try:
        at = in_utc(value) if isinstance(value, str) else UNDATED
        return (
            in_utc((datetime.fromisoformat(at) - AHEAD).isoformat()) if UNDATED < at <= latest_credible() else UNDATED
        )
    except (ValueError, OverflowError):
        return UNDATED


def was_delivered_before(folder: Path, stream: str) -> bool:
    """Whether the summary of a run, dry runs excluded, shows deliveries of the stream."""
    for path in folder.glob("summary-*.json"):
        try:
            summary = json.loads(path.read_text() if path.is_file() else "")
            if not summary["dry_run"] and summary["streams"].get(shown(stream), {}).get("delivered"):
                return True
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):  # not one of our summaries
            continue
    return False


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="microseconds")
