"""Resources as JSON:API text.

Text is put together from stored pieces instead of being encoded anew: it keeps every number as it was given, and a page
of 1,000 events takes milliseconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown
from klaviyo_insiderone_sandbox.exact_json import join_object, quoted
from klaviyo_insiderone_sandbox.klaviyo import consent
from klaviyo_insiderone_sandbox.klaviyo.endpoints import (
    EVENT_FIELDS,
    LIST_FIELDS,
    LOCATION_FIELDS,
    METRIC_FIELDS,
    PREDICTIVE_FIELDS,
    PROFILE_FIELDS,
)
from klaviyo_insiderone_sandbox.klaviyo.ids import short_id
from klaviyo_insiderone_sandbox.klaviyo.jsonapi import Selection, relationship, resource, selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution
    from klaviyo_insiderone_sandbox.klaviyo.events import Event, Metric
    from klaviyo_insiderone_sandbox.klaviyo.profiles import Profile
    from klaviyo_insiderone_sandbox.klaviyo.state import MailingList

NEVER_SUBSCRIBED = msgspec.json.encode(consent.NEVER).decode()
TOLD = ("created", "updated", "last_event_date", "subscriptions")
"""Attributes of profiles that the account itself knows."""
NOT_GIVEN = {
    **{name: "null" for name in PROFILE_FIELDS if name not in TOLD},
    "location": join_object(dict.fromkeys(LOCATION_FIELDS, "null")),
    "properties": "{}",
    "predictive_analytics": join_object(dict.fromkeys(PREDICTIVE_FIELDS, "null")),
}
"""How the other ones are shown where nobody has given them."""


class ProfileWriter:
    """Writes profiles with the same selection, base URL and spelling of times."""

    _RELATED = ("lists", "segments", "push-tokens", "conversations")

    def __init__(
        self,
        base_url: str,
        shown_fields: Selection,
        includes: Sequence[str] = (),
        spelt: Callable[[int], str] = shown,
    ) -> None:
        self._spelt = spelt
        self._names = shown_fields.names
        self._shown = shown_fields
        url = f"{base_url}/api/profiles/@"
        related = ",".join(relationship(url, name, "[]" if name in includes else None) for name in self._RELATED)
        tail = f'}},"relationships":{{{related}}},"links":{{"self":"{url}/"}}}}'
        self._tail = tail.split("@")

    def write(self, profile: Profile) -> str:
        """Compose one profile."""
        given = profile.attributes
        parts = [
            f'"{name}":{given.get(name) or NOT_GIVEN.get(name) or self._told(profile, name)}' for name in self._names
        ]
        if self._shown.members:
            parts = [self._cut(part) for part in parts]
        return f'{{"type":"profile","id":"{profile.id}","attributes":{{{",".join(parts)}{profile.id.join(self._tail)}'

    def _cut(self, part: str) -> str:
        name, text = part.split(":", 1)
        return f"{name}:{self._shown.cut(name.strip(chr(34)), text)}"

    def _told(self, profile: Profile, name: str) -> str:
        """Tell what the account itself knows of a profile."""
        match name:
            case "created":
                return f'"{self._spelt(profile.created)}"'
            case "updated":
                return f'"{self._spelt(profile.updated)}"'
            case "subscriptions":
                return profile.subscriptions or NEVER_SUBSCRIBED
        second = profile.last_event_second
        return "null" if second is None else f'"{self._spelt(second * MICROSECONDS)}"'


class EventWriter:
    """Writes events with the same selection, base URL and spelling of times."""

    _FIELDS: ClassVar[dict[str, str]] = {
        "timestamp": '"timestamp":%(second)d',
        "event_properties": '"event_properties":%(properties)s',
        "datetime": '"datetime":"%(datetime)s"',
        "uuid": '"uuid":"%(uuid)s"',
    }

    def __init__(
        self,
        base_url: str,
        asked: Sequence[str] | None,
        *,
        attributions: bool,
        spelt: Callable[[int], str] = shown,
    ) -> None:
        self._spelt = spelt
        self._attributed = attributions
        self._attributes = ",".join(self._FIELDS[name] for name in selection(EVENT_FIELDS, asked).names)
        self._owned, self._orphan = (self._pieces(base_url, owned, attributions) for owned in (True, False))

    @staticmethod
    def _pieces(base_url: str, owned: bool, attributed: bool) -> list[list[str]]:
        """Compose what follows the attributes; cut at the ids of profile, metric and attributions, then at the event's.

        It takes twice as long to fill all of them into one template.
        """
        url = f"{base_url}/api/events/@"
        profile = (
            relationship(url, "profile", '{"type":"profile","id":"*"}')
            if owned
            else f"*{relationship(url, 'profile', None)}"
        )
        metric = relationship(url, "metric", '{"type":"metric","id":"*"}')
        attributions = (
            relationship(url, "attributions", "[*]") if attributed else f"*{relationship(url, 'attributions', None)}"
        )
        rest = f'{profile},{metric},{attributions}}},"links":{{"self":"{url}/"}}}}'
        return [piece.split("@") for piece in rest.split("*")]

    def write(self, event: Event, *, orphan: bool) -> str:
        """Compose one event; of an *orphan* the profile is gone."""
        second, event_id = event.place
        attributes = self._attributes % {
            "second": second,
            "properties": event.properties,
            "datetime": self._spelt(second * MICROSECONDS),
            "uuid": event.uuid,
        }
        first, to_metric, to_attributions, last = self._orphan if orphan else self._owned
        join = event_id.join
        owner = "" if orphan else event.profile_id
        attributions = references(event.attributions) if self._attributed and event.attributions else ""
        return (
            f'{{"type":"event","id":"{event_id}","attributes":{{{attributes}}},"relationships":{{{join(first)}{owner}'
            f"{join(to_metric)}{event.metric.id}{join(to_attributions)}{attributions}{join(last)}"
        )


def references(attributions: Iterable[Attribution]) -> str:
    """Compose the data of a relationship to attributions, without its brackets."""
    return ",".join(f'{{"type":"attribution","id":"{one.id}"}}' for one in attributions)


def metric_text(base_url: str, metric: Metric, asked: Sequence[str] | None, includes: Sequence[str] = ()) -> str:
    """Compose one metric."""
    values = {
        "name": quoted(metric.name),
        "created": f'"{shown(metric.created)}"',
        "updated": f'"{shown(metric.updated)}"',
        "integration": integration_text(metric),
    }
    attributes = join_object({name: values[name] for name in selection(METRIC_FIELDS, asked).names})
    triggers = relationship(
        f"{base_url}/api/metrics/{metric.id}", "flow-triggers", "[]" if "flow-triggers" in includes else None
    )
    return resource(base_url, "metrics", "metric", metric.id, attributes, related=triggers)


def integration_text(metric: Metric) -> str:
    """Compose a metric's integration."""
    if metric.integration is None:
        return "null"
    return msgspec.json.encode(
        {
            "object": "integration",
            "id": short_id(f"integration {metric.integration}", 6),
            "key": re.sub(r"[^a-z0-9]+", "_", metric.integration.lower()),
            "name": metric.integration,
            "category": metric.category,
        }
    ).decode()


