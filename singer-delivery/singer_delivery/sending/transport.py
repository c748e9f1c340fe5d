"""HTTP transport: sends and retries requests, within one rate limit for all threads."""

from __future__ import annotations

import email.utils
import random
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import urllib3

from singer_delivery.destination import Again, Answer, AnswerMismatchError, Request, Response, UnclearRefusalError
from singer_delivery.interruption import Stopped
from singer_delivery.logs import log
from singer_delivery.sending.connections import POOLS
from singer_delivery.sending.network import (
    TooLargeError,
    Trouble,
    open_pool,
    proxy_wants_credentials,
    read_whole,
    trouble_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from singer_delivery.destination import Job

RETRIED = frozenset({408, 425, 429, *range(500, 600)} - {501, 505, 511})
"""Statuses that are retried. Excluded are 501 (method), 505 (HTTP version) and 511 (network login)."""

NOT_APPLIED = frozenset({429, 503})
"""Statuses after which the request was certainly not applied; after any other failure it may have been."""

MOST_ANSWER_BYTES = 32_000_000
"""Limit of a decompressed answer; a larger one cannot answer a thousand rows, and could fill the memory."""

MOST_CONNECTIONS = 1_000
CONNECT_SECONDS = 10.0

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 30 * 86_400.0
"""A longer ``Retry-After`` is cut to this, so that no date overflows."""

HURRIED_RETRY_SECONDS = 3.0
"""Retry budget while bisecting a batch that failed, to find out which rows pass."""


class NoWayError(Exception):
    """The destination cannot be reached, and a retry would fail, too: certificate, proxy, address."""

    def __init__(self, destination: str, words: str) -> None:
        super().__init__(f"{destination} cannot be reached: {words}")


class GaveUpError(Exception):
    """The retry budget is spent; the message says when to run again."""

    def __init__(self, destination: str, budget_seconds: float, reason: str, wait_seconds: float) -> None:
        back = datetime.now(tz=UTC) + timedelta(seconds=wait_seconds)
        self.reason = reason
        super().__init__(
            f"{destination} accepted no request within `max_retry_seconds` ({budget_seconds:g} s); last: {reason}. "
            f"STATE was kept: run again after {back:%Y-%m-%dT%H:%M:%SZ}"
        )


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Address, headers, timeouts and rate limit; times in seconds. *destination*: its name in messages."""

    destination: str
    api_url: str
    headers: Mapping[str, str] = field(repr=False)
    request_timeout_seconds: float
    max_retry_seconds: float
    rate_limit_per_minute: int


class RateLimit:
    """At most *per_minute* requests in any 60 seconds, over all threads; a pause applies to all."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self._clock = clock

    def take(self) -> float:
        """Take permission for one request: returns 0.0, or the seconds after which to ask again."""
        with self._lock:
            now = self._clock()
            free_at = self._paused_until
            if len(self._sent) == self._sent.maxlen:
                free_at = max(free_at, self._sent[0] + 60.0)
            if free_at > now:
                return free_at - now
            self._sent.append(now)
            return 0.0

    def pause(self, seconds: float) -> None:
        """Start no request for *seconds* from now (a 429 concerns all threads)."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)


class HttpTransport:
    """Sends requests; all threads share the connections, the rate limit and the pause after a 429.

    *stopping* ends waits early. Thread-safe.

    Raises:
        NetworkSettingError: The proxy or the certificates that the environment names cannot be used.
    """

    def __init__(self, settings: TransportSettings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._limit = RateLimit(settings.rate_limit_per_minute)
        self._answered = False
        timeout = settings.request_timeout_seconds
        self._pool = open_pool(
            settings.api_url,
            maxsize=MOST_CONNECTIONS,
            timeout=urllib3.Timeout(connect=min(timeout, CONNECT_SECONDS), read=timeout),
            headers={**settings.headers, "Accept-Encoding": "gzip"},
        )
        if "SOCKS" not in type(self._pool).__name__:  # SOCKS has its own pools
            self._pool.pool_classes_by_scheme = dict(POOLS)

    def send(
        self,
        request: Request,
        rows: int,
        read: Callable[[Response, int], Answer | Job],
        before_retry: Callable[[], None] = lambda: None,
        *,
        hurried: bool = False,
    ) -> tuple[Answer | Job, int]:
        """Send until there is an answer; see `destination.Transport`.

        Raises:
            UnclearRefusalError: The retry budget is spent, and one of the rows may be at fault.
            GaveUpError: The retry budget is spent.
            NoWayError: No attempt can succeed.
            Stopped: The run was asked to stop before there was an answer.
            Exception: Whatever *read* (except `Again`) or *before_retry* raises.
        """
        budget = self._settings.max_retry_seconds
        if hurried:
            budget = min(budget, HURRIED_RETRY_SECONDS)
        attempt = 0
        doubtful = False
        deadline: float | None = None
        while True:
            attempt += 1
            while pause := self._limit.take():
                self.wait(pause)
            try:
                answer = read(self._attempt(request), rows)
            except Again as failure:
                doubtful = doubtful or failure.may_have_applied
                deadline = deadline or time.monotonic() + budget
                delay = self._delay(failure, attempt)
                if time.monotonic() + delay > deadline:
                    raise self._gave_up(failure, delay, doubtful=doubtful) from None
                log.info("%s: %s; attempt %d, next in %.1f s", self._settings.destination, failure, attempt, delay)
            else:
                if doubtful and isinstance(answer, Answer):
                    return replace(answer, doubtful=True), attempt
                return answer, attempt
            self.wait(delay)
            before_retry()

    def wait(self, seconds: float) -> None:
        """Wait, unless the run is asked to stop.

        Raises:
            Stopped: The run is asked to stop.
        """
        if self._stopping.wait(max(0.0, seconds)):
            raise Stopped

    def _delay(self, failure: Again, attempt: int) -> float:
        """Seconds to wait before the next attempt."""
        ceiling = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
        delay = random.uniform(0, ceiling)  # noqa: S311  (full jitter needs no secret)
        if failure.retry_after is not None:
            delay += failure.retry_after
            self._limit.pause(failure.retry_after)
        return delay

    def _gave_up(self, failure: Again, delay: float, *, doubtful: bool) -> GaveUpError | UnclearRefusalError:
        """The error when the budget is spent; after a long Retry-After the API is busy, and no row is at fault."""
        settings = self._settings
        gave_up = GaveUpError(settings.destination, settings.max_retry_seconds, str(failure), delay)
        if failure.may_be_a_row and (failure.retry_after or 0) <= HURRIED_RETRY_SECONDS:
            return UnclearRefusalError(gave_up, str(failure), sent=doubtful)
        return gave_up

    def _attempt(self, request: Request) -> Response:
        """Send once.

        Raises:
            Again: There was no answer, or a status that is retried.
            NoWayError, AnswerMismatchError: A retry would fail, too.
        """
        address = self._settings.api_url
        try:
            answer = self._pool.request(
                request.method,
                address + request.path,
                body=request.body or None,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            self._answered = True
            content = read_whole(answer, MOST_ANSWER_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(trouble_of(error, address, answered=self._answered)) from None
        except TooLargeError:
            if answer.status == 200:
                raise AnswerMismatchError(
                    f"an answer of more than {MOST_ANSWER_BYTES // 1_000_000} MB; is it "
                    f"{self._settings.destination} that answers?"
                ) from None
            content = b""
        if answer.status in RETRIED:
            wait = retry_after_seconds(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            raise Again(
                f"status {answer.status}",
                wait,
                may_have_applied=answer.status not in NOT_APPLIED,
                may_be_a_row=answer.status >= 500,
            )
        if answer.status == 407:
            raise self._failure(proxy_wants_credentials(address))
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, content)

    def _failure(self, trouble: Trouble) -> Exception:
        """The error for an attempt that got no answer."""
        if trouble.lasting:
            return NoWayError(self._settings.destination, trouble.words)
        return Again(trouble.words, may_have_applied=trouble.sent, may_be_a_row=trouble.sent)


def retry_after_seconds(header: str | None, date: str | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or an HTTP date; None if it is absent or unreadable.

    A date is relative to the answer's own *date*, if that is readable, since our clock may be wrong.
    """
    if header is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", header):
        return min(float(header), LONGEST_RETRY_AFTER_SECONDS)
    until = _http_date(header)
    if until is None:
        return None
    seconds = (until - (_http_date(date or "") or datetime.now(tz=UTC))).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)


def _http_date(text: str) -> datetime | None:
    """Parse an HTTP date; None if it is invalid, or after the year 9999 in UTC."""
    try:
        at = email.utils.parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
