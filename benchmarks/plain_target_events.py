"""The yardstick for loading events: read Singer lines, map the shop's metrics, post batches of 1,000 users in turn.

plain_target_events.py BASE_URL PARTNER TOKEN [METRIC] < in.jsonl      needs requests and orjson. Prints seconds and
records/s to stderr. With a METRIC, all others are passed over. Like its model ``plain_target.py`` it does what any
loader must (read, map, encode, post), and nothing else: no validation, no ledger, no retry, no account of what became
of a record.
"""

import sys
import time
from typing import Any

import orjson
import requests

USERS_PER_REQUEST = 1_000

NAMES = {
    "Placed Order": "purchase",
    "Started Checkout": "checkout_page_view",
    "Added to Cart": "item_added_to_cart",
    "Viewed Product": "product_detail_page_view",
    "Active on Site": "active_on_site",
    "Fulfilled Order": "fulfilled_order",
    "Cancelled Order": "cancelled_order",
    "Refunded Order": "refunded_order",
    "Received Email": "klaviyo_received_email",
    "Opened Email": "klaviyo_opened_email",
    "Clicked Email": "klaviyo_clicked_email",
}
"""Metric -> event; the metrics of the shipped mapping that the sandbox's shop has. Other metrics are passed over."""

PER_LINE = {"purchase", "checkout_page_view"}
"""Events made once for each order line."""

COLUMNS = {
    "product_id": ("ProductID", "AddedItemProductID"),
    "name": ("ProductName", "AddedItemProductName"),
    "taxonomy": ("Categories", "AddedItemCategories"),
    "url": ("ProductURL", "URL", "AddedItemURL", "page"),
    "product_image_url": ("ImageURL", "AddedItemImageURL"),
    "unit_price": ("ItemPrice", "Price", "AddedItemPrice"),
    "unit_sale_price": ("ItemPrice", "Price", "AddedItemPrice"),
    "quantity": ("Quantity", "AddedItemQuantity"),
}
"""Parameter -> the properties that may hold it."""


def parameters(event_id: str, properties: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Map one order line, or a whole event."""
    found = {name: line[key] for name, keys in COLUMNS.items() for key in keys if key in line}
    found["event_group_id"] = properties.get("OrderId", event_id)
    found["currency"] = properties.get("$value_currency", "EUR")
    found["custom"] = {"klaviyo_event_id": event_id, "order_value": properties.get("$value")}
    return found


def user(record: dict[str, Any], name: str) -> dict[str, Any]:
    """Map one record to one user with its events."""
    properties, profile = record["event_properties"], record["profile"]
    lines = (properties.get("Items") if name in PER_LINE else None) or [properties]
    return {
        "identifiers": {
            kind: profile[key]
            for kind, key in (("email", "email"), ("phone_number", "phone_number"), ("uuid", "external_id"))
            if profile.get(key)
        },
        "events": [
            {
                "event_name": name,
                "timestamp": record["datetime"],
                "event_params": parameters(record["id"], properties, line),
            }
            for line in lines
        ],
    }


def main() -> None:
    """Load standard input."""
    base, partner, token, *metrics = sys.argv[1:]
    names = {metric: NAMES[metric] for metric in metrics or NAMES}
    http = requests.Session()
    http.headers.update({"X-PARTNER-NAME": partner, "X-REQUEST-TOKEN": token, "Content-Type": "application/json"})
    batch: list[dict[str, Any]] = []

    def flush() -> None:
        answer = http.post(f"{base}/api/user/v1/upsert", data=orjson.dumps({"users": batch})).json()
        if answer["data"]["successful"]["count"] != len(batch):
            raise SystemExit(f"refused: {answer}")
        batch.clear()

    count, start = 0, time.perf_counter()
    for text in sys.stdin.buffer:
        message = orjson.loads(text)
        if message["type"] != "RECORD":
            continue
        count += 1
        record = message["record"]
        name = names.get(record["metric_name"])
        if name is not None:
            batch.append(user(record, name))
            if len(batch) == USERS_PER_REQUEST:
                flush()
    if batch:
        flush()
    seconds = time.perf_counter() - start
    print(f"events: {count} records in {seconds:.2f} s, {count / seconds:.0f}/s", file=sys.stderr)


if __name__ == "__main__":
    main()
