"""Base class of streams that read events: each metric continues where it was last read."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import override

from tap_klaviyo.reading.bookmarks import R
from tap_klaviyo.reading.coverage import coverage_of
from tap_klaviyo.reading.stream import Beginning, KlaviyoStream, Run

if TYPE_CHECKING:
    from datetime import datetime

    from tap_klaviyo.reading.bookmarks import SavedBookmark
    from tap_klaviyo.reading.event_chains import EventChains


class EventStream(KlaviyoStream, Generic[R]):
    """A stream whose bookmark is the time of events."""

    @property
    @abstractmethod
    def chains(self) -> EventChains[R]:
        """Reads the events."""

    @property
    @override
    def reads_nothing(self) -> bool:
        return self.chains.knows_none

    @override
    def prepare(self) -> None:
        self.chains.resolve(self.account.metrics)

    @override
    def begin(self, saved: SavedBookmark | None, since: datetime | None) -> Beginning:
        coverage = coverage_of(saved, since, self.reach)
        is_first_run = saved is None
        is_test = self.ABORT_AT_RECORD_COUNT is not None
        self.chains.begin(coverage, is_first_run=is_first_run, warns_of_absent=is_first_run and not is_test)
        recalled = self.chains.recall(saved.seen if saved else ())
        keys = self.chains.keys
        if not keys:
            return super().begin(saved, since)
        return Beginning(coverage.lowest(keys), coverage.position(keys) if saved else None, recalled)

    @override
    def finish(self, run: Run) -> None:
        """Move the bookmark, unless nothing was read because the account has none of the named metrics."""
        if not self.reads_nothing:
            super().finish(run)

    @override
    def notes(self, run: Run) -> dict[str, Any]:
        return self.chains.advance(run.bookmark.position)
