"""The named transforms of a mapping: ``name``, or ``name:argument``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from singer_delivery.mapping.countries import to_country
from singer_delivery.mapping.dates import to_birthday, to_date, to_datetime
from singer_delivery.mapping.values import (
    SCALARS,
    UnusableValueError,
    check_numbers,
    is_blank,
    to_integer,
    to_number,
    to_string,
    trim,
)
from singer_delivery.settings.suggestions import did_you_mean

Transform = Callable[[Any], Any]
"""A non-null value -> the transformed value, or None to leave it out.

Raises UnusableValueError, and nothing else, for a value that it cannot take.
"""

Parametric = Mapping[str, Callable[[str | None], Transform]]
"""Name -> compiles the transform from its argument; None: without one."""

_TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0"})
LONGEST_LOCALE = 40
LONGEST_NUMBER = 100
_BLANK_GROUPS: Final = r"[ '\u2019\u00a0\u2009\u202f]"
_WRITTEN: Final[Mapping[str, tuple[str, str]]] = {
    "comma": (rf"\.|{_BLANK_GROUPS}", ","),
    "point": (rf",|{_BLANK_GROUPS}", r"\."),
}
"""Argument of ``number`` -> the thousands separator, and the decimal separator."""
_CURRENCY_SIGN: Final = re.compile(
    r"(?<![^+\-\u2212])[$\u00a2-\u00a5\u20a0-\u20c0]\s*|\s*[$\u00a2-\u00a5\u20a0-\u20c0]$"
)
_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?")
_JSON = msgspec.json.Encoder(decimal_format="number", order="sorted")


class TransformError(ValueError):
    """An unknown transform, or a wrong argument, in the settings; ``suggestion`` says what to write."""

    def __init__(self, message: str, suggestion: str) -> None:
        self.suggestion = suggestion
        super().__init__(message)


def compile_transforms(specs: Sequence[str], more: Parametric = MappingProxyType({})) -> Transform | None:
    """Compile transforms that are applied in order; None if there are none.

    *more*: transforms of a destination, in addition to those of this module. Null and absent values skip every
    transform except ``default``, which also replaces blank strings.

    >>> compile_transforms(["trim", "lower"])("  Ada ")
    'ada'

    Raises:
        TransformError: A name is unknown, or an argument is missing or wrong.
    """
    steps = [(_compile(spec, more), spec.startswith("default:")) for spec in specs]
    if not steps:
        return None
    if len(steps) == 1 and not steps[0][1]:
        return steps[0][0]

    def apply(value: Any) -> Any:
        for step, fills in steps:
            if (value is None or is_blank(value)) if fills else value is not None:
                value = step(value)
        return value

    return apply


def fills_null(specs: Sequence[str]) -> bool:
    """Whether the transforms replace an absent value."""
    return any(spec.startswith("default:") for spec in specs)


def _compile(spec: str, more: Parametric) -> Transform:
    name, colon, argument = spec.partition(":")
    if with_argument := more.get(name) or PARAMETRIC.get(name):
        return with_argument(argument if colon else None)
    if name not in TRANSFORMS:
        known = sorted({*TRANSFORMS, *PARAMETRIC, *more})
        suggestion = did_you_mean(name.strip().lower(), known, f"one of {', '.join(known)}")
        raise TransformError(f"unknown transform '{name}'", suggestion)
    if colon:
        raise TransformError(f"transform '{name}' takes no argument", f"write '{name}'")
    return TRANSFORMS[name]


def _to_boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    word = trim(to_string(value)).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise UnusableValueError("not_a_boolean")


def _on_text(change: Callable[[str], str]) -> Transform:
    def to_changed(value: Any) -> str:
        if type(value) is not str:
            raise UnusableValueError("not_a_text")
        return change(value)

    return to_changed


def _to_locale(value: Any) -> str:
    """Convert ``en-US`` to ``en_US``."""
    locale = _read_locale(value) if type(value) is str and len(value) <= LONGEST_LOCALE else None
    if locale is None:
        raise UnusableValueError("not_a_locale")
    return locale


@lru_cache(maxsize=1_000)
def _read_locale(text: str) -> str | None:
    match = _LOCALE.fullmatch(trim(text))
    if match is None:
        return None
    language, script, region = match.groups(default="")
    return "_".join(part for part in (language.lower(), script.title(), region.upper()) if part)


def _to_json(value: Any) -> Any:
    """Convert an object or an array to a JSON string with sorted keys; a scalar stays as it is."""
    if type(value) in SCALARS:
        return value
    try:
        return _JSON.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        raise UnusableValueError("not_json") from None


def _to_first(value: Any) -> Any:
    """Return the first element that is neither null nor blank, else the first."""
    if type(value) is not list:
        return value
    return next(
        (element for element in value if element is not None and not is_blank(element)), next(iter(value), None)
    )


def _compile_join(argument: str | None) -> Transform:
    separator = ", " if argument is None else argument

    def to_joined(value: Any) -> str:
        elements = value if type(value) is list else [value]
        return separator.join(to_string(element) for element in elements if element is not None)

    return to_joined


def _compile_number(argument: str | None) -> Transform:
    """Compile a number parser: JSON notation, or with a decimal comma or a decimal point and thousands separators."""
    if argument is None:
        return to_number
    if argument not in _WRITTEN:
        raise TransformError(
            "unknown argument of transform 'number'",
            "write 'number', 'number:comma' (1.234,50) or 'number:point' (1,234.50)",
        )
    grouping, decimal_sign = _WRITTEN[argument]
    written = re.compile(
        rf"([+-]?)([0-9]*|[0-9]{{1,3}}(?:({grouping})[0-9]{{3}}(?:\3[0-9]{{3}})*))(?:{decimal_sign}([0-9]+))?"
    )

    def to_written_number(value: Any) -> Any:
        if type(value) is not str or len(value) > LONGEST_NUMBER:
            return to_number(value)
        match = written.fullmatch(trim(_CURRENCY_SIGN.sub("", trim(value), count=1)).replace("\u2212", "-"))
        if match is None:
            raise UnusableValueError("not_a_number")
        sign, whole, _, fraction = match.groups()
        return to_number(f"{sign}{''.join(filter(str.isdigit, whole))}{'.' + fraction if fraction else ''}")

    return to_written_number


def _compile_default(argument: str | None) -> Transform:
    if not argument:
        raise TransformError("transform 'default' has no value", "write 'default:<value>', such as 'default:1'")
    try:
        fallback = json.loads(argument)
        check_numbers([fallback])
    except json.JSONDecodeError:
        fallback = argument
    except UnusableValueError:
        raise TransformError(
            "transform 'default' has a number that no double can hold", "write a smaller one"
        ) from None

    def to_default(_value: Any) -> Any:
        return fallback

    return to_default


def _compile_map(argument: str | None) -> Transform:
    hint = """write 'map:{"from": "to", "*": "anything else"}'"""
    try:
        table = json.loads(argument or "")
    except json.JSONDecodeError:
        raise TransformError("the argument of transform 'map' is not a JSON object", hint) from None
    if not isinstance(table, dict) or not table:
        raise TransformError("the argument of transform 'map' is not a JSON object", hint)
    try:
        check_numbers(table.values())
    except UnusableValueError:
        raise TransformError("transform 'map' has a number that no double can hold", "write a smaller one") from None

    def to_mapped(value: Any) -> Any:
        key = to_string(value)
        if key in table:
            return table[key]
        if "*" in table:
            return table["*"]
        raise UnusableValueError("not_in_map")

    return to_mapped


TRANSFORMS: Mapping[str, Transform] = {
    "date": to_date,
    "datetime": to_datetime,
    "birthday": to_birthday,
    "integer": to_integer,
    "boolean": _to_boolean,
    "string": to_string,
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "trim": _on_text(trim),
    "country": to_country,
    "locale": _to_locale,
    "json": _to_json,
    "first": _to_first,
}
"""Name -> transform without an argument."""

PARAMETRIC: Parametric = {
    "join": _compile_join,
    "number": _compile_number,
    "default": _compile_default,
    "map": _compile_map,
}
