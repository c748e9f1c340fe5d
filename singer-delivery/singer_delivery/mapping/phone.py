"""Phone numbers in E.164, as Insider One's pattern wants them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import phonenumbers

from singer_delivery.mapping.placeholders import stands_for_nobody
from singer_delivery.mapping.values import INVISIBLE, UnusableValueError, to_text, trim

if TYPE_CHECKING:
    from collections.abc import Callable

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""Insider One's own pattern; a number that fails it costs the whole user."""

_SEPARATORS: Final = dict.fromkeys(map(ord, f".-/()\u2010\u2011\u2012\u2013\u2014{INVISIBLE}"))
_COUNTING: Final = "12345678901234567890"
_TRUNK_ZERO: Final = re.compile(r"(?<=\d)\s*\(0\)\s*(?=\d)")
"""How people write that 0 is dialled within the country only: ``+44 (0)20 7946 0958``."""

_CALLING_CODE: Final = re.compile(r"\+?([1-9][0-9]{0,2})")
LONGEST_NUMBER: Final = 40
LONGEST_SUBSCRIBER_NUMBER: Final = 8
LONGEST_OF_MOST_COUNTRIES: Final = 7
_REMEMBERED = 10_000


def compile_phone(default_country: str | None, *, normalize: bool) -> Callable[[Any], str]:
    """Compile the reading of a phone number; the result raises UnusableValueError for what is none.

    Separators are stripped, and so is the ``(0)`` after a country's code where the number has none. What then starts
    with ``+`` stays as it is; anything else is a national number, read by the rules of *default_country*, and invalid
    without one, or where its area code is missing. Without *normalize* the number must be right as it stands. What
    stands for nobody is refused with the code ``identifier_blocked``.

    >>> compile_phone("TR", normalize=True)("0532 123 45 67")
    '+905321234567'
    """
    region = None if default_country is None else region_of(default_country)

    @lru_cache(_REMEMBERED)
    def from_national(digits: str) -> str:
        return _read_national(digits, region)

    def to_phone(value: Any) -> str:
        number = given = trim(value if type(value) is str else to_text(value))
        is_right = E164.fullmatch(number) is not None
        if normalize and not is_right:
            number = _without_trunk_zero(number).translate(_SEPARATORS)
            if number and number[0] != "+" and len(number) <= LONGEST_NUMBER:  # what is longer is not remembered
                number = from_national(number)
            is_right = E164.fullmatch(number) is not None
        if not is_right:
            raise UnusableValueError("identifier_blocked" if stands_for_nobody(given) else "invalid_phone_number")
        if (number[2:] == number[1:-1] or number[1:] in _COUNTING) and not _is_valid(number):
            raise UnusableValueError("identifier_blocked")
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


def _without_trunk_zero(number: str) -> str:
    """Take the ``(0)`` out of an international number, unless it belongs to it (Italy)."""
    if not (number.startswith("+") and "(0)" in number and len(number) <= LONGEST_NUMBER):
        return number
    without = _TRUNK_ZERO.sub("", number, count=1)
    return without if _is_valid(without) else number


def _read_national(digits: str, region: str | None) -> str:
    """Read a number without ``+``, or return the empty text, which no pattern takes.

    A subscriber's number without its area code is no number of the country: it would be somebody else's.
    """
    if region is None or not (digits.isascii() and digits.isdecimal()):
        return ""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number) or _may_lack_area_code(number, digits, region):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _may_lack_area_code(number: phonenumbers.PhoneNumber, digits: str, region: str) -> bool:
    """Tell whether *digits* may be a subscriber's number alone, though the region's rules take them for a whole one.

    That is so where fixed lines have numbers of many lengths: in Germany 2345678 is either a number of Bochum (0234)
    without its leading 0, or one of any town. And so it is with the short numbers of other kinds that are written with
    that 0: in Finland 4123456 is a mobile (041), or a line of Helsinki. Turkey's 444 0 333 is written without.
    """
    if len(digits) > LONGEST_SUBSCRIBER_NUMBER or digits != phonenumbers.national_significant_number(number):
        return False
    if phonenumbers.number_type(number) != phonenumbers.PhoneNumberType.FIXED_LINE:
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        return len(digits) <= LONGEST_OF_MOST_COUNTRIES and "".join(filter(str.isdecimal, written)) != digits
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return (
        metadata is not None
        and metadata.national_prefix is not None
        and metadata.fixed_line is not None
        and len(metadata.fixed_line.possible_length) > 1
    )


def _is_valid(number: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
