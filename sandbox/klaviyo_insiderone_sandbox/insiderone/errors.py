"""Insider One's error answers, verbatim (misspellings included).

Source: "API Status and Error Codes" and "Upsert User Data", https://academy.insiderone.com/docs/, and the vendor's
Postman collection, https://developers.insiderone.com.
"""

from __future__ import annotations

from dataclasses import dataclass

from klaviyo_insiderone_sandbox.exchange import Answer, json_answer

MAX_USERS = 1_000
MAX_BODY_BYTES = 5_000_000

EMAIL_KEY = r"identifiers.*.regexp(^.+@.+\..+$)"
PHONE_KEY = r"identifiers.*.regexp(^\+[1-9]\d{6,14}$)"
UUID_KEY = "identifiers.*.type(string)"
UNKNOWN_KEY = "identifiers.*.in(defaults_column)"
EVENT_NAME_KEY = "event_name.*.regexp(^[a-z0-9][a-zA-Z0-9._-]*$)"
PARAMETER_KEY = "event_params.*.required"

NO_IDENTIFIER = "either insider_id or idenifiers must be specified"
UNKNOWN_IDENTIFIER = "key must be one of phone_number(pn), email(em) or uuid"


@dataclass(slots=True)
class InsiderError(Exception):
    """A whole request that the API refuses."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] | None = None

    def answer(self) -> Answer:
        """Compose the answer."""
        return json_answer(self.status, self.body, self.headers)


def unknown_partner(status: int) -> InsiderError:
    """Refuse the partner name."""
    if status == 403:
        return access_denied()
    return InsiderError(400, {"success": False, "message": "Partner is invalid."})


def access_denied() -> InsiderError:
    """Refuse the token: 403."""
    text = "Access Denied. You do not have sufficient access to perform this action."
    return InsiderError(403, {"success": False, "message": text})


def wrong_content_type() -> InsiderError:
    """Refuse a body that does not say it is JSON: 400."""
    return InsiderError(400, {"error": "content type must be application/json"})


def too_big() -> InsiderError:
    """Refuse a body above the maximum: 400."""
    return InsiderError(400, {"error": f"request body is bigger than maximum allowed size {MAX_BODY_BYTES:,} bytes"})


def not_json() -> InsiderError:
    """Refuse a body that is not JSON: 400."""
    return InsiderError(400, {"success": False, "message": "Request data is not in valid JSON format."})


def no_users() -> InsiderError:
    """Refuse a body without users: 400."""
    return InsiderError(400, {"error": "users must be defined: bad request"})


def too_many_users() -> InsiderError:
    """Refuse more users than one request may carry: 400; status and text are assumed."""
    return InsiderError(
        400, {"success": False, "message": f"The request is denied. More than {MAX_USERS} records were sent."}
    )


def too_many_requests(headers: dict[str, str] | None = None) -> InsiderError:
    """Refuse a request beyond the quota: 429."""
    return InsiderError(429, {"error": "rejected: too many requests"}, headers)


def no_such_user() -> InsiderError:
    """Report that no user has these identifiers: 404."""
    return InsiderError(404, {"error": "no such user for these identifiers: no data"})


def bad_request(text: str) -> InsiderError:
    """Refuse a request in the manner of ``<text>: bad request``: 400."""
    return InsiderError(400, {"error": f"{text}: bad request"})


def unknown_error(status: int = 500) -> InsiderError:
    """Report a failure of the server."""
    text = "The request processing has failed because of an unknown error."
    return InsiderError(status, {"success": False, "message": text})


def staged(status: int, headers: dict[str, str]) -> Answer:
    """Compose the documented answer of *status* for an injected fault; 502 to 524 come from the edge, without JSON."""
    if status in (502, 503, 504) or 520 <= status <= 524:
        return Answer(status, f"error code: {status}".encode(), headers, "text/html")
    documented = {
        400: not_json(),
        401: InsiderError(401, {"error": "Bad Api Key."}),
        403: access_denied(),
        404: no_such_user(),
        429: too_many_requests(),
    }
    error = documented.get(status, unknown_error(status))
    error.headers = headers
    return error.answer()
