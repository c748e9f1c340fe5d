"""Maps error answers to exceptions, by whether a retry helps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from klaviyo_http.endpoints import ENDPOINTS, bucket_of
from klaviyo_http.errors import MissingScopeError, RefusedRequestError, RejectedKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_REASON = 10_000  # bytes of a body that are searched for a scope
LONGEST_WAIT = 366 * 86_400.0  # seconds; a longer Retry-After is cut to this

CLOCK_YEARS = range(2020, 9000)
"""Years in which a ``Date`` is plausible; a machine that does not know the time begins at 1970 or 2000."""


class TransientError(Exception):
    """An attempt failed, and another one may succeed."""

    def __init__(self, reason: str, retry_after: float = 0.0, *, throttled: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.throttled = throttled


def failure_of(path: str, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
    """Sort an answer other than 200 by what can be done about it."""
    retry_after = _seconds(headers)
    if status == 429:
        return TransientError("throttled (429)", retry_after, throttled=True)
    if status >= 500 or status == 408:
        return TransientError(f"the API failed ({status})", retry_after)
    if 300 <= status < 400:
        return RefusedRequestError(
            f"GET {path}: redirected ({status}), which is not followed: the key goes to `api_url` alone; correct that",
            status=status,
            parameter=None,
        )
    blame = _blame(body)
    if status == 401:
        return RejectedKeyError(
            "Klaviyo rejected the `api_key` (401): is it a private key (pk_…), of this account, and not revoked?"
        )
    if status == 403 and blame is None:
        return TransientError("the edge refused the request (403, no JSON:API body)", retry_after)
    if status == 403:
        scope = _scope(body[:LONGEST_REASON]) or _documented_scope(path)
        return MissingScopeError(
            f"GET {path}: the `api_key` lacks the scope {scope} (403); create a key with it, or deselect the stream"
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


# Made once, by the thread that imports: threads that make a type's first decoder at the same time crash the process.
_read_errors = msgspec.json.Decoder(_Errors).decode


def _blame(body: bytes) -> tuple[str, str | None] | None:
    """Return code and parameter of a JSON:API body's first error; None for another body. Details may hold values."""
    try:
        errors = _read_errors(body).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not errors:
        return None
    source = errors[0].source
    return _word(errors[0].code) or "unknown", _word(source.parameter if source else None)


def _word(text: str | None) -> str | None:
    """Return a technical word; anything longer or unusual might be a value, or the key."""
    return text if text and re.fullmatch(r"(?!.*pk_)[a-z_\[\].-]{1,60}", text, re.ASCII | re.IGNORECASE) else None


def _scope(body: bytes) -> str | None:
    match = re.search(rb"\b([a-z]+(?:-[a-z]+)*:(?:read|write))\b", body)
    return match[1].decode() if match else None


def _documented_scope(path: str) -> str:
    """Name the scope that the endpoint needs, for answers that do not name it."""
    endpoint = ENDPOINTS.get(bucket_of("GET", path))
    return " or ".join(endpoint.scopes) if endpoint else "an unnamed scope"


def _seconds(headers: Mapping[str, str]) -> float:
    """Read a ``Retry-After``: seconds, or the date that HTTP also allows; 0 where there is none."""
    retry_after = headers.get("Retry-After", "")
    try:
        seconds = float(retry_after)
    except ValueError:
        until, now = http_date(retry_after), date_of(headers) or datetime.now(UTC)
        seconds = (until - now).total_seconds() if until else 0.0
    return min(seconds, LONGEST_WAIT) if seconds > 0 else 0.0


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Read the ``Date`` of an answer; None if there is none, or an implausible one."""
    date = http_date(headers.get("Date"))
    return date if date and date.year in CLOCK_YEARS else None


def http_date(text: str | None) -> datetime | None:
    """Read a date of HTTP (``Mon, 01 Jun 2026 12:00:00 GMT``); None if it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
