"""Which event reached the API in which requests, according to its journal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EventKey = tuple[Any, ...]
"""Identity of an event; it starts with the id of the record it was made from."""


class Delivery(NamedTuple):
    """An event in a request that took effect. *text*: its exact JSON; *lost*: the answer was lost."""

    run: int
    lane: str
    request: int
    text: str
    lost: bool


@dataclass(frozen=True)
class Deliveries:
    """All events in requests. *last_request*: (run, lane) -> number of the last request."""

    by_event: Mapping[EventKey, Sequence[Delivery]]
    last_request: Mapping[tuple[int, str], int]

    def up_to(self, run: int) -> set[EventKey]:
        """The events delivered by the runs up to *run*."""
        return {key for key, found in self.by_event.items() if any(one.run <= run for one in found)}

    def by_record(self) -> dict[str, frozenset[EventKey]]:
        """Id of a record -> the events made from it."""
        keys: dict[str, set[EventKey]] = defaultdict(set)
        for key in self.by_event:
            keys[key[0]].add(key)
        return {record: frozenset(made) for record, made in keys.items()}

    def doubled(self, unfinished: frozenset[int]) -> list[EventKey]:
        """Events delivered again without a valid reason, or with other bytes.

        Valid reasons: the answer was lost, or the request was its lane's last one in one of the *unfinished* runs, so
        that it may have been in flight when the run was killed.
        """
        return [
            key
            for key, found in self.by_event.items()
            if any(not (one.lost or self._may_have_been_under_way(one, unfinished)) for one in found[:-1])
            or len({one.text for one in found}) > 1
        ]

    def repeated(self, run: int) -> set[EventKey]:
        """Events delivered by an earlier run and again by *run*."""
        return {
            key
            for key, found in self.by_event.items()
            if any(one.run == run for one in found) and any(one.run < run for one in found)
        }

    def repeated_within(self, run: int) -> set[EventKey]:
        """Events that *run* itself sent more than once, because an answer was lost."""
        return {key for key, found in self.by_event.items() if sum(one.run == run for one in found) > 1}

    def _may_have_been_under_way(self, one: Delivery, unfinished: frozenset[int]) -> bool:
        return one.run in unfinished and self.last_request[one.run, one.lane] == one.request


class Sent(NamedTuple):
    """A request that reached the API. *lane*: its header (`points.LANE_HEADER`).

    *events*: (key, exact JSON) of each event in it; empty if it did not take effect. *lost*: it took effect, but its
    answer was lost.
    """

    number: int
    lane: str
    events: Iterable[tuple[EventKey, str]]
    lost: bool


def deliveries_of(requests: Iterable[Sent]) -> Deliveries:
    """Collect the events of all requests, in order."""
    by_event: dict[EventKey, list[Delivery]] = defaultdict(list)
    last_request: dict[tuple[int, str], int] = {}
    for sent in requests:
        run, _, lane = sent.lane.partition("/")
        last_request[int(run), lane] = sent.number
        for key, text in sent.events:
            by_event[key].append(Delivery(int(run), lane, sent.number, text, sent.lost))
    return Deliveries(by_event, last_request)
