"""Who may ask what: keys, scopes, revisions, paths, methods, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, KLAVIYO_KEY_THREE_FLOWS

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller

GOOD = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": "2026-07-15"}


def get(sandbox: Sandbox, path: str, headers: dict[str, str]) -> requests.Response:
    return requests.get(sandbox.klaviyo_url + path, headers=headers, timeout=30)


@pytest.mark.parametrize(
    "authorization",
    [None, "", KLAVIYO_KEY, f"Bearer {KLAVIYO_KEY}", "Klaviyo-API-Key pk_unknown", "Klaviyo-API-Key AbC123"],
)
def test_wrong_credentials_are_a_401(sandbox: Sandbox, authorization: str | None) -> None:
    headers = {"revision": "2026-07-15"} | ({"Authorization": authorization} if authorization is not None else {})

    answer = get(sandbox, "/api/profiles", headers)

    error = answer.json()["errors"][0]
    assert answer.status_code == error["status"] == 401
    assert error["code"] == "authentication_failed"
    assert error["title"] == error["detail"] == "Incorrect authentication credentials."
    assert error["source"] == {"pointer": "/data/"}


@pytest.mark.parametrize("revision", [None, "", "latest", "2026-7-15", "2026-13-01", "2023-10-15", "2026-07-15.pre"])
def test_bad_revision_is_400(sandbox: Sandbox, revision: str | None) -> None:
    """A missing or malformed revision is a 400."""
    headers = {**GOOD, "revision": revision} if revision is not None else {"Authorization": GOOD["Authorization"]}

    assert get(sandbox, "/api/profiles", headers).status_code == 400


@pytest.mark.parametrize("revision", ["2024-10-15", "2026-07-15", "2026-10-15"])
def test_every_dated_revision_is_accepted(sandbox: Sandbox, revision: str) -> None:
    assert get(sandbox, "/api/profiles", {**GOOD, "revision": revision}).status_code == 200


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/api/metrics", "metrics:read"),
        ("/api/accounts", "accounts:read"),
        ("/api/lists", "lists:read"),
        ("/api/lists/1/tags", "lists:read"),
    ],
)
def test_a_missing_scope_is_named(sandbox: Sandbox, path: str, scope: str) -> None:
    """A key for the three flows has profiles and events only."""
    answer = get(sandbox, path, {**GOOD, "Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY_THREE_FLOWS}"})

    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"], error["source"]) == (403, "permission_denied", {"pointer": "/data/"})
    assert scope in error["detail"]


@pytest.mark.parametrize("path", ["/api/profiles", "/api/events"])
def test_flow_key_reads_both(sandbox: Sandbox, path: str) -> None:
    """The key of the three flows reads profiles and events."""
    headers = {**GOOD, "Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY_THREE_FLOWS}"}

    assert get(sandbox, path, headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/unknown",
        "/api/profiles/1/lists",
        "/api/lists/{id}",
        "/api/profiles/no-such",
        "/api/metrics/X",
    ],
)
def test_unknown_resource_is_404(klaviyo: KlaviyoCaller, path: str) -> None:
    """What does not exist is a 404."""
    answer = klaviyo.get(path)

    assert answer.status_code == answer.json()["errors"][0]["status"] == 404


def test_malformed_event_id_is_400(klaviyo: KlaviyoCaller) -> None:
    """A malformed event id is a 400. As on the wire, where an id is checked before it is looked up."""
    assert klaviyo.get("/api/events/not%20an%20id").status_code == 400
    assert klaviyo.get("/api/events/4vRpBT").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_writing_is_a_405(sandbox: Sandbox, method: str) -> None:
    answer = requests.request(method, f"{sandbox.klaviyo_url}/api/profiles", headers=GOOD, timeout=30)

    assert answer.status_code == answer.json()["errors"][0]["status"] == 405


def test_a_trailing_slash_is_accepted(klaviyo: KlaviyoCaller) -> None:
    assert klaviyo.get("/api/profiles/").status_code == 200


@pytest.mark.parametrize(
    ("path", "parameters", "named"),
    [
        ("/api/profiles", {"sort": "first_name"}, "sort"),
        ("/api/events", {"sort": "id"}, "sort"),
        ("/api/metrics", {"sort": "name"}, "sort"),
        ("/api/profiles", {"include": "lists"}, "include"),
        ("/api/events", {"include": "metric,profiles"}, "include"),
        ("/api/events", {"fields__event": "name"}, "fields[event]"),
        ("/api/events", {"fields__profile": "subscriptions"}, "fields[profile]"),
        ("/api/events", {"fields__list": "name"}, "fields[list]"),
        ("/api/profiles", {"fields__profile": "e_mail"}, "fields[profile]"),
        ("/api/profiles", {"additional_fields__profile": "everything"}, "additional-fields[profile]"),
        ("/api/events", {"additional_fields__profile": "subscriptions"}, "additional-fields[profile]"),
        ("/api/profiles", {"filters": "equals(id,'1')"}, "filters"),
        ("/api/accounts", {"filter": "equals(id,'1')"}, "filter"),
    ],
)
def test_unknown_parameter_is_400(klaviyo: KlaviyoCaller, path: str, parameters: dict[str, str], named: str) -> None:
    """An unknown parameter value is a 400. Silent acceptance would hide a tap's spelling mistakes."""
    answer = klaviyo.get(path, **parameters)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": named}
