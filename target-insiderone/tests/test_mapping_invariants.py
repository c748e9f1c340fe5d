"""What holds for every record, also for one that nobody thought of."""

from __future__ import annotations

import copy
from decimal import Decimal

import msgspec
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from mapping_configs import default_mapping, settings_of
from singer_delivery.errors import Filtered, Rejected
from singer_delivery.mapping.phone import E164
from singer_delivery.mapping.placeholders import EXACT
from singer_delivery.mapping.values import is_blank, trim
from target_insiderone.mapping import MappedProfile, compile_events, compile_profiles
from target_insiderone.mapping.identifiers import EMAIL
from target_insiderone.mapping.vocabulary import ATTRIBUTES, PARAMETERS, REQUIRED_PARAMETERS

NOON = 1_780_315_200.0
ENCODER = msgspec.json.Encoder(decimal_format="number")

SETTINGS = settings_of(**default_mapping(), null_handling="delete", default_currency="EUR")
MAP_PROFILE = compile_profiles(SETTINGS)
MAP_EVENT = compile_events(SETTINGS)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**22), 10**22)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4)
    | st.text(max_size=12)
    | st.sampled_from(["", " ", "0", "null", "ada@example.com", "+4799900001", "Norway", "1985-12-10", "SUBSCRIBED"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def usually(*sound):
    """A sound value nine times in ten, and else anything: broken everywhere, a record would never come far."""
    return st.integers(0, 9).flatmap(lambda chance: values if chance == 9 else st.sampled_from(sound))


def objects(*keys):
    """An object that has some of the keys that a mapping reads, and others."""
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=8), values, max_size=len(keys))


consents = st.dictionaries(
    st.sampled_from(["email", "sms", "whatsapp"]),
    values | st.fixed_dictionaries({"marketing": values | objects("consent", "consent_timestamp", "suppression")}),
)
profiles = st.fixed_dictionaries(
    {"email": usually("ada@example.com", " Ada@Example.com ", None)},
    optional={
        "id": usually("01ADA"),
        "phone_number": values,
        "external_id": values,
        "first_name": values,
        "created": values,
        "location": values | objects("city", "country", "zip"),
        "properties": values | objects("gender", "Gender", "birthday", "age", "Tier", "tier"),
        "subscriptions": values | consents,
    },
)
items = st.fixed_dictionaries(
    {"ItemPrice": usually(0, 12.5, "9.90")}, optional={"Quantity": values, "SKU": values, "Categories": values}
)
carts = st.fixed_dictionaries(
    {"Items": st.lists(items, max_size=3) | st.lists(items | values, max_size=3) | values},
    optional={"OrderId": values, "$value": usually(30, "12.50"), "$value_currency": values},
)
events = st.fixed_dictionaries(
    {
        "metric_name": usually("Placed Order", "Started Checkout", "Viewed Product", "Active on Site"),
        "id": usually("ev1", 7),
        "datetime": usually("2026-06-01T11:00:00+00:00"),
        "profile": profiles | profiles | values,
        "event_properties": carts | carts | values,
    },
    optional={"profile_id": values},
)


def test_sound_records_are_generated():
    """Sound records are among those tried. The invariants below are worth something only where something is mapped."""
    find(profiles, lambda record: isinstance(outcome(MAP_PROFILE, record), MappedProfile))
    find(events, lambda record: len(getattr(outcome(MAP_EVENT, record, NOON), "events", ())) > 1)


def outcome(mapping, *arguments):
    """The result of a record; any other exception is the bug that these tests look for."""
    try:
        return mapping(*arguments)
    except (Rejected, Filtered) as error:
        return error


@pytest.mark.req("IN-18", "IN-48")
@settings(max_examples=300, deadline=None)
@given(profiles)
def test_any_profile_maps_or_fails(record):
    """Any profile becomes a sound user or one reason.

    Whatever the JSON: identifiers that stand in the record, known names at the root, and no other exception.
    """
    before = copy.deepcopy(record)

    mapped = outcome(MAP_PROFILE, record)

    assert record == before
    if isinstance(mapped, Rejected | Filtered):
        return
    assert ENCODER.encode(mapped.user) == ENCODER.encode(MAP_PROFILE(before).user)
    assert set(mapped.user.get("attributes", {})) <= {*ATTRIBUTES, "custom"}
    assert_sound_identifiers(mapped.identifiers, record)
    for name in ("email_optin", "sms_optin", "whatsapp_optin"):
        assert type(mapped.user.get("attributes", {}).get(name, True)) is bool
        assert name not in mapped.delete.get("whole", ())


@pytest.mark.req("IN-26", "IN-28")
@settings(max_examples=300, deadline=None)
@given(events)
def test_any_event_maps_or_fails(record):
    """Any event becomes sound events or reasons.

    Every line is accounted for: sent, rejected or filtered; and what is sent has what Insider One demands.
    """
    before = copy.deepcopy(record)

    mapped = outcome(MAP_EVENT, record, NOON)

    assert record == before
    if isinstance(mapped, Rejected | Filtered):
        return
    assert ENCODER.encode(mapped.events) == ENCODER.encode(MAP_EVENT(before, NOON).events)
    assert_sound_identifiers(mapped.identifiers, record.get("profile"))
    assert len(mapped.events) + len(mapped.rejected) == line_count(record)
    for line, event_type, event in mapped.events:
        parameters = event["event_params"]
        assert set(parameters) <= {*PARAMETERS, "custom"}
        assert set(REQUIRED_PARAMETERS.get(event_type, ())) <= set(parameters)
        assert parameters["custom"].get("line") == line
        assert parameters["custom"]["klaviyo_event_id"]


def line_count(record):
    """How many events the default mapping makes of a record."""
    properties = record.get("event_properties")
    lines = properties.get("Items") if isinstance(properties, dict) else None
    expands = record["metric_name"] in {"Placed Order", "Started Checkout"} and isinstance(lines, list)
    return len(lines) if expands and lines else 1


def assert_sound_identifiers(identifiers, holder):
    """Insider One would take them, and each is the record's own value, not one made up."""
    assert identifiers
    assert set(identifiers) <= {"email", "phone_number", "uuid"}
    if "email" in identifiers:
        assert EMAIL.fullmatch(identifiers["email"])
        assert identifiers["email"] == trim(source_of(holder, "email"))
    if "phone_number" in identifiers:
        assert E164.fullmatch(identifiers["phone_number"])
    if "uuid" in identifiers:
        external_id = source_of(holder, "external_id")
        assert identifiers["uuid"].lower() not in EXACT
        assert type(external_id) in (str, int, float, Decimal)
        if isinstance(external_id, str):
            assert identifiers["uuid"] == trim(external_id)
        else:
            assert Decimal(identifiers["uuid"]) == Decimal(str(external_id))


def source_of(holder, name):
    """Where the default mapping finds an identifier."""
    if name in holder and not is_blank(holder[name]):
        return holder[name]
    return holder["properties"][name]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**30), 10**30) | st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_number_passes_exactly(number):
    """Money and long keys: the digits that came are the digits that go."""
    config = settings_of(attribute_mappings=[{"source_field": "x", "attribute": "x"}])

    user = compile_profiles(config)({"email": "ada@example.com", "properties": {"x": number}}).user

    sent = user["attributes"]["custom"]["x"]
    assert (sent, type(sent), str(sent)) == (number, type(number), str(number))
