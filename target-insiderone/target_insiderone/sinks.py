"""From a record to an item: validate, map, encode once, stage; what cannot be sent is accounted for here."""

from __future__ import annotations

import time
import traceback
from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import jsonschema_rs
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks import Sink
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from target_insiderone.dates import read_moment
from target_insiderone.disclosure import shown
from target_insiderone.errors import Filtered, Rejected
from target_insiderone.exact_json import encode
from target_insiderone.items import Arrival, EventItem, EventLine, ProfileItem, Source
from target_insiderone.read_times import UNDATED, read_time
from target_insiderone.rejects import RejectedEvent, RejectsLostError, reject_of, reject_of_events
from target_insiderone.remedies import NOTE_HINTS, REMEDIES, SKIP_HOOK
from target_insiderone.unidentified import raw_record
from target_insiderone.values import UnusableValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from target_insiderone.accounting import Outcome, Tally
    from target_insiderone.checkpoints import Checkpoints
    from target_insiderone.consent_memory import ConsentMemory
    from target_insiderone.items import Item
    from target_insiderone.lanes import Group, Lanes
    from target_insiderone.mapping import MappedEvent, MappedProfile
    from target_insiderone.progress import Progress
    from target_insiderone.rejects import RejectsFile
    from target_insiderone.settings import StreamKind
    from target_insiderone.sightings import Sightings
    from target_insiderone.unidentified import Unidentified

Record = dict[str, Any]

CHANGED_AT = ("updated", "changed_at")
"""Fields that say when a profile, or a person's consent, last changed in Klaviyo."""

NOT_APPENDED = b',"not_append":true}'
"""How an encoded user ends whose arrays replace those that Insider One has."""


@dataclass(slots=True)
class Staging:
    """What every sink works with; used by the reading thread alone. *digest* makes the ledger's keys."""

    map_profile: Callable[[Record], MappedProfile]
    map_event: Callable[[Record, float], MappedEvent]
    tally: Tally
    rejects: RejectsFile
    checkpoints: Checkpoints
    lanes: Lanes
    digest: Callable[..., bytes]
    warn_once: Callable[[str, str], None]
    consent_memory: ConsentMemory
    sightings: Sightings
    progress: Progress
    unidentified: Unidentified | None
    inform_once: Callable[[str, str], None]
    skip_hook: bool
    old_seconds: float


