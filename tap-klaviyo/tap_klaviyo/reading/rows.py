"""Rows to emit, and the points at which a run may stop."""

from __future__ import annotations

import heapq
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from klaviyo_http.moments import parse_moment, rfc3339_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    import msgspec
    from klaviyo_http.documents import Event, Profile, RelatedResource

    from tap_klaviyo.reading.bookmarks import Bookmark, Placed, R


class PageLimitReached(Exception):
    """`max_pages` pages of new records have been read, and there is more."""


class Row(NamedTuple):
    """A record to be emitted, with its place in the stream: a `tap_klaviyo.reading.bookmarks.Placed`."""

    second: str
    key: str
    version: str
    fetched_at: datetime
    record: dict[str, Any]


def version_of(time: msgspec.Raw | None) -> str:
    """Return the time of a record, a JSON value that `rfc3339_json` has normalized; "" if it is not a time."""
    text = bytes(time)[1:-1].decode() if time is not None else ""
    return text if text.endswith("Z") else ""


def moment_of(time: msgspec.Raw | None) -> datetime | None:
    """Return the second of a time as the API writes it; None if it is none."""
    version = version_of(rfc3339_json(time)) if time is not None else ""
    return parse_moment(f"{version[:19]}Z") if version else None


def span_of(data: Sequence[Profile | RelatedResource | Event], name: str) -> tuple[datetime, datetime] | None:
    """Return the times of a page's first and last record, in the attribute *name*; None if they have none."""
    first, last = (moment_of(data[place].attributes.get(name)) for place in (0, -1)) if data else (None, None)
    return (first, last) if first and last else None


def merged(pages: Sequence[Iterator[list[R]]], size: int) -> Iterator[list[R]]:
    """Merge several readings, each page by page in the order of time, into one; its pages have *size* rows."""
    if len(pages) == 1:
        yield from pages[0]
        return
    chains = [(row for page in one for row in page) for one in pages]
    rows = heapq.merge(*chains, key=attrgetter("second"))
    while page := list(islice(rows, size)):
        yield page


class PageBudget:
    """Counts pages that bring new records, up to ``max_pages``.

    A page with only records that an earlier run has emitted, or that lie before the bookmark (a look-back), is not
    counted: otherwise records of one time, or a long look-back, could hold every run in the same place.
    """

    def __init__(self, limit: int | None, bookmark: Bookmark, *, counted: int = 0) -> None:
        self.limit = limit
        self._bookmark = bookmark
        self._from = bookmark.position
        self.counted = counted

    def check(self) -> None:
        """Raise if no further page may be begun.

        Raises:
            PageLimitReached: The budget is spent, and the bookmark can separate emitted records from others.
        """
        if self.limit is not None and self.counted >= self.limit and self._bookmark.holds_whole_second:
            raise PageLimitReached

    def begin(self, fresh: Iterable[Placed]) -> None:
        """Count the page whose new records are about to be emitted.

        Raises:
            PageLimitReached: It would be one too many.
        """
        if any(row.second >= self._from for row in fresh):
            self.check()
            self.counted += 1
