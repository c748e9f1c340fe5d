"""Requests to Insider One: sending, retrying, giving up.

Source: Upsert User Data, Delete User Attribute, API Rate Limits, API Status and Error Codes
(https://academy.insiderone.com/docs/upsert-user-data-api and its neighbours).
"""

from __future__ import annotations

import email.utils
import logging
import random
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import msgspec
import urllib3

from target_insiderone.answers import AnswerMismatchError, Outcome, outcome_of
from target_insiderone.connections import POOLS
from target_insiderone.network import TooLargeError, Trouble, open_pool, proxy_wants_credentials, read_whole, trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable

UPSERT = "/api/user/v1/upsert"
DELETE_ATTRIBUTES = "/api/user/v1/attribute/delete"
PROFILE = "/api/user/v1/profile"
_NOBODY = b'{"identifiers":{"email":"nobody@target-insiderone.invalid"},"attributes":["email"]}'

RETRIED = frozenset({408, 425, 429, *range(500, 600)} - {501, 505, 511})
"""What may pass by itself. Of the 500s these do not: no such method, no such HTTP, a network that wants a login."""

NOT_APPLIED = frozenset({429, 503})
"""Statuses of requests that Insider One surely did not apply; those of other failures may have been."""

MOST_ANSWER_BYTES = 32_000_000
"""Unpacked. An answer tells of 1,000 users at most; what is longer is no answer, and could fill the memory."""

MOST_CONNECTIONS = 1_000
CONNECT_SECONDS = 10.0

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 30 * 86_400.0
"""A longer ``Retry-After`` is no use to anybody, and must not overflow a date."""

PARTNER_UNKNOWN = "Insider One does not know `partner_name`; give the lower-case name of the account"
_REQUEST_LEVEL_400 = {
    "users must be defined": "the request carried no users; please report this",
    "content type must be": "the content type was refused; a proxy between here and Insider One may change it",
    "bigger than maximum": "the body was too large; lower `batch_size_bytes`",
    "records were sent": "the request held too many users; lower `batch_size_rows`",
    "partner is invalid": PARTNER_UNKNOWN,
    "not in valid json": "the body was not accepted as JSON; a proxy between here and Insider One may change it",
}
"""What a 400 that concerns the whole request says -> what to do about it."""

_ADVICE = {
    403: "access denied; check `partner_name`, that `api_key` is a UCD key, and the account's IP allow-list",
    413: "the body was too large for it, or for a proxy; lower `batch_size_bytes`",
}
"""Status that refuses everything -> what to do about it."""


class Stopped(Exception):
    """The run was asked to stop while a request waited for its turn or its retry."""


MOST_TEXT = 1_000
"""Characters of an undocumented answer, often a page, that are kept with a reject."""

HURRIED_RETRY_SECONDS = 3.0
"""The retries' budget of a part of a batch that was given up: it is to be found out which of its rows pass."""

log = logging.getLogger("target-insiderone")


class StopSendingError(Exception):
    """Insider One refuses the request as such (credentials, partner, size): sending on would be refused too."""

    def __init__(self, status: int, advice: str) -> None:
        super().__init__(f"Insider One refuses every request (status {status}): {advice}")
        self.status = status


class NoWayError(Exception):
    """Insider One cannot be reached, and another attempt would end alike: certificate, proxy, address."""

    def __init__(self, words: str) -> None:
        super().__init__(f"Insider One cannot be reached: {words}")


class GaveUpError(Exception):
    """The retries' budget is spent; the message says when to come back."""

    def __init__(self, budget_seconds: float, reason: str, wait_seconds: float) -> None:
        back = datetime.now(tz=UTC) + timedelta(seconds=wait_seconds)
        self.reason = reason
        super().__init__(
            f"Insider One took no request within `max_retry_seconds` ({budget_seconds:g} s); last: {reason}. "
            f"STATE was kept: run again after {back:%Y-%m-%dT%H:%M:%SZ}"
        )


class RowRefusedError(Exception):
    """A 400 for the whole request that may concern one row of it; it names none.

    *text* is the API's, which may quote the row: it is compared and kept with rejects, never logged.
    """

    def __init__(self, text: str) -> None:
        super().__init__("a 400 that names no row")
        self.text = text