class RecordValidator(BaseJSONSchemaValidator):
    """Compiled JSON Schema validation whose errors name the field and never the value.

    Beyond the schema: a declared date or date-time must be one (a blank instead of the ``T`` is accepted).
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, validate_formats=False, retriever=refuse_to_fetch)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise InvalidJSONSchema(
                f"its SCHEMA cannot be used{place_of(error)}: it is no JSON Schema, refers to another document "
                "(nothing is fetched), or is nested too deep; look at the tap"
            ) from None
        self._dates = [
            name
            for name, declared in schema.get("properties", {}).items()
            if isinstance(declared, dict) and declared.get("format") in {"date", "date-time"}
        ]

    def validate(self, record: Record) -> None:
        """Check one record.

        Raises:
            InvalidRecord: Its message is the path of the field at fault.
        """
        if not self._validator.is_valid(record):
            try:
                error = next(iter(self._validator.iter_errors(record)))
            except ValueError:  # the message of the error would quote a number too long for Python to write
                raise InvalidRecord("", record) from None
            raise InvalidRecord(".".join(map(str, error.instance_path)), record)
        for name in self._dates:
            value = record.get(name)
            if isinstance(value, str):
                try:
                    datetime.fromisoformat(value)
                except ValueError:
                    raise InvalidDateTimeError(name, record) from None


def refuse_to_fetch(_address: str) -> NoReturn:
    """Fetch nothing that a SCHEMA names, neither from the network nor from a file.

    Raises:
        ValueError: Always.
    """
    raise ValueError("a SCHEMA refers to another document")


def place_of(error: Exception) -> str:
    """Where in a SCHEMA its mistake stands, if the error says so: a path of names that are fit to be shown."""
    path = ".".join(shown(part) for part in getattr(error, "instance_path", ()))
    return f" at {path}" if path else ""


class InvalidDateTimeError(InvalidRecord):
    """A declared date-time that is none."""


class InsiderOneSink(Sink):
    """Takes the records of one stream; sending is the lanes' business, so nothing is drained here."""

    kind: ClassVar[StreamKind]

    def bind(self, staging: Staging) -> None:
        """Connect the sink with the run, and hold the mapping against the stream's SCHEMA."""
        self._staging = staging
        self._look = staging.sightings.open(self.stream_name, self.kind, self.schema)
        for slip in staging.sightings.slips(self.kind, self.schema):
            staging.warn_once(self.stream_name, slip)

    def get_validator(self) -> BaseJSONSchemaValidator:
        """Validate with the compiled schema, always.

        Raises:
            InvalidJSONSchema: The SCHEMA, after the stream maps, is none.
        """
        try:
            return RecordValidator(self.schema)
        except InvalidJSONSchema as error:
            raise InvalidJSONSchema(f"stream {shown(self.stream_name)}: {error}") from None

    def process_batch(self, context: dict[str, Any]) -> None:
        """Nothing waits here: the lanes send."""

    def process_record(self, record: Record, context: dict[str, Any]) -> None:
        """Account for one record; *context* carries its :class:`Arrival` as ``arrival``."""
        self.take(record, context["arrival"])

    def take(self, record: Record, arrival: Arrival) -> None:
        """Account for one record: it is staged, or settled at once."""
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
        except Exception as error:  # noqa: BLE001  (a mistake of ours in one record must not cost the others)
            self._staging.warn_once(
                self.stream_name, f"unforeseen {type(error).__name__} at {frames(error)}; please report"
            )
            self.reject(Rejected("unforeseen", "", REMEDIES["unforeseen"]), key, arrival)
            self.settle(arrival, "rejected", "unforeseen")

    def settle(self, arrival: Arrival, outcome: Outcome, reason: str) -> None:
        """Count a record that needs no request."""
        self._staging.tally.record(self.stream_name, outcome, reason)
        self._staging.progress.note(self.stream_name, outcome, reason)
        if arrival.settled is not None:
            arrival.settled(outcome, reason)

    @abstractmethod
    def stage(self, record: Record, key: str, arrival: Arrival) -> None:
        """Map, encode and stage one valid record.

        Raises:
            Filtered: The settings leave it out.
            Rejected: Its content cannot be sent.
        """

    def key_of(self, record: Record) -> str:
        """The values of the key properties, joined.

        Raises:
            Rejected: One is missing or null.
        """
        values = []
        for name in self.key_properties:
            value = record.get(name)
            if value is None:
                raise Rejected("missing_key", name, REMEDIES["missing_key"])
            values.append(value if type(value) is str else str(value))
        return values[0] if len(values) == 1 else joined(values)

    def check(self, record: Record) -> None:
        """Hold the record against the stream's schema.

        Raises:
            Rejected: It does not fit.
        """
        if self._validator is None:
            return
        try:
            self._validator.validate(record)
        except InvalidDateTimeError as error:
            raise Rejected("invalid_datetime", error.error_message, REMEDIES["invalid_datetime"]) from None
        except InvalidRecord as error:
            raise Rejected("invalid_record", error.error_message, REMEDIES["invalid_record"]) from None

    def reject(self, why: Rejected, key: str, arrival: Arrival) -> None:
        """Keep the record with the reason."""
        self._staging.rejects.add(reject_of(self.source(key, "", arrival), why.code, why.field, why.remedy))

    def keep_unidentified(self, key: str, arrival: Arrival) -> None:
        """Keep a record that has none of the mapped identifiers, so that it can be brought once they are corrected."""
        if self._staging.unidentified is not None and arrival.settled is None:  # a replayed one stands there already
            reject = reject_of(self.source(key, "", arrival), "no_identifier", "", REMEDIES["no_identifier"])
            self._staging.unidentified.add(replace(reject, record=raw_record(arrival.line)))

    def reject_unmapped(self, record: Record, arrival: Arrival) -> None:
        """Reject a record for which an expression of the stream maps fails."""
        key = joined([str(record.get(name, "")) for name in self.key_properties])
        self.reject(Rejected("stream_map_failed", "", REMEDIES["stream_map_failed"]), key, arrival)
        self.settle(arrival, "rejected", "stream_map_failed")

    def note(self, notes: Sequence[tuple[str, str]]) -> None:
        """Count what was left out of records that were mapped all the same; say once what a setting can change."""
        counts = self._staging.tally.notes
        for code, field in notes:
            note = (self.stream_name, code, field)
            counts[note] += 1
            if counts[note] == 1 and code in NOTE_HINTS:
                self._staging.warn_once(self.stream_name, NOTE_HINTS[code].format(field=shown(field)))

    def leave_out(self, why: Filtered | Rejected, event_type: str, number: int | None) -> None:
        """Tell that one event of a record is not sent; it is counted elsewhere, a preview shows it."""

    def source(self, key: str, person: str, arrival: Arrival) -> Source:
        """Where the item of a record comes from."""
        return Source(self.stream_name, key, self.key_properties, arrival, self._staging.checkpoints.current, person)

    def hand_over(self, group: Group, item: Item) -> None:
        """Give a complete item to the lanes; from here on its STATE waits for it."""
        item.source.segment = self._staging.checkpoints.open()
        self._staging.lanes.add(group, item)


