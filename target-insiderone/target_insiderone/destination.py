"""Insider One as a destination: users with attributes, users with events."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_delivery.destination import (
    Destination,
    Kind,
    Limits,
    MadeEvent,
    NewestKind,
    OnceKind,
    Request,
    StagedEvents,
    StagedVersion,
)
from singer_delivery.exact_json import decode, encode
from singer_delivery.mapping.dates import utc_moment
from singer_delivery.mapping.values import UnusableValueError
from singer_delivery.sending.transport import HttpTransport

from target_insiderone.api.answers import NAME, read_deletion, read_upsert
from target_insiderone.api.client import DELETE_ATTRIBUTES, UPSERT, transport_settings, try_credentials
from target_insiderone.api.remedies import NOTE_HINTS, REMEDIES, SKIP_HOOK
from target_insiderone.api.users import NOT_APPENDED, EncodedProfile, attributes_body, event_user, upsert_body
from target_insiderone.mapping import compile_events, compile_profiles
from target_insiderone.mapping.events import HOUR_SECONDS
from target_insiderone.mapping.sightings import Sightings
from target_insiderone.mapping.unmapped import mapped_fields, not_mapped
from target_insiderone.mapping.vocabulary import LINE_PARAMETER
from target_insiderone.settings.config_schema import BYTES_PER_REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from threading import Event

    from singer_delivery.destination import Answer, Response, Transport
    from singer_delivery.errors import Finding

    from target_insiderone.settings.settings import Settings

Record = dict[str, Any]

OLD = "old"
"""Variant of events and profiles that are too old to start a journey: sent with ``skip_hook: true``."""

CHANGED_AT = ("updated", "changed_at")
"""Fields that say when a profile, or a person's consent, last changed in Klaviyo."""


class _Upsert(Kind):
    """Base class of both kinds, which use one endpoint."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Limits(settings.batch_size_rows, settings.batch_size_bytes, BYTES_PER_REQUEST))
        self._skip_hook = settings.skip_hook
        self._error_callback = settings.error_callback_endpoint

    def request(self, variant: str, rows: Sequence[bytes]) -> Request:
        """One upsert."""
        skip_hook = self._skip_hook or variant == OLD
        return Request("upsert", UPSERT, upsert_body(rows, skip_hook=skip_hook, error_callback=self._error_callback))

    def shown(self, variant: str, row: bytes | None, clearing: bytes | None) -> dict[str, Any]:
        """The user of an upsert, that of an attribute/delete request, and the ``skip_hook`` flag."""
        users = {"user": row, "clears": clearing}
        shown: dict[str, Any] = {name: decode(user) for name, user in users.items() if user}
        return shown | ({"skip_hook": True} if self._skip_hook or variant == OLD else {})

    def read(self, response: Response, sent: int) -> Answer:
        """See `read_upsert`."""
        return read_upsert(response, sent)


class Profiles(_Upsert, NewestKind):
    """Each record is one user with attributes."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._map = compile_profiles(settings)
        self._old_seconds = settings.skip_hook_older_than_hours * HOUR_SECONDS or float("inf")

    def stage(self, record: Record, key: str, now: float) -> StagedVersion:
        """Encode one user, with its opt-ins separate."""
        mapped = self._map(record)
        identifiers = encode(mapped.identifiers)
        attributes = mapped.user.get("attributes", {})
        for name in mapped.optins:
            del attributes[name]
        members, tail = encode(attributes)[1:-1], NOT_APPENDED if "not_append" in mapped.user else b"}"
        delete = encode(mapped.delete) if mapped.delete else b"{}"
        is_old = changed_before(record, now - self._old_seconds)
        return StagedVersion(
            person=key or identifiers.decode(),
            version=EncodedProfile(identifiers, members, tail, mapped.optins, mapped.delete),
            content=(identifiers, members, tail.removeprefix(b","), encode(mapped.optins), delete),
            email=mapped.identifiers.get("email"),
            phone_number=mapped.identifiers.get("phone_number"),
            notes=mapped.notes,
            variant=OLD if is_old else "",
            facts=(SKIP_HOOK,) if is_old else (),
        )

    def clearing(self, rows: Sequence[bytes]) -> Request:
        """One attribute/delete request."""
        return Request("attribute/delete", DELETE_ATTRIBUTES, attributes_body(rows))

    def read_clearing(self, response: Response, sent: int) -> Answer:
        """See `read_deletion`."""
        return read_deletion(response, sent)


class Events(_Upsert, OnceKind):
    """Each record becomes the events that its metric is mapped to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._map = compile_events(settings)

    def stage(self, record: Record, key: str, now: float) -> StagedEvents:  # noqa: ARG002  (the id is in the record)
        """Encode the events of one record."""
        mapped = self._map(record, now)
        identifiers = encode(mapped.identifiers)
        profile_id = record.get("profile_id")
        return StagedEvents(
            person=profile_id if isinstance(profile_id, str) else identifiers.decode(),
            identifiers=identifiers,
            events=[MadeEvent(line, event_type, encode(event)) for line, event_type, event in mapped.events],
            rejected=mapped.rejected,
            filtered=mapped.filtered,
            notes=mapped.notes,
            variant=OLD if mapped.old else "",
            facts=(SKIP_HOOK,) if mapped.old else (),
        )

    def row(self, identifiers: bytes, events: Sequence[bytes]) -> bytes:
        """One user with events."""
        return event_user(identifiers, events)

    def renumbered(self, body: bytes, old: int | None, new: int | None) -> bytes:
        """The bytes of an order line under another number; the quoted name before a colon occurs only as a key."""
        name = f'"{LINE_PARAMETER}":'
        return body.replace(f"{name}{old}".encode(), f"{name}{new}".encode(), 1)


class InsiderOne(Destination):
    """Insider One's Unified Customer Database."""

    name = NAME
    prefix = "insiderone"
    remedies: ClassVar[Mapping[str, str]] = REMEDIES
    note_hints: ClassVar[Mapping[str, str]] = NOTE_HINTS

    def __init__(self, settings: Settings, version: str) -> None:
        self._settings = settings
        self._version = version

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Profiles and events."""
        return {"profile": Profiles(self._settings), "event": Events(self._settings)}

    def connect(self, stopping: Event) -> Transport:
        """Make the HTTP transport, with the account's headers."""
        return HttpTransport(transport_settings(self._settings, self._version), stopping)

    def try_credentials(self, transport: Transport) -> Iterator[Finding]:
        """Check partner and key, by reading a profile that does not exist."""
        return try_credentials(transport)

    def watch(self) -> Sightings:
        """The sources of identifiers, attributes and event parameters."""
        return Sightings(self._settings)

    @cached_property
    def _mapped(self) -> frozenset[str]:
        return mapped_fields(self._settings)

    def not_mapped(self, record: Record) -> list[str]:
        """The fields of a record, and of its open object, that no mapping names."""
        return not_mapped(record, self._mapped)

    def facts(self) -> Iterator[str]:
        """That no journey is started, if so."""
        if self._settings.skip_hook:
            yield SKIP_HOOK


def changed_before(record: Record, moment: float) -> bool:
    """Whether a profile or its consent last changed before *moment* (epoch seconds); False if unknown."""
    told = False
    for name in CHANGED_AT:
        value = record.get(name)
        if value is not None:
            try:
                if utc_moment(value)[0].timestamp() >= moment:
                    return False
            except UnusableValueError:
                continue
            told = True
    return told
