"""Suggests known names for misspelt ones."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from singer_delivery.disclosure import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIMILARITY = 0.85
_SHORTEST_ANAGRAM = 6
"""Shorter words are too often anagrams of one another (name, mean)."""

_SHORTEST_SLIP = 4
"""Shorter words are too often one edit apart (tag, tax)."""

_DIGITS = re.compile(r"\d")
_SEPARATORS = re.compile(r"[\W_]+")


def same_letters(name: str, known: Iterable[str]) -> str | None:
    """Find the known name with the same letters in another case, word division or order: surely a misspelling.

    >>> same_letters("emial_optin", ["email_optin"]), same_letters("unit_saleprice", ["unit_sale_price"])
    ('email_optin', 'unit_sale_price')
    """
    letters = letters_of(name)
    for candidate in known:
        known_letters = letters_of(candidate)
        if letters == known_letters:
            return candidate
        if len(letters) >= _SHORTEST_ANAGRAM and sorted(letters) == sorted(known_letters):
            return candidate
    return None


def similar(name: str, known: Iterable[str], similarity: float = _SIMILARITY) -> str | None:
    """Find the known name that differs by a letter or two: possibly a misspelling, possibly a name of its own.

    >>> similar("puchase", ["purchase"]), similar("nickname", ["name"])
    ('purchase', None)
    """
    found = get_close_matches(name.lower(), list(known), n=1, cutoff=similarity)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Suggest the nearest known name, or *otherwise*."""
    near = similar(name, known, similarity=0.6)
    return f"did you mean `{near}`?" if near else otherwise


def slip_of(name: str, met: Iterable[str], *, most_edits: int = 2) -> str | None:
    """Find, among names in the input, the one of which *name* is most likely a misspelling.

    That is one with the same letters in another case or word division, else the one with the fewest edits (a letter
    added, removed, changed, or two swapped); for short names, at most one edit. Names that differ in digits only are
    different names, and a path is not a misspelling of its parent.

    >>> slip_of("emial", ["id", "email"]), slip_of("items", ["Items"]), slip_of("address1", ["address2"])
    ('email', 'Items', None)
    >>> slip_of("properties.s", ["properties"])
    """
    letters = letters_of(name)
    best: tuple[int, str] | None = None
    for candidate in sorted(met):
        if name.startswith((f"{candidate}.", f"{candidate}[")):
            continue
        known = letters_of(candidate)
        if known == letters:
            return candidate
        allowed = min(most_edits, 1 if len(letters) < _SHORTEST_ANAGRAM else 2)
        if len(letters) < _SHORTEST_SLIP or _DIGITS.sub("", known) == _DIGITS.sub("", letters):
            continue
        edits = _edits(letters, known, allowed)
        if edits <= allowed and (best is None or edits < best[0]):
            best = edits, candidate
    return best[1] if best else None


def _edits(first: str, second: str, most: int) -> int:
    """Edit distance of two words (optimal string alignment); distances above *most* are not exact."""
    only_first, only_second = {*first}.difference(second), {*second}.difference(first)
    if max(abs(len(first) - len(second)), len(only_first), len(only_second)) > most:  # nearly all pairs end here
        return most + 1
    before: list[int] = []
    last = list(range(len(second) + 1))
    for row, letter in enumerate(first, start=1):
        now = [row]
        for column, other in enumerate(second, start=1):
            cost = min(last[column] + 1, now[column - 1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        before, last = last, now
    return last[-1]


def same_words(name: str, met: Iterable[str]) -> str | None:
    """Find, among names in the input, one with the same words in another order.

    >>> same_words("Placed Order", ["Active on Site", "Order: placed"])
    'Order: placed'
    """
    words = sorted(_words_of(name))
    return next((candidate for candidate in sorted(met) if sorted(_words_of(candidate)) == words), None)


def _words_of(name: str) -> list[str]:
    return _SEPARATORS.sub(" ", name).lower().split()


def letters_of(name: str) -> str:
    """A name in lower case without separators, equal for two spellings of it."""
    return _SEPARATORS.sub("", name).lower()


def plain(names: Iterable[str]) -> list[str]:
    """Those names of the input that may be shown; keys of objects can be addresses."""
    return [name for name in names if shown(name) == name]