class ProfileSink(InsiderOneSink):
    """Streams of kind ``profile``: each record is one user with attributes."""

    kind = "profile"

    def stage(self, record: Record, key: str, arrival: Arrival) -> None:
        """Stage one profile."""
        staging = self._staging
        mapped = staging.map_profile(record)
        identifiers = encode(mapped.identifiers)
        person = key or identifiers.decode()
        attributes = mapped.user.get("attributes", {})
        for name in mapped.optins:
            del attributes[name]
        members, tail = encode(attributes)[1:-1], NOT_APPENDED if "not_append" in mapped.user else b"}"
        if mapped.notes:
            self.note(mapped.notes)
        read_at = read_time(arrival.time_extracted)
        if not isinstance(arrival.time_extracted, str):
            arrival.time_extracted = read_at  # so that a reject of it, once replayed, is no older than it was
        if read_at == UNDATED:
            self.note([("read_time_ahead", "")])
        is_old = changed_before(record, time.time() - staging.old_seconds)
        if is_old:
            staging.inform_once("", SKIP_HOOK)
        self.hand_over(
            "old profiles" if is_old else "profiles",
            ProfileItem(
                source=self.source(key, person, arrival),
                read_at=read_at,
                optins_since=staging.consent_memory.since(self.stream_name),
                ledger_key=staging.digest("profile", person),
                identifiers=identifiers,
                attributes=members,
                tail=tail,
                optins=mapped.optins,
                content=staging.digest(
                    "content",
                    identifiers,
                    members,
                    tail.removeprefix(b","),
                    encode(mapped.optins),
                    encode(mapped.delete),
                ),
                email=self._identifier_digest("email", mapped.identifiers),
                phone_number=self._identifier_digest("phone_number", mapped.identifiers),
                delete=mapped.delete or None,
            ),
        )

    def _identifier_digest(self, name: str, identifiers: Mapping[str, Any]) -> bytes | None:
        value = identifiers.get(name)
        return None if value is None else self._staging.digest(name, value)


