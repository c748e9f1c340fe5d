"""Sinks: validate, map, encode and stage each record; records that cannot be sent are accounted for here."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks import Sink

from singer_delivery.accounts.rejects import RejectsLostError, reject_of, reject_of_events
from singer_delivery.accounts.remedies import REMEDIES
from singer_delivery.accounts.unidentified import raw_record
from singer_delivery.destination import Group, NewestKind, OnceKind
from singer_delivery.disclosure import shown
from singer_delivery.errors import Filtered, Rejected, frames
from singer_delivery.memory.read_times import UNDATED, read_time
from singer_delivery.sending.items import EventItem, EventLine, RejectedEvent, Source, VersionItem
from singer_delivery.validation import InvalidDateTimeError, RecordValidator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from singer_delivery.accounts.accounting import Outcome, Tally
    from singer_delivery.accounts.checkpoints import Checkpoints
    from singer_delivery.accounts.progress import Progress
    from singer_delivery.accounts.rejects import RejectsFile
    from singer_delivery.accounts.unidentified import Unidentified
    from singer_delivery.destination import Kind, StagedEvents, StagedVersion, Watch
    from singer_delivery.memory.consent_memory import ConsentMemory
    from singer_delivery.sending.items import Arrival, Item
    from singer_delivery.sending.lanes import Lanes

Record = dict[str, Any]

NO_IDENTIFIER: Final = ("no_identifier", "", REMEDIES["no_identifier"])


@dataclass(slots=True)
class Staging:
    """Objects shared by all sinks; used by the reading thread only. *digest* makes the ledger's keys."""

    kinds: Mapping[str, Kind]
    remedies: Mapping[str, str]
    note_hints: Mapping[str, str]
    tally: Tally
    rejects: RejectsFile
    checkpoints: Checkpoints
    lanes: Lanes
    digest: Callable[..., bytes]
    warn_once: Callable[[str, str], None]
    inform_once: Callable[[str, str], None]
    consent_memory: ConsentMemory
    watch: Watch
    progress: Progress
    unidentified: Unidentified | None


