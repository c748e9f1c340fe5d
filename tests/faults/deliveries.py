"""Which event reached Insider One in which requests, as the sandbox's journal tells."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mishaps import APPLIED
from points import LANE_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EventKey = tuple[str, str, int]
"""(id of the Klaviyo event, Insider One's name, number of the order line)."""


class Delivery(NamedTuple):
    """An event in a request that took effect. *text*: its exact JSON; *lost*: the answer never came."""

    run: int
    lane: str
    request: int
    text: str
    lost: bool


@dataclass(frozen=True)
class Deliveries:
    """All events that requests brought to Insider One. *last_request*: (run, lane) -> number of the last request."""

    by_event: Mapping[EventKey, Sequence[Delivery]]
    last_request: Mapping[tuple[int, str], int]

    def up_to(self, run: int) -> set[EventKey]:
        """The events that the runs up to *run* brought."""
        return {key for key, found in self.by_event.items() if any(one.run <= run for one in found)}

    def by_record(self) -> dict[str, frozenset[EventKey]]:
        """Id of a Klaviyo event -> the Insider One events made of it."""
        keys: dict[str, set[EventKey]] = defaultdict(set)
        for key in self.by_event:
            keys[key[0]].add(key)
        return {record: frozenset(made) for record, made in keys.items()}

    def doubled(self, unfinished: frozenset[int]) -> list[EventKey]:
        """Events delivered again without excuse, or with other bytes.

        The excuses: the answer never came, or the request was its lane's last one in one of the *unfinished* runs, so
        that it may have been under way when the run was killed.
        """
        return [
            key
            for key, found in self.by_event.items()
            if any(not (one.lost or self._may_have_been_under_way(one, unfinished)) for one in found[:-1])
            or len({one.text for one in found}) > 1
        ]

    def repeated(self, run: int) -> set[EventKey]:
        """Events that an earlier run brought and *run* brought again."""
        return {
            key
            for key, found in self.by_event.items()
            if any(one.run == run for one in found) and any(one.run < run for one in found)
        }

    def repeated_within(self, run: int) -> set[EventKey]:
        """Events that *run* itself sent more than once, since an answer never came."""
        return {key for key, found in self.by_event.items() if sum(one.run == run for one in found) > 1}

    def _may_have_been_under_way(self, one: Delivery, unfinished: frozenset[int]) -> bool:
        return one.run in unfinished and self.last_request[one.run, one.lane] == one.request


def deliveries_of(journal: Sequence[Mapping[str, Any]]) -> Deliveries:
    """Read the journal of Insider One's side (with exact numbers)."""
    by_event: dict[EventKey, list[Delivery]] = defaultdict(list)
    last_request: dict[tuple[int, str], int] = {}
    for entry in journal:
        run, _, lane = entry["headers"][LANE_HEADER].partition("/")
        last_request[int(run), lane] = entry["n"]
        fault = entry.get("fault")
        if fault not in APPLIED and (fault is not None or entry["status"] != 200):
            continue
        for user in entry["body"]["users"]:
            for event in user.get("events", []):
                delivery = Delivery(int(run), lane, entry["n"], json.dumps(event, default=str), fault in APPLIED)
                by_event[key_of(event)].append(delivery)
    return Deliveries(by_event, last_request)


def key_of(event: Mapping[str, Any]) -> EventKey:
    """What tells one event from another, whatever else it holds."""
    custom = event["event_params"]["custom"]
    return custom["klaviyo_event_id"], event["event_name"], custom.get("line", 0)


def exact_text(value: Any) -> str:
    """Write a value so that equal ones are equal texts; decimals keep their digits."""
    return json.dumps(value, sort_keys=True, default=str)
