"""Reading events: one chain of pages, or one per metric, merged in the order of time."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from tap_klaviyo.datetimes import rfc3339_json
from tap_klaviyo.errors import RefusedRequestError
from tap_klaviyo.filters import all_of, compare, equals
from tap_klaviyo.metrics import Metric, MetricDirectory, metric_of, near_miss, resolve
from tap_klaviyo.resources import Event, EventPage, Included, read_event_page
from tap_klaviyo.streams.chain import PageMark, walk
from tap_klaviyo.streams.profiles import position

if TYPE_CHECKING:
    from datetime import datetime

    from tap_klaviyo.bookmarks import Position
    from tap_klaviyo.client import Fetched, KlaviyoClient, Parameters
    from tap_klaviyo.streams.base import Run

PATH = "/api/events"
SAFE_PAGE_SIZE = 200  # what the prose of the endpoint's reference allows; its parameter allows 1,000
ATTRIBUTIONS = "attributions"

logger = logging.getLogger("tap-klaviyo.events")
Wanted = Callable[[Metric], bool]


class EventRow(NamedTuple):
    """An event, and what came with it."""

    position: Position
    page: PageMark
    fetched_at: datetime
    event: Event
    metric: Metric | None
    included: Mapping[tuple[str, str], Included]
    """(type, id) -> resource."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The metrics to read."""

    names: Sequence[str] | None
    """Exact names, ids or qualified names; None for every metric."""
    setting: str
    """The setting that names them."""
    says_unknown: bool = True
    """Whether a name that the account does not know is worth a warning."""

    def wants(self, metric: Metric) -> bool:
        """Tell whether the metric is named."""
        return self.names is None or any(metric.is_called(name) for name in self.names)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a page of events is asked to hold."""

    size: int
    include: tuple[str, ...]
    profile_fields: tuple[str, ...] = ()

    @property
    def parameters(self) -> Parameters:
        """The query, but for filter and order."""
        return {
            "fields[profile]": ",".join(self.profile_fields) or None,
            "include": ",".join(self.include),
            "page[size]": self.size,
        }

    def conceding(self, error: RefusedRequestError) -> PageRequest | None:
        """Ask for less, if it is what the API refused; None where nothing can be given up."""
        if error.status != 400:
            return None
        if (error.parameter or "").startswith("include") and ATTRIBUTIONS in self.include:
            return replace(self, include=tuple(name for name in self.include if name != ATTRIBUTIONS))
        if (error.parameter or "page").startswith("page") and self.size > SAFE_PAGE_SIZE:
            return replace(self, size=SAFE_PAGE_SIZE)
        return None


@dataclass(slots=True)
class EventChains:
    """Reads the events of the selected metrics in the order of time."""

    client: KlaviyoClient
    directory: MetricDirectory
    request: PageRequest
    selection: Selection
    metrics: Sequence[Metric] | None = field(default=None)
    """The selected metrics; None if all are, or if the key may not read metrics."""

    def resolve(self) -> None:
        """Find the selected metrics in the account, and say which names it does not know."""
        known = self.directory.metrics() if self.selection.names is not None else None
        if known is None:
            return
        resolution = resolve(self.selection.names or (), known)
        self.metrics = resolution.metrics
        setting = self.selection.setting
        for name, candidates in resolution.ambiguous:
            qualified = ", ".join(f"`{metric.qualified_name}` (id {metric.id})" for metric in candidates)
            logger.warning(
                "%s: `%s` stands for %d metrics, all are read: %s", setting, name, len(candidates), qualified
            )
        for name in resolution.unknown if self.selection.says_unknown else ():
            close = near_miss(name, known)
            hint = f"; did you mean `{close}`? Names are compared exactly" if close else ""
            logger.warning("%s: the account has no metric `%s`%s", setting, name, hint)

    def read(self, run: Run, settle: Callable[[], None]) -> Iterator[EventRow]:
        """Read the events of the run; those of other metrics are counted ``filtered``.

        Args:
            run: What to read.
            settle: Called after every page.

        Raises:
            PageLimitReached: There is more than ``max_pages`` allow.
        """
        if self.metrics is None:
            yield from self._chain(run, settle, run.budget.check)
        else:
            yield from self._merged(self.metrics, run, settle)

    def _merged(self, metrics: Sequence[Metric], run: Run, settle: Callable[[], None]) -> Iterator[EventRow]:
        """Merge one chain per metric, and cut the outcome into pages anew: ``max_pages`` counts as if it were one."""
        chains: list[Iterator[EventRow]] = []
        unfiltered: set[str] = set()
        for metric in metrics:
            try:
                chains.append(opened(self._chain(run, settle, metric=metric)))
            except RefusedRequestError as error:
                if error.status != 400 or not (error.parameter or "filter").startswith("filter"):
                    raise
                logger.warning(
                    "the API cannot filter the metric `%s` (a custom metric?): the events of all metrics are read to "
                    "find its own, which costs requests",
                    metric.name,
                )
                unfiltered.add(metric.id)
        if unfiltered:
            chains.append(self._chain(run, settle, wanted=lambda metric: metric.id in unfiltered))
        page = PageMark()
        for place, row in enumerate(heapq.merge(*chains, key=lambda row: row.position.second)):
            if place % self.request.size == 0:
                page = PageMark()
            yield row._replace(page=page)

    def _chain(
        self,
        run: Run,
        settle: Callable[[], None],
        before_page: Callable[[], None] = lambda: None,
        metric: Metric | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[EventRow]:
        """Read one chain of pages, of one metric or of those that are *wanted*."""
        wanted = wanted or self.selection.wants
        condition = all_of(
            equals("metric_id", metric.id) if metric else None,
            compare("greater-or-equal", "datetime", run.lower) if run.lower else None,
            compare("less-than", "datetime", run.upper),
        )
        for fetched in self._pages(condition, before_page):
            mark = run.budget.read()
            settle()
            included = {(resource.type, resource.id): resource for resource in fetched.document.included}
            metrics = {key[1]: metric_of(resource) for key, resource in included.items() if key[0] == "metric"}
            for event in fetched.document.data:
                reference = event.relationships.metric.data if event.relationships.metric else None
                kind = metrics.get(reference.id) if reference else None
                if metric is None and self.selection.names is not None and not (kind and wanted(kind)):
                    run.tally["filtered"] = run.tally.get("filtered", 0) + 1
                    continue
                event.attributes["datetime"] = rfc3339_json(event.attributes["datetime"])
                at = position(event.id, event.attributes["datetime"])
                yield EventRow(at, mark, fetched.at, event, kind or metric, included)

    def _pages(self, condition: str | None, before_page: Callable[[], None]) -> Iterator[Fetched[EventPage]]:
        """Walk through the events that meet a condition, asking for less where the API refuses what is asked for."""
        request = self.request
        while True:
            parameters: Parameters = {**request.parameters, "filter": condition, "sort": "datetime"}
            pages = walk(self.client, PATH, parameters, read_event_page, before_page)
            try:
                first = next(pages)
            except RefusedRequestError as error:
                lesser = request.conceding(error)
                if lesser is None:
                    raise
                request = lesser
            else:
                break
        self._concede(request)
        yield first
        yield from pages

    def _concede(self, request: PageRequest) -> None:
        """Keep to a request that the API has accepted, and say what it lacks."""
        if request.size != self.request.size:
            logger.warning("the API refuses %d events a page; reading %d a page", self.request.size, request.size)
        if request.include != self.request.include:
            logger.warning("the API refuses to include attributions; `attributions` stays empty in all events")
        self.request = request


def opened(rows: Iterator[EventRow]) -> Iterator[EventRow]:
    """Fetch the first page now, so that a refusal shows before anything is emitted."""
    first = next(rows, None)
    return rows if first is None else chain((first,), rows)
