"""A user as in the profile API: ``c_`` before custom attributes, ``gdpr`` for ``gdpr_optin``, ``iid``."""

from typing import Any

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS
from klaviyo_insiderone_sandbox.insiderone.state import StoredEvent, StoredUser
from klaviyo_insiderone_sandbox.insiderone.validation import ABSENT, instant_of_timestamp


class WantedEvent(msgspec.Struct):
    """One requested kind of event."""

    event_name: str
    params: list[str]


class WantedEvents(msgspec.Struct):
    """The requested events; dates are epoch seconds."""

    wanted: list[WantedEvent]
    start_date: int = 0
    end_date: int | None = None


class ProfileRequest(msgspec.Struct):
    """The body of a profile read."""

    identifiers: msgspec.Raw = ABSENT
    insider_id: str | None = None
    attributes: list[str] | None = None
    events: WantedEvents | None = None
    quota: bool = False


def profile_of(stored: StoredUser, request: ProfileRequest, used: int) -> dict[str, Any]:
    """Compose the answer; *used* is the quota drawn so far."""
    answer: dict[str, Any] = {}
    if request.attributes is not None:
        known = attributes_of(stored)
        names = known if "*" in request.attributes else [name for name in request.attributes if name in known]
        answer["attributes"] = {"iid": stored.insider_id, **{name: known[name] for name in names}}
    if request.events is not None:
        events = request.events
        answer["events"] = {
            wanted.event_name: [
                parameters_of(event, wanted.params)
                for event in stored.events
                if event.event_name == wanted.event_name and is_within(event, events)
            ]
            for wanted in events.wanted
        }
    if request.quota:
        answer["quota"] = {"cost": 1, "used": used, "total": 1_000}
    return answer


def attributes_of(stored: StoredUser) -> dict[str, Any]:
    """Return attributes and identifiers under the names that reads use."""
    shown: dict[str, Any] = {read_name(name): msgspec.Raw(value) for name, value in stored.attributes.items()}
    return shown | {read_name(name): values[-1] for name, values in stored.identifiers.items() if values}


def read_name(name: str) -> str:
    """Return the name that reads use for an attribute."""
    if name.startswith("custom."):
        return f"c_{name.removeprefix('custom.')}"
    return {"gdpr_optin": "gdpr"}.get(name, name)


def is_within(event: StoredEvent, wanted: WantedEvents) -> bool:
    """Return whether an event lies between the requested dates."""
    second = (instant_of_timestamp(event.timestamp) or 0) // MICROSECONDS
    return wanted.start_date <= second and (wanted.end_date is None or second <= wanted.end_date)


def parameters_of(event: StoredEvent, names: list[str]) -> dict[str, Any]:
    """Return the requested parameters of an event, custom ones with the prefix ``c_``."""
    sent = msgspec.json.decode(event.event_params, type=dict[str, msgspec.Raw])
    custom = msgspec.json.decode(sent.pop("custom", msgspec.Raw(b"{}")), type=dict[str, msgspec.Raw])
    known: dict[str, Any] = {
        **sent,
        **{f"c_{name}": value for name, value in custom.items()},
        "timestamp": event.timestamp,
    }
    return {name: known[name] for name in names if name in known}
