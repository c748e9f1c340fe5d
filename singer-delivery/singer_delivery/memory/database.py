"""The ledger's database, SQLite or PostgreSQL, with bulk reads and writes through the driver.

SQLAlchemy compiles the statements; rows bypass it, since its work per row costs as much as the database's own.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool

from singer_delivery.memory.private_files import tighten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy.dialects import postgresql

_DIALECTS = frozenset({"sqlite", "postgresql"})
"""Supported dialects: their INSERT has ON CONFLICT."""

ROWS_PARAMETERS = 20_000
"""Most parameters of a bulk insert: below the limits of both databases."""

CONNECT_SECONDS, PING_SECONDS, TRANSACTION_SECONDS = 10, 10.0, 300.0
"""How long a PostgreSQL server may take for each of these before the ledger counts as failed."""

FORMAT = 2
"""Version of the table contents; tables without a noted version count as 1."""

Row = tuple[Any, ...]

Column = Sequence[str] | Sequence[bytes] | Sequence[bytes | None]


class Upsert(NamedTuple):
    """An upsert for any number of rows: *before*, then *marks* (placeholders) for each row, then *after*."""

    before: str
    marks: str
    after: str
    most_rows: int


class LedgerError(Exception):
    """The ledger cannot be opened; the message says what to change, without showing the URL."""


class Database:
    """Runs prepared statements; thread-safe.

    SQLite has one connection, which the threads use in turn: a second one would invalidate the page cache of the first
    at every write. PostgreSQL has a pool.

    Args:
        url: SQLAlchemy URL.
        prefix: Prefix of the table names, so that targets of several destinations can share a database.

    Raises:
        LedgerError: The database cannot be used.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        self._tables = sa.MetaData()
        self._facts = self.table("facts", sa.Column("key", sa.LargeBinary(16), primary_key=True), _text("value"))
        self.engine = _open(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._turn = threading.Lock()

    def table(self, name: str, *columns: sa.Column[Any]) -> sa.Table:
        """Declare a table of the ledger; `create` creates it."""
        return sa.Table(f"{self._prefix}_{name}", self._tables, *columns)

    def create(self, upgrade: Callable[[sa.Connection], None]) -> None:
        """Create missing tables; retried once, because another process may be doing the same.

        *upgrade* is called once, if there may be tables from before format 2.

        Raises:
            LedgerError: The tables cannot be created, or were written by a newer version.
        """
        for last_try in (False, True):
            try:
                with self.transaction() as connection:
                    connection.execute(sa.schema.CreateTable(self._facts, if_not_exists=True))
                    is_unmarked = self.note_fact(connection, b"format", str(FORMAT))
                    check_format(self.fact(connection, b"format") or "", self._prefix)
                    for table in self._tables.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                        for index in table.indexes:
                            connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
                    if is_unmarked:
                        upgrade(connection)
            except sa.exc.SQLAlchemyError as error:
                if last_try:
                    raise LedgerError(
                        f"the ledger cannot be opened ({type(error).__name__}); check `ledger_url` and its permissions"
                    ) from None
            else:
                return

    def note_fact(self, connection: sa.Connection, key: bytes, value: str) -> bool:
        """Store a fact about the ledger itself; returns False, and changes nothing, if it is stored already."""
        insert = _insert(self.engine.dialect.name, self._facts).values(key=key, value=value)
        noted = insert.on_conflict_do_nothing(index_elements=["key"]).returning(self._facts.c.key)
        return connection.execute(noted).first() is not None

    def fact(self, connection: sa.Connection, key: bytes) -> str | None:
        """The fact stored under *key*, if any."""
        found = connection.execute(sa.select(self._facts.c.value).where(self._facts.c.key == key)).scalar()
        return None if found is None else str(found)

    def delete_fact(self, connection: sa.Connection, key: bytes) -> None:
        """Delete the fact stored under *key*."""
        connection.execute(sa.delete(self._facts).where(self._facts.c.key == key))

    def changes_of_others(self, connection: sa.Connection) -> int | None:
        """A number that changes when another connection writes (SQLite); None if the database has none."""
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar() or 0) if self.is_sqlite else None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a connection; its changes are committed at the end."""
        with self._in_turn(), self.engine.begin() as connection:
            if self.is_sqlite:
                yield connection
            else:
                with _answering(connection.connection.dbapi_connection, TRANSACTION_SECONDS):
                    yield connection

    def _in_turn(self) -> AbstractContextManager[object]:
        return self._turn if self.is_sqlite else nullcontext()

    def lock(self, connection: sa.Connection, table: sa.Table) -> None:
        """Lock *table* against writers until the transaction ends."""
        if self.is_sqlite:  # any write locks the whole file
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE 0")  # noqa: S608  (a constant)
        else:
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")

    def upsert_into(self, table: sa.Table, names: Sequence[str], changed: Sequence[str]) -> Upsert:
        """Compile an upsert of the columns *names*, which are in the order of the table's columns.

        If a row's key exists, the columns *changed* are overwritten; without *changed*, the row is left unchanged.
        """
        insert = _insert(self.engine.dialect.name, table)
        row = insert.values({name: sa.bindparam(name) for name in names})
        values = {name: insert.excluded[name] for name in changed}
        statement = (
            row.on_conflict_do_update(index_elements=["key"], set_=values)
            if changed
            else row.on_conflict_do_nothing(index_elements=["key"])
        )
        before, values_word, after = self._compile(statement).partition(" VALUES ")
        marks, on_conflict, rule = after.partition(" ON CONFLICT ")
        return Upsert(before + values_word, marks, on_conflict + rule, ROWS_PARAMETERS // len(names))

    def upsert(self, connection: sa.Connection, statement: Upsert, rows: list[Row]) -> None:
        """Insert or update *rows* (unique keys), sorted by key.

        All pipelines write in this order, which prevents deadlocks. Many rows go into one statement, because SQLite
        releases the GIL during a statement, and must wait to get it back after each.
        """
        rows.sort(key=itemgetter(0))
        for start in range(0, len(rows), statement.most_rows):
            some = rows[start : start + statement.most_rows]
            text = statement.before + ", ".join([statement.marks] * len(some)) + statement.after
            connection.exec_driver_sql(text, tuple(chain.from_iterable(some)))

    def read(self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], keys: Sequence[bytes]) -> list[Row]:
        """The values of *columns* in rows whose first column is one of *keys*, which all have one length."""
        if not keys:
            return []
        names = ", ".join(column.name for column in columns)
        given, parameters = self.given(keys)
        # In a CROSS JOIN, SQLite scans the left side, and looks up each of its rows in the right one.
        found = connection.exec_driver_sql(
            f"{given} SELECT {names} FROM given CROSS JOIN {columns[0].table} "  # noqa: S608  (constants)
            f"WHERE {columns[0].name} = column_0",
            parameters,
        )
        return [tuple(row) for row in found]

    def given(self, *columns: Column) -> tuple[str, tuple[Any, ...]]:
        """A common table expression ``given (column_0, …)`` with the values of *columns* as rows, and its parameters.

        A column is not empty. It holds either strings, which must not end in a space, or bytes of one length; if these
        include None, none may be all zero. Passing each column as one parameter takes a fraction of the time of one
        parameter per value.

        Raises:
            ValueError: Bytes of several lengths.
        """
        names = ", ".join(f"column_{number}" for number in range(len(columns)))
        if not self.is_sqlite:
            arrays = ", ".join("%s::text[]" if isinstance(column[0], str) else "%s::bytea[]" for column in columns)
            return f"WITH given ({names}) AS (SELECT * FROM unnest({arrays}))", tuple(map(list, columns))  # noqa: S608
        pieces, parameters = zip(*map(_joined, columns), strict=True)
        places = "places (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place + 1 < ?)"
        return (
            f"WITH RECURSIVE {places}, given ({names}) AS (SELECT {', '.join(pieces)} FROM places)",  # noqa: S608
            (len(columns[0]), *parameters),
        )

    def _compile(self, statement: sa.ClauseElement) -> str:
        return str(statement.compile(dialect=self.engine.dialect))

    def close(self) -> None:
        """Close the connections, none of them in the middle of a transaction."""
        with self._in_turn():
            self.engine.dispose()


def check_format(found: str, prefix: str) -> None:
    """Refuse a ledger in a format that this version does not know.

    Raises:
        LedgerError: A newer version wrote it.
    """
    if not found.isdigit() or int(found) > FORMAT:
        raise LedgerError(
            f"the ledger was written by a newer version of target-{prefix} (format {found[:10]!r}, known here: up to "
            f"{FORMAT}): install that version again; without its memory events would be sent twice"
        )


def _joined(column: Column) -> tuple[str, bytes]:
    """The SQLite expression that cuts one value out of a column joined to one parameter, and that parameter."""
    if isinstance(column[0], str):
        texts = [value.encode() for value in cast("Sequence[str]", column)]
        width = max(1, *map(len, texts))  # a piece of width 0 would be NULL
        return f"rtrim(CAST({_piece(width)} AS TEXT))", b"".join([text.ljust(width) for text in texts])
    values = cast("Sequence[bytes | None]", column)
    width, *others = {len(value) for value in values if value is not None} or {0}
    if others:
        raise ValueError("the bytes of a column have several lengths")
    if None not in values:
        return _piece(width), b"".join(cast("Sequence[bytes]", values))
    nothing = bytes(width)
    return f"nullif({_piece(width)}, zeroblob({width}))", b"".join([value or nothing for value in values])


def _piece(width: int) -> str:
    return f"substr(?, place * {width} + 1, {width})"


def _open(url: str) -> sa.Engine:
    try:
        backend = sa.make_url(url).get_backend_name()
        if backend in _DIALECTS:
            return _open_sqlite(url) if backend == "sqlite" else _open_postgresql(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise LedgerError(
            f"`ledger_url` cannot be used ({type(error).__name__}): give a SQLAlchemy URL such as "
            "postgresql+psycopg://… (with `pip install 'singer-delivery[postgres]'`) or sqlite:///…"
        ) from None
    raise LedgerError(f"`ledger_url`: {backend} is not supported; use SQLite or PostgreSQL")


def _insert(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """The dialect's INSERT."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  (5% of every start, and rarely needed)

    return postgresql.insert(table)


