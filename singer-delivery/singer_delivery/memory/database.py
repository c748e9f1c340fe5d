"""The ledger's database, SQLite or PostgreSQL: opened, and spoken to in batches by way of the driver.

SQLAlchemy writes the statements; the rows go past it, since its way with a row costs as much as the database's own.
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
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import StaticPool

from singer_delivery.memory.private_files import tighten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[sa.Table], _Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The dialects whose INSERT knows ON CONFLICT."""

ROWS_PARAMETERS = 20_000
"""How many parameters a statement carries that writes rows: fewer than either database takes."""

CONNECT_SECONDS, PING_SECONDS, TRANSACTION_SECONDS = 10, 10.0, 300.0
"""How long a PostgreSQL server may take for each of them, before the ledger counts as failed."""

FORMAT = 2
"""What stands in the tables, as a number that grows; those of before it was written down count as 1."""

Row = tuple[Any, ...]

Column = Sequence[str] | Sequence[bytes] | Sequence[bytes | None]


class Upsert(NamedTuple):
    """A statement for any number of rows, whose *marks* stand between what comes *before* and *after* them."""

    before: str
    marks: str
    after: str
    most_rows: int


class LedgerError(Exception):
    """The ledger cannot be opened; the message says what to change, and never shows the URL."""


class Database:
    """Runs prepared statements; may be used from any thread.

    SQLite has one connection, which the threads take turns with: a second one would empty the page cache of the first
    at every write. PostgreSQL has a pool.

    Args:
        url: SQLAlchemy URL.
        prefix: What the names of its tables begin with; so targets of several destinations can share a database.

    Raises:
        LedgerError: It cannot be used.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        self._tables = sa.MetaData()
        self._facts = self.table("facts", sa.Column("key", sa.LargeBinary(16), primary_key=True), _text("value"))
        self.engine = _open(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._turn = threading.Lock()

    def table(self, name: str, *columns: sa.Column[Any]) -> sa.Table:
        """Describe a table of the ledger; `create` makes it."""
        return sa.Table(f"{self._prefix}_{name}", self._tables, *columns)

    def create(self, upgrade: Callable[[sa.Connection], None]) -> None:
        """Create the tables that are missing; another process may be doing the same now, hence the second try.

        *upgrade* is called once, when tables of before format 2 may be there.

        Raises:
            LedgerError: It cannot be done, or a newer version has written them.
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
        """Note something the ledger is to know of itself; False if it is noted already, and stays as it is."""
        insert = _INSERTS[self.engine.dialect.name](self._facts).values(key=key, value=value)
        noted = insert.on_conflict_do_nothing(index_elements=["key"]).returning(self._facts.c.key)
        return connection.execute(noted).first() is not None

    def fact(self, connection: sa.Connection, key: bytes) -> str | None:
        """What was noted under *key*, if anything was."""
        found = connection.execute(sa.select(self._facts.c.value).where(self._facts.c.key == key)).scalar()
        return None if found is None else str(found)

    def changes_of_others(self, connection: sa.Connection) -> int | None:
        """A number that is another one once somebody else has written (SQLite); None: nobody can tell."""
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar() or 0) if self.is_sqlite else None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a connection whose changes are committed at the end."""
        with self._in_turn(), self.engine.begin() as connection:
            if self.is_sqlite:
                yield connection
            else:
                with _answering(connection.connection.dbapi_connection, TRANSACTION_SECONDS):
                    yield connection

    def _in_turn(self) -> AbstractContextManager[object]:
        return self._turn if self.is_sqlite else nullcontext()

    def lock(self, connection: sa.Connection, table: sa.Table) -> None:
        """Let nobody else write *table* until the transaction ends."""
        if self.is_sqlite:  # any write locks the whole file
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE 0")  # noqa: S608  (a constant)
        else:
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")

    def upsert_into(self, table: sa.Table, names: Sequence[str], changed: Sequence[str]) -> Upsert:
        """Write the statement that inserts rows of *names*, which stand in the order of the table's columns.

        Of a row whose key exists, *changed* are overwritten; without *changed* it stays as it is.
        """
        insert = _INSERTS[self.engine.dialect.name](table)
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
        """Insert or change *rows*, each key once, in the order of their keys.

        One order for all, so that two pipelines never wait for each other in a ring. Many rows go into one statement:
        while SQLite works on it, other threads can run; between two statements, they have to be waited for.
        """
        rows.sort(key=itemgetter(0))
        for start in range(0, len(rows), statement.most_rows):
            some = rows[start : start + statement.most_rows]
            text = statement.before + ", ".join([statement.marks] * len(some)) + statement.after
            connection.exec_driver_sql(text, tuple(chain.from_iterable(some)))

    def read(self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], keys: Sequence[bytes]) -> list[Row]:
        """The values of *columns* where the first of them is one of *keys*, which have one length."""
        if not keys:
            return []
        names = ", ".join(column.name for column in columns)
        given, parameters = self.given(keys)
        # SQLite goes through the left side of a CROSS JOIN, and looks up each row of it in the right one.
        found = connection.exec_driver_sql(
            f"{given} SELECT {names} FROM given CROSS JOIN {columns[0].table} "  # noqa: S608  (constants)
            f"WHERE {columns[0].name} = column_0",
            parameters,
        )
        return [tuple(row) for row in found]

    def given(self, *columns: Column) -> tuple[str, tuple[Any, ...]]:
        """A common table expression ``given (column_0, …)`` whose rows are the places of *columns*; its parameters.

        A column has at least one place. It holds either texts, which do not end in a blank, or bytes of one length,
        and where there is a None among them, none that are all zero. A statement that takes them from few parameters
        needs a fraction of the time of one with a parameter for each.

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
    """Refuse a ledger of which this version cannot know what stands in it.

    Raises:
        LedgerError: A newer version wrote it.
    """
    if not found.isdigit() or int(found) > FORMAT:
        raise LedgerError(
            f"the ledger was written by a newer version of target-{prefix} (format {found[:10]!r}, known here: up to "
            f"{FORMAT}): install that version again; without its memory events would be sent twice"
        )


