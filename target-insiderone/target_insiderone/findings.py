"""Every mistake in the settings, found in one go before the first request."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from target_insiderone.config_schema import CONFIG_JSONSCHEMA, PROPERTIES
from target_insiderone.configured import path_of
from target_insiderone.disclosure import shown
from target_insiderone.errors import Finding
from target_insiderone.event_checks import check_events
from target_insiderone.mapping_checks import check_mappings
from target_insiderone.near_miss import did_you_mean, same_letters, similar
from target_insiderone.sdk_checks import check_sdk_settings
from target_insiderone.setting_checks import check_settings
from target_insiderone.variables import where_to_give

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Finding", "find"]

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
"""Settings of the Singer SDK that work here as they do in every target."""

REFUSED_SDK_SETTINGS: Final[Mapping[str, tuple[Any, str]]] = {
    "validate_records": (True, "validation is what turns a bad record into one reject instead of a failed run"),
    "add_record_metadata": (False, "the _sdc columns would become part of the records, and of the people's attributes"),
    "load_method": ("append-only", "every record is an upsert, whatever the load method"),
    "hard_delete": (False, "nothing is ever deleted from Insider One by a sync"),
    "process_activate_version_messages": (True, "versions of a stream mean nothing to Insider One"),
    "emit_activate_version_messages": (False, "a target emits nothing but STATE"),
    "batch_config": (None, "records are read from the input only, not from batch files"),
    "default_target_schema": (None, "Insider One has no schemas"),
    "use_singer_decimal": (False, "numbers are read and sent exactly as they are"),
}
"""Settings of the Singer SDK that would break a promise -> the one value that is harmless, and why no other."""

MELTANO_HINT: Final = (
    r"Meltano replaces $NAME and ${name} in settings, and leaves nothing where the variable is not set: set it, "
    r"or write \$NAME for a literal dollar"
)

_TYPE_WORDS: Final[Mapping[str, str]] = {
    "boolean": "true or false",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}
"""JSON Schema's word for a type -> ours."""

_REQUIRED_HINTS: Final[Mapping[str, str]] = {
    "partner_name": "the name from Insider One's account settings, in lower case",
    "api_key": "an Insider One key of type Unified Customer Database",
    "identifier_mappings": "for example [{identifier_type: email, source_field: email}]",
}


def find(config: Mapping[str, Any]) -> list[Finding]:
    """List every mistake in the settings, errors and warnings, without the value of any secret.

    A top-level setting that is null counts as not given.
    """
    given = {name: value for name, value in config.items() if value is not None}
    return [
        *_check_schema(given),
        *_check_names(given),
        *_check_empty(given, []),
        *check_settings(given),
        *check_mappings(given),
        *check_events(given),
        *check_sdk_settings(given),
    ]


@cache
def _validator() -> Any:
    declared = {**CONFIG_JSONSCHEMA, "properties": PROPERTIES}
    return jsonschema_rs.validator_for(declared)


def _place(setting: str) -> str:
    return where_to_give(os.environ, "TARGET_INSIDERONE_", setting)


def _check_schema(config: Mapping[str, Any]) -> Iterator[Finding]:
    own = {name: value for name, value in config.items() if name in PROPERTIES}
    for error in _validator().iter_errors(own):
        yield from _schema_findings(error.kind.name, error.kind.value, list(error.instance_path), own)


def _schema_findings(kind: str, expected: Any, parts: list[str | int], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Word one violation of the schema, without the value that violates it."""
    path = path_of(parts)
    if kind == "required":
        hint = _REQUIRED_HINTS.get(expected, f"add `{expected}`")
        yield Finding(path_of([*parts, expected]), "is missing", hint if parts else f"{hint}; {_place(expected)}")
    elif kind == "additionalProperties":
        known = sorted(_schema_at(parts)["properties"])
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
            "is none of the values that this setting takes",
            did_you_mean(value, options, listed) if isinstance(value, str) else listed,
        )
    elif kind == "minItems":
        yield Finding(path, "has no row", _REQUIRED_HINTS.get(path, "name at least one"))
    elif kind in {"minimum", "maximum"}:
        side = "least" if kind == "minimum" else "most"
        unit = PROPERTIES[path].get("unit", "")
        yield Finding(path, "is out of range", f"at {side} {expected:,} {unit}".rstrip())
    elif kind == "type":
        words = [_TYPE_WORDS.get(word, word) for word in expected if word != "null"]
        yield Finding(path, "is of the wrong type", f"write {' or '.join(words)}")
    elif kind == "pattern":
        yield Finding(path, "holds characters that it must not", f"it has to match {expected}")
    elif kind != "minLength":  # an empty text is found by _check_empty, which sees nested ones, too
        yield Finding(path, f"does not fit its declaration ({kind})", "see the description of the setting")


def _schema_at(parts: list[str | int]) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": PROPERTIES}
    for part in parts:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    return schema


def _value_at(config: Any, parts: list[str | int]) -> Any:
    for part in parts:
        config = config[part]
    return config


def _check_names(config: Mapping[str, Any]) -> Iterator[Finding]:
    for name in config.keys() - PROPERTIES.keys() - SDK_SETTINGS:
        if name in REFUSED_SDK_SETTINGS:
            harmless, reason = REFUSED_SDK_SETTINGS[name]
            if config[name] != harmless:
                yield Finding(name, "this setting of the Singer SDK is refused", f"remove it: {reason}")
            continue
        known = [*PROPERTIES, *sorted(SDK_SETTINGS)]
        near = same_letters(name, known) or similar(name, known, similarity=0.75)
        suggestion = f"did you mean `{near}`?" if near else "remove it: nothing would read it"
        yield Finding(shown(name), "there is no such setting", suggestion)


def _check_empty(value: Any, parts: list[str | int]) -> Iterator[Finding]:
    """Find texts that are empty, most of them variables that were not set; a fixed value may be empty."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "value":
                yield from _check_empty(inner, [*parts, key])
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _check_empty(inner, [*parts, place])
    elif isinstance(value, str) and not value.strip():
        yield Finding(path_of(parts), "is empty", MELTANO_HINT)
