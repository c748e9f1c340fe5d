"""Delivers the newest version of each profile: claims, sends, remembers it; opt-ins are sent only if they changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_delivery.disclosure import shown
from singer_delivery.logs import log
from singer_delivery.memory.optins import choose_optins, may_be_older, optin_token, overdue_optouts
from singer_delivery.memory.read_times import UNDATED
from singer_delivery.memory.version_ledger import NEVER_DELIVERED, UNKNOWN, Claim, KnownProfile, ReadProfile
from singer_delivery.sending.answers import reading
from singer_delivery.sending.delivery import Delivery, answered_by
from singer_delivery.sending.sender import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.destination import Answer, NewestKind, Refusal, Request, Response
    from singer_delivery.sending.answers import Verdict
    from singer_delivery.sending.items import Source, VersionItem
    from singer_delivery.sending.sender import Answered, Sending


NO_CLAIM = Claim(b"", {}, {}, {}, {}, {}, {}, [])
"""The claim without a ledger."""


class SupersededError(Exception):
    """A newer version of a profile was delivered while an older one waited for its next attempt.

    *known*: ledger key -> its state now.
    """

    def __init__(self, known: Mapping[bytes, KnownProfile]) -> None:
        super().__init__()
        self.known = known


class PreparedVersion(NamedTuple):
    """A version to send; *row* is empty if only fields are to be cleared.

    *optins* are part of the row, *noted* their tokens for the ledger; *is_late*: the row has only opt-outs, since a
    newer version was delivered.
    """

    item: VersionItem
    row: bytes
    optins: Mapping[str, Any]
    noted: Mapping[str, str]
    before: KnownProfile
    is_late: bool = False

    @property
    def has_clearing(self) -> bool:
        """Whether fields are also to be cleared."""
        return bool(self.item.version.clearing()) and not self.is_late


@dataclass(slots=True)
class Plan:
    """What to do with the versions of one batch. *unchanged*: ledger keys of those delivered before."""

    versions: list[PreparedVersion] = field(default_factory=list)
    settled: list[tuple[Source, Outcome, str]] = field(default_factory=list)
    notes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unchanged: set[bytes] = field(default_factory=set)


class SendNewest(Delivery):
    """Delivers versions."""

    may_repeat = True

    def deliver(self, kind: NewestKind, variant: str, items: Sequence[VersionItem]) -> Iterator[Exception]:
        """Send the newest versions, then those without a credible read time."""
        dated = [item for item in items if item.read_at != UNDATED]
        undated = [item for item in items if item.read_at == UNDATED] if len(dated) < len(items) else []
        while dated:
            dated = yield from self._deliver(kind, variant, dated)
        while undated:
            undated = yield from self._deliver(kind, variant, undated)

    def _deliver(
        self, kind: NewestKind, variant: str, items: Sequence[VersionItem]
    ) -> Generator[Exception, None, list[VersionItem]]:
        """Send the newest version of each profile; choose again if a newer one was delivered between two attempts.

        Returns later ones in the batch that were not chosen: with an older read time, or with an opt-in that may be
        older.
        """
        ledger = self.shared.ledger
        newest = newest_reads(items, has_ledger=ledger is not None)
        waiting = [items[place] for place in newest.values()]
        superseded: list[tuple[Source, Outcome, str]] = []
        later: list[VersionItem] = []
        if len(newest) < len(items):
            for place, item in enumerate(items):
                if ledger and place > newest[item.ledger_key]:
                    later.append(item)
                elif place != newest[item.ledger_key]:
                    superseded.append((item.source, "duplicate", "superseded"))
        claim = ledger.profiles.claim({item.ledger_key: as_read(item) for item in waiting}) if ledger else NO_CLAIM
        known: Mapping[bytes, KnownProfile] = dict(claim.known)
        for item in waiting if known else ():
            if before := known.get(item.ledger_key):
                self._note_changed_identifiers(item, before)
        while True:
            plan = self._choose(waiting, known)
            try:
                in_doubt = yield from self._send(kind, variant, plan, claim)
                break
            except SupersededError as error:
                known = error.known
        if ledger:
            ledger.profiles.release(claim, in_doubt, plan.unchanged)
        self.tally.notes.update(plan.notes)
        self.settle(superseded + plan.settled)
        return later

    def _choose(self, items: Sequence[VersionItem], known: Mapping[bytes, KnownProfile]) -> Plan:
        """Choose the versions to send, with their bytes; the others are settled."""
        plan = Plan()
        for item in items:
            before = known.get(item.ledger_key, NEVER_DELIVERED)
            if UNDATED != item.read_at < before.read_at:
                overdue = overdue_optouts(item.version.optins, item.read_at, before.optins, before.read_at)
                if overdue.sent:
                    late = item.version.optins_row(overdue.sent)
                    plan.versions.append(PreparedVersion(item, late, overdue.sent, overdue.noted, before, is_late=True))
                    plan.notes.update([(item.source.stream, "late_optout", name) for name in overdue.sent])
                else:
                    plan.settled.append((item.source, "duplicate", "older_read"))
                continue
            choice = choose_optins(item.version.optins, item.read_at, before.optins, before.read_at, item.optins_since)
            if choice.withheld:
                plan.notes.update([(item.source.stream, "optin_withheld", name) for name in choice.withheld])
            is_known = before.content == item.content and True not in choice.sent.values()
            row = item.version.row(choice.sent)
            if is_known and self.shared.skip_unchanged:
                plan.settled.append((item.source, "unchanged", ""))
                plan.unchanged.add(item.ledger_key)
            elif row is None and not item.version.clearing():
                reason = "optin_withheld" if choice.withheld else "optin_already_delivered"
                plan.settled.append((item.source, "unchanged", reason))
                plan.unchanged.add(item.ledger_key)
            else:
                plan.versions.append(PreparedVersion(item, row or b"", choice.sent, choice.noted, before))
        return plan

    def _send(
        self, kind: NewestKind, variant: str, plan: Plan, claim: Claim
    ) -> Generator[Exception, None, list[bytes]]:
        """Send rows, then clear fields, and add all outcomes to *plan*.

        Returns the ledger keys of versions that were accepted only in part, or whose outcome is unknown.

        Raises:
            SupersededError: Between two attempts another flow delivered a newer version of one of them.
        """
        upserts = [one for one in plan.versions if one.row]
        refused: dict[int, Sequence[Refusal]] = {}

        def look_again() -> None:
            reads = {one.item.ledger_key: one.before.read_at for one in upserts}
            known = self.shared.ledger.profiles.look(list(reads)) if self.shared.ledger else {}
            if any(one.read_at > reads[key] for key, one in known.items()):
                raise SupersededError(known)

        verdicts = yield from self.send(
            kind,
            variant,
            [one.row for one in upserts],
            [[one.item.ledger_key] for one in upserts],
            partial(self._answered, upserts, claim, lambda one: not one.has_clearing),
            before_retry=look_again,
        )
        refused |= {id(one.item): verdict for one, verdict in zip(upserts, verdicts, strict=True) if verdict}
        accepted = [one for one in upserts if id(one.item) not in refused]
        clearings = [
            (one, row)
            for one in plan.versions
            if one.has_clearing and id(one.item) not in refused and (row := one.item.version.clearing())
        ]
        verdicts = yield from self._clear(
            kind,
            variant,
            [row for _, row in clearings],
            partial(self._answered, [one for one, _ in clearings], claim, lambda _: True),
        )
        refused |= {id(one.item): verdict for (one, _), verdict in zip(clearings, verdicts, strict=True) if verdict}
        in_doubt = [one.item.ledger_key for one, _ in clearings if id(one.item) in refused]
        in_doubt += [
            one.item.ledger_key
            for one in upserts
            if (objections := refused.get(id(one.item))) and objections[0].code == UNANSWERED
        ]
        yield from self._repair(kind, variant, accepted, claim)
        for one in plan.versions:
            source = one.item.source
            if verdict := refused.get(id(one.item)):
                self.reject(source, verdict[0])
                plan.settled.append((source, "rejected", verdict[0].code))
            else:
                plan.settled.append((source, "delivered", ""))
        return in_doubt

    def _clear(self, kind: NewestKind, variant: str, rows: Sequence[bytes], answered: Answered) -> Sending:
        """Send the requests that clear fields."""

        def read(response: Response, sent: int) -> Answer:
            with reading(f"the answer to {sent} rows, with status {response.status},"):
                return kind.read_clearing(response, sent)

        def post(request: Request, part: range, *, hurried: bool) -> tuple[Answer, int]:
            answer, attempts = self.shared.transport.send(request, len(part), read, hurried=hurried)
            return answered_by(answer), attempts

        evidence = self.shared.evidence(kind, "clearing")
        return self.sender(kind.limits(variant)).send(rows, kind.clearing, post, answered, evidence)

    def _answered(
        self,
        prepared: Sequence[PreparedVersion],
        claim: Claim,
        is_done: Callable[[PreparedVersion], bool],
        start: int,
        verdicts: Sequence[Verdict],
        _doubtful: bool,
    ) -> None:
        """Store at once which versions were accepted, unless they need a further request."""
        part = zip(prepared[start : start + len(verdicts)], verdicts, strict=True)
        delivered = [one for one, verdict in part if verdict is None and is_done(one)]
        if self.shared.ledger:
            self.shared.ledger.profiles.remember(claim, {one.item.ledger_key: as_delivered(one) for one in delivered})

    def _repair(
        self, kind: NewestKind, variant: str, prepared: Sequence[PreparedVersion], claim: Claim
    ) -> Iterator[Exception]:
        """Check again: if requests of two processes overlapped, the older version may have arrived last.

        The newer version is sent again; if this one is older and opted somebody in, the newer one's opt-out is sent.
        """
        if self.shared.ledger is None:
            return
        beside = self.shared.ledger.profiles.beside(claim, [one.item.ledger_key for one in prepared])
        rows = []
        for one in prepared if beside else ():
            versions = beside.get(one.item.ledger_key, ())
            if lost := lost_optouts(one, versions):
                rows.append(one.item.version.optins_row(dict.fromkeys(lost, False)))
            elif any(version.read_at < one.item.read_at for version in versions):
                rows.append(one.row)
            else:
                continue
            self.tally.notes[one.item.source.stream, "sent_again", ""] += 1
        if rows:
            yield from self.send(kind, variant, rows, [[] for _ in rows], lambda *_: None)

    def _note_changed_identifiers(self, item: VersionItem, before: KnownProfile) -> None:
        """Warn that the destination may create a second user if an identifier of a known profile changed (CO-08)."""
        for name in changed_identifiers(item, before):
            self.tally.notes[item.source.stream, "identifier_changed", name] += 1
            log.warning(
                "stream %s, profile %s: identifier_changed: its %s differs from last time; %s may now have two users "
                "for it unless a stable identifier is mapped, too",
                shown(item.source.stream),
                shown_key(item),
                name,
                self.shared.destination,
            )


def shown_key(item: VersionItem) -> str:
    """The profile's key for a log line; if the key is an address itself, the start of its ledger key."""
    key = item.source.key
    plain = "@" not in key and key.lstrip("+").encode() not in (item.version.row({}) or b"")
    return key if plain else f"with ledger key {item.ledger_key.hex()[:12]}"


