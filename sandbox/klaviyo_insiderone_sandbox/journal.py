"""The journal of a fake API: requests and answers."""

from collections import deque
from typing import Any

import msgspec

from klaviyo_insiderone_sandbox.exchange import Answer, Call

MAX_ENTRIES = 200_000
MAX_BODY_BYTES = 256_000_000
"""Request bodies beyond this total are dropped, oldest first; their entries stay."""

CREDENTIALS = frozenset({"authorization", "x-request-token", "cookie"})
"""Headers that are never kept."""


class Entry(msgspec.Struct, omit_defaults=True):
    """One request."""

    n: int
    at: str
    method: str
    path: str
    query: str
    status: int | None
    """Null if the client got no answer."""
    bytes: int
    records: int
    headers: dict[str, str]
    under_way: int
    """Requests that were waiting for their answer when this one arrived, itself included."""
    key_scopes: list[str] | None = None
    fault: str | None = None
    body: Any = None


class Journal:
    """The requests of one side, oldest first."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything; numbers start at 1 again."""
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._with_body: deque[tuple[Entry, int]] = deque()
        self._body_bytes = 0
        self._count = 0

    def add(
        self,
        at: str,
        call: Call,
        answer: Answer | None,
        *,
        under_way: int,
        fault: str | None,
        scopes: list[str] | None,
        body: bytes | None,
    ) -> None:
        """Note one request; *answer* is None if the client gets none, *body* is valid JSON or None."""
        self._count += 1
        entry = Entry(
            n=self._count,
            at=at,
            method=call.method,
            path=call.path,
            query=call.decoded_query,
            status=answer.status if answer else None,
            bytes=len(answer.body) if answer else 0,
            records=answer.records if answer else 0,
            headers={name: value for name, value in call.headers.items() if name not in CREDENTIALS},
            under_way=under_way,
            key_scopes=scopes,
            fault=fault,
        )
        self._entries.append(entry)
        if body is not None:
            self._keep_body(entry, body)

    def _keep_body(self, entry: Entry, body: bytes) -> None:
        entry.body = msgspec.Raw(body)
        self._with_body.append((entry, len(body)))
        self._body_bytes += len(body)
        while self._body_bytes > MAX_BODY_BYTES:
            oldest, size = self._with_body.popleft()
            oldest.body = None
            self._body_bytes -= size

    def entries(self, *, after: int = 0, newest: int | None = None) -> list[Entry]:
        """Return the requests with a number above *after*, at most the *newest* of them."""
        found = [entry for entry in self._entries if entry.n > after]
        return found if newest is None else found[-newest:] if newest else []

    def __len__(self) -> int:
        return self._count
