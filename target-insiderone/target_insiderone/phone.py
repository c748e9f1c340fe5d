"""Phone numbers in E.164, as Insider One's pattern wants them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import phonenumbers

from target_insiderone.values import UnusableValueError, to_text

if TYPE_CHECKING:
    from collections.abc import Callable

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""Insider One's own pattern; a number that fails it costs the whole user."""

_SEPARATORS: Final = dict.fromkeys(map(ord, " \t\r\n.-/()\u00a0\u2007\u202f\u2010\u2011\u2012\u2013\u2014\u200e\u200f"))
_CALLING_CODE: Final = re.compile(r"\+?([1-9][0-9]{0,2})")
LONGEST_NUMBER: Final = 40
_REMEMBERED = 10_000


def compile_phone(default_country: str | None, *, normalize: bool) -> Callable[[Any], str]:
    """Compile the reading of a phone number; the result raises UnusableValueError for what is none.

    Separators are stripped. What then starts with ``+`` stays as it is; anything else is a national number, read by the
    rules of *default_country*, and invalid without one. Without *normalize* the number must be right as it stands.

    >>> compile_phone("TR", normalize=True)("0532 123 45 67")
    '+905321234567'
    """
    region = None if default_country is None else region_of(default_country)

    @lru_cache(_REMEMBERED)
    def from_national(digits: str) -> str:
        return _read_national(digits, region)

    def to_phone(value: Any) -> str:
        number = to_text(value)
        if E164.fullmatch(number):
            return number
        if normalize:
            number = number.translate(_SEPARATORS)
            if number and number[0] != "+" and len(number) <= LONGEST_NUMBER:  # what is longer is not remembered
                number = from_national(number)
        if not E164.fullmatch(number):
            raise UnusableValueError("invalid_phone_number")
        return number

    return to_phone


def region_of(default_country: str) -> str | None:
    """Find the region whose rules read the national numbers: ``TR``, or ``+90``; of a shared code the main region.

    >>> region_of("+1"), region_of("tr"), region_of("Turkey")
    ('US', 'TR', None)
    """
    country = default_country.strip()
    if code := _CALLING_CODE.fullmatch(country):
        region = phonenumbers.region_code_for_country_code(int(code[1]))
        return region if region in phonenumbers.SUPPORTED_REGIONS else None
    return country.upper() if country.upper() in phonenumbers.SUPPORTED_REGIONS else None


def _read_national(digits: str, region: str | None) -> str:
    """Read a number without ``+``, or return the empty text, which no pattern takes."""
    if region is None or not (digits.isascii() and digits.isdecimal()):
        return ""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
