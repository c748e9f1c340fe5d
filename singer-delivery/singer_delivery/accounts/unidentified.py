"""Keeps records that have none of the mapped identifiers, to be replayed once the mapping is corrected."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from singer_delivery.accounts.rejects import RejectsFile

if TYPE_CHECKING:
    from pathlib import Path

    from singer_delivery.accounts.rejects import Reject


class _Line(msgspec.Struct):
    record: msgspec.Raw


class _Kept(msgspec.Struct):
    stream: str
    key: str
    record: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_kept = msgspec.json.Decoder(_Kept).decode


class Unidentified:
    """A file in the format of ``rejects.jsonl``; a record that it already holds unchanged is not written again."""

    def __init__(self, path: Path, *, run_id: str) -> None:
        self.file = RejectsFile(path, run_id=run_id)
        self._known: set[bytes] | None = None

    def add(self, reject: Reject) -> None:
        """Keep a record; *reject* holds it as bytes (:func:`raw_record`)."""
        if self._known is None:
            self._known = _known(self.file.path)
        mark = _mark(reject.stream, reject.key, reject.record)
        if mark not in self._known:
            self._known.add(mark)
            self.file.add(reject)


def raw_record(line: bytes) -> Any:
    """The record of a Singer line, as undecoded bytes."""
    return _decode_line(line).record


def _known(path: Path) -> set[bytes]:
    known = set()
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                try:
                    kept = _decode_kept(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                known.add(_mark(kept.stream, kept.key, kept.record))
    return known


def _mark(stream: str, key: str, record: bytes) -> bytes:
    """An eight-byte digest of a record; a million of them take little memory."""
    mark = hashlib.blake2b(record, digest_size=8)
    mark.update(f"\0{stream}\0{key}".encode("utf-8", "surrogatepass"))
    return mark.digest()
