"""Klaviyo event -> Insider One events: metrics, lines, parameters, retention."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mapping_configs import settings_of
from singer_delivery.errors import Filtered, Rejected
from target_insiderone.mapping import compile_events
from target_insiderone.mapping.vocabulary import RETENTION_DAYS

NOON = 1_780_315_200.0
"""2026-06-01T12:00:00Z, in epoch seconds."""

DAY = 86_400


def column(source_field, parameter, **more):
    return {"source_field": source_field, "parameter": parameter, **more}


def event(metric="Placed Order", **more):
    record = {
        "id": "ev1",
        "metric_name": metric,
        "datetime": "2026-06-01T11:00:00+00:00",
        "profile_id": "01ADA",
        "profile": {"email": "ada@example.com"},
        "event_properties": {},
    }
    return {**record, **more}


def map_event(record, *mappings, now=NOON, **config):
    return compile_events(settings_of(event_mappings=list(mappings), **config))(record, now)


def only_event(record, *mappings, **config):
    (made,) = map_event(record, *mappings, **config).events
    return made[2]


VISIT = {"metric_name": "Visit", "event_type": "visit"}
PURCHASE = {
    "metric_name": "Placed Order",
    "event_type": "purchase",
    "for_each": "Items",
    "parameter_mappings": [
        column("OrderId", "event_group_id"),
        column("SKU", "product_id"),
        column("ItemPrice", "unit_sale_price", when="each"),
        column("$value", "unit_sale_price", when="whole"),
        column("Quantity", "quantity"),
        column("$value_currency", "currency"),
    ],
}


@pytest.mark.req("IN-26", "IN-27")
def test_event_is_composed():
    """Default parameters at the root, all others, and the Klaviyo event id, under ``custom``."""
    mapping = {
        **VISIT,
        "parameter_mappings": [column("page.url", "url"), column("$value", "order_value")],
        "fixed_parameters": [{"parameter": "shop", "value": "oslo"}],
    }
    record = event("Visit", event_properties={"page": {"url": "https://a.example"}, "$value": Decimal("0.10")})

    made = map_event(record, mapping, fixed_event_parameters=[{"parameter": "data_source", "value": "klaviyo"}])

    assert made.identifiers == {"email": "ada@example.com"}
    assert made.events == [
        (
            None,
            "visit",
            {
                "event_name": "visit",
                "timestamp": "2026-06-01T11:00:00Z",
                "event_params": {
                    "url": "https://a.example",
                    "custom": {
                        "order_value": Decimal("0.10"),
                        "data_source": "klaviyo",
                        "shop": "oslo",
                        "klaviyo_event_id": "ev1",
                    },
                },
            },
        )
    ]
    assert (made.rejected, made.filtered, made.notes) == ([], [], ())


@pytest.mark.req("IN-21", "IN-22")
@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        pytest.param("placed order", "'Placed Order'", id="other case"),
        pytest.param("Placed  Order ", "'Placed Order'", id="blanks"),
        pytest.param("Opened Email", "", id="another metric"),
        pytest.param(None, "", id="no metric"),
        pytest.param(["Placed Order"], "", id="no name at all"),
    ],
)
def test_metric_matches_exactly(metric, hint):
    """A near miss is filtered as well, and the hint names what is mapped."""
    with pytest.raises(Filtered) as left_out:
        map_event(event(metric), PURCHASE)

    assert left_out.value.reason == "unmapped_metric"
    assert hint in left_out.value.hint
    assert bool(left_out.value.hint) is bool(hint)


@pytest.mark.req("IN-24")
def test_empty_mapping_filters_every_event():
    """The flow may run before anything is mapped."""
    with pytest.raises(Filtered) as left_out:
        map_event(event())

    assert left_out.value.reason == "unmapped_metric"


@pytest.mark.req("IN-25")
def test_metrics_map_many_to_many():
    """Metrics and types are many to many. Two metrics may feed one type, and one metric several types."""
    mappings = [
        VISIT,
        {"metric_name": "Open", "event_type": "visit"},
        {"metric_name": "Visit", "event_type": "seen"},
    ]

    visited = map_event(event("Visit"), *mappings)
    opened = map_event(event("Open"), *mappings)

    assert [event_type for _, event_type, _ in visited.events] == ["visit", "seen"]
    assert [event_type for _, event_type, _ in opened.events] == ["visit"]


@pytest.mark.req("IN-28")
def test_order_makes_line_purchases():
    """Order makes one purchase per line.

    Equal lines differ by their number: Insider One stores identical events once.
    """
    line = {"SKU": "MUG", "ItemPrice": Decimal("12.50"), "Quantity": 1}
    record = event(event_properties={"OrderId": 1001, "$value_currency": "EUR", "$value": 30, "Items": [line, line]})

    made = map_event(record, PURCHASE)

    assert [number for number, _, _ in made.events] == [1, 2]
    assert [event_["event_params"] for _, _, event_ in made.events] == [
        {
            "event_group_id": "1001",
            "product_id": "MUG",
            "unit_sale_price": Decimal("12.50"),
            "quantity": 1,
            "currency": "EUR",
            "custom": {"klaviyo_event_id": "ev1", "line": number},
        }
        for number in (1, 2)
    ]


@pytest.mark.req("IN-28")
@pytest.mark.parametrize("items", [None, [], [None], [{}], "MUG", {"SKU": "MUG"}], ids=str)
def test_empty_order_makes_one_purchase(items):
    """Order without items makes one purchase. Its value stands for the whole order, and it has no line number."""
    record = event(event_properties={"OrderId": "1001", "$value": 30, "$value_currency": "EUR", "Items": items})

    made = only_event(record, PURCHASE)

    assert made["event_params"]["unit_sale_price"] == 30
    assert made["event_params"]["custom"] == {"klaviyo_event_id": "ev1"}


@pytest.mark.req("IN-28")
def test_priceless_line_is_rejected():
    """Line without a price is rejected alone.

    The order's total must not stand in for it, nor the other lines fall with it.
    """
    items = [{"SKU": "A", "ItemPrice": 5}, {"SKU": "B"}, {"SKU": "C", "ItemPrice": "free"}, "D", {"ItemPrice": 0}]
    record = event(event_properties={"$value": 30, "$value_currency": "EUR", "Items": items})

    made = map_event(record, PURCHASE)

    assert [line for line, _, _ in made.events] == [1, 5]
    assert [(line, event_type, why.code, why.field) for line, event_type, why in made.rejected] == [
        (2, "purchase", "missing_event_parameter", "unit_sale_price"),
        (3, "purchase", "missing_event_parameter", "unit_sale_price"),
        (4, "purchase", "item_is_no_object", "item"),
    ]
    assert ("not_a_number", "ItemPrice") in made.notes


@pytest.mark.req("IN-28")
@pytest.mark.parametrize(
    ("given", "default", "sent", "notes"),
    [
        pytest.param("EUR", "TRY", "EUR", (), id="the event's own"),
        pytest.param(None, "TRY", "TRY", (), id="the default"),
        pytest.param(None, None, None, (("currency_missing", "purchase"),), id="none at all is noted"),
    ],
)
def test_default_currency_fills_in(given, default, sent, notes):
    """A price without a currency cannot be summed."""
    record = event(event_properties={"$value": 30, "$value_currency": given})

    made = map_event(record, PURCHASE, default_currency=default)

    assert made.events[0][2]["event_params"].get("currency") == sent
    assert made.notes == notes


def test_default_currency_needs_purchase():
    """Default currency is for purchase like events only. A visit has no price."""
    assert "currency" not in only_event(event("Visit"), VISIT, default_currency="TRY")["event_params"]


@pytest.mark.req("IN-29")
@pytest.mark.parametrize("order_id", [None, {"id": 1}], ids=["missing", "unusable"])
def test_group_id_falls_back(order_id):
    """Event group id falls back to the event id. It is stable, so that a replay is the same event."""
    record = event(event_properties={"OrderId": order_id, "$value": 30, "$value_currency": "EUR"})

    assert only_event(record, PURCHASE)["event_params"]["event_group_id"] == "ev1"


@pytest.mark.req("IN-27")
def test_specific_row_wins():
    """Specific row wins over the common one and a fixed value over both.

    The narrower wish counts; where it finds nothing, nothing is sent.
    """
    common = [column("Anything", "a"), column("Anything", "b"), column("Anything", "c")]
    mapping = {
        **VISIT,
        "parameter_mappings": [column("Own", "a"), column("nowhere", "b")],
        "fixed_parameters": [{"parameter": "c", "value": "fixed"}],
    }
    record = event("Visit", event_properties={"Anything": "common", "Own": "own"})

    made = only_event(record, mapping, event_parameter_mappings=common)

    assert made["event_params"]["custom"] == {"a": "own", "c": "fixed", "klaviyo_event_id": "ev1"}


def test_unusable_parameter_is_noted_once():
    """Unusable parameter is left out and noted once.

    An optional parameter never costs the event; three lines with one flaw make one note.
    """
    items = [{"ItemPrice": 5, "Quantity": "many"}] * 3
    record = event(event_properties={"$value_currency": "EUR", "Items": items})

    made = map_event(record, PURCHASE)

    assert len(made.events) == 3
    assert made.notes == (("not_a_number", "Quantity"),)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param("2026-06-01T11:00:00+00:00", "2026-06-01T11:00:00Z", id="Klaviyo's form"),
        pytest.param("2026-06-01T11:00:00Z", "2026-06-01T11:00:00Z", id="with Z"),
        pytest.param("2026-06-01T14:00:00+03:00", "2026-06-01T11:00:00Z", id="with an offset"),
        pytest.param("2026-06-01 11:00:00", "2026-06-01T11:00:00Z", id="naive is UTC"),
        pytest.param("2026-06-01T11:00:00.500+00:00", "2026-06-01T11:00:00.500000Z", id="a fraction stays"),
    ],
)
def test_times_have_one_form(given, sent):
    """A time is written in one form. Insider One distinguishes events by their time: one moment, one string."""
    assert only_event(event("Visit", datetime=given), VISIT)["timestamp"] == sent


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        pytest.param({"id": None}, "missing_key", id="no id"),
        pytest.param({"id": {}}, "missing_key", id="an id that is no text"),
        pytest.param({"datetime": None}, "invalid_datetime", id="no time"),
        pytest.param({"datetime": "soon"}, "invalid_datetime", id="no time at all"),
        pytest.param({"datetime": "0001-01-01T00:00:00+03:00"}, "invalid_datetime", id="before the calendar"),
    ],
)
def test_incomplete_event_is_rejected(broken, code):
    """Event without id or time is rejected. A repeat of it could not be told."""
    with pytest.raises(Rejected) as refused:
        map_event(event("Visit", **broken), VISIT)

    assert refused.value.code == code


@pytest.mark.parametrize("event_type", [*RETENTION_DAYS, "visit"])
def test_expired_event_is_filtered(event_type):
    """Event older than Insider One keeps is filtered. It would be accepted there, and dropped without a word."""
    mapping = {**PURCHASE, "metric_name": "Visit", "event_type": event_type, "for_each": None}
    mapping["parameter_mappings"] = [column("$value", "unit_sale_price"), column("id", "event_group_id")]
    record = event("Visit", event_properties={"$value": 1})
    happened = NOON - 3_600
    kept = RETENTION_DAYS.get(event_type, 30) * DAY

    still = map_event(record, mapping, now=happened + kept, custom_event_retention_days=30)
    sent = map_event(record, mapping, now=happened + kept + 1, custom_event_retention_days=30, event_retention="send")
    with pytest.raises(Filtered) as left_out:
        map_event(record, mapping, now=happened + kept + 1, custom_event_retention_days=30)

    assert len(still.events) == len(sent.events) == 1
    assert left_out.value.reason == "retention"


def test_retention_is_per_type():
    """Retention filters one type and keeps the other.

    One metric may feed a purchase, kept two years, and a custom event, kept 90 days.
    """
    custom = {"metric_name": "Placed Order", "event_type": "ordered"}
    record = event(event_properties={"$value": 30, "$value_currency": "EUR"})

    made = map_event(record, PURCHASE, custom, now=NOON + 100 * DAY)

    assert [event_type for _, event_type, _ in made.events] == ["purchase"]
    assert [(line, event_type, why.reason) for line, event_type, why in made.filtered] == [
        (None, "ordered", "retention")
    ]


def test_future_event_follows_setting():
    """A future event is sent or skipped. Clocks of shops run ahead; the customer decides."""
    before = NOON - 2 * 3_600

    assert len(map_event(event("Visit"), VISIT, now=before).events) == 1
    with pytest.raises(Filtered) as left_out:
        map_event(event("Visit"), VISIT, now=before, future_events="skip")
    assert left_out.value.reason == "future_event"


@pytest.mark.parametrize(
    ("hours", "old"),
    [
        pytest.param(24, False, id="younger"),
        pytest.param(1, True, id="older"),
        pytest.param(0, False, id="switched off"),
    ],
)
def test_old_event_is_marked(hours, old):
    """It is sent in a separate request that starts no journey."""
    assert map_event(event("Visit"), VISIT, now=NOON + 3_600, skip_hook_older_than_hours=hours).old is old


BLANKS = ["", "  ", "\u200b", [], {}, [None], [""]]


@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
def test_blank_order_values_are_ignored(blank):
    """Blank order id and currency are none.

    An empty order id cost the order, an empty currency beat the default: what stands in for them counts.
    """
    rows = [
        {"source_field": ["OrderId", "$event_id"], "parameter": "event_group_id"},
        {"source_field": "$value", "parameter": "unit_sale_price"},
        {"source_field": "$value_currency", "parameter": "currency"},
        {"source_field": "Quantity", "parameter": "quantity", "transform": "default:1"},
    ]
    mapping = {"metric_name": "Placed Order", "event_type": "purchase", "parameter_mappings": rows}
    settings = settings_of(event_mappings=[mapping], default_currency="EUR")
    blanks = {"OrderId": blank, "$value": 5, "$value_currency": blank, "Quantity": blank}

    def parameters(**fields):
        event = {
            "id": "ev1",
            "metric_name": "Placed Order",
            "datetime": "2026-06-01T11:00:00+00:00",
            "profile": {"email": "ada@example.com"},
            "event_properties": {**blanks, **fields},
        }
        made = compile_events(settings)(event, NOON)
        assert made.notes == ()
        return {**made.events[0][2]["event_params"], "custom": None}

    own = {"unit_sale_price": 5, "currency": "EUR", "quantity": 1, "custom": None}
    assert parameters(**{"$event_id": "next"}) == {"event_group_id": "next", **own}
    assert parameters() == {"event_group_id": "ev1", **own}


@pytest.mark.parametrize("order_id", ["null", "N/A", "undefined", 0, "{{ order_id }}", "-", {"id": 1}], ids=str)
def test_placeholder_is_no_order(order_id):
    """Every order without a number became one line of the order `null`."""
    rows = [
        {"source_field": ["OrderId", "OrderNo"], "parameter": "event_group_id"},
        {"source_field": "$value", "parameter": "unit_sale_price"},
    ]
    mapping = {"metric_name": "Placed Order", "event_type": "purchase", "parameter_mappings": rows}

    def order_of(**more):
        record = event(event_properties={"OrderId": order_id, "$value": 5, **more})
        made = map_event(record, mapping, default_currency="EUR")
        return made.events[0][2]["event_params"]["event_group_id"], [field for _, field in made.notes]

    assert order_of(OrderNo="A-1") == ("A-1", [])
    assert order_of() == ("ev1", ["OrderId"])


@pytest.mark.parametrize("order_id", [1, "1", "#1", "Unknownsky", "x", "0001"], ids=repr)
def test_placeholder_like_order_is_kept(order_id):
    """Number of an order that resembles a placeholder is kept. The first order of a shop is number 1."""
    record = event(event_properties={"OrderId": order_id, "$value": 30, "$value_currency": "EUR"})

    assert only_event(record, PURCHASE)["event_params"]["event_group_id"] == str(order_id)


@pytest.mark.parametrize(
    ("fields", "parameter", "sent", "notes"),
    [
        pytest.param({"A": "abc", "B": "2"}, "quantity", 2, [], id="no number"),
        pytest.param({"A": "abc"}, "quantity", 1, [], id="the default"),
        pytest.param({"A": [], "B": "X"}, "product_id", "X", [], id="an empty list"),
        pytest.param({"A": [None], "B": ["X"]}, "taxonomy", ["X"], [], id="a list of null"),
        pytest.param({"A": {}, "$value": 7}, "unit_sale_price", 7, [], id="an empty object"),
        pytest.param({"A": "free", "$value": 7}, "unit_sale_price", 7, [], id="a price that is none"),
    ],
)
def test_first_usable_parameter_wins(fields, parameter, sent, notes):
    """Parameter takes the first source that can be used.

    What the first source holds is no reason to lose what the second knows.
    """
    transform = {"transform": "default:1"} if parameter == "quantity" else {}
    mapping = {**VISIT, "parameter_mappings": [column(["A", "B", "$value"], parameter, **transform)]}

    made = map_event(event("Visit", event_properties=fields), mapping)

    assert made.events[0][2]["event_params"][parameter] == sent
    assert list(made.notes) == notes


@pytest.mark.parametrize("number", [10**400, Decimal("1e400"), Decimal("1e-400")], ids=str)
def test_huge_number_costs_its_line(number):
    """Number beyond a double costs its line alone.

    In a price the line is rejected; anywhere else it is left out and noted.
    """
    mapping = {
        "metric_name": "Placed Order",
        "event_type": "purchase",
        "for_each": "Items",
        "parameter_mappings": [
            {"source_field": "OrderId", "parameter": "event_group_id"},
            {"source_field": "Price", "parameter": "unit_sale_price"},
            {"source_field": "Quantity", "parameter": "quantity"},
            {"source_field": "$value", "parameter": "order_value"},
        ],
    }
    event = {
        "id": "ev1",
        "metric_name": "Placed Order",
        "datetime": "2026-06-01T11:00:00+00:00",
        "profile": {"email": "ada@example.com"},
        "event_properties": {"$value": number, "Items": [{"Price": number}, {"Price": 5, "Quantity": number}]},
    }

    made = compile_events(settings_of(event_mappings=[mapping], default_currency="EUR"))(event, NOON)

    assert [(line, why.field) for line, _, why in made.rejected] == [(1, "unit_sale_price")]
    assert [(line, sent["event_params"].keys()) for line, _, sent in made.events] == [
        (2, {"unit_sale_price", "event_group_id", "currency", "custom"})
    ]
    assert "order_value" not in made.events[0][2]["event_params"]["custom"]
    assert {field for _, field in made.notes} == {"Price", "Quantity", "$value"}


@pytest.mark.parametrize("at", [1985, 20, "1985", "10121985", True, 10**400], ids=repr)
def test_invalid_time_rejects_event(at):
    """Time that is no moment rejects the event.

    Taken for an epoch, a year put the event into 1970, where retention lost it without a word.
    """
    settings = settings_of(event_mappings=[{"metric_name": "Visit", "event_type": "visit"}])
    event = {"id": "ev1", "metric_name": "Visit", "datetime": at, "profile": {"email": "ada@example.com"}}

    with pytest.raises(Rejected) as refused:
        compile_events(settings)(event, NOON)

    assert refused.value.code == "invalid_datetime"
