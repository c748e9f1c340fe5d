"""The users of an Insider One account, and how a write finds and changes them."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from klaviyo_insiderone_sandbox.insiderone.attributes import Drop, grown, shrunk, sort_out
from klaviyo_insiderone_sandbox.insiderone.retention import RETENTION_DAYS, is_expired
from klaviyo_insiderone_sandbox.insiderone.settings import DEFAULT_IDENTIFIERS, Settings
from klaviyo_insiderone_sandbox.insiderone.validation import Objections, User, instant_of_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klaviyo_insiderone_sandbox.clock import Clock

MAX_REFUSALS = 100_000
"""Refusals and unplaced drops beyond this number are forgotten, oldest first."""

_sorted_encoder = msgspec.json.Encoder(order="sorted")


class StoredEvent(msgspec.Struct):
    """An event that was written."""

    event_name: str
    timestamp: str
    event_params: msgspec.Raw
    skip_hook: bool
    n: int
    """Number of the request that brought it."""


class Refusal(msgspec.Struct):
    """A user that was refused."""

    n: int
    """Number of the request."""
    position: int
    """Place in the request's ``users``."""
    errors: dict[str, list[str]]
    identifiers: Any


class StoredUser:
    """One profile."""

    __slots__ = (
        "attributes",
        "changed_by",
        "dropped",
        "event_digests",
        "events",
        "identifiers",
        "insider_id",
        "skip_hook",
    )

    def __init__(self, insider_id: str) -> None:
        self.insider_id = insider_id
        self.identifiers: dict[str, list[str]] = {}
        """Identifier, custom ones as ``custom.<name>`` -> its values, latest last."""
        self.attributes: dict[str, tuple[int, bytes]] = {}
        """Name, custom ones as ``custom.<name>`` -> (request number, JSON)."""
        self.events: list[StoredEvent] = []
        self.event_digests: set[bytes] = set()
        self.dropped: list[Drop] = []
        self.changed_by = 0
        """Number of the latest request that named this user."""
        self.skip_hook = False
        """Whether the latest write asked to start no journeys."""


