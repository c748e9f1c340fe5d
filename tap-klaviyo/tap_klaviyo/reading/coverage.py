"""Tracks how far each metric has been read, so that no unread events are skipped.

A metric may be misspelt in the settings, be renamed, or be added to them later; the bookmark of the stream is then
ahead of what was read of it. So the state holds, besides the bookmark, up to when each metric has been read (a
list, because Meltano merges the objects of partial states), and where the first run began, null for the beginning::

    {"since": "2026-05-01T00:00:00Z", "metrics": [["UvW3xY", "2026-08-14T09:13:05Z"], …], "left_out": […]}

A metric that is not listed was never read, and is read from ``since``. ``*`` stands for every metric that is not
listed: if the settings name none, and in states of version 0.1.0, which did not distinguish metrics. If the key
may not read metrics, their ids are not known in advance; then the list has names, as spelt in the settings.

``left_out`` is for metrics that were read by earlier runs and are not by this one: what was seen before their marks, so
that none of it comes again when they are read again: ``[["2026-08-14T09:13:05Z", ["5Qx…", …]], …]``. The list ``seen``
of the bookmark would forget it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klaviyo_http.moments import parse_moment

from tap_klaviyo.reading.bookmarks import SEEN_LIMIT, before, second_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from tap_klaviyo.reading.bookmarks import SavedBookmark

EVERY = "*"


class Coverage:
    """What has been read of the metrics of one stream. Seconds are spelt ``2026-08-14T09:12:40``."""

    def __init__(
        self,
        marks: Mapping[str, str],
        since: datetime | None,
        reach: timedelta,
        left_out: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Continue from what a state says.

        Args:
            marks: Id or name of a metric -> the second up to which it has been read.
            since: Where a metric that was never read begins; None: at the beginning.
            reach: How far before its mark a metric is read again, though never from before *since*.
            left_out: Mark -> ids of what was seen before it, of metrics that the last run did not read.
        """
        self._marks = dict(marks)
        self._since = since
        self._reach = reach
        self._left_out = dict(left_out or {})

    @property
    def known(self) -> frozenset[str]:
        """The metrics with a mark."""
        return frozenset(self._marks) - {EVERY}

    def mark(self, key: str) -> str:
        """Return up to which second a metric has been read; empty if it never was."""
        return self._marks.get(key) or self._marks.get(EVERY, "")

    def lower(self, key: str) -> datetime | None:
        """Return from when on a metric is to be read; None: from the beginning."""
        mark = self.mark(key)
        return before(parse_moment(f"{mark}Z"), self._reach, self._since) if mark else self._since

    def lowest(self, keys: Iterable[str]) -> datetime | None:
        """Return from when on several metrics (at least one) are to be read."""
        bounds = [self.lower(key) for key in keys]
        return None if None in bounds else min(bound for bound in bounds if bound)

    def position(self, keys: Iterable[str]) -> str:
        """Return up to which second all these metrics have been read; empty: not even the first."""
        first = second_of(self._since)
        return min(self.mark(key) or first for key in keys)

    def advance(self, keys: Iterable[str], second: str) -> None:
        """Note that metrics, which were read from their mark on, have been read up to a second."""
        if second:
            self._marks |= {key: max(self.mark(key), second) for key in keys}

    def choose(self, keys: Collection[str], seen: Collection[str]) -> set[str]:
        """Return the ids seen before the marks of the metrics that are read; keep those of the others.

        *seen* is what the last run remembered, of all metrics.
        """
        recalled = {one for key in keys for one in self._left_out.get(self.mark(key), ())}
        others = {mark for key, mark in self._marks.items() if key not in keys}
        self._left_out = {mark: self._left_out.get(mark, tuple(seen)) for mark in sorted(others)}
        while sum(map(len, self._left_out.values())) > SEEN_LIMIT:
            del self._left_out[min(self._left_out)]
        return recalled

    def to_state(self) -> dict[str, list[Any]]:
        """List the marks that differ from that of every other metric, and the ids seen before some."""
        every = self._marks.get(EVERY)
        marks = [[key, f"{second}Z"] for key, second in sorted(self._marks.items()) if key == EVERY or second != every]
        return {"metrics": marks, "left_out": [[f"{mark}Z", list(seen)] for mark, seen in self._left_out.items()]}


def coverage_of(saved: SavedBookmark | None, since: datetime | None, reach: timedelta) -> Coverage:
    """Continue from a saved bookmark; no mark lies after it, since it may have been moved back."""
    if saved is None:
        return Coverage({}, since, reach)
    last = second_of(saved.moment)
    if saved.metrics is None:
        return Coverage({EVERY: last} if last else {}, since, reach)
    marks = {key: min(second_of(mark), last) for key, mark in saved.metrics.items()}
    return Coverage(marks, since, reach, {second_of(mark): seen for mark, seen in saved.left_out.items()})
