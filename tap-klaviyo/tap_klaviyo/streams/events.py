"""Events."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from tap_klaviyo.datetimes import rfc3339_json
from tap_klaviyo.resources import NULL, Resource, encode
from tap_klaviyo.streams.base import KlaviyoStream, Run
from tap_klaviyo.streams.chain import Row
from tap_klaviyo.streams.event_chains import PATH, EventChains, EventRow, Selection
from tap_klaviyo.streams.profiles import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Record


class Events(KlaviyoStream):
    """Everything that happened, in the order of time, with the name of its metric and the person's identifiers.

    Source: GET /api/events (https://developers.klaviyo.com/en/reference/get_events).
    """

    name = "events"
    path = PATH
    replication_key = "datetime"

    @cached_property
    def _chains(self) -> EventChains:
        account, settings = self.account, self.account.settings
        fields = settings.event_profile_fields
        return EventChains(
            account.client,
            account.metrics,
            settings.events_page_size,
            Selection(settings.event_metrics, "event_metrics"),
            {
                "fields[profile]": ",".join(fields) or None,
                "include": "metric,profile" if fields else "metric",
            },
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
        included: Mapping[tuple[str, str], Resource] | None = None
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
        "attributions": relationships.attributions.data if relationships.attributions else NULL,
    }


def profile_fields(profile: Resource, fields: tuple[str, ...]) -> msgspec.Raw:
    """Encode the fields of a profile that the settings name."""
    chosen = {name: profile.attributes[name] for name in fields if name in profile.attributes}
    for name in TIMES:
        if name in chosen:
            chosen[name] = rfc3339_json(chosen[name])
    return msgspec.Raw(encode(chosen))
