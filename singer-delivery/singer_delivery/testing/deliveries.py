"""Which event reached the API in which requests, as its journal tells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EventKey = tuple[Any, ...]
"""What tells one event from another; it begins with the id of the record of which it was made."""


class Delivery(NamedTuple):
    """An event in a request that took effect. *text*: its exact JSON; *lost*: the answer never came."""

    run: int
    lane: str
    request: int
    text: str
    lost: bool


@dataclass(frozen=True)
class Deliveries:
    """All events that requests brought. *last_request*: (run, lane) -> number of the last request."""

    by_event: Mapping[EventKey, Sequence[Delivery]]
    last_request: Mapping[tuple[int, str], int]

    def up_to(self, run: int) -> set[EventKey]:
        """The events that the runs up to *run* brought."""
        return {key for key, found in self.by_event.items() if any(one.run <= run for one in found)}

    def by_record(self) -> dict[str, frozenset[EventKey]]:
        """Id of a record -> the events made of it."""
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


class Sent(NamedTuple):
    """A request that reached the API. *lane*: its header (`points.LANE_HEADER`).

    *events*: (key, exact text) of each event that it brought, none where it has not taken effect. *lost*: it has, and
    its answer never came.
    """

    number: int
    lane: str
    events: Iterable[tuple[EventKey, str]]
    lost: bool


def deliveries_of(requests: Iterable[Sent]) -> Deliveries:
    """Gather what all requests brought, in their order."""
    by_event: dict[EventKey, list[Delivery]] = defaultdict(list)
    last_request: dict[tuple[int, str], int] = {}
    for sent in requests:
        run, _, lane = sent.lane.partition("/")
        last_request[int(run), lane] = sent.number
        for key, text in sent.events:
            by_event[key].append(Delivery(int(run), lane, sent.number, text, sent.lost))
    return Deliveries(by_event, last_request)
