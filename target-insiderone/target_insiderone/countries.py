"""Countries by name, alias or code -> ISO 3166-1 alpha-2."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pycountry

from target_insiderone.values import UnusableValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIASES: Mapping[str, str] = {
    "uk": "GB",
    "great britain": "GB",
    "britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "u.s.": "US",
    "u.s.a.": "US",
    "united states of america": "US",
    "america": "US",
    "holland": "NL",
    "the netherlands": "NL",
    "turkey": "TR",
    "turkiye": "TR",
    "russia": "RU",
    "south korea": "KR",
    "north korea": "KP",
    "czech republic": "CZ",
    "ivory coast": "CI",
    "cape verde": "CV",
    "swaziland": "SZ",
    "macedonia": "MK",
    "burma": "MM",
    "vatican": "VA",
    "vatican city": "VA",
    "palestine": "PS",
    "uae": "AE",
    "hong kong sar china": "HK",
    "macau": "MO",
    "macao sar china": "MO",
    "deutschland": "DE",
    "osterreich": "AT",
    "schweiz": "CH",
    "suisse": "CH",
    "espana": "ES",
    "italia": "IT",
    "brasil": "BR",
    "norge": "NO",
    "sverige": "SE",
    "danmark": "DK",
    "suomi": "FI",
    "polska": "PL",
    "belgie": "BE",
    "belgique": "BE",
}
"""Names in use that the ISO register does not list, folded as by ``fold``."""


def to_country(value: Any) -> str:
    """Find the alpha-2 code of a country given by name (English, or a common one), alpha-2 or alpha-3 code.

    >>> to_country("Norway"), to_country("no"), to_country("USA")
    ('NO', 'NO', 'US')

    Raises:
        UnusableValueError: No country is called so; nothing is guessed.
    """
    if type(value) is str:
        code = _find(value) if len(value) <= LONGEST_NAME else None
        if code is not None:
            return code
    raise UnusableValueError("country_unmappable")


def fold(name: str) -> str:
    """Reduce a name to what two spellings share: no case, accents or double blanks.

    >>> fold("  Türkiye ")
    'turkiye'
    """
    plain = name if name.isascii() else unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(plain.casefold().split())


LONGEST_NAME = 200  # longer ones are not remembered


@lru_cache(maxsize=2_000)
def _find(name: str) -> str | None:
    return _codes().get(fold(name))


@cache
def _codes() -> dict[str, str]:
    codes: dict[str, str] = dict(ALIASES)
    for country in pycountry.countries:
        for kind in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(country, kind, None)
            if name:
                codes.setdefault(fold(name), country.alpha_2)
    return codes
