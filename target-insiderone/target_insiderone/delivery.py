"""What becomes of a batch: ask the ledger, send, read the verdicts, tell the ledger, settle each record."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from target_insiderone.exact_json import decode, encode
from target_insiderone.items import EventItem, ProfileItem, attributes_body, upsert_body
from target_insiderone.ledger import KnownProfile
from target_insiderone.rejects import Reject
from target_insiderone.remedies import REMEDIES
from target_insiderone.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_insiderone.accounting import Outcome, Tally
    from target_insiderone.checkpoints import Checkpoints, Segment
    from target_insiderone.client import InsiderOneClient, Refusal
    from target_insiderone.client import Outcome as Answer
    from target_insiderone.dry_run import DryRunClient
    from target_insiderone.items import EventLine, Source
    from target_insiderone.lanes import Batch
    from target_insiderone.ledger import KnownEvent, Ledger
    from target_insiderone.rejects import RejectsFile
    from target_insiderone.sending import Answered, Verdict

log = logging.getLogger("target-insiderone")


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What delivery needs of the settings."""

    skip_hook: bool
    skip_unchanged: bool
    error_callback_endpoint: str | None


@dataclass(slots=True)
class SharedParts:
    """What all lanes share; each of them is safe to use from several threads. *ledger* is None when switched off."""

    client: InsiderOneClient | DryRunClient
    ledger: Ledger | None
    rejects: RejectsFile
    checkpoints: Checkpoints
    settings: DeliverySettings


@dataclass(slots=True)
class Line:
    """One event on its way with the bytes that go; *uncertain*: an earlier request with it may have been applied."""

    event: EventLine
    body: bytes
    uncertain: bool = False


@dataclass(slots=True)
class Parcel:
    """The events of one item that are to be sent."""

    item: EventItem
    lines: list[Line] = field(default_factory=list)


class SupersededError(Exception):
    """A newer version of a profile was claimed while an older one waited for its next attempt."""


