"""A request to a fake API, and its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import msgspec


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    """Percent-decoded, without a trailing slash."""
    query: str
    """As sent, still percent-encoded."""
    headers: dict[str, str]
    """Lower-case name -> value."""
    body: bytes
    is_json: bool
    """Whether the body is one JSON document."""
    base_url: str
    """Scheme, host and port that the client used: ``http://127.0.0.1:8701``."""

    @property
    def decoded_query(self) -> str:
        """The query, human-readable."""
        return unquote_plus(self.query)


@dataclass(slots=True)
class Answer:
    """One HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    records: int = 0
    """Rows served, or users accepted."""


def json_answer(status: int, content: object, headers: dict[str, str] | None = None, *, records: int = 0) -> Answer:
    """Answer with *content* as JSON."""
    return Answer(status, msgspec.json.encode(content), headers or {}, records=records)
