"""Insider One's refusals, word for word, and the requests that it takes as a whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import InsiderOneCaller

ADA = {"identifiers": {"email": "ada@example.org"}, "attributes": {"name": "Ada"}}
PURCHASE = {"event_group_id": "SO-1", "unit_sale_price": 35.5}


def event(name: str = "purchase", **changes: Any) -> dict[str, Any]:
    sent = {"event_name": name, "timestamp": "2026-06-01T09:30:00Z", "event_params": PURCHASE, **changes}
    return {"identifiers": {"email": "ada@example.org"}, "events": [sent]}


NO_IDENTIFIER = ["either insider_id or idenifiers must be specified"]
EVENT_NAME = r"users.0.events.0.event_name.*.regexp(^[a-z0-9][a-zA-Z0-9._-]*$)"
PARAMETERS = "users.0.events.0.event_params.*.required"
EMAIL = r"users.0.identifiers.*.regexp(^.+@.+\..+$)"
PHONE = r"users.0.identifiers.*.regexp(^\+[1-9]\d{6,14}$)"
GROUP_ID = "event_group_id parameter is required on purchase event"
SALE_PRICE = "unit_sale_price parameter is required on purchase event"


@pytest.mark.parametrize(
    ("user", "errors"),
    [
        pytest.param(
            {"attributes": {"name": "Ada"}},
            {"users.0.identifiers.required": NO_IDENTIFIER, "users.0.insider_id.required": NO_IDENTIFIER},
            id="no identifier",
        ),
        pytest.param(
            {"identifiers": {}, "attributes": {"name": "Ada"}},
            {"users.0.identifiers.required": NO_IDENTIFIER, "users.0.insider_id.required": NO_IDENTIFIER},
            id="empty identifiers",
        ),
        pytest.param(
            {**ADA, "identifiers": {"email": "nope"}}, {EMAIL: ["not a valid email address: nope"]}, id="e-mail"
        ),
        pytest.param(
            {**ADA, "identifiers": {"email": "a@b"}}, {EMAIL: ["not a valid email address: a@b"]}, id="no dot"
        ),
        pytest.param(
            {**ADA, "identifiers": {"phone_number": "0532 123"}},
            {PHONE: ["user has an invalid phone number: 0532 123"]},
            id="national phone",
        ),
        pytest.param(
            {**ADA, "identifiers": {"phone_number": "+123456"}},
            {PHONE: ["user has an invalid phone number: +123456"]},
            id="six digits",
        ),
        pytest.param(
            {**ADA, "identifiers": {"uuid": 4711}},
            {"users.0.identifiers.*.type(string)": ["uuid must be string: 4711"]},
            id="uuid as number",
        ),
        pytest.param(
            {**ADA, "identifiers": {"klaviyo_id": "01"}},
            {"users.0.identifiers.*.in(defaults_column)": ["key must be one of phone_number(pn), email(em) or uuid"]},
            id="unknown identifier",
        ),
        pytest.param(event("homepageView"), {EVENT_NAME: ["invalid event name: homepageView"]}, id="upper-case event"),
        pytest.param(event("page view"), {EVENT_NAME: ["invalid event name: page view"]}, id="blank in event"),
        pytest.param(event("_page"), {EVENT_NAME: ["invalid event name: _page"]}, id="event begins with underscore"),
        pytest.param(event(event_params={}), {PARAMETERS: [GROUP_ID, SALE_PRICE]}, id="purchase without parameters"),
        pytest.param(
            event(event_params={"event_group_id": "1"}), {PARAMETERS: [SALE_PRICE]}, id="purchase without price"
        ),
        pytest.param(
            event(event_params={"unit_sale_price": 1, "event_group_id": None}),
            {PARAMETERS: [GROUP_ID]},
            id="null group",
        ),
    ],
)
def test_user_refusal_is_verbatim(
    insiderone: InsiderOneCaller, sandbox: Sandbox, user: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    """A user is refused word for word. Targets match these keys and texts; nothing of a refused user is stored."""
    report = insiderone.upsert(user)

    assert report == {"successful": {}, "fail": {"count": 1, "errors": errors}}
    assert sandbox.users() == []


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(event(timestamp=None), id="no timestamp"),
        pytest.param(event(timestamp="yesterday"), id="no time"),
        pytest.param(event(timestamp="2026-06-01T09:30:00"), id="no offset"),
        pytest.param(event(event_name=None), id="no name"),
        pytest.param({"identifiers": {"email": "a@b.co"}}, id="neither attributes nor events"),
        pytest.param({"identifiers": {"email": "a@b.co"}, "attributes": {}, "events": []}, id="both empty"),
        pytest.param({"identifiers": {"email": "a@b.co"}, "attributes": [1]}, id="attributes as a list"),
    ],
)
def test_undocumented_errors_are_refused(insiderone: InsiderOneCaller, sandbox: Sandbox, user: dict[str, Any]) -> None:
    """Errors without documented wording are refused, too.

    Key and text are assumed (LIMITS.md says so); the shape of the report is not.
    """
    report = insiderone.upsert(user)

    assert report["successful"] == {}
    assert report["fail"]["count"] == 1
    assert all(key.startswith("users.0.") for key in report["fail"]["errors"])
    assert sandbox.users() == []


def test_refused_user_spares_others(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A refused user spares the others.

    The position in the key is the only way back to the row; ``count`` counts users, not messages.
    """
    bad = {"identifiers": {"email": "nope", "phone_number": "1"}, "attributes": {"name": "x"}}

    report = insiderone.upsert(ADA, bad, {**ADA, "identifiers": {"email": "ben@example.org"}})

    assert report["successful"] == {"count": 2}
    assert report["fail"]["count"] == 1
    assert set(report["fail"]["errors"]) == {EMAIL.replace("users.0", "users.1"), PHONE.replace("users.0", "users.1")}
    assert [one["position"] for one in sandbox.refusals()] == [1]
    assert len(sandbox.users()) == 2


