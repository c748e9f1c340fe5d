"""One ledger row per batch; finished batches are later merged, many at once, into the per-key table.

So an index page of that table is changed once for many keys, instead of once for each.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from singer_delivery.memory.database import Database


def batch_table(database: Database, name: str, content: str) -> sa.Table:
    """Declare a table of batches; the column *content* holds the encoded batch."""
    return database.table(
        name,
        sa.Column("key", sa.LargeBinary(16), primary_key=True),
        sa.Column(content, sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


class BatchRows:
    """Access to a `batch_table`: the batches of this process, and unmerged ones of others."""

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._database = database
        self._table = table
        names = tuple(table.c.keys())
        self._write = database.upsert_into(table, names, names[1:])

    def lock(self, connection: sa.Connection) -> None:
        """Lock the table against writers until the transaction ends."""
        self._database.lock(connection, self._table)

    def write(self, connection: sa.Connection, batches: Iterable[tuple[bytes, bytes]]) -> None:
        """Insert or update batches, given as (key, content)."""
        now = int(time.time())
        self._database.upsert(connection, self._write, [(key, content, now) for key, content in batches])

    def of_others(self, connection: sa.Connection, own: Collection[bytes]) -> list[tuple[bytes, bytes, int]]:
        """All batches except *own*, as (key, content, epoch second of writing), sorted by key."""
        found = connection.exec_driver_sql(f"SELECT key FROM {self._table.name}")  # noqa: S608  (a constant)
        others = {bytes(key) for (key,) in found} - set(own)
        return sorted(self._read(connection, others))

    def delete(self, connection: sa.Connection, keys: Collection[bytes]) -> set[bytes]:
        """Delete batches; returns the keys of those that existed."""
        key = self._table.c.key
        there = {bytes(row.key) for row in connection.execute(sa.select(key).where(key.in_(keys)))}
        connection.execute(sa.delete(self._table).where(key.in_(there)))
        return there

    def _read(self, connection: sa.Connection, keys: Collection[bytes]) -> list[tuple[bytes, bytes, int]]:
        found = self._database.read(connection, list(self._table.c), list(keys))
        return [(bytes(key), content, at) for key, content, at in found]
