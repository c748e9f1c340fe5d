"""Reads events: all metrics in one chain, or one chain per chosen metric, merged by time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic

from klaviyo_http.documents import Event, EventPage, read_event_page
from klaviyo_http.endpoints import EVENTS
from klaviyo_http.errors import RefusedRequestError
from klaviyo_http.filters import all_of, equals, period
from klaviyo_http.moments import rfc3339_json, whole_second

from tap_klaviyo.errors import MisspeltMetricsError
from tap_klaviyo.metrics import Metric, MetricDirectory, metric_of, resolve, suggestion
from tap_klaviyo.reading.bookmarks import R, second_of
from tap_klaviyo.reading.coverage import EVERY, Coverage
from tap_klaviyo.reading.pages import leave_out
from tap_klaviyo.reading.rows import merged, span_of, version_of

if TYPE_CHECKING:
    from datetime import datetime

    from klaviyo_http.client import Fetched, KlaviyoClient, Parameters
    from msgspec import Raw

    from tap_klaviyo.reading.stream import Run
    from tap_klaviyo.reading.windows import WindowedReading

SAFE_PAGE_SIZE = 200  # what the prose of the endpoint's reference allows; its parameter allows 1,000
ATTRIBUTIONS = "attributions"

logger = logging.getLogger("tap-klaviyo.events")


class PageContext:
    """The resources included in a page of events."""

    def __init__(self, fetched: Fetched[EventPage]) -> None:
        self.fetched_at = fetched.at
        self.included = {(resource.type, resource.id): resource for resource in fetched.document.included}
        self.metrics = {key[1]: metric_of(one) for key, one in self.included.items() if key[0] == "metric"}
        self.profiles: dict[str, dict[str, Raw] | None] = {}
        """Profile id -> the fields that records carry, once one has been composed."""


Compose = Callable[[PageContext, Event, Metric | None, str], R]
"""Makes a row of: the included resources, the event, its metric, and its time as in records."""


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
        """Return whether the metric is named."""
        return self.names is None or any(metric.is_called(name) for name in self.names)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The parameters of a page of events."""

    size: int
    include: tuple[str, ...]
    profile_fields: tuple[str, ...] = ()

    @property
    def parameters(self) -> Parameters:
        """The query without filter and order."""
        return {
            "fields[profile]": ",".join(self.profile_fields) or None,
            "include": ",".join(self.include),
            **EVENTS.page_of(self.size),
        }

    def reduced(self, error: RefusedRequestError) -> PageRequest | None:
        """Return a smaller request, if the API refused something that can be left out."""
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
            period(EVENTS, "datetime", start, end),
        )
        parameters: Parameters = {**request.parameters, "filter": condition, "sort": "datetime"}
        return self._chains.client.get(EVENTS.path, parameters, read_event_page)

    def follow(self, link: str) -> Fetched[EventPage]:
        """Read the page that a link names."""
        return self._chains.client.follow(link, read_event_page)

    def span(self, page: EventPage) -> tuple[datetime, datetime] | None:
        """Return the times of the first and the last event."""
        return span_of(page.data, "datetime")

    def can_ask_for_less(self, error: RefusedRequestError) -> bool:
        """Reduce the request, if that may help; another reading may already have done so."""
        if self._tried != self._chains.request:
            return True
        smaller = self._chains.request.reduced(error)
        if smaller:
            self._chains.reduce_to(smaller)
        return smaller is not None