class DeliverySink(Sink):
    """Processes the records of one stream; the lanes send, so nothing is drained here."""

    def bind(self, staging: Staging, kind: str) -> None:
        """Connect the sink with the run, and compare the mapping with the stream's SCHEMA."""
        self._staging = staging
        self.kind_name = kind
        self._kind = staging.kinds[self.kind_name]
        self._newest = self._kind if isinstance(self._kind, NewestKind) else None
        self._once = self._kind if isinstance(self._kind, OnceKind) else None
        self._groups: dict[str, Group] = {}
        self._look = staging.watch.open(self.stream_name, self.kind_name, self.schema)
        for slip in staging.watch.slips(self.kind_name, self.schema):
            staging.warn_once(self.stream_name, slip)

    def get_validator(self) -> BaseJSONSchemaValidator:
        """Validate with the compiled schema, always.

        Raises:
            InvalidJSONSchema: The SCHEMA, after the stream maps, is invalid.
        """
        try:
            return RecordValidator(self.schema)
        except InvalidJSONSchema as error:
            raise InvalidJSONSchema(f"stream {shown(self.stream_name)}: {error}") from None

    def process_batch(self, context: dict[str, Any]) -> None:
        """Do nothing: the lanes send."""

    def process_record(self, record: Record, context: dict[str, Any]) -> None:
        """Account for one record; *context* carries its :class:`Arrival` as ``arrival``."""
        self.take(record, context["arrival"])

    def take(self, record: Record, arrival: Arrival) -> None:
        """Process one record: it is staged, or settled at once."""
        key = ""
        try:
            key = self.key_of(record)
            self.check(record)
            self._look(record)
            self.stage(record, key, arrival)
        except Filtered as left_out:
            if left_out.reason == "no_identifier":
                self.keep_unidentified(key, arrival)
            self.settle(arrival, "filtered", left_out.reason)
            if left_out.hint:
                self._staging.warn_once(self.stream_name, left_out.hint)
        except Rejected as why:
            self.reject(why, key, arrival)
            self.settle(arrival, "rejected", why.code)
        except RejectsLostError:
            raise
        except Exception as error:  # noqa: BLE001  (a bug of ours that one record triggers must not cost the others)
            self._staging.warn_once(
                self.stream_name, f"unforeseen {type(error).__name__} at {frames(error)}; please report"
            )
            self.reject(Rejected("unforeseen", ""), key, arrival)
            self.settle(arrival, "rejected", "unforeseen")

    def settle(self, arrival: Arrival, outcome: Outcome, reason: str) -> None:
        """Count a record that needs no request."""
        self._staging.tally.record(self.stream_name, outcome, reason)
        self._staging.progress.note(self.stream_name, outcome, reason)
        if arrival.settled is not None:
            arrival.settled(outcome, reason)

    def stage(self, record: Record, key: str, arrival: Arrival) -> None:
        """Map, encode and stage one valid record.

        Raises:
            Filtered: The settings leave it out.
            Rejected: It cannot be sent because of its content.
        """
        if self._newest is not None:
            self._stage_version(self._newest.stage(record, key, time.time()), key, arrival)
        elif self._once is not None:
            self._stage_events(self._once.stage(record, key, time.time()), key, arrival)

    def _group(self, variant: str) -> Group:
        return self._groups.get(variant) or self._groups.setdefault(variant, Group(self.kind_name, variant))

    def _stage_version(self, staged: StagedVersion, key: str, arrival: Arrival) -> None:
        staging = self._staging
        digest = staging.digest
        if staged.notes:
            self.note(staged.notes)
        read_at = read_time(arrival.time_extracted)
        if not isinstance(arrival.time_extracted, str):
            arrival.time_extracted = read_at  # so that its reject, once replayed, has the same read time
        if read_at == UNDATED:
            self.note([("read_time_ahead", "")])
        for fact in staged.facts:
            staging.inform_once("", fact)
        email, phone_number = staged.email, staged.phone_number
        self.hand_over(
            self._group(staged.variant),
            VersionItem(
                source=self.source(key, staged.person, arrival),
                read_at=read_at,
                optins_since=staging.consent_memory.since(self.stream_name),
                ledger_key=digest("profile", staged.person),
                content=digest("content", *staged.content),
                email=None if email is None else digest("email", email),
                phone_number=None if phone_number is None else digest("phone_number", phone_number),
                version=staged.version,
            ),
        )

    def _stage_events(self, staged: StagedEvents, key: str, arrival: Arrival) -> None:
        """Stage the events of one record; events that fail alone are rejected alone."""
        staging = self._staging
        if arrival.only is not None:
            staged = only_events(staged, arrival.only)
        if staged.notes:
            self.note(staged.notes)
        for line, event_type, left_out in staged.filtered:
            self.leave_out(left_out, event_type, line)
            staging.tally.event(self.stream_name, "filtered", left_out.reason)
        for fact in staged.facts:
            staging.inform_once("", fact)
        rejected = []
        for line, event_type, why in staged.rejected:
            self.leave_out(why, event_type, line)
            rejected.append(RejectedEvent(event_type, line, why.code, why.field, self._remedy(why)))
        if not staged.events:
            self._settle_without_request(staged, rejected, key, arrival)
            return
        digest = staging.digest
        self.hand_over(
            self._group(staged.variant),
            EventItem(
                source=self.source(key, staged.person, arrival),
                identifiers=staged.identifiers,
                events=[
                    EventLine(
                        digest("event", key, made.type, str(made.line or 0)) if key else None,
                        digest("content", made.body),
                        made.body,
                        made.type,
                        made.line,
                    )
                    for made in staged.events
                ],
                rejected=rejected,
            ),
        )

    def _settle_without_request(
        self, staged: StagedEvents, rejected: Sequence[RejectedEvent], key: str, arrival: Arrival
    ) -> None:
        """Count a record without events to send: rejected if one of its events was, else filtered."""
        if rejected:
            self._staging.rejects.add(reject_of_events(self.source(key, "", arrival), rejected))
            for event in rejected:
                self._staging.tally.event(self.stream_name, "rejected", event.code)
            self.settle(arrival, "rejected", rejected[0].code)
        else:
            self.settle(arrival, "filtered", staged.filtered[0][2].reason if staged.filtered else "unmapped_metric")

    def key_of(self, record: Record) -> str:
        """The values of the key properties, joined.

        Raises:
            Rejected: One is missing or null.
        """
        values = []
        for name in self.key_properties:
            value = record.get(name)
            if value is None:
                raise Rejected("missing_key", name)
            values.append(value if type(value) is str else str(value))
        return values[0] if len(values) == 1 else joined(values)

    def check(self, record: Record) -> None:
        """Validate the record against the stream's schema.

        Raises:
            Rejected: It is invalid.
        """
        if self._validator is None:
            return
        try:
            self._validator.validate(record)
        except InvalidDateTimeError as error:
            raise Rejected("invalid_datetime", error.error_message) from None
        except InvalidRecord as error:
            raise Rejected("invalid_record", error.error_message) from None

    def reject(self, why: Rejected, key: str, arrival: Arrival) -> None:
        """Add the record to the rejects, with the reason."""
        self._staging.rejects.add(reject_of(self.source(key, "", arrival), why.code, why.field, self._remedy(why)))

    def _remedy(self, why: Rejected) -> str:
        return why.remedy or self._staging.remedies.get(why.code, "")

    def keep_unidentified(self, key: str, arrival: Arrival) -> None:
        """Keep a record that has none of the mapped identifiers, to be replayed once the mapping is corrected."""
        if self._staging.unidentified is not None and arrival.settled is None:  # a replayed one is kept already
            reject = reject_of(self.source(key, "", arrival), *NO_IDENTIFIER)
            self._staging.unidentified.add(replace(reject, record=raw_record(arrival.line)))

    def reject_unmapped(self, record: Record, arrival: Arrival) -> None:
        """Reject a record for which a stream map's expression fails."""
        key = joined([str(record.get(name, "")) for name in self.key_properties])
        self.reject(Rejected("stream_map_failed", ""), key, arrival)
        self.settle(arrival, "rejected", "stream_map_failed")

    def note(self, notes: Sequence[tuple[str, str]]) -> None:
        """Count values left out of records that are sent; warn once if a setting can change that."""
        counts = self._staging.tally.notes
        for code, field in notes:
            note = (self.stream_name, code, field)
            counts[note] += 1
            if counts[note] == 1 and (hint := self._staging.note_hints.get(code)):
                self._staging.warn_once(self.stream_name, hint.format(field=shown(field)))

    def leave_out(self, why: Filtered | Rejected, event_type: str, number: int | None) -> None:
        """Report that one event of a record is not sent; counted elsewhere, shown by a preview."""

    def source(self, key: str, person: str, arrival: Arrival) -> Source:
        """Make the source of an item."""
        return Source(self.stream_name, key, self.key_properties, arrival, self._staging.checkpoints.current, person)

    def hand_over(self, group: Group, item: Item) -> None:
        """Hand an item to the lanes; from here on STATE waits for it."""
        item.source.segment = self._staging.checkpoints.open()
        self._staging.lanes.add(group, item)


class RemovedSink(Sink):
    """A stream that the stream maps remove: the SDK demands a sink for it, but no record reaches it."""

    def process_record(self, record: Record, context: dict[str, Any]) -> None:
        """Never called."""

    def process_batch(self, context: dict[str, Any]) -> None:
        """Never called."""


def joined(values: Sequence[str]) -> str:
    r"""Join the values of a key unambiguously.

    >>> joined(["E1", "2"]), joined(["a|b", "c"]), joined(["a|b"])
    ('E1|2', 'a\\|b|c', 'a|b')
    """
    if len(values) > 1:
        values = [value.replace("\\", "\\\\").replace("|", "\\|") for value in values]
    return "|".join(values)


def only_events(staged: StagedEvents, only: Collection[tuple[str, int | None]]) -> StagedEvents:
    """Only the events (type, line) to send again; the others were settled when these were rejected."""
    return msgspec.structs.replace(
        staged,
        events=[made for made in staged.events if (made.type, made.line) in only],
        rejected=[made for made in staged.rejected if (made[1], made[0]) in only],
        filtered=[made for made in staged.filtered if (made[1], made[0]) in only],
    )
