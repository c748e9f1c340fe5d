"""Stores the open jobs of asynchronous APIs, each with the rows of its request, in order."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_delivery.memory.database import Database


class OpenJob(NamedTuple):
    """A submitted job without a stored outcome. *rows*: per row of the request, its ledger keys."""

    key: bytes
    id: str
    kind: str
    variant: str
    rows: list[list[bytes]]


class JobLedger:
    """Stores jobs from submission until their outcome is stored; thread-safe."""

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._read_only = read_only
        self._database = database
        self._jobs = database.table(
            "jobs",
            sa.Column("key", sa.LargeBinary(16), primary_key=True),
            sa.Column("content", sa.LargeBinary, nullable=False),  # MessagePack: `_Content`
            sa.Column("at", sa.BigInteger, nullable=False),
        )

    def submit(self, job_id: str, kind: str, variant: str, rows: Sequence[Sequence[bytes]]) -> bytes:
        """Store a job that the API has accepted; returns its key, for `end`."""
        key = uuid.uuid4().bytes
        content = _Content(job_id, kind, variant, [list(row) for row in rows])
        if not self._read_only:
            row = {"key": key, "content": msgspec.msgpack.encode(content), "at": int(time.time())}
            with self._database.transaction() as connection:
                connection.execute(sa.insert(self._jobs).values(row))
        return key

    def end(self, key: bytes) -> None:
        """Delete a job whose outcome is stored."""
        if not self._read_only:
            with self._database.transaction() as connection:
                connection.execute(sa.delete(self._jobs).where(self._jobs.c.key == key))

    def open(self) -> list[OpenJob]:
        """The jobs of runs that died before they stored the outcome, oldest first."""
        with self._database.transaction() as connection:
            columns = (self._jobs.c.key, self._jobs.c.content)
            found = connection.execute(sa.select(*columns).order_by(self._jobs.c.at)).all()
        return [OpenJob(bytes(key), *msgspec.structs.astuple(_CONTENT.decode(content))) for key, content in found]


class _Content(msgspec.Struct, array_like=True):
    id: str
    kind: str
    variant: str
    rows: list[list[bytes]]


_CONTENT = msgspec.msgpack.Decoder(_Content)
