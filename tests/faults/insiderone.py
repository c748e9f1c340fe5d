"""Insider One's side of an ordeal: an account of the sandbox, and what its journal tells of events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN, Sandbox
from mishaps import APPLIED, refuse_unstorable
from singer_delivery.testing.account import Account
from singer_delivery.testing.deliveries import Deliveries, EventKey, Sent, deliveries_of
from singer_delivery.testing.ordeals import TargetOrdeal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from singer_delivery.testing.recording import Recording

FAULTS = Path(__file__).resolve().parent
ROOT = FAULTS.parent.parent
MAPPING = yaml.safe_load((ROOT / "target-insiderone/examples/klaviyo-default-mapping.yml").read_text())

LANES = 4


class InsiderOneAccount(Account):
    """What the sandbox holds on Insider One's side. An event: (id of Klaviyo's, Insider One's name, order line)."""

    command = (sys.executable, str(FAULTS / "struck_target.py"))

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def settings(self, data_dir: Path) -> dict[str, Any]:
        """Settings for small batches in four lanes."""
        return target_settings(self._sandbox, data_dir)

    def held(self) -> Mapping[str, Mapping[str, Any]]:
        """The users, by their identifiers."""
        return final_state(self._sandbox.users(exact=True))

    def held_twice(self) -> Sequence[EventKey]:
        """Events that stand there more than once."""
        return stored_twice(self._sandbox.users(exact=True))

    def deliveries(self) -> Deliveries:
        """Read the journal."""
        return deliveries_of(sent_in(self._sandbox.journal("insiderone", exact=True)))

    def requests(self) -> int:
        """Length of the journal."""
        return len(self._sandbox.journal("insiderone"))

    def calm(self) -> None:
        """Clear the faults; rows that cannot be stored stay so."""
        self._sandbox.clear_faults()
        refuse_unstorable(self._sandbox)


def target_ordeal(sandbox: Sandbox, folder: Path, recording: Recording, **settings: Any) -> TargetOrdeal:
    """Begin an ordeal of the target alone, with an empty account."""
    sandbox.reset()
    sandbox.quotas(None)
    refuse_unstorable(sandbox)
    return TargetOrdeal(InsiderOneAccount(sandbox), folder, recording, **settings)


def target_settings(sandbox: Sandbox, data_dir: Path, **settings: Any) -> dict[str, Any]:
    """Settings for small batches in four lanes."""
    return {
        "partner_name": PARTNER,
        "api_key": TOKEN,
        "api_url": sandbox.insiderone_url,
        "data_dir": str(data_dir),
        **MAPPING,
        "event_retention": "send",
        "batch_size_rows": 100,
        "max_parallel_requests": LANES,
        "request_timeout_seconds": 3,
        "max_retry_seconds": 60,
        "max_rejects": "1000",
        **settings,
    }


def final_state(users: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What Insider One holds in the end, without what depends on the order of requests: identifiers -> the rest."""
    return {
        exact_text(user["identifiers"]): {
            "attributes": exact_text(user["attributes"]),
            "events": sorted(
                exact_text([event["event_name"], event["timestamp"], event["event_params"]]) for event in user["events"]
            ),
        }
        for user in users
    }


def stored_twice(users: Sequence[Mapping[str, Any]]) -> list[EventKey]:
    """Events that Insider One holds more than once."""
    seen: set[EventKey] = set()
    twice: list[EventKey] = []
    for user in users:
        for event in user["events"]:
            key = key_of(event)
            if key in seen:
                twice.append(key)
            seen.add(key)
    return twice


def sent_in(journal: Sequence[Mapping[str, Any]]) -> Iterator[Sent]:
    """The requests of the journal (with exact numbers), and the events in those that have taken effect."""
    for entry in journal:
        fault = entry.get("fault")
        took_effect = fault in APPLIED or (fault is None and entry["status"] == 200)
        users = entry["body"]["users"] if took_effect else []
        events = [event for user in users for event in user.get("events", [])]
        texts = [(key_of(event), json.dumps(event, default=str)) for event in events]
        yield Sent(entry["n"], entry["headers"]["x-lane"], texts, lost=fault in APPLIED)


def key_of(event: Mapping[str, Any]) -> EventKey:
    """Identity of an event, whatever else it contains."""
    custom = event["event_params"]["custom"]
    return custom["klaviyo_event_id"], event["event_name"], custom.get("line", 0)


def exact_text(value: Any) -> str:
    """Write a value so that equal ones are equal texts; decimals keep their digits."""
    return json.dumps(value, sort_keys=True, default=str)
