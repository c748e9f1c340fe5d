"""Redacts e-mail addresses, phone numbers and keys from names and log lines that come from settings or input.

Names of streams, properties, settings and integrations come from outside. A key or an address that was pasted there
must not show up in a log, a summary or a message.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_NAME = 60
SHORTEST_SECRET = 6
"""Shorter secrets are not redacted: that would remove ordinary words from log lines."""

LONGEST_WORD = 16
"""A word of at least this length that contains digits is taken for a key."""

_QUOTED = re.compile(r"[^\s/'\"`,;:()]+")
_PLAIN = re.compile(r"[\w .,:/$()&#'*\[\]-]+")
_NUMBER = re.compile(r"\d(?:[ .,:/()-]*\d){6}")
_WORD = re.compile(r"[^\W_]+")
_TIME = re.compile(r"\d{8}T\d{6}Z")
"""As the names of runs, and so of their files, begin."""
_KEY_START = re.compile(r"(?:pk|sk)_", re.IGNORECASE)
_DIGIT_BESIDE_LETTER = re.compile(r"(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)")

_HIDDEN: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("@", re.compile(r"[^\s@\"'<>,;=()\[\]{}]{1,64}@[^\s@\"'<>,;()\[\]{}]{1,255}"), "(address)"),
    ("+", re.compile(r"\+\d{7,15}"), "(number)"),
    ("_", re.compile(r"\b[ps]k_[\w-]{6,}", re.IGNORECASE), "(key)"),
)
"""What is redacted from every line: a character that must be present, the pattern, the replacement."""

_secrets: set[str] = set()


def shown(name: object) -> str:
    """A name for a message: itself if it is short and harmless, else only its length.

    >>> shown("Favourite Size"), shown("ada@example.com"), shown("canary-6f1e")
    ('Favourite Size', '(a name of 15 characters)', '(a name of 11 characters)')
    """
    text = name if isinstance(name, str) else str(name)
    plain = len(text) <= LONGEST_NAME and _PLAIN.fullmatch(text) and not _is_number_or_key(text)
    return text if plain or not text else _hidden(text)


def _is_number_or_key(text: str) -> bool:
    if _NUMBER.search(text) or _KEY_START.search(text) or any(secret in text for secret in _secrets):
        return True
    return any(
        len(_DIGIT_BESIDE_LETTER.findall(word)) > 2 or (len(word) >= LONGEST_WORD and not word.isalpha())
        for word in _WORD.findall(text)
    )


def without_keys(text: object) -> str:
    """Redact addresses and anything that looks like a key from a path or message; words and dates stay.

    >>> without_keys("data/0f3c9a7e5b1d2468ace013579bdf0246/rejects.jsonl"), without_keys("data/2026-06-01")
    ('data/(a name of 32 characters)/rejects.jsonl', 'data/2026-06-01')
    """
    return _QUOTED.sub(lambda found: _hidden(found[0]) if _is_key(found[0]) else found[0], str(text))


def _is_key(name: str) -> bool:
    return (
        "@" in name
        or bool(_KEY_START.match(name))
        or any(
            len(word) >= LONGEST_WORD and not word.isalpha() and not _TIME.fullmatch(word)
            for word in _WORD.findall(name)
        )
    )


def _hidden(name: str) -> str:
    return f"(a name of {len(name)} characters)"


def shown_once(names: Iterable[str]) -> dict[str, str]:
    """Name -> its redacted form, made unique by a number where two would be equal."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        text, number = shown(name), 2
        while text in taken:
            text, number = f"{shown(name)} {number}", number + 1
        taken.add(text)
        found[name] = text
    return found


def scrub(line: str) -> str:
    """Redact addresses, E.164 numbers, keys and the secrets of this process from a line."""
    for secret in _secrets:
        line = line.replace(secret, "(secret)")
    for sign, pattern, instead in _HIDDEN:
        if sign in line:
            line = pattern.sub(instead, line)
    return line


def keep_secret(values: Iterable[object]) -> None:
    """Redact these values from every log line."""
    _secrets.update(value for value in values if isinstance(value, str) and len(value) >= SHORTEST_SECRET)


def scrub_log() -> None:
    """Scrub every line logged from now on, by any logger: the last line of defence."""
    make = logging.getLogRecordFactory()

    def make_scrubbed(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        record.name = scrub(record.name)  # the SDK names loggers after streams
        try:
            line = record.getMessage()
        except (TypeError, ValueError, KeyError):  # wrong arguments of the line itself; its handler reports them
            return record
        if (scrubbed := scrub(line)) != line:
            record.msg, record.args = scrubbed, ()
        return record

    logging.setLogRecordFactory(make_scrubbed)
