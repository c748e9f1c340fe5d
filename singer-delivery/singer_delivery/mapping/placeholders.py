"""Values that stand for nobody: as identifiers they would make one user of many strangers."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = frozenset(
    {
        "none", "null", "nil", "nan", "nat", "na", "nd", "undefined", "unknown", "anonymous", "anon", "guest", "true",
        "false", "notset", "notavailable", "notapplicable", "notprovided", "notfound", "noid", "novalue", "nodata",
        "blank", "empty", "missing", "void", "tbd", "inf", "infinity", "ref", "div0",
        "undefinedundefined", "nullnull", "nonenone",
        "unbekannt", "keine", "gast", "bilinmiyor", "yok", "misafir", "inconnu", "aucun", "invité", "desconocido",
        "ninguno", "invitado", "sconosciuto", "nessuno", "ospite", "onbekend", "geen",
    }
)  # fmt: skip
"""Words for nothing, without case, blanks and signs: ``N/A`` and ``[object Object]`` are among them."""

EXACT: Final = frozenset({
    "undefined", "anonymous", "null", "0", "1", "-1", "1.0", "#name?", "#value!", "#num!",
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
})  # fmt: skip
"""Numbers, what a spreadsheet shows for an error, and the digests of an empty text (MD5, SHA-1, SHA-256)."""

LONGEST_PLACEHOLDER: Final = 64

_TEMPLATE: Final = re.compile(r"\{\{.*\}\}|\{%.*%\}|\$\{.*\}|\*\|.*\|\*|%%.*%%|<%.*%>|\[object [^\]]*\]", re.DOTALL)
"""What a template leaves where nothing filled it in: ``{{ customer.id }}``, ``${id}``, ``*|ID|*``, ``%%ID%%``; and what
JavaScript writes for an object."""

_TEMPLATES_BEGIN: Final = frozenset("{$*%<[")

_UUID_LENGTHS: Final = frozenset({32, 36})
_ONE_CHARACTER: Final = re.compile(r"([0-9a-f])\1{7}(-?)\1{4}\2\1{4}\2\1{4}\2\1{12}")
"""A UUID of one character all along."""

_TELLS_APART: Final = re.compile(r"[1-9]")
_SIGNS: Final = re.compile(r"[\W_]+")
_BETWEEN_WORDS: Final = re.compile(r"[\s,;|_-]+")


def stands_for_nobody(text: str) -> bool:
    """Tell whether a trimmed text is a placeholder: a word for nothing, nothing but zeros and signs, or a template.

    >>> [stands_for_nobody(text) for text in ("N/A", "00000000-0000-0000-0000-000000000000", "--", "na-7")]
    [True, True, True, False]
    """
    if len(text) > LONGEST_PLACEHOLDER:
        return False
    lower = text.lower()
    if lower in EXACT or (text[:1] in _TEMPLATES_BEGIN and _TEMPLATE.fullmatch(text)):
        return True
    if len(text) in _UUID_LENGTHS and _ONE_CHARACTER.fullmatch(lower):
        return True
    if _TELLS_APART.search(text):
        return False
    return _is_nothing(text) or all(map(_is_nothing, _BETWEEN_WORDS.split(text)))


def _is_nothing(text: str) -> bool:
    core = _SIGNS.sub("", text).casefold()
    return not core.strip("0") or core in WORDS
