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
from target_insiderone.digests import shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
    """What Insider One has of a profile.

    *read_at*: when the last version that was delivered, or was about to be, was read from the source (ISO 8601, UTC).
    *content*: digest of all that was mapped; `UNKNOWN` if no answer came to the last version that was sent. *email*,
    *phone_number*: digests. *optins*: attribute -> what was last delivered: its value, and the consent it came from.
    """

    read_at: str
    content: bytes
    email: bytes | None
    phone_number: bytes | None
    optins: dict[str, str]


class ReadProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version that is about to be delivered; *read_at* and *optins* as above."""

    read_at: str
    optins: dict[str, str]


UNKNOWN = bytes(16)
NEVER_DELIVERED = KnownProfile("", UNKNOWN, None, None, {})


class Claim(NamedTuple):
    """Versions that are delivered together: one row of the database until it is merged. All keys are profiles'.

    *known*: what the ledger knew before. *sent*: those of which nobody knows whether they have arrived. *kept*: when
    those were read that certainly have not. *delivered*: what Insider One has of the others.
    """

    key: bytes
    known: dict[bytes, KnownProfile]
    sent: dict[bytes, ReadProfile]
    kept: dict[bytes, str]
    delivered: dict[bytes, KnownProfile]

    def row(self, *, is_complete: bool) -> tuple[bytes, bytes]:
        """What the database is to hold of it now."""
        return self.key, msgspec.msgpack.encode((self.sent, self.kept, self.delivered, is_complete))

    def profiles(self) -> list[bytes]:
        """All profiles in it."""
        return [*self.sent, *self.kept, *self.delivered]


def newest(known: KnownProfile, claims: Sequence[Claim], key: bytes) -> KnownProfile:
    """What is known of a profile, once these claims are taken into account, in the order of their reads.

    Of two with one time, the one in doubt counts: to send a version once more does no harm.
    """
    versions: list[tuple[str, KnownProfile | ReadProfile | None]] = []
    for claim in claims:
        if version := claim.delivered.get(key) or claim.sent.get(key):
            versions.append((version.read_at, version))
        elif key in claim.kept:
            versions.append((claim.kept[key], None))
    for read_at, version in sorted(versions, key=lambda read: (read[0], isinstance(read[1], ReadProfile))):
        if read_at < known.read_at:
            continue
        if version is None:
            known = msgspec.structs.replace(known, read_at=read_at)
        else:
            known = in_doubt(known, version) if isinstance(version, ReadProfile) else version
    return known


def in_doubt(known: KnownProfile, sent: ReadProfile) -> KnownProfile:
    """What is known once a version was sent, and no answer came: it goes again, and so do the opt-ins it changed."""
    optins = {name: last for name, last in known.optins.items() if sent.optins.get(name, last) == last}
    return KnownProfile(sent.read_at, UNKNOWN, known.email, known.phone_number, optins)


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

    def upgrade(self, connection: sa.Connection) -> None:
        """Read a ledger of version 0.1.0, which noted the time of a version also before it was delivered."""

    def claim(self, versions: Mapping[bytes, ReadProfile]) -> Claim:
        """Note that versions are about to be delivered.

        Where a later time is known, another flow holds, or has delivered, a newer version (CO-06). Of two flows that
        claim one profile at the same moment, the later one sees the claim of the other.
        """
        claim = Claim(uuid.uuid4().bytes, {}, dict(versions), {}, {})
        with self._guard:
            self._open[claim.key] = claim
        with self._database.transaction() as connection:
            if not self._read_only:
                self._rows.lock(connection)
                self._rows.write(connection, [claim.row(is_complete=False)])
            claim.known.update(self._known(connection, list(versions), take_over=not self._read_only))
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
            own = {key: self._claim_of[key] for key in self._claim_of.keys() & keys}
        others = self._of_others(connection, take_over=take_over)
        known = self._in_table(connection, keys)
        for key, claim in own.items():
            version = newest(claim.known.get(key, NEVER_DELIVERED), [claim], key)
            if version.read_at >= known.get(key, NEVER_DELIVERED).read_at:
                known[key] = version
        for key in {key for claim in others for key in claim.profiles()}.intersection(keys):
            known[key] = newest(known.get(key, NEVER_DELIVERED), others, key)
        return known

    def _in_table(self, connection: sa.Connection, keys: Sequence[bytes]) -> dict[bytes, KnownProfile]:
        table = _profiles.c
        columns = (table.key, table.read_at, table.content, table.email, table.phone_number, table.optins)
        return {
            key: KnownProfile(read_at, content or UNKNOWN, email, phone, _OPTINS.decode(optins))
            for key, read_at, content, email, phone, optins in self._database.read(connection, columns, keys)
        }

    def _of_others(self, connection: sa.Connection, *, take_over: bool) -> list[Claim]:
        """The claims of other processes; complete ones are merged, if they may, since there can be many of them."""
        with self._guard:
            own = [*self._open, *self._complete]
        claims = []
        for key, content, _ in self._rows.of_others(connection, own):
            sent, kept, delivered, is_complete = _CLAIM.decode(content)
            claims.append((Claim(key, {}, sent, kept, delivered), is_complete and take_over))
        self._move(connection, [claim for claim, is_moved in claims if is_moved])
        return [claim for claim, is_moved in claims if not is_moved]

    def remember(self, claim: Claim, profiles: Mapping[bytes, KnownProfile]) -> None:
        """Note versions of *claim* as delivered; they are known as soon as the claim is complete."""
        if self._read_only or not profiles:
            return
        claim.delivered.update(profiles)
        for key in profiles:
            claim.sent.pop(key, None)
        self._write(claim, is_complete=not claim.sent)

    def release(self, claim: Claim, in_doubt: Collection[bytes] = ()) -> None:
        """Complete a claim: what is not remembered as delivered was not, but for what is *in_doubt*.

        Of either, the time of the read stands all the same: nothing older is to be delivered.
        """
        if claim.key in self._open:
            for key in claim.sent.keys() - set(in_doubt):
                claim.kept[key] = claim.sent.pop(key).read_at
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
        """Move claims into the table, but for those that somebody else has moved."""
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
            [_encoded(version.optins) for version in versions],
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
        given, parameters = self._database.given(keys, [reads[key] for key in keys], [UNKNOWN] * len(keys))
        connection.exec_driver_sql(
            f"{given} INSERT INTO insiderone_profiles (key, read_at, content, optins, at) "  # noqa: S608  (constants)
            f"SELECT given.*, '{{}}', {int(time.time())} FROM given WHERE true "
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
        """Merge what there is; what is still open was sent, and nobody knows what has become of it."""
        for claim in list(self._open.values()):
            self._write(claim, is_complete=True)
        self.merge()


def _encoded(optins: Mapping[str, str]) -> str:
    """Opt-ins as JSON; an earlier version has kept some that are too long."""
    return msgspec.json.encode({name: shortened(token) for name, token in optins.items()}).decode()


_CLAIM = msgspec.msgpack.Decoder(tuple[dict[bytes, ReadProfile], dict[bytes, str], dict[bytes, KnownProfile], bool])
_OPTINS = msgspec.json.Decoder(dict[str, str])
