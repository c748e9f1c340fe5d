"""Klaviyo profile -> Insider One user: attributes, fixed values, nulls, arrays, the wildcard."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mapping_configs import ADA, settings_of
from singer_delivery.errors import Filtered
from target_insiderone.mapping import compile_profiles
from target_insiderone.mapping.properties import snake_case
from target_insiderone.mapping.vocabulary import ATTRIBUTES


def column(source_field, attribute, transform=None):
    return {"source_field": source_field, "attribute": attribute, "transform": transform}


def map_profile(record, *columns, **config):
    return compile_profiles(settings_of(attribute_mappings=list(columns), **config))({**ADA, **record})


def attributes_of(record, *columns, **config):
    return map_profile(record, *columns, **config).user["attributes"]


@pytest.mark.req("IN-18")
def test_default_attributes_stand_at_the_root_and_all_others_under_custom():
    """A custom attribute at the root vanishes there without a word."""
    record = {"first_name": "Ada", "location": {"city": "Oslo"}, "properties": {"tier": "gold", "name": "Countess"}}
    columns = [
        column("first_name", "name"),
        column("location.city", "city"),
        column("tier", "loyalty_tier"),
        column("properties.name", "custom.name"),
    ]

    attributes = attributes_of(record, *columns, fixed_attributes=[{"attribute": "data_source", "value": "klaviyo"}])

    assert attributes == {
        "name": "Ada",
        "city": "Oslo",
        "custom": {"loyalty_tier": "gold", "name": "Countess", "data_source": "klaviyo"},
    }


@pytest.mark.req("IN-19", "IN-20")
@pytest.mark.parametrize(
    "value",
    [0, 0.0, False, "", "0", [], ["a", "b"], [1, 2.5], 12345678901234567890, Decimal("0.10"), "é"],
    ids=repr,
)
def test_value_keeps_its_type(value):
    """Zero, false, empty and text are values like any other; money stays exact."""
    sent = attributes_of({"properties": {"x": value}}, column("x", "x"))["custom"]["x"]

    assert (sent, type(sent)) == (value, type(value))


@pytest.mark.req("IN-19")
@pytest.mark.parametrize("properties", [{}, {"x": None}, None], ids=["absent", "null", "no properties"])
def test_null_and_absent_are_left_out(properties):
    """The default policy: what Klaviyo does not know leaves Insider One as it is."""
    mapped = map_profile({"properties": properties}, column("x", "x"), column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.delete == {}
    assert mapped.notes == ()


@pytest.mark.req("IN-19")
@pytest.mark.parametrize("properties", [{}, {"x": None}, None], ids=["absent", "null", "no properties"])
def test_null_and_absent_are_cleared_on_demand(properties):
    """With ``delete``, Insider One follows Klaviyo; opt-ins, and values that are merely unusable, stay."""
    columns = [
        column("x", "x"),
        column("first_name", "name"),
        column("location.country", "country"),
        column("agreed", "email_optin"),
        column("id", "klaviyo_id"),
    ]
    record = {"first_name": None, "location": {"country": "Atlantis"}, "properties": properties}

    mapped = map_profile(record, *columns, null_handling="delete")

    assert mapped.delete == {"whole": ["name"], "custom": {"whole": ["x"]}}
    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}


def test_profile_of_which_only_deletions_remain_carries_no_attributes():
    """Insider One refuses a user without any attribute; the deletion must reach it all the same."""
    mapped = map_profile({"first_name": None}, column("first_name", "name"), null_handling="delete")

    assert "attributes" not in mapped.user
    assert mapped.delete == {"whole": ["name"]}


def test_profile_without_any_mapped_value_is_filtered():
    """There is nothing to write, and Insider One refuses a user without attributes."""
    with pytest.raises(Filtered) as left_out:
        map_profile({"first_name": None}, column("first_name", "name"))

    assert left_out.value.reason == "no_attributes"


@pytest.mark.req("IN-19")
@pytest.mark.parametrize(("mode", "flag"), [("replace", True), ("append", None)])
def test_array_mode_decides_whether_arrays_are_replaced(mode, flag):
    """Appending is the API's default: a replay would repeat, and nothing would ever leave the list."""
    user = map_profile({"properties": {"sizes": ["M"]}}, column("sizes", "sizes"), array_mode=mode).user

    assert user.get("not_append") is flag


@pytest.mark.req("IN-16", "IN-17")
@pytest.mark.parametrize("record", [{}, {"properties": {"data_source": "shop"}}, {"properties": {"data_source": None}}])
def test_fixed_attribute_is_written_on_every_profile_and_wins(record):
    """The guide's own example, whatever Klaviyo holds."""
    fixed = [{"attribute": "data_source", "value": "klaviyo"}]

    mapped = map_profile(record, column("data_source", "data_source"), fixed_attributes=fixed, null_handling="delete")

    assert mapped.user["attributes"] == {"custom": {"data_source": "klaviyo"}}
    assert mapped.delete == {}


