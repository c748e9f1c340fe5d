"""Looks for the sources of the mapping in profiles and events, to report misspelt ones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from singer_delivery.disclosure import shown
from singer_delivery.mapping.sightings import (
    ALL_OF_THE_FIRST,
    ONE_OF,
    Missing,
    Row,
    SourceFinder,
    declared_names,
    slips_among,
    slips_in,
)
from singer_delivery.mapping.sources import NO_ITEM, Getter, Record, compile_source
from singer_delivery.settings.suggestions import plain, same_words

from target_insiderone.mapping.properties import WILDCARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from target_insiderone.settings.settings import Settings

METRICS_KEPT = 1_000


class ProfileSightings:
    """Looks for the sources of identifiers and attributes in one stream of profiles."""

    def __init__(self, settings: Settings, declared: Iterable[str]) -> None:
        self._watch = SourceFinder([*identifier_rows(settings), *attribute_rows(settings)], "properties", declared)
        self._read = 0

    def look(self, record: Record) -> None:
        """Look for the sources in one record; in a long stream, in every twentieth."""
        self._read += 1
        if self._read <= ALL_OF_THE_FIRST or self._read % ONE_OF == 0:
            self._watch.look(record)

    def missing(self) -> list[Missing]:
        """The sources that no record had."""
        return list(self._watch.missing())


class EventSightings:
    """Looks for metrics, and the sources of each mapped metric, in one stream of events."""

    def __init__(self, settings: Settings, declared: Iterable[str]) -> None:
        declared = frozenset(declared)
        people = {name.removeprefix("profile.") for name in declared if name.startswith("profile.")}
        self.unmapped: Counter[str] = Counter()
        self._mapped = 0
        self._met: set[str] = set()
        self._person = SourceFinder(list(identifier_rows(settings)), "properties", {*people, "id"})
        self._common = SourceFinder(list(common_parameter_rows(settings)), "event_properties", declared)
        self._routes: dict[str, list[tuple[Getter | None, SourceFinder]]] = {}
        self._metric_paths: dict[str, str] = {}
        for place, mapping in enumerate(settings.event_mappings):
            rows = [row for of, row in event_rows(settings) if of == place]
            items = compile_source([mapping.for_each], "event_properties") if mapping.for_each else None
            watch = SourceFinder(rows, "event_properties", declared)
            self._routes.setdefault(mapping.metric_name, []).append((items, watch))
            self._metric_paths.setdefault(mapping.metric_name, f"event_mappings[{place}].metric_name")

    def look(self, record: Record) -> None:
        """Look for the sources of its metric in one record; in a long stream, in every twentieth."""
        metric = record.get("metric_name")
        if type(metric) is not str:
            return
        routes = self._routes.get(metric)
        if routes is None:
            if metric in self.unmapped or len(self.unmapped) < METRICS_KEPT:
                self.unmapped[metric] += 1
            return
        self._mapped += 1
        self._met.add(metric)
        if self._mapped > ALL_OF_THE_FIRST and self._mapped % ONE_OF:
            return
        profile = record.get("profile")
        self._person.look(profile if type(profile) is dict else NO_ITEM)
        all_items: list[Any] = []
        for get_items, watch in routes:
            items = get_items(record, NO_ITEM) if get_items else None
            lines = items if type(items) is list else []
            all_items += lines
            watch.look(record, lines)
        self._common.look(record, all_items)

    def missing(self) -> list[Missing]:
        """The sources that no record of their metric had, and misspelt metrics."""
        watches = [self._person, self._common, *(watch for routes in self._routes.values() for _, watch in routes)]
        total = self._mapped + sum(self.unmapped.values())
        metrics = [
            Missing(Row(self._metric_paths[metric], (metric,)), metric, total, row_is_empty=True, suggestion=meant)
            for metric, meant in {**self._reordered(), **self._slips()}.items()
        ]
        return [*metrics, *(found for watch in watches for found in watch.missing())]

    def none_met(self) -> str:
        """A warning that lists the metrics, if there were records but none of a mapped metric; else ""."""
        if self._mapped or not self.unmapped or self._reordered() or self._slips():
            return ""
        names = [shown(metric) for metric, _ in self.unmapped.most_common(5)]
        there = ", ".join(f"`{name}`" for name in names) + (", ..." if len(self.unmapped) > len(names) else "")
        count = sum(self.unmapped.values())
        return f"none of its {count:,} record(s) has a metric that event_mappings names; there are: {there}"

    def slipped(self) -> int:
        """Number of records of a metric that nearly matches a mapped one without records."""
        return sum(self.unmapped[meant] for meant in self._slips().values())

    def _reordered(self) -> dict[str, str]:
        """Mapped metric without records -> an unmapped one with the same words: renamed, or misspelt."""
        met = plain(self.unmapped)
        unmet = [metric for metric in self._routes if metric not in self._met]
        return {metric: meant for metric in unmet if (meant := same_words(metric, met))}

    def _slips(self) -> dict[str, str]:
        """Mapped metric without records -> the unmapped one that was probably meant; thread-safe."""
        unmet = tuple(metric for metric in self._routes if metric not in self._met)
        return slips_among(unmet, tuple(self.unmapped))


class Sightings:
    """The watch over all streams of a run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._streams: dict[str, ProfileSightings | EventSightings] = {}

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:
        """Start watching a stream; returns a function to call with each record."""
        if stream not in self._streams:
            self._streams[stream] = (
                EventSightings(self._settings, declared_names(schema, "event_properties"))
                if kind == "event"
                else ProfileSightings(self._settings, declared_names(schema, "properties"))
            )
        return self._streams[stream].look

    def slips(self, kind: str, schema: Mapping[str, Any]) -> list[str]:
        """Warnings for sources that nearly match a name of the SCHEMA, in rows for streams of this kind."""
        settings, bag = self._settings, "event_properties" if kind == "event" else "properties"
        declared = declared_names(schema, bag)
        if kind == "profile":
            return list(slips_in([*identifier_rows(settings), *attribute_rows(settings)], declared))
        people = {name.removeprefix("profile.") for name in declared if name.startswith("profile.")}
        rows = [*common_parameter_rows(settings), *(row for _, row in event_rows(settings))]
        return [*slips_in(identifier_rows(settings), people | {"id"}), *slips_in(rows, declared)]

    def missing(self) -> dict[str, list[Missing]]:
        """Stream -> the sources, and the metrics, that no record had."""
        return {stream: list(sightings.missing()) for stream, sightings in self._streams.items()}

    def none_met(self) -> dict[str, str]:
        """Stream of events -> warning, if it had records but none of a mapped metric."""
        events = {stream: found for stream, found in self._streams.items() if isinstance(found, EventSightings)}
        return {stream: words for stream, sightings in events.items() if (words := sightings.none_met())}

    def slipped(self) -> dict[str, int]:
        """Stream -> how many of its records have a metric that is nearly a mapped one, which itself was not met."""
        events = {stream: found for stream, found in self._streams.items() if isinstance(found, EventSightings)}
        return {stream: count for stream, sightings in events.items() if (count := sightings.slipped())}


def identifier_rows(settings: Settings) -> Iterator[Row]:
    """The rows of identifiers."""
    for place, row in enumerate(settings.identifier_mappings):
        yield Row(f"identifier_mappings[{place}].source_field", row.sources, is_identifier=True)


def attribute_rows(settings: Settings) -> Iterator[Row]:
    """The rows of attributes, except the wildcard."""
    for place, row in enumerate(settings.attribute_mappings):
        if row.attribute != WILDCARD:
            yield Row(f"attribute_mappings[{place}].source_field", row.sources)


def common_parameter_rows(settings: Settings) -> Iterator[Row]:
    """The rows of parameters for all events."""
    for place, row in enumerate(settings.event_parameter_mappings):
        yield Row(f"event_parameter_mappings[{place}].source_field", row.sources)


def event_rows(settings: Settings) -> Iterator[tuple[int, Row]]:
    """The rows of single events, each with the position of its event mapping."""
    for place, mapping in enumerate(settings.event_mappings):
        path = f"event_mappings[{place}]"
        for number, row in enumerate(mapping.parameter_mappings):
            yield place, Row(f"{path}.parameter_mappings[{number}].source_field", row.sources)
        if mapping.for_each:
            yield place, Row(f"{path}.for_each", (mapping.for_each,))
