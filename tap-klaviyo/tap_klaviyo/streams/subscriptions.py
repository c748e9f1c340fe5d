"""Consent changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from klaviyo_http.documents import read_page
from klaviyo_http.endpoints import EVENTS, PROFILES
from klaviyo_http.filters import any_of
from typing_extensions import override

from tap_klaviyo.metrics import CONSENT_METRICS
from tap_klaviyo.reading.bookmarks import span
from tap_klaviyo.reading.event_chains import EventChains, PageRequest, Selection
from tap_klaviyo.reading.event_stream import EventStream
from tap_klaviyo.reading.pages import leave_out
from tap_klaviyo.reading.predictions import ADDITIONAL
from tap_klaviyo.reading.rows import PageLimitReached, Row
from tap_klaviyo.reading.windows import SETTLE_SECONDS
from tap_klaviyo.streams.profiles import profile_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from klaviyo_http.client import Fetched, KlaviyoClient, Parameters
    from klaviyo_http.documents import Event, Page
    from singer_sdk.helpers.types import Record

    from tap_klaviyo.metrics import Metric
    from tap_klaviyo.reading.event_chains import PageContext
    from tap_klaviyo.reading.stream import Run

GATHERED_PROFILES = 2_000  # profiles gathered before they are read again
GATHERED_EVENTS = 10_000  # about as many consent events are gathered at most


@dataclass(slots=True)
class Change:
    """The consent events of one profile gathered so far."""

    at: str
    """The latest one's time, RFC 3339 UTC; empty if none has any."""
    by: list[str] = field(default_factory=list)
    """Names of the metrics, in the order they occurred."""


class ConsentEvent(NamedTuple):
    """A consent event at its place in the stream: a `tap_klaviyo.reading.bookmarks.Placed`."""

    second: str
    key: str
    version: str
    profile: str | None
    metric: str | None


@dataclass(slots=True)
class Gathered:
    """Events whose profiles have not been read again yet."""

    events: list[ConsentEvent] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    """Profile id -> its change."""


class SubscriptionChanges(EventStream[ConsentEvent]):
    """Profiles whose consent changed, in the order of the change, read again with their subscriptions.

    Consent events say who changed; the profile, read again in bulk, says what is true now. A profile is read again
    at most once per run: a second reading could not show anything newer than the first, which came after all events.
    """

    name = "subscription_changes"
    endpoint = EVENTS
    replication_key = "changed_at"

    @cached_property
    @override
    def chains(self) -> EventChains[ConsentEvent]:
        settings = self.account.settings
        names = settings.subscription_metrics
        return EventChains(
            self.name,
            self.account.client,
            PageRequest(settings.events_page_size, ("metric",)),
            Selection(names, "subscription_metrics", says_unknown=names != tuple(CONSENT_METRICS)),
            consent_event,
        )

    @property
    @override
    def overlap(self) -> timedelta:
        """Also the look-back: a consent event that was seen there must not have its profile read again."""
        settings = self.account.settings
        return max(span(seconds=settings.overlap_seconds), span(days=settings.lookback_window_days))

    @override
    def records(self, run: Run) -> Iterator[Record]:
        run.tally |= {"consent_events": 0, "gone": 0, "already_read": 0}
        read_again: set[str] = set()
        gathered = Gathered()
        pages = self.chains.read(run, partial(self.reading, run))
        limit: PageLimitReached | None = None
        while limit is None:
            try:
                events = next(pages, None)
                if events is None:
                    break
                fresh = run.bookmark.fresh(events)
                run.budget.begin(fresh)
            except PageLimitReached as reached:
                limit = reached
                continue
            run.tally["repeats"] += len(events) - len(fresh)
            run.tally["consent_events"] += len(fresh)
            gathered.events += events
            for event in fresh:
                _gather(event, gathered.changes, read_again, run.tally)
            if len(gathered.changes) >= GATHERED_PROFILES or len(gathered.events) >= GATHERED_EVENTS:
                yield from self._read_and_emit(run, gathered)
                read_again |= gathered.changes.keys()
                gathered = Gathered()
        yield from self._read_and_emit(run, gathered)
        if limit:
            raise limit

    def _read_and_emit(self, run: Run, gathered: Gathered) -> Iterator[Record]:
        """Read the profiles again that gathered events are about, emit them, and note the events."""
        changes = sorted(gathered.changes.items(), key=lambda change: change[1].at)
        size = PROFILES.page.most
        batches = [dict(changes[start : start + size]) for start in range(0, len(changes), size)]
        tasks = [run.fetcher.ask(partial(read_profiles, self.account.client, tuple(batch))) for batch in batches]
        for batch, task in zip(batches, tasks, strict=True):
            while not task.taken:
                if not run.fetcher.take(SETTLE_SECONDS):
                    self.settle()
            pages = task.result()
            odd = [one for page in pages for one in page.document.odd]
            leave_out(self.name, odd, run.tally)
            rows = changed_profiles(batch, pages)
            run.tally["gone"] += max(len(batch) - len(rows) - len(odd), 0)
            yield from self.write(rows)
            self.count(run, rows)
            self.lines.check()
        run.bookmark.note(gathered.events)
        self.settle()


def read_profiles(client: KlaviyoClient, keys: Sequence[str]) -> list[Fetched[Page]]:
    """Read up to 100 profiles by their ids; in one page, unless the API returns more."""
    parameters: Parameters = {
        ADDITIONAL: "subscriptions",
        "filter": any_of("id", keys),
        **PROFILES.page_of(),
    }
    return client.all_pages(PROFILES.path, parameters, read_page)


def changed_profiles(changes: Mapping[str, Change], pages: Sequence[Fetched[Page]]) -> list[Row]:
    """Join changes to the profiles that were read, in the order of the changes; those that are gone stay out."""
    found = {profile.id: (profile_record(profile), page.at) for page in pages for profile in page.document.data}
    return [
        Row(
            change.at[:19],
            key,
            change.at,
            found[key][1],
            {**found[key][0], "changed_at": change.at or None, "changed_by": change.by},
        )
        for key, change in changes.items()
        if key in found
    ]


def consent_event(_: PageContext, event: Event, metric: Metric | None, version: str) -> ConsentEvent:
    """Extract the fields of an event that this stream needs."""
    profile = event.relationships.profile.data if event.relationships.profile else None
    return ConsentEvent(version[:19], event.id, version, profile.id if profile else None, metric and metric.name)


def _gather(event: ConsentEvent, changes: dict[str, Change], read_again: set[str], tally: dict[str, int]) -> None:
    """Add a consent event to the changes, unless its profile needs no reading."""
    if event.profile is None:
        tally["gone"] += 1
    elif event.profile in read_again:
        tally["already_read"] += 1
    else:
        change = changes.setdefault(event.profile, Change(event.version))
        change.at = max(change.at, event.version)
        if event.metric and event.metric not in change.by:
            change.by.append(event.metric)