def newest_reads(items: Sequence[VersionItem], *, has_ledger: bool) -> dict[bytes, int]:
    """Profile -> position of the version to send: the one read last, of equal ones the last in the batch.

    A version whose opt-in may be older than another one's opt-out is sent after it, if there is a ledger.
    """
    newest: dict[bytes, int] = {}
    for place, item in enumerate(items):
        before = newest.get(item.ledger_key)
        if before is None or (
            item.read_at >= items[before].read_at and not (has_ledger and undoes_an_optout(item, items[before]))
        ):
            newest[item.ledger_key] = place
    return newest


def undoes_an_optout(item: VersionItem, before: VersionItem) -> bool:
    """Whether an opt-in of a version may be older than an opt-out of the version *before*."""
    known = before.version.optins
    return any(
        value is True
        and name in known
        and may_be_older(optin_token(value, consent), item.read_at, optin_token(*known[name]), before.read_at)
        for name, (value, consent) in item.version.optins.items()
    )


def lost_optouts(one: PreparedVersion, versions: Sequence[ReadProfile]) -> list[str]:
    """The opt-ins of a sent version that another process's version withdraws, unless they were decided later."""
    return [
        name
        for name, value in one.optins.items()
        if value is True
        and any(
            version.optins.get(name, "").startswith("false")
            and may_be_older(one.noted[name], one.item.read_at, version.optins[name], version.read_at)
            for version in versions
        )
    ]


def as_read(item: VersionItem) -> ReadProfile:
    """The ledger entry of a profile that is about to be sent."""
    return ReadProfile(item.read_at, {name: optin_token(*optin) for name, optin in item.version.optins.items()})


def as_delivered(one: PreparedVersion) -> KnownProfile:
    """The ledger entry of a profile that was delivered."""
    item, before = one.item, one.before
    return KnownProfile(
        max(item.read_at, before.read_at),
        UNKNOWN if one.is_late else item.content,
        item.email or before.email,
        item.phone_number or before.phone_number,
        {**before.optins, **one.noted},
    )


def changed_identifiers(item: VersionItem, before: KnownProfile) -> list[str]:
    """Which of e-mail and phone number differ from those last delivered; added or removed ones do not count."""
    pairs = (("email", item.email, before.email), ("phone_number", item.phone_number, before.phone_number))
    return [name for name, now, last in pairs if now is not None and last is not None and now != last]
