"""Changes in the shop between the demo's two runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klaviyo_insiderone_sandbox.testing import Sandbox

TOUCHED, NEW_EVENTS, FLIPPED = 25, 40, 10
LATE_BY = timedelta(days=3)
FUTURE_BY = timedelta(days=2)
ADDRESS = re.compile(r"[^@\s]+@[a-z-]+\.[a-z]+")


@dataclass(frozen=True)
class Changes:
    """The ids of changed people and events, for the checks."""

    touched: Sequence[str]
    flipped: Sequence[str]
    new_events: Sequence[str]
    late_event: str
    future_event: str


def change_data(sandbox: Sandbox, at: datetime) -> Changes:
    """As of *at*, change people, withdraw consent, and add events, one late and one dated in the future.

    Only people with an email address, so that all of it should arrive in Insider One.
    """
    sandbox.clock(now=at.isoformat())
    people = [person["id"] for person in sandbox.klaviyo_profiles() if reachable(person)]
    touched, flipped, buyers = people[:TOUCHED], people[TOUCHED : TOUCHED + FLIPPED], people[-NEW_EVENTS:]
    sandbox.touch(touched, {"properties": {"Loyalty Tier": "gold"}})
    for profile_id in flipped:
        sandbox.consent(profile_id, "email", "UNSUBSCRIBED")
    orders = [order(buyer, at - timedelta(seconds=number), number) for number, buyer in enumerate(buyers)]
    late, future = order(buyers[0], at - LATE_BY, -1), order(buyers[0], at + FUTURE_BY, -2)
    *new, late_id, future_id = sandbox.add_events([*orders, late, future])
    sandbox.clock()
    return Changes(touched, flipped, new, late_id, future_id)


def reachable(person: dict[str, Any]) -> bool:
    """Whether a Klaviyo profile has a plausible email address."""
    return ADDRESS.fullmatch(person["attributes"]["email"] or "") is not None


def order(profile_id: str, at: datetime, number: int) -> dict[str, Any]:
    """One order of two lines: in Insider One, two purchases."""
    line = {"ProductID": "P-1", "ProductName": "Blue Teapot", "ItemPrice": 24.5, "Quantity": 1}
    properties = {
        "OrderId": f"DEMO-{number}",
        "Items": [line, {**line, "ProductID": "P-2", "ProductName": "Oak Tray", "ItemPrice": 12}],
        "$value": 36.5,
        "$value_currency": "EUR",
        "$event_id": f"DEMO-{number}",
    }
    moment = at.astimezone(UTC).isoformat()
    return {"metric": "Placed Order", "integration": "Shopify", "profile_id": profile_id, "datetime": moment} | {
        "properties": properties,
        "touch": False,
    }
