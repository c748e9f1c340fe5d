"""Short keys for the ledger that show nothing of what they stand for."""

from __future__ import annotations

import hashlib

LONGEST_TEXT = 120


def shortened(text: str) -> str:
    """A text for the ledger: itself, or a digest where it is longer than what the ledger is made for.

    All rows of a statement are as wide as the widest one.
    """
    if len(text) <= LONGEST_TEXT:
        return text
    return f"digest {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


class Digester:
    """Makes 16-byte digests within a *scope* (partner and integration name): other scopes never meet the same key."""

    def __init__(self, scope: str) -> None:
        self._keyed = hashlib.blake2b(digest_size=16, key=hashlib.blake2b(scope.encode(), digest_size=32).digest())

    def __call__(self, *parts: str | bytes) -> bytes:
        """Digest *parts*; the order and the borders between them count."""
        hashed = self._keyed.copy()
        for part in parts:
            encoded = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            hashed.update(len(encoded).to_bytes(4, "big"))
            hashed.update(encoded)
        return hashed.digest()
