"""Nothing is lost or changed between Klaviyo's answer and the record, whichever way the record takes inside the tap."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jsonschema import Draft7Validator
from klaviyo_http.documents import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = "2026-06-01T12:00:00Z"
SENT = "2021-05-17 20:13:28.5-03:30"
SPELT = "2021-05-17T23:43:28.5Z"
CHANGES = {"P0": "2026-05-01T00:00:00Z", "P1": "2026-05-01T00:00:01Z"}
"""Profile -> when it withdrew its consent."""
STREAMS = ("profiles", "events", "subscription_changes")

NUMBERS = (
    '"integer":12345678901234567890,"longer":123456789012345678901234567890,"negative":-98765432109876543210,'
    '"money":19.90,"round":1.0,"huge":1e400,"tiny":-1.5E-400,"binary":0.1000000000000000055511151231257827,'
    '"zero":0,"nil":0.00,"minus":-0.0,"scaled":0e10,"ten":1E+1,'
    '"nought":-0,"beyond":1e9999999999999999999,"endless":' + "7" * 5_000
)
TEXTS = (
    r'"empty":"","nul":"a\u0000b","emoji":"🧦","escaped":"\ud83e\udde6 \u00e9 \/ \" \\",'
    '"composed":"\u00e9","decomposed":"e\u0301",'
    '"separators":"a\u2028b\u2029c\u0085d\ufeff","outside":"\U0010ffff\uffff",'
    '"rtl":"\u05e9\u05dc\u05d5\u05dd \u202e\u0645\u0631\u062d",'
    r'"control":"\b\f\n\r\t\u001f\u007f","half":"Ada %s","half %s":1'
)
KEYS = (
    '"":"nameless","$value":1,"a.b":2,"a b":3,"a":{"b":4},"ключ":5,"😀":6,"twice":"first","twice":"last",'
    '"id":"not mine","type":"nor mine","timestamp":"' + SENT + '","consent_timestamp":"' + SENT + '"'
)
OTHERS = '"no":false,"yes":true,"none":null,"list":[],"object":{},"mixed":[0,false,null,"",[],{}]'
DEEP = '"deep":' + '{"x":[' * 50 + "0.10" + "]}" * 50
LONG = '"long":"' + "ş" * 30_000 + '"'
OPEN = f"{{{NUMBERS},{TEXTS},{KEYS},{OTHERS},{DEEP},{LONG}}}"
OPEN_SENT = msgspec.Raw((OPEN % (r"\ud83e", r"\udde6")).encode())
OPEN_SPELT = msgspec.Raw((OPEN % (r"\ufffd", r"\ufffd")).encode())

WHOLE_PROFILE = 6  # open objects: properties, and five times metadata
WHOLE_EVENT = 2  # event_properties, and the properties of its profile


def declared(stream: str) -> dict[str, Any]:
    """The members of a stream's schema."""
    return json.loads((files("tap_klaviyo") / "schemas" / f"{stream}.json").read_text())["properties"]


def specimen(schema: dict[str, Any], time: str, free: msgspec.Raw) -> Any:
    """Fill an object in which every declared member has a value, and one that is not declared stands beside them."""
    kinds = schema["type"]
    if "object" in kinds and "properties" in schema:
        members = {name: specimen(member, time, free) for name, member in schema["properties"].items()}
        return {**members, "brand_new": {"timestamps": SENT, "amount": Decimal("19.90"), "nothing": None}}
    if "array" in kinds:
        return [specimen(schema["items"], time, free)]
    if schema.get("format") == "date-time":
        return time
    values = {"object": free, "boolean": False, "integer": 0, "number": Decimal("0.10"), "string": "ş"}
    return next(value for kind, value in values.items() if kind in kinds)


def person(time: str, free: msgspec.Raw) -> dict[str, Any]:
    """The attributes of a profile that has them all."""
    members = {name: member for name, member in declared("profiles").items() if name != "id"}
    return specimen({"type": "object", "properties": members}, time, free)


