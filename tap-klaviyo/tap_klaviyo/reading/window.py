"""One window: a time range that is read as one chain of pages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple

from tap_klaviyo.reading.pages import P

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from klaviyo_http.client import Fetched, Packed
    from klaviyo_http.errors import RefusedRequestError

    from tap_klaviyo.reading.fetching import Task


class Recheck(NamedTuple):
    """A chain that ended, or was refused, after one record: is that record still the last?"""

    key: str
    """The record's id."""
    error: RefusedRequestError | None
    """The refusal."""


@dataclass(slots=True, eq=False)
class Window(Generic[P]):
    """A time range that is read as one chain of pages."""

    start: datetime | None
    end: datetime
    """Exclusive. It moves towards the start when the window is cut."""
    asked_until: datetime | None = None
    """Its end when its first page was requested, and so the end of the pages that its links name."""
    pace: timedelta | None = None
    """The time that a full page covers here; None until a page allows an estimate."""
    horizon: datetime | None = None
    """Up to when that estimate holds."""
    since: datetime | None = None
    """Where the interval with that pace begins, perhaps in an earlier window."""
    reached: datetime | None = None
    """The second of the last record read."""
    last_key: str = ""
    """Its id."""
    link: str | None = None
    """The page to read next; None for the first one."""
    tortoise: str | None = None
    """Brent's cycle detection: the link at the last page whose number is a power of two."""
    task: Task[Fetched[P]] | None = None
    pages: deque[Fetched[P] | Packed[P]] = field(default_factory=deque)
    """Read, and not yet emitted."""
    waiting_bytes: int = 0
    complete: bool = False
    error: Exception | None = None
    recheck: Recheck | None = None
    pages_read: int = 0
    records_read: int = 0
    idle_pages: int = 0
    """Consecutive pages without new records: none, or only that of the page before."""

    @property
    def may_ask(self) -> bool:
        """Whether its next page can be asked for now."""
        return self.task is None and not self.complete and self.error is None

    @property
    def position(self) -> datetime | None:
        """How far it has been read."""
        return self.reached or self.start
