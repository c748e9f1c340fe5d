"""The shape of Klaviyo's answers, against the vendor's OpenAPI document and what recordings show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .specification import needs_spec, objections

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller


@needs_spec
@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/profiles", {"additional_fields__profile": "subscriptions,predictive_analytics", "page__size": 100}),
        ("/api/profiles", {"include": "push-tokens", "fields__profile": "email,location.city"}),
        ("/api/events", {"include": "metric,profile,attributions", "page__size": 1000}),
        ("/api/events", {"page__size": 3}),
        ("/api/metrics", {}),
        ("/api/accounts", {}),
        ("/api/lists", {"include": "tags,flow-triggers"}),
        ("/api/segments", {"include": "tags,flow-triggers"}),
        ("/api/tags", {"include": "tag-group"}),
        ("/api/tag-groups", {}),
    ],
)
@pytest.mark.parametrize("hostile", [False, True], ids=["friendly", "hostile"])
def test_page_fits_vendor_schema(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, path: str, parameters: dict[str, Any], hostile: bool
) -> None:
    """A page fits the vendors schema."""
    sandbox.seed(profiles=100, events=400, hostile=hostile)

    assert objections(path, "200", klaviyo.get(path, **parameters).json()) == []


@needs_spec
@pytest.mark.parametrize(
    ("path", "collection"),
    [
        ("/api/profiles/{id}", "/api/profiles"),
        ("/api/events/{id}", "/api/events"),
        ("/api/metrics/{id}", "/api/metrics"),
        ("/api/accounts/{id}", "/api/accounts"),
        ("/api/lists/{id}", "/api/lists"),
        ("/api/lists/{id}/tags", "/api/lists"),
        ("/api/lists/{id}/relationships/tags", "/api/lists"),
        ("/api/segments/{id}", "/api/segments"),
        ("/api/tags/{id}", "/api/tags"),
        ("/api/tags/{id}/tag-group", "/api/tags"),
        ("/api/tags/{id}/relationships/tag-group", "/api/tags"),
        ("/api/tag-groups/{id}", "/api/tag-groups"),
    ],
)
def test_resource_fits_vendor_schema(klaviyo: KlaviyoCaller, sandbox: Sandbox, path: str, collection: str) -> None:
    """A single resource fits the vendors schema."""
    sandbox.seed(profiles=10, events=60, hostile=False)
    resource_id = klaviyo.get(collection).json()["data"][0]["id"]

    assert objections(path, "200", klaviyo.get(path.replace("{id}", resource_id)).json()) == []


@needs_spec
@pytest.mark.parametrize(
    "parameters", [{"sort": "nothing"}, {"page__size": 0}, {"filter": "x"}], ids=["sort", "size", "filter"]
)
def test_refusal_fits_vendor_schema(klaviyo: KlaviyoCaller, parameters: dict[str, Any]) -> None:
    """A refusal fits the vendors schema."""
    assert objections("/api/profiles", "400", klaviyo.get("/api/profiles", **parameters).json()) == []


def test_subscriptions_come_only_on_request(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    sandbox.seed(profiles=1, events=0)

    plain = klaviyo.get("/api/profiles").json()["data"][0]["attributes"]
    full = klaviyo.get("/api/profiles", additional_fields__profile="subscriptions").json()["data"][0]["attributes"]

    assert "subscriptions" not in plain
    assert set(full) - set(plain) == {"subscriptions"}


def test_times_have_numeric_offset(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Times are whole seconds with a written out offset."""
    stamp = "2026-01-02T03:04:05.678901Z"
    sandbox.add_profiles([{"id": "P1", "attributes": {"created": stamp, "updated": stamp}}])
    sandbox.add_events([{"metric": "M", "profile_id": "P1", "datetime": stamp, "touch": False}])

    profile = klaviyo.get("/api/profiles").json()["data"][0]["attributes"]
    event = klaviyo.get("/api/events").json()["data"][0]["attributes"]

    assert profile["created"] == profile["updated"] == event["datetime"] == "2026-01-02T03:04:05+00:00"
    assert event["timestamp"] == 1767323045


