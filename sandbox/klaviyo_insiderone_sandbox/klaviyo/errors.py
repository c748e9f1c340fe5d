"""Klaviyo's error documents, verbatim."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from klaviyo_insiderone_sandbox.exchange import Answer, json_answer

GUIDE = "https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling#rate-limits"
MEDIA_TYPE = "application/vnd.api+json"


@dataclass(slots=True)
class KlaviyoError(Exception):
    """A request that the API refuses."""

    status: int
    code: str
    title: str
    detail: str
    source: dict[str, str]
    headers: dict[str, str] | None = None
    links: dict[str, str] | None = None

    def answer(self) -> Answer:
        """Compose the JSON:API error document."""
        error = {
            "id": str(uuid.uuid4()),
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "source": self.source,
            "links": self.links or {},
            "meta": {},
        }
        answer = json_answer(self.status, {"errors": [error]}, self.headers)
        answer.content_type = MEDIA_TYPE
        return answer


def invalid(parameter: str, detail: str) -> KlaviyoError:
    """Refuse a query parameter: 400."""
    return KlaviyoError(400, "invalid", "Invalid input.", detail, {"parameter": parameter})


def invalid_revision(detail: str) -> KlaviyoError:
    """Refuse the revision header: 400."""
    return KlaviyoError(400, "invalid", "Invalid input.", detail, {"pointer": "/data/"})


def not_authenticated() -> KlaviyoError:
    """Refuse the key: 401."""
    text = "Incorrect authentication credentials."
    return KlaviyoError(401, "authentication_failed", text, text, {"pointer": "/data/"})


def not_permitted(scope: str) -> KlaviyoError:
    """Refuse a key that lacks a *scope*: 403."""
    return KlaviyoError(
        403,
        "permission_denied",
        "You do not have permission to perform this action.",
        f"The key used for this request lacks a scope needed here: {scope}.",
        {"pointer": "/data/"},
    )


def not_found(detail: str) -> KlaviyoError:
    """Report that a path or a resource does not exist: 404."""
    return KlaviyoError(404, "not_found", "Not found.", detail, {"pointer": "/data/"})


def method_not_allowed(method: str) -> KlaviyoError:
    """Refuse a method that the path does not have: 405."""
    detail = f'Method "{method}" not allowed.'
    return KlaviyoError(405, "method_not_allowed", detail, detail, {"pointer": "/data/"})


def throttled(seconds: int) -> KlaviyoError:
    """Refuse a request beyond the quota: 429, with ``Retry-After`` and no quota headers."""
    return KlaviyoError(
        429,
        "throttled",
        "Request was throttled.",
        f"Request was throttled. Expected available in {seconds} second{'' if seconds == 1 else 's'}.",
        {"pointer": "/data"},
        {"Retry-After": str(seconds)},
        {"type": GUIDE},
    )


def staged(status: int, headers: dict[str, str]) -> KlaviyoError:
    """Compose the documented error of *status* for an injected fault, with the fault's headers."""
    retry_after = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    known = {
        400: invalid("filter", "Invalid filter provided."),
        401: not_authenticated(),
        403: not_permitted("profiles:read"),
        404: not_found("The requested resource could not be found."),
        429: throttled(int(retry_after) if retry_after.isdecimal() else 1),
        503: KlaviyoError(
            503, "service_unavailable", "Service unavailable.", "Try again later.", {"pointer": "/data/"}
        ),
    }
    text = "A server error occurred."
    error = known.get(status, KlaviyoError(status, "error", text, text, {"pointer": "/data/"}))
    error.headers = {**(error.headers or {}), **headers}
    return error
