"""Changes of consent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_klaviyo.filters import any_of
from tap_klaviyo.metrics import CONSENT_METRICS
from tap_klaviyo.resources import read_page
from tap_klaviyo.streams.base import KlaviyoStream, Run, decoded
from tap_klaviyo.streams.chain import PageLimitReached, walk
from tap_klaviyo.streams.event_chains import PATH, EventChains, EventRow, PageRequest, Selection
from tap_klaviyo.streams.predictions import ADDITIONAL
from tap_klaviyo.streams.profiles import PAGE_SIZE, Profiles, profile_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers.types import Record

    from tap_klaviyo.bookmarks import Position
    from tap_klaviyo.client import Parameters

WINDOW_PROFILES = 2_000  # profiles gathered before they are read again
WINDOW_EVENTS = 10_000  # consent events gathered at most


@dataclass(slots=True)
class Change:
    """The consent events of one profile in one window."""

    at: str
    """The latest one's time, RFC 3339 UTC."""
    by: list[str] = field(default_factory=list)
    """Names of the metrics, in the order they occurred."""


class SubscriptionChanges(KlaviyoStream):
    """Profiles whose consent changed, in the order of the change, read again with their subscriptions.

    Consent events tell who changed; the profile, read again in bulk, tells what holds now. A profile is read again
    once a run at most: the second reading could show nothing newer than the first, which came after all the events.
    """

    name = "subscription_changes"
    path = PATH
    replication_key = "changed_at"

    @cached_property
    def _chains(self) -> EventChains:
        account = self.account
        names = account.settings.subscription_metrics
        return EventChains(
            account.client,
            account.metrics,
            PageRequest(account.settings.events_page_size, ("metric",)),
            Selection(names, "subscription_metrics", says_unknown=names != tuple(CONSENT_METRICS)),
        )

    @property
    @override
    def overlap(self) -> timedelta:
        """Also the look-back: a consent event that was seen there must not have its profile read again."""
        settings = self.account.settings
        return max(timedelta(seconds=settings.overlap_seconds), timedelta(days=settings.lookback_window_days))

    @override
    def prepare(self) -> None:
        self._chains.resolve()

    @override
    def records(self, run: Run) -> Iterator[Record]:
        run.tally |= {"consent_events": 0, "gone": 0, "already_read": 0}
        read_again: set[str] = set()
        window: dict[str, Change] = {}
        events: list[Position] = []
        rows = self._chains.read(run, self.settle)
        limit: PageLimitReached | None = None
        while limit is None:
            try:
                row = next(rows, None)
                if row is None:
                    break
                if run.bookmark.knows(row.position):
                    run.bookmark.note(row.position)
                    run.tally["repeats"] += 1
                    continue
                run.budget.begin(row.page, row.position)
            except PageLimitReached as reached:
                limit = reached
                continue
            run.tally["consent_events"] += 1
            events.append(row.position)
            _gather(row, window, read_again, run.tally)
            if len(window) >= WINDOW_PROFILES or len(events) >= WINDOW_EVENTS:
                yield from self._settle(run, window, events)
                read_again |= window.keys()
                window, events = {}, []
        yield from self._settle(run, window, events)
        if limit:
            raise limit

    def _settle(self, run: Run, window: dict[str, Change], events: Sequence[Position]) -> Iterator[Record]:
        """Read the profiles of a window again, emit them, and note its events."""
        changes = sorted(window.items(), key=lambda change: change[1].at)
        for start in range(0, len(changes), PAGE_SIZE):
            for record in self._read_again(dict(changes[start : start + PAGE_SIZE]), run):
                run.tally["emitted"] += 1
                yield record if self._opaque else decoded(record)
                self.lines.check()
        for event in events:
            run.bookmark.note(event)
        self.checkpoint()

    def _read_again(self, changes: dict[str, Change], run: Run) -> Iterator[dict[str, Any]]:
        """Read up to 100 profiles in one request, and return them in the order of *changes*."""
        found: dict[str, dict[str, Any]] = {}
        parameters: Parameters = {
            ADDITIONAL: "subscriptions",
            "filter": any_of("id", changes),
            "page[size]": PAGE_SIZE,
        }
        for fetched in walk(self.account.client, Profiles.path, parameters, read_page, lambda: None):
            self._fetched_at = fetched.at
            found |= {profile.id: profile_record(profile) for profile in fetched.document.data}
        run.tally["gone"] += len(changes.keys() - found.keys())
        for key, change in changes.items():
            if key in found:
                yield {**found[key], "changed_at": change.at, "changed_by": change.by}


def _gather(row: EventRow, window: dict[str, Change], read_again: set[str], tally: dict[str, int]) -> None:
    """Add a consent event to the window, unless its profile needs no reading."""
    relationship = row.event.relationships.profile
    profile = relationship.data if relationship else None
    if profile is None:
        tally["gone"] += 1
    elif profile.id in read_again:
        tally["already_read"] += 1
    else:
        change = window.setdefault(profile.id, Change(row.position.version))
        change.at = max(change.at, row.position.version)
        if row.metric and row.metric.name not in change.by:
            change.by.append(row.metric.name)