class UnclearRefusalError(Exception):
    """Not accepted, for a reason that may be one of its rows: a status that no document names, or no good answer.

    *why*: what the run ends with if nothing else passes either. *text* says what came, for the rejects alone. *sent*:
    it may have been applied all the same.
    """

    def __init__(self, why: StopSendingError | GaveUpError, text: str, *, sent: bool) -> None:
        super().__init__(str(why))
        self.why = why
        self.text = text
        self.sent = sent


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the client needs to know; times in seconds."""

    api_url: str
    partner_name: str
    api_key: str
    user_agent: str
    request_timeout_seconds: float
    max_retry_seconds: float
    rate_limit_per_minute: int


class RateLimit:
    """At most *per_minute* requests in any 60 seconds, over all threads; a pause stops them all."""

    def __init__(self, per_minute: int) -> None:
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._lock = threading.Lock()
        self._paused_until = 0.0

    def reserve(self) -> float:
        """Take the next free place; returns how many seconds from now it lies."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._paused_until)
            if len(self._sent) == self._sent.maxlen:
                at = max(at, self._sent[0] + 60.0)
            self._sent.append(at)
            return at - now

    def pausing(self) -> float:
        """How many seconds a pause still lasts that began after a place was reserved."""
        with self._lock:
            return self._paused_until - time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let nothing start for *seconds* from now (a 429 concerns all threads)."""
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)


class _Failure(NamedTuple):
    """An attempt to be repeated: why, after how many seconds at least, and whether it may have been applied.

    *may_be_a_row*: what the request holds may have caused it.
    """

    reason: str
    retry_after: float | None
    maybe_applied: bool
    may_be_a_row: bool


class InsiderOneClient:
    """Posts bodies; all threads share the connections, the rate limit and the pause after a 429.

    *stopping* ends waits early. Safe to use from several threads.

    Raises:
        NetworkSettingError: The proxy or the certificates that the environment names cannot be used.
    """

    def __init__(self, settings: ClientSettings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._limit = RateLimit(settings.rate_limit_per_minute)
        self._answered = False
        timeout = settings.request_timeout_seconds
        self._pool = open_pool(
            settings.api_url,
            maxsize=MOST_CONNECTIONS,
            timeout=urllib3.Timeout(connect=min(timeout, CONNECT_SECONDS), read=timeout),
            headers={
                "X-PARTNER-NAME": settings.partner_name,
                "X-REQUEST-TOKEN": settings.api_key,
                "Content-Type": "application/json",
                "User-Agent": settings.user_agent,
                "Accept-Encoding": "gzip",
            },
        )
        if "SOCKS" not in type(self._pool).__name__:  # which has pools of its own
            self._pool.pool_classes_by_scheme = dict(POOLS)

    def upsert(
        self, body: bytes, users: int, before_retry: Callable[[], None] = lambda: None, *, hurried: bool = False
    ) -> tuple[Outcome, int]:
        """Send one upsert body of *users* users; returns the outcome and the number of attempts it took.

        *before_retry* may raise to call the request off: it is asked again before each further attempt. *hurried*: the
        retries have a short budget.

        Raises:
            StopSendingError: The request as such is refused.
            RowRefusedError: A 400 that may concern one of its rows.
            UnclearRefusalError: It is refused or gets no good answer, and one of its rows may be at fault.
            GaveUpError: The retries' budget is spent.
            NoWayError: No attempt can succeed.
            AnswerMismatchError: The answer's counts do not add up to *users*.
            Stopped: The run was asked to stop before an answer came.
        """
        return self._send(UPSERT, body, users, before_retry, hurried=hurried)

    def try_credentials(self) -> None:
        """Ask for a profile that does not exist: 404 says that partner and key are good. Writes nothing.

        Source: POST /api/user/v1/profile (Get User Profiles).

        Raises:
            StopSendingError: They are not.
            GaveUpError, NoWayError: No answer came.
        """
        try:
            self._send(PROFILE, _NOBODY, 1)
        except UnclearRefusalError as error:
            if not (isinstance(error.why, StopSendingError) and error.why.status == 404):
                raise error.why from None
        except AnswerMismatchError:
            return  # an answer with a profile in it is as good

    def delete_attributes(self, body: bytes, users: int, *, hurried: bool = False) -> tuple[Outcome, int]:
        """Send one attribute/delete body of *users* users; raises as :meth:`upsert`."""
        return self._send(DELETE_ATTRIBUTES, body, users, hurried=hurried)

    def _send(
        self,
        path: str,
        body: bytes,
        users: int,
        before_retry: Callable[[], None] = lambda: None,
        *,
        hurried: bool = False,
    ) -> tuple[Outcome, int]:
        budget = self._settings.max_retry_seconds
        if hurried:
            budget = min(budget, HURRIED_RETRY_SECONDS)
        attempt = 0
        doubtful = False
        deadline: float | None = None
        while True:
            attempt += 1
            self._sleep(self._limit.reserve())
            while (pause := self._limit.pausing()) > 0:
                self._sleep(pause)
            outcome = self._attempt(path, body, users)
            if isinstance(outcome, Outcome):
                return replace(outcome, doubtful=doubtful), attempt
            reason, retry_after, maybe_applied, may_be_a_row = outcome
            doubtful = doubtful or maybe_applied
            deadline = deadline or time.monotonic() + budget
            ceiling = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            delay = random.uniform(0, ceiling)  # noqa: S311  (full jitter needs no secret)
            if retry_after is not None:
                delay += retry_after
                self._limit.pause(retry_after)
            if time.monotonic() + delay > deadline:
                gave_up = GaveUpError(self._settings.max_retry_seconds, reason, delay)
                if may_be_a_row and (retry_after or 0) <= HURRIED_RETRY_SECONDS:
                    raise UnclearRefusalError(gave_up, reason, sent=doubtful)
                raise gave_up
            log.info("Insider One: %s; attempt %d, next in %.1f s", reason, attempt, delay)
            self._sleep(delay)
            before_retry()

    def _attempt(self, path: str, body: bytes, users: int) -> Outcome | _Failure:
        """Send one request.

        Raises:
            NoWayError, StopSendingError, RowRefusedError, UnclearRefusalError, AnswerMismatchError: Another attempt
                would end alike.
        """
        address = self._settings.api_url
        try:
            answer = self._pool.request(
                "POST", address + path, body=body, redirect=False, retries=False, preload_content=False
            )
            self._answered = True
            content = read_whole(answer, MOST_ANSWER_BYTES)
        except urllib3.exceptions.HTTPError as error:
            return _failure(trouble_of(error, address, answered=self._answered))
        except TooLargeError:
            if answer.status == 200:
                raise AnswerMismatchError(
                    f"an answer of more than {MOST_ANSWER_BYTES // 1_000_000} MB; is it Insider One that answers?"
                ) from None
            content = b""
        if answer.status in RETRIED:
            wait = retry_after_seconds(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            return _Failure(
                f"status {answer.status}", wait, answer.status not in NOT_APPLIED, may_be_a_row=answer.status >= 500
            )
        if answer.status == 407:
            return _failure(proxy_wants_credentials(address))
        if answer.status != 200:
            refuse(answer.status, content.decode("utf-8", "replace"))
        try:
            parsed = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Failure("status 200 with a body that is not JSON", None, maybe_applied=True, may_be_a_row=True)
        return outcome_of(parsed, users, empty_is_success=path == DELETE_ATTRIBUTES)

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(max(0.0, seconds)):
            raise Stopped


def _failure(trouble: Trouble) -> _Failure:
    """What came of an attempt that got no answer.

    Raises:
        NoWayError: The next one would get none either.
    """
    if trouble.lasting:
        raise NoWayError(trouble.words)
    return _Failure(trouble.words, None, trouble.sent, may_be_a_row=trouble.sent)


def refuse(status: int, text: str) -> NoReturn:
    """Sort an answer that is neither success nor worth a retry.

    Raises:
        StopSendingError: It concerns the request.
        RowRefusedError: A 400 that may concern a row.
        UnclearRefusalError: Another status of refusal; a firewall, say, may dislike a row.
    """
    if status == 401:
        raise StopSendingError(
            status, "the key was rejected; is `api_key` a current UCD (Unified Customer Database) key?"
        )
    if status == 400:
        for words, advice in _REQUEST_LEVEL_400.items():
            if words in text.lower():
                raise StopSendingError(status, advice)
        raise RowRefusedError(text)
    advice = _ADVICE.get(status, "this status is not documented for the endpoint; check `api_url` and any proxy")
    why = StopSendingError(status, advice)
    if status < 400 or status == 511:
        raise why
    raise UnclearRefusalError(why, f"status {status}: {text[:MOST_TEXT]}", sent=False)


def retry_after_seconds(header: str | None, date: str | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or an HTTP date; None where it is absent or unreadable.

    A date counts from the answer's own *date*, if that can be read: our clock may be wrong.
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
    """Read a date of HTTP; None where it is none, or beyond the year 9999 in UTC."""
    try:
        at = email.utils.parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
