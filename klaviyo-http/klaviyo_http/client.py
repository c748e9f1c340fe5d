"""The client: adds address, key and revision to every request, observes quotas, retries, and reads answers."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec
import urllib3

from klaviyo_http.addresses import base_of, target_of
from klaviyo_http.answers import TransientError, date_of, failure_of
from klaviyo_http.connections import POOLS
from klaviyo_http.documents import OddPageError, decode_tolerantly
from klaviyo_http.errors import KlaviyoError, NoWayError, QuotaSpentError, RefusedRequestError, RetriesSpentError
from klaviyo_http.filters import query_string
from klaviyo_http.moments import whole_second
from klaviyo_http.network import TooLargeError, Trouble, open_pool, read_whole, trouble_of
from klaviyo_http.permits import Permits, QuotaNotInTimeError
from klaviyo_http.quotas import buckets_of
from klaviyo_http.server_clock import TOLERANCE, ServerClock

if TYPE_CHECKING:
    from klaviyo_http.documents import Links
    from klaviyo_http.endpoints import Endpoint
    from klaviyo_http.limiter import Ticket

Document = TypeVar("Document")
L = TypeVar("L", bound="Linked")
Parameters = Mapping[str, str | int | None]

logger = logging.getLogger(__name__)

SERVER_CLOCK_MARGIN = timedelta(seconds=5)  # a filter just before the server's present may count as future: 400
MOST_ANSWER_BYTES = 128_000_000
"""Decompressed: several times a page of the largest events, and less than a machine's memory."""

MOST_PAGES = 200
"""Limit for small collections, read as a whole: metrics, or a hundred profiles."""

LONGEST_BACKOFF = 60.0  # seconds
ODD_PAGE_ATTEMPTS = 3
"""Attempts at a page without readable resources, before its few records are left out."""
NO_DOCUMENT = "the answer (200) is cut off or no JSON:API document"

_random = random.SystemRandom()


class Linked(Protocol):
    """A page with a link to the next one."""

    @property
    def links(self) -> Links:
        """Its links."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of a client."""

    api_key: str = field(repr=False)
    api_url: str
    revision: str
    user_agent: str
    request_timeout_seconds: float
    max_retry_seconds: int
    rate_limit_percent: int
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class Packed(Generic[Document]):
    """An answer whose body is kept encoded, which takes less memory."""

    unpack: Callable[[], Document] = field(repr=False)
    """Decodes the body; it has succeeded before."""
    at: datetime
    """When the request was sent, by the server's clock; the answer may miss later changes."""
    seconds: float
    """From the request to the end of its answer, without waits for the quota and failed attempts."""
    size: int
    """Bytes of the decompressed body."""

    def fetched(self) -> Fetched[Document]:
        """Decode it again."""
        return Fetched(self.unpack, self.at, self.seconds, self.size, self.unpack())


@dataclass(frozen=True, slots=True)
class Fetched(Packed[Document]):
    """A decoded answer."""

    document: Document

    def packed(self) -> Packed[Document]:
        """Return this answer without its decoded document."""
        return Packed(self.unpack, self.at, self.seconds, self.size)


class OddAnswerError(TransientError):
    """None of a page's resources can be read; *rest* is the page without them."""

    def __init__(self, rest: Fetched[Any] | None) -> None:
        super().__init__(NO_DOCUMENT)
        self.rest = rest


