"""The account's profiles, and walks over them."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, instant_of
from klaviyo_insiderone_sandbox.klaviyo.filters import COMPARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.filters import Condition

SortKey = tuple[Any, ...]

SUPPRESSION = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"

LOCATION_FIELDS = (
    "address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip",
)  # fmt: skip
PROFILE_FIELDS = (
    "email", "phone_number", "external_id", "anonymous_id", "first_name", "last_name", "organization", "locale",
    "title", "image", "created", "updated", "last_event_date", "location", "properties",
)  # fmt: skip
PREDICTIVE_FIELDS = (
    "historic_clv", "predicted_clv", "total_clv", "historic_number_of_orders", "predicted_number_of_orders",
    "average_days_between_orders", "average_order_value", "churn_probability", "expected_date_of_next_order",
    "ranked_channel_affinity",
)  # fmt: skip


class Profile:
    """One person."""

    __slots__ = ("attributes", "created", "id", "last_event_second", "subscriptions", "updated")

    def __init__(self, profile_id: str, created: int) -> None:
        self.id = profile_id
        self.attributes: dict[str, str] = {}
        """Name -> JSON text, exactly as given."""
        self.subscriptions: str | None = None
        """JSON text; None = never consented to anything."""
        self.created = created
        self.updated = created
        self.last_event_second: int | None = None

    def value(self, name: str) -> Any:
        """Decode one attribute; None when it is not given."""
        text = self.attributes.get(name)
        return None if text is None else msgspec.json.decode(text)

    def email_suppressions(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of ``suppression`` or ``list_suppressions``."""
        if self.subscriptions is None:
            return []
        found: list[dict[str, Any]] = msgspec.json.decode(self.subscriptions)["email"]["marketing"][kind]
        return found


def suppression_key(kind: str) -> Callable[[Profile], SortKey]:
    """Sort by the oldest suppression; profiles without one come last."""

    def key(profile: Profile) -> SortKey:
        times = [instant_of(one["timestamp"]) for one in profile.email_suppressions(kind)]
        return (0, min(times), profile.id) if times else (1, 0, profile.id)

    return key


def email_key(profile: Profile) -> SortKey:
    """Sort by e-mail; profiles without one come last."""
    email = profile.value("email")
    return (1, "", profile.id) if email is None else (0, email, profile.id)


SORT_KEYS: Mapping[str, Callable[[Profile], SortKey]] = {
    "id": lambda profile: (profile.id,),
    "created": lambda profile: (profile.created, profile.id),
    "updated": lambda profile: (profile.updated, profile.id),
    "email": email_key,
    f"{SUPPRESSION}.timestamp": suppression_key("suppression"),
    f"{LIST_SUPPRESSIONS}.timestamp": suppression_key("list_suppressions"),
}


def meets(profile: Profile, condition: Condition, grain: int) -> bool:
    """Return whether a profile meets one condition; its times are compared in whole *grain* (microseconds)."""
    name, value = condition.field, condition.value
    if name in ("created", "updated"):
        return COMPARE[condition.operator](getattr(profile, name) // grain * grain, value)
    for prefix, kind in ((f"{LIST_SUPPRESSIONS}.", "list_suppressions"), (f"{SUPPRESSION}.", "suppression")):
        if name.startswith(prefix):
            return any(
                meets_suppression(one, name.removeprefix(prefix), condition) for one in profile.email_suppressions(kind)
            )
    if name == "_kx":
        return False
    found = profile.id if name == "id" else profile.value(name)
    return found in value if condition.operator == "any" else bool(found == value)


def meets_suppression(entry: Mapping[str, Any], member: str, condition: Condition) -> bool:
    """Return whether one suppression meets a condition on ``reason``, ``list_id`` or ``timestamp``."""
    if member == "timestamp":
        return COMPARE[condition.operator](instant_of(entry["timestamp"]), condition.value)
    return bool(entry[member] == condition.value)


class Profiles:
    """All profiles, with sorted views that are refreshed when read after a change."""

    def __init__(self) -> None:
        self.by_id: dict[str, Profile] = {}
        self._version = 0
        self._views: dict[str, tuple[int, list[Profile]]] = {}

    def put(self, profile: Profile) -> None:
        """Add or replace a profile."""
        self.by_id[profile.id] = profile
        self._version += 1
        self._views.clear()

    def put_all(self, profiles: Iterable[Profile]) -> None:
        """Add or replace many profiles."""
        self.by_id.update((profile.id, profile) for profile in profiles)
        self._version += 1
        self._views.clear()

    def remove(self, profile_id: str) -> bool:
        """Delete a profile; returns whether it existed."""
        self._views.clear()
        return self.by_id.pop(profile_id, None) is not None

    def moved(self) -> None:
        """Note that sort keys have changed."""
        self._version += 1

    def walk(
        self,
        conditions: Sequence[Condition],
        sort: str,
        cursor: SortKey | None,
        *,
        descending: bool,
        grain: int = MICROSECONDS,
    ) -> Iterator[Profile]:
        """Yield the profiles that meet all *conditions*, in order, after *cursor*; see `meets` for *grain*."""
        key = SORT_KEYS[sort]
        rows, rest = self._candidates(conditions, sort)
        low, high = time_slice(rows, rest, sort, grain)
        if cursor is not None and not descending:
            low = max(low, bisect_right(rows, cursor, key=key))
        elif cursor is not None:
            high = min(high, bisect_left(rows, cursor, key=key))
        places = range(high - 1, low - 1, -1) if descending else range(low, high)
        return (rows[place] for place in places if all(meets(rows[place], condition, grain) for condition in rest))

    def _candidates(self, conditions: Sequence[Condition], sort: str) -> tuple[list[Profile], list[Condition]]:
        """Return sorted rows that hold every match, and the conditions still to check."""
        for condition in conditions:
            if condition.field == "id":
                ids = condition.value if condition.operator == "any" else {condition.value}
                found = [self.by_id[one] for one in ids if one in self.by_id]
                return sorted(found, key=SORT_KEYS[sort]), [other for other in conditions if other is not condition]
        return self._view(sort), list(conditions)

    def _view(self, sort: str) -> list[Profile]:
        version, rows = self._views.get(sort, (-1, []))
        if version == self._version:
            return rows
        rows = sorted(rows or self.by_id.values(), key=SORT_KEYS[sort])
        self._views[sort] = (self._version, rows)
        return rows


def time_slice(rows: Sequence[Profile], conditions: Iterable[Condition], sort: str, grain: int) -> tuple[int, int]:
    """Narrow rows sorted by ``created`` or ``updated`` to the bounds on that very field; returns (low, high)."""
    low, high = 0, len(rows)
    if sort not in ("created", "updated"):
        return low, high
    for bound in (condition for condition in conditions if condition.field == sort):
        if bound.operator == "greater-than":
            first = (bound.value // grain + 1) * grain
            low = max(low, bisect_left(rows, (first,), key=SORT_KEYS[sort]))
        else:
            last = -(-bound.value // grain) * grain
            high = min(high, bisect_left(rows, (last,), key=SORT_KEYS[sort]))
    return low, max(low, high)


def page_of(rows: Iterator[Profile], size: int) -> tuple[list[Profile], bool]:
    """Return one page, and whether more rows follow."""
    taken = list(itertools.islice(rows, size + 1))
    return taken[:size], len(taken) > size
