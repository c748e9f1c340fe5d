"""JSON with exact numbers: integers of any size, decimals digit by digit."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Python to JSON: Decimals as exact numbers, keys in insertion order."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_LONGEST_INTEGER: Final = 4_300
"""Python refuses to parse longer strings as integers."""

_LARGEST_EXPONENT: Final = 999_999


def decode(text: bytes | str) -> Any:
    """Decode JSON: integers of any size stay integers, decimals become Decimal.

    Numbers that Python cannot parse become Decimals too, so that one number never costs a line: an integer of thousands
    of digits exactly, an exponent of more than 18 digits as one of six digits, far beyond a double.

    Raises:
        msgspec.DecodeError: Invalid JSON.
        UnicodeDecodeError: Invalid UTF-8.
        RecursionError: Nested too deeply.
    """
    try:
        return _decode(text)
    except (ArithmeticError, msgspec.ValidationError):
        return json.loads(text, parse_int=_read_integer, parse_float=_read_decimal, parse_constant=_refuse)


def _read_integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else Decimal(digits)


def _read_decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        mantissa, _, exponent = digits.lower().partition("e")
        if not mantissa.strip("-0."):
            return Decimal(0)
        power = -_LARGEST_EXPONENT if exponent.startswith("-") else _LARGEST_EXPONENT
        return Decimal(f"{'-' if mantissa.startswith('-') else ''}1e{power}")


def _refuse(name: str) -> Any:
    raise msgspec.DecodeError(f"{name} is not JSON")
