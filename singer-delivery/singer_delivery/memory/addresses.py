"""Finds e-mail addresses and phone numbers in stored data, in any spelling that the mapping treats as equal."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import phonenumbers

from singer_delivery.exact_json import decode
from singer_delivery.mapping.phone import compile_phone, region_of
from singer_delivery.mapping.values import FORMAT_MARKS, UnusableValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_NUMBER: Final = 7
"""Minimum number of digits; shorter numbers are not phone numbers, and occur in too many records."""

LONGEST_NUMBER: Final = 20
_DIGITS: Final = re.compile(r"\d+")
_GAP: Final = re.compile(r"[\s().\-/\u2010-\u2015]{1,4}")
"""Separators between the digits of one number."""

_BORDER: Final = re.compile(r"[\s<>()\[\],;:\"\\\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters that end an e-mail address in a string (quoted local parts are not supported)."""

_INNER_BORDER: Final = re.compile(r"[=&?/|'`{}!#$%^*~]")
"""Characters that may belong to a local part, or may end what precedes an address."""

_CELLS: Final = re.compile(r"[,;|\t<>\"]")
_SCHEME: Final = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)

_LABELLED: Final = re.compile(r"^[^\W\d_]+\.?[:\s]\s*")
"""A word before a number: ``Tel. 0532 123 45 67``."""

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PUNYCODE: Final = re.compile(r"\bxn--([a-z0-9-]+)", re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\u([0-9a-fA-F]{4})")

_LONGEST_EMAIL: Final = 320


class Addresses:
    """The addresses of a list; each is identified by its *number*, its line in the list."""

    def __init__(self, lines: Iterable[str], default_country: str | None) -> None:
        self._texts: dict[str, set[int]] = {}
        self._numbers: dict[str, set[int]] = {}
        self.spellings: dict[str, set[int]] = {}
        """Spelling -> numbers; how the mapping may have spelt them, for the ledger's digests."""
        self.numbers: set[int] = set()
        self.without: list[int] = []
        """The lines that are not empty, but have no address."""
        for number, line in enumerate(lines, start=1):
            texts = _addresses_of(line)
            if not texts and _clean(line):
                self.without.append(number)
            for text in texts:
                self.numbers.add(number)
                self._texts.setdefault(_international(text.casefold()).casefold(), set()).add(number)
                spellings = {
                    spelling
                    for form in _domain_forms(text)
                    for spelling in (form, form.lower(), form.upper(), form.capitalize())
                }
                if "@" not in text:
                    digits = "".join(_digits(group) for group in _DIGITS.findall(text))
                    for form in _forms(text, digits, default_country) if len(digits) >= SHORTEST_NUMBER else ():
                        self._numbers.setdefault(form, set()).add(number)
                        spellings |= {form, f"+{form}"}
                for spelling in spellings:
                    self.spellings.setdefault(spelling, set()).add(number)

    def found_in(self, line: bytes) -> set[int]:
        """The numbers of the addresses that a JSON line contains; a torn line is searched as plain text."""
        try:
            value = decode(line)
        except (ValueError, RecursionError, ArithmeticError):
            value = _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), line.decode("utf-8", "replace"))
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
        found: set[int] = set()
        for spelling in _plain_forms(_clean(given).casefold()):
            found |= self._texts.get(spelling, set())
            for email in _emails_in(spelling):
                found |= self._texts.get(email, set())
            if self._numbers:
                for digits in _numbers_in(spelling):
                    found |= self._numbers.get(digits, set())
        return found


def _addresses_of(line: str) -> list[str]:
    """The addresses of a line: one, or those among the cells of a table (`Ada <ada@shop.example>` is two cells).

    A cell of digits may be anything, so among other cells, phone numbers must start like international ones.

    >>> _addresses_of('"ada@shop.example";Ada;+47 999 00 001;1234567')
    ['ada@shop.example', '+47 999 00 001']
    >>> _addresses_of("1234567"), _addresses_of("mailto:o'neil@shop.example"), _addresses_of("not-an-address")
    (['1234567'], ["o'neil@shop.example"], [])
    """
    cells = [cell for part in _CELLS.split(line) if (cell := _clean(_SCHEME.sub("", _clean(part).strip("'"))))]
    if len(cells) > 1:
        known = [cell for cell in cells if "@" in cell or cell.startswith(("+", "00"))]
        cells = known or [_clean(line)]
    return [cell for cell in cells if _is_address(cell)]


def _is_address(cell: str) -> bool:
    number = _LABELLED.sub("", cell)
    digits = sum(len(group) for group in _DIGITS.findall(number))
    is_number = digits >= SHORTEST_NUMBER and not any(character.isalpha() for character in number)
    return is_number or _EMAIL.search(cell) is not None


def _plain_forms(text: str) -> set[str]:
    """A string with its unescaped forms: URL-decoded, HTML-unescaped (also twice), with decoded domain names."""
    forms = {text}
    for undo in (_unquoted, unescape, unescape, _without_marks, _international):
        forms |= {undo(form).casefold() for form in forms}
    return forms


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "%" in text else text


def _without_marks(text: str) -> str:
    return text.translate(FORMAT_MARKS)


def _international(text: str) -> str:
    """Decode punycode domain names.

    >>> _international("ada@xn--mnchen-3ya.example")
    'ada@münchen.example'
    """

    def decoded(label: re.Match[str]) -> str:
        try:
            return label[1].encode().decode("punycode")
        except ValueError:
            return label[0]

    return _PUNYCODE.sub(decoded, text) if "xn--" in text.lower() else text


def _domain_forms(address: str) -> set[str]:
    """An address with its domain as given, decoded from punycode, and encoded to punycode."""
    local, at, domain = address.rpartition("@")
    if not at:
        return {address}
    letters = _international(domain).lower()
    forms = {domain, letters, *(_ascii(each) for each in (letters, letters.casefold()))}
    return {f"{local}@{form}" for form in forms}


def _ascii(domain: str) -> str:
    labels = domain.split(".")
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def _clean(text: str) -> str:
    """Normalize (NFKC), and strip whitespace and invisible characters at both ends."""
    text = unicodedata.normalize("NFKC", text)
    while text and (text[0].isspace() or unicodedata.category(text[0]) in {"Cf", "Cc"}):
        text = text[1:]
    while text and (text[-1].isspace() or unicodedata.category(text[-1]) in {"Cf", "Cc"}):
        text = text[:-1]
    return text


def _emails_in(text: str) -> Iterator[str]:
    """Candidate e-mail addresses in a string; several where the beginning of one is ambiguous."""
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
    """Candidate phone numbers in a string: consecutive groups of digits, joined."""
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
    """The digits of a phone number that was stored as a JSON number; "" for other numbers."""
    exact = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or exact.adjusted() > LONGEST_NUMBER or exact != exact.to_integral_value():
        return ""
    return str(abs(int(exact)))


def _forms(text: str, digits: str, default_country: str | None) -> set[str]:
    """All spellings of a phone number, as digits: with and without ``00``, ``0`` and the country code."""
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
        forms |= {f"{parsed.country_code}0{national}", f"{parsed.country_code}{national}"}
        if candidate == international and _is_home(parsed.country_code, default_country):
            forms |= {national, f"0{national}"}
    return forms


def _is_home(country_code: int | None, default_country: str | None) -> bool:
    region = region_of(default_country) if default_country else None
    return region is not None and phonenumbers.country_code_for_region(region) == country_code
