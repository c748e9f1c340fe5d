"""Names that are meant, and nearly written."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIMILARITY = 0.85
_SHORTEST_ANAGRAM = 6
"""Shorter words are too easily one another's anagrams (name, mean) to be a slip for sure."""

_SEPARATORS = re.compile(r"[\W_]+")


def same_letters(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that has the same letters in another case, division or order: surely a slip.

    >>> same_letters("emial_optin", ["email_optin"]), same_letters("unit_saleprice", ["unit_sale_price"])
    ('email_optin', 'unit_sale_price')
    """
    letters = _letters(name)
    for candidate in known:
        known_letters = _letters(candidate)
        if letters == known_letters:
            return candidate
        if len(letters) >= _SHORTEST_ANAGRAM and sorted(letters) == sorted(known_letters):
            return candidate
    return None


def similar(name: str, known: Iterable[str], similarity: float = _SIMILARITY) -> str | None:
    """Find the known name that differs by a letter or two: maybe a slip, maybe a name of its own.

    >>> similar("puchase", ["purchase"]), similar("nickname", ["name"])
    ('purchase', None)
    """
    found = get_close_matches(name.lower(), list(known), n=1, cutoff=similarity)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Suggest the nearest known name, or *otherwise*."""
    near = similar(name, known, similarity=0.6)
    return f"did you mean `{near}`?" if near else otherwise


def _letters(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()
