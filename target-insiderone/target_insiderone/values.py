"""What a value must be before Insider One takes it: text, number, flag, flat array."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

SCALARS: Final = frozenset({str, int, float, bool, Decimal})
NUMBERS: Final = frozenset({int, float, Decimal})
LARGEST_EXPONENT = 40
"""Beyond 40 digits a number is a mistake, and writing it out could fill the memory."""


class UnusableValueError(ValueError):
    """A value that a transform, an attribute or a parameter cannot take; ``code`` says why, without the value."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


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
        UnusableValueError: No number, or no finite one.
    """
    if type(value) in NUMBERS:
        number_given: int | float | Decimal = value
        return number_given
    if type(value) is not str:
        raise UnusableValueError("not_a_number")
    text = value.strip()
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
        UnusableValueError: An object, or an array that holds objects or arrays.
    """
    if type(value) in SCALARS:
        return value
    if type(value) is list and all(element is None or type(element) in SCALARS for element in value):
        return value
    raise UnusableValueError("object_left_out")


def _number_text(value: float | Decimal) -> str:
    exact = Decimal(value) if type(value) is Decimal else Decimal(repr(value))
    if not exact.is_finite() or abs(exact.adjusted()) > LARGEST_EXPONENT:
        raise UnusableValueError("not_a_text")
    if exact == exact.to_integral_value():
        return str(int(exact))
    return format(exact, "f")
