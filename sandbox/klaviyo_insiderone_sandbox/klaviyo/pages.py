"""The documents that answer reads: a page of resources, or a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klaviyo_insiderone_sandbox.klaviyo.cursors import read_keyset_cursor, write_keyset_cursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klaviyo_insiderone_sandbox.exchange import Call
    from klaviyo_insiderone_sandbox.klaviyo.parameters import Parameters


def page(
    rows: Iterable[str], included: Iterable[str] | None, call: Call, parameters: Parameters, cursor: str | None
) -> bytes:
    """Compose a page; *included* is None when nothing was asked for.

    The rows are encoded one by one: a single emoji would have the text of all of them take four bytes a character.
    """
    self_url = parameters.page_url(call.base_url, call.path, parameters.cursor)
    next_link = f'"{parameters.page_url(call.base_url, call.path, cursor)}"' if cursor else "null"
    links = f'"links":{{"self":"{self_url}","next":{next_link},"prev":null}}}}'
    also = [] if included is None else [b'],"included":[', *_separated(included)]
    return b"".join([b'{"data":[', *_separated(rows), *also, b"],", links.encode()])


def single(row: str, included: Iterable[str] | None) -> bytes:
    """Compose an answer with one resource."""
    also = "" if included is None else f',"included":[{",".join(included)}]'
    return f'{{"data":{row}{also}}}'.encode()


def _separated(texts: Iterable[str]) -> list[bytes]:
    """Encode texts and put commas between them; they are joined once, with everything else of a page."""
    encoded = [text.encode() for text in texts]
    pieces = [b","] * max(2 * len(encoded) - 1, 0)
    pieces[::2] = encoded
    return pieces


def by_id_page(found: list[Any], parameters: Parameters, size: int, sort: str = "id") -> tuple[list[Any], str | None]:
    """Cut a page out of rows that have unique ids; returns the rows and the next cursor."""
    start = 0
    if parameters.cursor is not None:
        (last_id,) = read_keyset_cursor(parameters.cursor, sort)[:1]
        start = next((place + 1 for place, one in enumerate(found) if one.id == last_id), len(found))
    rows = found[start : start + size]
    return rows, write_keyset_cursor(sort, (rows[-1].id,)) if start + size < len(found) else None
