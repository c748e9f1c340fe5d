"""Maps a Klaviyo event to Insider One events, one per order line if the mapping says so."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from singer_delivery.disclosure import shown
from singer_delivery.errors import Filtered, Rejected
from singer_delivery.mapping.dates import utc_moment
from singer_delivery.mapping.generated import Fill, compile_fill
from singer_delivery.mapping.sources import NO_ITEM, Getter, Record, compile_source
from singer_delivery.mapping.values import UnusableValueError, is_blank, to_string

from target_insiderone.mapping.fits import compile_column, split_fixed
from target_insiderone.mapping.identifiers import compile_event_identifiers
from target_insiderone.mapping.mapped import MappedEvent
from target_insiderone.mapping.vocabulary import (
    EVENT_ID_PARAMETER,
    LINE_PARAMETER,
    PARAMETERS,
    REQUIRED_PARAMETERS,
    RETENTION_DAYS,
    full_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from singer_delivery.mapping.columns import Note

    from target_insiderone.mapping.rows import EventMapping, ParameterMapping
    from target_insiderone.settings.settings import Settings

BAG = "event_properties"
NO_OBJECT = Rejected("item_is_no_object", "item")
DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


class _Route(NamedTuple):
    """One compiled event mapping; ``whole`` and ``each`` fill the columns of the whole record and of a line."""

    event_type: str
    kept_seconds: float
    items: Getter | None
    whole: Fill
    each: Fill
    fixed_root: dict[str, Any]
    fixed_custom: dict[str, Any]
    required: tuple[str, ...]
    default_currency: str | None


def compile_events(settings: Settings) -> Callable[[Record, float], MappedEvent]:
    """Compile the event mapping: (record, now in epoch seconds) -> its events.

    Optional parameters with unusable values are left out and noted; a line without a required parameter is rejected
    alone. For any JSON object, the result raises only ``Rejected`` or ``Filtered``.
    """
    resolve = compile_event_identifiers(settings)
    routes = _compile_routes(settings)
    longest_kept = {metric: max(route.kept_seconds for route in mapped) for metric, mapped in routes.items()}
    hint_for = _compile_hint(routes)
    skips_future = settings.future_events == "skip"
    old_seconds = settings.skip_hook_older_than_hours * HOUR_SECONDS or float("inf")

    def map_event(record: Record, now: float) -> MappedEvent:
        metric = record.get("metric_name")
        if type(metric) is not str or metric not in routes:
            raise Filtered("unmapped_metric", hint_for(metric) if type(metric) is str else "")
        key, timestamp, moment = _read_occurrence(record)
        age = now - moment
        if skips_future and age < 0:
            raise Filtered("future_event")
        if age > longest_kept[metric]:
            raise Filtered("retention")
        identifiers, notes = resolve(record)
        made = MappedEvent(identifiers, [], [], [], age > old_seconds)
        for route in routes[metric]:
            if age <= route.kept_seconds:
                notes += _make(route, record, key, timestamp, made)
            else:
                made.filtered.append((None, route.event_type, Filtered("retention")))
        if notes:
            made.notes = tuple(dict.fromkeys(notes))
        return made

    return map_event


def _make(route: _Route, record: Record, key: str, timestamp: str, made: MappedEvent) -> list[Note]:
    """Add the events of one route to *made*; returns notes on values left out."""
    items = route.items(record, NO_ITEM) if route.items else None
    if type(items) is not list or not items or (not items[0] and is_blank(items)):
        return _add(route, record, key, timestamp, None, NO_ITEM, made)
    notes: list[Note] = []
    for line, item in enumerate(items, start=1):
        if type(item) is dict:
            notes += _add(route, record, key, timestamp, line, item, made)
        else:
            made.rejected.append((line, route.event_type, NO_OBJECT))
    return notes


def _add(
    route: _Route, record: Record, key: str, timestamp: str, line: int | None, item: Record, made: MappedEvent
) -> list[Note]:
    """Add the event of one line, or of the whole record, to *made*, as event or as rejected."""
    parameters: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    fill = route.whole if line is None else route.each
    notes = fill(record, item, parameters, custom)
    parameters |= route.fixed_root
    custom |= route.fixed_custom
    custom[EVENT_ID_PARAMETER] = key
    if line is not None:
        custom[LINE_PARAMETER] = line
    if route.required:
        for name in ("event_group_id", "currency"):
            if is_blank(parameters.get(name)):
                del parameters[name]
        parameters.setdefault("event_group_id", key)
        for name in route.required:
            if name not in parameters:
                made.rejected.append((line, route.event_type, _missing(route.event_type, name)))
                return notes
        if "currency" not in parameters:
            notes += _fill_currency(route, parameters)
    parameters["custom"] = custom
    event = {"event_name": route.event_type, "timestamp": timestamp, "event_params": parameters}
    made.events.append((line, route.event_type, event))
    return notes


@lru_cache(maxsize=100)  # shared by all lines, of which there may be many
def _missing(event_type: str, name: str) -> Rejected:
    remedy = f"{event_type} needs it: map a field that holds it, or correct the value"
    return Rejected("missing_event_parameter", name, remedy)


def _fill_currency(route: _Route, parameters: dict[str, Any]) -> list[Note]:
    if route.default_currency is None:
        return [("currency_missing", route.event_type)]
    parameters["currency"] = route.default_currency
    return []


def _read_occurrence(record: Record) -> tuple[str, str, float]:
    """Read the Klaviyo event id, and the time as RFC 3339 and in epoch seconds.

    Raises:
        Rejected: One of them is missing or unusable; without them repeated events cannot be recognized.
    """
    try:
        key = to_string(record.get("id"))
    except UnusableValueError:
        key = ""
    if is_blank(key):
        raise Rejected("missing_key", "id", "the record carries no Klaviyo event id: read it with tap-klaviyo")
    try:
        moment, written = utc_moment(record.get("datetime"))
    except UnusableValueError:
        raise Rejected("invalid_datetime", "datetime", "the record carries no RFC 3339 time of the event") from None
    return key, written, moment.timestamp()


def _compile_routes(settings: Settings) -> dict[str, tuple[_Route, ...]]:
    routes: dict[str, tuple[_Route, ...]] = {}
    for mapping in settings.event_mappings:
        routes[mapping.metric_name] = (*routes.get(mapping.metric_name, ()), _compile_route(settings, mapping))
    return routes


def _compile_route(settings: Settings, mapping: EventMapping) -> _Route:
    fixed = {
        full_name(row.name, PARAMETERS): row for row in (*settings.fixed_event_parameters, *mapping.fixed_parameters)
    }
    fixed_root, fixed_custom = split_fixed(fixed.values(), PARAMETERS)
    days = RETENTION_DAYS.get(mapping.event_type, settings.custom_event_retention_days)
    return _Route(
        event_type=mapping.event_type,
        kept_seconds=days * DAY_SECONDS if settings.event_retention == "skip" else float("inf"),
        items=compile_source([mapping.for_each], BAG) if mapping.for_each else None,
        whole=_compile_fill(settings, mapping, "whole", fixed),
        each=_compile_fill(settings, mapping, "each", fixed),
        fixed_root=fixed_root,
        fixed_custom=fixed_custom,
        required=REQUIRED_PARAMETERS.get(mapping.event_type, ()),
        default_currency=settings.default_currency,
    )


def _compile_fill(
    settings: Settings, mapping: EventMapping, context: Literal["whole", "each"], fixed: Iterable[str]
) -> Fill:
    """Compile the rows that apply: those of the event, then the common ones for other parameters."""
    chosen: dict[str, ParameterMapping] = {}
    for row in (*mapping.parameter_mappings, *settings.event_parameter_mappings):
        name = full_name(row.parameter, PARAMETERS)
        if row.when in (None, context) and name not in fixed:
            chosen.setdefault(name, row)
    columns = [
        compile_column(row.parameter, row.sources, row.transforms, defaults=PARAMETERS) for row in chosen.values()
    ]
    return compile_fill(columns, BAG, with_item=context == "each")


def _compile_hint(routes: Iterable[str]) -> Callable[[str], str]:
    """Compile the search for a mapped metric that differs from an unmapped one only in case or spaces."""
    mapped = {_fold(name): name for name in routes}

    @lru_cache(maxsize=1_000)
    def hint_for(metric: str) -> str:
        near = mapped.get(_fold(metric))
        if near is None:
            return ""
        return f"metric '{shown(metric)}' is not mapped, but '{shown(near)}' is: names are case-sensitive"

    return hint_for


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()
