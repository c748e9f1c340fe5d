"""From when on the ledger knows which opt-ins were delivered: from the first run on, or since the memory was lost."""

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
    """Decides it once a stream, and notes it in the ledger; used by the reading thread alone.

    The ledger is asked first. If the stream is new to it, earlier runs are known by the STATE that the tap goes on
    from, which comes before the SCHEMA (or at least before the first record), by the summaries of *folder*, or by a
    reject. A STATE after which no record comes, or that follows records, tells of this run.
    """

    def __init__(self, ledger: Ledger | None, digest: Callable[..., bytes], folder: Path, *, withholds: bool) -> None:
        self._ledger = ledger if withholds else None
        self._digest = digest
        self._folder = folder
        self._since: dict[str, str] = {}
        self._undecided: dict[str, str] = {}  # stream -> the tap's name for it
        self._resumed: set[str] = set()  # streams with a bookmark that came between their SCHEMA and their first record
        self._state: Any = None
        self.is_replay = False

    def note_state(self, state: Any, read: Mapping[str, int]) -> None:
        """Take a STATE of the input, before which so many records of each stream were *read*."""
        self._state = state
        for stream, of_tap in list(self._undecided.items()):
            if read.get(stream) or not has_bookmark(state, of_tap):
                self._decide(stream, has_earlier_runs=stream in self._resumed)
            else:
                self._resumed.add(stream)

    def end(self) -> None:
        """Take the end of the input: a bookmark after which no record came is that of an empty first run."""
        for stream in self._resumed & self._undecided.keys():
            self._decide(stream, has_earlier_runs=False)

    def begin(self, stream: str, of_tap: str) -> None:
        """Take the SCHEMA of a stream of profiles, which the tap calls *of_tap*."""
        if stream in self._since:
            return
        if self.is_replay:
            self._decide(stream, has_earlier_runs=True)
        elif self._state is not None:
            self._decide(stream, has_earlier_runs=has_bookmark(self._state, of_tap))
        else:
            self._undecided[stream] = of_tap

    def since(self, stream: str) -> str:
        """From when on it is known which opt-ins were delivered (ISO 8601, UTC); empty: from the first run on."""
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
                    "stream %s: there were earlier runs, and this ledger does not know them: who opted out inside "
                    "Insider One since is not known either, so opt-ins of before now are withheld (noted as "
                    "optin_withheld); opt-outs and later opt-ins go. Give back the data_dir of before, or set "
                    "`optins_without_memory: send`",
                    shown(stream),
                )
        elif since:
            log.info("stream %s: opt-ins of before %s are withheld, see `optins_without_memory`", shown(stream), since)
        self._since[stream] = since


def has_bookmark(state: Any, stream: str) -> bool:
    """Whether a STATE says that the stream was read before."""
    bookmarks = state.get("bookmarks", state) if isinstance(state, dict) else None
    return isinstance(bookmarks, dict) and bool(bookmarks.get(stream))


def was_delivered_before(folder: Path, stream: str) -> bool:
    """Whether the summary of a run says that something of the stream was delivered; dry runs do not count."""
    for path in folder.glob("summary-*.json"):
        try:
            summary = json.loads(path.read_text() if path.is_file() else "")
            if not summary["dry_run"] and summary["streams"].get(shown(stream), {}).get("delivered"):
                return True
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):  # no summary of ours
            continue
    return False
