"""Values as shops write them, through the command line: what of each record arrives at Insider One."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN
from runs import finish
from singer_messages import PROFILE_SCHEMA, order, profile, record, schema, state

if TYPE_CHECKING:
    from runs import Ended

CONFIG = {
    "partner_name": PARTNER,
    "api_key": TOKEN,
    "event_retention": "send",
    "default_currency": "EUR",
    "identifier_mappings": [
        {"identifier_type": "uuid", "source_field": ["external_id", "Customer No."]},
        {"identifier_type": "email", "source_field": "email"},
        {"identifier_type": "phone_number", "source_field": "phone_number"},
    ],
    "attribute_mappings": [
        {"source_field": "id", "attribute": "klaviyo_id"},
        {"source_field": "birthday", "attribute": "birthday"},
        {"source_field": "age", "attribute": "age"},
        {"source_field": "country", "attribute": "country"},
        {"source_field": "price", "attribute": "price", "transform": "number:comma"},
        {"source_field": "signup", "attribute": "signup", "transform": "date"},
        {"source_field": "seen", "attribute": "seen", "transform": "datetime"},
        {"source_field": ["nickname", "other_name"], "attribute": "nickname", "transform": "default:none"},
        {"source_field": "properties.*", "attribute": "*"},
    ],
    "event_mappings": [
        {
            "metric_name": "Placed Order",
            "event_type": "purchase",
            "parameter_mappings": [
                {"source_field": ["OrderId", "Number"], "parameter": "event_group_id"},
                {"source_field": "$value", "parameter": "unit_sale_price"},
                {"source_field": "$value_currency", "parameter": "currency"},
            ],
        }
    ],
}
HUGE = "@@1e400@@"
PLACEHOLDERS = ["None", "nan", "N/A", "-", "[object Object]", "guest", "00000000-0000-0000-0000-000000000000", "#REF!"]


class Case(NamedTuple):
    """A profile, and what is to arrive of it: identifiers, and some attributes (None: none of this name)."""

    fields: dict[str, Any]
    identifiers: dict[str, Any]
    attributes: dict[str, Any]


def person(number: str) -> dict[str, str]:
    """Identifiers of nobody else."""
    return {"email": f"{number}@shop.example"}


def of_properties(number: str, properties: dict[str, Any], **attributes: Any) -> Case:
    """A case that has only properties."""
    return Case({**person(number), "properties": properties}, person(number), attributes)


PROFILES = {
    "14 a fraction": Case({**person("14"), "price": 12.34}, person("14"), {"price": Decimal("12.34")}),
    "15 properties": of_properties(
        "15a", {"clv": HUGE, "sizes": [1, HUGE], "tier": "gold"}, clv=None, sizes=None, tier="gold"
    ),
    "15 age": Case({**person("15b"), "age": HUGE, "tier": "gold"}, person("15b"), {"age": None}),
    "21 identifier": Case({"external_id": "", "properties": {"Customer No.": "C-77"}}, {"uuid": "C-77"}, {}),
    "21 unseen": Case({"external_id": "\u00a0\u200b", "properties": {"Customer No.": "C-78"}}, {"uuid": "C-78"}, {}),
    "21 next source": of_properties("21c", {"nickname": " ", "other_name": "Ada"}, nickname="Ada"),
    "21 default": of_properties("21d", {"nickname": "", "other_name": "\ufeff"}, nickname="none"),
    **{
        f"22 {value} {twin}": Case(
            {**person(f"22-{number}{twin}"), "external_id": value}, person(f"22-{number}{twin}"), {}
        )
        for number, value in enumerate(PLACEHOLDERS)
        for twin in "ab"
    },
    "23 no area code": Case({**person("23a"), "phone_number": "555-0123"}, person("23a"), {}),
    "23 area code": Case(
        {**person("23b"), "phone_number": "(212) 555-0123"}, {**person("23b"), "phone_number": "+12125550123"}, {}
    ),
    "24 around": Case(
        {
            "email": "\u202a24@shop.example\u202c",
            "phone_number": "\u2066+4799900024\u2069",
            "external_id": "\ufeffC-24",
        },
        {"uuid": "C-24", "email": "24@shop.example", "phone_number": "+4799900024"},
        {},
    ),
    "24 within": Case(
        {"email": "24b@sh\u200bop.example", "phone_number": "+47 999\u200b00025"},
        {"email": "24b@shop.example", "phone_number": "+4799900025"},
        {},
    ),
    "25 a year": of_properties(
        "25a", {"birthday": 1985, "signup": "1985", "seen": 1985}, birthday=None, signup=None, seen=None
    ),
    "25 eight digits": of_properties(
        "25b",
        {"birthday": 19851210, "signup": "19851210", "seen": 20260601},
        birthday="1985-12-10T00:00:00Z",
        signup="1985-12-10",
        seen="2026-06-01T00:00:00Z",
    ),
    "25 no day": of_properties(
        "25c", {"birthday": "00.00.0000", "signup": "2024-02-30", "seen": 31391}, birthday=None, signup=None, seen=None
    ),
    "25 milliseconds": of_properties("25d", {"birthday": 503020800000}, birthday="1985-12-10T00:00:00Z"),
    "26 fields": Case(
        {
            **person("26"),
            "title": None,
            "locale": "de-DE",
            "created": "2026-01-01T00:00:00Z",
            "organization": None,
            "properties": {"title": "Dr", "id": "X-1", "locale": "fr", "created": "2001", "organization": "ACME"},
        },
        person("26"),
        {"title": "Dr", "id": "X-1", "locale": "fr", "created": "2001", "organization": "ACME"},
    ),
    "27 comma": of_properties("27a", {"price": "1.234,50 €"}, price=Decimal("1234.50")),
    "27 country": of_properties("27b", {"country": "ALEMANIA"}, country="DE"),
}
"""Number of the point in docs/robustness.md, and its case; the name is the profile's id."""


