"""Opaque page cursors: the position of a walk, by key or by row, never by number."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from klaviyo_insiderone_sandbox.klaviyo.errors import KlaviyoError, invalid


def write_event_cursor(epoch_second: int, event_id: str) -> str:
    """Encode the last event served: base64 of ``[1786698761, "7qXa33CCCCC", true]``."""
    return base64.b64encode(json.dumps([epoch_second, event_id, True]).encode()).decode()


def read_event_cursor(cursor: str) -> tuple[int, str]:
    """Decode an event cursor into (epoch second, event id).

    Raises:
        KlaviyoError: It is invalid.
    """
    match decode(cursor):
        case [int(second), str(event_id), True]:
            return second, event_id
    raise bad_cursor()


def write_keyset_cursor(sort: str, key: tuple[Any, ...]) -> str:
    """Encode the sort key of the last row served: base64 of ``next::updated::[1786698761000000, "01K7"]``."""
    return base64.b64encode(f"next::{sort}::{json.dumps(key)}".encode()).decode()


def read_keyset_cursor(cursor: str, sort: str) -> tuple[Any, ...]:
    """Decode a cursor of :func:`write_keyset_cursor`.

    Raises:
        KlaviyoError: It is invalid, or belongs to another sort order.
    """
    prefix = f"next::{sort}::"
    try:
        text = base64.b64decode(cursor, validate=True).decode()
        if text.startswith(prefix):
            return tuple(json.loads(text.removeprefix(prefix)))
    except (binascii.Error, ValueError, TypeError):
        pass
    raise bad_cursor()


def write_anchor_cursor(row_id: str) -> str:
    """Encode the id of the last row served: base64 of ``next::id::01K7``, as in the vendor's samples."""
    return base64.b64encode(f"next::id::{row_id}".encode()).decode()


def read_anchor_cursor(cursor: str) -> str:
    """Decode a cursor of :func:`write_anchor_cursor` into an id.

    Raises:
        KlaviyoError: It is invalid.
    """
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if not text.startswith("next::id::"):
        raise bad_cursor()
    return text.removeprefix("next::id::")


def decode(cursor: str) -> Any:
    """Decode base64-encoded JSON; None if it is invalid."""
    try:
        return json.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        return None


def bad_cursor() -> KlaviyoError:
    """Refuse a cursor."""
    return invalid("page[cursor]", "Invalid cursor provided.")
