"""Keyed digests, so that the ledger holds no readable personal data."""

from __future__ import annotations

import hashlib

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

    def __call__(self, *parts: str | bytes) -> bytes:
        """Digest *parts*; their order and boundaries matter."""
        hashed = self._keyed.copy()
        for part in parts:
            encoded = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            hashed.update(len(encoded).to_bytes(4, "big"))
            hashed.update(encoded)
        return hashed.digest()
