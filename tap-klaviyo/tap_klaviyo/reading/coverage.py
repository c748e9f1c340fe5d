"""How far each metric has been read, so that none counts as read that was not.

A metric may be misspelt in the settings, be renamed, or be added to them later; the bookmark of the stream is then
ahead of what was read of it. So the state keeps, beside the bookmark, for each metric up to when it has been read (a
list, because Meltano merges the objects of partial states), and where the first run began, null for the beginning::

    {"since": "2026-05-01T00:00:00Z", "metrics": [["UvW3xY", "2026-08-14T09:13:05Z"], …]}

A metric that is not listed was never read, and is read from ``since``. ``*`` stands for every metric that is not
listed: where the settings name none, and in states of version 0.1.0, which did not tell metrics apart. Where the key
may not read metrics, their ids are not known in advance; then names stand in the list, as the settings spell them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaviyo_http.moments import parse_moment

from tap_klaviyo.reading.bookmarks import before, second_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta

    from tap_klaviyo.reading.bookmarks import SavedBookmark

EVERY = "*"


class Coverage:
    """What has been read of the metrics of one stream. Seconds are spelt ``2026-08-14T09:12:40``."""

    def __init__(self, marks: Mapping[str, str], since: datetime | None, reach: timedelta) -> None:
        """Continue from what a state says.

        Args:
            marks: Id or name of a metric -> the second up to which it has been read.
            since: From when on one is read that never was; None: from the beginning.
            reach: How far before its mark a metric is read again, though never from before *since*.
        """
        self._marks = dict(marks)
        self._since = since
        self._reach = reach

    @property
    def known(self) -> frozenset[str]:
        """The metrics that have a mark of their own."""
        return frozenset(self._marks) - {EVERY}

    def mark(self, key: str) -> str:
        """Return up to which second a metric has been read; empty if it never was."""
        return self._marks.get(key) or self._marks.get(EVERY, "")

    def lower(self, key: str) -> datetime | None:
        """Return from when on a metric is to be read; None: from the beginning."""
        mark = self.mark(key)
        return before(parse_moment(f"{mark}Z"), self._reach, self._since) if mark else self._since

    def lowest(self, keys: Iterable[str]) -> datetime | None:
        """Return from when on several metrics are to be read, of which there is at least one."""
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

    def to_state(self) -> list[list[str]]:
        """List the marks, but for those that say what is said of every metric."""
        every = self._marks.get(EVERY)
        return [[key, f"{second}Z"] for key, second in sorted(self._marks.items()) if key == EVERY or second != every]


def coverage_of(saved: SavedBookmark | None, since: datetime | None, reach: timedelta) -> Coverage:
    """Continue what an earlier run left; no mark lies after its bookmark, which may have been brought back."""
    if saved is None:
        return Coverage({}, since, reach)
    last = second_of(saved.moment)
    if saved.metrics is None:
        return Coverage({EVERY: last} if last else {}, since, reach)
    return Coverage({key: min(second_of(mark), last) for key, mark in saved.metrics.items()}, since, reach)
