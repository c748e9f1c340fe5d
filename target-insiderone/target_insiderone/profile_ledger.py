"""Which version of each profile Insider One has been given, and which are about to be delivered."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

from target_insiderone.batch_rows import BatchRows, batch_table
from target_insiderone.database import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from target_insiderone.database import Database

MERGE_AFTER_PROFILES = 10_000
"""Versions are merged together when there are so many. They are kept in memory until then."""

_batches = batch_table("insiderone_profile_batches", "profiles")  # MessagePack: see `Claim.row`

_profiles = sa.Table(
    "insiderone_profiles",
    TABLES,
    sa.Column("key", sa.LargeBinary(16), primary_key=True),
    sa.Column("read_at", sa.String(40), nullable=False),
    sa.Column("content", sa.LargeBinary(16), nullable=False),
    sa.Column("email", sa.LargeBinary(16)),
    sa.Column("phone_number", sa.LargeBinary(16)),
    sa.Column("optins", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


class KnownProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last delivered version of a profile.

    *read_at*: when the last version that was delivered, or was about to be, was read from the source (ISO 8601, UTC).
    *content*: digest of all that was mapped. *email*, *phone_number*: digests. *optins*: attribute -> what was last
    delivered: its value, and the consent it came from.
    """

    read_at: str
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    optins: dict[str, str]


NEVER_DELIVERED = KnownProfile("", b"", None, None, {})


class Claim(NamedTuple):
    """Versions that are delivered together: one row of the database until it is merged.

    *known*: profile's key -> what the ledger knew of it before. *reads*: key -> when the version was read, of those
    that are not remembered as delivered. *delivered*: those that are.
    """

    key: bytes
    known: dict[bytes, KnownProfile]
    reads: dict[bytes, str]
    delivered: dict[bytes, KnownProfile]

    def row(self, *, is_complete: bool) -> tuple[bytes, bytes]:
        """What the database is to hold of it now."""
        return self.key, msgspec.msgpack.encode((self.reads, self.delivered, is_complete))

    def version(self, key: bytes) -> KnownProfile:
        """What is known of a profile of a complete claim."""
        return self.delivered.get(key) or as_read(self.known.get(key, NEVER_DELIVERED), self.reads[key])


def as_read(known: KnownProfile, read_at: str) -> KnownProfile:
    """What is known, once a version read then was about to be delivered."""
    return msgspec.structs.replace(known, read_at=read_at) if known.read_at < read_at else known


