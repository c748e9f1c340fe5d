"""The target's memory: which events, and which versions of a profile, have been delivered.

Nothing personal is readable in it: keys and identifiers are digests (:mod:`singer_delivery.memory.digests`), which
also keep pipelines apart that share a database. The one exception are the bytes of an event while its outcome is not
known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from singer_delivery.memory.database import Database
from singer_delivery.memory.job_ledger import JobLedger
from singer_delivery.memory.once_ledger import EventLedger
from singer_delivery.memory.version_ledger import KNEW_BEFORE_FORMAT_2, ProfileLedger

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Ledger:
    """One database for events and profiles; may be used from any thread.

    What another process left unmerged, because it died or because it is still at work, is taken over when the ledger is
    opened and when a stream is held.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.
        prefix: What the names of its tables begin with.
        read_only: Look up, but change nothing (dry runs).

    Raises:
        LedgerError: It cannot be opened.
    """

    def __init__(self, url: str, prefix: str, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._database = Database(url, prefix)
        self._holding: Connection | None = None
        self.events = EventLedger(self._database, read_only=read_only)
        self.profiles = ProfileLedger(self._database, read_only=read_only)
        self.jobs = JobLedger(self._database, read_only=read_only)
        self._database.create(self.profiles.upgrade)
        self._take_over()

    def _take_over(self) -> None:
        with self._database.transaction() as connection:
            self.events.take_over(connection)
            self.profiles.take_over(connection)

    def remembers_since(self, key: bytes) -> str | None:
        """From when on the opt-ins of a stream are known, if noted (:mod:`singer_delivery.memory.consent_memory`)."""
        with self._database.transaction() as connection:
            since = self._database.fact(connection, key)
            if since is None and self._database.fact(connection, KNEW_BEFORE_FORMAT_2) is not None:
                return ""
            return since

    def note_since(self, key: bytes, since: str) -> str:
        """Note it, unless another process did; returns what stands."""
        if self._read_only:
            return since
        with self._database.transaction() as connection:
            self._database.note_fact(connection, key, since)
            return self._database.fact(connection, key) or ""

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

    def prune(self, days: int) -> None:
        """Forget what is older than *days*."""
        self.events.prune(days)
        self.profiles.prune(days)

    def close(self) -> None:
        """Merge what is complete, close the connections, and let go of what is held."""
        self.events.merge()
        self.profiles.close()
        if self._holding is not None:
            self._holding.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._holding.close()
            self._holding = None
        self._database.close()
