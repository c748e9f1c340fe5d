"""Profiles: the newest version of each is claimed, sent, remembered; consent goes along only where it is news."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from target_insiderone.disclosure import shown
from target_insiderone.dispatch import Dispatch, SharedParts
from target_insiderone.items import attributes_body
from target_insiderone.profile_ledger import Claim, KnownProfile, ReadProfile
from target_insiderone.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_insiderone.accounting import Outcome, Tally
    from target_insiderone.answers import Refusal
    from target_insiderone.items import ProfileItem, Source
    from target_insiderone.sending import Verdict

log = logging.getLogger("target-insiderone")


NO_CLAIM = Claim(b"", {}, {}, {}, {})
"""Without a ledger nothing is claimed, and nothing known."""


class SupersededError(Exception):
    """A newer version of a profile was claimed while an older one waited for its next attempt.

    *read_times*: ledger key -> when the version that stands now was read.
    """

    def __init__(self, read_times: Mapping[bytes, str]) -> None:
        super().__init__()
        self.read_times = read_times


class ProfileDelivery(Dispatch):
    """Delivers profiles."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        super().__init__(shared, tally)
        self._deletions = Sender(tally.requests, "attribute/delete")

    def deliver(self, items: Sequence[ProfileItem], *, skip_hook: bool) -> None:
        """Send the newest versions; look again if a newer one turns up between two attempts."""
        ledger = self.shared.ledger
        settled: list[tuple[Source, Outcome, str]] = []
        waiting = items
        newest = newest_reads(items)
        if len(newest) < len(items):
            waiting = [item for place, item in enumerate(items) if newest[item.ledger_key] == place]
            settled += [
                (item.source, "duplicate", "superseded")
                for place, item in enumerate(items)
                if newest[item.ledger_key] != place
            ]
        claim = ledger.profiles.claim({item.ledger_key: as_read(item) for item in waiting}) if ledger else NO_CLAIM
        if claim.known:
            for item in waiting:
                if before := claim.known.get(item.ledger_key):
                    self._note_changed_identifiers(item, before)
            waiting = still_newest(waiting, {key: known.read_at for key, known in claim.known.items()}, settled)
        while True:
            outcomes: list[tuple[Source, Outcome, str]] = []
            try:
                in_doubt = self._send_profiles(
                    self._choose_profiles(waiting, claim.known, outcomes), claim, outcomes, skip_hook=skip_hook
                )
                break
            except SupersededError as error:
                waiting = still_newest(waiting, error.read_times, settled)
        if ledger:
            ledger.profiles.release(claim, in_doubt)
        self.settle(settled + outcomes)

    def _choose_profiles(
        self,
        items: Sequence[ProfileItem],
        known: Mapping[bytes, KnownProfile],
        settled: list[tuple[Source, Outcome, str]],
    ) -> list[tuple[ProfileItem, bytes]]:
        """The items to send, with their bytes (none where only attributes are to be cleared)."""
        chosen = []
        for item in items:
            before = known.get(item.ledger_key)
            if before is not None and self.shared.settings.skip_unchanged and before.content == item.content:
                settled.append((item.source, "unchanged", ""))
                continue
            user = item.user(optins_to_send(item, before))
            if user is None and not item.delete:
                settled.append((item.source, "unchanged", "optin_already_delivered"))
            else:
                chosen.append((item, user or b""))
        return chosen

    def _send_profiles(
        self,
        chosen: Sequence[tuple[ProfileItem, bytes]],
        claim: Claim,
        settled: list[tuple[Source, Outcome, str]],
        *,
        skip_hook: bool,
    ) -> list[bytes]:
        """Upsert users, then clear attributes, and note all outcomes in *settled*.

        Returns the ledger keys of those of which only a part was accepted.

        Raises:
            SupersededError: Between two attempts another flow claimed a newer version of one of them.
        """
        upserts = [(item, user) for item, user in chosen if user]
        refused: dict[int, Sequence[Refusal]] = {}

        def look_again() -> None:
            reads = {item.ledger_key: item.read_at for item, _ in upserts}
            read_times = self.shared.ledger.profiles.read_times(list(reads)) if self.shared.ledger else {}
            if any(at > reads[key] for key, at in read_times.items()):
                raise SupersededError(read_times)

        verdicts = self.upsert(
            [user for _, user in upserts],
            partial(self._profiles_answered, [item for item, _ in upserts], claim, lambda item: not item.delete),
            skip_hook=skip_hook,
            before_retry=look_again,
        )
        refused |= {id(item): verdict for (item, _), verdict in zip(upserts, verdicts, strict=True) if verdict}
        deletions = [(item, user) for item, _ in chosen if id(item) not in refused and (user := item.deletion())]
        verdicts = self._deletions.send(
            [user for _, user in deletions],
            attributes_body,
            self.shared.client.delete_attributes,
            partial(self._profiles_answered, [item for item, _ in deletions], claim, lambda _: True),
            self.shared.evidence["attribute/delete"],
        )
        refused |= {id(item): verdict for (item, _), verdict in zip(deletions, verdicts, strict=True) if verdict}
        in_doubt = [item.ledger_key for item, _ in deletions if id(item) in refused]
        for item, _ in chosen:
            if verdict := refused.get(id(item)):
                self.reject(item.source, verdict[0])
                settled.append((item.source, "rejected", verdict[0].code))
            else:
                settled.append((item.source, "delivered", ""))
        return in_doubt

    def _profiles_answered(
        self,
        items: Sequence[ProfileItem],
        claim: Claim,
        is_done: Callable[[ProfileItem], bool],
        start: int,
        verdicts: Sequence[Verdict],
        _doubtful: bool,
    ) -> None:
        """Tell the ledger at once which versions were accepted, of those that need no further request."""
        part = zip(items[start : start + len(verdicts)], verdicts, strict=True)
        delivered = [item for item, verdict in part if verdict is None and is_done(item)]
        if self.shared.ledger:
            self.shared.ledger.profiles.remember(
                claim, {item.ledger_key: as_delivered(item, claim) for item in delivered}
            )

    def _note_changed_identifiers(self, item: ProfileItem, before: KnownProfile) -> None:
        """Say that an upsert makes a second user where an identifier of a known profile changed (CO-08)."""
        for name in changed_identifiers(item, before):
            self.tally.notes[item.source.stream, "identifier_changed", name] += 1
            log.warning(
                "stream %s, profile %s: identifier_changed: its %s is another one than last time; Insider One may now "
                "hold two users for it unless a stable identifier is mapped too",
                shown(item.source.stream),
                shown_key(item),
                name,
            )


