"""Determines since when the ledger knows all delivered opt-ins: since the first run, or since the memory was lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_delivery.disclosure import shown
from singer_delivery.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from singer_delivery.memory.ledger import Ledger


class ConsentMemory:
    """Decides once per stream, and stores the result in the ledger; used by the reading thread only.

    The ledger is asked first. If it does not know the stream, earlier runs are recognized by the STATE that the tap
    resumes from, which comes before the SCHEMA (or at least before the first record), by the summaries in *folder*, or
    by a reject. A STATE that follows records, or that no record follows, belongs to this run.
    """

    def __init__(
        self, ledger: Ledger | None, digest: Callable[..., bytes], folder: Path, *, withholds: bool, destination: str
    ) -> None:
        self._ledger = ledger if withholds else None
        self._digest = digest
        self._folder = folder
        self._destination = destination
        self._since: dict[str, str] = {}
        self._undecided: dict[str, str] = {}  # stream -> the tap's name for it
        self._resumed: set[str] = set()  # streams with a bookmark between their SCHEMA and their first record
        self._state: Any = None
        self.is_replay = False

    def note_state(self, state: Any, read: Mapping[str, int]) -> None:
        """Process a STATE of the input; *read*: stream -> records before it."""
        self._state = state
        for stream, of_tap in list(self._undecided.items()):
            if read.get(stream) or not has_bookmark(state, of_tap):
                self._decide(stream, has_earlier_runs=stream in self._resumed)
            else:
                self._resumed.add(stream)

    def end(self) -> None:
        """Process the end of the input: a bookmark that no record followed is that of an empty first run."""
        for stream in self._resumed & self._undecided.keys():
            self._decide(stream, has_earlier_runs=False)

    def begin(self, stream: str, of_tap: str) -> None:
        """Process the SCHEMA of a stream of profiles; *of_tap*: its name in the tap."""
        if stream in self._since:
            return
        if self.is_replay:
            self._decide(stream, has_earlier_runs=True)
        elif self._state is not None:
            self._decide(stream, has_earlier_runs=has_bookmark(self._state, of_tap))
        else:
            self._undecided[stream] = of_tap

    def since(self, stream: str) -> str:
        """Since when all delivered opt-ins are known (ISO 8601, UTC); empty: since the first run."""
        if stream not in self._since:
            self._decide(stream, has_earlier_runs=stream in self._resumed)
        return self._since[stream]

    def _decide(self, stream: str, *, has_earlier_runs: bool) -> None:
        self._undecided.pop(stream, None)
        if self._ledger is None:
            self._since[stream] = ""
            return
        key = self._digest("opt-ins", stream)
        since = self._ledger.remembers_since(key)
        if since is None:
            is_lost = has_earlier_runs or was_delivered_before(self._folder, stream)
            since = datetime.now(tz=UTC).isoformat(timespec="microseconds") if is_lost else ""
            since = self._ledger.note_since(key, since)
            if since:
                log.warning(
                    "stream %s: there were earlier runs that this ledger does not know, so it is unknown who opted out "
                    "inside %s since: opt-ins from before now are withheld (noted as optin_withheld); opt-outs and "
                    "later opt-ins are sent. Restore the data_dir of the last run (not an older copy: opt-ins "
                    "delivered since would be sent again), or set `optins_without_memory: send`",
                    shown(stream),
                    self._destination,
                )
        elif since:
            log.info("stream %s: opt-ins before %s are withheld, see `optins_without_memory`", shown(stream), since)
        self._since[stream] = since


def has_bookmark(state: Any, stream: str) -> bool:
    """Whether a STATE has a bookmark of the stream."""
    bookmarks = state.get("bookmarks", state) if isinstance(state, dict) else None
    return isinstance(bookmarks, dict) and bool(bookmarks.get(stream))


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
