"""Events."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from tap_klaviyo.datetimes import rfc3339_json
from tap_klaviyo.resources import EMPTY_LIST, encode
from tap_klaviyo.streams.base import KlaviyoStream, Run
from tap_klaviyo.streams.chain import Row
from tap_klaviyo.streams.event_chains import ATTRIBUTIONS, PATH, EventChains, EventRow, PageRequest, Selection
from tap_klaviyo.streams.profiles import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_klaviyo.resources import Included


class Events(KlaviyoStream):
    """Everything that happened, in the order of time: with its metric's name, the person's identifiers, attributions.

    Source: GET /api/events (https://developers.klaviyo.com/en/reference/get_events).
    """

    name = "events"
    path = PATH
    replication_key = "datetime"

    @cached_property
    def _chains(self) -> EventChains:
        account, settings = self.account, self.account.settings
        fields = settings.event_profile_fields
        wanted = {ATTRIBUTIONS: self.mask["properties", ATTRIBUTIONS], "metric": True, "profile": bool(fields)}
        include = tuple(name for name, is_wanted in wanted.items() if is_wanted)
        return EventChains(
            account.client,
            account.metrics,
            PageRequest(settings.events_page_size, include, fields),
            Selection(settings.event_metrics, "event_metrics"),
        )

    @property
    @override
    def reach(self) -> timedelta:
        return max(self.overlap, timedelta(days=self.account.settings.lookback_window_days))

    @override
    def prepare(self) -> None:
        self._chains.resolve()

    @override
    def records(self, run: Run) -> Iterator[Record]:
        rows = self._chains.read(run, self.settle)
        return self.emit(run, self._rows(rows))

    def _rows(self, rows: Iterator[EventRow]) -> Iterator[Row]:
        fields = self.account.settings.event_profile_fields
        profiles: dict[str, msgspec.Raw] = {}
        included: Mapping[tuple[str, str], Included] | None = None
        for row in rows:
            if row.included is not included:
                included = row.included
                profiles = {
                    key[1]: profile_fields(resource, fields)
                    for key, resource in included.items()
                    if key[0] == "profile"
                }
            yield Row(row.position, row.page, row.fetched_at, event_record(row, profiles))


def event_record(row: EventRow, profiles: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Flatten an event: id beside the attributes, metric and profile joined.

    A metric or profile that no longer exists leaves nulls.
    """
    relationships = row.event.relationships
    metric = relationships.metric.data if relationships.metric else None
    profile = relationships.profile.data if relationships.profile else None
    return {
        "id": row.event.id,
        **row.event.attributes,
        "metric_id": metric.id if metric else None,
        "metric_name": row.metric.name if row.metric else None,
        "profile_id": profile.id if profile else None,
        "profile": profiles.get(profile.id) if profile else None,
        "attributions": attributions(row),
    }


def attributions(row: EventRow) -> list[dict[str, str]] | msgspec.Raw:
    """List the messages that an event is credited to, as ids: ``[{"id": "…", "flow_id": "…", …}]``; nearly always none.

    Klaviyo fills them in hours or days after the event. What an attribution does not name is left out.
    """
    relationship = row.event.relationships.attributions
    if relationship is None or not relationship.data:
        return EMPTY_LIST
    return [
        {"id": reference.id, **attributed_ids(row.included.get(("attribution", reference.id)))}
        for reference in relationship.data
    ]


def attributed_ids(attribution: Included | None) -> dict[str, str]:
    """Flatten the relationships of an attribution: ``flow-message`` becomes ``flow_message_id``."""
    if attribution is None or attribution.relationships is None:
        return {}
    related = msgspec.structs.asdict(attribution.relationships)
    return {f"{name}_id": one.data.id for name, one in related.items() if one and one.data}


def profile_fields(profile: Included, fields: tuple[str, ...]) -> msgspec.Raw:
    """Encode the fields of a profile that the settings name."""
    chosen = {name: profile.attributes[name] for name in fields if name in profile.attributes}
    for name in TIMES:
        if name in chosen:
            chosen[name] = rfc3339_json(chosen[name])
    return msgspec.Raw(encode(chosen))
