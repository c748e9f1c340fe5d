"""Delivers events, each once: the intent is stored in the ledger before the request, the outcome after it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from singer_delivery.sending.answers import refused_events
from singer_delivery.sending.delivery import Delivery
from singer_delivery.sending.items import OWN_BYTES, RejectedEvent, parts_of
from singer_delivery.sending.sender import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.destination import OnceKind, Refusal
    from singer_delivery.memory.once_ledger import KnownEvent
    from singer_delivery.sending.answers import Verdict
    from singer_delivery.sending.items import EventItem, EventLine


class Bundle(msgspec.Struct, gc=False):
    """Events of one item that are sent as one user; *is_rest*: others of them were refused before."""

    item: EventItem
    identifiers: bytes
    events: list[EventLine]
    is_rest: bool = False


class SendOnce(Delivery):
    """Delivers events."""

    def deliver(self, kind: OnceKind, variant: str, items: Sequence[EventItem]) -> Iterator[Exception]:
        """Send the events of a batch and settle its records."""
        ledger = self.shared.ledger
        keys = [event.key for item in items for event in item.events if event.key is not None]
        known = ledger.events.known(keys) if ledger else {}
        is_all_new = not known and len(set(keys)) == len(keys)  # as nearly always
        packed = all_events_of(items) if is_all_new else self._pack(kind, items, known)
        bundles = [part for bundle in packed for part in self._parts(kind, variant, bundle)]
        # Parts of a large record are stored and sent one by one, so that memory does not hold it several times.
        rounds = [bundles] if len(bundles) == len(packed) else [[bundle] for bundle in bundles]
        refusals: dict[int, Refusal] = {}
        for some in rounds:
            if ledger:
                ledger.events.intend(
                    (event.key, event.content, event.intent(bundle.identifiers))
                    for bundle in some
                    for event in bundle.events
                    if event.key is not None and event.key not in known
                )
            refusals |= yield from self._send_events(kind, variant, some)
        self._settle_events(items, bundles, refusals)

    def _pack(self, kind: OnceKind, items: Sequence[EventItem], known: Mapping[bytes, KnownEvent]) -> list[Bundle]:
        """The events to send, with their bytes.

        An event that a run may have delivered before it died is sent again byte-identical (``uncertain``), including
        its identifiers: the person's may have changed since, and the event must not be stored for two users. Delivered
        events, and repetitions within the batch, are not sent.
        """
        seen: set[bytes] = set()
        bundles = []
        for item in items:
            by_user: dict[bytes, list[EventLine]] = {}
            for event in self._to_send(kind, item, known, seen):
                by_user.setdefault(event.identifiers or item.identifiers, []).append(event)
            bundles += [Bundle(item, identifiers, events) for identifiers, events in by_user.items()]
        return bundles

    def _to_send(
        self, kind: OnceKind, item: EventItem, known: Mapping[bytes, KnownEvent], seen: set[bytes]
    ) -> Iterator[EventLine]:
        """The events of one item that are to be sent; their keys are added to *seen*."""
        stream = item.source.stream
        moved = self._moved_lines(kind, item, known) if known else ()
        for event in item.events:
            if event.key is None:
                yield event
            elif event.key in seen:
                self.tally.event(stream, "duplicate", "repeated")
            elif event.key in moved:
                self.tally.event(stream, "duplicate", "moved_line")
            else:
                seen.add(event.key)
                if event.key not in known or self._goes_again(stream, event, known[event.key]):
                    yield event

    def _moved_lines(self, kind: OnceKind, item: EventItem, known: Mapping[bytes, KnownEvent]) -> set[bytes]:
        """Keys of order lines with a new number that were delivered under a number which now has another line."""
        lines = [(event.key, event) for event in item.events if event.key is not None and event.line is not None]
        changed = [
            (event.event_type, event.line, known[key].content)
            for key, event in lines
            if key in known and known[key].content != event.content
        ]
        fresh = [(key, event) for key, event in lines if key not in known] if changed else []
        return {
            key
            for key, event in fresh
            for event_type, line, content in changed
            if event_type == event.event_type
            and self.shared.content_of(kind.renumbered(event.body, event.line, line)) == content
        }

    def _goes_again(self, stream: str, event: EventLine, before: KnownEvent) -> bool:
        """Give a known event the bytes sent before if their outcome is unknown; otherwise it is a duplicate."""
        if before.intent is not None:
            event.go_again(before.intent)
            self._note_uncertain(stream, event)
            return True
        self.tally.event(stream, "duplicate", "already_delivered")
        if before.content != event.content:
            self.tally.notes[stream, "changed_after_delivery", event.event_type] += 1
        return False

    def _send_events(
        self, kind: OnceKind, variant: str, bundles: Sequence[Bundle]
    ) -> Generator[Exception, None, dict[int, Refusal]]:
        """Send the events; refused events are removed, and the other events of their user are sent again.

        If these are refused, too, what is left is sent in halves: an answer may name one event at a time.

        Returns id(event) -> why it was refused.
        """
        refusals: dict[int, Refusal] = {}
        waiting = bundles
        while waiting:
            again: list[Bundle] = []
            rows = [kind.row(bundle.identifiers, [event.body for event in bundle.events]) for bundle in waiting]
            keys = [keys_of(bundle.events) for bundle in waiting]
            answered = partial(self._events_answered, waiting, refusals, again)
            yield from self.send(kind, variant, rows, keys, answered)
            waiting = again
        return refusals

    def _parts(self, kind: OnceKind, variant: str, bundle: Bundle) -> list[Bundle]:
        """Split an order that is too large for one request, in the order of its lines."""
        max_bytes = kind.limits(variant).size - OWN_BYTES
        if bundle.item.size <= max_bytes:
            return [bundle]
        parts = parts_of(bundle.events, max_bytes - len(bundle.identifiers))
        return [Bundle(bundle.item, bundle.identifiers, events) for events in parts]

    def _events_answered(
        self,
        waiting: Sequence[Bundle],
        refusals: dict[int, Refusal],
        again: list[Bundle],
        start: int,
        verdicts: Sequence[Verdict],
        doubtful: bool,
    ) -> None:
        """Process one answer, and update the ledger at once, so that a crash does not repeat accepted events.

        Refusals are added to *refusals*, the remaining events of their users to *again*.
        """
        delivered: list[EventLine] = []
        refused: list[EventLine] = []
        for bundle, verdict in zip(waiting[start : start + len(verdicts)], verdicts, strict=True):
            if doubtful:
                for event in bundle.events:
                    self._note_uncertain(bundle.item.source.stream, event)
            if verdict is None:
                delivered += bundle.events
                continue
            found = refused_events(verdict, len(bundle.events))
            refusals |= {id(bundle.events[place]): refusal for place, refusal in found.items()}
            refused += [bundle.events[place] for place, refusal in found.items() if refusal.code != UNANSWERED]
            left = [event for place, event in enumerate(bundle.events) if place not in found]
            middle = len(left) // 2 if bundle.is_rest else 0
            parts = [part for part in (left[:middle], left[middle:]) if part]
            again += [Bundle(bundle.item, bundle.identifiers, part, is_rest=True) for part in parts]
        if self.shared.ledger:
            self.shared.ledger.events.settle(keys_of(delivered), keys_of(refused))

    def _note_uncertain(self, stream: str, event: EventLine) -> None:
        """Count, once, an event that is sent again although an earlier request may have been applied."""
        if not event.uncertain:
            event.uncertain = True
            self.tally.notes[stream, "uncertain", event.event_type] += 1

    def _settle_events(
        self, items: Sequence[EventItem], bundles: Sequence[Bundle], refusals: Mapping[int, Refusal]
    ) -> None:
        delivered: Counter[str] = Counter()
        sent: set[int] = set()
        codes: dict[int, str] = {}
        rejected: dict[int, list[RejectedEvent]] = {}
        for bundle in bundles:
            source = bundle.item.source
            sent.add(id(bundle.item))
            delivered[source.stream] += len(bundle.events)
            for event in bundle.events if refusals else ():
                if refusal := refusals.get(id(event)):
                    codes.setdefault(id(bundle.item), refusal.code)
                    delivered[source.stream] -= 1
                    rejected.setdefault(id(bundle.item), []).append(
                        RejectedEvent(
                            event.event_type,
                            event.line,
                            refusal.code,
                            refusal.field,
                            self.shared.remedies.get(refusal.code, ""),
                            refusal.text or None,
                        )
                    )
        for item in items:
            if found := [*item.rejected, *rejected.get(id(item), ())]:
                self.reject_events(item.source, found)
        for stream, count in (+delivered).items():
            self.shared.progress.note(stream, "delivered", "")
            self.tally.event(stream, "delivered", count=count)
        self.settle(
            [
                (item.source, *outcome_of_record(item, codes.get(id(item), ""), any_sent=id(item) in sent))
                for item in items
            ]
        )


def all_events_of(items: Sequence[EventItem]) -> list[Bundle]:
    """All events of some items, as they are."""
    return [Bundle(item, item.identifiers, item.events) for item in items if item.events]


def keys_of(events: Sequence[EventLine]) -> list[bytes]:
    """The ledger keys of the events that have one."""
    return [event.key for event in events if event.key is not None]


def outcome_of_record(item: EventItem, refusal_code: str, *, any_sent: bool) -> tuple[Outcome, str]:
    """One outcome for a record of several events: rejected, else delivered, else duplicate."""
    if refusal_code:
        return "rejected", refusal_code
    if item.rejected:
        return "rejected", "partly_rejected"
    return ("delivered", "") if any_sent else ("duplicate", "already_delivered")
