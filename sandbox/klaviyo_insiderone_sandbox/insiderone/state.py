"""The users of an Insider One account, and how a write finds and changes them."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from klaviyo_insiderone_sandbox.insiderone.attributes import Drop, grown, shrunk, sort_out
from klaviyo_insiderone_sandbox.insiderone.retention import RETENTION_DAYS, is_expired
from klaviyo_insiderone_sandbox.insiderone.settings import Settings
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
    """Number of its request."""


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
        "first_events",
        "identifiers",
        "insider_id",
        "skip_hook",
        "written_by",
    )

    def __init__(self, insider_id: str) -> None:
        self.insider_id = insider_id
        self.identifiers: dict[str, list[str]] = {}
        """Identifier, custom ones as ``custom.<name>`` -> its values, latest last."""
        self.attributes: dict[str, bytes] = {}
        """Name, custom ones as ``custom.<name>`` -> JSON."""
        self.written_by: dict[str, int] = {}
        """Name of an attribute -> number of the latest request that wrote it."""
        self.events: list[StoredEvent] = []
        self.first_events: dict[tuple[str, int], StoredEvent] = {}
        """(name, instant) -> the first event stored with them."""
        self.event_digests: set[bytes] = set()
        """Digests of the events that share name and instant with others."""
        self.dropped: list[Drop] = []
        self.changed_by = 0
        """Number of the latest request that named this user."""
        self.skip_hook = False
        """Whether the latest write asked to start no journeys."""

    def keep(self, attributes: Mapping[str, bytes], n: int) -> None:
        """Set the attributes of request *n*."""
        self.attributes |= attributes
        self.written_by |= dict.fromkeys(attributes, n)

    def add_event(self, event: StoredEvent, instant: int) -> bool:
        """Store an event, unless an equal one is stored; returns whether it was stored.

        Parameters are compared only where name and instant are alike, which is rare.
        """
        first = self.first_events.setdefault((event.event_name, instant), event)
        if first is not event:
            self.event_digests.add(digest_of(first, instant))
            digest = digest_of(event, instant)
            if digest in self.event_digests:
                return False
            self.event_digests.add(digest)
        self.events.append(event)
        return True


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
        """Accepted data that belongs to nobody."""
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
        self._write_attributes(stored, user, drops)
        if user.events:
            self._write_events(stored, user, drops, skip_hook=skip_hook)
        stored.dropped.extend(self._numbered(drops))

    def refuse(self, position: int, objections: Objections, identifiers: Any) -> None:
        """Note a refused user of the current request."""
        self.refusals.append(Refusal(self.requests, position, objections, identifiers))

    def resolves(self, user: User) -> bool:
        """Return whether a user has an identifier that is enabled in this account."""
        known_id = user.insider_id in self.by_insider_id
        return known_id or bool(self._usable(user.identifiers, []))

    def find(self, identifiers: Mapping[str, Any], insider_id: str | None) -> StoredUser | None:
        """Find a user by insider id or by the identifier of highest precedence."""
        if insider_id is not None:
            return self.by_insider_id.get(insider_id)
        keys = self._usable(identifiers, [])
        return next((self._by_identifier[key] for key in keys if key in self._by_identifier), None)

    def delete_attributes(self, stored: StoredUser, whole: list[str], partial: Mapping[str, bytes]) -> None:
        """Remove attributes, or elements of array attributes; identifiers stay."""
        for name in whole:
            stored.attributes.pop(name, None)
            stored.written_by.pop(name, None)
        for name, removed in partial.items():
            known = stored.attributes.get(name)
            if known and known.startswith(b"[") and removed.startswith(b"["):
                stored.keep({name: shrunk(known, removed)}, self.requests)

    def _numbered(self, drops: list[Drop]) -> list[Drop]:
        for drop in drops:
            drop.n = self.requests
        return drops

    def _usable(self, identifiers: Mapping[str, Any], drops: list[Drop]) -> list[tuple[str, str]]:
        """Return the identifiers that find people, by precedence."""
        priority, blocked = self.settings.priority, self.settings.blocked_values
        usable: dict[str, str] = {}
        for name, value in identifiers.items():
            if name not in priority:
                drops.append(identifier_drop(name, value, "not enabled in this account"))
            elif value in blocked:
                drops.append(identifier_drop(name, value, "a blocked value"))
            else:
                usable[name] = str(value)
        return [(name, usable[name]) for name in priority if name in usable]

    def _find_or_create(self, user: User, drops: list[Drop]) -> StoredUser | None:
        keys = self._usable(user.identifiers, drops)
        found = self._matching(user.insider_id, keys)
        if not found and not keys:
            return None
        stored = found[0] if found else self._create()
        for other in found[1:]:
            self._merge(stored, other)
        for key in keys:
            self._attach(stored, key, drops)
        return stored

    def _matching(self, insider_id: str | None, keys: list[tuple[str, str]]) -> list[StoredUser]:
        """Return the profiles that an insider id or identifiers find, each once, by precedence."""
        found = [self.by_insider_id[insider_id]] if insider_id in self.by_insider_id else []
        for key in keys:
            one = self._by_identifier.get(key)
            if one is not None and one not in found:
                found.append(one)
        return found

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
            drops.append(identifier_drop(name, value, "the profile holds as many values as it may"))
            return
        values.append(value)
        self._by_identifier[key] = stored

    def _merge(self, stored: StoredUser, other: StoredUser) -> None:
        for name, values in other.identifiers.items():
            known = stored.identifiers.setdefault(name, [])
            room = max(0, self.settings.max_values.get(name, len(known) + len(values)) - len(known))
            known[:0] = values[:room]
            for value in values[:room]:
                self._by_identifier[name, value] = stored
            for value in values[room:]:
                del self._by_identifier[name, value]
        for name, text in other.attributes.items():
            n = other.written_by[name]
            if (n, text) > (stored.written_by.get(name, 0), stored.attributes.get(name, b"")):
                stored.keep({name: text}, n)
        for event in other.events:
            stored.add_event(event, instant_of_timestamp(event.timestamp) or 0)
        stored.events.sort(key=lambda event: event.n)
        stored.dropped += other.dropped
        del self.by_insider_id[other.insider_id]

    def _write_attributes(self, stored: StoredUser, user: User, drops: list[Drop]) -> None:
        kept = sort_out(user.attributes, self.settings, drops)
        if self.settings.plain:
            kept = plain_identifiers(user, self.settings) | kept
        if user.appends:
            kept = {name: grown(stored.attributes.get(name, b""), value) for name, value in kept.items()}
        stored.keep(kept, self.requests)

    def _write_events(self, stored: StoredUser, user: User, drops: list[Drop], *, skip_hook: bool) -> None:
        settings, now = self.settings, self.clock.now()
        for name, timestamp, instant, raw in user.events:
            text = bytes(raw)
            params = msgspec.Raw(b"{}" if text in (b"", b"null") else text)
            event = StoredEvent(name, timestamp, params, skip_hook, self.requests)
            if settings.events is not None and name not in settings.events and name not in RETENTION_DAYS:
                drops.append(event_drop(event, "not defined in this account"))
            elif is_expired(name, instant, now, settings.custom_event_retention_days):
                drops.append(event_drop(event, "older than Insider One keeps such events"))
            elif not stored.add_event(event, instant):
                drops.append(event_drop(event, "the same event is stored already"))


def plain_identifiers(user: User, settings: Settings) -> dict[str, bytes]:
    """Return the default identifiers that are not enabled, as attributes."""
    values = {name: user.identifiers.get(name) for name in settings.plain}
    return {name: msgspec.json.encode(value) for name, value in values.items() if isinstance(value, str)}


def identifier_drop(name: str, value: Any, reason: str) -> Drop:
    """Note an accepted identifier that finds nobody."""
    return Drop("identifier", name, reason, msgspec.Raw(msgspec.json.encode(value)))


def event_drop(event: StoredEvent, reason: str) -> Drop:
    """Note an accepted event that was not stored."""
    return Drop("event", event.event_name, reason, msgspec.Raw(msgspec.json.encode(event)))


def digest_of(event: StoredEvent, instant: int) -> bytes:
    """Identify an event within its profile: name, time, and parameters in any order of keys."""
    canonical = _sorted_encoder.encode(msgspec.json.decode(event.event_params))
    return hashlib.blake2b(f"{event.event_name}\0{instant}\0".encode() + canonical, digest_size=16).digest()
