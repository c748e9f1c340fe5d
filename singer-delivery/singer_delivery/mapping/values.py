"""What a value must be before Insider One takes it: text, number, flag, flat array."""

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
LARGEST_EXPONENT = 40
"""Beyond 40 digits a number read from text, or written as text, is a mistake, and could fill the memory."""

LARGEST: Final = Decimal(sys.float_info.max)
SMALLEST: Final = Decimal(sys.float_info.min) * Decimal(sys.float_info.epsilon)
"""What a JSON number may be, beside 0: Insider One reads it as a double, and refuses the whole request beyond one."""

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
FILLERS: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs that show nothing: Hangul fillers, the empty Braille cell."""

INVISIBLE: Final = FILLERS + "".join(chr(code) for first, last in _INVISIBLE_RANGES for code in range(first, last + 1))
"""Blanks (Unicode category Z), control characters (Cc), format characters (Cf: direction and byte order marks, zero
width blanks), and fillers."""

JOINERS: Final = "\u200c\u200d"
FORMAT_MARKS: Final = dict.fromkeys(
    ord(mark) for mark in INVISIBLE if unicodedata.category(mark) == "Cf" and mark not in JOINERS
)
"""What goes from within an address, for ``str.translate``; the joiners tell words of some languages apart."""


class UnusableValueError(ValueError):
    """A value that a transform, an attribute or a parameter cannot take; ``code`` says why, without the value."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def trim(text: str) -> str:
    """Take off what cannot be seen at both ends: blanks of every kind, control and format characters.

    >>> trim("\u202a ada@example.com\u00a0")
    'ada@example.com'
    """
    return text.strip() if text.isascii() and text.isprintable() else text.strip(INVISIBLE)


def is_blank(value: Any) -> bool:
    """Tell whether a value is a text in which nothing can be seen: it stands for none wherever another may be taken."""
    return type(value) is str and not "!" <= value <= "~" and not trim(value)


def to_text(value: Any) -> str:
    """Write a scalar as text: integers exactly, ``1001.0`` as ``1001``, true and false in lower case.

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
    """Take a number as it is, and read one from text exactly (never as a float).

    >>> to_number("12.50"), to_number(" 7 ")
    (Decimal('12.50'), 7)

    Raises:
        UnusableValueError: No number, or none that a double can hold.
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
    """Take a whole number, also from ``2.0`` or from text.

    Raises:
        UnusableValueError: No number, or one with a fraction.
    """
    number = to_number(value)
    if type(number) is int:
        return number
    exact = Decimal(number)
    if not exact.is_finite() or abs(exact.adjusted()) > LARGEST_EXPONENT or exact != exact.to_integral_value():
        raise UnusableValueError("not_an_integer")
    return int(exact)


def to_flag(value: Any) -> bool:
    """Take a boolean, and nothing that only looks like one: an opt-in is not guessed.

    Raises:
        UnusableValueError: Anything else.
    """
    if type(value) is bool:
        return value
    raise UnusableValueError("not_a_boolean")


def to_texts(value: Any) -> list[str]:
    """Take a list of texts; a single one becomes a list.

    Raises:
        UnusableValueError: An object, or an array that holds one.
    """
    if type(value) is list:
        return [to_text(element) for element in value if element is not None]
    return [to_text(value)]


def to_numbers(value: Any) -> list[int | float | Decimal]:
    """Take a list of numbers; a single one becomes a list.

    Raises:
        UnusableValueError: Anything in it that is no number.
    """
    if type(value) is list:
        return [to_number(element) for element in value]
    return [to_number(value)]


def to_plain(value: Any) -> Any:
    """Take a scalar or a flat array as it is: Insider One has no type for objects.

    Raises:
        UnusableValueError: An object, an array that holds objects or arrays, or a number that no double can hold.
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
    """Find among *values* the numbers that no double can hold.

    Raises:
        UnusableValueError: There is one.
    """
    for value in values:
        if type(value) in NUMBERS:
            _within_double(value)
        elif type(value) is list:
            check_numbers(value)


def _within_double(number: Any) -> Any:
    """Refuse what would reach Insider One as infinite, or as 0 though it is not: it would cost the whole request."""
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
