"""The target's memory: which events and which versions of a profile Insider One has already been given.

Nothing personal is readable in it: keys and identifiers are digests (:mod:`target_insiderone.digests`), which also keep
pipelines apart that share a database. The one exception are the bytes of an event while its outcome is not known.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

from target_insiderone.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DAY_SECONDS = 86_400

MERGE_AFTER_EVENTS = 20_000
"""Delivered events are moved from their batches into the table of events together: a page of its index then changes
once for many of them. Their keys are kept in memory until then."""

_metadata = sa.MetaData()

_batches = sa.Table(
    "insiderone_batches",
    _metadata,
    sa.Column("key", sa.LargeBinary(16), primary_key=True),
    sa.Column("events", sa.LargeBinary, nullable=False),  # MessagePack: [{key: content}, {key: intent, while open}]
    sa.Column("at", sa.BigInteger, nullable=False),
)

_events = sa.Table(
    "insiderone_events",
    _metadata,
    sa.Column("key", sa.LargeBinary(16), primary_key=True),
    sa.Column("content", sa.LargeBinary(16), nullable=False),
    sa.Column("intent", sa.LargeBinary),  # the exact bytes, until the outcome is known
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)

_profiles = sa.Table(
    "insiderone_profiles",
    _metadata,
    sa.Column("key", sa.LargeBinary(16), primary_key=True),
    sa.Column("read_at", sa.String(40), nullable=False),
    sa.Column("content", sa.LargeBinary(16), nullable=False),
    sa.Column("email", sa.LargeBinary(16)),
    sa.Column("phone_number", sa.LargeBinary(16)),
    sa.Column("optins", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


class KnownEvent(NamedTuple):
    """An event the ledger knows: *intent* holds its bytes while what became of it is not known."""

    content: bytes
    intent: bytes | None


class KnownProfile(msgspec.Struct, frozen=True, gc=False):
    """The last delivered version of a profile.

    *read_at*: when it was read from the source (ISO 8601, UTC). *content*: digest of all that was mapped. *email*,
    *phone_number*: digests. *optins*: attribute -> what was last delivered: its value, and the consent it came from.
    """

    read_at: str
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    optins: Mapping[str, str]


class _Batch(NamedTuple):
    """Events that were intended together: one row of the database. *intents*: of those that have no outcome yet."""

    key: bytes
    contents: dict[bytes, bytes]
    intents: dict[bytes, bytes]

    def event(self, key: bytes) -> KnownEvent:
        """What is known of one event."""
        return KnownEvent(self.contents[key], self.intents.get(key))

    def row(self) -> tuple[bytes, bytes, int]:
        """What the database is to hold of it now."""
        return self.key, msgspec.msgpack.encode((self.contents, self.intents)), int(time.time())


class Ledger:
    """Reads and writes in batches; every method is one short transaction and may be called from any thread.

    A batch of events is one row: it is written with all bytes before the request, and again with the outcome. Complete
    batches are merged into the table of events. What another process left unmerged, because it died or because it is
    still at work, is taken over when the ledger is opened and when a stream is held; if its owner lives, it writes the
    outcome all the same.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.
        read_only: Look up, but change nothing (dry runs).

    Raises:
        LedgerError: It cannot be opened.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._database = database = Database(url)
        self._holding: sa.Connection | None = None
        self._guard = threading.Lock()
        self._batch_of: dict[bytes, _Batch] = {}  # event's key -> where it is, until it is merged
        self._complete: list[_Batch] = []
        self._write_batch = database.upsert_into(_batches, ("key", "events", "at"), ("events", "at"))
        self._settle_event = database.upsert_into(_events, ("key", "content", "intent", "at"), ("intent", "at"))
        self._intend_event = database.upsert_into(_events, ("key", "content", "intent", "at"), ())
        self._claim_profile = database.upsert_into(
            _profiles, ("key", "read_at", "content", "optins", "at"), ("read_at", "at"), newer_by="read_at"
        )
        names = tuple(_profiles.c.keys())
        self._remember_profile = database.upsert_into(_profiles, names, names[1:], newer_by="read_at")
        database.create(_metadata)
        self._take_over()

    # Events

    def events(self, keys: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        """Those of *keys* that the ledger knows."""
        with self._guard:
            known = {key: self._batch_of[key].event(key) for key in self._batch_of.keys() & keys}
        columns = (_events.c.key, _events.c.content, _events.c.intent)
        rest = [key for key in keys if key not in known] if known else keys
        return known | {key: KnownEvent(content, intent) for key, content, intent in self._database.read(columns, rest)}

    def intend_events(self, events: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Note (key, content digest, exact bytes) of events that are about to be sent."""
        batch = _Batch(uuid.uuid4().bytes, {}, {})
        for key, content, intent in events:
            batch.contents[key] = content
            batch.intents[key] = intent
        if self._read_only or not batch.contents:
            return
        with self._database.transaction() as connection:
            self._database.upsert(connection, self._write_batch, [batch.row()])
        with self._guard:
            self._batch_of.update(dict.fromkeys(batch.contents, batch))

    def settle_events(self, delivered: Sequence[bytes], refused: Sequence[bytes]) -> None:
        """Note the outcome of intended events: delivered ones are remembered, refused ones forgotten."""
        if self._read_only or not (delivered or refused):
            return
        with self._guard:
            elsewhere = [key for key in delivered if key not in self._batch_of]
            batches = self._note_outcome(delivered, refused)
            complete = [batch for batch in batches if not batch.intents]
        with self._database.transaction() as connection:
            self._database.upsert(connection, self._write_batch, [batch.row() for batch in batches])
            for key in elsewhere:
                connection.execute(sa.update(_events).where(_events.c.key == key).values(intent=sa.null()))
            for key in refused:
                connection.execute(sa.delete(_events).where(_events.c.key == key, _events.c.intent.is_not(None)))
        with self._guard:
            self._complete += complete
            waiting = sum(len(batch.contents) for batch in self._complete)
        if waiting >= MERGE_AFTER_EVENTS:
            self._merge()

    def _note_outcome(self, delivered: Sequence[bytes], refused: Sequence[bytes]) -> list[_Batch]:
        """Write outcomes into the batches; returns those that changed."""
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

    def _merge(self) -> None:
        """Move the events of complete batches into the table of events."""
        with self._guard:
            merged, self._complete = self._complete, []
        if not merged:
            return
        now = int(time.time())
        contents = {key: content for batch in merged for key, content in batch.contents.items()}
        with self._database.transaction() as connection:
            connection.execute(sa.delete(_batches).where(_batches.c.key.in_([batch.key for batch in merged])))
            rows = [(key, content, None, now) for key, content in contents.items()]
            self._database.upsert(connection, self._settle_event, rows)
        with self._guard:
            for batch in merged:
                for key in batch.contents:
                    if self._batch_of.get(key) is batch:
                        del self._batch_of[key]

    def _take_over(self) -> None:
        """Take up the batches of other processes; a dry run only learns of them."""
        select = sa.select(_batches.c.key, _batches.c.events, _batches.c.at).order_by(_batches.c.key)
        with self._database.transaction() as connection:
            if not self._read_only:
                self._database.lock(connection, _batches)
            with self._guard:
                own = {batch.key for batch in self._batch_of.values()}
            left = [tuple(row) for row in connection.execute(select) if row.key not in own]
            found = [(_Batch(key, *_EVENTS.decode(events)), at) for key, events, at in left]
            if self._read_only:
                for batch, _ in found:
                    self._batch_of.update(dict.fromkeys(batch.contents, batch))
                return
            connection.execute(sa.delete(_batches).where(_batches.c.key.in_([batch.key for batch, _ in found])))
            for statement, is_open in ((self._settle_event, False), (self._intend_event, True)):
                rows = {
                    key: (key, *batch.event(key), at)
                    for batch, at in found
                    for key in batch.contents
                    if (key in batch.intents) is is_open
                }
                self._database.upsert(connection, statement, list(rows.values()))

    def prune(self, days: int) -> int:
        """Forget settled events older than *days*, but for those of this run; returns how many.

        Profiles are kept: they guard consent.
        """
        if self._read_only:
            return 0
        oldest = int(time.time()) - days * DAY_SECONDS
        stale = sa.delete(_events).where(_events.c.at < oldest, _events.c.intent.is_(None))
        with self._database.transaction() as connection:
            return int(connection.execute(stale).rowcount)

    # Profiles

    def profiles(self, keys: Sequence[bytes]) -> dict[bytes, KnownProfile]:
        """Those of *keys* that the ledger knows."""
        table = _profiles.c
        columns = (table.key, table.read_at, table.content, table.email, table.phone_number, table.optins)
        return {
            key: KnownProfile(read_at, content, email, phone, _OPTINS.decode(optins))
            for key, read_at, content, email, phone, optins in self._database.read(columns, keys)
        }

    def claim_profiles(self, reads: Mapping[bytes, str]) -> dict[bytes, str]:
        """Note that versions read then are about to be delivered; returns the read time that now stands for each key.

        A later time than the one given means that another flow holds, or has delivered, a newer version (CO-06).
        """
        if self._read_only:
            return dict(reads)
        now = int(time.time())
        rows = [(key, read_at, b"", "{}", now) for key, read_at in reads.items()]
        with self._database.transaction() as connection:
            claimed = self._database.upsert(connection, self._claim_profile, list(rows))
        return dict(reads) if claimed == len(rows) else self.read_times(list(reads))

    def read_times(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """When the version that stands for each of *keys* was read."""
        return dict(self._database.read((_profiles.c.key, _profiles.c.read_at), keys))

    def remember_profiles(self, profiles: Iterable[tuple[bytes, KnownProfile]]) -> None:
        """Note delivered versions; a version read earlier than the remembered one changes nothing."""
        if self._read_only:
            return
        now = int(time.time())
        encode = msgspec.json.encode
        rows = [
            (key, one.read_at, one.content, one.email, one.phone_number, encode(one.optins).decode(), now)
            for key, one in profiles
        ]
        with self._database.transaction() as connection:
            self._database.upsert(connection, self._remember_profile, list(rows))

    def forget_profiles(self, digests: Sequence[bytes]) -> int:
        """Forget the profiles with one of these digests as e-mail or phone number; returns how many."""
        table = _profiles.c
        gone = 0
        with self._database.transaction() as connection:
            for start in range(0, len(digests), 2_000):
                some = digests[start : start + 2_000]
                known = sa.or_(table.email.in_(some), table.phone_number.in_(some))
                gone += int(connection.execute(sa.delete(_profiles).where(known)).rowcount)
        return gone

    # Processes

    def hold(self, key: bytes) -> bool:
        """Hold *key* for as long as this process lives; False if another one holds it.

        PostgreSQL only, for pipelines on several machines; beside SQLite, files in data_dir are locked instead. Who
        held it before may have died since this ledger was opened: what it left is taken over.
        """
        if not self._database.is_sqlite:
            if self._holding is None:
                self._holding = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            number = int.from_bytes(key[:8], "big", signed=True)
            if not self._holding.scalar(sa.select(sa.func.pg_try_advisory_lock(number))):
                return False
        self._take_over()
        return True

    def close(self) -> None:
        """Merge what is complete, close the connections, and let go of what is held."""
        self._merge()
        if self._holding is not None:
            self._holding.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._holding.close()
            self._holding = None
        self._database.close()


_EVENTS = msgspec.msgpack.Decoder(tuple[dict[bytes, bytes], dict[bytes, bytes]])
_OPTINS = msgspec.json.Decoder(dict[str, str])
