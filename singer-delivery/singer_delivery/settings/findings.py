"""Finds every mistake in the settings at once, before the first request."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jsonschema_rs

from singer_delivery.disclosure import shown
from singer_delivery.errors import Finding
from singer_delivery.settings.raw_settings import path_of
from singer_delivery.settings.sdk_checks import check_sdk_settings
from singer_delivery.settings.suggestions import did_you_mean, same_letters, similar
from singer_delivery.settings.variables import where_to_give

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SDK_SETTINGS: Final = frozenset(
    {
        "stream_maps",
        "stream_map_config",
        "faker_config",
        "flattening_enabled",
        "flattening_max_depth",
        "flattening_max_key_length",
        "flattening_separator",
    }
)
"""Settings of the Singer SDK that work as in every target."""

REFUSED_SDK_SETTINGS: Final[Mapping[str, tuple[Any, str]]] = {
    "validate_records": (True, "validation turns a bad record into one reject instead of a failed run"),
    "load_method": ("append-only", "every record is an upsert, whatever the load method"),
    "emit_activate_version_messages": (False, "a target emits nothing but STATE"),
    "batch_config": (None, "records are read from the input only, not from batch files"),
    "use_singer_decimal": (False, "numbers are read and sent exactly as they are"),
}
"""Settings of the Singer SDK that would break our guarantees -> (harmless value, why no other is accepted)."""

MELTANO_HINT: Final = (
    r"Meltano replaces $NAME and ${name} in settings, with nothing if the variable is not set: set it, or write "
    r"\$NAME for a literal dollar"
)

_TYPE_WORDS: Final[Mapping[str, str]] = {
    "boolean": "true or false",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}
"""JSON Schema type -> its name in messages."""


class Declared(NamedTuple):
    """A plugin's declaration of its settings.

    *variables*: prefix of its environment variables. *properties*: name -> schema. *required*: settings without a
    default. *hints*: what to write if one of these is missing. *refused*: settings of the Singer SDK that would break
    our guarantees -> (harmless value, why no other is accepted). *checks*: find mistakes that the schema cannot
    express.
    """

    variables: str
    properties: Mapping[str, Any]
    required: Sequence[str]
    hints: Mapping[str, str] = MappingProxyType({})
    refused: Mapping[str, tuple[Any, str]] = MappingProxyType({})
    checks: Sequence[Callable[[Mapping[str, Any]], Iterable[Finding]]] = ()


def find(config: Mapping[str, Any], declared: Declared) -> list[Finding]:
    """List every mistake in the settings, errors and warnings, without the value of any secret.

    A top-level setting that is null counts as not given.
    """
    given = {name: value for name, value in config.items() if value is not None}
    return [
        *_check_schema(given, declared),
        *_check_names(given, declared),
        *_check_empty(given, []),
        *(finding for check in declared.checks for finding in check(given)),
        *check_sdk_settings(given),
    ]


def _check_schema(config: Mapping[str, Any], declared: Declared) -> Iterator[Finding]:
    own = {name: value for name, value in config.items() if name in declared.properties}
    schema = {"type": "object", "properties": declared.properties, "required": list(declared.required)}
    for error in jsonschema_rs.validator_for(schema).iter_errors(own):
        yield from _schema_findings(declared, error.kind.name, error.kind.value, list(error.instance_path), own)


def _schema_findings(
    declared: Declared, kind: str, expected: Any, parts: list[str | int], config: Mapping[str, Any]
) -> Iterator[Finding]:
    """Describe one violation of the schema, without the invalid value."""
    path = path_of(parts)
    if kind == "required":
        hint = declared.hints.get(expected, f"add `{expected}`")
        place = "" if parts else f"; {where_to_give(os.environ, declared.variables, expected)}"
        yield Finding(path_of([*parts, expected]), "is missing", hint + place)
    elif kind == "additionalProperties":
        known = sorted(_schema_at(declared.properties, parts)["properties"])
        for name in expected:
            yield Finding(
                path_of([*parts, shown(name)]),
                "there is no such key",
                did_you_mean(name, known, f"the keys are {', '.join(known)}"),
            )
    elif kind == "enum":
        options = [option for option in expected if option is not None]
        listed = f"one of {', '.join(options)}"
        value = _value_at(config, parts)
        yield Finding(
            path,
            "is not one of the values that this setting takes",
            did_you_mean(value, options, listed) if isinstance(value, str) else listed,
        )
    elif kind == "minItems":
        yield Finding(path, "has no row", declared.hints.get(path, "name at least one"))
    elif kind in {"minimum", "maximum"}:
        side = "least" if kind == "minimum" else "most"
        unit = declared.properties[path].get("unit", "")
        yield Finding(path, "is out of range", f"at {side} {expected:,} {unit}".rstrip())
    elif kind == "type":
        words = [_TYPE_WORDS.get(word, word) for word in expected if word != "null"]
        yield Finding(path, "is of the wrong type", f"write {' or '.join(words)}")
    elif kind == "pattern":
        yield Finding(path, "contains invalid characters", f"it must match {expected}")
    elif kind != "minLength":  # empty strings are found by _check_empty, nested ones included
        yield Finding(path, f"does not fit its declaration ({kind})", "see the description of the setting")


def _schema_at(properties: Mapping[str, Any], parts: list[str | int]) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": properties}
    for part in parts:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    return schema


def _value_at(config: Any, parts: list[str | int]) -> Any:
    for part in parts:
        config = config[part]
    return config


def _check_names(config: Mapping[str, Any], declared: Declared) -> Iterator[Finding]:
    all_refused = {**REFUSED_SDK_SETTINGS, **declared.refused}
    for name in config.keys() - declared.properties.keys() - SDK_SETTINGS:
        if name in all_refused:
            harmless, reason = all_refused[name]
            if config[name] != harmless:
                yield Finding(name, "this setting of the Singer SDK is refused", f"remove it: {reason}")
            continue
        known = [*declared.properties, *sorted(SDK_SETTINGS)]
        near = same_letters(name, known) or similar(name, known, similarity=0.75)
        suggestion = f"did you mean `{near}`?" if near else "remove it: nothing would read it"
        yield Finding(shown(name), "there is no such setting", suggestion)


def _check_empty(value: Any, parts: list[str | int]) -> Iterator[Finding]:
    """Find empty strings, most of them variables that were not set; a fixed value may be empty."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "value":
                yield from _check_empty(inner, [*parts, key])
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _check_empty(inner, [*parts, place])
    elif isinstance(value, str) and not value.strip():
        yield Finding(path_of(parts), "is empty", MELTANO_HINT)
