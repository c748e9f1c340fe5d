"""Pages, and the interface of readings that are ordered by time."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from klaviyo_http.client import Fetched
    from klaviyo_http.documents import Links, Odd
    from klaviyo_http.errors import RefusedRequestError

logger = logging.getLogger("tap-klaviyo.pages")


class Listing(Protocol):
    """A page."""

    @property
    def links(self) -> Links:
        """Its links."""

    @property
    def data(self) -> Sequence[Any]:
        """Its records."""


P = TypeVar("P", bound=Listing)


class Source(Protocol[P]):
    """A collection that can be read in windows of its time, in the order of that time. Threads call the first two."""

    @property
    def name(self) -> str:
        """The stream that it belongs to."""

    @property
    def size(self) -> int:
        """Records of a full page."""

    def first(self, start: datetime | None, end: datetime, /) -> Fetched[P]:
        """Read the first page of a window; records of one second before it may come along."""

    def follow(self, link: str, /) -> Fetched[P]:
        """Read the page that a ``links.next`` names."""

    def span(self, page: P, /) -> tuple[datetime, datetime] | None:
        """Return the times of the first and the last record, cut to the second; None where they have none."""

    def can_ask_for_less(self, error: RefusedRequestError, /) -> bool:
        """Return whether a refused first page may be requested again in another way."""


class Slice(NamedTuple, Generic[P]):
    """A page of a window. Only records whose second lies within the window count."""

    fetched: Fetched[P]
    start: str
    """``2026-08-14T09:12:40``, or empty for the beginning."""
    end: str

    def holds(self, second: str) -> bool:
        """Return whether a record of this second belongs to the window; one without a time always does."""
        return self.start <= second < self.end or not second


def leave_out(stream: str, odd: Sequence[Odd], tally: dict[str, int]) -> None:
    """Count the resources of a page that cannot be read (``unreadable``), and name each of them in a WARNING."""
    if not odd:
        return
    tally["unreadable"] = tally.get("unreadable", 0) + len(odd)
    for one in odd:
        is_plain = one.id is not None and re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9_-]{1,40}", one.id)
        logger.warning(
            "stream %s: %s (%s) is not as Klaviyo documents resources (id, attributes, relationships) and is left out; "
            "the others go on. Tell Klaviyo's support if it stays so",
            stream,
            f"the resource {one.id}" if is_plain else "a resource without a plain id",
            one.place,
        )
