"""Validates users as Insider One does: identifiers, event names, required parameters.

Keys are relative to the user; the report puts ``users.N.`` in front.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from klaviyo_insiderone_sandbox.clock import instant_of
from klaviyo_insiderone_sandbox.insiderone import errors

Objections = dict[str, list[str]]
"""Key -> texts."""

EMAIL = re.compile(r"^.+@.+\..+$")
PHONE = re.compile(r"^\+[1-9]\d{6,14}$", re.ASCII)
ANY = re.compile(r".*", re.DOTALL)
EVENT_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
PURCHASE_PARAMETERS = ("event_group_id", "unit_sale_price")

ABSENT = msgspec.Raw(b"")


class EventInput(msgspec.Struct):
    """One event as sent."""

    event_name: Any = None
    timestamp: Any = None
    event_params: msgspec.Raw = ABSENT


class UserInput(msgspec.Struct):
    """One user as sent."""

    identifiers: msgspec.Raw = ABSENT
    insider_id: Any = None
    attributes: msgspec.Raw = ABSENT
    events: msgspec.Raw = ABSENT
    not_append: Any = None
    append: Any = None


class User(msgspec.Struct):
    """One user, decoded and without objections."""

    identifiers: dict[str, Any]
    """Default identifiers; custom ones as ``custom.<name>``."""
    insider_id: str | None
    attributes: dict[str, msgspec.Raw]
    events: list[tuple[str, str, int, msgspec.Raw]]
    """(name, timestamp as sent, instant, parameters)."""
    appends: bool


_identifiers = msgspec.json.Decoder(dict[str, Any] | None)
_attributes = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_events = msgspec.json.Decoder(list[EventInput] | None)
_parameters = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


class IdentifierRule(NamedTuple):
    """The check of a default identifier, and the message if it fails."""

    matches: Callable[[str], object]
    key: str
    text: str


IDENTIFIER_RULES: Mapping[str, IdentifierRule] = {
    "email": IdentifierRule(EMAIL.fullmatch, errors.EMAIL_KEY, "not a valid email address"),
    "phone_number": IdentifierRule(PHONE.fullmatch, errors.PHONE_KEY, "user has an invalid phone number"),
    "uuid": IdentifierRule(ANY.fullmatch, errors.UUID_KEY, "uuid must be string"),
}


def examine(sent: UserInput) -> User | Objections:
    """Check one user; return it decoded, or all objections."""
    objections: Objections = {}
    identifiers = examine_identifiers(sent, objections)
    attributes = decoded(_attributes, sent.attributes, "attributes", {}, objections)
    events = decoded(_events, sent.events, "events", [], objections)
    examined = [examine_event(place, event, objections) for place, event in enumerate(events)]
    if not attributes and not events and not objections:
        text = "either attributes or events must be specified"
        objections |= {"attributes.required": [text], "events.required": [text]}
    if objections:
        return objections
    insider_id = sent.insider_id if isinstance(sent.insider_id, str) else None
    return User(identifiers, insider_id, attributes, examined, appends(sent))


def appends(sent: UserInput) -> bool:
    """Return whether arrays are appended to; ``append`` takes precedence over ``not_append``."""
    if isinstance(sent.append, bool):
        return sent.append
    return sent.not_append is not True


def decoded(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, key: str, empty: Any, objections: Objections) -> Any:
    """Decode one part of a user; absent and null are *empty*."""
    if not raw:
        return empty
    try:
        found = decoder.decode(raw)
    except msgspec.ValidationError:
        objections[f"{key}.type"] = [f"{key} has a wrong type"]
        return empty
    return empty if found is None else found


def examine_identifiers(sent: UserInput, objections: Objections) -> dict[str, Any]:
    """Check the identifiers; return them flat."""
    flat: dict[str, Any] = decoded(_identifiers, sent.identifiers, "identifiers", {}, objections)
    custom = flat.pop("custom", None) or {}
    for name, value in flat.items():
        examine_identifier(name, value, objections)
    if isinstance(custom, dict):
        flat |= {f"custom.{name}": value for name, value in custom.items()}
    else:
        objections["identifiers.custom.type"] = ["custom has a wrong type"]
    if not flat and not sent.insider_id and not objections:
        objections |= {"identifiers.required": [errors.NO_IDENTIFIER], "insider_id.required": [errors.NO_IDENTIFIER]}
    return flat


def examine_identifier(name: str, value: Any, objections: Objections) -> None:
    """Check one default identifier."""
    rule = IDENTIFIER_RULES.get(name)
    if rule is None:
        objections.setdefault(errors.UNKNOWN_KEY, []).append(errors.UNKNOWN_IDENTIFIER)
    elif not isinstance(value, str) or not rule.matches(value):
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        objections.setdefault(rule.key, []).append(f"{rule.text}: {shown}")


def examine_event(place: int, event: EventInput, objections: Objections) -> tuple[str, str, int, msgspec.Raw]:
    """Check one event."""
    prefix = f"events.{place}."
    name, timestamp = event.event_name, event.timestamp
    if name is None:
        objections[f"{prefix}event_name.required"] = ["event_name is required"]
    elif not isinstance(name, str) or not is_event_name(name):
        objections[prefix + errors.EVENT_NAME_KEY] = [f"invalid event name: {name}"]
    instant = None if timestamp is None else instant_of_timestamp(str(timestamp))
    if timestamp is None:
        objections[f"{prefix}timestamp.required"] = ["timestamp is required"]
    elif instant is None:
        objections[f"{prefix}timestamp.rfc3339"] = [f"invalid timestamp: {timestamp}"]
    parameters: Mapping[str, msgspec.Raw] = decoded(
        _parameters, event.event_params, f"{prefix}event_params", {}, objections
    )
    if name == "purchase":
        missing = [one for one in PURCHASE_PARAMETERS if bytes(parameters.get(one, b"null")) == b"null"]
        if missing:
            objections[prefix + errors.PARAMETER_KEY] = [
                f"{one} parameter is required on purchase event" for one in missing
            ]
    return str(name), str(timestamp), instant or 0, event.event_params


@lru_cache(maxsize=4_096)
def is_event_name(text: str) -> bool:
    """Return whether an event may have this name."""
    return EVENT_NAME.fullmatch(text) is not None


@lru_cache(maxsize=65_536)
def instant_of_timestamp(text: str) -> int | None:
    """Read an RFC 3339 time with an offset, in microseconds since 1970; None when it is none."""
    if not TIMESTAMP.fullmatch(text):
        return None
    try:
        return instant_of(text)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4_096)
def is_birthday(text: str) -> bool:
    """Whether a string is an RFC 3339 date-time that ends with ``Z``."""
    try:
        return text.endswith("Z") and datetime.fromisoformat(text) is not None
    except ValueError:
        return False
