"""Values that stand for nobody: as identifiers they would make one user of many strangers."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = frozenset(
    {
        "none", "null", "nil", "nan", "nat", "na", "undefined", "unknown", "anonymous", "anon", "guest", "true",
        "false", "notset", "notavailable", "notapplicable", "notprovided", "noid", "novalue", "nodata",
        "objectobject", "objectnull", "undefinedundefined", "nullnull", "nonenone",
    }
)  # fmt: skip
"""Words for nothing, without case, blanks and signs: ``N/A`` and ``[object Object]`` are among them."""

EXACT: Final = frozenset({"0", "1", "-1", "1.0", "f" * 32, "ffffffff-ffff-ffff-ffff-ffffffffffff"})
LONGEST_PLACEHOLDER: Final = 60

_TEMPLATE: Final = re.compile(r"\{\{.*\}\}|\{%.*%\}|\$\{.*\}|\*\|.*\|\*|%%.*%%|<%.*%>", re.DOTALL)
"""What a template leaves where nothing filled it in: ``{{ customer.id }}``, ``${id}``, ``*|ID|*``, ``%%ID%%``."""

_TELLS_APART: Final = re.compile(r"[1-9]")
_SIGNS: Final = re.compile(r"[\W_]+")


def stands_for_nobody(text: str) -> bool:
    """Tell whether a trimmed text is a placeholder: a word for nothing, nothing but zeros and signs, or a template.

    >>> [stands_for_nobody(text) for text in ("N/A", "00000000-0000-0000-0000-000000000000", "--", "na-7")]
    [True, True, True, False]
    """
    if len(text) > LONGEST_PLACEHOLDER:
        return False
    if text.lower() in EXACT or _TEMPLATE.fullmatch(text):
        return True
    if _TELLS_APART.search(text):
        return False
    core = _SIGNS.sub("", text).casefold()
    return not core.strip("0") or core in WORDS
