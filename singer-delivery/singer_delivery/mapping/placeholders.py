"""Recognizes placeholder values, which as identifiers would merge many people into one user."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape
from typing import Any, Final
from urllib.parse import unquote

from singer_delivery.mapping.values import UnusableValueError, to_string, trim

# fmt: off
NOTHING: Final = frozenset({
    "none", "null", "nil", "nan", "nat", "na", "nd", "undefined", "unknown", "anonymous", "anon", "guest", "true",
    "false", "yes", "no", "notset", "notavailable", "notapplicable", "notprovided", "notfound", "notloggedin",
    "loggedout", "noid", "novalue", "nodata", "noemail", "nomail", "noname", "nouser", "blank", "empty", "missing",
    "void", "tbd", "tba", "inf", "infinity", "ref", "div0", "unset", "unspecified", "unidentified", "unregistered",
    "unavailable", "unnamed", "unassigned", "nullptr", "nullopt", "dbnull", "nsnull", "nonetype", "nothing",
    "invalid", "deleted", "removed", "redacted", "dummy", "placeholder", "walkin", "unbekannt", "unbekannter",
    "unbekannte", "keine", "keiner", "gast", "anonym", "anonymer", "anonyme", "leer", "bilinmiyor", "bilinmeyen",
    "yok", "misafir", "anonim", "belirtilmemis", "belirtilmedi", "tanimsiz", "inconnu", "inconnue", "aucun", "aucune",
    "invite", "desconocido", "desconocida", "ninguno", "invitado", "anonimo", "sconosciuto", "nessuno", "ospite",
    "onbekend", "onbekende", "geen", "anoniem", "anonieme", "desconhecido", "nenhum", "convidado", "nieznany", "brak",
    "ukendt", "okand", "ukjent", "ingen", "anonymt", "неизвестно", "неизвестный", "гость",
})
"""Words for "nothing", in lower case without accents and punctuation: ``N/A`` and ``(not set)`` are among them."""

ANYBODY: Final = frozenset({
    "customer", "user", "visitor", "account", "client", "member", "buyer", "shopper", "contact", "person", "profile",
    "subscriber", "consumer", "id", "uid", "uuid", "guid", "customerid", "userid", "clientid", "externalid",
    "profileid", "username", "login", "kunde", "kundin", "benutzer", "nutzer", "besucher", "konto", "kundennummer",
    "musteri", "kullanici", "ziyaretci", "uye", "utilisateur", "visiteur", "compte", "cliente", "usuario",
    "visitante", "cuenta", "utente", "visitatore", "klant", "gebruiker", "bezoeker", "klient", "kund", "kunden",
})
"""Generic words, which identify nobody."""

NEGATIONS: Final = frozenset({
    "not", "non", "without", "kein", "nicht", "ohne", "pas", "sans", "sin", "senza", "niet", "nie", "degil", "inte",
    "ikke", "yapilmamis", "yapmamis",
})
"""Words that make a placeholder only together with others: ``not given``, ``keine Angabe``."""

AROUND: Final = frozenset({
    "logged", "signed", "in", "out", "up", "given", "provided", "available", "applicable", "set", "found",
    "specified", "defined", "assigned", "registered", "entered", "supplied", "identified", "known", "disclosed",
    "value", "data", "name", "email", "mail", "phone", "number", "key", "code", "external", "object", "optional",
    "some", "string", "text", "type", "java", "lang", "util", "system", "default", "checkout", "angabe", "angaben",
    "angegeben", "eingeloggt", "angemeldet", "registriert", "vorhanden", "wert", "daten", "nummer", "bekannt",
    "verfugbar", "gesetzt", "renseigne", "connecte", "disponible", "datos", "especificado", "disponibile",
    "specificato", "bekend", "opgegeven", "ingelogd", "beschikbaar", "podano", "giris", "informado",
})
"""Filler words that may accompany these."""

EXACT: Final = frozenset({
    "undefined", "anonymous", "null", "0", "1",
    "#name?", "#value!", "#num!", "\\n", "1.#qnan", "1.#ind", "-1.#ind", "1.#inf", "array",
    "2147483647", "-2147483648", "4294967295", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
})
"""Words and numbers that identify nobody, error values of spreadsheets, ``\\N`` of databases, the limits of integer
types, and the digests of an empty string (MD5, SHA-1, SHA-256)."""
# fmt: on

LONGEST_PLACEHOLDER: Final = 64
LONGEST_TEMPLATE: Final = 1_000
LONGEST_NUMBER: Final = 20
FIRST_ORDER: Final = "1"
SHORTEST_IN_A_ROW: Final = 4

_NUMBER: Final = re.compile(r"[+-]?(?:0+(?:[.,]0*)?(?:e(?:0+|[+-][0-9]+))?|1[.,]0*|1(?:[.,]0*)?e[+-]?0+)|-(?:1|9{2,})")
"""Zero, 1.0, -1 and -999 as programs format them; 1 itself is in ``EXACT``."""

_NUMBERS_BEGIN: Final = frozenset("+-01")
_NAME: Final = r"[^\d@<>{}\[\]%]+"
_TEMPLATE: Final = re.compile(
    r"\*\|.*\|\*|%%.*%%|<%.*%>|@@.+@@|\[\[.*\]\]|\[%.*%\]|\[object [^\]]*\]|%!.\(.*\)"
    rf"|<+{_NAME}>+|\[{_NAME}\]|%{_NAME}%|__{_NAME}__",
    re.DOTALL,
)
"""Template variables that were not filled in: ``*|ID|*``, ``%%ID%%``, ``<customer_id>``, ``%CUSTOMER_ID%``; and
JavaScript's string form of an object."""

