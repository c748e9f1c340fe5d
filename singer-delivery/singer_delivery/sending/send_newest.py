"""Kinds whose newest version counts: it is claimed, sent, remembered; opt-ins are sent only if they changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_delivery.disclosure import shown
from singer_delivery.logs import log
from singer_delivery.memory.optins import choose_optins, may_undo_an_optout, optin_token, overdue_optouts
from singer_delivery.memory.read_times import UNDATED
from singer_delivery.memory.version_ledger import NEVER_DELIVERED, UNKNOWN, Claim, KnownProfile, ReadProfile
from singer_delivery.sending.delivery import Delivery, answered_by

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.destination import Answer, NewestKind, Refusal, Request
    from singer_delivery.sending.items import Source, VersionItem
    from singer_delivery.sending.sender import Answered, Sending, Verdict


NO_CLAIM = Claim(b"", {}, {}, {}, {}, {}, {}, [])
"""Without a ledger nothing is claimed, and nothing known."""


class SupersededError(Exception):
    """A newer version of a profile was delivered while an older one waited for its next attempt.

    *known*: ledger key -> what is known of it now.
    """

    def __init__(self, known: Mapping[bytes, KnownProfile]) -> None:
        super().__init__()
        self.known = known


class Letter(NamedTuple):
    """A profile on its way: *row* is what is sent, or nothing where only fields are to be cleared.

    *optins* go along, *noted* is what the ledger is to know of them; *is_late*: nothing else goes, since a newer
    version was delivered.
    """

    item: VersionItem
    row: bytes
    optins: Mapping[str, Any]
    noted: Mapping[str, str]
    before: KnownProfile
    is_late: bool = False

    @property
    def has_clearing(self) -> bool:
        """Whether fields are to be cleared, too."""
        return bool(self.item.version.clearing()) and not self.is_late


@dataclass(slots=True)
class Post:
    """What becomes of the versions of one batch. *unchanged*: ledger keys of those that were delivered before."""

    letters: list[Letter] = field(default_factory=list)
    settled: list[tuple[Source, Outcome, str]] = field(default_factory=list)
    notes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unchanged: set[bytes] = field(default_factory=set)


class SendNewest(Delivery):
    """Delivers versions."""

    def deliver(self, kind: NewestKind, variant: str, items: Sequence[VersionItem]) -> Iterator[Exception]:
        """Send the newest versions; those whose place in time is not certain go after them."""
        dated = [item for item in items if item.read_at != UNDATED]
        undated = [item for item in items if item.read_at == UNDATED] if len(dated) < len(items) else []
        while dated:
            dated = yield from self._deliver(kind, variant, dated)
        while undated:
            undated = yield from self._deliver(kind, variant, undated)

    def _deliver(
        self, kind: NewestKind, variant: str, items: Sequence[VersionItem]
    ) -> Generator[Exception, None, list[VersionItem]]:
        """Send the newest version of each; look again if a newer one was delivered between two attempts.

        Returns those that came after the newest one, and are older by the clock alone.
        """
        ledger = self.shared.ledger
        newest = newest_reads(items)
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
            post = self._choose(waiting, known)
            try:
                in_doubt = yield from self._send(kind, variant, post, claim)
                break
            except SupersededError as error:
                known = error.known
        if ledger:
            ledger.profiles.release(claim, in_doubt, post.unchanged)
        self.tally.notes.update(post.notes)
        self.settle(superseded + post.settled)
        return later

    def _choose(self, items: Sequence[VersionItem], known: Mapping[bytes, KnownProfile]) -> Post:
        """The versions to send, with their bytes; the others are settled."""
        post = Post()
        for item in items:
            before = known.get(item.ledger_key, NEVER_DELIVERED)
            if UNDATED != item.read_at < before.read_at:
                overdue = overdue_optouts(item.version.optins, item.read_at, before.optins, before.read_at)
                if overdue.sent:
                    late = item.version.optins_row(overdue.sent)
                    post.letters.append(Letter(item, late, overdue.sent, overdue.noted, before, is_late=True))
                    post.notes.update([(item.source.stream, "late_optout", name) for name in overdue.sent])
                else:
                    post.settled.append((item.source, "duplicate", "older_read"))
                continue
            choice = choose_optins(item.version.optins, item.read_at, before.optins, before.read_at, item.optins_since)
            if choice.withheld:
                post.notes.update([(item.source.stream, "optin_withheld", name) for name in choice.withheld])
            is_known = before.content == item.content and True not in choice.sent.values()
            row = item.version.row(choice.sent)
            if is_known and self.shared.skip_unchanged:
                post.settled.append((item.source, "unchanged", ""))
                post.unchanged.add(item.ledger_key)
            elif row is None and not item.version.clearing():
                reason = "optin_withheld" if choice.withheld else "optin_already_delivered"
                post.settled.append((item.source, "unchanged", reason))
                post.unchanged.add(item.ledger_key)
            else:
                post.letters.append(Letter(item, row or b"", choice.sent, choice.noted, before))
        return post

    def _send(
        self, kind: NewestKind, variant: str, post: Post, claim: Claim
    ) -> Generator[Exception, None, list[bytes]]:
        """Send rows, then clear fields, and note all outcomes in *post*.

        Returns the ledger keys of those of which only a part was accepted.

        Raises:
            SupersededError: Between two attempts another flow delivered a newer version of one of them.
        """
        upserts = [letter for letter in post.letters if letter.row]
        refused: dict[int, Sequence[Refusal]] = {}

        def look_again() -> None:
            reads = {letter.item.ledger_key: letter.before.read_at for letter in upserts}
            known = self.shared.ledger.profiles.look(list(reads)) if self.shared.ledger else {}
            if any(one.read_at > reads[key] for key, one in known.items()):
                raise SupersededError(known)

        verdicts = yield from self.send(
            kind,
            variant,
            [letter.row for letter in upserts],
            [[letter.item.ledger_key] for letter in upserts],
            partial(self._answered, upserts, claim, lambda letter: not letter.has_clearing),
            before_retry=look_again,
        )
        refused |= {id(one.item): verdict for one, verdict in zip(upserts, verdicts, strict=True) if verdict}
        accepted = [letter for letter in upserts if id(letter.item) not in refused]
        clearings = [
            (letter, row)
            for letter in post.letters
            if letter.has_clearing and id(letter.item) not in refused and (row := letter.item.version.clearing())
        ]
        verdicts = yield from self._clear(
            kind,
            variant,
            [row for _, row in clearings],
            partial(self._answered, [letter for letter, _ in clearings], claim, lambda _: True),
        )
        refused |= {id(one.item): verdict for (one, _), verdict in zip(clearings, verdicts, strict=True) if verdict}
        in_doubt = [letter.item.ledger_key for letter, _ in clearings if id(letter.item) in refused]
        yield from self._repair(kind, variant, accepted, claim)
        for letter in post.letters:
            source = letter.item.source
            if verdict := refused.get(id(letter.item)):
                self.reject(source, verdict[0])
                post.settled.append((source, "rejected", verdict[0].code))
            else:
                post.settled.append((source, "delivered", ""))
        return in_doubt

    def _clear(self, kind: NewestKind, variant: str, rows: Sequence[bytes], answered: Answered) -> Sending:
        """Send the second requests."""

        def post(request: Request, part: range) -> tuple[Answer, int]:
            answer, attempts = self.shared.transport.send(request, len(part), kind.read_clearing)
            return answered_by(answer), attempts

        evidence = self.shared.evidence(kind, "clearing")
        return self.sender(kind.limits(variant)).send(rows, kind.clearing, post, answered, evidence)

    def _answered(
        self,
        letters: Sequence[Letter],
        claim: Claim,
        is_done: Callable[[Letter], bool],
        start: int,
        verdicts: Sequence[Verdict],
        _doubtful: bool,
    ) -> None:
        """Tell the ledger at once which versions were accepted, of those that need no further request."""
        part = zip(letters[start : start + len(verdicts)], verdicts, strict=True)
        delivered = [letter for letter, verdict in part if verdict is None and is_done(letter)]
        if self.shared.ledger:
            self.shared.ledger.profiles.remember(
                claim, {letter.item.ledger_key: as_delivered(letter) for letter in delivered}
            )

    def _repair(self, kind: NewestKind, variant: str, letters: Sequence[Letter], claim: Claim) -> Iterator[Exception]:
        """Look once more: where requests of two processes overlapped, the older one may have arrived last.

        Who is newer sends again; who is older, and has opted somebody in, sends the newer one's opt-out.
        """
        if self.shared.ledger is None:
            return
        beside = self.shared.ledger.profiles.beside(claim, [letter.item.ledger_key for letter in letters])
        rows = []
        for letter in letters if beside else ():
            versions = beside.get(letter.item.ledger_key, ())
            if lost := lost_optouts(letter, versions):
                rows.append(letter.item.version.optins_row(dict.fromkeys(lost, False)))
            elif any(version.read_at < letter.item.read_at for version in versions):
                rows.append(letter.row)
            else:
                continue
            self.tally.notes[letter.item.source.stream, "sent_again", ""] += 1
        if rows:
            yield from self.send(kind, variant, rows, [[] for _ in rows], lambda *_: None)

    def _note_changed_identifiers(self, item: VersionItem, before: KnownProfile) -> None:
        """Say that the destination may make a second person where an identifier of a known one changed (CO-08)."""
        for name in changed_identifiers(item, before):
            self.tally.notes[item.source.stream, "identifier_changed", name] += 1
            log.warning(
                "stream %s, profile %s: identifier_changed: its %s is another one than last time; %s may now "
                "hold two users for it unless a stable identifier is mapped too",
                shown(item.source.stream),
                shown_key(item),
                name,
                self.shared.destination,
            )


def shown_key(item: VersionItem) -> str:
    """The profile's key for a log line; where the key is an address itself, the start of its digest in the ledger."""
    key = item.source.key
    plain = "@" not in key and key.lstrip("+").encode() not in (item.version.row({}) or b"")
    return key if plain else f"with ledger key {item.ledger_key.hex()[:12]}"


