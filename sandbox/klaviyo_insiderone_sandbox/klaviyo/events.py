"""The account's events and metrics, and walks over them."""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown
from klaviyo_insiderone_sandbox.exact_json import join_object, quoted
from klaviyo_insiderone_sandbox.klaviyo.ids import short_id
from klaviyo_insiderone_sandbox.klaviyo.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution
    from klaviyo_insiderone_sandbox.klaviyo.filters import Condition

Place = tuple[int, str]
"""Position of an event: (epoch second, id)."""

GREGORIAN_OFFSET = 0x01B21DD213814000
"""100-nanosecond ticks from 1582-10-15 to 1970-01-01, as version-1 UUIDs count."""


class Metric(Resource):
    """A kind of event."""

    __slots__ = ("integration", "name")

    def __init__(self, name: str, integration: str | None, created: int) -> None:
        self.name = name
        self.integration = integration
        """None marks a custom metric, which the API does not filter events by."""
        time = quoted(shown(created))
        given = {"name": quoted(name), "created": time, "updated": time, "integration": self._integration_text()}
        super().__init__(short_id(f"{name}\0{integration}", 6), given)

    def _integration_text(self) -> str:
        if self.integration is None:
            return "null"
        category = {"Klaviyo": "Internal", "API": "API"}.get(self.integration, "eCommerce")
        values = {
            "object": "integration",
            "id": short_id(f"integration {self.integration}", 6),
            "key": re.sub(r"[^a-z0-9]+", "_", self.integration.lower()),
            "name": self.integration,
            "category": category,
        }
        return join_object({name: quoted(value) for name, value in values.items()})


class Event:
    """An event of a person."""

    __slots__ = ("attributions", "metric", "place", "profile_id", "properties", "uuid", "visible_after")

    def __init__(
        self,
        place: Place,
        metric: Metric,
        profile_id: str,
        properties: str,
        *,
        uuid: str | None = None,
        visible_after: int | None = None,
        attributions: tuple[Attribution, ...] = (),
    ) -> None:
        self.place = place
        self.metric = metric
        self.profile_id = profile_id
        self.properties = properties
        """JSON text, exactly as given."""
        self.uuid = uuid or uuid_of(*place)
        self.visible_after = visible_after
        """Reads show the event from this instant on; None = always."""
        self.attributions = attributions


def uuid_of(second: int, event_id: str) -> str:
    """Make the version-1 style UUID whose time part is the event's time."""
    ticks = second * 10_000_000 + GREGORIAN_OFFSET
    node = zlib.crc32(event_id.encode())
    high = (ticks >> 48) & 0x0FFF
    return f"{ticks & 0xFFFFFFFF:08x}-{(ticks >> 32) & 0xFFFF:04x}-1{high:03x}-8001-{node:012x}"


place_of: Callable[[Event], Place] = attrgetter("place")


class EventLog:
    """Events in the order of (second, id), sorted when read after an addition."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._is_sorted = True

    def add(self, event: Event) -> None:
        """Add one event."""
        self._events.append(event)
        self._is_sorted = False

    def sorted(self) -> list[Event]:
        """Return all events, oldest first."""
        if not self._is_sorted:
            self._events.sort(key=place_of)
            self._is_sorted = True
        return self._events


class Events:
    """All events, also by metric and by profile."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every event."""
        self.by_id: dict[str, Event] = {}
        self._all = EventLog()
        self._by_metric: dict[str, EventLog] = {}
        self._by_profile: dict[str, EventLog] = {}
        self._profiles_indexed = 0
        self._some_hidden = False

    def add(self, event: Event) -> None:
        """Add one event."""
        self.by_id[event.place[1]] = event
        self._all.add(event)
        self._by_metric.setdefault(event.metric.id, EventLog()).add(event)
        self._some_hidden = self._some_hidden or event.visible_after is not None

    def replace(self, event: Event) -> None:
        """Replace an event by its id."""
        kept = [one for one in self.by_id.values() if one.place[1] != event.place[1]]
        self.clear()
        for one in [*kept, event]:
            self.add(one)

    def all(self) -> list[Event]:
        """Return every event, hidden ones included, oldest first."""
        return self._all.sorted()

    def _of_profile(self, profile_id: str) -> list[Event]:
        if self._profiles_indexed != len(self.by_id):
            self._by_profile = {}
            for event in self._all.sorted():
                self._by_profile.setdefault(event.profile_id, EventLog()).add(event)
            self._profiles_indexed = len(self.by_id)
        log = self._by_profile.get(profile_id)
        return log.sorted() if log else []

    def page(
        self,
        conditions: Sequence[Condition],
        cursor: Place | None,
        size: int,
        now: int,
        passes: Callable[[Event], bool] | None,
        *,
        descending: bool,
    ) -> tuple[list[Event], bool]:
        """Return one page of the events that meet all *conditions* and *passes*, and whether more follow."""
        rows, rest = self._candidates(conditions)
        low, high = time_slice(rows, rest)
        if cursor is not None and not descending:
            low = max(low, bisect_right(rows, cursor, key=place_of))
        elif cursor is not None:
            high = min(high, bisect_left(rows, cursor, key=place_of))
        places = range(high - 1, low - 1, -1) if descending else range(low, high)
        owner = next((condition.value for condition in rest if condition.field == "profile_id"), None)
        taken: list[Event] = []
        for place in places:
            event = rows[place]
            if self._some_hidden and event.visible_after is not None and event.visible_after > now:
                continue
            if (passes is not None and not passes(event)) or (owner is not None and event.profile_id != owner):
                continue
            if len(taken) == size:
                return taken, True
            taken.append(event)
        return taken, False

    def _candidates(self, conditions: Sequence[Condition]) -> tuple[list[Event], list[Condition]]:
        wanted = {condition.field: condition.value for condition in conditions}
        if "metric_id" in wanted:
            log = self._by_metric.get(wanted["metric_id"])
            return (log.sorted() if log else []), [one for one in conditions if one.field != "metric_id"]
        if "profile_id" in wanted:
            return self._of_profile(wanted["profile_id"]), [one for one in conditions if one.field != "profile_id"]
        return self._all.sorted(), list(conditions)


def time_slice(rows: Sequence[Event], conditions: Iterable[Condition]) -> tuple[int, int]:
    """Narrow sorted rows to the bounds on ``datetime`` and ``timestamp``; returns (low, high)."""
    low, high = 0, len(rows)
    for condition in conditions:
        if condition.field not in ("datetime", "timestamp"):
            continue
        floor, ceiling = condition.value // MICROSECONDS, -(-condition.value // MICROSECONDS)
        match condition.operator:
            case "greater-or-equal":
                low = max(low, bisect_left(rows, (ceiling, ""), key=place_of))
            case "greater-than":
                low = max(low, bisect_left(rows, (floor + 1, ""), key=place_of))
            case "less-than":
                high = min(high, bisect_left(rows, (ceiling, ""), key=place_of))
            case "less-or-equal":
                high = min(high, bisect_left(rows, (floor + 1, ""), key=place_of))
    return low, max(low, high)
