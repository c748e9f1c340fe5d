"""Checks the catalog before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tap_klaviyo.disclosure import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Metadata(msgspec.Struct):
    breadcrumb: list[Any]
    metadata: dict[str, Any]


class _Entry(msgspec.Struct):
    tap_stream_id: str
    stream: str | None = None
    schema: dict[str, Any] = {}
    metadata: list[_Metadata] = []


class _Catalog(msgspec.Struct):
    streams: list[_Entry] = []


def mistakes_in(catalog: Mapping[str, Any]) -> list[str]:
    """Describe what would make the SDK fail, without quoting values."""
    try:
        entries = msgspec.convert(catalog, _Catalog).streams
    except msgspec.ValidationError as error:
        return [f"--catalog: {error}; run --discover again, or correct it there"]
    return [
        f"--catalog: the `stream` of `{shown(entry.tap_stream_id)}` is not its `tap_stream_id`; to rename a stream, "
        "write an `__alias__` in `stream_maps`"
        for entry in entries
        if entry.stream not in {None, entry.tap_stream_id}
    ]


def unknown_in(catalog: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """Name the streams of a catalog, which has no mistakes, that the tap does not have."""
    names = {entry["tap_stream_id"] for entry in catalog.get("streams", [])}
    return sorted(shown(name) for name in names.difference(known))
