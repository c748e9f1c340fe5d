"""Bodies of the control plane's POST requests. Times are ISO 8601."""

import msgspec

from klaviyo_insiderone_sandbox.faults import Side
from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution
from klaviyo_insiderone_sandbox.klaviyo.consent import Channel, Consent, Naming, Reason


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A body in which a misspelled member is an error."""


class Nothing(Strict):
    """An empty body."""


class NewProfile(Strict):
    """A profile; without an id it gets one. Attribute values stay digit for digit as they are sent."""

    attributes: dict[str, msgspec.Raw]
    id: str | None = None


class NewProfiles(Strict):
    """Profiles to add or replace."""

    profiles: list[NewProfile]


class NewEvent(Strict):
    """An event; its metric is made when new. An integration of null makes it a custom metric."""

    metric: str
    profile_id: str
    datetime: str
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    integration: str | None = "API"
    id: str | None = None
    uuid: str | None = None
    visible_after: str | None = None
    """Reads show the event only once the clock has passed this."""
    attributions: list[Attribution] = []
    touch: bool = True
    """Whether the profile's `updated` moves."""


class NewEvents(Strict):
    """Events to add."""

    events: list[NewEvent]


class NewList(Strict):
    """A list; without times it is made now."""

    name: str
    id: str | None = None
    created: str | None = None
    updated: str | None = None
    double_opt_in: bool = True


class NewLists(Strict):
    """Lists to add or replace."""

    lists: list[NewList]


class NewResource(Strict):
    """A simple resource; attributes as the API shows them, digit for digit, and ids by relationship."""

    id: str
    attributes: dict[str, msgspec.Raw] = {}
    related: dict[str, list[str]] = {}


class NewResources(Strict):
    """Simple resources of one type to add or replace."""

    type: str
    resources: list[NewResource]


class Credit(Strict):
    """Attributions that replace those of an event."""

    event_id: str
    attributions: list[Attribution]


class Touch(Strict):
    """Profiles whose `updated` moves, to `at` or now; attributes are merged, properties key by key."""

    ids: list[str]
    attributes: dict[str, msgspec.Raw] = {}
    at: str | None = None


class ConsentChange(Strict):
    """A change of consent in one channel, with the event that records it."""

    id: str
    channel: Channel
    consent: Consent
    suppression: Reason | None = None
    at: str | None = None
    event: bool = True
    naming: Naming | None = None
    """Family of metric names from now on."""


class Erase(Strict):
    """Profiles to erase; their events stay."""

    ids: list[str]


class NewKey(Strict):
    """A Klaviyo key."""

    key: str
    scopes: list[str]


class ClockSetting(Strict):
    """The time: running from `now`, frozen at `frozen`, or real."""

    now: str | None = None
    frozen: str | None = None


class QuotaSetting(Strict):
    """A factor on all quotas (null = off), and limits of single buckets: `75;w=1, 750;w=60`."""

    scale: float | msgspec.UnsetType | None = msgspec.UNSET
    limits: dict[str, str] = {}


class Latency(Strict):
    """Latency of one side, in seconds."""

    side: Side
    seconds: float