def predictions(time: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": declared("predictive_analytics")}
    return specimen(schema, time, OPEN_SENT)


SPARSE = {
    "updated": "2021-05-17T23:43:27Z",
    "email": None,
    "title": "",
    "location": None,
    "properties": {},
    "subscriptions": {"email": None, "sms": {"marketing": {"consent_timestamp": None, "consent": ""}}},
}
"""Attributes of a profile that has next to none: what is absent stays absent, what is null stays null."""

ATTRIBUTION = {name: "X1" for name in declared("events")["attributions"]["items"]["properties"] if name != "id"}


def event(time: str, free: msgspec.Raw) -> dict[str, Any]:
    """The attributes of an event that has them all."""
    names = ("datetime", "timestamp", "uuid", "event_properties")
    members = {name: declared("events")[name] for name in names}
    return specimen({"type": "object", "properties": members}, time, free)


def page(data: list[dict[str, Any]], **more: Any) -> str:
    return encode({"data": data, "links": {"next": None}, **more}).decode()


def profile_page(*, predicted: bool) -> str:
    whole = person(SENT, OPEN_SENT) | ({"predictive_analytics": predictions(SENT)} if predicted else {})
    profiles = {"P0": SPARSE, "P1": whole}
    return page([{"type": "profile", "id": key, "attributes": found} for key, found in profiles.items()])


def event_page() -> str:
    def to(kind: str, key: str) -> dict[str, Any]:
        return {"data": {"type": kind, "id": key}}

    related = {name.removesuffix("_id").replace("_", "-"): to("any", "X1") for name in ATTRIBUTION}
    included = [
        {"type": "metric", "id": "M1", "attributes": {"name": "Placed Order", "integration": {"name": "Shop"}}},
        {"type": "profile", "id": "P1", "attributes": event_profile(SENT, OPEN_SENT) | {"unwanted": 1}},
        {"type": "attribution", "id": "A1", "relationships": related},
    ]
    attributed = {"attributions": {"data": [{"type": "attribution", "id": "A1"}]}}
    relationships = {"profile": to("profile", "P1"), "metric": to("metric", "M1"), **attributed}
    row = {"type": "event", "id": "E1", "attributes": event(SENT, OPEN_SENT), "relationships": relationships}
    return page([row], included=included)


def event_profile(time: str, free: msgspec.Raw) -> dict[str, Any]:
    """The profile of an event, if every possible field is requested."""
    return {
        name: value for name, value in person(time, free).items() if name in declared("events")["profile"]["properties"]
    }


def records_to_come() -> dict[str, list[dict[str, Any]]]:
    """The records of each stream, but for what the account adds to changes."""
    whole = {"id": "P1", **person(SPELT, OPEN_SPELT)}
    sparse = {"id": "P0", **SPARSE}
    placed = {
        "id": "E1",
        **event(SPELT, OPEN_SPELT),
        "metric_id": "M1",
        "metric_name": "Placed Order",
        "profile_id": "P1",
        "profile": event_profile(SPELT, OPEN_SPELT),
        "attributions": [{"id": "A1", **ATTRIBUTION}],
    }
    changes = [{"changed_at": moment, "changed_by": ["Unsubscribed"]} for moment in CHANGES.values()]
    records = {
        "profiles": [sparse, {**whole, "predictive_analytics": predictions(SPELT)}],
        "events": [placed],
        "subscription_changes": [sparse | changes[0], whole | changes[1]],
    }
    return exact(encode(records))


def exact(text: str | bytes) -> Any:
    """Read JSON so that numbers are the same only if they are so to the digit; a negative zero is not a zero."""
    return json.loads(text, parse_float=number, parse_int=number)


def number(text: str) -> int | Decimal | str:
    """Keep as text what Python cannot hold as a number."""
    if len(text) > 4_000 or text in {"-0", "1e9999999999999999999"}:
        return text
    return int(text) if text.lstrip("-").isdigit() else Decimal(text)


@pytest.fixture
def account(sandbox):
    """Answers with profiles and events that have everything; two profiles withdrew their consent."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles([{"id": key, "attributes": {"updated": NOON}} for key in CHANGES])
    withdrawn = {"metric": "Unsubscribed", "touch": False}
    sandbox.add_events([{**withdrawn, "profile_id": key, "datetime": moment} for key, moment in CHANGES.items()])
    answers = {
        "sort=updated": ("/api/profiles", profile_page(predicted=True)),
        "any(id": ("/api/profiles", profile_page(predicted=False)),
        "attributions": ("/api/events", event_page()),
    }
    for query, (path, body) in answers.items():
        sandbox.fault("klaviyo", kind="status", status=200, body=body, path=path, query=query)
    return sandbox


@pytest.fixture
def read(tap, account, catalog):
    """Run all streams; returns the messages, and the output as it came."""

    def run(deselected: Sequence[tuple[str, ...]] = (), **settings: Any):
        wanted = {
            "fetch_predictive_analytics": True,
            "event_profile_fields": [*declared("events")["profile"]["properties"]],
        }
        selected = catalog(STREAMS, wanted)
        for entry in (entry for stream in selected["streams"] for entry in stream["metadata"]):
            if tuple(entry["breadcrumb"][1::2]) in deselected:
                entry["metadata"]["selected"] = False
        outcome = tap(catalog=selected, api_url=account.klaviyo_url, **wanted, **settings)
        assert outcome.code == 0, outcome.log
        return [exact(line) for line in outcome.output.encode().splitlines()], outcome.output

    return run


def records_of(messages: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        stream: [each["record"] for each in messages if each["type"] == "RECORD" and each["stream"] == stream]
        for stream in STREAMS
    }


def violations(messages: list[dict[str, Any]]) -> list[str]:
    """What a target that holds records to their schemas would say."""
    schemas = {each["stream"]: Draft7Validator(each["schema"]) for each in messages if each["type"] == "SCHEMA"}
    records = [each for each in messages if each["type"] == "RECORD"]
    return [error.message for each in records for error in schemas[each["stream"]].iter_errors(each["record"])]


@pytest.mark.req("CS-10", "CS-11", "CS-12", "CS-24", "C-11", "C-23")
def test_record_is_passed_bytewise(read):
    """Record holds whatever came byte by byte.

    Every declared attribute, and every undeclared one at any depth; only declared times are spelt anew.
    """
    messages, output = read()

    assert records_of(messages) == records_to_come()
    assert violations(messages) == []
    assert output.count(bytes(OPEN_SPELT).decode()) == 2 * WHOLE_PROFILE + WHOLE_EVENT
    schemas = {each["stream"]: each["schema"]["properties"] for each in messages if each["type"] == "SCHEMA"}
    assert schemas["profiles"].pop("predictive_analytics")["properties"] == declared("predictive_analytics")
    assert schemas == {stream: declared(stream) for stream in STREAMS}


def without(records: dict[str, list[dict[str, Any]]], paths: Sequence[tuple[str, ...]]) -> Any:
    """Take members out of every record that has them."""
    for record in (record for stream in records.values() for record in stream):
        for *parents, name in paths:
            holder = record
            for parent in parents:
                holder = holder.get(parent) or {}
            holder.pop(name, None)
    return records


TOP = [("email",), ("uuid",)]
NESTED = [("location", "zip"), ("profile", "location", "zip"), ("subscriptions", "email", "marketing", "consent")]


@pytest.mark.req("CS-06", "CS-24", "C-11", "C-23")
@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        pytest.param({"deselected": TOP}, TOP, id="properties are deselected"),
        pytest.param({"deselected": NESTED}, NESTED, id="nested ones are deselected"),
        pytest.param({"stream_maps": {stream: {"id": "id"} for stream in STREAMS}}, [], id="stream maps"),
    ],
)
def test_all_paths_give_equal_records(read, settings, absent):
    """Record is the same whichever way it takes.

    Deselection and stream maps have the tap decode what it otherwise passes on unread: nothing else may differ.

    Attributes that the catalog lacks have no switch of their own: they come with the object they stand in.
    """
    messages, _ = read(**settings)

    assert records_of(messages) == without(records_to_come(), absent)
    assert violations(messages) == []


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Undo flattening: ``{"a__b": "[1]"}`` becomes ``{"a": {"b": [1]}}``."""
    record: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("__")
        holder = record
        for parent in parents:
            holder = holder.setdefault(parent, {})
        holder[name] = exact(value) if isinstance(value, str) and value[:1] in {"{", "["} else value
    return record


@pytest.mark.req("CS-24", "C-11", "C-23")
def test_flattened_record_holds_the_same(read):
    """What becomes a column, and what becomes JSON in a column, keeps every digit."""
    messages, _ = read(flattening_enabled=True, flattening_max_depth=9)

    assert {stream: [nested(record) for record in flat] for stream, flat in records_of(messages).items()} == (
        records_to_come()
    )
    assert violations(messages) == []


ODD_TIMES = {"updated": "soon", "created": "2026-13-45T99:00:00+00:00", "last_event_date": "2026-05-01"}


@pytest.mark.req("BX-13", "CS-24")
def test_non_dates_pass_unchanged(tap, sandbox):
    """A value that is not a date passes unchanged and blocks nothing.

    No record is lost for it, and no bookmark follows it. A target that checks formats, as ours, rejects it alone.
    """
    consent = {"email": {"marketing": {"consent_timestamp": "yesterday", "last_updated": None}}}
    odd = {"type": "profile", "id": "P7", "attributes": {**ODD_TIMES, "subscriptions": consent}}
    sound = {"type": "profile", "id": "P8", "attributes": {"updated": "2026-05-20T10:00:00+00:00"}}
    happened = {"type": "event", "id": "E7", "attributes": {"datetime": "once upon a time"}, "relationships": {}}
    sandbox.clock(frozen=NOON)
    for order, rows in {"sort=updated": [odd, sound], "sort=datetime": [happened]}.items():
        sandbox.fault("klaviyo", kind="status", status=200, body=page(rows), query=order)
    outcome = tap(streams=["profiles", "events"])

    assert (outcome.code, outcome.records("profiles")[0]) == (0, {"id": "P7", **odd["attributes"]})
    assert outcome.records("profiles")[1] == {"id": "P8", "updated": "2026-05-20T10:00:00Z"}
    assert [(each["id"], each["datetime"]) for each in outcome.records("events")] == [("E7", "once upon a time")]
    assert outcome.bookmark("profiles") == outcome.bookmark("events") == "2026-06-01T11:59:55Z"
    assert violations(outcome.messages) == []