class ProfileLedger:
    """Remembers profiles; every method is one short transaction and may be called from any thread.

    A batch is written when it is claimed, and again with what was delivered, and merged when it is complete. Of two
    versions the one read later counts, in every table and order.
    """

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._read_only = read_only
        self._database = database
        self._rows = BatchRows(database, _batches)
        self._guard = threading.Lock()
        self._open: dict[bytes, Claim] = {}
        self._complete: dict[bytes, Claim] = {}
        self._claim_of: dict[bytes, Claim] = {}  # profile's key -> the complete claim it is in, until it is merged

    def claim(self, reads: Mapping[bytes, str]) -> Claim:
        """Note that versions read then are about to be delivered.

        Where a later time is known, another flow holds, or has delivered, a newer version (CO-06). Of two flows that
        claim one profile at the same moment, the later one sees the claim of the other.
        """
        claim = Claim(uuid.uuid4().bytes, {}, dict(reads), {})
        with self._guard:
            self._open[claim.key] = claim
        with self._database.transaction() as connection:
            if not self._read_only:
                self._rows.lock(connection)
                self._rows.write(connection, [claim.row(is_complete=False)])
            claim.known.update(self._known(connection, list(reads), take_over=not self._read_only))
        return claim

    def read_times(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """When the newest version known of each of *keys* was read, be it delivered or claimed by another process."""
        with self._database.transaction() as connection:
            return {key: known.read_at for key, known in self._known(connection, keys, take_over=False).items()}

    def _known(self, connection: sa.Connection, keys: Sequence[bytes], *, take_over: bool) -> dict[bytes, KnownProfile]:
        """What is known of *keys*, but for open claims of this process.

        Batches are looked at before the table: one that is merged in between is then seen twice, and not missed.
        """
        with self._guard:
            versions = [(key, self._claim_of[key].version(key)) for key in self._claim_of.keys() & keys]
        wanted = set(keys)
        for claim in self._of_others(connection, take_over=take_over):
            versions += [(key, claim.version(key)) for key in wanted & (claim.reads.keys() | claim.delivered.keys())]
        table = _profiles.c
        columns = (table.key, table.read_at, table.content, table.email, table.phone_number, table.optins)
        known = {
            key: KnownProfile(read_at, content, email, phone, _OPTINS.decode(optins))
            for key, read_at, content, email, phone, optins in self._database.read(connection, columns, keys)
        }
        for key, version in sorted(versions, key=_in_order):
            before = known.get(key, NEVER_DELIVERED)
            if version.content:
                known[key] = version if version.read_at >= before.read_at else before
            else:
                known[key] = as_read(before, version.read_at)
        return known

    def _of_others(self, connection: sa.Connection, *, take_over: bool) -> list[Claim]:
        """The claims of other processes; complete ones are merged, if they may, since there can be many of them."""
        with self._guard:
            own = [*self._open, *self._complete]
        found = [(key, *_CLAIM.decode(content)) for key, content, _ in self._rows.of_others(connection, own)]
        claims = [(Claim(key, {}, reads, delivered), is_complete) for key, reads, delivered, is_complete in found]
        if take_over:
            self._move(connection, [claim for claim, is_complete in claims if is_complete])
        return [claim for claim, is_complete in claims if not (is_complete and take_over)]

    def remember(self, claim: Claim, profiles: Iterable[tuple[bytes, KnownProfile]]) -> None:
        """Note versions of *claim* as delivered; they are known as soon as the claim is complete."""
        if self._read_only:
            return
        before = len(claim.delivered)
        claim.delivered.update(profiles)
        for key in claim.delivered:
            claim.reads.pop(key, None)
        if len(claim.delivered) > before:
            self._write(claim, is_complete=not claim.reads)

    def release(self, claim: Claim) -> None:
        """Complete a claim: of what is not remembered as delivered, the time of the read stands all the same."""
        if claim.key in self._open:
            self._write(claim, is_complete=True)

    def _write(self, claim: Claim, *, is_complete: bool) -> None:
        if not self._read_only:
            with self._database.transaction() as connection:
                self._rows.write(connection, [claim.row(is_complete=is_complete)])
        if not is_complete:
            return
        for key in claim.known.keys() & claim.delivered.keys():
            del claim.known[key]
        with self._guard:
            del self._open[claim.key]
            if self._read_only:
                return
            self._complete[claim.key] = claim
            self._claim_of.update(dict.fromkeys((*claim.reads, *claim.delivered), claim))
            waiting = sum(len(one.reads) + len(one.delivered) for one in self._complete.values())
        if waiting >= MERGE_AFTER_PROFILES:
            self.merge()

    def merge(self) -> None:
        """Move the versions of complete claims into the table of profiles."""
        with self._guard:
            merged = list(self._complete.values())
        if not merged:
            return
        with self._database.transaction() as connection:
            self._move(connection, merged)
        with self._guard:
            for claim in merged:
                self._complete.pop(claim.key, None)
                for key in (*claim.reads, *claim.delivered):
                    if self._claim_of.get(key) is claim:
                        del self._claim_of[key]

    def _move(self, connection: sa.Connection, claims: Sequence[Claim]) -> None:
        """Move claims into the table, but for those that somebody else has moved."""
        if not claims:
            return
        self._rows.lock(connection)
        there = self._rows.delete(connection, [claim.key for claim in claims])
        delivered: dict[bytes, KnownProfile] = {}
        reads: dict[bytes, str] = {}
        for claim in claims:
            if claim.key in there:
                delivered |= {
                    key: version
                    for key, version in claim.delivered.items()
                    if version.read_at >= delivered.get(key, version).read_at
                }
                reads |= {key: read_at for key, read_at in claim.reads.items() if read_at > reads.get(key, "")}
        self._remember_all(connection, delivered)
        self._note_reads(connection, reads)

    def _remember_all(self, connection: sa.Connection, delivered: Mapping[bytes, KnownProfile]) -> None:
        """Write delivered versions, in the order in which everybody writes them: that of the keys."""
        if not delivered:
            return
        keys = sorted(delivered)
        versions = [delivered[key] for key in keys]
        given, parameters = self._database.given(
            keys,
            [version.read_at for version in versions],
            [version.content for version in versions],
            [version.email for version in versions],
            [version.phone_number for version in versions],
            [msgspec.json.encode(version.optins).decode() for version in versions],
        )
        connection.exec_driver_sql(
            f"{given} INSERT INTO insiderone_profiles "  # noqa: S608  (constants)
            "(key, read_at, content, email, phone_number, optins, at) "
            f"SELECT given.*, {int(time.time())} FROM given WHERE true "
            "ON CONFLICT (key) DO UPDATE SET read_at = excluded.read_at, content = excluded.content, "
            "email = excluded.email, phone_number = excluded.phone_number, optins = excluded.optins, at = excluded.at "
            "WHERE insiderone_profiles.read_at <= excluded.read_at",
            parameters,
        )

    def _note_reads(self, connection: sa.Connection, reads: Mapping[bytes, str]) -> None:
        """Write times of reads: nothing older is to be delivered."""
        if not reads:
            return
        keys = sorted(reads)
        given, parameters = self._database.given(keys, [reads[key] for key in keys])
        no_bytes = "X''" if self._database.is_sqlite else "''"
        connection.exec_driver_sql(
            f"{given} INSERT INTO insiderone_profiles (key, read_at, content, optins, at) "  # noqa: S608  (constants)
            f"SELECT given.*, {no_bytes}, '{{}}', {int(time.time())} FROM given WHERE true "
            "ON CONFLICT (key) DO UPDATE SET read_at = excluded.read_at, at = excluded.at "
            "WHERE insiderone_profiles.read_at <= excluded.read_at",
            parameters,
        )

    def take_over(self, connection: sa.Connection) -> None:
        """Move the claims of other processes, whatever their state; if the owner lives, it goes on all the same."""
        if self._read_only:
            return
        self._rows.lock(connection)
        self._move(connection, self._of_others(connection, take_over=True))

    def forget(self, digests: Sequence[bytes]) -> int:
        """Forget the profiles with one of these digests as e-mail or phone number; returns how many."""
        self.merge()
        table = _profiles.c
        gone = 0
        with self._database.transaction() as connection:
            for start in range(0, len(digests), 2_000):
                some = digests[start : start + 2_000]
                known = sa.or_(table.email.in_(some), table.phone_number.in_(some))
                gone += int(connection.execute(sa.delete(_profiles).where(known)).rowcount)
        return gone

    def close(self) -> None:
        """Release and merge what there is."""
        for claim in list(self._open.values()):
            self.release(claim)
        self.merge()


def _in_order(version: tuple[bytes, KnownProfile]) -> tuple[bool, str]:
    """Deliveries by the time of their read, then what was claimed: it says nothing of what was delivered."""
    return not version[1].content, version[1].read_at


_CLAIM = msgspec.msgpack.Decoder(tuple[dict[bytes, str], dict[bytes, KnownProfile], bool])
_OPTINS = msgspec.json.Decoder(dict[str, str])
