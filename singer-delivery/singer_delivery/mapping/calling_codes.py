"""International phone numbers that exist, by libphonenumber's rules: one pattern for each calling code."""

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
"""What authorities keep free for examples: test data is full of it, and libphonenumber does not know it."""

_MEXICAN_MOBILE: Final = re.compile(r"\+521([0-9]{10})")
"""Until 2019 mobiles of Mexico had a 1 here, and messengers know them by it still."""

_KINDS: Final = (
    "mobile", "fixed_line", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
"""Of the numbers of people, most are of the first kind."""

_REMEMBERED: Final = 10_000


def to_existing(number: str) -> str:
    """Hold a number in E.164 to the rules of its country; a trunk prefix that does not belong there goes.

    >>> to_existing("+905321234567"), to_existing("+9005321234567"), to_existing("+39066981234")
    ('+905321234567', '+905321234567', '+39066981234')

    Raises:
        UnusableValueError: No such number can exist, or it is one that people make up.
    """
    for start in (2, 3, 4):
        code = number[1:start]
        pattern = _pattern_of(code)
        if pattern is not None:
            right = number if pattern.fullmatch(number, start) else _corrected(number)
            if _is_made_up(code, (right or number)[start:]):
                raise UnusableValueError("identifier_blocked")
            if right:
                return right
            break
    raise UnusableValueError("invalid_phone_number")


def _is_made_up(code: str, national: str) -> bool:
    """Tell whether a number has one digit all along, counts up or down, or is ``555-5555``."""
    return (
        national[1:] == national[:-1]
        or _ASCENDING.startswith(national)
        or _DESCENDING.startswith(national)
        or (code == "1" and _NORTH_AMERICAN_NOBODY.fullmatch(national) is not None)
    )


@lru_cache(maxsize=1_200)
def _pattern_of(code: str) -> re.Pattern[str] | None:
    """All national numbers of a calling code, or None where it is none; to ask libphonenumber takes far longer."""
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
    """A number that no pattern takes as it stands, as libphonenumber writes it; the empty text where none exists."""
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
