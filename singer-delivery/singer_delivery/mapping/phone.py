"""Converts phone numbers to E.164."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import phonenumbers

from singer_delivery.mapping.calling_codes import to_existing
from singer_delivery.mapping.placeholders import stands_for_nobody
from singer_delivery.mapping.values import INVISIBLE, UnusableValueError, to_string, trim

if TYPE_CHECKING:
    from collections.abc import Callable

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""A common check of APIs; some refuse the whole person for a number that fails it."""

_SEPARATORS: Final = dict.fromkeys(map(ord, f".-/()\u2010\u2011\u2012\u2013\u2014{INVISIBLE}"))
_TRUNK_ZERO: Final = re.compile(r"(?<=\d)\s*\(0\)\s*(?=\d)")
"""A 0 that is dialled only within the country: ``+44 (0)20 7946 0958``."""

_CALLING_CODE: Final = re.compile(r"\+?([1-9][0-9]{0,2})")
LONGEST_NUMBER: Final = 40
LONGEST_SUBSCRIBER_NUMBER: Final = 8
LONGEST_OF_MOST_COUNTRIES: Final = 7
_REMEMBERED = 10_000


def compile_phone(default_country: str | None, *, normalize: bool) -> Callable[[Any], str]:
    """Compile a parser of phone numbers, which raises UnusableValueError for invalid ones.

    Separators are stripped, and so is a 0 after the country code that does not belong to the number. A number without
    ``+`` is national, parsed by the rules of *default_country*; it is invalid without that setting, or if its area code
    is missing. The number must be possible by the rules of its country. Without *normalize* it must already be in
    canonical form. Placeholders are refused with the code ``identifier_blocked``.

    >>> compile_phone("TR", normalize=True)("0532 123 45 67")
    '+905321234567'
    """
    region = None if default_country is None else region_of(default_country)

    @lru_cache(_REMEMBERED)
    def from_national(digits: str) -> str:
        return _read_national(digits, region)

    def to_phone(value: Any) -> str:
        number = given = trim(value if type(value) is str else to_string(value))
        if not E164.fullmatch(number):
            if normalize:
                number = _without_trunk_zero(number).translate(_SEPARATORS)
                if number and number[0] != "+" and len(number) <= LONGEST_NUMBER:  # longer ones are not cached
                    number = from_national(number)
            if not normalize or not E164.fullmatch(number):
                raise UnusableValueError("identifier_blocked" if stands_for_nobody(given) else "invalid_phone_number")
        existing = to_existing(number)
        if existing != given and not normalize:
            raise UnusableValueError("invalid_phone_number")
        return existing

    return to_phone


def region_of(default_country: str) -> str | None:
    """Find the region whose rules apply to national numbers: ``TR``, or ``+90``; for a shared code, the main region.

    >>> region_of("+1"), region_of("tr"), region_of("Turkey")
    ('US', 'TR', None)
    """
    country = default_country.strip()
    if code := _CALLING_CODE.fullmatch(country):
        region = phonenumbers.region_code_for_country_code(int(code[1]))
        return region if region in phonenumbers.SUPPORTED_REGIONS else None
    return country.upper() if country.upper() in phonenumbers.SUPPORTED_REGIONS else None


def _without_trunk_zero(number: str) -> str:
    """Remove the ``(0)`` from an international number, unless it is part of the number (Italy)."""
    if not (number.startswith("+") and "(0)" in number and len(number) <= LONGEST_NUMBER):
        return number
    without = _TRUNK_ZERO.sub("", number, count=1)
    return without if _is_valid(without) else number


def _read_national(digits: str, region: str | None) -> str:
    """Parse a number without ``+``; returns "", which matches no pattern, if it is invalid.

    A subscriber number without its area code is invalid: it would be somebody else's number.
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
    """Whether *digits* may be a subscriber number without its area code, although it is valid by the region's rules.

    That is possible where fixed-line numbers have many lengths: in Germany 2345678 is either a number of Bochum (0234)
    without its leading 0, or one of any town. The same holds for short numbers of other kinds that are written with
    that 0: in Finland 4123456 is a mobile (041), or a line of Helsinki. Turkey's 444 0 333 is written without it.
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
