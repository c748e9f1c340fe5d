"""JSON with numbers as written: 20-digit integers, ``0.1000``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec


def split_object(text: str) -> dict[str, str]:
    """Split a JSON object into key -> the value's text, untouched.

    >>> split_object('{"a": 0.1000, "b": {"c": 1}}')
    {'a': '0.1000', 'b': '{"c": 1}'}

    Raises:
        msgspec.DecodeError: Not a JSON object.
    """
    values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return {key: bytes(value).decode() for key, value in values.items()}


def join_object(values: Mapping[str, str]) -> str:
    """Write key -> JSON text as an object."""
    return "{" + ",".join(f"{quoted(key)}:{value}" for key, value in values.items()) + "}"


def text_of(raw: msgspec.Raw) -> str:
    """Return the text of an undecoded value."""
    return bytes(raw).decode()


def quoted(value: str) -> str:
    """Write a string as JSON."""
    return msgspec.json.encode(value).decode()


def dumps(value: Any) -> str:
    """Write JSON like :func:`json.dumps`, with :class:`~decimal.Decimal` as numbers, digit for digit."""
    match value:
        case Decimal():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(str(key))}: {dumps(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def loads(text: str | bytes) -> Any:
    """Read JSON, with decimals as :class:`~decimal.Decimal`, digit for digit."""
    return json.loads(text, parse_float=Decimal)


def is_json(body: bytes) -> bool:
    """Tell whether a body is one JSON document, in UTF-8, with numbers that a double can reach."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