def newest_reads(items: Sequence[VersionItem]) -> dict[bytes, int]:
    """Profile -> position of the version to send: the one read last, of equal ones the one that came last."""
    newest: dict[bytes, int] = {}
    for place, item in enumerate(items):
        before = newest.get(item.ledger_key)
        if before is None or item.read_at >= items[before].read_at:
            newest[item.ledger_key] = place
    return newest


def lost_optouts(letter: Letter, versions: Sequence[ReadProfile]) -> list[str]:
    """The opt-ins of a letter that a version beside it takes back, unless they were decided later."""
    return [
        name
        for name, value in letter.optins.items()
        if value is True
        and any(
            version.optins.get(name, "").startswith("false")
            and may_undo_an_optout(letter.noted[name], letter.item.read_at, version.optins[name], version.read_at)
            for version in versions
        )
    ]


def as_read(item: VersionItem) -> ReadProfile:
    """What the ledger is to know of a profile that is about to be delivered."""
    return ReadProfile(item.read_at, {name: optin_token(*optin) for name, optin in item.version.optins.items()})


def as_delivered(letter: Letter) -> KnownProfile:
    """What the ledger is to know of a profile that was delivered."""
    item, before = letter.item, letter.before
    return KnownProfile(
        max(item.read_at, before.read_at),
        UNKNOWN if letter.is_late else item.content,
        item.email or before.email,
        item.phone_number or before.phone_number,
        {**before.optins, **letter.noted},
    )


def changed_identifiers(item: VersionItem, before: KnownProfile) -> list[str]:
    """Which of e-mail and phone number differ from those last delivered; one that is new or gone does not count."""
    pairs = (("email", item.email, before.email), ("phone_number", item.phone_number, before.phone_number))
    return [name for name, now, last in pairs if now is not None and last is not None and now != last]
