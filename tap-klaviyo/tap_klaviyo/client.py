"""What is true of every request to Klaviyo: address, key, revision, quota, retries, and how an answer is read."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import urllib3

from tap_klaviyo.connections import POOLS
from tap_klaviyo.datetimes import whole_second
from tap_klaviyo.errors import (
    KlaviyoError,
    MissingScopeError,
    QuotaSpentError,
    RefusedRequestError,
    RejectedKeyError,
    RetriesSpentError,
)
from tap_klaviyo.filters import query_string
from tap_klaviyo.quotas import Limiter, buckets_of
from tap_klaviyo.resources import decode_tolerantly

Document = TypeVar("Document")
Parameters = Mapping[str, str | int | None]

logger = logging.getLogger("tap-klaviyo.client")

SERVER_CLOCK_MARGIN = timedelta(seconds=5)  # a filter a moment before the server's now can count as future: 400
LONGEST_BACKOFF = 60.0  # seconds
LONG_WAIT = 5.0  # seconds; a wait that is worth a line in the log and a checkpoint

_random = random.SystemRandom()

SCOPES: Mapping[str, str] = {
    "/api/events": "events:read",
    "/api/metrics": "metrics:read",
    "/api/profiles": "profiles:read",
}
"""Path -> the scope that the endpoint needs, for answers that do not name it."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the client takes from the settings of the tap."""

    api_key: str = field(repr=False)
    api_url: str
    revision: str
    user_agent: str
    request_timeout_seconds: float
    max_retry_seconds: int
    rate_limit_percent: int


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Document]):
    """A decoded answer, and when it arrived."""

    document: Document
    at: datetime


