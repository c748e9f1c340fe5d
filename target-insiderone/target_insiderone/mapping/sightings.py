"""The sources of our mapping, looked for in profiles and events."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.sightings import (
    ALL_OF_THE_FIRST,
    ONE_OF,
    Missing,
    Row,
    Watch,
    declared_names,
    slips_among,
    slips_in,
)
from singer_delivery.mapping.sources import NO_ITEM, Getter, Record, compile_source

from target_insiderone.mapping.properties import WILDCARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from target_insiderone.settings.settings import Settings

METRICS_KEPT = 1_000


class ProfileSightings:
    """The sources of identifiers and attributes, looked for in one stream of profiles."""

    def __init__(self, settings: Settings, declared: Iterable[str]) -> None:
        self._watch = Watch([*identifier_rows(settings), *attribute_rows(settings)], "properties", declared)
        self._read = 0

    def look(self, record: Record) -> None:
        """Look for the sources in one record; of a long stream, in one of ten."""
        self._read += 1
        if self._read <= ALL_OF_THE_FIRST or self._read % ONE_OF == 0:
            self._watch.look(record)

    def missing(self) -> list[Missing]:
        """The sources that no record had."""
        return list(self._watch.missing())


class EventSightings:
    """The sources of one stream of events: its metrics, and what each mapped one is to hold."""

    def __init__(self, settings: Settings, declared: Iterable[str]) -> None:
        declared = frozenset(declared)
        people = {name.removeprefix("profile.") for name in declared if name.startswith("profile.")}
        self.unmapped: Counter[str] = Counter()
        self._mapped = 0
        self._met: set[str] = set()
        self._person = Watch(list(identifier_rows(settings)), "properties", {*people, "id"})
        self._common = Watch(list(common_parameter_rows(settings)), "event_properties", declared)
        self._routes: dict[str, list[tuple[Getter | None, Watch]]] = {}
        self._metric_paths: dict[str, str] = {}
        for place, mapping in enumerate(settings.event_mappings):
            rows = [row for of, row in event_rows(settings) if of == place]
            items = compile_source([mapping.for_each], "event_properties") if mapping.for_each else None
            watch = Watch(rows, "event_properties", declared)
            self._routes.setdefault(mapping.metric_name, []).append((items, watch))
            self._metric_paths.setdefault(mapping.metric_name, f"event_mappings[{place}].metric_name")

    def look(self, record: Record) -> None:
        """Look for the sources of its metric in one record; of a long stream, in one of ten."""
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
        """The sources that no record of their metric had, and the metrics that were nearly met."""
        watches = [self._person, self._common, *(watch for routes in self._routes.values() for _, watch in routes)]
        total = self._mapped + sum(self.unmapped.values())
        metrics = [
            Missing(Row(self._metric_paths[metric], (metric,)), metric, total, row_is_empty=True, suggestion=meant)
            for metric, meant in self._slips().items()
        ]
        return [*metrics, *(found for watch in watches for found in watch.missing())]

    def slipped(self) -> int:
        """How many records are of a metric that is nearly a mapped one, which itself was not met."""
        return sum(self.unmapped[meant] for meant in self._slips().values())

    def _slips(self) -> dict[str, str]:
        """Mapped metric that no record has -> the unmapped one that was met in its place; any thread may ask."""
        unmet = tuple(metric for metric in self._routes if metric not in self._met)
        return slips_among(unmet, tuple(self.unmapped))


class Sightings:
    """What was met in the streams of a run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._streams: dict[str, ProfileSightings | EventSightings] = {}

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:
        """Begin to look in a stream; returns what is to be told of each record."""
        if stream not in self._streams:
            self._streams[stream] = (
                EventSightings(self._settings, declared_names(schema, "event_properties"))
                if kind == "event"
                else ProfileSightings(self._settings, declared_names(schema, "properties"))
            )
        return self._streams[stream].look

    def slips(self, kind: str, schema: Mapping[str, Any]) -> list[str]:
        """What is nearly a name of the SCHEMA, in the rows that apply to streams of this kind."""
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

    def slipped(self) -> dict[str, int]:
        """Stream -> how many of its records have a metric that is nearly a mapped one, which itself was not met."""
        events = {stream: found for stream, found in self._streams.items() if isinstance(found, EventSightings)}
        return {stream: count for stream, sightings in events.items() if (count := sightings.slipped())}


def identifier_rows(settings: Settings) -> Iterator[Row]:
    """The rows of identifiers."""
    for place, row in enumerate(settings.identifier_mappings):
        yield Row(f"identifier_mappings[{place}].source_field", row.sources, is_identifier=True)


def attribute_rows(settings: Settings) -> Iterator[Row]:
    """The rows of attributes, but for the one that takes all properties."""
    for place, row in enumerate(settings.attribute_mappings):
        if row.attribute != WILDCARD:
            yield Row(f"attribute_mappings[{place}].source_field", row.sources)


def common_parameter_rows(settings: Settings) -> Iterator[Row]:
    """The rows of parameters that all events have in common."""
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
