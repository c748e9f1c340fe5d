"""Reading events: those of all metrics, or of each wanted metric by itself, merged in the order of time."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tap_klaviyo.bookmarks import Placed
from tap_klaviyo.datetimes import rfc3339_json
from tap_klaviyo.errors import RefusedRequestError
from tap_klaviyo.filters import all_of, compare, equals
from tap_klaviyo.metrics import Metric, MetricDirectory, metric_of, near_miss, resolve
from tap_klaviyo.resources import Event, EventPage, read_event_page
from tap_klaviyo.streams.pages import leave_out
from tap_klaviyo.streams.rows import span_of, version_of

if TYPE_CHECKING:
    from datetime import datetime

    from msgspec import Raw

    from tap_klaviyo.client import Fetched, KlaviyoClient, Parameters
    from tap_klaviyo.streams.base import Run
    from tap_klaviyo.streams.windows import WindowedReading

PATH = "/api/events"
SAFE_PAGE_SIZE = 200  # what the prose of the endpoint's reference allows; its parameter allows 1,000
ATTRIBUTIONS = "attributions"

logger = logging.getLogger("tap-klaviyo.events")
R = TypeVar("R", bound=Placed)


class PageContext:
    """What came with the events of a page."""

    def __init__(self, fetched: Fetched[EventPage]) -> None:
        self.fetched_at = fetched.at
        self.included = {(resource.type, resource.id): resource for resource in fetched.document.included}
        self.metrics = {key[1]: metric_of(one) for key, one in self.included.items() if key[0] == "metric"}
        self.profiles: dict[str, dict[str, Raw] | None] = {}
        """Profile id -> the fields that records carry, once one has been composed."""


Compose = Callable[[PageContext, Event, Metric | None, str], R]
"""Makes a row of an event: what came with it, the event, its metric, and its time as the records spell it."""


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


class EventSource:
    """Events by ``datetime``: of all metrics, or of one."""

    def __init__(self, chains: EventChains[Any], metric: Metric | None) -> None:
        self.name = chains.stream
        self.metric = metric
        self._chains = chains
        self._tried = chains.request

    @property
    def size(self) -> int:
        """Events of a full page."""
        return self._chains.request.size

    def first(self, start: datetime | None, end: datetime) -> Fetched[EventPage]:
        """Read the first page of a window."""
        self._tried = request = self._chains.request
        condition = all_of(
            equals("metric_id", self.metric.id) if self.metric else None,
            compare("greater-or-equal", "datetime", start) if start else None,
            compare("less-than", "datetime", end),
        )
        parameters: Parameters = {**request.parameters, "filter": condition, "sort": "datetime"}
        return self._chains.client.get(PATH, parameters, read_event_page)

    def follow(self, link: str) -> Fetched[EventPage]:
        """Read the page that a link names."""
        return self._chains.client.follow(link, read_event_page)

    def span(self, page: EventPage) -> tuple[datetime, datetime] | None:
        """Tell the times of the first and the last event."""
        return span_of(page.data, "datetime")

    def concedes(self, error: RefusedRequestError) -> bool:
        """Ask for less, if it is what the API refused; or for what another reading has been content with already."""
        if self._tried != self._chains.request:
            return True
        lesser = self._chains.request.conceding(error)
        if lesser:
            self._chains.concede(lesser)
        return lesser is not None


Open = Callable[[EventSource, Callable[[], None], int], "WindowedReading[EventPage]"]
"""Begins to read a source, which is one of so many; calls something before every page if ``max_pages`` is set."""


class EventChains(Generic[R]):
    """Reads the events of the selected metrics in the order of time."""

    def __init__(
        self,
        stream: str,
        client: KlaviyoClient,
        request: PageRequest,
        selection: Selection,
        compose: Compose[R],
    ) -> None:
        self.stream = stream
        self.client = client
        self.request = request
        self._selection = selection
        self._compose = compose
        self._metrics: Sequence[Metric] | None = None

    def resolve(self, directory: MetricDirectory) -> None:
        """Find the selected metrics in the account, and say which names it does not know."""
        known = directory.metrics() if self._selection.names is not None else None
        if known is None:
            return
        resolution = resolve(self._selection.names or (), known)
        self._metrics = resolution.metrics
        setting = self._selection.setting
        for name, candidates in resolution.ambiguous:
            qualified = ", ".join(f"`{metric.qualified_name}` (id {metric.id})" for metric in candidates)
            logger.warning(
                "%s: `%s` stands for %d metrics, all are read: %s", setting, name, len(candidates), qualified
            )
        for name in resolution.unknown if self._selection.says_unknown else ():
            close = near_miss(name, known)
            hint = f"; did you mean `{close}`? Names are compared exactly" if close else ""
            logger.warning("%s: the account has no metric `%s`%s", setting, name, hint)

    def read(self, run: Run, open_reading: Open) -> Iterator[list[R]]:
        """Read page by page; where several metrics are merged, the pages are cut anew.

        Events of other metrics that had to be read nevertheless are counted ``filtered``.
        """
        if self._metrics is None:
            reading = open_reading(EventSource(self, None), run.budget.check, 1)
            return self._pages(run, reading, None, self._selection.wants)
        return self._merged(self._opened(run, self._metrics, open_reading))

    def concede(self, request: PageRequest) -> None:
        """Keep to a lesser request, and say what it lacks."""
        if request.size != self.request.size:
            logger.warning("the API refuses %d events a page; reading %d a page", self.request.size, request.size)
        if request.include != self.request.include:
            logger.warning("the API refuses to include attributions; `attributions` stays empty in all events")
        self.request = request

    def _opened(self, run: Run, metrics: Sequence[Metric], open_reading: Open) -> list[Iterator[list[R]]]:
        """Begin one reading for each metric, and one for those that the API cannot filter."""
        before_page = run.budget.check if len(metrics) == 1 else _nothing
        readings = [(one, open_reading(EventSource(self, one), before_page, len(metrics))) for one in metrics]
        opened: list[Iterator[list[R]]] = []
        unfiltered: set[str] = set()
        for place, (metric, reading) in enumerate(readings):
            asked = self.request
            try:
                reading.until_opened()
            except RefusedRequestError as error:
                if error.status != 400 or not (error.parameter or "filter").startswith("filter"):
                    raise
                logger.warning(
                    "the API cannot filter the metric `%s` (a custom metric?): the events of all metrics are read to "
                    "find its own, which costs requests",
                    metric.name,
                )
                self.request = asked  # to ask for less has not helped
                unfiltered.add(metric.id)
            else:
                opened.append(self._pages(run, reading, metric))
            if place == 0:  # what had to be conceded to the API is known by now
                for _, other in readings[1:]:
                    other.open()
        if unfiltered:
            reading = open_reading(EventSource(self, None), before_page, len(metrics))
            opened.append(self._pages(run, reading, None, lambda metric: metric.id in unfiltered))
        return opened

    def _merged(self, pages: Sequence[Iterator[list[R]]]) -> Iterator[list[R]]:
        if len(pages) == 1:
            yield from pages[0]
            return
        chains = [(row for page in one for row in page) for one in pages]
        rows = heapq.merge(*chains, key=attrgetter("second"))
        while page := list(islice(rows, self.request.size)):
            yield page

    def _pages(
        self,
        run: Run,
        reading: WindowedReading[EventPage],
        metric: Metric | None,
        wants: Callable[[Metric], bool] | None = None,
    ) -> Iterator[list[R]]:
        """Compose the rows of a reading, of one *metric* or of those that somebody *wants*."""
        everything = metric is not None or self._selection.names is None
        for page in reading.slices():
            run.budget.pages += 1
            leave_out(self.stream, page.fetched.document.odd, run.tally)
            context = PageContext(page.fetched)
            rows = []
            for event in page.fetched.document.data:
                version = time_spelt_anew(event)
                if not page.holds(version[:19]):
                    continue
                reference = event.relationships.metric.data if event.relationships.metric else None
                kind = (context.metrics.get(reference.id) if reference and reference.id else None) or metric
                if not everything and not (kind and wants and wants(kind)):
                    run.tally["filtered"] = run.tally.get("filtered", 0) + 1
                    continue
                rows.append(self._compose(context, event, kind, version))
            yield rows


def time_spelt_anew(event: Event) -> str:
    """Spell the time of an event as records do, in its attributes, and return it; empty where it has none."""
    if (time := event.attributes.get("datetime")) is None:
        return ""
    event.attributes["datetime"] = time = rfc3339_json(time)
    return version_of(time)


def _nothing() -> None:
    pass
