"""An authorized read, and its answers: a page of resources, or a single one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint
    from klaviyo_insiderone_sandbox.klaviyo.parameters import Parameters
    from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
    from klaviyo_insiderone_sandbox.klaviyo.state import Account


@dataclass(frozen=True, slots=True)
class Request:
    """A read whose key, revision, scopes, quota and parameters are in order."""

    account: Account
    base_url: str
    path: str
    id: str
    """The id in the path; empty where the path has none."""
    parameters: Parameters


Read = Callable[[Request], tuple[bytes, int]]
"""Composes the JSON:API document that answers a request; returns it with the number of rows in it."""


class Route(NamedTuple):
    """An endpoint and its resources."""

    endpoint: Endpoint
    read: Read
    kind: ResourceType | None = None
    """The resources that it serves; None = no simple resources."""


def page(rows: Iterable[str], included: Iterable[str] | None, request: Request, cursor: str | None) -> bytes:
    """Compose a page; *included* is None when nothing was asked for.

    The rows are encoded one by one: joined, a single emoji would make the whole string take four bytes a character.
    """
    parameters = request.parameters
    self_url = parameters.page_url(request.base_url, request.path, parameters.cursor)
    next_link = f'"{parameters.page_url(request.base_url, request.path, cursor)}"' if cursor else "null"
    links = f'"links":{{"self":"{self_url}","next":{next_link},"prev":null}}}}'
    also = [] if included is None else [b'],"included":[', *_separated(included)]
    return b"".join([b'{"data":[', *_separated(rows), *also, b"],", links.encode()])


def single(row: str, included: Iterable[str] | None) -> bytes:
    """Compose an answer with one resource; see :func:`page` for *included*."""
    also = "" if included is None else f',"included":[{",".join(included)}]'
    return f'{{"data":{row}{also}}}'.encode()


def _separated(texts: Iterable[str]) -> list[bytes]:
    """Encode strings, separated by commas; they are joined once, with the rest of the page."""
    encoded = [text.encode() for text in texts]
    pieces = [b","] * max(2 * len(encoded) - 1, 0)
    pieces[::2] = encoded
    return pieces
