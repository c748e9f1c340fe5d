"""Our schemas against the vendor's OpenAPI document, where the shared documents are at hand."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tap_klaviyo.reading.collections import ids_name
from tap_klaviyo.streams.lists import Lists
from tap_klaviyo.streams.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).parents[3] / "shared" / "api" / "klaviyo-openapi.json"
ON_THE_WIRE_ONLY = {"anonymous_id", "whatsapp_bsuid", "subscriptions", "click_tracking", "id"}


STREAMS = ("profiles", "events", "subscription_changes", "predictive_analytics", "lists", "metrics")

Leaves = dict[tuple[str, ...], set[str]]
"""Path of a member -> its types other than null, and its format if it has one."""


def document(stream: str) -> dict:
    return json.loads((files("tap_klaviyo") / "schemas" / f"{stream}.json").read_text())


def ours(stream: str) -> dict:
    return document(stream)["properties"]


@pytest.fixture(scope="module")
def components():
    if not DOCUMENT.exists():
        pytest.skip("the vendor's OpenAPI document (../shared) is not here")
    return json.loads(DOCUMENT.read_text())["components"]["schemas"]


def resolved(schema: dict, components: dict) -> dict:
    """Follow a reference; what stands beside it is kept."""
    if "$ref" not in schema:
        return schema
    return components[schema["$ref"].rsplit("/", 1)[1]] | schema


def kinds(schema: dict) -> set[str]:
    """Tell what a value may be."""
    types = schema.get("type", [one["type"] for one in schema.get("oneOf", ())])
    kinds = {types} if isinstance(types, str) else set(types)
    return (kinds | {schema.get("format", "null")}) - {"null", "uri"}


def leaves(schema: dict, components: dict, path: tuple[str, ...] = ()) -> Leaves:
    """List the members of an object schema at every depth; those of an array's items have a ``*`` in their path."""
    schema = resolved(schema, components)
    found: Leaves = {path: kinds(schema)} if path else {}
    for part in schema.get("allOf", ()):
        found |= leaves(part, components, path)
    if "items" in schema:
        found |= leaves(schema["items"], components, (*path, "*"))
    for name, member in schema.get("properties", {}).items():
        found |= leaves(member, components, (*path, name))
    return found


def attributes(resource: str, components: dict) -> Leaves:
    """List the attributes of a documented resource."""
    documented = leaves(components[resource], components)
    return {path[1:]: kinds for path, kinds in documented.items() if path[0] == "attributes" and len(path) > 1}


@pytest.mark.req("CS-10", "CS-24", "C-11")
def test_profile_schema_is_complete(components):
    """Profile schema holds every documented field.

    Names, types and date-times agree; what only the wire has is listed by name.
    """
    wanted = attributes("ProfileResponsePluralConversationsObjectResource", components)
    wanted |= leaves(components["Subscriptions"], components, ("subscriptions",))
    declared = leaves({"properties": ours("profiles")}, components)

    assert {path: declared.get(path) for path in wanted} == wanted
    assert all(set(path) & ON_THE_WIRE_ONLY for path in declared.keys() - wanted.keys())


@pytest.mark.req("CS-05", "CS-24")
def test_predictions_schema_is_complete(components):
    """Schema of predictive analytics holds every documented field.

    It stands in a file of its own, since it is part of the profile only on wish.
    """
    assert leaves({"properties": ours("predictive_analytics")}, components) == leaves(
        components["PredictiveAnalytics"], components
    )


@pytest.mark.req("CS-11", "CS-24")
def test_event_schema_is_complete(components):
    """Event schema holds every documented field. Attributes as they are, relationships joined."""
    wanted = attributes("EventResponseObjectResource", components)
    joined = {"id", "metric_id", "metric_name", "profile_id", "profile", "attributions"}
    declared = leaves({"properties": ours("events")}, components)

    assert {path: declared.get(path) for path in wanted} == wanted
    assert {path[0] for path in declared} == {path[0] for path in wanted} | joined


TIMES_BY_DESCRIPTION_ALONE = {"metrics": {("created",), ("updated",)}}
"""Attributes that the document calls ISO 8601 in words, without a `format`."""


@pytest.mark.parametrize(
    ("stream", "resource"),
    [(Lists, "ListListResponseObjectResource"), (Metrics, "MetricResponseObjectResource")],
    ids=["lists", "metrics"],
)
def test_collection_schema_is_complete(components, stream, resource):
    """Collection schema holds attributes and included ids.

    What is documented, and the relationships that the stream asks for.
    """
    wanted = attributes(resource, components)
    for path in TIMES_BY_DESCRIPTION_ALONE.get(stream.name, ()):
        wanted[path] = wanted[path] | {"date-time"}
    wanted |= {("id",): {"string"}}
    for name in stream.include:
        wanted |= {(ids_name(name),): {"array"}, (ids_name(name), "*"): {"string"}}

    assert leaves({"properties": ours(stream.name)}, components) == wanted
    assert set(stream.include) <= set(components[resource]["properties"]["relationships"]["properties"])


@pytest.mark.req("CS-11", "CS-24")
def test_event_profile_matches_profiles():
    """Profile of an event is declared as profiles are.

    But for the id, which the event has itself, and the subscriptions, which events cannot bring.
    """
    profile = ours("events")["profile"]["properties"]

    assert profile == {name: field for name, field in ours("profiles").items() if name not in {"id", "subscriptions"}}


@pytest.mark.req("CS-24")
@pytest.mark.parametrize("stream", STREAMS)
def test_schema_accepts_null_and_unknown(stream):
    """Schema refuses neither null nor what it does not know.

    Klaviyo leaves fields empty that it documents as filled, and adds fields without notice.
    """
    every = list(objects(document(stream)))

    assert len(every) > 0
    assert all(schema.get("additionalProperties", True) is True for schema in every)
    assert all(set(schema.get("required", ())) <= {"id"} for schema in every)
    strict = {name for schema in every for name, member in schema["properties"].items() if "null" not in member["type"]}
    assert strict <= {"id"}


def objects(schema: dict) -> Iterator[dict]:
    """Find the schema of every object with declared members."""
    if "properties" in schema:
        yield schema
    for member in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from objects(member)


@pytest.mark.req("CS-13")
def test_attribution_holds_every_documented_relationship(components):
    """An attribution consists of ids; each has the name of its relationship."""
    related = components["AttributionResponseObjectResource"]["properties"]["relationships"]["properties"]

    declared = ours("events")["attributions"]["items"]["properties"]
    assert set(declared) == {"id", *(f"{name.replace('-', '_')}_id" for name in related)}


@pytest.mark.req("CS-12")
def test_subscription_change_extends_profile():
    """Subscription change is a profile and two fields. The two files must not drift apart."""
    changes = ours("subscription_changes")
    assert {changes.pop("changed_at")["format"], changes.pop("changed_by")["type"][0]} == {"date-time", "array"}

    assert changes == ours("profiles")
