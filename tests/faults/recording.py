"""A recorded shop: some thousand records of all three flows, good and bad."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from singer_delivery.testing.plans import dice
from singer_delivery.testing.recording import Key, Record, Recording

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

UNSTORABLE = "unstorable"
"""Part of the addresses that the sandbox is told to refuse with a 400 that names no row."""

UNMAPPED = "Opened Parcel"
"""A metric that the mapping leaves out: filtered."""

SCHEMAS: dict[str, Record] = {
    "profiles": {
        "id": {"type": "string"},
        "email": {"type": ["null", "string"]},
        "phone_number": {"type": ["null", "string"]},
        "first_name": {"type": ["null", "string"]},
        "updated": {"type": ["null", "string"], "format": "date-time"},
        "properties": {"type": ["null", "object"]},
        "subscriptions": {"type": ["null", "object"]},
    },
    "events": {
        "id": {"type": "string"},
        "datetime": {"type": ["null", "string"], "format": "date-time"},
        "metric_name": {"type": ["null", "string"]},
        "profile_id": {"type": ["null", "string"]},
        "profile": {"type": ["null", "object"]},
        "event_properties": {"type": ["null", "object"]},
    },
}
SCHEMAS["subscription_changes"] = SCHEMAS["profiles"]


REACH = {
    "reading_input": (4_000, 400),
    "before_intent": (20, 4),
    "ledger_uncommitted": (40, 6),
    "intent_noted": (20, 4),
    "request_half_sent": (30, 5),
    "answer_waiting": (30, 5),
    "answer_half_read": (30, 5),
    "answer_read": (30, 5),
    "part_answered": (60, 4),
    "outcome_noted": (30, 5),
    "rejects_half_written": (3, 1),
    "rejects_written": (3, 1),
    "before_state": (3, 1),
    "state_half_written": (3, 1),
}
"""Point -> up to which time it is struck: in a run from the beginning, and in one that resumes late."""

WHOLE_BATCHES = {point: reach for point, reach in REACH.items() if point != "part_answered"}
"""Those that are reached where no batch is bisected."""


def record_shop(
    seed: int, *, people: int = 1_200, events: int = 3_600, state_every: int = 100, unstorable: bool = False
) -> Recording:
    """Make up a shop: everybody's profile, orders and views, some profiles again, then changes of consent.

    *unstorable*: among them are people whose rows the sandbox refuses (:func:`mishaps.refuse_unstorable`).
    """
    chance = dice(seed)
    now = datetime.now(UTC).replace(microsecond=0)
    records: list[tuple[str, Record]] = []
    bad: set[Key] = set()
    for stream, record, is_bad in _all(chance, now, people, events):
        named, is_refused = _unstorable(record) if unstorable else (record, False)
        records.append((stream, named))
        if is_bad or is_refused:
            bad.add((stream, named["id"]))
    return Recording(records, SCHEMAS, frozenset(bad), state_every)


def _all(chance: random.Random, now: datetime, people: int, events: int) -> Iterator[tuple[str, Record, bool]]:
    for number in range(people):
        yield "profiles", *_profile(number, version=0)
    for number in range(events):
        yield "events", *_event(number, chance.randrange(people), chance, now)
    for number in chance.sample(range(people), people // 4):
        yield "profiles", *_profile(number, version=1)
    for number in chance.sample(range(people), people // 8):
        record, is_bad = _profile(number, version=2)
        record["subscriptions"] = {"email": {"marketing": _consent("UNSUBSCRIBED", number)}}
        yield "subscription_changes", record, is_bad


def _profile(number: int, version: int) -> tuple[Record, bool]:
    """One profile, and whether it is bad."""
    record = {
        "id": f"P{number:05}",
        "email": _email(number),
        "phone_number": f"+9053{number:08}" if number % 3 else None,
        "first_name": f"Name {number}.{version}",
        "updated": "2026-05-30T08:00:00+00:00",
        "properties": {"tier": ["gold", "iron", ""][number % 3], "visits": number * 7, "tags": ["a", f"v{version}"]},
        "subscriptions": {"email": {"marketing": _consent("SUBSCRIBED", number)}},
    }
    match number % 97:
        case 11:
            return {**record, "first_name": {"given": "Ada"}}, True
        case 23:
            return {**record, "updated": "not-a-date"}, True
        case 31:
            return {**record, "email": "no address", "phone_number": "0000"}, True
        case _:
            return record, False


def _event(number: int, person: int, chance: random.Random, now: datetime) -> tuple[Record, bool]:
    """One event, and whether it is bad, even if only in one line."""
    record = {
        "id": f"E{number:06}",
        "datetime": (now - timedelta(minutes=chance.randrange(10, 3 * 24 * 60))).isoformat(),
        "metric_name": "Viewed Product",
        "profile_id": f"P{person:05}",
        "profile": {"email": _email(person)},
        "event_properties": {"ProductID": f"SKU-{number % 50}", "Price": number % 90 + 0.1},
    }
    if number % 4 == 0:
        lines = [
            {"ProductID": f"SKU-{line}", "ItemPrice": 10.25 + line, "Quantity": line + 1}
            for line in range(number % 3 + 1)
        ]
        record |= {
            "metric_name": "Placed Order",
            "event_properties": {"OrderId": f"O-{number}", "$value_currency": "EUR", "Items": lines},
        }
        if number % 120 == 8:  # three lines, one of them without a price
            del lines[1]["ItemPrice"]
            return record, True
    match number % 101:
        case 7:
            return {**record, "datetime": "yesterday"}, True
        case 19:
            return {**record, "profile": {"email": "no address"}}, True
        case 43:
            return {**record, "metric_name": UNMAPPED}, False
        case _:
            return record, False


def _email(number: int) -> str:
    return f"person{number}@shop.example"


def _unstorable(record: Record) -> tuple[Record, bool]:
    """Every 400th person gets an address that the sandbox refuses; also told is whether a request is made of it."""
    person: str = record.get("profile_id") or record["id"]
    if int(person[1:]) % 400 != 250:
        return record, False
    renamed: Record = json.loads(json.dumps(record).replace('"person', f'"{UNSTORABLE}'))
    return renamed, record.get("metric_name") != UNMAPPED


def _consent(consent: str, number: int) -> Record:
    return {"consent": consent, "consent_timestamp": f"2026-05-{number % 28 + 1:02}T10:00:00+00:00"}