_BRACES: Final = re.compile(rf"\{{\{{.*?\}}\}}|\{{%.*?%\}}|[$#@]\{{[^{{}}]*\}}|\{{{_NAME}\}}", re.DOTALL)
"""Template braces anywhere in a string: ``{{ customer.id }}``, ``${id}``, ``shop-{customer_id}``."""

_TEMPLATES_BEGIN: Final = frozenset("*%<[@_&$")
_VARIABLE: Final = re.compile(r"\$[A-Za-z_]+(?:[._][A-Za-z_]+)+")

_KNOWN: Final = NOTHING | ANYBODY | NEGATIONS | AROUND
_UUID_LENGTHS: Final = frozenset({32, 36})
_ONE_CHARACTER: Final = re.compile(r"([0-9a-f])\1{7}(-?)\1{4}\2\1{4}\2\1{4}\2\1{12}")
"""A UUID that repeats one character."""

_TELLS_APART: Final = re.compile(r"[1-9]")
_SIGNS: Final = re.compile(r"[\W_]+")
_BETWEEN_WORDS: Final = re.compile(r"[\s,;:|_-]+")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DOTLESS: Final = str.maketrans("\u0131", "i")

_LONG_WORDS: Final = sorted((word for word in NOTHING | ANYBODY if len(word) >= SHORTEST_IN_A_ROW), key=len)
_SAID_IN_A_ROW: Final = re.compile(f"(?:{'|'.join(reversed(_LONG_WORDS))})+")
"""Concatenated words: ``undefinedundefined``, ``unknownuser``; no short words, which form names (``nana``)."""


SHORTEST_DIGEST: Final = 32
_PLAIN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0_.-]*[1-9][A-Za-z0-9_.-]*")
"""The most common form of a key, such as ``crm-1042``: it has letters and a digit, so it is not a placeholder."""


