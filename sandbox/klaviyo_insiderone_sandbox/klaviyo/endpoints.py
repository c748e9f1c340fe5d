"""What each read endpoint permits: scopes, quotas, page sizes, sort keys, filters, includes, fields.

The rows follow the vendor's OpenAPI document, revision 2026-07-15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.klaviyo.filters import FieldRule, Kind
from klaviyo_insiderone_sandbox.quotas import TIER_L, TIER_M, TIER_XL, TIER_XS, Bucket, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

EQUALS = ("equals",)
EQUALS_ANY = ("equals", "any")
EXCLUSIVE = ("greater-than", "less-than")
BOUNDS = ("greater-or-equal", "greater-than", "less-or-equal", "less-than")

SUPPRESSION = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"

PREDICTIVE_ANALYTICS = Bucket("additional-fields[profile]=predictive_analytics", TIER_M)
"""Drawn from by every endpoint that offers the field."""

LOCATION_FIELDS = (
    "address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip",
)  # fmt: skip
PROFILE_FIELDS = (
    "email", "phone_number", "external_id", "anonymous_id", "first_name", "last_name", "organization", "locale",
    "title", "image", "created", "updated", "last_event_date", "location", "properties",
)  # fmt: skip
PREDICTIVE_FIELDS = (
    "historic_clv", "predicted_clv", "total_clv", "historic_number_of_orders", "predicted_number_of_orders",
    "average_days_between_orders", "average_order_value", "churn_probability", "expected_date_of_next_order",
    "ranked_channel_affinity",
)  # fmt: skip
EVENT_FIELDS = ("timestamp", "event_properties", "datetime", "uuid")
METRIC_FIELDS = ("name", "created", "updated", "integration")
LIST_FIELDS = ("name", "created", "updated", "opt_in_process")
ACCOUNT_FIELDS = (
    "test_account", "contact_information", "industry", "timezone", "preferred_currency", "public_api_key", "locale",
)  # fmt: skip

_PROFILE_ON_EVENTS = re.compile(rf"id|{'|'.join(PROFILE_FIELDS)}|location\.({'|'.join(LOCATION_FIELDS)})")
_PROFILE = re.compile(
    rf"{_PROFILE_ON_EVENTS.pattern}|predictive_analytics(\.({'|'.join(PREDICTIVE_FIELDS)}))?"
    r"|subscriptions(\.(email|sms|mobile_push|whatsapp)(\.(marketing|transactional|conversational|open_tracking)(\.[a-z_]+)?)?)?"
)
_EVENT = re.compile(rf"id|{'|'.join(EVENT_FIELDS)}")
_METRIC = re.compile(rf"id|{'|'.join(METRIC_FIELDS)}")
_LIST = re.compile(rf"id|profile_count|{'|'.join(LIST_FIELDS)}")
_FLOW = re.compile(r"id|name|status|archived|created|updated|trigger_type")
_ACCOUNT = re.compile(rf"id|{'|'.join(ACCOUNT_FIELDS)}|contact_information(\.[a-z_0-9]+){{1,2}}")
_ID = re.compile(r"id")


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One documented read."""

    path: str
    """With ``{id}`` where the id stands."""
    scope: str
    limits: Limits
    sorts: tuple[str, ...] = ()
    filters: Mapping[str, FieldRule] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    fields: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """Resource type -> the field names that ``fields[type]`` may list."""
    additional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    page: tuple[int, int] | None = None
    """Default and largest ``page[size]``; None where the parameter does not exist."""
    paged: bool = False
    parameter_buckets: Mapping[str, Bucket] = field(default_factory=dict)
    """``parameter=value`` -> the quota that the value draws from besides the endpoint's own."""

    @property
    def bucket(self) -> Bucket:
        """The endpoint's own quota."""
        return Bucket(f"GET {self.path}", self.limits)


_PROFILE_ADDITIONAL = {"profile": ("subscriptions", "predictive_analytics")}
_PREDICTIVE_BUCKET = {"additional-fields[profile]=predictive_analytics": PREDICTIVE_ANALYTICS}
_EVENT_INCLUDES = ("attributions", "metric", "profile")
_EVENT_FIELDS = {"attribution": _ID, "event": _EVENT, "metric": _METRIC, "profile": _PROFILE_ON_EVENTS}
_EVENT_TIME = FieldRule(Kind.TIME, BOUNDS, only_past=True)

