"""Which jobs of an asynchronous API are open, and which rows each of them holds, in their order."""

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
    """A job that was submitted and whose end is not noted: *rows* are the ledger's keys in each of its rows."""

    key: bytes
    id: str
    kind: str
    variant: str
    rows: list[list[bytes]]


class JobLedger:
    """Remembers jobs from their submission to the moment their outcome is noted; used from any thread."""

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
        """Note a job that the API has taken; returns what `end` is to be told."""
        key = uuid.uuid4().bytes
        content = _Content(job_id, kind, variant, [list(row) for row in rows])
        if not self._read_only:
            row = {"key": key, "content": msgspec.msgpack.encode(content), "at": int(time.time())}
            with self._database.transaction() as connection:
                connection.execute(sa.insert(self._jobs).values(row))
        return key

    def end(self, key: bytes) -> None:
        """Forget a job whose outcome is noted."""
        if not self._read_only:
            with self._database.transaction() as connection:
                connection.execute(sa.delete(self._jobs).where(self._jobs.c.key == key))

    def open(self) -> list[OpenJob]:
        """The jobs of runs that died before they knew the outcome, the oldest first."""
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
