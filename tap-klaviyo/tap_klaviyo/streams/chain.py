"""Walking through a collection: pages, the rows on them, and where a run may stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from tap_klaviyo.errors import RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_klaviyo.bookmarks import Bookmark, Position
    from tap_klaviyo.client import Fetched, Parameters
    from tap_klaviyo.resources import Links


class Paged(Protocol):
    """A document that may have a next page."""

    @property
    def links(self) -> Links | None:
        """Its links."""


P = TypeVar("P", bound=Paged)


class Reader(Protocol):
    """Reads pages: `KlaviyoClient`, or what stands before it."""

    def get(self, path: str, parameters: Parameters, decode: Callable[[bytes], P], /) -> Fetched[P]:
        """Read the first page of a collection."""

    def follow(self, link: str, decode: Callable[[bytes], P], /) -> Fetched[P]:
        """Read the page that a ``links.next`` names."""


class PageLimitReached(Exception):
    """`max_pages` pages of new records have been read, and there is more."""


@dataclass(slots=True, eq=False)
class PageMark:
    """Stands for a page; tells whether it counts already."""

    counted: bool = False


class Row(NamedTuple):
    """A record on its way out."""

    position: Position
    page: PageMark
    fetched_at: datetime
    record: dict[str, Any]


class PageBudget:
    """Counts pages that bring new records, up to ``max_pages``.

    A page that brings only what an earlier run has emitted, or what lies before the bookmark (a look-back), is not
    counted: otherwise records of one time, or a long look-back, could hold every run in the same place.
    """

    def __init__(self, limit: int | None, bookmark: Bookmark) -> None:
        self._limit = limit
        self._bookmark = bookmark
        self._from = bookmark.second
        self.pages = 0
        """Pages read, counted or not."""
        self._counted = 0

    def read(self) -> PageMark:
        """Note a page that has been read."""
        self.pages += 1
        return PageMark()

    def check(self) -> None:
        """Raise where no further page may be begun.

        Raises:
            PageLimitReached: The budget is spent, and the bookmark can tell what was emitted from what was not.
        """
        if self._limit is not None and self._counted >= self._limit and self._bookmark.holds_whole_second:
            raise PageLimitReached

    def begin(self, page: PageMark, position: Position) -> None:
        """Count the page of a record that is about to be emitted, unless it is counted already.

        Raises:
            PageLimitReached: It would be one too many.
        """
        if not page.counted and position.second >= self._from:
            self.check()
            page.counted = True
            self._counted += 1


def walk(
    reader: Reader,
    path: str,
    parameters: Parameters,
    decode: Callable[[bytes], P],
    before_page: Callable[[], None],
) -> Iterator[Fetched[P]]:
    """Read a collection page by page, following ``links.next`` to the end.

    Args:
        reader: Whom to ask.
        path: The endpoint.
        parameters: The first page's; later pages repeat them in their link.
        decode: Reads a page.
        before_page: Called before every page but the first; may raise to end the walk.

    Raises:
        RefusedRequestError: A page names itself as the next one.
    """
    fetched = reader.get(path, parameters, decode)
    yield fetched
    link: str | None = None
    while fetched.document.links and fetched.document.links.next:
        if fetched.document.links.next == link:
            raise RefusedRequestError(f"GET {path}: a page names itself as the next one", status=200, parameter=None)
        before_page()
        link = fetched.document.links.next
        fetched = reader.follow(link, decode)
        yield fetched