class KlaviyoClient:
    """Reads documents; thread-safe."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._origin = base_of(settings.api_url)
        self._pool = _connection_pool(settings)
        self._permits = Permits(settings.rate_limit_percent, settings.max_retry_seconds)
        self._lock = threading.Lock()
        self._answered = False
        self._requests = 0
        self._clock = ServerClock()
        self._last_date: datetime | None = None
        """The ``Date`` of the last answer of any kind; used in messages only."""

    @property
    def requests(self) -> int:
        """Requests sent so far, including retries."""
        return self._requests

    def abandon(self) -> None:
        """Abandon the requests of other threads: none is sent any more, and their waits end immediately.

        These threads get a `RequestAbandonedError`, unless their answer is already arriving. Later requests are not
        affected.
        """
        self._permits.abandon()

    def close(self) -> None:
        """Do as `abandon` does, and refuse later requests, too."""
        self._permits.close()

    def get(self, path: str, parameters: Parameters, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the first page of a collection; see `follow`."""
        return self._read(path, query_string(parameters), decode)

    def follow(self, link: str, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the page that a ``links.next`` names.

        The key is sent to ``api_url`` and nowhere else.

        Raises:
            ForeignLinkError: It leads elsewhere.
            RejectedKeyError: The key is not valid.
            StreamError: The page cannot be read; the subclass says why.
        """
        path, query = target_of(link, self._origin)
        return self._read(path, query, decode)

    def all_pages(self, path: str, parameters: Parameters, decode: Callable[[bytes], L]) -> list[Fetched[L]]:
        """Read all pages of a small collection, one after the other.

        Raises:
            RefusedRequestError: There are more than `MOST_PAGES`, which can only be a cycle.
        """
        pages = [self.get(path, parameters, decode)]
        while link := pages[-1].document.links.next:
            if len(pages) >= MOST_PAGES:
                raise RefusedRequestError(f"GET {path}: the pages do not end", status=200, parameter=None)
            pages.append(self.follow(link, decode))
        return pages

    def run_start(self, endpoint: Endpoint, reach: timedelta) -> datetime:
        """Return the latest time that is safely past: the server's ``Date`` less five seconds.

        The server's clock is trusted up to `server_clock.TOLERANCE` ahead of this machine's, but no more than *reach*,
        the time that the next run reads again. Without an earlier answer, one record of *endpoint* is requested.
        """
        if not self._clock.is_known:
            self.get(endpoint.path, endpoint.page_of(1), lambda _: None)
        lead = self._clock.lead()
        if lead > TOLERANCE:
            logger.warning(
                "the server's clock is %d s ahead of this machine's; what happened after this machine's time is left "
                "to later runs. Is this machine's clock right?",
                lead.total_seconds(),
            )
        return self._clock.latest(reach).replace(microsecond=0) - SERVER_CLOCK_MARGIN

    def _read(self, path: str, query: str, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Send the request until an answer can be decoded, or the time for retries is over."""
        ticket = self._permits.ticket(buckets_of("GET", path, query))
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._permits.permit(ticket):
                    try:
                        return self._attempt(path, query, ticket, decode)
                    except OddAnswerError as odd:
                        if attempt >= ODD_PAGE_ATTEMPTS and odd.rest is not None:
                            return odd.rest
                        wait = self._failed(path, ticket, odd, attempt)
                    except TransientError as error:
                        wait = self._failed(path, ticket, error, attempt)
            except QuotaNotInTimeError as error:
                raise self._quota_spent(path, error.spent.seconds) from None
            self._permits.pause(ticket, wait)

    def _failed(self, path: str, ticket: Ticket, error: TransientError, attempt: int) -> float:
        """Return the seconds to wait before the request queues for its next attempt; after a 429 all requests wait.

        Raises:
            StreamError: There will be none.
            QuotaNotInTimeError: Likewise, since the quota returns too late.
        """
        if error.throttled:
            pause = self._permits.throttled(ticket, error.retry_after)
        else:
            pause = max(_random.uniform(0, min(LONGEST_BACKOFF, 2.0**attempt)), error.retry_after)
            now = time.monotonic()
            ticket.deadline = min(ticket.deadline, now + self._settings.max_retry_seconds)
            if error.retry_after:
                self._permits.hold(ticket, error.retry_after)
            if now + pause > ticket.deadline:
                raise self._gave_up(path, error, attempt)
        logger.warning("GET %s: %s; attempt %d follows in %.1f s", path, error, attempt + 1, pause)
        return 0.0 if error.throttled else pause

    def _attempt(self, path: str, query: str, ticket: Ticket, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Send one request and read its answer.

        Raises:
            TransientError: Another attempt may succeed.
            KlaviyoError: None will.
        """
        with self._lock:
            self._requests += 1
        began, sent = time.monotonic(), datetime.now(UTC)
        try:
            response = self._pool.request(
                "GET", f"{self._origin.url}{path}?{query}", redirect=False, retries=False, preload_content=False
            )
            self._answered = True
            body = read_whole(response, MOST_ANSWER_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise self._failure_of(trouble_of(error, self._origin.url, answered=self._answered)) from None
        except TooLargeError:
            raise RefusedRequestError(
                f"GET {path}: the answer holds more than {MOST_ANSWER_BYTES // 1_000_000} MB, unpacked, and is not "
                "read; for events, lower `events_page_size`",
                status=response.status,
                parameter=None,
            ) from None
        seconds, arrived = time.monotonic() - began, datetime.now(UTC)
        self._permits.answered(ticket)
        date = date_of(response.headers)
        self._last_date = date or self._last_date
        if response.status == 200:  # an error answer may come from a machine between here and Klaviyo
            self._clock.note(date, sent, arrived)
        failure = None if response.status == 200 else failure_of(path, response.status, response.headers, body)
        if not isinstance(failure, TransientError):
            self._permits.served(ticket, response.headers.get("RateLimit-Limit", ""))
        if failure:
            raise failure
        at, size = self._clock.moment_of(sent), len(body)
        try:
            return Packed(partial(decode_tolerantly, body, decode), at, seconds, size).fetched()
        except OddPageError as odd:
            raise OddAnswerError(_without_records(odd, at, seconds, size)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise TransientError(NO_DOCUMENT) from None

    def _failure_of(self, trouble: Trouble) -> Exception:
        if trouble.lasting:
            return NoWayError(f"Klaviyo cannot be reached: {trouble.words}", lasting=True)
        return TransientError(trouble.words)

    def _gave_up(self, path: str, error: TransientError, attempts: int) -> KlaviyoError:
        if error.retry_after > self._settings.max_retry_seconds:
            return self._quota_spent(path, error.retry_after)
        if not self._answered:
            return NoWayError(
                f"GET {path}: {error}; no answer of any kind within max_retry_seconds "
                f"({self._settings.max_retry_seconds}), so no other stream is tried. Check `api_url` and the network",
                lasting=False,
            )
        return RetriesSpentError(
            f"GET {path}: {error}; given up after {attempts} attempts within max_retry_seconds "
            f"({self._settings.max_retry_seconds}). The next run continues at the bookmark"
        )

    def _quota_spent(self, path: str, seconds: float | None) -> QuotaSpentError:
        budget = self._settings.max_retry_seconds
        if seconds is None:
            return QuotaSpentError(
                f"GET {path}: throttled (429) for longer than max_retry_seconds ({budget}) allows, and no word of when "
                "that ends. Does another client use up the account's quota? The next run continues at the bookmark"
            )
        returns = (self._last_date or datetime.now(UTC)) + timedelta(seconds=math.ceil(seconds))
        return QuotaSpentError(
            f"GET {path}: the quota is spent and returns at {whole_second(returns)}, later than max_retry_seconds "
            f"({budget}) allows to wait. Run again then; the bookmark is kept"
        )


def _without_records(odd: OddPageError, at: datetime, seconds: float, size: int) -> Fetched[Any] | None:
    return None if odd.page is None else Fetched(lambda: odd.page, at, seconds, size, odd.page)


def _connection_pool(settings: ClientSettings) -> urllib3.PoolManager:
    """Open a pool of connections, through the proxy that the environment names for the address, if any."""
    pool = open_pool(
        settings.api_url,
        headers={
            "Authorization": f"Klaviyo-API-Key {settings.api_key}",
            "revision": settings.revision,
            "User-Agent": settings.user_agent,
            "Accept": "application/vnd.api+json",
            "Accept-Encoding": "gzip",
        },
        timeout=urllib3.Timeout(settings.request_timeout_seconds),
        maxsize=settings.max_concurrency + 1,  # the emitting thread may send requests, too
    )
    if "SOCKS" not in type(pool).__name__:  # which has pools of its own
        pool.pool_classes_by_scheme = dict(POOLS)
    return pool