class Users:
    """All users, found by identifier."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget every user, and return to the standard settings."""
        self.settings = Settings()
        self.by_insider_id: dict[str, StoredUser] = {}
        self._by_identifier: dict[tuple[str, str], StoredUser] = {}
        self.refusals: deque[Refusal] = deque(maxlen=MAX_REFUSALS)
        self.unplaced: deque[Drop] = deque(maxlen=MAX_REFUSALS)
        """What was accepted and belongs to nobody."""
        self.requests = 0
        self._made = 0

    def write(self, user: User, *, skip_hook: bool) -> None:
        """Apply one accepted user of the current request."""
        drops: list[Drop] = []
        stored = self._find_or_create(user, drops)
        if stored is None:
            drops.append(Drop("user", "", "no identifier that this account knows people by", None))
            self.unplaced.extend(self._numbered(drops))
            return
        stored.changed_by, stored.skip_hook = self.requests, skip_hook
        for name in set(DEFAULT_IDENTIFIERS) - set(self.settings.identifiers):
            if isinstance(user.identifiers.get(name), str):
                stored.attributes[name] = (self.requests, msgspec.json.encode(user.identifiers[name]))
        for name, value in sort_out(user.attributes, self.settings, drops):
            known = stored.attributes.get(name)
            kept = grown(known[1], value) if known and user.appends else value
            stored.attributes[name] = (self.requests, kept)
        self._write_events(stored, user, drops, skip_hook=skip_hook)
        stored.dropped.extend(self._numbered(drops))

    def refuse(self, position: int, objections: Objections, identifiers: Any) -> None:
        """Note a refused user of the current request."""
        self.refusals.append(Refusal(self.requests, position, objections, identifiers))

    def resolves(self, user: User) -> bool:
        """Tell whether a user has an identifier that this account knows people by."""
        known_id = user.insider_id in self.by_insider_id
        return known_id or bool(self._usable(user.identifiers, []))

    def find(self, identifiers: Mapping[str, Any], insider_id: str | None) -> StoredUser | None:
        """Find a user by insider id or by the identifier that counts most."""
        if insider_id is not None:
            return self.by_insider_id.get(insider_id)
        keys = self._usable(identifiers, [])
        return next((self._by_identifier[key] for key in keys if key in self._by_identifier), None)

    def delete_attributes(self, stored: StoredUser, whole: list[str], partial: Mapping[str, bytes]) -> None:
        """Remove attributes, or elements of array attributes; identifiers stay."""
        for name in whole:
            stored.attributes.pop(name, None)
        for name, removed in partial.items():
            known = stored.attributes.get(name)
            if known and known[1].startswith(b"[") and removed.startswith(b"["):
                stored.attributes[name] = (self.requests, shrunk(known[1], removed))

    def _numbered(self, drops: list[Drop]) -> list[Drop]:
        for drop in drops:
            drop.n = self.requests
        return drops

    def _usable(self, identifiers: Mapping[str, Any], drops: list[Drop]) -> list[tuple[str, str]]:
        """Return the identifiers that find people, the one that counts most first."""
        settings = self.settings
        for name, value in identifiers.items():
            if name not in settings.priority:
                drops.append(
                    Drop("identifier", name, "not enabled in this account", msgspec.Raw(msgspec.json.encode(value)))
                )
            elif value in settings.blocked_values:
                drops.append(Drop("identifier", name, "a blocked value", msgspec.Raw(msgspec.json.encode(value))))
        return [
            (name, str(identifiers[name]))
            for name in settings.priority
            if name in identifiers and identifiers[name] not in settings.blocked_values
        ]

    def _find_or_create(self, user: User, drops: list[Drop]) -> StoredUser | None:
        keys = self._usable(user.identifiers, drops)
        found = list({id(one): one for key in keys if (one := self._by_identifier.get(key))}.values())
        if user.insider_id in self.by_insider_id:
            named = self.by_insider_id[user.insider_id]
            found = [named, *(one for one in found if one is not named)]
        if not found and not keys:
            return None
        stored = found[0] if found else self._create()
        for other in found[1:]:
            self._merge(stored, other)
        for key in keys:
            self._attach(stored, key, drops)
        return stored

    def _create(self) -> StoredUser:
        self._made += 1
        digest = hashlib.blake2b(str(self._made).encode(), digest_size=12).hexdigest()
        stored = StoredUser(f"s1.{digest}")
        self.by_insider_id[stored.insider_id] = stored
        return stored

    def _attach(self, stored: StoredUser, key: tuple[str, str], drops: list[Drop]) -> None:
        name, value = key
        values = stored.identifiers.setdefault(name, [])
        if value in values:
            values.remove(value)
        elif len(values) >= self.settings.max_values.get(name, len(values) + 1):
            drops.append(
                Drop(
                    "identifier",
                    name,
                    "the profile holds as many values as it may",
                    msgspec.Raw(msgspec.json.encode(value)),
                )
            )
            return
        values.append(value)
        self._by_identifier[key] = stored

    def _merge(self, stored: StoredUser, other: StoredUser) -> None:
        for name, values in other.identifiers.items():
            known = stored.identifiers.setdefault(name, [])
            room = self.settings.max_values.get(name, len(known) + len(values)) - len(known)
            known[:0] = values[: max(0, room)]
            for value in values:
                self._by_identifier[name, value] = stored
        for name, written in other.attributes.items():
            stored.attributes[name] = max(written, stored.attributes.get(name, written))
        stored.events += [event for event in other.events if digest_of(event) not in stored.event_digests]
        stored.events.sort(key=lambda event: event.n)
        stored.event_digests |= other.event_digests
        stored.dropped += other.dropped
        del self.by_insider_id[other.insider_id]

    def _write_events(self, stored: StoredUser, user: User, drops: list[Drop], *, skip_hook: bool) -> None:
        settings, now = self.settings, self.clock.now()
        for name, timestamp, instant, raw in user.events:
            params = bytes(raw) if bytes(raw) not in (b"", b"null") else b"{}"
            event = StoredEvent(name, timestamp, msgspec.Raw(params), skip_hook, self.requests)
            if settings.events is not None and name not in settings.events and name not in RETENTION_DAYS:
                drops.append(event_drop(event, "not defined in this account"))
            elif is_expired(name, instant, now, settings.custom_event_retention_days):
                drops.append(event_drop(event, "older than Insider One keeps such events"))
            elif (digest := digest_of(event)) in stored.event_digests:
                drops.append(event_drop(event, "the same event is stored already"))
            else:
                stored.event_digests.add(digest)
                stored.events.append(event)


def event_drop(event: StoredEvent, reason: str) -> Drop:
    """Note an event that was accepted and not written."""
    return Drop("event", event.event_name, reason, msgspec.Raw(msgspec.json.encode(event)))


def digest_of(event: StoredEvent) -> bytes:
    """Identify an event within its profile: name, time, and parameters in any order of keys."""
    canonical = _sorted_encoder.encode(msgspec.json.decode(event.event_params))
    instant = instant_of_timestamp(event.timestamp)
    return hashlib.blake2b(f"{event.event_name}\0{instant}\0".encode() + canonical, digest_size=16).digest()
