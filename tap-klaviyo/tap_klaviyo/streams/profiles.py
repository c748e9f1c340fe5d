"""Profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from klaviyo_http.documents import Profile, read_page
from klaviyo_http.endpoints import PROFILES
from klaviyo_http.moments import consent_times_rfc3339, prediction_times_rfc3339, rfc3339_json
from singer_sdk.schema.source import SchemaDirectory
from typing_extensions import override

from tap_klaviyo import schemas
from tap_klaviyo.reading.collections import CollectionSource, rows_of
from tap_klaviyo.reading.pages import leave_out
from tap_klaviyo.reading.predictions import ADDITIONAL, FIELD, PredictiveReader, ProfileSchema
from tap_klaviyo.reading.stream import KlaviyoStream, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers.types import Record

    from tap_klaviyo.reading.rows import Row

TIMES = ("created", "updated", "last_event_date")


class Profiles(KlaviyoStream):
    """All profiles of the account, least recently changed first.

    Source: GET /api/profiles (https://developers.klaviyo.com/en/reference/get_profiles).
    """

    name = "profiles"
    endpoint = PROFILES
    replication_key = "updated"
    versioned = True
    schema: ClassVar[ProfileSchema] = ProfileSchema(SchemaDirectory(schemas))

    @override
    def records(self, run: Run) -> Iterator[Record]:
        return self.emit(run, self._pages(run))

    @property
    def _with_predictions(self) -> bool:
        return self.account.settings.fetch_predictive_analytics

    @override
    def count(self, run: Run, emitted: Sequence[Row]) -> None:
        super().count(run, emitted)
        if self._with_predictions:
            missing = f"without_{FIELD}"
            run.tally[missing] = run.tally.get(missing, 0) + sum(FIELD not in row.record for row in emitted)

    def _pages(self, run: Run) -> Iterator[Sequence[Row]]:
        additional = f"subscriptions,{FIELD}" if self._with_predictions else "subscriptions"
        client = self.account.client
        source = CollectionSource(
            self.name,
            PredictiveReader(client) if self._with_predictions else client,
            self.endpoint,
            read_page,
            self.replication_key,
            parameters={ADDITIONAL: additional},
        )
        for page in self.reading(run, source, run.lower, run.budget.check).slices():
            run.tally["pages"] += 1
            leave_out(self.name, page.fetched.document.odd, run.tally)
            yield rows_of(page, self.replication_key, profile_record)


def profile_record(profile: Profile) -> dict[str, Any]:
    """Flatten a profile: id and attributes, with declared date-times in RFC 3339 UTC."""
    record: dict[str, Any] = {"id": profile.id, **profile.attributes}
    record["id"] = profile.id
    for name in TIMES:
        if name in record:
            record[name] = rfc3339_json(record[name])
    if "subscriptions" in record:
        record["subscriptions"] = consent_times_rfc3339(record["subscriptions"])
    if FIELD in record:
        record[FIELD] = prediction_times_rfc3339(record[FIELD])
    return record