class Delivery:
    """Delivers the batches of one lane; counts into *tally*, which is this lane's own."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        self._shared = shared
        self._tally = tally
        self._upserts = Sender(tally.requests, "upsert")
        self._deletions = Sender(tally.requests, "attribute/delete")

    def deliver(self, batch: Batch) -> None:
        """Send one batch and settle every item of it.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: Its items then stay pending.
        """
        profiles = [item for item in batch.items if isinstance(item, ProfileItem)]
        events = [item for item in batch.items if isinstance(item, EventItem)]
        if profiles:
            self._deliver_profiles(profiles)
        if events:
            self._deliver_events(events, skip_hook=self._shared.settings.skip_hook or batch.group == "old events")

    # Profiles

    def _deliver_profiles(self, items: Sequence[ProfileItem]) -> None:
        """Send the newest versions; look again if a newer one turns up between two attempts."""
        ledger = self._shared.ledger
        known = ledger.profiles([item.ledger_key for item in items]) if ledger else {}
        settled: list[tuple[Source, Outcome, str]] = []
        newest = newest_reads(items)
        waiting = [item for place, item in enumerate(items) if newest[item.ledger_key] == place]
        settled += [
            (item.source, "duplicate", "superseded")
            for place, item in enumerate(items)
            if newest[item.ledger_key] != place
        ]
        for item in waiting:
            self._note_changed_identifiers(item, known.get(item.ledger_key))
        sent = False
        while not sent:
            waiting = self._claim(waiting, settled)
            outcomes: list[tuple[Source, Outcome, str]] = []
            chosen = self._choose_profiles(waiting, known, outcomes)
            try:
                self._send_profiles(chosen, known, outcomes)
            except SupersededError:
                continue
            sent = True
        self._settle(settled + outcomes)

    def _claim(self, items: Sequence[ProfileItem], settled: list[tuple[Source, Outcome, str]]) -> list[ProfileItem]:
        """Those of *items* that no flow has a newer version of; the others are duplicates."""
        if self._shared.ledger is None:
            return list(items)
        standing = self._shared.ledger.claim_profiles({item.ledger_key: item.read_at for item in items})
        settled += [
            (item.source, "duplicate", "older_read") for item in items if standing[item.ledger_key] > item.read_at
        ]
        return [item for item in items if standing[item.ledger_key] <= item.read_at]

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
            if before is not None and self._shared.settings.skip_unchanged and before.content == item.content:
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
        known: Mapping[bytes, KnownProfile],
        settled: list[tuple[Source, Outcome, str]],
    ) -> None:
        """Upsert users, then clear attributes, and note all outcomes in *settled*.

        Raises:
            SupersededError: Between two attempts another flow claimed a newer version of one of them.
        """
        upserts = [(item, user) for item, user in chosen if user]
        refused: dict[int, Sequence[Refusal]] = {}

        def still_newest() -> None:
            ledger = self._shared.ledger
            reads = {item.ledger_key: item.read_at for item, _ in upserts}
            if ledger and any(at > reads[key] for key, at in ledger.read_times(list(reads)).items()):
                raise SupersededError

        verdicts = self._upsert(
            [user for _, user in upserts],
            partial(self._profiles_answered, [item for item, _ in upserts], known, lambda item: not item.delete),
            skip_hook=self._shared.settings.skip_hook,
            before_retry=still_newest,
        )
        refused |= {id(item): verdict for (item, _), verdict in zip(upserts, verdicts, strict=True) if verdict}
        deletions = [(item, user) for item, _ in chosen if id(item) not in refused and (user := item.deletion())]
        verdicts = self._deletions.send(
            [user for _, user in deletions],
            attributes_body,
            self._shared.client.delete_attributes,
            partial(self._profiles_answered, [item for item, _ in deletions], known, lambda _: True),
        )
        refused |= {id(item): verdict for (item, _), verdict in zip(deletions, verdicts, strict=True) if verdict}
        for item, _ in chosen:
            if verdict := refused.get(id(item)):
                self._reject(item.source, verdict[0])
                settled.append((item.source, "rejected", verdict[0].code))
            else:
                settled.append((item.source, "delivered", ""))

    def _profiles_answered(
        self,
        items: Sequence[ProfileItem],
        known: Mapping[bytes, KnownProfile],
        is_done: Callable[[ProfileItem], bool],
        start: int,
        verdicts: Sequence[Verdict],
        _doubtful: bool,
    ) -> None:
        """Tell the ledger at once which versions were accepted, of those that need no further request."""
        part = zip(items[start : start + len(verdicts)], verdicts, strict=True)
        delivered = [item for item, verdict in part if verdict is None and is_done(item)]
        if self._shared.ledger:
            self._shared.ledger.remember_profiles(
                (item.ledger_key, as_delivered(item, known.get(item.ledger_key))) for item in delivered
            )

    def _note_changed_identifiers(self, item: ProfileItem, before: KnownProfile | None) -> None:
        """Say that an upsert makes a second user where an identifier of a known profile changed (CO-08)."""
        for name in () if before is None else changed_identifiers(item, before):
            self._tally.notes[item.source.stream, "identifier_changed", name] += 1
            log.warning(
                "stream %s, profile %s: identifier_changed: its %s is another one than last time; Insider One may now "
                "hold two users for it unless a stable identifier is mapped too",
                item.source.stream,
                shown_key(item),
                name,
            )

    # Events

    def _deliver_events(self, items: Sequence[EventItem], *, skip_hook: bool) -> None:
        ledger = self._shared.ledger
        keys = [event.key for item in items for event in item.events if event.key is not None]
        known = ledger.events(keys) if ledger else {}
        parcels = self._pack(items, known)
        if ledger:
            ledger.intend_events(
                (line.event.key, line.event.content, line.body)
                for parcel in parcels
                for line in parcel.lines
                if line.event.key is not None and line.event.key not in known
            )
        outcomes = self._send_events(parcels, skip_hook=skip_hook)
        self._settle_events(parcels, outcomes)

    def _pack(self, items: Sequence[EventItem], known: Mapping[bytes, KnownEvent]) -> list[Parcel]:
        """For each item the events to send, with their bytes.

        An event that may have been delivered by a run that died goes again byte-identical (``uncertain``); one that
        was delivered does not go again, nor does a repetition within the batch.
        """
        seen: set[bytes] = set()
        parcels = []
        for item in items:
            stream = item.source.stream
            parcel = Parcel(item)
            for event in item.events:
                before = None if event.key is None else known.get(event.key)
                if event.key is not None and event.key in seen:
                    self._tally.event(stream, "duplicate", "repeated")
                elif before is None:
                    parcel.lines.append(Line(event, event.body))
                elif before.intent is not None:
                    parcel.lines.append(Line(event, before.intent))
                    self._note_uncertain(stream, parcel.lines[-1])
                else:
                    self._tally.event(stream, "duplicate", "already_delivered")
                    if before.content != event.content:
                        self._tally.notes[stream, "changed_after_delivery", event.event_type] += 1
                if event.key is not None:
                    seen.add(event.key)
            parcels.append(parcel)
        return parcels

    def _send_events(self, parcels: Sequence[Parcel], *, skip_hook: bool) -> dict[int, Refusal | None]:
        """Send the events; a refused event is taken out and the other events of its user go again.

        Returns id(line) -> why its event was refused, None where it was accepted.
        """
        outcomes: dict[int, Refusal | None] = {}
        waiting = [(parcel, parcel.lines) for parcel in parcels if parcel.lines]
        while waiting:
            users = [parcel.item.user([line.body for line in lines]) for parcel, lines in waiting]
            self._upsert(users, partial(self._events_answered, waiting, outcomes), skip_hook=skip_hook)
            left = [(parcel, [line for line in lines if id(line) not in outcomes]) for parcel, lines in waiting]
            waiting = [(parcel, lines) for parcel, lines in left if lines]
        return outcomes

    def _events_answered(
        self,
        waiting: Sequence[tuple[Parcel, Sequence[Line]]],
        outcomes: dict[int, Refusal | None],
        start: int,
        verdicts: Sequence[Verdict],
        doubtful: bool,
    ) -> None:
        """Take one answer, and tell the ledger at once: a run that dies now must not repeat what was accepted."""
        delivered: list[bytes] = []
        refused: list[bytes] = []
        for (parcel, lines), verdict in zip(waiting[start : start + len(verdicts)], verdicts, strict=True):
            refusals = refused_events(verdict, len(lines))
            for place, line in enumerate(lines):
                if doubtful:
                    self._note_uncertain(parcel.item.source.stream, line)
                if verdict is not None and place not in refusals:
                    continue  # goes again without the refused ones
                outcomes[id(line)] = refusals.get(place)
                if line.event.key is not None:
                    (refused if place in refusals else delivered).append(line.event.key)
        if self._shared.ledger:
            self._shared.ledger.settle_events(delivered, refused)

    def _note_uncertain(self, stream: str, line: Line) -> None:
        """Count, once, an event that goes again although an earlier request may have been applied."""
        if not line.uncertain:
            line.uncertain = True
            self._tally.notes[stream, "uncertain", line.event.event_type] += 1

    def _settle_events(self, parcels: Sequence[Parcel], outcomes: Mapping[int, Refusal | None]) -> None:
        settled: list[tuple[Source, Outcome, str]] = []
        for parcel in parcels:
            source, code = parcel.item.source, ""
            for line in parcel.lines:
                refusal = outcomes[id(line)]
                if refusal is None:
                    self._tally.event(source.stream, "delivered")
                else:
                    code = code or refusal.code
                    self._tally.event(source.stream, "rejected", refusal.code)
                    self._reject(source, refusal, line.event)
            settled.append((source, *outcome_of_record(parcel.item, code, any_sent=bool(parcel.lines))))
        self._settle(settled)

    # Both

    def _upsert(
        self,
        users: Sequence[bytes],
        answered: Answered,
        *,
        skip_hook: bool,
        before_retry: Callable[[], None] = lambda: None,
    ) -> list[Verdict]:
        def body_of(some: Sequence[bytes]) -> bytes:
            callback = self._shared.settings.error_callback_endpoint
            return upsert_body(some, skip_hook=skip_hook, error_callback=callback)

        def post(body: bytes, count: int) -> tuple[Answer, int]:
            return self._shared.client.upsert(body, count, before_retry)

        return self._upserts.send(users, body_of, post, answered)

    def _reject(self, source: Source, refusal: Refusal, event: EventLine | None = None) -> None:
        self._shared.rejects.add(
            Reject(
                stream=source.stream,
                key=source.key,
                key_properties=source.key_properties,
                code=refusal.code,
                field=refusal.field,
                remedy=REMEDIES[refusal.code],
                record=decode(source.arrival.line)["record"],
                time_extracted=source.arrival.time_extracted,
                attempt=source.arrival.attempt,
                event_type=event.event_type if event else None,
                line=event.line if event else None,
                answer=refusal.text or None,
            )
        )

    def _settle(self, settled: Sequence[tuple[Source, Outcome, str]]) -> None:
        """Count the outcomes, then let the STATEs pass that waited for them (rejects are on the disk before)."""
        for source, outcome, reason in settled:
            self._tally.record(source.stream, outcome, reason)
            self._tally.settled[source.stream] += 1
            if source.arrival.settled is not None:
                source.arrival.settled(outcome, reason)
        segments: list[Segment] = [source.segment for source, _, _ in settled]
        self._shared.checkpoints.settle(segments)


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


def optins_to_send(item: ProfileItem, before: KnownProfile | None) -> dict[str, Any]:
    """The opt-ins that go along: every ``false``, and a ``true`` only if its consent is not the one delivered last.

    So an opt-out made inside Insider One is not overwritten by an unrelated change of the profile (CO-05).
    """
    last: Mapping[str, str] = before.optins if before else {}
    return {
        name: value
        for name, (value, consent) in item.optins.items()
        if value is not True or last.get(name) != optin_token(value, consent)
    }


def optin_token(value: Any, consent: str) -> str:
    """What the ledger keeps of an opt-in: a suppression changes the value, though not the consent behind it."""
    return f"{encode(value).decode()} {consent}"


def as_delivered(item: ProfileItem, before: KnownProfile | None) -> KnownProfile:
    """What the ledger is to know of a profile that was delivered."""
    last: Mapping[str, str] = before.optins if before else {}
    return KnownProfile(
        read_at=item.read_at,
        content=item.content,
        email=item.email or (before.email if before else None),
        phone_number=item.phone_number or (before.phone_number if before else None),
        optins={**last, **{name: optin_token(*optin) for name, optin in item.optins.items()}},
    )


def changed_identifiers(item: ProfileItem, before: KnownProfile) -> list[str]:
    """Which of e-mail and phone number differ from those last delivered; one that is new or gone does not count."""
    pairs = (("email", item.email, before.email), ("phone_number", item.phone_number, before.phone_number))
    return [name for name, now, last in pairs if now is not None and last is not None and now != last]


def refused_events(verdict: Verdict, count: int) -> dict[int, Refusal]:
    """Position of the event -> why it was refused; an objection that names no event concerns all of the user's."""
    refused: dict[int, Refusal] = {}
    for refusal in verdict or ():
        places: Sequence[int] = range(count) if refusal.event is None else (refusal.event,)
        for place in places:
            if place < count:
                refused.setdefault(place, refusal)
    if verdict and not refused:
        refused = dict.fromkeys(range(count), verdict[0])
    return refused


def outcome_of_record(item: EventItem, refusal_code: str, *, any_sent: bool) -> tuple[Outcome, str]:
    """One outcome for a record of several events: rejected before delivered before duplicate."""
    if refusal_code:
        return "rejected", refusal_code
    if item.partly_rejected:
        return "rejected", "partly_rejected"
    return ("delivered", "") if any_sent else ("duplicate", "already_delivered")
