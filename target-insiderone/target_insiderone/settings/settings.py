"""The settings as a typed object, read once at the start of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from singer_delivery.settings.declarations import DeliverySettings, values_of

from target_insiderone.mapping.rows import (
    AttributeMapping,
    EventMapping,
    FixedValue,
    IdentifierMapping,
    ParameterMapping,
)
from target_insiderone.settings.config_schema import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(DeliverySettings):
    """All settings with their defaults applied; `config_schema` describes each."""

    partner_name: str
    api_key: str = field(repr=False)
    identifier_mappings: tuple[IdentifierMapping, ...]
    attribute_mappings: tuple[AttributeMapping, ...]
    fixed_attributes: tuple[FixedValue, ...]
    event_mappings: tuple[EventMapping, ...]
    event_parameter_mappings: tuple[ParameterMapping, ...]
    fixed_event_parameters: tuple[FixedValue, ...]
    default_currency: str | None
    skip_hook: bool
    skip_hook_older_than_hours: int
    normalize_phone_numbers: bool
    on_invalid_identifier: Literal["skip_identifier", "skip_record"]
    array_mode: Literal["replace", "append"]
    null_handling: Literal["omit", "delete"]
    event_retention: Literal["skip", "send"]
    custom_event_retention_days: int
    future_events: Literal["send", "skip"]
    error_callback_endpoint: str | None = field(repr=False)
    api_url: str

    @property
    def scope(self) -> str:
        """Separates the ledger keys of pipelines."""
        return f"{self.partner_name}/{self.integration_name}"


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Read a valid configuration (`findings.find` has no errors), and apply the defaults."""
    values = values_of(config, PROPERTIES)
    phone, identifier = values.pop("phone_number_settings"), values.pop("identifier_settings")
    return Settings(
        **values
        | {
            "identifier_mappings": tuple(_identifier(row) for row in values["identifier_mappings"]),
            "attribute_mappings": tuple(_attribute(row) for row in values["attribute_mappings"]),
            "fixed_attributes": tuple(FixedValue(row["attribute"], row["value"]) for row in values["fixed_attributes"]),
            "event_mappings": tuple(_event(row) for row in values["event_mappings"]),
            "event_parameter_mappings": _parameters(values["event_parameter_mappings"]),
            "fixed_event_parameters": _fixed_parameters(values["fixed_event_parameters"]),
            "normalize_phone_numbers": phone["normalize"],
            "default_country": phone["default_country"],
            "on_invalid_identifier": identifier["on_invalid"],
            "api_url": values["api_url"].rstrip("/"),
        },
    )


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read a setting that is one name, a list of names, or nothing."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _identifier(row: Row) -> IdentifierMapping:
    return IdentifierMapping(row["identifier_type"], _names(row["source_field"]), _names(row.get("transform")))


def _attribute(row: Row) -> AttributeMapping:
    return AttributeMapping(row["attribute"], _names(row["source_field"]), _names(row.get("transform")))


def _parameters(rows: Sequence[Row] | None) -> tuple[ParameterMapping, ...]:
    return tuple(
        ParameterMapping(row["parameter"], _names(row["source_field"]), _names(row.get("transform")), row.get("when"))
        for row in rows or ()
    )


def _fixed_parameters(rows: Sequence[Row] | None) -> tuple[FixedValue, ...]:
    return tuple(FixedValue(row["parameter"], row["value"]) for row in rows or ())


def _event(row: Row) -> EventMapping:
    return EventMapping(
        row["metric_name"],
        row["event_type"],
        row.get("for_each"),
        _parameters(row.get("parameter_mappings")),
        _fixed_parameters(row.get("fixed_parameters")),
    )