@pytest.mark.req("IN-20")
@pytest.mark.parametrize(
    ("attribute", "given", "sent"),
    [
        pytest.param("birthday", "1985-12-10", "1985-12-10T00:00:00Z", id="birthday ends in Z"),
        pytest.param("country", "Norway", "NO", id="country is alpha-2"),
        pytest.param("age", "38", 38, id="age is a number"),
        pytest.param("name", 7, "7", id="a name is text"),
        pytest.param("name", " Ada ", " Ada ", id="text stays as it is, blanks included"),
        pytest.param("static_segment_id", 7, [7], id="contact lists are a list"),
    ],
)
def test_default_attribute_gets_the_form_that_insider_one_takes(attribute, given, sent):
    """What it does not take vanishes there; no transform needs to be named for it."""
    assert attributes_of({"properties": {"x": given}}, column("x", attribute)) == {attribute: sent}


@pytest.mark.parametrize(
    ("given", "attribute", "code"),
    [
        pytest.param("Atlantis", "country", "country_unmappable", id="country"),
        pytest.param("soon", "birthday", "not_a_date", id="birthday"),
        pytest.param({"a": 1}, "x", "object_left_out", id="an object"),
        pytest.param([{"a": 1}], "x", "object_left_out", id="a list of objects"),
    ],
)
def test_unusable_value_is_left_out_and_noted_by_its_field(given, attribute, code):
    """It never costs the person; and the note is fit for a log."""
    mapped = map_profile({"properties": {"secret": given}}, column("secret", attribute), column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.notes == ((code, "secret"),)


ALL_PROPERTIES = column("properties.*", "*")


def test_wildcard_takes_every_property_not_mapped_elsewhere():
    """By its name in snake case; objects are left out and noted."""
    record = {
        "properties": {
            "Favourite Size": "M",
            "$source": -6,
            "tier": "gold",
            "Tags": ["a", "b"],
            "address": {"city": "Oslo"},
            "data_source": "shop",
            "nothing": None,
        }
    }

    mapped = map_profile(
        record,
        ALL_PROPERTIES,
        column("tier", "loyalty"),
        fixed_attributes=[{"attribute": "data_source", "value": "klaviyo"}],
    )

    assert mapped.user["attributes"]["custom"] == {
        "loyalty": "gold",
        "favourite_size": "M",
        "source": -6,
        "tags": ["a", "b"],
        "data_source": "klaviyo",
    }
    assert set(mapped.notes) == {("property_left_out", "address"), ("property_collision", "data_source")}


def test_wildcard_never_writes_a_default_attribute():
    """A property that happens to be called ``email_optin`` must not opt anybody in."""
    properties = dict.fromkeys(ATTRIBUTES, "anything")

    attributes = attributes_of({"properties": properties}, ALL_PROPERTIES)

    assert set(attributes) == {"custom"}


def test_wildcard_collision_is_settled_the_same_way_every_time():
    """The first in code point order is taken, however Klaviyo orders the object."""
    one = map_profile({"properties": {"Shoe Size": 1, "shoe_size": 2, "$shoe-size": 3}}, ALL_PROPERTIES)
    other = map_profile({"properties": {"shoe_size": 2, "$shoe-size": 3, "Shoe Size": 1}}, ALL_PROPERTIES)

    assert one == other
    assert one.user["attributes"]["custom"] == {"shoe_size": 3}
    assert one.notes == (("property_collision", "Shoe Size"), ("property_collision", "shoe_size"))


def test_wildcard_with_json_writes_objects_as_text():
    """The way to keep nested properties; scalars stay what they are."""
    row = column("properties.*", "*", "json")

    attributes = attributes_of({"properties": {"b": {"y": 1, "x": 2}, "a": 7}}, row)

    assert attributes["custom"] == {"a": 7, "b": '{"x":2,"y":1}'}


def test_wildcard_clears_null_properties_on_demand():
    """A property that Klaviyo sets to null is cleared like a mapped one."""
    mapped = map_profile({"properties": {"Old Tier": None, "x": 1}}, ALL_PROPERTIES, null_handling="delete")

    assert mapped.delete == {"custom": {"whole": ["old_tier"]}}


def test_more_custom_attributes_than_insider_one_takes_are_noted():
    """Its default limit is 80; what lies beyond may vanish."""
    for count, notes in ((80, ()), (81, (("too_many_custom_attributes", "attributes.custom"),))):
        properties = {f"p{number}": number for number in range(count)}

        assert map_profile({"properties": properties}, ALL_PROPERTIES).notes == notes


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Favourite Size", "favourite_size"),
        ("$consent", "consent"),
        ("a.b-c", "a_b_c"),
        ("shoeSize", "shoe_size"),
        ("Do\u011fum Y\u0131l\u0131", "dogum_yili"),
        ("Straße", "strasse"),
        ("お名前", ""),
    ],
)
def test_snake_case(name, written):
    """Names that Insider One's panel takes; one that leaves nothing is left out by the caller."""
    assert snake_case(name) == written


BEYOND = {
    "1e400": Decimal("1e400"),
    "-1e400": Decimal("-1e400"),
    "1e-400": Decimal("1e-400"),
    "400 digits": 10**400,
    "largest exponent": Decimal("1e999999999999999999"),
    "smallest exponent": Decimal("1e-999999999999999999"),
}


