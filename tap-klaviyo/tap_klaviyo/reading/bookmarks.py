"""The tap's own bookmark: how far a stream has been read.

The SDK's increments go back on late records and forward on future-dated ones. This bookmark is the end of what was
emitted without a gap; it never goes back, never passes the start of the run, and remembers what was emitted in the
stretch before it that the next run reads again. In the state (a list, because Meltano merges the objects of partial
states)::

    {"replication_key": "updated", "replication_key_value": "2026-08-14T09:13:05Z", "seen": [["01K7…", "2026-…Z"], …]}

Events are immutable, so their ``seen`` holds only ids. The state also has ``since``, where the first run began (null:
at the beginning), before which no later run reads; and, for streams of events, the state of `coverage`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from klaviyo_http.moments import GRAIN, clamped_moment, parse_moment, whole_second

from tap_klaviyo.errors import UnreadableStateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SEEN_LIMIT = 20_000
LONGEST = timedelta(days=4_000_000)  # more than the calendar has
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # an earlier bound has no effect, and the API may refuse it


class Placed(Protocol):
    """A record with a place in a stream."""

    @property
    def second(self) -> str:
        """Its time, cut to the second, without offset (``2026-08-14T09:12:40``); empty where it has none."""

    @property
    def key(self) -> str:
        """Its id."""

    @property
    def version(self) -> str:
        """Distinguishes this version of the record from earlier ones; starts with its time."""


R = TypeVar("R", bound=Placed)


@dataclass(frozen=True, slots=True)
class SavedBookmark:
    """A bookmark as an earlier run left it."""

    moment: datetime | None
    """None if that run could not read anything, since none of its metrics was known."""
    seen: Mapping[str, str]
    """Id -> version; empty for a stream that remembers ids alone."""
    since: datetime | None = None
    """Where the first run began; None for the beginning."""
    tells_since: bool = False
    """Whether the state has *since*; those of version 0.1.0 do not."""
    metrics: Mapping[str, datetime] | None = None
    """Metric -> up to when it has been read; None if the state does not distinguish metrics."""
    left_out: Mapping[datetime, Sequence[str]] = field(default_factory=dict)
    """Where a metric was last read, if not by the last run -> ids seen before that."""


def read_state(state: Mapping[str, Any], replication_key: str) -> SavedBookmark | None:
    """Read the bookmark of one stream; None where there is none.

    Raises:
        UnreadableStateError: There is one, but not in a shape that this tap or the SDK writes.
    """
    value = state.get("replication_key_value")
    if value is None and "since" not in state:
        return None
    if state.get("replication_key", replication_key) != replication_key:
        raise UnreadableStateError(f"the state's replication_key is not `{replication_key}`; remove the stream from it")
    try:
        moment = None if value is None else clamped_moment(value)
        entries = msgspec.convert(state.get("seen") or [], list[str | tuple[str, str]])
        seen = dict((entry, "") if isinstance(entry, str) else entry for entry in entries)
        since = None if state.get("since") is None else clamped_moment(state["since"])
        marks = msgspec.convert(state.get("metrics"), list[tuple[str, str]] | None)
        metrics = None if marks is None else {key: clamped_moment(mark) for key, mark in marks}
        others = msgspec.convert(state.get("left_out") or [], list[tuple[str, list[str]]])
        left_out = {clamped_moment(mark): ids for mark, ids in others}
    except (TypeError, ValueError, AttributeError, msgspec.ValidationError):
        raise UnreadableStateError(
            "the state's replication_key_value is not a date-time, or its seen, since, metrics or left_out are not as "
            "this tap writes them; remove the stream from it"
        ) from None
    return SavedBookmark(moment, seen, since, "since" in state, metrics, left_out)


class Bookmark:
    """The bookmark of one stream during one run."""

    def __init__(
        self,
        saved: SavedBookmark | None,
        *,
        ceiling: datetime,
        overlap: timedelta,
        versioned: bool,
        position: str | None = None,
        recalled: Iterable[str] = (),
    ) -> None:
        """Continue a saved bookmark, or begin one.

        Args:
            saved: The bookmark of an earlier run.
            ceiling: The start of this run, which the bookmark never passes.
            overlap: The stretch before the bookmark in which emitted records are remembered.
            versioned: Whether an id may come again in a later version (profiles), or not (events).
            position: Where this run begins, if that lies before the saved bookmark because something was not read up
                to there; the bookmark itself stays where it is until the run has come so far.
            recalled: Ids of what was emitted before that position, besides what the saved bookmark remembers.
        """
        self._ceiling = second_of(ceiling)
        self._overlap = overlap
        self._versioned = versioned
        self._floor = min(second_of(saved.moment), self._ceiling) if saved else ""
        self._second = self._floor if position is None else min(position, self._ceiling)
        self._seen = {**dict.fromkeys(recalled, ""), **(saved.seen if saved else {})}
        self._forgotten = ""
        """The last second with a record that was forgotten because there were more than `SEEN_LIMIT`."""

    @property
    def second(self) -> str:
        """The bookmark, cut to the second, without offset; empty where there is none yet."""
        return max(self._second, self._floor)

    @property
    def position(self) -> str:
        """How far this run has come; before the bookmark while it reads what earlier runs have not read."""
        return self._second

    def fresh(self, rows: Iterable[R]) -> list[R]:
        """Drop rows already emitted: in this version or, if records never change, in any."""
        seen, versioned = self._seen, self._versioned
        fresh = [row for row in rows if (known := seen.get(row.key)) is None or (versioned and known != row.version)]
        if len({row.key for row in fresh}) == len(fresh):
            return fresh
        return list({(row.key, row.version if versioned else ""): row for row in reversed(fresh)}.values())[::-1]

    def note(self, rows: Sequence[Placed]) -> None:
        """Remember records that have been emitted, now or earlier; nothing before them may still be missing."""
        self._seen.update((row.key, row.version) for row in rows)
        last = max((row.second for row in rows), default="")
        if last > self._second:
            self._second = min(last, self._ceiling)

    def complete(self, moment: datetime) -> None:
        """Move to the end of an interval that has been emitted entirely.

        Ids remembered without their time that did not occur again lie before that interval, or are gone; unless the
        interval ends before the saved bookmark (``end_date``), so that the rest was not read again.
        """
        if second_of(moment) >= self._floor:
            self._seen = {key: version for key, version in self._seen.items() if version}
        self._second = max(self._second, min(second_of(moment), self._ceiling))

    def remembered(self) -> Mapping[str, str]:
        """Forget records that the next run will not read again, and return the rest: id -> version."""
        if self._second:
            start = self._start_of_overlap
            self._seen = {key: version for key, version in self._seen.items() if not version or version[:19] >= start}
        if (surplus := len(self._seen) - SEEN_LIMIT) > 0:
            oldest_first = sorted(self._seen.items(), key=lambda item: item[1][:19] or self._floor)
            self._forgotten = max(self._forgotten, oldest_first[surplus - 1][1][:19] or self._floor)
            self._seen = dict(oldest_first[surplus:])
        return self._seen

    @property
    def may_repeat(self) -> bool:
        """Whether the next run reads something again that had to be forgotten."""
        return self._forgotten != "" and self._forgotten >= self._start_of_overlap

    @property
    def _start_of_overlap(self) -> str:
        return second_of(before(parse_moment(f"{self._second}Z"), self._overlap + GRAIN)) if self._second else ""

    @property
    def holds_whole_second(self) -> bool:
        """Whether the next run can recognize all records emitted at the bookmark's second."""
        seen = self.remembered()
        return len(seen) < SEEN_LIMIT or any(version[:19] < self._second for version in seen.values())

    def to_state(self, replication_key: str) -> dict[str, Any]:
        """Compose the state of the stream; without a bookmark, an empty one."""
        if not self.second:
            return {}
        seen = self.remembered()
        return {
            "replication_key": replication_key,
            "replication_key_value": f"{self.second}Z",
            "seen": [[key, version] for key, version in seen.items()] if self._versioned else list(seen),
        }


def before(moment: datetime, reach: timedelta, since: datetime | None = None) -> datetime | None:
    """Return the time *reach* before another, but none before *since*; None, the beginning, if that is before 1970.

    A bookmark before *since* (a state written by hand) is not limited by it.
    """
    try:
        earlier = moment - reach
    except OverflowError:
        earlier = EARLIEST - GRAIN
    if since and since <= moment:
        earlier = max(earlier, since)
    return earlier if earlier >= EARLIEST else None


def second_of(moment: datetime | None) -> str:
    """Write a time, cut to the second: ``2026-08-14T09:12:40``; empty for None."""
    return whole_second(moment)[:-1] if moment else ""


def span(**units: int) -> timedelta:
    """Make a duration; one that is longer than the calendar is cut to its length.

    >>> span(days=7)
    datetime.timedelta(days=7)
    """
    try:
        return min(timedelta(**units), LONGEST)
    except OverflowError:
        return LONGEST
