"""Remembers which events have been delivered, and which may have been."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

from singer_delivery.memory.batch_rows import BatchRows, batch_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from singer_delivery.memory.database import Database

DAY_SECONDS = 86_400

MERGE_AFTER_EVENTS = 20_000
"""Delivered events are merged when there are this many; until then their keys are kept in memory."""


class KnownEvent(NamedTuple):
    """An event in the ledger; *intent* holds its bytes while its outcome is unknown."""

    content: bytes
    intent: bytes | None


class _Batch(NamedTuple):
    """Events of one request: one row of the database. *intents*: bytes of those without an outcome."""

    key: bytes
    contents: dict[bytes, bytes]
    intents: dict[bytes, bytes]

    def event(self, key: bytes) -> KnownEvent:
        """The entry of one event."""
        return KnownEvent(self.contents[key], self.intents.get(key))

    def row(self) -> tuple[bytes, bytes]:
        """The database row: key and encoded content."""
        return self.key, msgspec.msgpack.encode((self.contents, self.intents))


class EventLedger:
    """Remembers events; every method is one short transaction; thread-safe.

    A batch is written with all bytes before the request, again with the outcome, and merged once it is complete.
    """

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._read_only = read_only
        self._database = database
        self._rows = BatchRows(database, batch_table(database, "batches", "events"))  # `_Batch.row`
        self._events = database.table(
            "events",
            sa.Column("key", sa.LargeBinary(16), primary_key=True),
            sa.Column("content", sa.LargeBinary(16), nullable=False),
            sa.Column("intent", sa.LargeBinary),  # the exact bytes, until the outcome is known
            sa.Column("at", sa.BigInteger, nullable=False, index=True),
        )
        self._guard = threading.Lock()
        self._batch_of: dict[bytes, _Batch] = {}  # event's key -> its batch, until that is merged
        self._complete: list[_Batch] = []
        names = tuple(self._events.c.keys())
        self._settle_event = database.upsert_into(self._events, names, ("intent", "at"))
        self._intend_event = database.upsert_into(self._events, names, ())

    def known(self, keys: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        """Key -> entry, for those of *keys* that are in the ledger."""
        with self._guard:
            known = {key: self._batch_of[key].event(key) for key in self._batch_of.keys() & keys}
        columns = (self._events.c.key, self._events.c.content, self._events.c.intent)
        rest = [key for key in keys if key not in known] if known else keys
        with self._database.transaction() as connection:
            found = self._database.read(connection, columns, rest)
        return known | {key: KnownEvent(content, intent) for key, content, intent in found}

    def intend(self, events: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Store (key, content digest, exact bytes) of events that are about to be sent."""
        batch = _Batch(uuid.uuid4().bytes, {}, {})
        for key, content, intent in events:
            batch.contents[key] = content
            batch.intents[key] = intent
        if self._read_only or not batch.contents:
            return
        with self._database.transaction() as connection:
            self._rows.write(connection, [batch.row()])
        with self._guard:
            self._batch_of.update(dict.fromkeys(batch.contents, batch))

    def settle(self, delivered: Sequence[bytes], refused: Sequence[bytes]) -> None:
        """Store the outcome of intended events: delivered ones are remembered, refused ones forgotten."""
        if self._read_only or not (delivered or refused):
            return
        with self._guard:
            elsewhere = [key for key in delivered if key not in self._batch_of]
            batches = self._note_outcome(delivered, refused)
            complete = [batch for batch in batches if not batch.intents]
        with self._database.transaction() as connection:
            self._rows.write(connection, [batch.row() for batch in batches])
            for key in elsewhere:
                connection.execute(sa.update(self._events).where(self._events.c.key == key).values(intent=sa.null()))
            for key in refused:
                connection.execute(
                    sa.delete(self._events).where(self._events.c.key == key, self._events.c.intent.is_not(None))
                )
        with self._guard:
            self._complete += complete
            waiting = sum(len(batch.contents) for batch in self._complete)
        if waiting >= MERGE_AFTER_EVENTS:
            self.merge()

    def _note_outcome(self, delivered: Sequence[bytes], refused: Sequence[bytes]) -> list[_Batch]:
        """Update the batches with outcomes; returns those that changed."""
        changed: dict[bytes, _Batch] = {}
        for key in delivered:
            batch = self._batch_of.get(key)
            if batch is not None and batch.intents.pop(key, None) is not None:
                changed[batch.key] = batch
        for key in refused:
            batch = self._batch_of.pop(key, None)
            if batch is not None and batch.intents.pop(key, None) is not None:
                del batch.contents[key]
                changed[batch.key] = batch
        return list(changed.values())

    def merge(self) -> None:
        """Move the events of complete batches into the table of events."""
        with self._guard:
            merged, self._complete = self._complete, []
        if not merged:
            return
        contents = {key: content for batch in merged for key, content in batch.contents.items()}
        with self._database.transaction() as connection:
            self._rows.delete(connection, [batch.key for batch in merged])
            self._settle_all(connection, sorted(contents.items()))
        with self._guard:
            for batch in merged:
                for key in batch.contents:
                    if self._batch_of.get(key) is batch:
                        del self._batch_of[key]

    def _settle_all(self, connection: sa.Connection, events: Sequence[tuple[bytes, bytes]]) -> None:
        """Write settled events, as (key, content), sorted by key, as all processes do (no deadlocks)."""
        if events:
            given, parameters = self._database.given(*zip(*events, strict=True))
            connection.exec_driver_sql(
                f"{given} INSERT INTO {self._events.name} (key, content, at) "  # noqa: S608  (a name and a number)
                f"SELECT column_0, column_1, {int(time.time())} FROM given WHERE true "
                "ON CONFLICT (key) DO UPDATE SET intent = NULL, at = excluded.at",
                parameters,
            )

    def take_over(self, connection: sa.Connection) -> None:
        """Merge the batches of other processes, whatever their state; a dry run only reads them.

        If the owner is still running, it will still write the outcome.
        """
        if not self._read_only:
            self._rows.lock(connection)
        with self._guard:
            own = {batch.key for batch in self._batch_of.values()}
        left = self._rows.of_others(connection, own)
        found = [(_Batch(key, *_EVENTS.decode(events)), at) for key, events, at in left]
        if self._read_only:
            for batch, _ in found:
                self._batch_of.update(dict.fromkeys(batch.contents, batch))
            return
        self._rows.delete(connection, [batch.key for batch, _ in found])
        for statement, is_open in ((self._settle_event, False), (self._intend_event, True)):
            rows = {
                key: (key, *batch.event(key), at)
                for batch, at in found
                for key in batch.contents
                if (key in batch.intents) is is_open
            }
            self._database.upsert(connection, statement, list(rows.values()))

    def prune(self, days: int) -> int:
        """Delete events older than *days*, even without a known outcome; returns how many."""
        if self._read_only:
            return 0
        oldest = int(time.time()) - days * DAY_SECONDS
        stale = sa.delete(self._events).where(self._events.c.at < oldest)
        with self._database.transaction() as connection:
            return int(connection.execute(stale).rowcount)

    def forget(self, is_gone: Callable[[bytes], bool]) -> int:
        """Drop the bytes of unsettled events for which *is_gone* is true, as if delivered; returns how many."""
        self.merge()
        with self._database.transaction() as connection:
            open_ones = connection.execute(
                sa.select(self._events.c.key, self._events.c.intent).where(self._events.c.intent.is_not(None))
            )
            gone = [key for key, intent in open_ones.all() if is_gone(bytes(intent))]
            for key in gone:
                connection.execute(sa.update(self._events).where(self._events.c.key == key).values(intent=sa.null()))
        return len(gone)


_EVENTS = msgspec.msgpack.Decoder(tuple[dict[bytes, bytes], dict[bytes, bytes]])
