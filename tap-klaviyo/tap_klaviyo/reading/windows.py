"""Reads a long time range in concurrent windows, emitted in order, with bounded memory.

Klaviyo's cursors are serial: page *n + 1* needs the link of page *n*. So the range is cut into windows, half-open
intervals of the stream's time, whose chains of pages are read concurrently. Reading begins with one window. If
fetching a page takes longer than writing it, more are cut off: enough windows to hide the fetch time behind the
writing. The earliest window that is long enough is cut, a few pages beyond what was read of it, as estimated from the
density of the pages before. So an empty year costs no request, a dense second delays no other window, and without
latency there is one chain, read one page ahead.

Everything here happens in the emitting thread; see `tap_klaviyo.reading.fetching`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, NamedTuple

from klaviyo_http.client import Fetched
from klaviyo_http.errors import RefusedRequestError
from klaviyo_http.moments import GRAIN, whole_second

from tap_klaviyo.reading.concurrency import Concurrency
from tap_klaviyo.reading.pages import P, Slice
from tap_klaviyo.reading.window import Recheck, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_klaviyo.reading.fetching import Fetcher, Task
    from tap_klaviyo.reading.pages import Source

BUDGET_BYTES = 64_000_000  # of bodies that wait to be emitted
FEWEST_PAGES, MOST_PAGES = 4, 64  # of a window
WORTH_PAGES = 2  # that must remain of a window that is cut
HORIZON = 16  # an estimate holds for so many times the interval that it was measured on
ALIKE = 8  # factor by which the pace may differ within one such interval
SMOOTHING = 0.3  # weight of the newest measurement
SETTLE_SECONDS = 1.0
MOST_IDLE_PAGES = 50
"""In a row; a chain of empty pages with ever new links would never end."""

logger = logging.getLogger("tap-klaviyo.windows")


class Estimate(NamedTuple, Generic[P]):
    """The part of a window still to be read."""

    window: Window[P]
    pages: float
    reliable: float
    """How many pages ahead the estimate may be relied on."""


class WindowedReading(Generic[P]):
    """Reads one source from *lower* (None: the beginning) to *upper*, exclusively."""

    def __init__(
        self,
        source: Source[P],
        fetcher: Fetcher,
        bounds: tuple[datetime | None, datetime],
        settle: Callable[[], None],
        before_page: Callable[[], None] | None = None,
        share: int = 1,
    ) -> None:
        """Prepare to read.

        Args:
            source: The collection to read.
            fetcher: Runs the requests.
            bounds: lower and upper.
            settle: Called now and then while the emitting thread waits for a page.
            before_page: If given, there is one chain without look-ahead, and this is called before every page but the
                first; it may raise to end the reading.
            share: The number of readings that share the budget of bytes.
        """
        self._budget = BUDGET_BYTES // share
        self._source = source
        self._fetcher = fetcher
        self._settle = settle
        self._before_page = before_page
        self._windows: deque[Window[P]] = deque([Window(*bounds)])
        self._concurrency = Concurrency(fetcher.threads)
        self._emit_seconds: float | None = None
        self._page_bytes: float | None = None
        self._known: Window[P] | None = None
        """The last window that was emitted entirely and whose pace is known."""

    def open(self) -> None:
        """Ask for the first page, without waiting for it."""
        self._advance()

    def until_opened(self) -> None:
        """Wait for the first page.

        Raises:
            KlaviyoError: It cannot be read.
        """
        first = self._windows[0]
        self._advance()
        while not (first.pages or first.error):
            self._wait()
            self._advance()
        if first.error:
            raise first.error

    def slices(self) -> Iterator[Slice[P]]:
        """Read all pages, in the order of time.

        Raises:
            KlaviyoError: A page cannot be read; everything before it was emitted.
        """
        while self._windows:
            self._advance()
            head = self._windows[0]
            if head.pages:
                page = head.pages.popleft()
                head.waiting_bytes -= page.size
                began = time.monotonic() - self._fetcher.waited
                yield Slice(
                    page if isinstance(page, Fetched) else page.fetched(), _second(head.start), _second(head.end)
                )
                busy = time.monotonic() - self._fetcher.waited - began
                self._emit_seconds = _smoothed(self._emit_seconds, busy)
            elif head.error:
                raise head.error
            elif head.complete:
                self._known = head if head.pace else self._known
                self._say_complete(self._windows.popleft())
            else:
                self._wait()

    def _wait(self) -> None:
        if not self._fetcher.take(SETTLE_SECONDS):
            self._settle()

    # -- answers ---------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take the answers that have arrived, and send the next requests."""
        self._fetcher.take(0)
        for window in self._windows:
            if window.task and window.task.taken:
                task, window.task = window.task, None
                self._take(window, task)
        if self._before_page is None:
            self._cut()
            self._ask()
        elif (window := self._windows[0]).may_ask and not window.pages:
            if window.link:
                self._before_page()
            window.task = self._fetcher.ask(self._request(window))

    def _take(self, window: Window[P], task: Task[Fetched[P]]) -> None:
        try:
            fetched = task.result()
        except RefusedRequestError as error:
            self._refused(window, error)
        except Exception as error:  # noqa: BLE001 - raised when everything before it has been emitted
            window.error = error
        else:
            self._arrived(window, fetched)

    def _refused(self, window: Window[P], error: RefusedRequestError) -> None:
        """Ask again with a smaller request, or recheck the end of the chain, if either may help."""
        if window.link is None:
            if not self._source.can_ask_for_less(error):
                window.error = error
        elif not self._recheck(window, error):
            window.error = error

    def _arrived(self, window: Window[P], fetched: Fetched[P]) -> None:
        page = fetched.document
        if len(page.data) > self._source.size // 2:  # other refusals are quick, and few
            self._concurrency.note(fetched.seconds)
        if page.data:
            self._page_bytes = _smoothed(self._page_bytes, fetched.size)
        emitted_next = window is self._windows[0] and not window.pages
        window.pages.append(fetched if emitted_next else fetched.packed())
        window.waiting_bytes += fetched.size
        window.pages_read += 1
        window.records_read += len(page.data)
        brings_nothing = not page.data or page.data[-1].id == window.last_key
        window.idle_pages = window.idle_pages + 1 if brings_nothing else 0
        self._note_time(window, page)
        followed, window.link = window.link, page.links.next or None
        if window.recheck and page.data and window.recheck.key == window.last_key:
            window.error = window.recheck.error if window.link else None  # without a link, nothing was refused
            window.complete = not window.error
        elif window.reached and window.reached >= window.end:
            window.complete = True
        elif window.link is None:
            window.complete = not (followed and not page.data and self._recheck(window, None))
        elif window.link in (followed, window.tortoise):
            window.error = RefusedRequestError(
                f"{self._source.name}: a page names one as the next that was read before", status=200, parameter=None
            )
        elif window.idle_pages > MOST_IDLE_PAGES:
            window.error = RefusedRequestError(
                f"{self._source.name}: {window.idle_pages} pages in a row bring nothing new, and the API names more",
                status=200,
                parameter=None,
            )
        if window.pages_read.bit_count() == 1:
            window.tortoise = window.link
        if window.complete and window.start and window.since is None:  # no record in all that time
            window.pace = (window.end - window.start) * self._source.size
            window.horizon = _beyond(window.start, window.end)

    def _note_time(self, window: Window[P], page: P) -> None:
        if page.data:
            window.last_key = page.data[-1].id
        span = self._source.span(page)
        if span is None:
            return
        first, last = span
        if window.asked_until and last >= window.asked_until:  # changed since it was listed
            return
        covered = last - min(window.reached or first, first)
        window.reached = max(window.reached or last, last)
        if first >= window.end:  # the window was split while the page was being fetched
            return
        window.since = window.since or first
        if covered >= GRAIN:  # records of one second do not allow an estimate
            pace = covered * self._source.size / len(page.data)
            before = window if window.pace else self._measured_before(window)
            alike = before and before.pace and max(pace, before.pace) <= ALIKE * min(pace, before.pace)
            window.since = (before.since if before and alike else None) or first
            window.pace, window.horizon = pace, _beyond(window.since, window.reached)

    def _measured_before(self, window: Window[P]) -> Window[P] | None:
        """Return the last window before this one whose pace is known."""
        measured = self._known
        for other in self._windows:
            if other is window:
                break
            measured = other if other.pace else measured
        return measured

    def _recheck(self, window: Window[P], error: RefusedRequestError | None) -> bool:
        """Ask again from the last second that was read, if there is one.

        A cursor names a record. If that record is changed or erased before the cursor is followed, the API may continue
        at its new place, beyond the window, or refuse the cursor. So an empty page or a refusal is trusted only if the
        record has not moved: if it is the last one again. What was read of that second comes twice, and is dropped.
        """
        window.link = None
        window.tortoise = None
        window.recheck = Recheck(window.last_key, error)
        return window.reached is not None

    # -- requests --------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask for the next pages: always for the first window's, for the others' as the budget of bytes allows."""
        expected = int(self._page_bytes or 0)
        ahead = 0
        total = sum(window.waiting_bytes + expected * (window.task is not None) for window in self._windows)
        for window in self._windows:
            ahead += window.waiting_bytes + expected * (window.task is not None)
            if window.may_ask:
                first = window is self._windows[0] and not window.pages
                fits = ahead + expected <= self._budget and total + expected <= 2 * self._budget
                if first or (fits and self._fetcher.idle):
                    window.task = self._fetcher.ask(self._request(window))
                    ahead += expected
                    total += expected
            if window.error:
                break

    def _request(self, window: Window[P]) -> Callable[[], Fetched[P]]:
        source, link, start, end = self._source, window.link, window.position, window.end
        if link is None:
            window.asked_until = end
            return lambda: source.first(start, end)
        return lambda: source.follow(link)

    # -- cuts ------------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        """Cut windows until there are as many as it takes to keep the emitting thread busy."""
        wanted = self._wanted
        while (
            len(self._windows) < 4 * self._fetcher.threads
            and sum(not window.complete for window in self._windows) < wanted
            and self._cut_once(wanted)
        ):
            pass

    def _cut_once(self, wanted: int) -> bool:
        """Cut the earliest window that is long enough, a few pages beyond where it has been read."""
        estimates = self._pages_left()
        pages = self._pages_of_window(wanted, estimates[-1].pages)
        for place, (window, left, reliable) in enumerate(estimates):
            if window.error:
                return False
            length = min(pages, max(reliable / FEWEST_PAGES, FEWEST_PAGES))
            if window.position and length <= reliable and left >= length + WORTH_PAGES:
                cut = window.position + (window.end - window.position) * (length / left)
                start = cut.replace(microsecond=0) + GRAIN
                self._windows.insert(place + 1, Window(start, window.end))
                window.end = start
                return True
        return False

    def _pages_of_window(self, wanted: int, left: float) -> float:
        """How many pages a window should have.

        Together they take half of the budget. Towards the end they become shorter, so that they end together.
        """
        fitting = self._budget / 2 / wanted / max(self._page_bytes or 0, 1)
        return min(max(min(fitting, left / wanted), FEWEST_PAGES), MOST_PAGES)

    def _pages_left(self) -> list[Estimate[P]]:
        """Estimate how much of each window is still to be read; without data, as in the window before."""
        estimates = []
        known = self._known
        for window in self._windows:
            known = window if window.pace else known
            left = reliable = 0.0
            if known and known.pace and known.horizon and window.position and not window.complete:
                left = (window.end - window.position) / known.pace
                reliable = (known.horizon - window.position) / known.pace
            estimates.append(Estimate(window, left, reliable))
        return estimates

    @property
    def _wanted(self) -> int:
        """How many windows to read at once."""
        return 1 if self._emit_seconds is None else self._concurrency.useful(self._emit_seconds)

    def _say_complete(self, window: Window[P]) -> None:
        logger.debug(
            "stream %s: window %s to %s: %d pages, %d records",
            self._source.name,
            whole_second(window.start) if window.start else "the beginning",
            whole_second(window.end),
            window.pages_read,
            window.records_read,
        )


def _beyond(since: datetime, until: datetime) -> datetime:
    return until + min(HORIZON * max(until - since, GRAIN), datetime.max.replace(tzinfo=UTC) - until)


def _second(moment: datetime | None) -> str:
    return whole_second(moment)[:-1] if moment else ""


def _smoothed(known: float | None, new: float) -> float:
    return new if known is None else known + SMOOTHING * (new - known)