class EventSink(InsiderOneSink):
    """Streams of kind ``event``: each record becomes the events that its metric is mapped to."""

    kind = "event"

    def stage(self, record: Record, key: str, arrival: Arrival) -> None:
        """Stage the events of one record; lines that fail alone are rejected alone."""
        staging = self._staging
        mapped = staging.map_event(record, time.time())
        if arrival.only is not None:
            mapped = only_events(mapped, arrival.only)
        if mapped.notes:
            self.note(mapped.notes)
        for number, event_type, left_out in mapped.filtered:
            self.leave_out(left_out, event_type, number)
            staging.tally.event(self.stream_name, "filtered", left_out.reason)
        if mapped.old:
            staging.inform_once("", SKIP_HOOK)
        for number, event_type, why in mapped.rejected:
            self.leave_out(why, event_type, number)
        rejected = [
            RejectedEvent(event_type, number, why.code, why.field, why.remedy)
            for number, event_type, why in mapped.rejected
        ]
        if not mapped.events:
            self._settle_without_request(mapped, rejected, key, arrival)
            return
        identifiers = encode(mapped.identifiers)
        profile_id = record.get("profile_id")
        person = profile_id if isinstance(profile_id, str) else identifiers.decode()
        self.hand_over(
            "old events" if mapped.old else "events",
            EventItem(
                source=self.source(key, person, arrival),
                identifiers=identifiers,
                events=[self._line(key, number, event_type, event) for number, event_type, event in mapped.events],
                rejected=rejected,
            ),
        )

    def _line(self, key: str, number: int | None, event_type: str, event: Mapping[str, Any]) -> EventLine:
        body = encode(event)
        digest = self._staging.digest
        ledger_key = digest("event", key, event_type, str(number or 0)) if key else None
        return EventLine(ledger_key, digest("content", body), body, event_type, number)

    def _settle_without_request(
        self, mapped: MappedEvent, rejected: Sequence[RejectedEvent], key: str, arrival: Arrival
    ) -> None:
        """Count a record none of whose events is to be sent: rejected if one was, else filtered."""
        if rejected:
            self._staging.rejects.add(reject_of_events(self.source(key, "", arrival), rejected))
            for event in rejected:
                self._staging.tally.event(self.stream_name, "rejected", event.code)
            self.settle(arrival, "rejected", rejected[0].code)
        else:
            self.settle(arrival, "filtered", mapped.filtered[0][2].reason if mapped.filtered else "unmapped_metric")


class RemovedSink(Sink):
    """A stream that the stream maps take out: the SDK wants a sink for it, no record ever reaches it."""

    def process_record(self, record: Record, context: dict[str, Any]) -> None:
        """Never called."""

    def process_batch(self, context: dict[str, Any]) -> None:
        """Never called."""


def frames(error: Exception) -> str:
    """Where an error came from, innermost last; its message stays out, since it may quote the record."""
    places = traceback.extract_tb(error.__traceback__)[-3:]
    return " > ".join(f"{Path(place.filename).name}:{place.lineno}" for place in places)


def joined(values: Sequence[str]) -> str:
    r"""One text for the values of a key, which no other values have.

    >>> joined(["E1", "2"]), joined(["a|b", "c"]), joined(["a|b"])
    ('E1|2', 'a\\|b|c', 'a|b')
    """
    if len(values) > 1:
        values = [value.replace("\\", "\\\\").replace("|", "\\|") for value in values]
    return "|".join(values)


def only_events(mapped: MappedEvent, only: Collection[tuple[str, int | None]]) -> MappedEvent:
    """The events (type, line) of a record that are to go again; the others were settled when these were rejected."""
    return mapped._replace(
        events=[made for made in mapped.events if (made[1], made[0]) in only],
        rejected=[made for made in mapped.rejected if (made[1], made[0]) in only],
        filtered=[made for made in mapped.filtered if (made[1], made[0]) in only],
    )


def changed_before(record: Record, moment: float) -> bool:
    """Whether a profile, its consent included, last changed before *moment* (epoch seconds); if it says when."""
    told = False
    for name in CHANGED_AT:
        value = record.get(name)
        if value is not None:
            try:
                if read_moment(value).timestamp() >= moment:
                    return False
            except UnusableValueError:
                continue
            told = True
    return told