class _TransientError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class KlaviyoClient:
    """Reads documents, one request at a time and thread."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._pool = _connection_pool(settings)
        self.limiter = Limiter(settings.rate_limit_percent)
        self.requests = 0
        """Requests sent so far, every attempt counted."""
        self._server_time: datetime | None = None
        self.before_wait: Callable[[], None] = lambda: None
        """Called before a wait of more than a few seconds, so that what was read so far can be settled."""

    def get(self, path: str, parameters: Parameters, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the first page of a collection; see `follow`."""
        return self._read(path, query_string(parameters), decode)

    def follow(self, link: str, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the page that a ``links.next`` names.

        Its host is ignored: the key is sent to ``api_url`` and nowhere else.

        Raises:
            RejectedKeyError: The key is not valid.
            StreamError: The page cannot be had; the subclass tells why.
        """
        parts = urlsplit(link)
        return self._read(parts.path, parts.query, decode)

    def run_start(self, path: str) -> datetime:
        """Return the latest moment that is safely past for the server: its ``Date``, less five seconds.

        The tap's own clock may be wrong. Where no answer has come yet, one record of *path* is asked for.
        """
        if self._server_time is None:
            self.get(path, {"page[size]": 1}, lambda _: None)
        return (self._server_time or datetime.now(UTC)).replace(microsecond=0) - SERVER_CLOCK_MARGIN

    def _read(self, path: str, query: str, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Ask until there is an answer that can be decoded, or the time for retries is over."""
        buckets = buckets_of(path, query)
        deadline: float | None = None
        attempt = 0
        while True:
            attempt += 1
            self._await_quota(path, buckets)
            try:
                return self._attempt(path, query, buckets, decode)
            except _TransientError as error:
                now = time.monotonic()
                deadline = deadline or now + self._settings.max_retry_seconds
                wait = max(_random.uniform(0, min(LONGEST_BACKOFF, 2.0**attempt)), error.retry_after)
                if error.retry_after:
                    self.limiter.pause(buckets, error.retry_after)
                if now + wait > deadline:
                    raise self._gave_up(path, error, attempt) from None
                logger.warning("GET %s: %s; attempt %d follows in %.1f s", path, error, attempt + 1, wait)
                self._wait(wait)

    def _await_quota(self, path: str, buckets: tuple[str, ...]) -> None:
        while not self.limiter.take(buckets):
            delay = self.limiter.delay(buckets)
            if delay > self._settings.max_retry_seconds:
                raise self._quota_spent(path, delay)
            self._wait(delay)

    def _wait(self, seconds: float) -> None:
        if seconds > LONG_WAIT:
            self.before_wait()
        time.sleep(seconds)

    def _attempt(
        self, path: str, query: str, buckets: tuple[str, ...], decode: Callable[[bytes], Document]
    ) -> Fetched[Document]:
        """Send one request and read its answer.

        Raises:
            _TransientError: Another attempt may succeed.
            KlaviyoError: None will.
        """
        self.requests += 1
        try:
            response = self._pool.request(
                "GET", f"{self._settings.api_url.rstrip('/')}{path}?{query}", redirect=False, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise _connection_failure(error) from None
        arrived = datetime.now(UTC)
        self._server_time = _http_date(response.headers.get("Date")) or arrived
        if response.status != 200:
            raise _failure(path, response)
        if len(buckets) == 1:  # else it is not told which of them the header means
            self.limiter.learn(buckets[0], response.headers.get("RateLimit-Limit", ""))
        try:
            return Fetched(decode_tolerantly(response.data, decode), arrived)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _TransientError("the answer (200) is cut off or no JSON:API document") from None

    def _gave_up(self, path: str, error: _TransientError, attempts: int) -> KlaviyoError:
        if error.retry_after > self._settings.max_retry_seconds:
            return self._quota_spent(path, error.retry_after)
        return RetriesSpentError(
            f"GET {path}: {error}; given up after {attempts} attempts within max_retry_seconds "
            f"({self._settings.max_retry_seconds}). The next run continues at the bookmark"
        )

    def _quota_spent(self, path: str, seconds: float) -> QuotaSpentError:
        returns = whole_second((self._server_time or datetime.now(UTC)) + timedelta(seconds=seconds))
        return QuotaSpentError(
            f"GET {path}: the quota is spent and returns at {returns}, later than max_retry_seconds "
            f"({self._settings.max_retry_seconds}) allows to wait. Run again then; the bookmark is kept"
        )


def _connection_pool(settings: ClientSettings) -> urllib3.PoolManager:
    """Open a pool of connections, through the proxy that the environment names for the address, if any."""
    address = urlsplit(settings.api_url)
    options: dict[str, Any] = {
        "headers": {
            "Authorization": f"Klaviyo-API-Key {settings.api_key}",
            "revision": settings.revision,
            "User-Agent": settings.user_agent,
            "Accept": "application/vnd.api+json",
            "Accept-Encoding": "gzip",
        },
        "timeout": urllib3.Timeout(settings.request_timeout_seconds),
    }
    proxy = getproxies().get(address.scheme)
    pool = urllib3.PoolManager(**options)
    if proxy and not proxy_bypass(address.hostname or ""):
        pool = urllib3.ProxyManager(proxy, **options)
    pool.pool_classes_by_scheme = dict(POOLS)
    return pool


def _connection_failure(error: urllib3.exceptions.HTTPError) -> Exception:
    """Sort what the network did. The messages of urllib3 hold addresses only, yet its type alone says enough."""
    if isinstance(error, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RefusedRequestError(
            "the certificate of `api_url` is not trusted; see SSL_CERT_FILE", status=0, parameter=None
        )
    return _TransientError(f"no complete answer ({type(error).__name__})")


def _failure(path: str, response: urllib3.BaseHTTPResponse) -> Exception:
    """Sort an answer other than 200 by what can be done about it."""
    status = response.status
    retry_after = _seconds(response.headers.get("Retry-After"))
    if status == 429:
        return _TransientError("throttled (429)", retry_after)
    if status >= 500 or status == 408:
        return _TransientError(f"the API failed ({status})", retry_after)
    blame = _blame(response.data)
    if status == 401:
        return RejectedKeyError(
            "Klaviyo rejected the `api_key` (401): is it a private key (pk_…), of this account, and not revoked?"
        )
    if status == 403 and blame is None:
        return _TransientError("the edge refused the request (403, no JSON:API body)", retry_after)
    if status == 403:
        scope = _scope(response.data) or SCOPES.get(path, "an unnamed scope")
        return MissingScopeError(
            f"GET {path}: the `api_key` lacks the scope {scope} (403); give the key that scope, or deselect the stream"
        )
    code, parameter = blame or ("unknown", None)
    where = f", {parameter}" if parameter else ""
    return RefusedRequestError(
        f"GET {path}: the API refused the request ({status}, {code}{where})", status=status, parameter=parameter
    )


class _Source(msgspec.Struct):
    parameter: str | None = None


class _Error(msgspec.Struct):
    code: str = "unknown"
    source: _Source | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error]


def _blame(body: bytes) -> tuple[str, str | None] | None:
    """Return code and parameter of the first error of a JSON:API body; None if it is none. Details may hold values."""
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not errors:
        return None
    source = errors[0].source
    return _word(errors[0].code) or "unknown", _word(source.parameter if source else None)


def _word(text: str | None) -> str | None:
    """Pass a technical word; anything longer or stranger might be a value."""
    return text if text and re.fullmatch(r"[\w\[\].-]{1,60}", text, re.ASCII) else None


def _scope(body: bytes) -> str | None:
    match = re.search(rb"\b([a-z]+(?:-[a-z]+)*:(?:read|write))\b", body)
    return match[1].decode() if match else None


def _seconds(retry_after: str | None) -> float:
    """Read a ``Retry-After``: seconds, or the date that HTTP also allows; 0 where there is none."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        moment = _http_date(retry_after)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else 0.0


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
