"""Maps country names, aliases and codes to ISO 3166-1 alpha-2."""

from __future__ import annotations

import gettext
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycountry

from singer_delivery.mapping.values import UnusableValueError

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
    "u s a": "US",
    "u s": "US",
    "amerika": "US",
    "abd": "US",
    "u k": "GB",
    "grossbritannien": "GB",
    "ingiltere": "GB",
    "hollanda": "NL",
    "korea south": "KR",
    "republic of korea": "KR",
    "korea north": "KP",
    "hong kong sar": "HK",
    "macao sar": "MO",
}
"""Common names that the ISO register does not list, folded as by ``fold``."""


def to_country(value: Any) -> str:
    """Find the alpha-2 code of a country, given its name in any language, or its alpha-2 or alpha-3 code.

    >>> to_country("Norway"), to_country("no"), to_country("Noruega"), to_country("Bosnia & Herzegovina")
    ('NO', 'NO', 'NO', 'BA')

    Raises:
        UnusableValueError: No country has this name; nothing is guessed.
    """
    if type(value) is str:
        code = _find(value) if len(value) <= LONGEST_NAME else None
        if code is not None:
            return code
    raise UnusableValueError("country_unmappable")


def fold(name: str) -> str:
    """Normalize a name: lower case, no accents, no punctuation, single spaces.

    >>> fold("  The Republic of T\u00fcrkiye "), fold("St. Lucia"), fold("U.S.A.")
    ('republic of turkiye', 'saint lucia', 'usa')
    """
    apart = unicodedata.normalize("NFKD", name.translate(_LETTERS).casefold())
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    words = _SIGNS.sub(" ", _JOINED_SIGNS.sub("", plain.replace("&", " and "))).split()
    words = ["saint" if word == "st" else word for word in words]
    return " ".join(words[1:] if words[:1] == ["the"] else words)


_LETTERS = str.maketrans({"\u0131": "i", "\u00f8": "o", "\u00d8": "o", "\u0142": "l", "\u0141": "l"})
_JOINED_SIGNS = re.compile(r"[.'\u2019\u02bc\u0060\u200b-\u200f]")
_SIGNS = re.compile(r"[^\w]+|_")


LONGEST_NAME = 200  # longer ones are not remembered


@lru_cache(maxsize=2_000)
def _find(name: str) -> str | None:
    folded = fold(name)
    return _codes().get(folded) or _foreign_codes().get(folded)


@cache
def _codes() -> dict[str, str]:
    codes = {fold(name): code for name, code in ALIASES.items()}
    for country in pycountry.countries:
        for kind in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(country, kind, None)
            if name:
                codes.setdefault(fold(name), country.alpha_2)
    return codes


@cache
def _foreign_codes() -> dict[str, str]:
    """Country names in all languages of pycountry; ambiguous names are left out.

    Loaded once, at the first name that is not English: half a second, and five megabytes.
    """
    codes: dict[str, str] = {}
    ambiguous: set[str] = set()
    names = _english_names()
    for path in sorted(Path(pycountry.LOCALES_DIR).glob("*/LC_MESSAGES/iso3166-1.mo")):
        with path.open("rb") as file:
            translated = gettext.GNUTranslations(file)
        for english, code in names:
            foreign = translated.gettext(english)
            if foreign != english:
                folded = fold(foreign)
                if codes.setdefault(folded, code) != code:
                    ambiguous.add(folded)
    return {name: code for name, code in codes.items() if name and name not in ambiguous}


def _english_names() -> list[tuple[str, str]]:
    return [
        (name, country.alpha_2)
        for country in pycountry.countries
        for kind in ("name", "official_name", "common_name")
        if (name := getattr(country, kind, None))
    ]