def _joined(column: Column) -> tuple[str, bytes]:
    """How SQLite cuts a value out of a column joined to one parameter, and that parameter."""
    if isinstance(column[0], str):
        texts = [value.encode() for value in cast("Sequence[str]", column)]
        width = max(1, *map(len, texts))  # a piece of no width is NULL
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
        if backend in _INSERTS:
            return _open_sqlite(url) if backend == "sqlite" else _open_postgresql(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise LedgerError(
            f"`ledger_url` cannot be used ({type(error).__name__}): give a SQLAlchemy URL such as "
            "postgresql+psycopg://… (with `pip install 'singer-delivery[postgres]'`) or sqlite:///…"
        ) from None
    raise LedgerError(f"`ledger_url`: {backend} is not supported; use SQLite or PostgreSQL")


def _open_postgresql(url: str) -> sa.Engine:
    """Open a pool, none of whose connections waits for ever for a server that takes it and does not answer."""
    by_libpq = sa.make_url(url).get_dialect().driver in {"psycopg", "psycopg2"}
    given = {"connect_timeout": CONNECT_SECONDS} if by_libpq and "connect_timeout" not in sa.make_url(url).query else {}
    engine = sa.create_engine(url, hide_parameters=True, paramstyle="format", connect_args=given)
    sa.event.listen(engine, "checkout", _ping)
    return engine


def _ping(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have a connection that was idle answer, or be replaced.

    Raises:
        sa.exc.DisconnectionError: It is dead.
    """
    try:
        with _answering(connection, PING_SECONDS):
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            cursor.close()
            connection.rollback()
    except Exception:  # noqa: BLE001  (whatever the driver raises: this connection is of no use)
        raise sa.exc.DisconnectionError from None


@contextmanager
def _answering(connection: Any, seconds: float) -> Iterator[None]:
    """Cut a connection whose server does not answer in time: drivers wait for ever, and cannot be told otherwise."""
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
    """Open a private file; few statements are kept, since those for many rows are large and seldom come again."""
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
    """Make SQLite's file before SQLite does, 0600; take others' rights away where it is there already."""
    name = urlsplit(database).path if database and database.startswith("file:") else database
    if not name or ":memory:" in name:
        return
    with suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for path in (name, f"{name}-wal", f"{name}-shm"):
            tighten(Path(path))


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Let several processes share the file: readers beside one writer, waiting instead of failing.

    What is deleted is overwritten: the bytes of events are gone once their outcome is known. The write-ahead log may
    grow to 4,000 pages (16 MB) before it is copied into the file: a page that changes often is then copied once.
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
