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
def test_attributes_stand_where_they_belong():
    """Default attributes stand at the root and all others under custom.

    A custom attribute at the root vanishes there without a word.
    """
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
def test_nulls_are_left_out(properties):
    """Null and absent are left out. The default policy: what Klaviyo does not know leaves Insider One as it is."""
    mapped = map_profile({"properties": properties}, column("x", "x"), column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.delete == {}
    assert mapped.notes == ()


@pytest.mark.req("IN-19")
@pytest.mark.parametrize("properties", [{}, {"x": None}, None], ids=["absent", "null", "no properties"])
def test_nulls_can_be_cleared(properties):
    """Null and absent are cleared on demand.

    With ``delete``, Insider One follows Klaviyo; opt-ins, and values that are merely unusable, stay.
    """
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


def test_deletion_only_profile_lacks_attributes():
    """A profile with only deletions has no attributes.

    Insider One refuses a user without any attribute; the deletion must reach it all the same.
    """
    mapped = map_profile({"first_name": None}, column("first_name", "name"), null_handling="delete")

    assert "attributes" not in mapped.user
    assert mapped.delete == {"whole": ["name"]}


def test_empty_profile_is_filtered():
    """Profile without any mapped value is filtered.

    There is nothing to write, and Insider One refuses a user without attributes.
    """
    with pytest.raises(Filtered) as left_out:
        map_profile({"first_name": None}, column("first_name", "name"))

    assert left_out.value.reason == "no_attributes"


@pytest.mark.req("IN-19")
@pytest.mark.parametrize(("mode", "flag"), [("replace", True), ("append", None)])
def test_array_mode_sets_not_append(mode, flag):
    """`array_mode` decides whether arrays are replaced.

    Appending is the API's default: a replay would repeat, and nothing would ever leave the list.
    """
    user = map_profile({"properties": {"sizes": ["M"]}}, column("sizes", "sizes"), array_mode=mode).user

    assert user.get("not_append") is flag


@pytest.mark.req("IN-16", "IN-17")
@pytest.mark.parametrize("record", [{}, {"properties": {"data_source": "shop"}}, {"properties": {"data_source": None}}])
def test_fixed_attribute_wins(record):
    """Fixed attribute is written on every profile and wins. The guide's own example, whatever Klaviyo holds."""
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
def test_default_attributes_are_converted(attribute, given, sent):
    """Default attribute gets the form that Insider One takes.

    What it does not take vanishes there; no transform needs to be named for it.
    """
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
def test_unusable_value_is_noted(given, attribute, code):
    """Unusable value is left out and noted by its field. It never costs the person; and the note is fit for a log."""
    mapped = map_profile({"properties": {"secret": given}}, column("secret", attribute), column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.notes == ((code, "secret"),)


ALL_PROPERTIES = column("properties.*", "*")


def test_wildcard_takes_unmapped_properties():
    """Wildcard takes every property not mapped elsewhere. By its name in snake case; objects are left out and noted."""
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


def test_wildcard_skips_default_attributes():
    """Wildcard never writes a default attribute.

    A property that happens to be called ``email_optin`` must not opt anybody in.
    """
    properties = dict.fromkeys(ATTRIBUTES, "anything")

    attributes = attributes_of({"properties": properties}, ALL_PROPERTIES)

    assert set(attributes) == {"custom"}


def test_wildcard_collision_is_deterministic():
    """Wildcard collision is settled the same way every time.

    The first in code point order is taken, however Klaviyo orders the object.
    """
    one = map_profile({"properties": {"Shoe Size": 1, "shoe_size": 2, "$shoe-size": 3}}, ALL_PROPERTIES)
    other = map_profile({"properties": {"shoe_size": 2, "$shoe-size": 3, "Shoe Size": 1}}, ALL_PROPERTIES)

    assert one == other
    assert one.user["attributes"]["custom"] == {"shoe_size": 3}
    assert one.notes == (("property_collision", "Shoe Size"), ("property_collision", "shoe_size"))


def test_wildcard_writes_json():
    """Wildcard with JSON writes objects as text. The way to keep nested properties; scalars stay what they are."""
    row = column("properties.*", "*", "json")

    attributes = attributes_of({"properties": {"b": {"y": 1, "x": 2}, "a": 7}}, row)

    assert attributes["custom"] == {"a": 7, "b": '{"x":2,"y":1}'}


def test_wildcard_clears_nulls():
    """Wildcard clears null properties on demand. A property that Klaviyo sets to null is cleared like a mapped one."""
    mapped = map_profile({"properties": {"Old Tier": None, "x": 1}}, ALL_PROPERTIES, null_handling="delete")

    assert mapped.delete == {"custom": {"whole": ["old_tier"]}}


def test_attribute_excess_is_noted():
    """More custom attributes than Insider One takes are noted. Its default limit is 80; what lies beyond may vanish."""
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
def test_huge_number_is_noted(number, row):
    """Number beyond a double is left out and noted.

    Insider One calls the whole request no JSON: one such value cost everybody in it, in every run.
    """
    record = {"id": "01ADA", "properties": {"x": number, "in": {"it": number}, "list": [1, number]}}

    mapped = map_profile(record, row, column("id", "klaviyo_id"))

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert len(mapped.notes) == 1


def test_huge_properties_are_left_out():
    """Numbers beyond a double are left out of all properties.

    As a number or in a list; in an object written as text they are text.
    """
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
        pytest.param({"Shoe Size": [], "shoe_size": "42"}, {"shoe_size": "42"}, [], id="an empty list gives way"),
        pytest.param({"Shoe Size": {}, "shoe_size": "42"}, {"shoe_size": "42"}, [], id="an empty object gives way"),
        pytest.param({"Shoe Size": [None], "shoe_size": None}, {}, ["shoe_size"], id="a list of null is null"),
        pytest.param({"Shoe Size": {}}, {}, ["shoe_size"], id="an empty object is null"),
    ],
)
def test_null_keeps_others_value(properties, custom, deleted):
    """Null property clears nothing that another wrote.

    Two names become one attribute: it was written, and deleted a moment later.
    """
    rows = column("id", "klaviyo_id"), column("properties.*", "*")

    mapped = map_profile({"properties": properties}, *rows, null_handling="delete")

    assert mapped.user["attributes"]["custom"] == {"klaviyo_id": "01ADA", **custom}
    assert mapped.delete.get("custom", {}).get("whole", []) == deleted