def _open_postgresql(url: str) -> sa.Engine:
    """Open a pool with timeouts, so that no connection waits forever for a server that does not answer."""
    by_libpq = sa.make_url(url).get_dialect().driver in {"psycopg", "psycopg2"}
    given = {"connect_timeout": CONNECT_SECONDS} if by_libpq and "connect_timeout" not in sa.make_url(url).query else {}
    engine = sa.create_engine(url, hide_parameters=True, paramstyle="format", connect_args=given)
    sa.event.listen(engine, "checkout", _ping)
    return engine


def _ping(connection: Any, _record: Any, _proxy: Any) -> None:
    """Check an idle connection, so that a dead one is replaced.

    Raises:
        sa.exc.DisconnectionError: It is dead.
    """
    try:
        with _answering(connection, PING_SECONDS):
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            cursor.close()
            connection.rollback()
    except Exception:  # noqa: BLE001  (whatever the driver raises, this connection is unusable)
        raise sa.exc.DisconnectionError from None


@contextmanager
def _answering(connection: Any, seconds: float) -> Iterator[None]:
    """Close a connection whose server does not answer in time: drivers wait forever, and have no such timeout."""
    timer = threading.Timer(seconds, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Any) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _open_sqlite(url: str) -> sa.Engine:
    """Open a private file; few statements are cached, since bulk statements are large and rarely repeated."""
    _make_private(sa.make_url(url).database)
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "cached_statements": 4},
    )
    sa.event.listen(engine, "connect", _tune_sqlite)
    return engine


def _make_private(database: str | None) -> None:
    """Create SQLite's file before SQLite does, with mode 0600; restrict the mode of an existing one."""
    name = urlsplit(database).path if database and database.startswith("file:") else database
    if not name or ":memory:" in name:
        return
    with suppress(OSError):  # SQLite will report what is wrong
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for path in (name, f"{name}-wal", f"{name}-shm"):
            tighten(Path(path))


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Configure the file for several processes: readers alongside one writer, waiting instead of failing.

    Deleted data is overwritten, so that the bytes of events are gone once their outcome is known. The write-ahead log
    may grow to 4,000 pages (16 MB) before a checkpoint, so that a page that changes often is copied once.
    """
    for pragma in (
        "busy_timeout = 60000",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "secure_delete = ON",
        "wal_autocheckpoint = 4000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)