PROFILES = Endpoint(
    path="/api/profiles",
    scope="profiles:read",
    limits=TIER_L,
    sorts=("created", "email", "id", f"{LIST_SUPPRESSIONS}.timestamp", f"{SUPPRESSION}.timestamp", "updated"),
    filters={
        "id": FieldRule(Kind.TEXT, EQUALS_ANY),
        "email": FieldRule(Kind.TEXT, EQUALS_ANY),
        "phone_number": FieldRule(Kind.TEXT, EQUALS_ANY),
        "external_id": FieldRule(Kind.TEXT, EQUALS_ANY),
        "_kx": FieldRule(Kind.TEXT, EQUALS),
        "created": FieldRule(Kind.TIME, EXCLUSIVE),
        "updated": FieldRule(Kind.TIME, EXCLUSIVE),
        f"{LIST_SUPPRESSIONS}.reason": FieldRule(Kind.TEXT, EQUALS),
        f"{LIST_SUPPRESSIONS}.timestamp": FieldRule(Kind.TIME, BOUNDS),
        f"{LIST_SUPPRESSIONS}.list_id": FieldRule(Kind.TEXT, EQUALS),
        f"{SUPPRESSION}.reason": FieldRule(Kind.TEXT, EQUALS),
        f"{SUPPRESSION}.timestamp": FieldRule(Kind.TIME, BOUNDS),
    },
    includes=("conversations", "push-tokens"),
    fields={"profile": _PROFILE, "conversation": re.compile("id|channel"), "push-token": re.compile("[a-z_.]+")},
    additional=_PROFILE_ADDITIONAL,
    page=(20, 100),
    paged=True,
    parameter_buckets=_PREDICTIVE_BUCKET,
)
PROFILE = Endpoint(
    path="/api/profiles/{id}",
    scope="profiles:read",
    limits=TIER_L,
    includes=("conversations", "lists", "push-tokens", "segments"),
    fields={
        "profile": _PROFILE,
        "conversation": re.compile("id|channel"),
        "push-token": re.compile("[a-z_.]+"),
        "list": _LIST,
        "segment": re.compile("[a-z_.]+"),
    },
    additional=_PROFILE_ADDITIONAL,
    parameter_buckets={
        **_PREDICTIVE_BUCKET,
        "include=lists": Bucket("GET /api/profiles/{id} include=lists", TIER_XS),
        "include=segments": Bucket("GET /api/profiles/{id} include=segments", TIER_XS),
    },
)
EVENTS = Endpoint(
    path="/api/events",
    scope="events:read",
    limits=TIER_XL,
    sorts=("datetime", "timestamp"),
    filters={
        "metric_id": FieldRule(Kind.TEXT, EQUALS),
        "profile_id": FieldRule(Kind.TEXT, EQUALS),
        "profile": FieldRule(Kind.RESOURCE, ("has",)),
        "metric": FieldRule(Kind.RESOURCE, ("has",)),
        "datetime": _EVENT_TIME,
        "timestamp": FieldRule(Kind.EPOCH, BOUNDS, only_past=True),
    },
    includes=_EVENT_INCLUDES,
    fields=_EVENT_FIELDS,
    page=(200, 1000),
    paged=True,
)
EVENT = Endpoint(
    path="/api/events/{id}", scope="events:read", limits=TIER_M, includes=_EVENT_INCLUDES, fields=_EVENT_FIELDS
)
METRICS = Endpoint(
    path="/api/metrics",
    scope="metrics:read",
    limits=TIER_M,
    filters={
        "integration.name": FieldRule(Kind.TEXT, EQUALS),
        "integration.category": FieldRule(Kind.TEXT, EQUALS),
    },
    includes=("flow-triggers",),
    fields={"flow": _FLOW, "metric": _METRIC},
    paged=True,
)
METRIC = Endpoint(
    path="/api/metrics/{id}",
    scope="metrics:read",
    limits=TIER_M,
    includes=("flow-triggers",),
    fields={"flow": _FLOW, "metric": _METRIC},
)
ACCOUNTS = Endpoint(path="/api/accounts", scope="accounts:read", limits=TIER_XS, fields={"account": _ACCOUNT})
ACCOUNT = Endpoint(path="/api/accounts/{id}", scope="accounts:read", limits=TIER_XS, fields={"account": _ACCOUNT})
LISTS = Endpoint(
    path="/api/lists",
    scope="lists:read",
    limits=TIER_L,
    sorts=("created", "id", "name", "updated"),
    filters={
        "name": FieldRule(Kind.TEXT, EQUALS_ANY),
        "id": FieldRule(Kind.TEXT, EQUALS_ANY),
        "created": FieldRule(Kind.TIME, ("greater-than",)),
        "updated": FieldRule(Kind.TIME, ("greater-than",)),
    },
    includes=("flow-triggers", "tags"),
    fields={"flow": _FLOW, "list": _LIST, "tag": re.compile("id|name")},
    page=(10, 10),
    paged=True,
)
LIST = Endpoint(
    path="/api/lists/{id}",
    scope="lists:read",
    limits=TIER_L,
    includes=("flow-triggers", "tags"),
    fields={"flow": _FLOW, "list": _LIST, "tag": re.compile("id|name")},
    additional={"list": ("profile_count",)},
    parameter_buckets={
        "additional-fields[list]=profile_count": Bucket("additional-fields[list]=profile_count", TIER_XS)
    },
)

ENDPOINTS = (PROFILES, PROFILE, EVENTS, EVENT, METRICS, METRIC, ACCOUNTS, ACCOUNT, LISTS, LIST)
METRICS_PER_PAGE = 200