@pytest.mark.parametrize(
    ("fields", "row", "sent", "notes"),
    [
        pytest.param({"a": "0000-00-00", "b": "1985-12-10"}, {}, "1985-12-10T00:00:00Z", (), id="no day"),
        pytest.param({"a": {"y": 1}, "b": [], "c": "1985-12-10"}, {}, "1985-12-10T00:00:00Z", (), id="the third"),
        pytest.param(
            {"a": "soon", "b": "0"}, {"transform": "default:2000-01-01"}, "2000-01-01T00:00:00Z", (), id="the default"
        ),
        pytest.param({"a": "soon"}, {"source_field": "a"}, None, (("not_a_date", "a"),), id="the only one"),
        pytest.param({"a": "soon", "b": "0"}, {}, None, (("not_a_date", "a"),), id="none is usable"),
        pytest.param({"a": {}, "b": ""}, {}, None, (), id="nothing there is nothing to say"),
    ],
)
def test_unusable_value_yields(fields, row, sent, notes):
    """Unusable value gives way to the next source. `0000-00-00` hid the birthday that the next source held."""
    mapped = map_profile({"properties": fields}, column("id", "klaviyo_id"), column(["a", "b", "c"], "birthday") | row)

    assert mapped.user["attributes"].get("birthday") == sent
    assert mapped.notes == notes


@pytest.mark.parametrize(("handling", "sent", "deleted"), [("omit", [], []), ("delete", None, ["sizes"])])
def test_lone_empty_list_is_kept(handling, sent, deleted):
    """Lone empty list is written or cleared. It replaces what Insider One holds; where nulls clear, it is one."""
    rows = column("id", "klaviyo_id"), column("Sizes", "sizes")

    mapped = map_profile({"properties": {"Sizes": []}}, *rows, null_handling=handling)

    assert mapped.user["attributes"]["custom"].get("sizes") == sent
    assert mapped.delete.get("custom", {}).get("whole", []) == deleted


def test_null_property_clears_attribute():
    """Null property clears its attribute though a row takes one of its name.

    `Shoe Size` goes elsewhere, by its own row: nothing writes `shoe_size`.
    """
    rows = column("Shoe Size", "size"), column("properties.*", "*")

    mapped = map_profile({"properties": {"Shoe Size": "42", "shoe_size": None}}, *rows, null_handling="delete")

    assert mapped.user["attributes"]["custom"] == {"size": "42"}
    assert mapped.delete == {"custom": {"whole": ["shoe_size"]}}


@pytest.mark.parametrize("name", ["title", "id", "locale", "created", "organization"])
@pytest.mark.parametrize("field", [None, "field"], ids=["null field", "field"])
def test_field_named_property_is_delivered(name, field):
    """Property with the name of a field is delivered.

    The row reads the field of that name; its property was nobody's, and vanished without a note.
    """
    record = {name: field, "properties": {name: "property"}}

    mapped = map_profile(record, column(name, "from_field"), column("properties.*", "*"))

    expected = {name: "property"} if field is None else {"from_field": field, name: "property"}
    assert mapped.user["attributes"]["custom"] == expected
    assert mapped.notes == ()


def test_taken_property_name_is_noted():
    """Property whose name is taken is noted.

    Where the row of the field has that very name, the property cannot go along; it is said.
    """
    rows = column("title", "title"), column("id", "klaviyo_id"), column("properties.*", "*")

    mapped = map_profile({"title": None, "properties": {"title": "Dr"}}, *rows)

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.notes == (("property_collision", "title"),)


@pytest.mark.parametrize("rows", [["title"], ["properties.title"]], ids=["by name", "by path"])
def test_mapped_property_goes_once(rows):
    """Property that a row reads goes once.

    Without a field of that name the row reads the property: it is not written under its own name, too.
    """
    mapped = map_profile({"properties": {"title": "Dr"}}, column(rows, "salutation"), column("properties.*", "*"))

    assert mapped.user["attributes"] == {"custom": {"salutation": "Dr"}}