@pytest.mark.parametrize("number", BEYOND.values(), ids=BEYOND.keys())
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(column("x", "x"), id="custom"),
        pytest.param(column("x", "x", "number"), id="by number"),
        pytest.param(column("x", "x", 'map:{"a": 1, "*": 2}'), id="by map"),
        pytest.param(column("x", "age"), id="age"),
        pytest.param(column("x", "static_segment_id"), id="a list of numbers"),
        pytest.param(column("x", "name"), id="a name"),
        pytest.param(column("in.it", "x"), id="in an object"),
        pytest.param(column("list", "x"), id="in a list"),
        pytest.param(column("list.1", "x"), id="of a list"),
    ],
)
def test_number_beyond_a_double_is_left_out_and_noted(number, row):
    """Insider One calls the whole request no JSON: one such value cost everybody in it, in every run."""
    record = {"id": "01ADA", "properties": {"x": number, "in": {"it": number}, "list": [1, number]}}

    mapped = map_profile(record, row, column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert len(mapped.notes) == 1


def test_numbers_beyond_a_double_are_left_out_of_all_properties():
    """As a number or in a list; in an object written as text they are text."""
    properties = {
        "a": Decimal("1e400"),
        "b": [10**400],
        "c": {"d": Decimal("1e400")},
        "e": Decimal("1e300"),
        "f": 2**1023,
    }

    mapped = map_profile({"properties": properties}, column("properties.*", "*", "json"))

    assert mapped.user["attributes"]["custom"] == {
        "b": f"[{10**400}]",
        "c": '{"d":1E+400}',
        "e": Decimal("1e300"),
        "f": 2**1023,
    }
    assert mapped.notes == (("number_out_of_range", "a"),)


@pytest.mark.parametrize(
    ("properties", "custom", "deleted"),
    [
        pytest.param({"Shoe Size": None, "shoe_size": "42"}, {"shoe_size": "42"}, [], id="null first"),
        pytest.param({"Shoe Size": "42", "shoe_size": None}, {"shoe_size": "42"}, [], id="null last"),
        pytest.param({"Shoe Size": {"eu": 42}, "shoe_size": None}, {}, [], id="unusable is not null"),
        pytest.param({"Shoe Size": None, "shoe_size": None}, {}, ["shoe_size"], id="both null: cleared once"),
        pytest.param({"Shoe Size": "", "shoe_size": "42"}, {"shoe_size": "42"}, [], id="a blank gives way"),
        pytest.param({"Shoe Size": 0, "shoe_size": None}, {"shoe_size": 0}, [], id="zero stays"),
    ],
)
def test_null_property_clears_nothing_that_another_wrote(properties, custom, deleted):
    """Two names become one attribute: it was written, and deleted a moment later."""
    rows = column("id", "klaviyo_id"), column("properties.*", "*")

    mapped = map_profile({"properties": properties}, *rows, null_handling="delete")

    assert mapped.user["attributes"]["custom"] == {"klaviyo_id": "01ADA", **custom}
    assert mapped.delete.get("custom", {}).get("whole", []) == deleted


def test_null_property_clears_its_attribute_though_a_row_takes_one_of_its_name():
    """`Shoe Size` goes elsewhere, by its own row: nothing writes `shoe_size`."""
    rows = column("Shoe Size", "size"), column("properties.*", "*")

    mapped = map_profile({"properties": {"Shoe Size": "42", "shoe_size": None}}, *rows, null_handling="delete")

    assert mapped.user["attributes"]["custom"] == {"size": "42"}
    assert mapped.delete == {"custom": {"whole": ["shoe_size"]}}


@pytest.mark.parametrize("name", ["title", "id", "locale", "created", "organization"])
@pytest.mark.parametrize("field", [None, "field"], ids=["null field", "field"])
def test_property_with_the_name_of_a_field_is_delivered(name, field):
    """The row reads the field of that name; its property was nobody's, and vanished without a note."""
    record = {name: field, "properties": {name: "property"}}

    mapped = map_profile(record, column(name, "from_field"), column("properties.*", "*"))

    expected = {name: "property"} if field is None else {"from_field": field, name: "property"}
    assert mapped.user["attributes"]["custom"] == expected
    assert mapped.notes == ()


def test_property_whose_name_is_taken_is_noted():
    """Where the row of the field has that very name, the property cannot go along; it is said."""
    rows = column("title", "title"), column("id", "klaviyo_id"), column("properties.*", "*")

    mapped = map_profile({"title": None, "properties": {"title": "Dr"}}, *rows)

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.notes == (("property_collision", "title"),)


@pytest.mark.parametrize("rows", [["title"], ["properties.title"]], ids=["by name", "by path"])
def test_property_that_a_row_reads_goes_once(rows):
    """Without a field of that name the row reads the property: it is not written under its own name, too."""
    mapped = map_profile({"properties": {"title": "Dr"}}, column(rows, "salutation"), column("properties.*", "*"))

    assert mapped.user["attributes"] == {"custom": {"salutation": "Dr"}}