def test_full_success_has_empty_fail(insiderone: InsiderOneCaller) -> None:
    """Full success has an empty fail."""
    assert insiderone.upsert(ADA) == {"successful": {"count": 1}, "fail": {}}


DENIED = "Access Denied. You do not have sufficient access to perform this action."
BAD_JSON = {"success": False, "message": "Request data is not in valid JSON format."}
NO_USERS = {"error": "users must be defined: bad request"}
TOO_BIG = {"error": "request body is bigger than maximum allowed size 5,000,000 bytes"}
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "answer"),
    [
        pytest.param(
            {"X-PARTNER-NAME": "nobody"}, b"{", 400, {"success": False, "message": "Partner is invalid."}, id="partner"
        ),
        pytest.param(
            {"X-PARTNER-NAME": "SandboxShop"},
            b"{",
            400,
            {"success": False, "message": "Partner is invalid."},
            id="upper case",
        ),
        pytest.param({"X-REQUEST-TOKEN": "wrong"}, b"{", 403, {"success": False, "message": DENIED}, id="token"),
        pytest.param({}, b"{}", 400, {"error": "content type must be application/json"}, id="no content type"),
        pytest.param(
            {"Content-Type": "text/plain"},
            b"{}",
            400,
            {"error": "content type must be application/json"},
            id="content type",
        ),
        pytest.param(JSON_TYPE, b"x" * 5_000_001, 400, TOO_BIG, id="too big"),
        pytest.param(JSON_TYPE, b'{"users": [', 400, BAD_JSON, id="broken JSON"),
        pytest.param(JSON_TYPE, b'{"users": ["\xff"]}', 400, BAD_JSON, id="no UTF-8"),
        pytest.param(JSON_TYPE, b"{}", 400, NO_USERS, id="no users"),
        pytest.param(JSON_TYPE, b'{"users": [ ]}', 400, NO_USERS, id="empty users"),
        pytest.param(JSON_TYPE, b"[]", 400, NO_USERS, id="a list"),
    ],
)
def test_request_refusal_is_verbatim(
    insiderone: InsiderOneCaller, headers: dict[str, str], body: bytes, status: int, answer: dict[str, Any]
) -> None:
    """A whole request is refused word for word.

    Headers are looked at first, then content type, size, JSON and users.
    """
    response = insiderone.post("upsert", headers=headers, data=body)

    assert (response.status_code, response.json()) == (status, answer)


def test_users_per_request_are_limited(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """1000 users pass and 1001 do not."""
    users = [{"identifiers": {"uuid": f"u{n}"}, "attributes": {"name": "A"}} for n in range(1_001)]

    assert insiderone.post("upsert", {"users": users}).status_code == 400
    assert sandbox.users() == []
    assert insiderone.upsert(*users[:1_000])["successful"] == {"count": 1_000}


def test_maximum_body_passes(insiderone: InsiderOneCaller) -> None:
    """A body of exactly the maximum passes. The limit is decimal: 5,000,000 bytes."""
    body = json.dumps({"users": [ADA], "pad": ""}).encode()
    padded = body[:-2] + b"x" * (5_000_000 - len(body)) + body[-2:]

    assert len(padded) == 5_000_000
    assert insiderone.post("upsert", headers=JSON_TYPE, data=padded).status_code == 200


def test_partner_refusal_can_be_403(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """The partner refusal can be a 403. The documents name both."""
    sandbox.insiderone_settings(unknown_partner_status=403)

    answer = insiderone.post("upsert", {"users": [ADA]}, headers={"X-PARTNER-NAME": "nobody"})

    assert (answer.status_code, answer.json()["message"]) == (403, DENIED)


def test_unknown_path_is_404(insiderone: InsiderOneCaller) -> None:
    """An unknown path is a 404."""
    assert insiderone.post("nothing", {}).status_code == 404
