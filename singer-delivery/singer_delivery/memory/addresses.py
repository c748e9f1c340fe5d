"""Addresses of people, found in whatever is kept, in any spelling that the mapping reads as the same."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import phonenumbers

from singer_delivery.exact_json import decode
from singer_delivery.mapping.phone import compile_phone, region_of
from singer_delivery.mapping.values import FORMAT_MARKS, UnusableValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_NUMBER: Final = 7
"""Digits; a shorter number is nobody's, and stands in too many records."""

LONGEST_NUMBER: Final = 20
_DIGITS: Final = re.compile(r"\d+")
_GAP: Final = re.compile(r"[\s().\-/\u2010-\u2015]{1,4}")
"""What people write between the digits of one number."""

_BORDER: Final = re.compile(r"[\s<>()\[\],;:\"\\\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""What ends an e-mail address in a text, quoted local parts aside."""

_INNER_BORDER: Final = re.compile(r"[=&?/|'`{}!#$%^*~]")
"""What may stand in a local part, and may as well end what comes before an address."""

_CELLS: Final = re.compile(r"[,;|\t<>\"]")
_SCHEME: Final = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)

_LONGEST_EMAIL: Final = 320


class Addresses:
    """The addresses of a list; each is known by its *number*, the line of the list that it stands in."""

    def __init__(self, lines: Iterable[str], default_country: str | None) -> None:
        self._texts: dict[str, set[int]] = {}
        self._numbers: dict[str, set[int]] = {}
        self.spellings: dict[str, set[int]] = {}
        """How the mapping may have spelled them: what the ledger's digests were made of."""
        self.numbers: set[int] = set()
        for number, line in enumerate(lines, start=1):
            for text in _addresses_of(line):
                self.numbers.add(number)
                self._texts.setdefault(text.casefold(), set()).add(number)
                spellings = {text, text.lower(), text.upper(), text.capitalize()}
                if "@" not in text:
                    digits = "".join(_digits(group) for group in _DIGITS.findall(text))
                    for form in _forms(text, digits, default_country) if len(digits) >= SHORTEST_NUMBER else ():
                        self._numbers.setdefault(form, set()).add(number)
                        spellings |= {form, f"+{form}"}
                for spelling in spellings:
                    self.spellings.setdefault(spelling, set()).add(number)

    def found_in(self, line: bytes) -> set[int]:
        """The numbers of the addresses that a JSON line mentions; of one that is torn, its text counts."""
        try:
            value = decode(line)
        except (ValueError, RecursionError, ArithmeticError):
            value = line.decode("utf-8", "replace")
        found: set[int] = set()
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str):
                found |= self._in_text(value)
            elif isinstance(value, (int, float, Decimal)):
                found |= self._numbers.get(_written_out(value), set())
        return found

    def _in_text(self, given: str) -> set[int]:
        text = _clean(given).casefold()
        found: set[int] = set()
        spellings = {text, text.translate(FORMAT_MARKS), unquote_plus(text) if "%" in text else text}
        for spelling in spellings:
            found |= self._texts.get(spelling, set())
            for email in _emails_in(spelling):
                found |= self._texts.get(email, set())
            if self._numbers:
                for digits in _numbers_in(spelling):
                    found |= self._numbers.get(digits, set())
        return found


def _addresses_of(line: str) -> list[str]:
    """The addresses of a line: one, or those among the cells of a table (`Ada <ada@shop.example>` is two cells).

    A cell of digits alone may be anything; so numbers beside other cells must begin as international ones do.

    >>> _addresses_of('"ada@shop.example";Ada;+47 999 00 001;1234567')
    ['ada@shop.example', '+47 999 00 001']
    >>> _addresses_of("1234567"), _addresses_of("mailto:o'neil@shop.example")
    (['1234567'], ["o'neil@shop.example"])
    """
    cells = [cell for part in _CELLS.split(line) if (cell := _clean(_SCHEME.sub("", _clean(part).strip("'"))))]
    if len(cells) > 1:
        known = [cell for cell in cells if "@" in cell or cell.startswith(("+", "00"))]
        cells = known or [_clean(line)]
    return cells


def _clean(text: str) -> str:
    """Without compatibility forms, and without blanks and invisible characters at both ends."""
    text = unicodedata.normalize("NFKC", text)
    while text and (text[0].isspace() or unicodedata.category(text[0]) in {"Cf", "Cc"}):
        text = text[1:]
    while text and (text[-1].isspace() or unicodedata.category(text[-1]) in {"Cf", "Cc"}):
        text = text[:-1]
    return text


def _emails_in(text: str) -> Iterator[str]:
    """What may be an e-mail address in a text; all ways to read it where its beginning is not plain."""
    at = text.find("@")
    while at >= 0:
        local = _BORDER.split(text[max(0, at - _LONGEST_EMAIL) : at])[-1]
        domain = re.split(r"[^\w.-]", text[at + 1 : at + _LONGEST_EMAIL], maxsplit=1)[0].rstrip(".-_")
        if local and domain:
            yield f"{local}@{domain}"
            for border in _INNER_BORDER.finditer(local):
                yield f"{local[border.end() :]}@{domain}"
        at = text.find("@", at + 1)


def _numbers_in(text: str) -> Iterator[str]:
    """What may be the digits of a phone number: groups of digits in a row, joined."""
    groups = list(_DIGITS.finditer(text))
    for first, start in enumerate(groups):
        digits, end = "", start.start()
        for group in groups[first:]:
            if digits and not _GAP.fullmatch(text, end, group.start()):
                break
            digits += _digits(group.group())
            end = group.end()
            if len(digits) > LONGEST_NUMBER:
                break
            if len(digits) >= SHORTEST_NUMBER:
                yield digits


def _digits(group: str) -> str:
    return group if group.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in group)


def _written_out(value: float | Decimal) -> str:
    """The digits of a whole number, as a phone number that was written as one would have them."""
    exact = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or exact.adjusted() > LONGEST_NUMBER or exact != exact.to_integral_value():
        return ""
    return str(abs(int(exact)))


def _forms(text: str, digits: str, default_country: str | None) -> set[str]:
    """All ways to write a phone number, as digits: with and without ``00``, ``0`` and the country."""
    forms = {digits, digits.lstrip("0")}
    international = digits if text.startswith("+") else digits.removeprefix("00") if digits.startswith("00") else ""
    if not international:
        try:
            international = compile_phone(default_country, normalize=True)(digits).removeprefix("+")
        except UnusableValueError:
            international = ""
    for candidate in {international, digits} - {""}:
        forms |= {candidate, f"00{candidate}"}
        try:
            parsed = phonenumbers.parse(f"+{candidate}")
        except phonenumbers.NumberParseException:
            continue
        national = phonenumbers.national_significant_number(parsed)
        forms.add(f"{parsed.country_code}0{national}")
        if candidate == international and _is_home(parsed.country_code, default_country):
            forms |= {national, f"0{national}"}
    return forms


def _is_home(country_code: int | None, default_country: str | None) -> bool:
    region = region_of(default_country) if default_country else None
    return region is not None and phonenumbers.country_code_for_region(region) == country_code
