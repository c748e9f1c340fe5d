"""The Toybox: the API that the README's target delivers to, and what the harness has to know of it."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_delivery.testing.account import Account
from singer_delivery.testing.deliveries import Deliveries, EventKey, Sent, deliveries_of
from singer_delivery.testing.recording import Key, Record, Recording
from singer_delivery.testing.stand_in import APPLIED, effective

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from singer_delivery.testing.stand_in import StandIn

STRUCK = Path(__file__).resolve().parent / "struck_toybox.py"

NOWHERE = "nowhere"
"""A street that makes the API refuse a row, by its position."""

UNSTORABLE = "unstorable"
"""A street that makes it answer 400 to the whole request."""

SCHEMAS = {
    "people": {"id": {"type": "string"}, "email": {"type": ["null", "string"]}, "street": {"type": "string"}},
    "orders": {"id": {"type": "string"}, "person_id": {"type": "string"}, "street": {"type": "string"}},
}


class Toybox:
    """Keeps the last row of each person, and every order that is not byte by byte one that it has."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self.orders: dict[str, list[str]] = defaultdict(list)
        self.unknown_streets = {NOWHERE}
        self.strange_answer: Any = None

    def respond(self, _method: str, path: str, body: Any) -> tuple[int, Any]:
        """Take rows: all but those that it refuses."""
        if self.strange_answer is not None:
            return 200, self.strange_answer
        refused = {}
        if any(row.get("street") == UNSTORABLE for row in body["rows"]):
            return 400, {"error": "a row cannot be stored"}
        for place, row in enumerate(body["rows"]):
            text = json.dumps(row)
            if row.get("street") in self.unknown_streets:
                refused[str(place)] = "no such street"
            elif path == "/people":
                self.people[row["id"]] = text
            elif text not in self.orders[row["id"]]:
                self.orders[row["id"]].append(text)
        return 200, {"refused": refused}


class ToyboxAccount(Account):
    """*file*: the target's."""

    def __init__(self, toybox: Toybox, api: StandIn, file: Path) -> None:
        self.command = (sys.executable, str(STRUCK), str(file))
        self._toybox = toybox
        self._api = api

    def settings(self, data_dir: Path) -> dict[str, Any]:
        """Batches of ten rows in four lanes."""
        return settings(self._api, data_dir, batch_size_rows=10, max_parallel_requests=4, max_rejects="1000")

    def held(self) -> Mapping[str, Mapping[str, Any]]:
        """People and orders."""
        people = {key: {"row": row} for key, row in self._toybox.people.items()}
        return people | {key: {"rows": rows} for key, rows in self._toybox.orders.items()}

    def held_twice(self) -> Sequence[EventKey]:
        """Orders that it has in two forms."""
        return [(key,) for key, rows in self._toybox.orders.items() if len(rows) > 1]

    def deliveries(self) -> Deliveries:
        """The orders, according to the journal."""
        return deliveries_of(self._sent())

    def _sent(self) -> Iterator[Sent]:
        applied = effective(self._api.journal)
        for seen in self._api.journal:
            rows = seen.body["rows"] if seen in applied and seen.path == "/orders" else []
            texts = [((row["id"],), json.dumps(row)) for row in rows if row["street"] != NOWHERE]
            yield Sent(seen.number, seen.lane, texts, lost=seen.fault in APPLIED)

    def requests(self) -> int:
        """Length of the journal."""
        return len(self._api.journal)

    def calm(self) -> None:
        """Clear the faults."""
        self._api.clear_faults()


def settings(api: StandIn, data_dir: Path, **more: Any) -> dict[str, Any]:
    """Settings that are quick to give up."""
    patience = {"request_timeout_seconds": 3, "max_retry_seconds": 20}
    return {"api_url": api.url, "data_dir": str(data_dir), **patience, **more}


def record_toys() -> Recording:
    """A hundred people, three hundred orders, and some people once more; good and bad."""
    records = [
        *map(_person, range(100)),
        *map(_order, range(300)),
        *(_person(number, 1) for number in range(0, 100, 4)),
    ]
    bad = frozenset(key for stream, record in records if (key := _bad(stream, record)))
    return Recording(records, SCHEMAS, bad, state_every=40)


def _person(number: int, version: int = 0) -> tuple[str, Record]:
    email = f"p{number}@toys.example" if number % 30 != 7 else None
    return "people", {"id": f"P{number:03}", "email": email, "street": f"{number} Main Street, {version}"}


def _order(number: int) -> tuple[str, Record]:
    street = {11: NOWHERE, 53: UNSTORABLE}.get(number % 90, "1 Long Lane")
    return "orders", {"id": f"O{number:03}", "person_id": f"P{number * 7 % 100:03}", "street": street}


def _bad(stream: str, record: Record) -> Key | None:
    is_bad = record["street"] in {NOWHERE, UNSTORABLE} or (stream == "people" and not record["email"])
    return (stream, record["id"]) if is_bad else None


def person(number: int, **more: Any) -> dict[str, Any]:
    """A RECORD of people."""
    row = {"id": f"P{number}", "email": f"p{number}@toys.example", "street": "1 Main Street", **more}
    return {"type": "RECORD", "stream": "people", "record": row}


def order(number: int, **more: Any) -> dict[str, Any]:
    """A RECORD of orders."""
    row = {"id": f"O{number}", "person_id": "P1", "street": "1 Main Street", **more}
    return {"type": "RECORD", "stream": "orders", "record": row}


PEOPLE, ORDERS = (
    {"type": "SCHEMA", "stream": stream, "schema": {"properties": properties}, "key_properties": ["id"]}
    for stream, properties in SCHEMAS.items()
)


def state(position: int) -> dict[str, Any]:
    """A STATE."""
    return {"type": "STATE", "value": {"position": position}}
