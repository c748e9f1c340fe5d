"""Profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from klaviyo_http.documents import Page, Resource, read_page
from klaviyo_http.filters import all_of, compare
from klaviyo_http.moments import consent_times_rfc3339, prediction_times_rfc3339, rfc3339_json
from singer_sdk.schema.source import SchemaDirectory
from typing_extensions import override

from tap_klaviyo import schemas
from tap_klaviyo.reading.bookmarks import GRAIN
from tap_klaviyo.reading.pages import leave_out
from tap_klaviyo.reading.predictions import ADDITIONAL, FIELD, PredictiveReader, ProfileSchema
from tap_klaviyo.reading.rows import Row, span_of, version_of
from tap_klaviyo.reading.stream import KlaviyoStream, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from klaviyo_http.client import Fetched, KlaviyoClient
    from klaviyo_http.errors import RefusedRequestError
    from singer_sdk.helpers.types import Record

    from tap_klaviyo.reading.pages import Slice

PAGE_SIZE = 100  # the endpoint's maximum; its default is 20
TIMES = ("created", "updated", "last_event_date")


class Profiles(KlaviyoStream):
    """Every person that the account knows, least recently changed first.

    Source: GET /api/profiles (https://developers.klaviyo.com/en/reference/get_profiles).
    """

    name = "profiles"
    path = "/api/profiles"
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
        source = ProfileSource(self.account.client, with_predictions=self._with_predictions)
        for page in self.reading(run, source, run.lower, run.budget.check).slices():
            run.budget.pages += 1
            leave_out(self.name, page.fetched.document.odd, run.tally)
            yield profile_rows(page)


class ProfileSource:
    """Profiles by ``updated``.

    It is compared strictly (``greater-or-equal`` is a 400), so the lower bound is asked for one second early.
    """

    name = Profiles.name
    size = PAGE_SIZE

    def __init__(self, client: KlaviyoClient, *, with_predictions: bool) -> None:
        self._reader = PredictiveReader(client) if with_predictions else client
        self._additional = f"subscriptions,{FIELD}" if with_predictions else "subscriptions"

    def first(self, start: datetime | None, end: datetime) -> Fetched[Page]:
        """Read the first page of a window."""
        parameters = {
            ADDITIONAL: self._additional,
            "filter": all_of(
                compare("greater-than", "updated", start - GRAIN) if start else None,
                compare("less-than", "updated", end),
            ),
            "page[size]": PAGE_SIZE,
            "sort": "updated",
        }
        return self._reader.get(Profiles.path, parameters, read_page)

    def follow(self, link: str) -> Fetched[Page]:
        """Read the page that a link names."""
        return self._reader.follow(link, read_page)

    def span(self, page: Page) -> tuple[datetime, datetime] | None:
        """Tell the times of the first and the last profile."""
        return span_of(page.data, "updated")

    def can_ask_for_less(self, _: RefusedRequestError) -> bool:
        """Tell whether less may be asked for; there is nothing to give up."""
        return False


def profile_rows(page: Slice[Page]) -> list[Row]:
    """Flatten the profiles of a page that lie within its window."""
    rows = []
    for profile in page.fetched.document.data:
        record = profile_record(profile)
        version = version_of(record.get("updated"))
        if page.holds(version[:19]):
            rows.append(Row(version[:19], profile.id, version, page.fetched.at, record))
    return rows


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
