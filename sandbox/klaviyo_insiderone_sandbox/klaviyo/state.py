"""The Klaviyo account: profiles, events, metrics, lists, keys, and their changes."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, Clock, instant_of, shown_exactly
from klaviyo_insiderone_sandbox.exact_json import join_object, split_object
from klaviyo_insiderone_sandbox.klaviyo import consent as consents
from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution, ids_of, named
from klaviyo_insiderone_sandbox.klaviyo.events import Event, Events, Metric
from klaviyo_insiderone_sandbox.klaviyo.ids import short_id
from klaviyo_insiderone_sandbox.klaviyo.profiles import (
    LOCATION_FIELDS,
    PREDICTIVE_FIELDS,
    PROFILE_FIELDS,
    Profile,
    Profiles,
)
from klaviyo_insiderone_sandbox.klaviyo.settings import Settings
from klaviyo_insiderone_sandbox.quotas import Quotas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.resources import Resource

KEY_ALL_SCOPES = "pk_sandbox_all_scopes"
KEY_THREE_FLOWS = "pk_sandbox_three_flows"
ALL_SCOPES = tuple(
    f"{area}:read" for area in ("accounts", "events", "flows", "lists", "metrics", "profiles", "segments", "tags")
)
THREE_FLOWS = ("events:read", "profiles:read")

PLAIN_ATTRIBUTES = frozenset(PROFILE_FIELDS) - {"created", "updated", "last_event_date", "location"}


ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class UnknownProfileError(LookupError):
    """The control plane was asked to change a profile that does not exist."""


class UnknownEventError(LookupError):
    """The control plane was asked to change an event that does not exist."""


class Account:
    """The data of one Klaviyo account."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.quotas = Quotas()
        self.reset()

    def reset(self) -> None:
        """Empty the account; only the two standard keys remain."""
        self.settings = Settings()
        self.profiles = Profiles()
        self.events = Events()
        self.metrics: dict[tuple[str, str | None], Metric] = {}
        self.metrics_by_id: dict[str, Metric] = {}
        self.resources: defaultdict[str, dict[str, Resource]] = defaultdict(dict)
        """Simple resources: type -> id -> resource."""
        self.naming: consents.Naming = "new"
        self.scopes_by_key = {KEY_ALL_SCOPES: ALL_SCOPES, KEY_THREE_FLOWS: THREE_FLOWS}
        self.quotas.reset()
        self._made = 0
        self._stirred = 0

    def put_profile(self, profile_id: str | None, attributes: Mapping[str, str]) -> str:
        """Add or replace a profile from name -> JSON text; return its id.

        Raises:
            ValueError: An attribute is not documented, or has a value that it cannot have.
        """
        now = self.clock.now()
        check_ids(profile_id)
        profile = Profile(profile_id or self._new_profile_id(), now)
        self.apply(profile, attributes)
        if "updated" not in attributes:
            profile.updated = now
        self.profiles.put(profile)
        return profile.id

    def put(self, kind: str, resource: Resource) -> None:
        """Add or replace a simple resource of a type.

        Raises:
            ValueError: An id has characters that Klaviyo's ids never have.
        """
        check_ids(resource.id, *(one for ids in resource.related.values() for one in ids))
        self.resources[kind][resource.id] = resource

    def touch(self, ids: list[str], attributes: Mapping[str, str], at: int | None) -> None:
        """Merge attributes into profiles and move their ``updated``.

        Raises:
            UnknownProfileError: One of the ids is unknown.
            ValueError: See :meth:`put_profile`.
        """
        for profile in [self._profile(profile_id) for profile_id in ids]:
            merged = dict(attributes)
            if "properties" in attributes:
                known = split_object(profile.attributes.get("properties", "{}"))
                merged["properties"] = join_object({**known, **split_object(attributes["properties"])})
            self.apply(profile, merged)
            if "updated" not in attributes:
                profile.updated = self.clock.now() if at is None else at
        self.profiles.moved()

    def stir(self, last: Profile) -> None:
        """Touch or erase the *last* profile of a page, if it is that page's turn: see `Settings.restless`."""
        self._stirred += 1
        if not self.settings.restless or self._stirred % self.settings.restless:
            return
        if self.settings.fate == "touched":
            self.touch([last.id], {}, None)
        else:
            self.erase([last.id])

    def set_consent(
        self,
        profile_id: str,
        channel: consents.Channel,
        consent: consents.Consent,
        suppression: consents.Reason | None,
        at: int | None,
        *,
        event: bool,
    ) -> str | None:
        """Change consent at a moment (None = now) and record it; return the event's id if there is one.

        ``updated`` moves to that moment, but never back.

        Raises:
            UnknownProfileError: The id is unknown.
        """
        profile = self._profile(profile_id)
        moment = self.clock.now() if at is None else at
        before = consents.NEVER if profile.subscriptions is None else msgspec.json.decode(profile.subscriptions)
        after = consents.changed(before, channel, consent, suppression, shown_exactly(moment))
        profile.subscriptions = msgspec.json.encode(after).decode()
        profile.updated = max(profile.updated, moment)
        self.profiles.moved()
        metric = consents.metric_of(channel, consent, suppression, self.naming)
        if metric is None or not event:
            return None
        second = moment // MICROSECONDS
        properties = json.dumps({"Method": "PREFERENCE_PAGE", "$event_id": str(second)})
        return self.add_event(profile_id, self.metric(metric, "Klaviyo"), second, properties, touch=False)

    def erase(self, ids: list[str]) -> int:
        """Erase profiles; their events stay. Returns how many existed."""
        return sum(self.profiles.remove(profile_id) for profile_id in ids)

    def metric(self, name: str, integration: str | None) -> Metric:
        """Return the metric of this name and integration, made when new."""
        known = self.metrics.get((name, integration))
        if known is not None:
            return known
        metric = Metric(name, integration, self.clock.now())
        self.metrics[name, integration] = metric
        self.metrics_by_id[metric.id] = metric
        return metric

    def add_event(
        self,
        profile_id: str,
        metric: Metric,
        second: int,
        properties: str,
        *,
        event_id: str | None = None,
        uuid: str | None = None,
        visible_after: int | None = None,
        attributions: Sequence[Attribution] = (),
        touch: bool = True,
    ) -> str:
        """Record an event; return its id. The profile's ``updated`` moves to now unless *touch* is false.

        Raises:
            ValueError: An id has characters that Klaviyo's ids never have.
        """
        check_ids(event_id, profile_id, uuid, *ids_of(attributions))
        event_id = event_id or self._new_event_id(second)
        event = Event(
            (second, event_id),
            metric,
            profile_id,
            properties,
            uuid=uuid,
            visible_after=visible_after,
            attributions=named(event_id, attributions),
        )
        if event.place[1] in self.events.by_id:
            self.events.replace(event)
        else:
            self.events.add(event)
        profile = self.profiles.by_id.get(profile_id)
        if profile is not None:
            profile.last_event_second = max(second, profile.last_event_second or second)
            if touch:
                profile.updated = max(profile.updated, self.clock.now())
                self.profiles.moved()
        return event.place[1]

    def attribute(self, event_id: str, attributions: Sequence[Attribution]) -> None:
        """Replace the attributions of an event, as happens hours after it; nothing else changes.

        Raises:
            UnknownEventError: The id is unknown.
            ValueError: An id has characters that Klaviyo's ids never have.
        """
        check_ids(*ids_of(attributions))
        event = self.events.by_id.get(event_id)
        if event is None:
            raise UnknownEventError(f"no event with id {event_id}")
        event.attributions = named(event_id, attributions)

    def apply(self, profile: Profile, attributes: Mapping[str, str]) -> None:
        """Set attributes of a profile from name -> JSON text.

        Raises:
            ValueError: An attribute is not documented, or has a value that it cannot have.
        """
        for name, text in attributes.items():
            if name in PLAIN_ATTRIBUTES:
                profile.attributes[name] = text
            elif name in ("created", "updated"):
                setattr(profile, name, instant_of(msgspec.json.decode(text, type=str)))
            elif name == "last_event_date":
                profile.last_event_second = instant_of(msgspec.json.decode(text, type=str)) // MICROSECONDS
            elif name == "location":
                profile.attributes[name] = filled(text, LOCATION_FIELDS)
            elif name == "predictive_analytics":
                profile.attributes[name] = filled(text, PREDICTIVE_FIELDS)
            elif name == "subscriptions":
                given = msgspec.json.decode(text, type=dict[str, Any])
                profile.subscriptions = msgspec.json.encode(consents.complete(given)).decode()
            else:
                raise ValueError(f"'{name}' is not an attribute of a Klaviyo profile")

    def _profile(self, profile_id: str) -> Profile:
        profile = self.profiles.by_id.get(profile_id)
        if profile is None:
            raise UnknownProfileError(f"no profile with id {profile_id}")
        return profile

    def _new_profile_id(self) -> str:
        self._made += 1
        return f"01SANDBOX{short_id(f'profile {self._made}', 17).upper()}"

    def _new_event_id(self, second: int) -> str:
        self._made += 1
        return short_id(f"event {second} {self._made}", 11)


def check_ids(*ids: str | None) -> None:
    """Raise ValueError unless every id that is given is one of letters, digits, ``_`` and ``-``."""
    for one in ids:
        if one is not None and not ID.fullmatch(one):
            raise ValueError("an id may have up to 64 letters, digits, _ and -")


def filled(text: str, names: tuple[str, ...]) -> str:
    """Fill up a JSON object with nulls for the documented members that it lacks.

    Raises:
        ValueError: It has a member that is not documented.
    """
    given = split_object(text)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not a documented member; documented are {', '.join(names)}")
    return join_object({name: given.get(name, "null") for name in names})