Open = Callable[[EventSource, "datetime | None", Callable[[], None], int], "WindowedReading[EventPage]"]
"""Begins to read: the source, from when on, what to call before a page under ``max_pages``, the number of readings."""


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
        self._unknown: Sequence[tuple[str, str | None]] = ()
        """The unknown names, each with the metric that it probably means."""
        self._coverage = Coverage({}, None, timedelta(0))
        self._met: set[str] = set()
        """Ids of wanted metrics seen while names cannot be looked up; they need marks for later runs that can."""

    def resolve(self, directory: MetricDirectory) -> None:
        """Find the selected metrics in the account.

        Raises:
            MisspeltMetricsError: It has none of them, and at least one looks misspelt.
        """
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
        if self._selection.says_unknown:
            others = [metric for metric in known if metric not in resolution.metrics]
            self._unknown = [(name, suggestion(name, others)) for name in resolution.unknown]
        if not self.knows_none:
            return
        if any(close for _, close in self._unknown):
            unknown = ", and ".join(_unknown_metric(name, close) for name, close in self._unknown)
            raise MisspeltMetricsError(
                f"stream {self.stream}: none of the metrics in `{setting}` can be read. Names are compared exactly; "
                f"correct the setting: {unknown}"
            )
        logger.warning(
            "stream %s: the account has none of the metrics in %s: nothing is read, and no bookmark moves",
            self.stream,
            setting,
        )

    @property
    def knows_none(self) -> bool:
        """Whether the settings name metrics, and the account has none of them, so that nothing can be read."""
        return self._metrics is not None and not self._metrics and self._selection.says_unknown

    def begin(self, coverage: Coverage, *, is_first_run: bool, warns_of_absent: bool) -> None:
        """Continue from what has been read of each metric; log the metrics never read, and the unknown ones.

        An account need not have every metric, so an unknown one is a warning in the first run (*warns_of_absent*), and
        otherwise only where it looks misspelt, or nothing is read at all.
        """
        self._coverage = coverage
        for name, close in self._unknown:
            hint = " Names are compared exactly" if close else ""
            level = logging.WARNING if close or warns_of_absent or self.knows_none else logging.INFO
            logger.log(level, "%s: %s%s", self._selection.setting, _unknown_metric(name, close), hint)
        level = logging.WARNING if self._selection.says_unknown else logging.INFO
        names = {metric.id: metric.name for metric in self._metrics or ()}
        lines: dict[str, None] = {}  # in order, each once: metrics may share a name
        for key in self.keys:
            if not (is_first_run or coverage.mark(key)):
                name = (
                    "the metrics that no setting named before"
                    if key == EVERY
                    else f"the metric `{names.get(key, key)}`"
                )
                since = coverage.lower(key)
                bound = f"since {whole_second(since)}" if since else "from the beginning"
                lines[f"{name} was not read before; it is read {bound}"] = None
        for line in lines:
            logger.log(level, "stream %s: %s", self.stream, line)

    @property
    def keys(self) -> Collection[str]:
        """Keys of the marks of the metrics that are read: ids, or names while ids cannot be looked up."""
        if self._metrics is not None:
            return [metric.id for metric in self._metrics]
        if self._selection.names is not None:
            return list(self._selection.names)
        return {EVERY, *self._coverage.known}

    def recall(self, seen: Collection[str]) -> set[str]:
        """Return ids that earlier runs, but not the last one, emitted before the marks of the metrics that are read.

        *seen*: what that one remembered. Where ids cannot be looked up, a metric that is not read cannot be told from
        one that is but had no event lately; then nothing is kept.
        """
        by_name = self._metrics is None and self._selection.names is not None
        return self._coverage.choose({*self.keys, *self._coverage.known} if by_name else self.keys, seen)

    def advance(self, second: str) -> dict[str, list[Any]]:
        """Note that all metrics have been read up to a second; return their state."""
        self._coverage.advance(self.keys, second)
        self._coverage.advance(self._met, second)
        return self._coverage.to_state()

    def read(self, run: Run, open_reading: Open) -> Iterator[list[R]]:
        """Read page by page; if several metrics are merged, the rows are paged anew.

        Events of other metrics that had to be read nevertheless are counted ``filtered``, those that earlier runs have
        read ``repeats``.
        """
        if not self.keys:
            return iter(())
        if self._metrics is None:
            lower = self._coverage.lowest(self.keys)
            reading = open_reading(EventSource(self, None), lower, run.budget.check, 1)
            return self._pages(run, reading, None, self._selection.wants, self._floors(lower))
        bounds = {metric: self._coverage.lower(metric.id) for metric in self._metrics}
        due = [metric for metric, lower in bounds.items() if lower is None or lower < run.upper]
        return merged(self._opened(run, due, open_reading), self.request.size)

    def _floors(self, lower: datetime | None) -> Floors | None:
        """Return the floors of metrics that were read beyond *lower*, where all are read from; None if none was."""
        keys = {*self.keys, *self._coverage.known}
        if all(self._coverage.lower(key) == lower for key in keys):
            return None
        return Floors(self._coverage, self._selection.names)

    def reduce_to(self, request: PageRequest) -> None:
        """Use a smaller request from now on, and log what it lacks."""
        if request.size != self.request.size:
            logger.warning("the API refuses %d events a page; reading %d a page", self.request.size, request.size)
        if request.include != self.request.include:
            logger.warning("the API refuses to include attributions; `attributions` stays empty in all events")
        self.request = request

    def _opened(self, run: Run, metrics: Sequence[Metric], open_reading: Open) -> list[Iterator[list[R]]]:
        """Begin one reading for each metric, and one for those that the API cannot filter."""
        before_page = run.budget.check if len(metrics) == 1 else _nothing
        lower, share = self._coverage.lower, len(metrics)
        readings = [(one, open_reading(EventSource(self, one), lower(one.id), before_page, share)) for one in metrics]
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
                self.request = asked  # the smaller request has not helped
                unfiltered.add(metric.id)
            else:
                opened.append(self._pages(run, reading, metric))
            if place == 0:  # by now it is known how the request had to be reduced
                for _, other in readings[1:]:
                    other.open()
        if unfiltered:
            first = self._coverage.lowest(unfiltered)
            reading = open_reading(EventSource(self, None), first, before_page, share)
            floors = None if all(lower(key) == first for key in unfiltered) else Floors(self._coverage, None)
            opened.append(self._pages(run, reading, None, lambda metric: metric.id in unfiltered, floors))
        return opened

    def _pages(
        self,
        run: Run,
        reading: WindowedReading[EventPage],
        metric: Metric | None,
        wants: Callable[[Metric], bool] | None = None,
        floors: Floors | None = None,
    ) -> Iterator[list[R]]:
        """Compose the rows of a reading, of one *metric* or of those that somebody *wants*, from their *floors* on."""
        everything = metric is not None or self._selection.names is None
        by_name = self._metrics is None and not everything
        for page in reading.slices():
            run.tally["pages"] += 1
            leave_out(self.stream, page.fetched.document.odd, run.tally)
            context = PageContext(page.fetched)
            rows = []
            for event in page.fetched.document.data:
                version = normalized_time(event)
                if not page.holds(version[:19]):
                    continue
                reference = event.relationships.metric.data if event.relationships.metric else None
                kind = (context.metrics.get(reference.id) if reference and reference.id else None) or metric
                if not everything and not (kind and wants and wants(kind)):
                    run.tally["filtered"] = run.tally.get("filtered", 0) + 1
                    continue
                if by_name and kind:
                    self._met.add(kind.id)
                if floors and version and version[:19] < floors.of(reference.id if reference else None, kind):
                    run.tally["repeats"] += 1
                    continue
                rows.append(self._compose(context, event, kind, version))
            yield rows


class Floors:
    """The second from which each metric's events are new, where a reading begins earlier for the sake of others."""

    def __init__(self, coverage: Coverage, names: Sequence[str] | None) -> None:
        """Look up marks by id; where a metric has none under its id, by those of the *names* that mean it, if given."""
        self._coverage = coverage
        self._names = names
        self._floors: dict[str | None, str] = {}

    def of(self, key: str | None, metric: Metric | None) -> str:
        """Return that second for the metric with an id."""
        floor = self._floors.get(key)
        if floor is None:
            keys = [key or EVERY]
            if self._names is not None and metric and key not in self._coverage.known:
                keys = [name for name in self._names if metric.is_called(name)]
            floor = self._floors[key] = second_of(self._coverage.lowest(keys))
        return floor


def normalized_time(event: Event) -> str:
    """Rewrite the time of an event as records carry it, and return it; empty if it has none."""
    if (time := event.attributes.get("datetime")) is None:
        return ""
    event.attributes["datetime"] = time = rfc3339_json(time)
    return version_of(time)


def _unknown_metric(name: str, close: str | None) -> str:
    return f"the account has no metric `{name}`" + (f"; did you mean `{close}`?" if close else "")


def _nothing() -> None:
    pass
