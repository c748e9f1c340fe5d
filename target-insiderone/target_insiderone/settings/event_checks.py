"""Finds mistakes in the mappings of events and their parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.errors import Finding
from singer_delivery.settings.raw_settings import Row, rows, string, strings
from singer_delivery.settings.suggestions import same_letters, similar

from target_insiderone.mapping.properties import snake_case
from target_insiderone.mapping.vocabulary import (
    EXPECTED_PARAMETERS,
    PARAMETERS,
    REQUIRED_PARAMETERS,
    RESERVED_PARAMETERS,
    RETENTION_DAYS,
    full_name,
)
from target_insiderone.settings.mapping_checks import check_fixed_value, check_name, check_transforms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVENT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Insider One's pattern without upper case, which it documents as allowed, but refuses."""

PARAMETER_ALIASES: Final[Mapping[str, str]] = {
    "qty": "quantity",
    "product_name": "name",
    "image_url": "product_image_url",
    "product_url": "url",
    "categories": "taxonomy",
}

Contexts = frozenset[str]


def check_events(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Find mistakes in ``event_mappings`` and in the parameters of all events."""
    yield from _check_parameters(config, "event_parameter_mappings", "fixed_event_parameters", "")
    pairs: set[tuple[str, str]] = set()
    spellings: dict[str, str] = {}
    for path, row in rows(config, "event_mappings"):
        metric, event_type = string(row, "metric_name"), string(row, "event_type")
        if metric and event_type and (metric, event_type) in pairs:
            yield Finding(path, f"'{metric}' makes '{event_type}' twice", "remove one of the rows")
        pairs.add((metric, event_type))
        first = spellings.setdefault(" ".join(metric.casefold().split()), metric)
        if first != metric:
            message = f"'{metric}' differs from '{first}' only in case or spaces"
            yield Finding(f"{path}.metric_name", message, "names must match exactly: use Klaviyo's spelling", "warning")
        yield from _check_event_type(f"{path}.event_type", event_type)
        yield from _check_parameters(row, "parameter_mappings", "fixed_parameters", f"{path}.")
        if not row.get("for_each"):
            yield from _check_contexts(path, row)
        yield from _check_required(path, row, config)


def _check_event_type(path: str, event_type: str) -> Iterator[Finding]:
    if not event_type.strip():
        return
    if not EVENT_NAME.fullmatch(event_type):
        suggestion = f"write `{snake_case(event_type)}`" if snake_case(event_type) else "use a-z, 0-9 and _"
        yield Finding(path, f"'{event_type}' is not an event name that Insider One accepts", suggestion)
    elif event_type in RETENTION_DAYS:
        return
    elif slip := same_letters(event_type, RETENTION_DAYS):
        yield Finding(path, f"'{event_type}' is a misspelt default event", f"write `{slip}`")
    elif near := similar(event_type, RETENTION_DAYS):
        yield Finding(path, f"'{event_type}' will be a custom event", f"did you mean the default `{near}`?", "warning")


def _check_parameters(holder: Mapping[str, Any], columns: str, fixed: str, at: str) -> Iterator[Finding]:
    fixed_names: set[str] = set()
    for path, row in rows(holder, fixed, at):
        parameter = string(row, "parameter")
        name = full_name(parameter, PARAMETERS)
        if parameter and name in fixed_names:
            yield Finding(f"{path}.parameter", f"'{parameter}' is fixed twice", "remove one")
        fixed_names.add(name)
        yield from _check_parameter_name(f"{path}.parameter", parameter)
        yield from check_fixed_value(path, parameter, row.get("value"), PARAMETERS)
    seen: dict[str, set[str]] = {}
    for path, row in rows(holder, columns, at):
        parameter = string(row, "parameter")
        name = full_name(parameter, PARAMETERS)
        yield from check_transforms(path, row)
        yield from _check_parameter_name(f"{path}.parameter", parameter)
        if any("*" in source for source in strings(row, "source_field")):
            yield Finding(f"{path}.source_field", "`*` does not work for parameters", "name each field of the event")
        if parameter and seen.setdefault(name, set()) & _contexts(row):
            yield Finding(
                f"{path}.parameter",
                f"'{parameter}' is mapped by two rows",
                "remove one, or list both sources in the source_field of one row: the first that is not null wins",
            )
        seen.setdefault(name, set()).update(_contexts(row))
        if name in fixed_names:
            message = f"'{parameter}' also has a fixed value, which wins"
            yield Finding(f"{path}.parameter", message, "remove the row, or the fixed parameter", "warning")


def _check_parameter_name(path: str, parameter: str) -> Iterator[Finding]:
    if parameter.removeprefix("custom.") in RESERVED_PARAMETERS:
        yield Finding(path, f"'{parameter}' is written by the target itself", "choose another name")
        return
    yield from check_name(path, parameter, PARAMETERS, PARAMETER_ALIASES, "parameter")


def _check_contexts(path: str, row: Row) -> Iterator[Finding]:
    for inner, column in rows(row, "parameter_mappings", f"{path}."):
        if column.get("when") == "each":
            yield Finding(f"{inner}.when", "never applies: the event has no for_each", "add for_each, or remove when")


def _check_required(path: str, row: Row, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that purchase-like events have the parameters that Insider One needs, with and without items."""
    event_type = string(row, "event_type")
    if event_type not in REQUIRED_PARAMETERS:
        return
    contexts = {"whole", "each"} if row.get("for_each") else {"whole"}
    where = f"{path}.parameter_mappings"
    for name in REQUIRED_PARAMETERS[event_type]:
        missing = contexts - _fed(name, row, config)
        if missing == contexts:
            yield Finding(where, f"{event_type} lacks the required `{name}`, and would be refused", f"map `{name}`")
        elif missing:
            what = "the items of for_each" if "each" in missing else "records without items"
            yield Finding(
                where, f"{event_type} lacks `{name}` for {what}: they will be rejected", f"map `{name}`", "warning"
            )
    for name in EXPECTED_PARAMETERS[event_type]:
        if contexts - _fed(name, row, config) and not (name == "currency" and config.get("default_currency")):
            suggestion = "map `currency`, or set default_currency" if name == "currency" else f"map `{name}`"
            yield Finding(where, f"{event_type} lacks `{name}`, which Insider One expects", suggestion, "warning")


def _fed(parameter: str, row: Row, config: Mapping[str, Any]) -> set[str]:
    """The contexts in which a row or a fixed value sets a parameter."""
    fixed = [*rows(row, "fixed_parameters"), *rows(config, "fixed_event_parameters")]
    if any(string(given, "parameter") == parameter for _, given in fixed):
        return {"whole", "each"}
    columns = [*rows(row, "parameter_mappings"), *rows(config, "event_parameter_mappings")]
    return {
        context for _, column in columns if string(column, "parameter") == parameter for context in _contexts(column)
    }


def _contexts(row: Row) -> Contexts:
    when = row.get("when")
    return frozenset({when}) if when in ("each", "whole") else frozenset({"whole", "each"})
