"""Finds mistakes in the settings of the Singer SDK: stream maps and flattening."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.disclosure import shown
from singer_delivery.errors import Finding
from singer_delivery.settings.raw_settings import path_of
from singer_delivery.settings.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FUNCTIONS: Final = ("bool", "float", "int", "md5", "rand", "randint", "sha256", "str")
"""Functions that an expression of a stream map may call. Source: CustomStreamMap.functions of the SDK."""

_MAP_KEYS: Final[Mapping[str, str]] = {
    "__alias__": "the name of a stream",
    "__else__": "null or __NULL__",
    "__filter__": "an expression as a string",
    "__key_properties__": "a list of strings",
    "__source__": "the name of a stream",
}
_NULLS: Final = (None, "__NULL__")


def check_sdk_settings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what would make the SDK fail at the first SCHEMA."""
    maps = config.get("stream_maps")
    if isinstance(maps, dict):
        for stream, mapped in maps.items():
            yield from _check_stream(stream, mapped)
    for name in ("stream_maps", "stream_map_config", "faker_config"):
        if not isinstance(config.get(name, {}), dict):
            yield Finding(name, "is of the wrong type", "write an object")
    faker = config.get("faker_config")
    if isinstance(faker, dict):
        yield from _check_faker(faker)
    yield from _check_flattening(config)


def _check_stream(stream: str, mapped: Any) -> Iterator[Finding]:
    path = path_of(["stream_maps", shown(stream)])
    if stream.startswith("__"):
        if stream != "__else__":
            yield Finding(path, "there is no such key", "the only key besides streams is `__else__`")
        elif mapped not in _NULLS:
            yield Finding(path, "is not one of the values that this key takes", "write null or __NULL__")
    elif isinstance(mapped, dict):
        for name, value in mapped.items():
            yield from _check_column(f"{path}.{shown(name)}", name, value)
    elif mapped not in _NULLS:
        yield Finding(path, "is of the wrong type", "write an object, or null to leave the stream out")


def _check_column(path: str, name: str, value: Any) -> Iterator[Finding]:
    if name in _MAP_KEYS:
        if not _fits(name, value):
            yield Finding(path, "is of the wrong type", f"write {_MAP_KEYS[name]}")
        elif name == "__filter__":
            yield from _check_expression(path, value)
    elif name.startswith("__") and name.endswith("__"):
        yield Finding(
            path, "there is no such key", did_you_mean(name, _MAP_KEYS, f"the keys are {', '.join(_MAP_KEYS)}")
        )
    elif isinstance(value, str):
        if value not in _NULLS and value.strip():  # empty ones are reported elsewhere
            yield from _check_expression(path, value)
    elif value is not None:
        yield Finding(path, "is of the wrong type", "write an expression as a string, or null to drop the property")


def _fits(name: str, value: Any) -> bool:
    if name == "__else__":
        return value in _NULLS
    if name == "__key_properties__":
        return value is None or (isinstance(value, list) and all(isinstance(key, str) for key in value))
    return isinstance(value, str)


def _check_expression(path: str, expression: str) -> Iterator[Finding]:
    """Find what makes an expression fail for every record; names may be properties, so they are not checked."""
    try:
        statements = ast.parse(expression).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" near column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        yield Finding(path, f"is not a Python expression{place}", "write one, such as `first_name.strip()`")
        return
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        yield Finding(path, "is not a single expression", "write one expression, without assignment")
        return
    for node in ast.walk(statements[0]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in FUNCTIONS:
            meant = did_you_mean(node.func.id, FUNCTIONS, f"the functions are {', '.join(FUNCTIONS)}")
            yield Finding(path, f"there is no function `{shown(node.func.id)}`", meant)


def _check_faker(faker: Mapping[str, Any]) -> Iterator[Finding]:
    locale = faker.get("locale")
    locales = locale if isinstance(locale, list) else [locale]
    if locale is not None and not all(isinstance(one, str) for one in locales):
        yield Finding(
            "faker_config.locale", "is of the wrong type", "write a string, such as en_US, or a list of strings"
        )
    if isinstance(faker.get("seed"), (dict, list)):
        yield Finding("faker_config.seed", "is of the wrong type", "write a number or a string")


def _check_flattening(config: Mapping[str, Any]) -> Iterator[Finding]:
    enabled = config.get("flattening_enabled")
    if enabled is not None and not isinstance(enabled, bool):
        yield Finding("flattening_enabled", "is of the wrong type", "write true or false")
    for name, least in (("flattening_max_depth", 0), ("flattening_max_key_length", 1)):
        value = config.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            yield Finding(name, "is of the wrong type", "write a whole number")
        elif value < least:
            yield Finding(name, "is out of range", f"at least {least}")
    if enabled is True and config.get("flattening_max_depth") is None:
        yield Finding("flattening_max_depth", "is missing", "flattening_enabled needs it; write 1 or more")
    separator = config.get("flattening_separator")
    if separator is not None and not isinstance(separator, str):
        yield Finding("flattening_separator", "is of the wrong type", "write a string, such as __")