def stands_for_nobody(text: str) -> bool:
    """Whether a trimmed string is a placeholder: words for "nothing", only zeros and punctuation, or a template.

    >>> [stands_for_nobody(text) for text in ("N/A", "00000000-0000-0000-0000-000000000000", "not logged in", "na-7")]
    [True, True, True, False]
    """
    if is_plain_key(text):
        return False
    if ("{" in text or text[:1] in _TEMPLATES_BEGIN) and is_template(text):
        return True
    if len(text) > LONGEST_PLACEHOLDER:
        return False
    lower = text.lower()
    if lower in EXACT or (len(text) in _UUID_LENGTHS and _ONE_CHARACTER.fullmatch(lower)):
        return True
    if len(text) <= LONGEST_NUMBER and text[:1] in _NUMBERS_BEGIN and _NUMBER.fullmatch(lower):
        return True
    return not _TELLS_APART.search(text) and _says_nothing(text)


def is_plain_key(text: str) -> bool:
    """Whether a string is a key such as ``crm-1042``: no placeholder of that length looks like it."""
    return len(text) < SHORTEST_DIGEST and _PLAIN_KEY.fullmatch(text) is not None


def is_nobodys_email(address: str) -> bool:
    """Whether an address is built from placeholders: a template, or placeholders before and after the ``@``.

    >>> is_nobodys_email("undefined@undefined.undefined"), is_nobodys_email("null@shop.example")
    (True, False)
    """
    if ("{" in address or address[:1] in _TEMPLATES_BEGIN) and is_template(address.partition("@")[0]):
        return True
    local, _, domain = address.rpartition("@")
    return _is_nobodys_domain(domain) and stands_for_nobody(local)


@lru_cache(maxsize=1_000)
def _is_nobodys_domain(domain: str) -> bool:
    if "{" in domain and is_template(domain):
        return True
    first = domain.partition(".")[0]
    return first.lower() not in ANYBODY and stands_for_nobody(first)


def to_order_id(value: Any) -> str:
    """Convert an order id to a string; order 1 exists, unlike orders 0, ``null`` and ``N/A``.

    Raises:
        UnusableValueError: Not a string or number, or a placeholder, which would merge many orders into one.
    """
    name = to_string(value)
    trimmed = trim(name)
    if trimmed and trimmed != FIRST_ORDER and stands_for_nobody(trimmed):
        raise UnusableValueError("order_id_blocked")
    return name


def is_template(text: str) -> bool:
    """Whether a string contains an unfilled template variable, even if URL- or HTML-escaped."""
    if len(text) > LONGEST_TEMPLATE:
        return False
    plain = unescape(unquote(text)) if text[0] in "%&" else text
    return bool(_BRACES.search(plain) or _TEMPLATE.fullmatch(plain) or _VARIABLE.fullmatch(plain))


def _says_nothing(text: str) -> bool:
    """Whether all words are known placeholder words, and one of them is a placeholder by itself."""
    if _is_nothing(text):
        return True
    words = [word for part in _BETWEEN_WORDS.split(_HUMP.sub(" ", text)) for word in _words_of(part)]
    if not all(word in _KNOWN for word in words):
        return False
    return any(word in NOTHING or word in ANYBODY or (word in NEGATIONS and len(words) > 1) for word in words)


def _words_of(part: str) -> list[str]:
    """The words of a part without spaces: one if punctuation only divides it (``n.a.``), else split at punctuation."""
    whole = _folded(_SIGNS.sub("", part))
    if not whole.strip("0"):
        return []
    if whole in NOTHING or _SAID_IN_A_ROW.fullmatch(whole):
        return ["none"]
    return [_folded(word) for word in _SIGNS.split(part) if word.strip("0")]


def _is_nothing(text: str) -> bool:
    core = _folded(_SIGNS.sub("", text))
    return not core.strip("0") or core in NOTHING or _SAID_IN_A_ROW.fullmatch(core) is not None


def _folded(word: str) -> str:
    """Lower case, without accents."""
    if word.isascii():
        return word.lower()
    apart = unicodedata.normalize("NFKD", word.casefold().translate(_DOTLESS))
    return "".join(character for character in apart if not unicodedata.combining(character))
