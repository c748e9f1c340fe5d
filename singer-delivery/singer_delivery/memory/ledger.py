"""The ledger: which events, and which versions of a profile, have been delivered.

It contains no readable personal data: keys and identifiers are digests (:mod:`singer_delivery.memory.digests`), which
also separate pipelines that share a database. The only exception are the bytes of an event while its outcome is
unknown.
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
    """One database for events, profiles and jobs; thread-safe.

    Batches that another process left unmerged, because it died or is still running, are merged when the ledger is
    opened and when a stream is locked.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.
        prefix: Prefix of the table names.
        read_only: Look up, but change nothing (dry runs).

    Raises:
        LedgerError: The ledger cannot be opened.
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
        """Since when the opt-ins of a stream are known, if stored (:mod:`singer_delivery.memory.consent_memory`)."""
        with self._database.transaction() as connection:
            since = self._database.fact(connection, key)
            if since is None and self._database.fact(connection, KNEW_BEFORE_FORMAT_2) is not None:
                return ""
            return since

    def note_since(self, key: bytes, since: str, *, replace: bool) -> str:
        """Store it, unless there is one and it is not to be replaced; returns the stored value."""
        if self._read_only:
            return since
        with self._database.transaction() as connection:
            if replace:
                self._database.delete_fact(connection, key)
            self._database.note_fact(connection, key, since)
            return self._database.fact(connection, key) or ""

    def note_run(self, key: bytes, began: str) -> str | None:
        """Store when a run of a stream began; returns when the last one before did, if known."""
        with self._database.transaction() as connection:
            last = self._database.fact(connection, key)
            if not self._read_only:
                self._database.delete_fact(connection, key)
                self._database.note_fact(connection, key, began)
            return last

    def hold(self, key: bytes) -> bool:
        """Lock *key* until this process ends; False if another process holds the lock.

        PostgreSQL only, for pipelines on several machines; with SQLite, files in data_dir are locked instead. The
        previous holder may have died since this ledger was opened, so its unmerged batches are merged.
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
        """Delete entries older than *days*."""
        self.events.prune(days)
        self.profiles.prune(days)

    def close(self) -> None:
        """Merge complete batches, release locks, and close the connections."""
        self.events.merge()
        self.profiles.close()
        if self._holding is not None:
            self._holding.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._holding.close()
            self._holding = None
        self._database.close()
