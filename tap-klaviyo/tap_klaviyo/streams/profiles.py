"""Profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.schema.source import SchemaDirectory
from typing_extensions import override

from tap_klaviyo import schemas
from tap_klaviyo.bookmarks import GRAIN, Position
from tap_klaviyo.datetimes import consent_times_rfc3339, prediction_times_rfc3339, rfc3339_json
from tap_klaviyo.filters import all_of, compare
from tap_klaviyo.resources import Resource, read_page
from tap_klaviyo.streams.base import KlaviyoStream, Run
from tap_klaviyo.streams.chain import Row, walk
from tap_klaviyo.streams.predictions import ADDITIONAL, FIELD, PredictiveReader, ProfileSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec
    from singer_sdk.helpers.types import Record

PAGE_SIZE = 100  # the endpoint's maximum; its default is 20
TIMES = ("created", "updated", "last_event_date")


class Profiles(KlaviyoStream):
    """Every person that the account knows, least recently changed first.

    Source: GET /api/profiles (https://developers.klaviyo.com/en/reference/get_profiles). ``updated`` is compared
    strictly (``greater-or-equal`` is a 400), so the lower bound is asked for one second early.
    """

    name = "profiles"
    path = "/api/profiles"
    replication_key = "updated"
    versioned = True
    schema: ClassVar[ProfileSchema] = ProfileSchema(SchemaDirectory(schemas))

    @override
    def records(self, run: Run) -> Iterator[Record]:
        records = self.emit(run, self._rows(run))
        return self._tallied(records, run) if self._with_predictions else records

    @property
    def _with_predictions(self) -> bool:
        return self.account.settings.fetch_predictive_analytics

    def _tallied(self, records: Iterator[Record], run: Run) -> Iterator[Record]:
        """Count the records that lack the predictive analytics that were asked for."""
        missing = f"without_{FIELD}"
        run.tally[missing] = 0
        for record in records:
            run.tally[missing] += FIELD not in record
            yield record

    def _rows(self, run: Run) -> Iterator[Row]:
        client = self.account.client
        reader = PredictiveReader(client) if self._with_predictions else client
        parameters = {
            ADDITIONAL: f"subscriptions,{FIELD}" if self._with_predictions else "subscriptions",
            "filter": all_of(
                compare("greater-than", "updated", run.lower - GRAIN) if run.lower else None,
                compare("less-than", "updated", run.upper),
            ),
            "page[size]": PAGE_SIZE,
            "sort": "updated",
        }
        for fetched in walk(reader, self.path, parameters, read_page, run.budget.check):
            page = run.budget.read()
            self.settle()
            for profile in fetched.document.data:
                record = profile_record(profile)
                yield Row(position(profile.id, record.get("updated")), page, fetched.at, record)


def profile_record(profile: Resource) -> dict[str, Any]:
    """Flatten a profile: id beside the attributes, its declared date-times in RFC 3339 UTC."""
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


def position(key: str, moment: msgspec.Raw | None) -> Position:
    """Place a record by its replication key, which is a JSON value spelt as `rfc3339_json` does."""
    text = bytes(moment)[1:-1].decode() if moment is not None else ""
    return Position(text[:19], key, text) if text.endswith("Z") else Position("", key, "")