def list_text(
    base_url: str, one: MailingList, asked: Sequence[str] | None, includes: Sequence[str], additional: frozenset[str]
) -> str:
    """Compose one list."""
    values = {
        "name": quoted(one.name),
        "created": f'"{shown(one.created)}"',
        "updated": f'"{shown(one.updated)}"',
        "opt_in_process": f'"{one.opt_in_process}"',
        "profile_count": "0",
    }
    names = selection(LIST_FIELDS, asked, sorted(additional)).names
    url = f"{base_url}/api/lists/{one.id}"
    related = [
        relationship(url, "profiles", None),
        *(relationship(url, name, "[]" if name in includes else None) for name in ("tags", "flow-triggers")),
    ]
    attributes = join_object({name: values[name] for name in names})
    return resource(base_url, "lists", "list", one.id, attributes, related=",".join(related))


def account_text(base_url: str, asked: Sequence[str] | None) -> str:
    """Compose the one account."""
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": "Sandbox Shop",
            "default_sender_email": "hello@sandbox-shop.example",
            "website_url": "https://sandbox-shop.example",
            "organization_name": "Sandbox Shop",
            "street_address": {
                "address1": "1 Harbour Street",
                "address2": None,
                "city": "Oslo",
                "region": None,
                "country": "NO",
                "zip": "0150",
            },
        },
        "industry": "Software / SaaS",
        "timezone": "Europe/Oslo",
        "preferred_currency": "EUR",
        "public_api_key": "SANDBX",
        "locale": "en-US",
    }
    chosen = selection(tuple(attributes), asked)
    shown_values = {name: chosen.cut(name, msgspec.json.encode(attributes[name]).decode()) for name in chosen.names}
    return (
        f'{{"type":"account","id":"SANDBX","attributes":{join_object(shown_values)},'
        f'"links":{{"self":"{base_url}/api/accounts/SANDBX/"}}}}'
    )


def profile_selection(asked: Sequence[str] | None, additional: frozenset[str]) -> Selection:
    """Resolve the attributes of a profile; subscriptions and predictions come only when added."""
    return selection(
        PROFILE_FIELDS, asked, [name for name in ("subscriptions", "predictive_analytics") if name in additional]
    )
