"""Where ``source_field`` finds a value."""

from __future__ import annotations

import pytest
from singer_delivery.mapping.generated import compile_get
from singer_delivery.mapping.sources import NO_ITEM, compile_source

RECORD = {
    "title": "top",
    "organization": None,
    "location": {"city": "Oslo", "a.b": "key with a dot", "deep": {"x.y": "deeper"}},
    "properties": {
        "title": "inside",
        "organization": "inside",
        "Favourite Size": "M",
        "$value": 0,
        "a.b": "exact key",
        "a": {"b": "path"},
        "address": {"city": "Bergen"},
        "orders": [{"id": "o1"}, {"id": "o2"}],
        "location.city": "exact key wins over a path",
        "7": "seven",
    },
}


@pytest.mark.req("IN-11", "IN-26")
@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("title", "top", id="a top-level field wins over a property"),
        pytest.param("organization", None, id="a top-level null ends the search"),
        pytest.param("properties.title", "inside", id="a path reaches the property"),
        pytest.param("Favourite Size", "M", id="a key with a blank"),
        pytest.param("$value", 0, id="a key with a dollar; zero is a value"),
        pytest.param("a.b", "exact key", id="an exact key wins over a path"),
        pytest.param("location.city", "exact key wins over a path", id="of a property, too"),
        pytest.param("location.a.b", "key with a dot", id="a key with a dot at the end of a path"),
        pytest.param("location.deep.x.y", "deeper", id="deeper in a path"),
        pytest.param("address.city", "Bergen", id="a path that starts at a property"),
        pytest.param("orders.1.id", "o2", id="an array index"),
        pytest.param("orders[0].id", "o1", id="an array index in brackets"),
        pytest.param("properties.7", "seven", id="a key that looks like an index"),
        pytest.param("orders.2.id", None, id="beyond the array"),
        pytest.param("orders.id", None, id="an array has no keys"),
        pytest.param("title.city", None, id="a text has no keys"),
        pytest.param("nowhere", None, id="absent"),
        pytest.param("no.where", None, id="an absent path"),
    ],
)
def test_source_is_found(source, value):
    """Exact field, exact property, then a path: in this order."""
    assert compile_source([source], "properties")(RECORD, NO_ITEM) == value


@pytest.mark.req("IN-26")
@pytest.mark.parametrize(
    ("sources", "value"),
    [
        (["nowhere", "organization", "Favourite Size"], "M"),
        (["$value", "title"], 0),
        (["nowhere", "no.where"], None),
    ],
    ids=["absent and null are passed over", "zero counts", "nothing at all"],
)
def test_first_non_null_source_wins(sources, value):
    """First source that is not null counts. Shops spell one thing in many ways."""
    assert compile_source(sources, "properties")(RECORD, NO_ITEM) == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("SKU", "item", id="the item first"),
        pytest.param("OrderId", "order", id="then the event"),
        pytest.param("Price", None, id="a null of the item ends the search"),
        pytest.param("Product.Name", "Mug", id="a path in the item"),
        pytest.param("Shop.City", "Oslo", id="a path in the event"),
    ],
)
def test_item_precedes_event(source, value):
    """Item is read before the event. A line has its own price; the order's number it shares."""
    item = {"SKU": "item", "Price": None, "Product": {"Name": "Mug"}}
    event = {"event_properties": {"SKU": "event", "OrderId": "order", "Price": 5, "Shop": {"City": "Oslo"}}}

    assert compile_source([source], "event_properties")(event, item) == value


@pytest.mark.parametrize(
    ("sources", "value"),
    [
        pytest.param(["blank", "Favourite Size"], "M", id="an empty text is passed over"),
        pytest.param(["spaces", "deep.blank", "deep.size"], "L", id="blanks, and at the end of a path"),
        pytest.param(["title"], "inside", id="an empty field leaves the word to the property"),
        pytest.param(["deep.title"], "deeper", id="also at the end of a path"),
        pytest.param(["blank", "nowhere", "null"], "", id="an empty text is the value where there is nothing else"),
        pytest.param(["zero", "Favourite Size"], 0, id="zero is there"),
        pytest.param(["false", "Favourite Size"], False, id="false is there"),
        pytest.param(["Price"], 5, id="an empty text of the item leaves the word to the event"),
        pytest.param(["Code"], None, id="a null of the item ends the search"),
        pytest.param(["list", "Favourite Size"], "M", id="an empty list is passed over"),
        pytest.param(["object", "Favourite Size"], "M", id="an empty object is passed over"),
        pytest.param(["nulls", "Favourite Size"], "M", id="a list of null is passed over"),
        pytest.param(["texts", "deep.list", "deep.size"], "L", id="a list of blanks, and at the end of a path"),
        pytest.param(["categories"], ["inside"], id="an empty list leaves the word to the property"),
        pytest.param(["list", "nowhere"], [], id="an empty list is the value where there is nothing else"),
        pytest.param(["zeros", "Favourite Size"], [0], id="a list of zero is there"),
    ],
)
def test_blank_text_hides_nothing(sources, value):
    """Shops write an empty text where they have nothing to say: what is there counts, wherever it stands."""
    record = {
        "title": "",
        "categories": [],
        "deep": {"title": "\u200b", "blank": " ", "size": "L", "list": [[]]},
        "properties": {
            "title": "inside",
            "deep": {"title": "deeper"},
            "deep.blank": "",
            "blank": "",
            "spaces": " \u00a0\ufeff",
            "list": [],
            "object": {},
            "nulls": [None, None],
            "texts": ["", " "],
            "zeros": [0],
            "categories": ["inside"],
            "null": None,
            "zero": 0,
            "false": False,
            "Favourite Size": "M",
            "Price": 5,
            "Code": "of the event",
        },
    }
    item = {"Price": " ", "Code": None} if sources[0] in {"Price", "Code"} else NO_ITEM

    assert compile_source(sources, "properties")(record, item) == value
    if item is NO_ITEM:
        assert compile_get(sources, "properties")(record, item) == value


@pytest.mark.parametrize("bag", [None, [], "text", 7], ids=repr)
@pytest.mark.parametrize("source", ["title", "location.city"])
def test_invalid_bag_is_skipped(bag, source):
    """An open object of another type is skipped.

    Klaviyo's ``properties`` is an object; a broken record is no reason to stop.
    """
    assert compile_source([source], "properties")({"properties": bag}, NO_ITEM) is None
