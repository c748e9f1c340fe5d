"""Converts values to the types that APIs take: string, number, boolean, flat array."""

from __future__ import annotations

import math
import sys
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SCALARS: Final = frozenset({str, int, float, bool, Decimal})
NUMBERS: Final = frozenset({int, float, Decimal})
CONTAINERS: Final = frozenset({list, dict})
LARGEST_EXPONENT = 40
"""A number with more than 40 digits, parsed from or formatted as a string, is a mistake, and could fill the memory."""

LARGEST: Final = Decimal(sys.float_info.max)
SMALLEST: Final = Decimal(sys.float_info.min) * Decimal(sys.float_info.epsilon)
"""Range of a JSON number other than 0: APIs read it as a double, and refuse the whole request outside that range."""

EXPONENTS_WITHIN: Final = 300
EXPONENTS_COMPARED: Final = 400
DOUBLE_BITS: Final = sys.float_info.max_exp

# fmt: off
_INVISIBLE_RANGES: Final = (
    (0x0, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F),
    (0x890, 0x891), (0x8E2, 0x8E2), (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x2064), (0x2066, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD),
    (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)
# fmt: on
EMPTY: Final[tuple[Any, ...]] = ("", [], {})
FILLERS: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Invisible letters and symbols: Hangul fillers, the empty Braille cell."""

INVISIBLE: Final = FILLERS + "".join(chr(code) for first, last in _INVISIBLE_RANGES for code in range(first, last + 1))
"""Whitespace (Unicode category Z), control characters (Cc), format characters (Cf: direction and byte order marks,
zero-width spaces), and fillers."""

JOINERS: Final = "\u200c\u200d"
FORMAT_MARKS: Final = dict.fromkeys(
    ord(mark) for mark in INVISIBLE if unicodedata.category(mark) == "Cf" and mark not in JOINERS
)
"""Characters to remove from within an address, for ``str.translate``; joiners are kept, since they are meaningful in
some languages."""


class UnusableValueError(ValueError):
    """A value that a transform, an attribute or a parameter cannot take; ``code`` says why, without the value."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def trim(text: str) -> str:
    """Strip invisible characters at both ends: whitespace of every kind, control and format characters.

    >>> trim("\u202a ada@example.com\u00a0")
    'ada@example.com'
    """
    return text.strip() if text.isascii() and text.isprintable() else text.strip(INVISIBLE)


def is_blank(value: Any) -> bool:
    """Whether a value has nothing visible: empty, whitespace only, or a list of such elements.

    >>> [is_blank(value) for value in (" ", [], {}, [None, ""], 0, False, [0])]
    [True, True, True, True, False, False, False]
    """
    if type(value) is str:
        return not "!" <= value <= "~" and not trim(value)
    if type(value) is list:
        return all(element is None or element in EMPTY or _is_blank_text(element) for element in value)
    return type(value) is dict and not value


def _is_blank_text(value: Any) -> bool:
    return type(value) is str and not trim(value)


def to_string(value: Any) -> str:
    """Convert a scalar to a string: integers exactly, ``1001.0`` as ``1001``, booleans in lower case.

    Raises:
        UnusableValueError: An object or an array.
    """
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int and abs(value) < 10**LARGEST_EXPONENT:
        return str(value)
    if type(value) is float or type(value) is Decimal:
        return _number_text(value)
    raise UnusableValueError("not_a_text")


def to_number(value: Any) -> int | float | Decimal:
    """Return a number as it is, or parse a string exactly (never as a float).

    >>> to_number("12.50"), to_number(" 7 ")
    (Decimal('12.50'), 7)

    Raises:
        UnusableValueError: Not a number, or outside the range of a double.
    """
    if type(value) in NUMBERS:
        number_given: int | float | Decimal = _within_double(value)
        return number_given
    if type(value) is not str:
        raise UnusableValueError("not_a_number")
    text = trim(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UnusableValueError("not_a_number") from None
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT or "_" in text:
        raise UnusableValueError("not_a_number")
    return int(number) if number.as_tuple().exponent == 0 else number


def to_integer(value: Any) -> int:
    """Convert to an integer, also from ``2.0`` or a string.

    Raises:
        UnusableValueError: Not a number, or one with a fraction.
    """
    number = to_number(value)
    if type(number) is int:
        return number
    exact = Decimal(number)
    if not exact.is_finite() or abs(exact.adjusted()) > LARGEST_EXPONENT or exact != exact.to_integral_value():
        raise UnusableValueError("not_an_integer")
    return int(exact)


def to_boolean(value: Any) -> bool:
    """Return a boolean as it is; nothing else is converted, since an opt-in must not be guessed.

    Raises:
        UnusableValueError: Anything else.
    """
    if type(value) is bool:
        return value
    raise UnusableValueError("not_a_boolean")


def to_strings(value: Any) -> list[str]:
    """Convert to a list of strings; a single value becomes a list.

    Raises:
        UnusableValueError: An object, or an array that holds one.
    """
    if type(value) is list:
        return [to_string(element) for element in value if element is not None]
    return [to_string(value)]


def to_numbers(value: Any) -> list[int | float | Decimal]:
    """Convert to a list of numbers; a single value becomes a list.

    Raises:
        UnusableValueError: An element is not a number.
    """
    if type(value) is list:
        return [to_number(element) for element in value]
    return [to_number(value)]


def to_plain(value: Any) -> Any:
    """Return a scalar or a flat array as it is; destinations have no type for objects.

    Raises:
        UnusableValueError: An object, an array of objects or arrays, or a number outside the range of a double.
    """
    if type(value) in NUMBERS:
        return _within_double(value)
    if type(value) in SCALARS:
        return value
    if type(value) is not list or not all(element is None or type(element) in SCALARS for element in value):
        raise UnusableValueError("object_left_out")
    check_numbers(value)
    return value


def check_numbers(values: Iterable[Any]) -> None:
    """Check that all numbers in *values* are within the range of a double.

    Raises:
        UnusableValueError: One is not.
    """
    for value in values:
        if type(value) in NUMBERS:
            _within_double(value)
        elif type(value) is list:
            check_numbers(value)


def _within_double(number: Any) -> Any:
    """Refuse numbers that a double would turn into infinity or 0; they would cost the whole request."""
    if type(number) is Decimal and abs(number.adjusted()) < EXPONENTS_WITHIN:
        fits = number.is_finite()
    elif type(number) is Decimal:
        near = abs(number.adjusted()) < EXPONENTS_COMPARED  # Decimals compare wrongly at the ends of their exponents
        fits = number.is_finite() and (not number or (near and SMALLEST <= number.copy_abs() <= LARGEST))
    elif type(number) is float:
        fits = math.isfinite(number)
    else:
        fits = number.bit_length() < DOUBLE_BITS or abs(number) <= LARGEST
    if fits:
        return number
    raise UnusableValueError("number_out_of_range")


def _number_text(value: float | Decimal) -> str:
    exact = Decimal(value) if type(value) is Decimal else Decimal(repr(value))
    if not exact.is_finite() or abs(exact.adjusted()) > LARGEST_EXPONENT:
        raise UnusableValueError("not_a_text")
    if exact == exact.to_integral_value():
        return str(int(exact))
    return format(exact, "f")