def shown_key(item: ProfileItem) -> str:
    """The profile's key for a log line; where the key is an address itself, the start of its digest in the ledger."""
    key = item.source.key
    plain = "@" not in key and key.lstrip("+").encode() not in item.identifiers
    return key if plain else f"with ledger key {item.ledger_key.hex()[:12]}"


def newest_reads(items: Sequence[ProfileItem]) -> dict[bytes, int]:
    """Profile -> position of the version to send: the one read last, of equal ones the one that came last."""
    newest: dict[bytes, int] = {}
    for place, item in enumerate(items):
        before = newest.get(item.ledger_key)
        if before is None or item.read_at >= items[before].read_at:
            newest[item.ledger_key] = place
    return newest


def still_newest(
    items: Sequence[ProfileItem], read_times: Mapping[bytes, str], settled: list[tuple[Source, Outcome, str]]
) -> list[ProfileItem]:
    """Those of *items* that no flow has a newer version of; the others are duplicates."""
    newest = [item for item in items if read_times.get(item.ledger_key, "") <= item.read_at]
    if len(newest) < len(items):
        older = (item for item in items if read_times.get(item.ledger_key, "") > item.read_at)
        settled += [(item.source, "duplicate", "older_read") for item in older]
    return newest


def optins_to_send(item: ProfileItem, before: KnownProfile | None) -> dict[str, Any]:
    """The opt-ins that go along: every ``false``, and a ``true`` only if its consent is not the one delivered last.

    So an opt-out made inside Insider One is not overwritten by an unrelated change of the profile (CO-05).
    """
    if before is None:
        return {name: value for name, (value, _) in item.optins.items()}
    last = before.optins
    return {
        name: value
        for name, (value, consent) in item.optins.items()
        if value is not True or last.get(name) != optin_token(value, consent)
    }


def optin_token(value: bool, consent: str) -> str:
    """What the ledger keeps of an opt-in: a suppression changes the value, though not the consent behind it."""
    return f"{'true' if value else 'false'} {consent}"


def as_read(item: ProfileItem) -> ReadProfile:
    """What the ledger is to know of a profile that is about to be delivered."""
    return ReadProfile(item.read_at, {name: optin_token(*optin) for name, optin in item.optins.items()})


def as_delivered(item: ProfileItem, claim: Claim) -> KnownProfile:
    """What the ledger is to know of a profile that was delivered."""
    before = claim.known.get(item.ledger_key)
    optins = (claim.sent.get(item.ledger_key) or as_read(item)).optins
    email, phone_number = item.email, item.phone_number
    if before is not None:
        optins = {**before.optins, **optins}
        email, phone_number = email or before.email, phone_number or before.phone_number
    return KnownProfile(item.read_at, item.content, email, phone_number, optins)


def changed_identifiers(item: ProfileItem, before: KnownProfile) -> list[str]:
    """Which of e-mail and phone number differ from those last delivered; one that is new or gone does not count."""
    pairs = (("email", item.email, before.email), ("phone_number", item.phone_number, before.phone_number))
    return [name for name, now, last in pairs if now is not None and last is not None and now != last]
