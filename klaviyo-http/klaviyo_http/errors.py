"""Exceptions, by their effect: on the whole run, or on one stream.

::

    KlaviyoError                the message is safe to log: no value of a record, no credential
    ├── RejectedKeyError        401: the whole run ends, exit code 2
    ├── NoWayError              Klaviyo is unreachable: the whole run ends, exit code 2 or 1
    └── StreamError             this stream ends with its bookmark, the others go on
        ├── MissingScopeError   403: the key lacks a scope
        ├── RefusedRequestError another 4xx (or a redirect): repeating it would not help
        ├── QuotaSpentError     the quota returns later than the run is willing to wait
        ├── ForeignLinkError    the next page lies elsewhere than at ``api_url``
        └── RetriesSpentError   the API did not recover within ``max_retry_seconds``
    RequestAbandonedError       nobody awaits the answer any more; raised in the thread that waited to send
"""

from __future__ import annotations

import traceback
from pathlib import Path


class KlaviyoError(Exception):
    """Reading failed for a reason that its message explains."""


class RejectedKeyError(KlaviyoError):
    """Klaviyo does not accept the key (401)."""


class NoWayError(KlaviyoError):
    """Klaviyo is unreachable, for all streams; *lasting*: a retry would fail, too."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class StreamError(KlaviyoError):
    """One stream cannot go on."""


class MissingScopeError(StreamError):
    """The key lacks the scope that an endpoint needs (403 with a JSON:API body)."""


class RefusedRequestError(StreamError):
    """The API answered that it will never accept this request."""

    def __init__(self, message: str, *, status: int, parameter: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter
        """The query parameter that the API blames (``source.parameter``), if it names one."""


class QuotaSpentError(StreamError):
    """The quota of the endpoint is spent for longer than ``max_retry_seconds``."""


class RetriesSpentError(StreamError):
    """Every attempt within ``max_retry_seconds`` failed."""


class ForeignLinkError(StreamError):
    """A page names its successor at another address, which must not get the key."""


class RequestAbandonedError(Exception):
    """A request was abandoned while it waited, since its answer is no longer needed."""


def frames(error: BaseException) -> str:
    """Return where an unexpected error arose, innermost call last, without its message, which may hold personal data.

    Shape: ``tap.py:12 invoke > client.py:80 get``.
    """
    steps = traceback.extract_tb(error.__traceback__)[-6:]
    return " > ".join(f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in steps)
