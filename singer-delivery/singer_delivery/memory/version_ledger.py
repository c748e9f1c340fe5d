"""Remembers which version of each profile has been delivered, and which are being sent."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

from singer_delivery.logs import log
from singer_delivery.memory.batch_rows import BatchRows, batch_table
from singer_delivery.memory.digests import LONGEST_TEXT, shortened
from singer_delivery.memory.optins import DOUBT, doubtful
from singer_delivery.memory.read_times import UNDATED, latest_credible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from singer_delivery.memory.database import Database


DAY_SECONDS = 86_400

MERGE_AFTER_PROFILES = 10_000
"""Versions are merged when there are this many; until then they are kept in memory."""


class KnownProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of a profile at the destination.

    *read_at*: when the delivered version was read from the source (ISO 8601, UTC); "" without one, or without a time.
    *content*: digest of all mapped values; `UNKNOWN` if a later version was sent without an answer. *email*,
    *phone_number*: digests. *optins*: attribute -> token (:mod:`singer_delivery.memory.optins`).
    """

    read_at: str
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    optins: dict[str, str]


class ReadProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version that is being sent; *read_at* and *optins* as above."""

    read_at: str
    optins: dict[str, str]


KNEW_BEFORE_FORMAT_2 = b"knew before"
"""Fact: the ledger had profiles before it stored since when opt-ins are known; then all are known."""

UNKNOWN = bytes(16)
BARE = {"content": UNKNOWN, "email": sa.null(), "phone_number": sa.null()}
"""Columns of a forgotten profile, of which only the opt-ins are kept."""
NEVER_DELIVERED = KnownProfile(UNDATED, UNKNOWN, None, None, {})


class Claim(NamedTuple):
    """Versions of one request: one row of the database until it is merged. All keys are profiles' keys.

    *known*: state before. *sent*: versions with an unknown outcome. *kept*: read times of versions that need not be
    sent. *delivered*: new state of the others. *seen*: state in the table of profiles before. *beside*: versions of
    other processes that may have been in flight at the same time. *changes*: see `Database.changes_of_others`.
    """

    key: bytes
    known: dict[bytes, KnownProfile]
    sent: dict[bytes, ReadProfile]
    kept: dict[bytes, str]
    delivered: dict[bytes, KnownProfile]
    seen: dict[bytes, KnownProfile]
    beside: dict[bytes, list[ReadProfile]]
    changes: list[int | None]

    def row(self, *, is_complete: bool) -> tuple[bytes, bytes]:
        """The database row: key and encoded content."""
        return self.key, msgspec.msgpack.encode((self.sent, self.kept, self.delivered, is_complete))

    def profiles(self) -> list[bytes]:
        """The keys of all profiles in it."""
        return [*self.sent, *self.kept, *self.delivered]


def newest(known: KnownProfile, claims: Sequence[Claim], key: bytes) -> KnownProfile:
    """Apply claims to the known state of a profile, in order of read times.

    Of two with equal times, the one with an unknown outcome wins: sending a version again does no harm. A version with
    an unknown outcome and no time is always applied.
    """
    versions: list[tuple[str, KnownProfile | ReadProfile | None]] = []
    for claim in claims:
        if version := claim.delivered.get(key) or claim.sent.get(key):
            versions.append((version.read_at, version))
        elif key in claim.kept:
            versions.append((claim.kept[key], None))
    for read_at, version in sorted(versions, key=lambda read: (read[0], isinstance(read[1], ReadProfile))):
        if read_at < known.read_at and not (read_at == UNDATED and isinstance(version, ReadProfile)):
            continue
        if version is None:
            known = msgspec.structs.replace(known, read_at=read_at)
        else:
            known = in_doubt(known, version) if isinstance(version, ReadProfile) else version
    return known


def in_doubt(known: KnownProfile, sent: ReadProfile) -> KnownProfile:
    """The known state after a version was sent without an answer: it and the opt-ins it changed will be sent again.

    It does not block other versions, since it may never have arrived (CO-06).
    """
    changed = {
        name: doubtful(known.optins.get(name, ""), known.read_at, token, sent.read_at)
        for name, token in sent.optins.items()
    }
    return KnownProfile(known.read_at, UNKNOWN, known.email, known.phone_number, {**known.optins, **changed})


def with_doubts(known: KnownProfile, other: KnownProfile) -> KnownProfile:
    """Apply the later versions with an unknown outcome that *other* contains."""
    for version in versions_in(other)[1:]:
        if version.read_at >= known.read_at:
            known = in_doubt(known, version)
    return known


def versions_in(known: KnownProfile) -> list[ReadProfile]:
    """The delivered version, and those with an unknown outcome that left tokens of opt-ins."""
    doubts = [(name, *token.split(" ", 2)) for name, token in known.optins.items() if token.startswith(DOUBT)]
    return [
        ReadProfile(known.read_at, known.optins),
        *(ReadProfile(read_at, {name: token}) for name, _, read_at, token in doubts),
    ]


class ProfileLedger:
    """Remembers profiles; every method is one short transaction; thread-safe.

    A batch is written when it is claimed, again with the delivered versions, and merged once it is complete. Of two
    versions the one read later wins, in every table and order.
    """

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._read_only = read_only
        self._database = database
        batches = batch_table(database, "profile_batches", "profiles")  # MessagePack: see `Claim.row`
        self._batches, self._rows = batches, BatchRows(database, batches)
        self._profiles = database.table(
            "profiles",
            sa.Column("key", sa.LargeBinary(16), primary_key=True),
            sa.Column("read_at", sa.String(40), nullable=False),
            sa.Column("content", sa.LargeBinary(16), nullable=False),
            sa.Column("email", sa.LargeBinary(16)),
            sa.Column("phone_number", sa.LargeBinary(16)),
            sa.Column("optins", sa.Text, nullable=False),
            sa.Column("at", sa.BigInteger, nullable=False),
        )
        name = self._profiles.name
        self._supersedes = f"{name}.read_at <= excluded.read_at OR {name}.read_at"
        self._guard = threading.Lock()
        self._open: dict[bytes, Claim] = {}
        self._complete: dict[bytes, Claim] = {}
        self._said_ahead = False
        self._claim_of: dict[bytes, Claim] = {}  # profile's key -> the complete claim it is in, until it is merged

    def upgrade(self, connection: sa.Connection) -> None:
        """Upgrade a ledger of version 0.1.0, which stored read times even of undelivered versions."""
        is_new = all(
            connection.execute(sa.select(table.c.key).limit(1)).first() is None
            for table in (self._profiles, self._batches)
        )
        if is_new:
            return
        self._database.note_fact(connection, KNEW_BEFORE_FORMAT_2, "yes")
        undelivered = sa.or_(self._profiles.c.content == UNKNOWN, self._profiles.c.content == b"")
        connection.execute(sa.update(self._profiles).where(undelivered).values(read_at=UNDATED))

    def claim(self, versions: Mapping[bytes, ReadProfile]) -> Claim:
        """Store that versions are about to be sent; returns the claim, with the known state.

        If that has a later read time, another flow has delivered a newer version (CO-06). Of two flows that claim one
        profile at the same time, the later one sees the other's claim.
        """
        claim = Claim(uuid.uuid4().bytes, {}, dict(versions), {}, {}, {}, {}, [])
        with self._guard:
            self._open[claim.key] = claim
        with self._database.transaction() as connection:
            if not self._read_only:
                self._rows.lock(connection)
                self._rows.write(connection, [claim.row(is_complete=False)])
            self._look(connection, list(versions), claim, take_over=not self._read_only)
            claim.changes.append(self._database.changes_of_others(connection))
        return claim

    def look(self, keys: Sequence[bytes]) -> dict[bytes, KnownProfile]:
        """The known state of *keys* now."""
        with self._database.transaction() as connection:
            return self._look(connection, keys, Claim(b"", {}, {}, {}, {}, {}, {}, []), take_over=False).known

    def beside(self, claim: Claim, keys: Sequence[bytes]) -> dict[bytes, list[ReadProfile]]:
        """Versions that other processes delivered since *claim* was made, or may be sending now."""
        if self._read_only or not keys:
            return {}
        with self._database.transaction() as connection:
            if not claim.beside and claim.changes == [self._database.changes_of_others(connection) or 0]:
                return {}
            now = self._look(connection, keys, Claim(b"", {}, {}, {}, {}, {}, {}, []), take_over=False)
        found = now.beside
        for key, version in now.seen.items():
            before = [claim.seen.get(key, NEVER_DELIVERED), claim.known.get(key, NEVER_DELIVERED)]
            times = {one.read_at for known in before for one in versions_in(known)}
            found.setdefault(key, []).extend(one for one in versions_in(version) if one.read_at not in times)
        return found

    def _look(self, connection: sa.Connection, keys: Sequence[bytes], claim: Claim, *, take_over: bool) -> Claim:
        """Add the known state of *keys* to *claim*, without open claims of this process.

        Batches are read before the table, so that one merged in between is seen twice rather than missed.
        """
        with self._guard:
            own = {key: self._claim_of[key] for key in self._claim_of.keys() & keys}
        others = self._of_others(connection, take_over=take_over)
        claim.seen.update(self._in_table(connection, keys))
        claim.known.update(claim.seen)
        for key, mine in own.items():
            version = newest(mine.known.get(key, NEVER_DELIVERED), [mine], key)
            row = claim.known.get(key, NEVER_DELIVERED)
            claim.known[key] = with_doubts(version, row) if version.read_at >= row.read_at else newest(row, [mine], key)
        for key in {key for other in others for key in other.profiles()}.intersection(keys):
            claim.known[key] = newest(claim.known.get(key, NEVER_DELIVERED), others, key)
            for other in others:
                if sent := other.sent.get(key):
                    claim.beside.setdefault(key, []).append(sent)
                if key in other.delivered:
                    claim.beside.setdefault(key, []).extend(versions_in(other.delivered[key]))
        return claim

    def _in_table(self, connection: sa.Connection, keys: Sequence[bytes]) -> dict[bytes, KnownProfile]:
        table = self._profiles.c
        columns = (table.key, table.read_at, table.content, table.email, table.phone_number, table.optins)
        return {
            key: KnownProfile(self._credible(read_at), content or UNKNOWN, email, phone, _OPTINS.decode(optins))
            for key, read_at, content, email, phone, optins in self._database.read(connection, columns, keys)
        }

    def _credible(self, read_at: str) -> str:
        """A read time of the ledger; `UNDATED` if it is in the future, since some clock was wrong."""
        if read_at <= latest_credible():
            return read_at
        if not self._said_ahead:
            self._said_ahead = True
            log.warning(
                "the ledger has profiles read later than now (%s): a clock was wrong, or this one is; these times are "
                "ignored, so records read since are delivered",
                read_at[:10],
            )
        return UNDATED

    def _of_others(self, connection: sa.Connection, *, take_over: bool) -> list[Claim]:
        """The claims of other processes; with *take_over*, complete ones, of which there may be many, are merged."""
        with self._guard:
            own = [*self._open, *self._complete]
        claims = []
        for key, content, _ in self._rows.of_others(connection, own):
            sent, kept, delivered, is_complete = _CLAIM.decode(content)
            claims.append((Claim(key, {}, sent, kept, delivered, {}, {}, []), is_complete and take_over))
        self._move(connection, [claim for claim, is_moved in claims if is_moved])
        return [claim for claim, is_moved in claims if not is_moved]

    def remember(self, claim: Claim, profiles: Mapping[bytes, KnownProfile]) -> None:
        """Mark versions of *claim* as delivered; others see them once the claim is complete."""
        if self._read_only or not profiles:
            return
        claim.delivered.update(profiles)
        for key in profiles:
            claim.sent.pop(key, None)
        self._write(claim, is_complete=not claim.sent)

    def release(self, claim: Claim, in_doubt: Collection[bytes] = (), unchanged: Collection[bytes] = ()) -> None:
        """Complete a claim: versions not marked as delivered were not, except those *in_doubt* (unknown outcome).

        Of *unchanged* versions, which were delivered before, the read time is kept, so that nothing older is delivered.
        """
        if claim.key in self._open:
            for key in claim.sent.keys() - set(in_doubt):
                version = claim.sent.pop(key)
                if key in unchanged:
                    claim.kept[key] = version.read_at
            self._write(claim, is_complete=True)

    def _write(self, claim: Claim, *, is_complete: bool) -> None:
        if not self._read_only:
            with self._database.transaction() as connection:
                self._rows.write(connection, [claim.row(is_complete=is_complete)])
        if not is_complete:
            return
        for key in claim.known.keys() & claim.delivered.keys():
            del claim.known[key]
        claim.seen.clear()
        claim.beside.clear()
        with self._guard:
            self._open.pop(claim.key, None)
            if self._read_only:
                return
            self._complete[claim.key] = claim
            self._claim_of.update(dict.fromkeys(claim.profiles(), claim))
            waiting = sum(len(one.profiles()) for one in self._complete.values())
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
                for key in claim.profiles():
                    if self._claim_of.get(key) is claim:
                        del self._claim_of[key]

    def _move(self, connection: sa.Connection, claims: Sequence[Claim]) -> None:
        """Move claims into the table, except those already moved by another process."""
        if not claims:
            return
        self._rows.lock(connection)
        there = self._rows.delete(connection, [claim.key for claim in claims])
        moved = [claim for claim in claims if claim.key in there]
        doubted = {key for claim in moved for key in claim.sent}
        before = self._in_table(connection, list(doubted))
        delivered: dict[bytes, KnownProfile] = {}
        kept: dict[bytes, str] = {}
        for claim in moved:
            delivered |= {
                key: version
                for key, version in claim.delivered.items()
                if version.read_at >= delivered.get(key, version).read_at
            }
            kept |= {key: read_at for key, read_at in claim.kept.items() if read_at > kept.get(key, "")}
        for key in doubted:
            delivered[key] = newest(before.get(key, NEVER_DELIVERED), moved, key)
        self._remember_all(connection, delivered)
        self._note_reads(connection, kept)

    def _remember_all(self, connection: sa.Connection, delivered: Mapping[bytes, KnownProfile]) -> None:
        """Write delivered versions, sorted by key, as all processes do (no deadlocks)."""
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
            [_encoded(version.optins) for version in versions],
        )
        connection.exec_driver_sql(
            f"{given} INSERT INTO {self._profiles.name} "  # noqa: S608  (constants)
            "(key, read_at, content, email, phone_number, optins, at) "
            f"SELECT given.*, {int(time.time())} FROM given WHERE true "
            "ON CONFLICT (key) DO UPDATE SET read_at = excluded.read_at, content = excluded.content, "
            "email = excluded.email, phone_number = excluded.phone_number, optins = excluded.optins, at = excluded.at "
            f"WHERE {self._supersedes} > '{latest_credible()}'",
            parameters,
        )

    def _note_reads(self, connection: sa.Connection, reads: Mapping[bytes, str]) -> None:
        """Write read times, so that nothing older is delivered."""
        if not reads:
            return
        keys = sorted(reads)
        given, parameters = self._database.given(keys, [reads[key] for key in keys], [UNKNOWN] * len(keys))
        connection.exec_driver_sql(
            f"{given} INSERT INTO {self._profiles.name} (key, read_at, content, optins, at) "  # noqa: S608  (constants)
            f"SELECT given.*, '{{}}', {int(time.time())} FROM given WHERE true "
            "ON CONFLICT (key) DO UPDATE SET read_at = excluded.read_at, at = excluded.at "
            f"WHERE {self._supersedes} > '{latest_credible()}'",
            parameters,
        )

    def take_over(self, connection: sa.Connection) -> None:
        """Move the claims of other processes into the table, whatever their state; a running owner is not affected."""
        if self._read_only:
            return
        self._rows.lock(connection)
        self._move(connection, self._of_others(connection, take_over=True))

    def forget(self, digests: Sequence[bytes]) -> tuple[int, set[bytes]]:
        """Forget profiles with one of these digests as e-mail or phone number, except their opt-ins (see `prune`).

        Returns the number of profiles, and the digests that were found.
        """
        self.merge()
        table = self._profiles.c
        gone = 0
        found: set[bytes] = set()
        with self._database.transaction() as connection:
            for start in range(0, len(digests), 2_000):
                some = digests[start : start + 2_000]
                known = sa.or_(table.email.in_(some), table.phone_number.in_(some))
                for pair in connection.execute(sa.select(table.email, table.phone_number).where(known)).all():
                    found.update(bytes(digest) for digest in pair if digest is not None)
                gone += int(connection.execute(sa.delete(self._profiles).where(known, table.optins == "{}")).rowcount)
                gone += int(connection.execute(sa.update(self._profiles).where(known).values(BARE)).rowcount)
        return gone, found.intersection(digests)

    def prune(self, days: int) -> None:
        """Delete profiles older than *days*; of one with opt-ins or opt-outs, these are kept.

        Without these, the next change of the person would opt them in again, whatever they chose meanwhile (CO-05); so
        would an older version, such as a reject that is replayed later than that.
        """
        if self._read_only:
            return
        table = self._profiles.c
        is_old = table.at < int(time.time()) - days * DAY_SECONDS
        has_more = sa.or_(table.content != UNKNOWN, table.email.is_not(None), table.phone_number.is_not(None))
        with self._database.transaction() as connection:
            connection.execute(sa.delete(self._profiles).where(is_old, table.optins == "{}"))
            connection.execute(sa.update(self._profiles).where(is_old, has_more).values(BARE))

    def close(self) -> None:
        """Merge all claims; open claims were sent and have no known outcome."""
        for claim in list(self._open.values()):
            self._write(claim, is_complete=True)
        self.merge()


def _encoded(optins: Mapping[str, str]) -> str:
    """Opt-ins as JSON; shortens tokens of earlier versions that are too long."""
    return msgspec.json.encode(
        {name: token if len(token) <= 2 * LONGEST_TEXT else shortened(token) for name, token in optins.items()}
    ).decode()


_CLAIM = msgspec.msgpack.Decoder(tuple[dict[bytes, ReadProfile], dict[bytes, str], dict[bytes, KnownProfile], bool])
_OPTINS = msgspec.json.Decoder(dict[str, str])