def test_uuid_contains_event_time(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The uuid contains the event's time. It is of version 1."""
    from uuid import UUID

    sandbox.add_events([{"metric": "M", "profile_id": "P1", "datetime": "2026-01-02T03:04:05Z"}])
    attributes = klaviyo.get("/api/events").json()["data"][0]["attributes"]

    uuid = UUID(attributes["uuid"])

    assert uuid.version == 1
    assert (uuid.time - 0x01B21DD213814000) // 10_000_000 == attributes["timestamp"]


def test_includes_are_unique_and_ordered(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A page includes each resource once metrics first."""
    sandbox.add_profiles([{"id": name, "attributes": {}} for name in ("P1", "P2")])
    sandbox.add_events(
        [
            {"metric": f"M{n % 2}", "profile_id": f"P{n % 2 + 1}", "datetime": f"2026-01-01T00:00:0{n}Z"}
            for n in range(6)
        ]
    )

    included = klaviyo.get("/api/events", include="profile,metric").json()["included"]

    assert [one["type"] for one in included] == ["metric", "metric", "profile", "profile"]
    assert len({one["id"] for one in included}) == 4


def test_relationships_need_include(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Relationships show data only when resolved.

    Cheap to-one relationships always do; the others when included, then empty.
    """
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events([{"metric": "M", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}])

    plain = klaviyo.get("/api/events").json()
    asked = klaviyo.get("/api/events", include="attributions").json()

    shown = {name: "data" in one for name, one in plain["data"][0]["relationships"].items()}
    assert shown == {"profile": True, "metric": True, "attributions": False}
    assert "included" not in plain
    assert asked["data"][0]["relationships"]["attributions"]["data"] == asked["included"] == []


def test_attributions_are_relationships_only(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Attributions are included as relationships only.

    The event refers to them; the resource has no attributes, and names its event, message, and campaign or flow.
    """
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    event = {"metric": "Placed Order", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}
    given = [{"id": "A1", "flow": "F1", "flow-message": "M1"}, {"campaign": "C1", "attributed-event": "E0"}]
    sandbox.add_events([{**event, "id": "E1", "attributions": given}])

    page = klaviyo.get("/api/events", include="attributions").json()

    referred = [one["id"] for one in page["data"][0]["relationships"]["attributions"]["data"]]
    related = [
        {name: one["data"]["id"] for name, one in resource["relationships"].items() if "data" in one}
        for resource in page["included"]
    ]
    assert referred == [resource["id"] for resource in page["included"]]
    assert (referred[0], len(referred[1])) == ("A1", 32)
    assert all("attributes" not in resource for resource in page["included"])
    assert related == [
        {"event": "E1", "flow": "F1", "flow-message": "M1"},
        {"event": "E1", "attributed-event": "E0", "campaign": "C1"},
    ]


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ("email", {"email": "a@b.co"}),
        ("email,location.city", {"email": "a@b.co", "location": {"city": "Oslo"}}),
        ("location", {"location": {"city": "Oslo", "country": None}}),
    ],
)
def test_sparse_fields_trim_attributes(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, fields: str, attributes: dict[str, Any]
) -> None:
    sandbox.add_profiles([{"id": "P1", "attributes": {"email": "a@b.co", "location": {"city": "Oslo"}}}])

    shown = klaviyo.get("/api/profiles/P1", fields__profile=fields).json()["data"]["attributes"]

    assert set(shown) == set(attributes)
    assert all(shown.get("location", {}).get(key) == value for key, value in attributes.get("location", {}).items())


def test_sparse_fields_reach_into_subscriptions(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])

    shown = klaviyo.get(
        "/api/profiles/P1",
        fields__profile="subscriptions.email.marketing.consent",
        additional_fields__profile="subscriptions",
    ).json()["data"]["attributes"]

    assert shown == {"subscriptions": {"email": {"marketing": {"consent": "NEVER_SUBSCRIBED"}}}}
