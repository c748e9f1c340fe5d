"""The target's memory: which events and which versions of a profile Insider One has already been given.

Nothing personal is readable in it: keys and identifiers are digests (:mod:`target_insiderone.digests`), which also keep
pipelines apart that share a database. The one exception are the bytes of an event while its outcome is not known.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

DAY_SECONDS = 86_400

_metadata = sa.MetaData()

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
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)

_Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[sa.Table], _Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The dialects whose INSERT knows ON CONFLICT."""


class LedgerError(Exception):
    """The ledger cannot be opened; the message says what to change, and never shows the URL."""


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event the ledger knows: *intent* holds its bytes while what became of it is not known."""

    content: bytes
    intent: bytes | None


@dataclass(frozen=True, slots=True)
class KnownProfile:
    """The last delivered version of a profile.

    *read_at*: when it was read from the source (ISO 8601, UTC). *content*: digest of all that was mapped. *email*,
    *phone_number*: digests. *optins*: attribute -> what was last delivered: its value, and the consent it came from.
    """

    read_at: str
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    optins: Mapping[str, str]


class Ledger:
    """Reads and writes in batches; every method is one short transaction and may be called from any thread.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.
        read_only: Look up, but change nothing (dry runs).
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._engine = _open(url)
        self._holding: sa.Connection | None = None
        self._insert = _INSERTS[self._engine.dialect.name]
        # SQLite has one writer at a time: waiting here costs less than polling its lock.
        self._writing: threading.Lock | None = threading.Lock() if self._engine.dialect.name == "sqlite" else None
        self._create_tables()

    def _create_tables(self) -> None:
        """Create what is missing; another process may be doing the same at this moment, hence the second try."""
        for last_try in (False, True):
            try:
                with self._transaction() as connection:
                    for table in _metadata.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                        for index in table.indexes:
                            connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
            except sa.exc.SQLAlchemyError as error:
                if last_try:
                    raise LedgerError(
                        f"the ledger cannot be opened ({type(error).__name__}); check `ledger_url` and its permissions"
                    ) from None
            else:
                return

    def events(self, keys: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        """Those of *keys* that the ledger knows."""
        table = _events.c
        rows = self._select(sa.select(table.key, table.content, table.intent), table.key, keys)
        return {key: KnownEvent(content, intent) for key, content, intent in rows}

    def intend_events(self, events: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Note (key, content digest, exact bytes) of events that are about to be sent."""
        now = int(time.time())
        rows = [{"key": key, "content": content, "intent": intent, "at": now} for key, content, intent in events]
        self._upsert(_events, rows, ("content", "intent", "at"))

    def settle_events(self, delivered: Sequence[bytes], refused: Sequence[bytes]) -> None:
        """Note the outcome of intended events: delivered ones are remembered, refused ones forgotten."""
        if self._read_only or not (delivered or refused):
            return
        with self._transaction() as connection:
            if delivered:
                settled = sa.update(_events).where(_events.c.key == sa.bindparam("of")).values(intent=sa.null())
                self._execute_many(connection, settled, [{"of": key} for key in delivered])
            if refused:
                gone = sa.delete(_events).where(_events.c.key == sa.bindparam("of"))
                self._execute_many(connection, gone, [{"of": key} for key in refused])

    def profiles(self, keys: Sequence[bytes]) -> dict[bytes, KnownProfile]:
        """Those of *keys* that the ledger knows."""
        table = _profiles.c
        columns = (table.key, table.read_at, table.content, table.email, table.phone_number, table.optins)
        rows = self._select(sa.select(*columns), table.key, keys)
        return {
            key: KnownProfile(read_at, content, email, phone, msgspec.json.decode(optins, type=dict[str, str]))
            for key, read_at, content, email, phone, optins in rows
        }

    def claim_profiles(self, reads: Mapping[bytes, str]) -> dict[bytes, str]:
        """Note that versions read then are about to be delivered; returns the read time that now stands for each key.

        A later time than the one given means that another flow holds, or has delivered, a newer version (CO-06).
        """
        now = int(time.time())
        rows = [
            {"key": key, "read_at": read_at, "content": b"", "optins": "{}", "at": now}
            for key, read_at in reads.items()
        ]
        self._upsert(_profiles, rows, ("read_at", "at"), newer_by="read_at")
        return self.read_times(list(reads)) if not self._read_only else dict(reads)

    def read_times(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """When the version that stands for each of *keys* was read."""
        table = _profiles.c
        return dict(tuple(row) for row in self._select(sa.select(table.key, table.read_at), table.key, keys))

    def remember_profiles(self, profiles: Iterable[tuple[bytes, KnownProfile]]) -> None:
        """Note delivered versions; a version read earlier than the remembered one changes nothing."""
        now = int(time.time())
        rows = [
            {
                "key": key,
                "read_at": known.read_at,
                "content": known.content,
                "email": known.email,
                "phone_number": known.phone_number,
                "optins": msgspec.json.encode(known.optins).decode(),
                "at": now,
            }
            for key, known in profiles
        ]
        changed = ("read_at", "content", "email", "phone_number", "optins", "at")
        self._upsert(_profiles, rows, changed, newer_by="read_at")

    def forget_profiles(self, digests: Sequence[bytes]) -> int:
        """Forget the profiles with one of these digests as e-mail or phone number; returns how many."""
        table = _profiles.c
        gone = 0
        with self._transaction() as connection:
            for some in _chunks(digests, 2_000):
                known = sa.or_(table.email.in_(some), table.phone_number.in_(some))
                gone += int(connection.execute(sa.delete(_profiles).where(known)).rowcount)
        return gone

    def prune(self, days: int) -> int:
        """Forget settled events older than *days*; returns how many. Profiles are kept: they guard consent."""
        if self._read_only:
            return 0
        oldest = int(time.time()) - days * DAY_SECONDS
        stale = sa.delete(_events).where(_events.c.at < oldest, _events.c.intent.is_(None))
        with self._transaction() as connection:
            return int(connection.execute(stale).rowcount)

    def hold(self, key: bytes) -> bool:
        """Hold *key* for as long as this process lives; False if another one holds it.

        PostgreSQL only, for pipelines on several machines; beside SQLite, files in data_dir are locked instead.
        """
        if self._engine.dialect.name != "postgresql":
            return True
        if self._holding is None:
            self._holding = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        number = int.from_bytes(key[:8], "big", signed=True)
        return bool(self._holding.scalar(sa.select(sa.func.pg_try_advisory_lock(number))))

    def close(self) -> None:
        """Close the connections, and let go of what is held."""
        if self._holding is not None:
            self._holding.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._holding.close()
            self._holding = None
        self._engine.dispose()

    def _select(self, query: Any, column: Any, keys: Sequence[bytes]) -> list[Any]:
        if not keys:
            return []
        with self._engine.connect() as connection:
            return [row for some in _chunks(keys) for row in connection.execute(query.where(column.in_(some)))]

    def _upsert(
        self, table: sa.Table, rows: list[dict[str, Any]], changed: Sequence[str], newer_by: str | None = None
    ) -> None:
        """Insert *rows*; of those that exist, change these columns, if they are not newer than the row."""
        if self._read_only or not rows:
            return
        insert = self._insert(table)
        newer = None if newer_by is None else table.c[newer_by] <= insert.excluded[newer_by]
        values = {name: insert.excluded[name] for name in changed}
        rows.sort(key=itemgetter("key"))  # one order for all, so that two pipelines never wait for each other in a ring
        statement = insert.on_conflict_do_update(index_elements=["key"], set_=values, where=newer).values(
            {name: sa.bindparam(name) for name in rows[0]}
        )
        with self._transaction() as connection:
            self._execute_many(connection, statement, rows)

    def _execute_many(self, connection: sa.Connection, statement: sa.UpdateBase, rows: list[dict[str, Any]]) -> None:
        """Execute a statement for each of *rows* by the driver itself: SQLAlchemy's way costs as much as SQLite."""
        compiled = statement.compile(dialect=self._engine.dialect)
        places = compiled.positiontup
        if places is None:
            connection.exec_driver_sql(str(compiled), rows)
        else:
            connection.exec_driver_sql(str(compiled), [tuple(row[name] for name in places) for row in rows])

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._writing is None:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._writing, self._engine.begin() as connection:
            yield connection


def _chunks(keys: Sequence[bytes], size: int = 5_000) -> Iterator[Sequence[bytes]]:
    """Parts of *keys* below the number of parameters that a statement may carry."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _open(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise LedgerError(
            f"`ledger_url` cannot be used ({type(error).__name__}): give a SQLAlchemy URL such as "
            "postgresql+psycopg://… (with `pip install 'target-insiderone[postgres]'`) or sqlite:///…"
        ) from None
    if engine.dialect.name not in _INSERTS:
        raise LedgerError(f"`ledger_url`: {engine.dialect.name} is not supported; use SQLite or PostgreSQL")
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Let several processes share the file: readers beside one writer, waiting instead of failing.

    What is deleted is overwritten: the bytes of events are gone once their outcome is known.
    """
    for pragma in ("busy_timeout = 60000", "journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
