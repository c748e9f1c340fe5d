"""The rows of a mapping, as in the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class IdentifierMapping:
    """``identifier_type``: email, phone_number, uuid or custom.<name>; the first of ``sources`` that is not null."""

    identifier_type: str
    sources: tuple[str, ...]
    transforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeMapping:
    """``attribute``: a default attribute, any other name (custom), ``custom.<name>``, or ``*`` for all properties."""

    attribute: str
    sources: tuple[str, ...]
    transforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParameterMapping:
    """``when``: ``each`` = only for the items of ``for_each``, ``whole`` = only for the whole record, None = both."""

    parameter: str
    sources: tuple[str, ...]
    transforms: tuple[str, ...] = ()
    when: Literal["each", "whole"] | None = None


@dataclass(frozen=True, slots=True)
class FixedValue:
    """A value written on every profile (``name``: the attribute) or every event (the parameter)."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class EventMapping:
    """One metric that makes events of one type; ``for_each`` names the list whose items make one event each."""

    metric_name: str
    event_type: str
    for_each: str | None = None
    parameter_mappings: tuple[ParameterMapping, ...] = ()
    fixed_parameters: tuple[FixedValue, ...] = ()
