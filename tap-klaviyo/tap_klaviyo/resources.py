"""JSON:API documents as Klaviyo sends them, decoded no deeper than needed.

Attributes stay as the bytes that came (`msgspec.Raw`): so every number, key order and unknown attribute survives, and
nobody pays for decoding what is only passed on.
"""

from __future__ import annotations

import msgspec

NULL = msgspec.Raw(b"null")
Attributes = dict[str, msgspec.Raw]


class Links(msgspec.Struct):
    """Links of a page; ``next`` is null (or absent) on the last one."""

    next: str | None = None


class Reference(msgspec.Struct):
    """Names a resource elsewhere in the document."""

    id: str


class ToOne(msgspec.Struct):
    """A relationship with at most one resource; its data is null when the resource is gone."""

    data: Reference | None = None


class ToMany(msgspec.Struct):
    """A relationship with any number of resources, passed on as it is."""

    data: msgspec.Raw = NULL


class Resource(msgspec.Struct):
    """A resource of which the attributes matter."""

    id: str
    attributes: Attributes
    type: str = ""


class EventRelationships(msgspec.Struct):
    """Whom and what an event is about."""

    profile: ToOne | None = None
    metric: ToOne | None = None
    attributions: ToMany | None = None


class Event(msgspec.Struct):
    """An event, as GET /api/events lists it."""

    id: str
    attributes: Attributes
    relationships: EventRelationships


class Page(msgspec.Struct):
    """A page of any collection."""

    data: list[Resource]
    links: Links | None = None


class EventPage(msgspec.Struct):
    """A page of events, with the metrics and profiles that were asked for."""

    data: list[Event]
    links: Links | None = None
    included: list[Resource] = []


read_page = msgspec.json.Decoder(Page).decode
read_event_page = msgspec.json.Decoder(EventPage).decode
encode = msgspec.json.Encoder(decimal_format="number").encode
