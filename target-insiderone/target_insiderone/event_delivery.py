"""Events: each is sent once, with the ledger as witness before and after the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from target_insiderone.dispatch import Dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from target_insiderone.accounting import Outcome
    from target_insiderone.answers import Refusal
    from target_insiderone.items import EventItem, EventLine, Source
    from target_insiderone.ledger import KnownEvent
    from target_insiderone.sending import Verdict


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


class EventDelivery(Dispatch):
    """Delivers events."""

    def deliver(self, items: Sequence[EventItem], *, skip_hook: bool) -> None:
        """Send the events of a batch and settle its records."""
        ledger = self.shared.ledger
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
                    self.tally.event(stream, "duplicate", "repeated")
                elif before is None:
                    parcel.lines.append(Line(event, event.body))
                elif before.intent is not None:
                    parcel.lines.append(Line(event, before.intent))
                    self._note_uncertain(stream, parcel.lines[-1])
                else:
                    self.tally.event(stream, "duplicate", "already_delivered")
                    if before.content != event.content:
                        self.tally.notes[stream, "changed_after_delivery", event.event_type] += 1
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
            self.upsert(users, partial(self._events_answered, waiting, outcomes), skip_hook=skip_hook)
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
        if self.shared.ledger:
            self.shared.ledger.settle_events(delivered, refused)

    def _note_uncertain(self, stream: str, line: Line) -> None:
        """Count, once, an event that goes again although an earlier request may have been applied."""
        if not line.uncertain:
            line.uncertain = True
            self.tally.notes[stream, "uncertain", line.event.event_type] += 1

    def _settle_events(self, parcels: Sequence[Parcel], outcomes: Mapping[int, Refusal | None]) -> None:
        settled: list[tuple[Source, Outcome, str]] = []
        for parcel in parcels:
            source, code = parcel.item.source, ""
            for line in parcel.lines:
                refusal = outcomes[id(line)]
                if refusal is None:
                    self.tally.event(source.stream, "delivered")
                else:
                    code = code or refusal.code
                    self.tally.event(source.stream, "rejected", refusal.code)
                    self.reject(source, refusal, line.event)
            settled.append((source, *outcome_of_record(parcel.item, code, any_sent=bool(parcel.lines))))
        self.settle(settled)


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
