"""Singer messages for the tests: small profiles and orders, their SCHEMA, STATE."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

PROFILE_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "email": {"type": ["null", "string"]},
        "phone_number": {"type": ["null", "string"]},
        "first_name": {"type": ["null", "string"]},
        "updated": {"type": ["null", "string"], "format": "date-time"},
        "properties": {"type": ["null", "object"]},
        "subscriptions": {"type": ["null", "object"]},
    },
}
EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "datetime": {"type": ["null", "string"], "format": "date-time"},
        "metric_name": {"type": ["null", "string"]},
        "profile_id": {"type": ["null", "string"]},
        "profile": {"type": ["null", "object"]},
        "event_properties": {"type": ["null", "object"]},
    },
}
SCHEMAS = {"profiles": PROFILE_SCHEMA, "subscription_changes": PROFILE_SCHEMA, "events": EVENT_SCHEMA}

MAPPING = {
    "identifier_mappings": [
        {"identifier_type": "email", "source_field": "email"},
        {"identifier_type": "phone_number", "source_field": "phone_number"},
    ],
    "attribute_mappings": [
        {"source_field": "first_name", "attribute": "name"},
        {"source_field": "properties.tier", "attribute": "tier"},
        {"source_field": "subscriptions.email.marketing", "attribute": "email_optin", "transform": "consent"},
        {"source_field": "subscriptions.sms.marketing", "attribute": "sms_optin", "transform": "consent"},
    ],
    "event_mappings": [
        {
            "metric_name": "Placed Order",
            "event_type": "purchase",
            "for_each": "Items",
            "parameter_mappings": [
                {"source_field": "OrderId", "parameter": "event_group_id"},
                {"source_field": ["ItemPrice", "$value"], "parameter": "unit_sale_price"},
                {"source_field": "Quantity", "parameter": "quantity"},
                {"source_field": "$value_currency", "parameter": "currency"},
            ],
        },
        {"metric_name": "Viewed Product", "event_type": "product_detail_page_view"},
    ],
}


def hours_ago(hours: float) -> str:
    """A moment before now, as Klaviyo writes it."""
    return (datetime.now(tz=UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")


def schema(stream: str, key: str = "id") -> dict[str, Any]:
    """The SCHEMA message of a stream."""
    return {"type": "SCHEMA", "stream": stream, "schema": SCHEMAS[stream], "key_properties": [key]}


def record(stream: str, fields: dict[str, Any], read_at: str = "2026-06-01T10:00:00Z") -> dict[str, Any]:
    """A RECORD message."""
    return {"type": "RECORD", "stream": stream, "record": fields, "time_extracted": read_at}


def state(value: Any) -> dict[str, Any]:
    """A STATE message."""
    return {"type": "STATE", "value": {"bookmarks": value}}


def profile(number: int, **fields: Any) -> dict[str, Any]:
    """A small profile."""
    return {"id": f"P{number}", "email": f"person{number}@shop.example", "first_name": f"Name {number}", **fields}


def order(number: int, items: int = 1, **fields: Any) -> dict[str, Any]:
    """A Placed Order of an hour ago with *items* lines."""
    lines = [{"ItemPrice": 10.5 + line, "Quantity": line + 1} for line in range(items)]
    return {
        "id": f"E{number}",
        "datetime": hours_ago(1),
        "metric_name": "Placed Order",
        "profile_id": f"P{number}",
        "profile": {"email": f"person{number}@shop.example"},
        "event_properties": {"OrderId": f"O-{number}", "$value": 30, "$value_currency": "EUR", "Items": lines},
        **fields,
    }
