"""Events."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec
from klaviyo_http.documents import EMPTY_LIST
from klaviyo_http.endpoints import EVENTS
from klaviyo_http.moments import rfc3339_json
from typing_extensions import override

from tap_klaviyo.reading.bookmarks import span
from tap_klaviyo.reading.event_chains import ATTRIBUTIONS, EventChains, PageRequest, Selection
from tap_klaviyo.reading.event_stream import EventStream
from tap_klaviyo.reading.rows import Row
from tap_klaviyo.streams.profiles import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from klaviyo_http.documents import Event, Included
    from singer_sdk.helpers.types import Record

    from tap_klaviyo.metrics import Metric
    from tap_klaviyo.reading.event_chains import PageContext
    from tap_klaviyo.reading.stream import Run


class Events(EventStream[Row]):
    """Events in order of time, each with its metric's name, the person's identifiers, and attributions.

    Source: GET /api/events (https://developers.klaviyo.com/en/reference/get_events).
    """

    name = "events"
    endpoint = EVENTS
    replication_key = "datetime"

    @cached_property
    @override
    def chains(self) -> EventChains[Row]:
        settings = self.account.settings
        fields = settings.event_profile_fields
        wanted = {ATTRIBUTIONS: self.mask["properties", ATTRIBUTIONS], "metric": True, "profile": bool(fields)}
        include = tuple(name for name, is_wanted in wanted.items() if is_wanted)
        return EventChains(
            self.name,
            self.account.client,
            PageRequest(settings.events_page_size, include, fields),
            Selection(settings.event_metrics, "event_metrics"),
            self._row,
        )

    @property
    @override
    def reach(self) -> timedelta:
        return max(self.overlap, span(days=self.account.settings.lookback_window_days))

    @override
    def records(self, run: Run) -> Iterator[Record]:
        return self.emit(run, self.chains.read(run, partial(self.reading, run)))

    def _row(self, page: PageContext, event: Event, metric: Metric | None, version: str) -> Row:
        return Row(version[:19], event.id, version, page.fetched_at, self._record(page, event, metric))

    def _record(self, page: PageContext, event: Event, metric: Metric | None) -> dict[str, Any]:
        """Flatten an event: id and attributes, with metric and profile joined.

        A metric or profile that no longer exists leaves nulls.
        """
        links = event.relationships
        reference = links.metric.data if links.metric else None
        profile = links.profile.data if links.profile else None
        record: dict[str, Any] = {"id": event.id, **event.attributes}
        record["id"] = event.id  # whatever an attribute of that name says
        record["metric_id"] = reference.id if reference else None
        record["metric_name"] = metric.name or None if metric else None
        record["profile_id"] = profile.id if profile else None
        record["profile"] = self._profile(page, profile.id) if profile and profile.id else None
        record["attributions"] = attributions(page, event)
        return record

    def _profile(self, page: PageContext, key: str) -> dict[str, msgspec.Raw] | None:
        """Pick the fields of a profile that the settings name."""
        if key not in page.profiles:
            resource = page.included.get(("profile", key))
            fields = self.account.settings.event_profile_fields
            page.profiles[key] = profile_fields(resource, fields) if resource else None
        return page.profiles[key]


def attributions(page: PageContext, event: Event) -> list[dict[str, str]] | msgspec.Raw:
    """List the messages that an event is credited to, as ids: ``[{"id": "…", "flow_id": "…", …}]``; nearly always none.

    Klaviyo adds them hours or days after the event. Missing relationships are left out.
    """
    relationship = event.relationships.attributions
    if relationship is None or not relationship.data:
        return EMPTY_LIST
    return [
        {"id": reference.id, **attributed_ids(page.included.get(("attribution", reference.id)))}
        for reference in relationship.data
        if reference.id
    ]


def attributed_ids(attribution: Included | None) -> dict[str, str]:
    """Flatten the relationships of an attribution: ``flow-message`` becomes ``flow_message_id``."""
    if attribution is None or attribution.relationships is None:
        return {}
    related = msgspec.structs.asdict(attribution.relationships)
    return {f"{name}_id": one.data.id for name, one in related.items() if one and one.data and one.data.id}


def profile_fields(profile: Included, fields: tuple[str, ...]) -> dict[str, msgspec.Raw]:
    """Pick the fields of a profile that the settings name, its date-times in RFC 3339 UTC."""
    chosen = {name: profile.attributes[name] for name in fields if name in profile.attributes}
    for name in TIMES:
        if name in chosen:
            chosen[name] = rfc3339_json(chosen[name])
    return chosen
