"""Checks that an international phone number can exist, by libphonenumber's rules, with one pattern per calling code."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import phonenumbers

from singer_delivery.mapping.values import UnusableValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASCENDING: Final = "12345678901234567890"
_DESCENDING: Final = "98765432109876543210"
_NORTH_AMERICAN_NOBODY: Final = re.compile(r"[0-9]{3}555(?:5555|1212)")
_EXAMPLES: Final = re.compile(r"\+(?:44(?:7700900|1632960)[0-9]{3}|3363998[0-9]{4}|35320910[0-9]{4})")
"""Ranges that authorities reserve for examples: common in test data, and unknown to libphonenumber."""

_MEXICAN_MOBILE: Final = re.compile(r"\+521([0-9]{10})")
"""Until 2019 Mexican mobile numbers had a 1 here; messengers still use it."""

_KINDS: Final = (
    "mobile", "fixed_line", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
"""Most common kind first."""

_REMEMBERED: Final = 10_000


def to_existing(number: str) -> str:
    """Check a number in E.164 against the rules of its country, and remove a trunk prefix that does not belong there.

    >>> to_existing("+905321234567"), to_existing("+9005321234567"), to_existing("+39066981234")
    ('+905321234567', '+905321234567', '+39066981234')

    Raises:
        UnusableValueError: No such number can exist, or it looks made up.
    """
    start, pattern = _country_of(number[1:4])
    if pattern is not None:
        right = number if pattern.fullmatch(number, start) else _corrected(number)
        if _is_made_up(number[1:start], (right or number)[start:]):
            raise UnusableValueError("identifier_blocked")
        if right:
            return right
    raise UnusableValueError("invalid_phone_number")


@lru_cache(maxsize=1_000)
def _country_of(digits: str) -> tuple[int, re.Pattern[str] | None]:
    """Start of the national number, by the first three digits of a number, and its pattern (None: unknown code)."""
    for length in (1, 2, 3):
        if pattern := _pattern_of(digits[:length]):
            return length + 1, pattern
    return 0, None


def _is_made_up(code: str, national: str) -> bool:
    """Whether a number repeats one digit, counts up or down, or is ``555-5555``."""
    return (
        national[1:] == national[:-1]
        or _ASCENDING.startswith(national)
        or _DESCENDING.startswith(national)
        or (code == "1" and _NORTH_AMERICAN_NOBODY.fullmatch(national) is not None)
    )


@lru_cache(maxsize=1_200)
def _pattern_of(code: str) -> re.Pattern[str] | None:
    """One pattern for all national numbers of a calling code; None if unknown. Faster than asking libphonenumber."""
    patterns = dict.fromkeys(_patterns_of(int(code)))
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def _patterns_of(code: int) -> Iterator[str]:
    for region in phonenumbers.region_codes_for_country_code(code):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        for kind in _KINDS if metadata is not None else ():
            described = getattr(metadata, kind)
            if described is not None and described.national_number_pattern:
                yield described.national_number_pattern


@lru_cache(_REMEMBERED)
def _corrected(number: str) -> str:
    """The canonical form, by libphonenumber, of a number that matches no pattern; "" if it cannot exist."""
    if _EXAMPLES.fullmatch(number):
        return number
    if (mexican := _MEXICAN_MOBILE.fullmatch(number)) and _corrected(f"+52{mexican[1]}"):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(parsed):
        return ""
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
