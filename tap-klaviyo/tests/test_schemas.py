"""Our schemas against the vendor's OpenAPI document, where the shared documents are at hand."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[3] / "shared" / "api" / "klaviyo-openapi.json"
ON_THE_WIRE_ONLY = {"anonymous_id", "whatsapp_bsuid", "subscriptions", "click_tracking", "id"}


def ours(stream: str) -> dict:
    return json.loads((files("tap_klaviyo") / "schemas" / f"{stream}.json").read_text())["properties"]


@pytest.fixture(scope="module")
def components():
    if not DOCUMENT.exists():
        pytest.skip("the vendor's OpenAPI document (../shared) is not here")
    return json.loads(DOCUMENT.read_text())["components"]["schemas"]


def leaves(schema: dict, components: dict, path: tuple[str, ...] = ()) -> set[tuple[tuple[str, ...], str]]:
    """List (path, format or type) of the leaves of an object schema."""
    if "$ref" in schema:
        return leaves(components[schema["$ref"].rsplit("/", 1)[1]], components, path)
    found: set[tuple[tuple[str, ...], str]] = set()
    for part in [*schema.get("allOf", ()), *([schema["items"]] if "items" in schema else [])]:
        found |= leaves(part, components, path)
    for name, member in schema.get("properties", {}).items():
        below = leaves(member, components, (*path, name))
        kind = "date-time" if member.get("format") == "date-time" else "other"
        found |= below or {((*path, name), kind)}
    return found


@pytest.mark.req("CS-10", "C-11")
def test_profile_schema_holds_every_documented_field(components):
    """Names and date-times agree; what only the wire has is listed by name."""
    documented = leaves(components["ProfileResponsePluralConversationsObjectResource"], components)
    wanted = {(path[1:], kind) for path, kind in documented if path[0] == "attributes"}
    wanted |= {(("subscriptions", *path), kind) for path, kind in leaves(components["Subscriptions"], components)}
    declared = leaves({"properties": ours("profiles")}, components)

    assert wanted <= declared
    assert all(set(path) & ON_THE_WIRE_ONLY for path, _ in declared - wanted)


@pytest.mark.req("CS-05")
def test_schema_of_predictive_analytics_holds_every_documented_field(components):
    """It stands in a file of its own, since it is part of the profile only on wish."""
    assert leaves({"properties": ours("predictive_analytics")}, components) == leaves(
        components["PredictiveAnalytics"], components
    )


@pytest.mark.req("CS-11")
def test_event_schema_holds_every_documented_field(components):
    """Attributes as they are, relationships joined."""
    documented = leaves(components["EventResponseObjectResource"], components)
    wanted = {path[1] for path, _ in documented if path[0] == "attributes"}
    joined = {"id", "metric_id", "metric_name", "profile_id", "profile", "attributions"}

    assert set(ours("events")) == wanted | joined


@pytest.mark.req("CS-13")
def test_attribution_holds_every_documented_relationship(components):
    """An attribution consists of ids; each has the name of its relationship."""
    related = components["AttributionResponseObjectResource"]["properties"]["relationships"]["properties"]

    declared = ours("events")["attributions"]["items"]["properties"]
    assert set(declared) == {"id", *(f"{name.replace('-', '_')}_id" for name in related)}


@pytest.mark.req("CS-12")
def test_subscription_change_is_a_profile_and_two_fields():
    """The two files must not drift apart."""
    changes = ours("subscription_changes")
    assert {changes.pop("changed_at")["format"], changes.pop("changed_by")["type"][0]} == {"date-time", "array"}

    assert changes == ours("profiles")
