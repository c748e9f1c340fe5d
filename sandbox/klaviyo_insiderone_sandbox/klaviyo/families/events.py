"""Events: permitted parameters, JSON:API text, and routes.

Text is put together from stored pieces instead of being encoded anew, so that a page of 1,000 takes milliseconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown
from klaviyo_insiderone_sandbox.klaviyo.attributions import attribution_texts
from klaviyo_insiderone_sandbox.klaviyo.cursors import read_event_cursor, write_event_cursor
from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint, any_of
from klaviyo_insiderone_sandbox.klaviyo.errors import invalid, not_found
from klaviyo_insiderone_sandbox.klaviyo.families.metrics import METRIC
from klaviyo_insiderone_sandbox.klaviyo.families.profiles import PLAIN_FIELDS, ProfileWriter, profile_selection
from klaviyo_insiderone_sandbox.klaviyo.filters import BOUNDS, IS, FieldRule, Kind
from klaviyo_insiderone_sandbox.klaviyo.jsonapi import relationship, selection
from klaviyo_insiderone_sandbox.klaviyo.pages import Request, Route, page, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import Writer
from klaviyo_insiderone_sandbox.klaviyo.settings import SPELLINGS
from klaviyo_insiderone_sandbox.quotas import TIER_M, TIER_XL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution
    from klaviyo_insiderone_sandbox.klaviyo.events import Event

EVENT_FIELDS = ("timestamp", "event_properties", "datetime", "uuid")
_SCOPES = ("events:read",)
_INCLUDES = ("attributions", "metric", "profile")
_FIELDS = {
    "attribution": any_of(),
    "event": any_of(*EVENT_FIELDS),
    "metric": METRIC.fields(),
    "profile": PLAIN_FIELDS,
}

EVENTS = Endpoint(
    path="/api/events",
    scopes=_SCOPES,
    limits=TIER_XL,
    sorts=("datetime", "timestamp"),
    filters={
        "metric_id": IS,
        "profile_id": IS,
        "profile": FieldRule(Kind.RESOURCE, ("has",)),
        "metric": FieldRule(Kind.RESOURCE, ("has",)),
        "datetime": FieldRule(Kind.TIME, BOUNDS, only_past=True),
        "timestamp": FieldRule(Kind.EPOCH, BOUNDS, only_past=True),
    },
    includes=_INCLUDES,
    fields=_FIELDS,
    page=(200, 1000),
)
EVENT = Endpoint(path="/api/events/{id}", scopes=_SCOPES, limits=TIER_M, includes=_INCLUDES, fields=_FIELDS)


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


def read_events(request: Request) -> tuple[bytes, int]:
    """GET /api/events."""
    account, parameters = request.account, request.parameters
    check_metric_filter(request)
    wanted = {condition.field for condition in parameters.conditions if condition.operator == "has"}
    present = account.profiles.by_id
    rows, more = account.events.page(
        parameters.conditions,
        None if parameters.cursor is None else read_event_cursor(parameters.cursor),
        parameters.size,
        account.clock.now(),
        (lambda event: event.profile_id in present) if "profile" in wanted else None,
        descending=parameters.descending,
    )
    following = write_event_cursor(*rows[-1].place) if more else None
    return page(event_texts(request, rows), included_of(request, rows), request, following), len(rows)


def check_metric_filter(request: Request) -> None:
    """Refuse to filter events by a custom metric, which the API does not support."""
    metrics = request.account.metrics_by_id
    for condition in request.parameters.conditions:
        metric = metrics.get(condition.value) if condition.field == "metric_id" else None
        if metric is not None and metric.integration is None:
            raise invalid("filter", "Custom metrics are not supported in the metric_id filter.")


def read_event(request: Request) -> tuple[bytes, int]:
    """GET /api/events/{id}; a malformed id is a 400."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", request.id):
        raise invalid("id", "Invalid event id.")
    event = request.account.events.by_id.get(request.id)
    hidden_until = event.visible_after if event else None
    if event is None or (hidden_until is not None and hidden_until > request.account.clock.now()):
        raise not_found(f"An event with id {request.id} does not exist.")
    (text,) = event_texts(request, [event])
    return single(text, included_of(request, [event])), 1


def event_texts(request: Request, rows: list[Event]) -> list[str]:
    """Write events in the form that a request asks for."""
    writer = EventWriter(
        request.base_url,
        request.parameters.fields.get("event"),
        attributions="attributions" in (request.parameters.includes or ()),
        spelt=SPELLINGS[request.account.settings.spelling],
    )
    present = request.account.profiles.by_id
    return [writer.write(event, orphan=event.profile_id not in present) for event in rows]


def included_of(request: Request, rows: list[Event]) -> list[str] | None:
    """Write the included resources of a page of events: metrics, then profiles, then attributions, each once."""
    base_url, asked = request.base_url, request.parameters
    if asked.includes is None:
        return None
    included: list[str] = []
    if "metric" in asked.includes:
        metrics = {event.metric.id: event.metric for event in rows}
        included += map(Writer(METRIC, base_url, asked.fields.get("metric")).write, metrics.values())
    if "profile" in asked.includes:
        shown_fields = profile_selection(asked.fields.get("profile"), frozenset())
        writer = ProfileWriter(base_url, shown_fields, spelt=SPELLINGS[request.account.settings.spelling])
        present = request.account.profiles.by_id
        owners = dict.fromkeys(event.profile_id for event in rows)
        included += [writer.write(present[owner]) for owner in owners if owner in present]
    if "attributions" in asked.includes:
        included += [
            text
            for event in rows
            if event.attributions
            for text in attribution_texts(base_url, event.place[1], event.attributions)
        ]
    return included


ROUTES = (Route(EVENTS, read_events), Route(EVENT, read_event))