class Arrived(NamedTuple):
    """How a run ended, and what Insider One has afterwards."""

    ended: Ended
    users: list[dict[str, Any]]
    deletions: list[dict[str, Any]]

    def user(self, key: str) -> dict[str, Any]:
        """The one user whose profile has this id."""
        (user,) = (user for user in self.users if user["attributes"].get("custom", {}).get("klaviyo_id") == key)
        return user


@pytest.fixture(scope="module")
def run(shared_sandbox, tmp_path_factory):
    """Load messages (text is a line as it stands) in one process."""

    def load(messages: list[Any], **settings: Any) -> Arrived:
        shared_sandbox.reset()
        folder = tmp_path_factory.mktemp("values")
        config = CONFIG | {"api_url": shared_sandbox.insiderone_url, "data_dir": str(folder / "data"), **settings}
        (folder / "config.json").write_text(json.dumps(config))
        lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
        text = "".join(line.replace(f'"{HUGE}"', "1e400") + "\n" for line in lines)
        ended = finish(folder / "config.json", text, folder / "data")
        deletions = [one["body"] for one in shared_sandbox.journal("insiderone") if "delete" in one["path"]]
        return Arrived(ended, shared_sandbox.users(exact=True), deletions)

    return load


@pytest.fixture(scope="module")
def arrived(run):
    """All of `PROFILES` and some orders, of a shop of the United States."""
    declared = copy.deepcopy(PROFILE_SCHEMA)
    declared["properties"]["price"] = {"type": ["null", "number"], "multipleOf": 0.01, "minimum": 0.0}
    profiles = [record("profiles", {"id": key, **case.fields}) for key, case in PROFILES.items()]
    orders = [
        order(1, event_properties={"OrderId": "", "Number": "N-1", "$value": 5, "$value_currency": "\u00a0"}),
        order(2, event_properties={"OrderId": " ", "$value": 6, "$value_currency": "TRY"}),
        order(3, event_properties={"OrderId": "O-3", "$value": HUGE}),
    ]
    return run(
        [
            {**schema("profiles"), "schema": declared},
            *profiles,
            '{"type": "STATE", "value": {"v": 1764323900.25}}',
            schema("events"),
            *[record("events", one) for one in orders],
            '{"type": "STATE", "value": {"v": 1764323900.50}}',
        ],
        phone_number_settings={"default_country": "US"},
    )


@pytest.mark.parametrize("key", PROFILES)
def test_values_arrive_as_meant(arrived, key):
    """Value arrives as it was meant.

    One record of each kind in one input: none costs another, and none becomes somebody else's.
    """
    case = PROFILES[key]

    user = arrived.user(key)

    assert user["identifiers"] == case.identifiers
    found = user["attributes"] | user["attributes"]["custom"]
    assert {name: found.get(name) for name in case.attributes} == case.attributes


def test_odd_orders_cost_themselves(arrived):
    """Blank or huge values of orders cost no other.

    The next source, or the event's id, names the order; the setting its currency. Without a price it is a reject.
    """
    sent = [event["event_params"] for user in arrived.users for event in user.get("events", ())]

    found = {(event["event_group_id"], event["currency"], event["unit_sale_price"]) for event in sent}

    assert found == {("N-1", "EUR", 5), ("E2", "TRY", 6)}
    assert arrived.ended.counts("events") == {"read": 3, "delivered": 2, "rejected": 1}


def test_odd_values_spare_the_run(arrived):
    """Odd values leave the run whole.

    Every STATE with the digits that it came with, every profile delivered, and a note for whatever was left out.
    """
    ended = arrived.ended

    assert ended.code == 0, ended.logs
    assert ended.states[-1] == {"v": 1764323900.5}
    assert ended.counts("profiles") == {"read": len(PROFILES), "delivered": len(PROFILES)}
    notes = ended.summary["streams"]["profiles"]["notes"]
    assert notes["identifier_blocked uuid"] == 2 * len(PLACEHOLDERS)
    assert notes["identifier_skipped phone_number"] == 1
    assert (
        notes["number_out_of_range clv"] == notes["number_out_of_range sizes"] == notes["number_out_of_range age"] == 1
    )
    assert notes["not_a_date birthday"] == notes["not_a_date signup"] == notes["not_a_date seen"] == 2


def test_null_keeps_fresh_values(run):
    """Null deletes nothing that was just written.

    `Shoe Size: null` deleted the 42 of `shoe_size`; and `1234567` became a number of Germany that is no one's.
    """
    properties = {"Shoe Size": None, "shoe_size": "42", "colour": None}
    odd = profile(1, phone_number="1234567", properties=properties)

    arrived = run(
        [schema("profiles"), record("profiles", odd), state({"n": 1})],
        null_handling="delete",
        attribute_mappings=[CONFIG["attribute_mappings"][0], CONFIG["attribute_mappings"][-1]],
        phone_number_settings={"default_country": "DE"},
    )

    assert arrived.ended.code == 0, arrived.ended.logs
    assert arrived.user("P1")["identifiers"] == {"email": "person1@shop.example"}
    assert arrived.user("P1")["attributes"]["custom"]["shoe_size"] == "42"
    assert [user["custom"]["whole"] for body in arrived.deletions for user in body["users"]] == [["colour"]]
