"""Keyed digests, so that the ledger holds no readable personal data."""

from __future__ import annotations

import hashlib
from typing import Any

LONGEST_TEXT = 120


def shortened(text: str) -> str:
    """A string for the ledger: itself, or a digest if it is too long.

    All rows of a bulk statement are padded to the longest string.
    """
    if len(text) <= LONGEST_TEXT:
        return text
    return f"digest {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


class Digester:
    """Makes 16-byte digests within a *scope* (partner and integration name); scopes never share a key."""

    def __init__(self, scope: str) -> None:
        self._keyed = hashlib.blake2b(digest_size=16, key=hashlib.blake2b(scope.encode(), digest_size=32).digest())
        self._begun: dict[str, Any] = {}  # *what* -> the hash state after it

    def __call__(self, what: str, *parts: str | bytes) -> bytes:
        """Digest *what* (the kind of key, one of a few words) and *parts*; their order and boundaries matter."""
        begun = self._begun.get(what)
        if begun is None:
            begun = self._keyed.copy()
            begun.update(_framed(what.encode()))
            self._begun[what] = begun
        hashed = begun.copy()
        for part in parts:
            hashed.update(_framed(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part))
        digest: bytes = hashed.digest()
        return digest


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
