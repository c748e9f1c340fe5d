"""The one table of endpoints: scope, quota, page sizes, filters and order, from Klaviyo's OpenAPI document.

This is the only table of them; a test holds it to the document of revision 2026-07-15.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPPRESSION = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"

EQUALS = ("equals",)
EQUALS_ANY = ("any", "equals")
STRICT_BOUNDS = ("greater-than", "less-than")
BOUNDS = ("greater-or-equal", "greater-than", "less-or-equal", "less-than")
LOWER_BOUNDS, UPPER_BOUND = ("greater-or-equal", "greater-than"), "less-than"


@dataclass(frozen=True, slots=True)
class Quota:
    """Requests per second, per minute and, where there is such a limit, per day."""

    burst: int
    steady: int
    daily: int | None = None


EXTRA_LARGE = Quota(350, 3500)
LARGE = Quota(75, 750)
MEDIUM = Quota(10, 150)
EXTRA_SMALL = Quota(1, 15)

PARAMETER_QUOTAS: Mapping[str, Quota] = {"predictive_analytics": MEDIUM, "profile_count": EXTRA_SMALL}
"""Value of ``additional-fields[…]`` -> the bucket that it draws from besides the endpoint's, whatever the endpoint."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """How many resources a page holds."""

    default: int
    most: int
    parameter: str | None = "page[size]"
    """None where the size cannot be chosen: there the parameter is refused (400)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation of the API."""

    method: str = "GET"
    path: str
    """With ``{id}`` for the id of a resource: ``/api/lists/{id}/profiles``."""
    scopes: tuple[str, ...]
    """All of them are needed."""
    quota: Quota
    page: PageSize
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field -> operators."""
    sorts: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    additional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Resource type -> the values of ``additional-fields[type]``."""

    @property
    def bucket(self) -> str:
        """The name of its quota, which all ids share: ``GET /api/lists/{id}/profiles``."""
        return f"{self.method} {self.path}"

    def page_of(self, size: int | None = None) -> Mapping[str, int]:
        """Compose the parameter for the page size; the largest if it is not given."""
        return {self.page.parameter: size or self.page.most} if self.page.parameter else {}

    def has_windows_of(self, name: str) -> bool:
        """Return whether a time can be bounded on both sides and sorted by, so that it can be read in windows."""
        operators = self.filters.get(name, ())
        return name in self.sorts and UPPER_BOUND in operators and any(one in operators for one in LOWER_BOUNDS)


PROFILES = Endpoint(
    path="/api/profiles",
    scopes=("profiles:read",),
    quota=LARGE,
    page=PageSize(20, 100),
    filters={
        "id": EQUALS_ANY,
        "email": EQUALS_ANY,
        "phone_number": EQUALS_ANY,
        "external_id": EQUALS_ANY,
        "_kx": EQUALS,
        "created": STRICT_BOUNDS,
        "updated": STRICT_BOUNDS,
        f"{LIST_SUPPRESSIONS}.reason": EQUALS,
        f"{LIST_SUPPRESSIONS}.timestamp": BOUNDS,
        f"{LIST_SUPPRESSIONS}.list_id": EQUALS,
        f"{SUPPRESSION}.reason": EQUALS,
        f"{SUPPRESSION}.timestamp": BOUNDS,
    },
    sorts=("created", "email", "id", f"{LIST_SUPPRESSIONS}.timestamp", f"{SUPPRESSION}.timestamp", "updated"),
    includes=("conversations", "push-tokens"),
    additional={"profile": ("subscriptions", "predictive_analytics")},
)
EVENTS = Endpoint(
    path="/api/events",
    scopes=("events:read",),
    quota=EXTRA_LARGE,
    page=PageSize(200, 1000),
    filters={
        "metric_id": EQUALS,
        "profile_id": EQUALS,
        "profile": ("has",),
        "metric": ("has",),
        "datetime": BOUNDS,
        "timestamp": BOUNDS,
    },
    sorts=("datetime", "timestamp"),
    includes=("attributions", "metric", "profile"),
)
METRICS = Endpoint(
    path="/api/metrics",
    scopes=("metrics:read",),
    quota=MEDIUM,
    page=PageSize(200, 200, parameter=None),
    filters={"integration.name": EQUALS, "integration.category": EQUALS},
    includes=("flow-triggers",),
)
LISTS = Endpoint(
    path="/api/lists",
    scopes=("lists:read",),
    quota=LARGE,
    page=PageSize(10, 10),
    filters={"name": EQUALS_ANY, "id": EQUALS_ANY, "created": ("greater-than",), "updated": ("greater-than",)},
    sorts=("created", "id", "name", "updated"),
    includes=("flow-triggers", "tags"),
)
LIST_PROFILES = Endpoint(
    path="/api/lists/{id}/profiles",
    scopes=("lists:read", "profiles:read"),
    quota=LARGE,
    page=PageSize(20, 100),
    filters={
        "email": EQUALS_ANY,
        "phone_number": EQUALS_ANY,
        "push_token": EQUALS_ANY,
        "_kx": EQUALS,
        "joined_group_at": BOUNDS,
    },
    sorts=("joined_group_at",),
    additional={"profile": ("subscriptions", "predictive_analytics")},
)

ENDPOINTS: Mapping[str, Endpoint] = {one.bucket: one for one in (PROFILES, EVENTS, METRICS, LISTS, LIST_PROFILES)}
"""Bucket -> endpoint."""


def bucket_of(method: str, path: str) -> str:
    """Name the quota of a request; the third segment of all of Klaviyo's paths is the id.

    >>> bucket_of("GET", "/api/lists/Y6nRLr/profiles/")
    'GET /api/lists/{id}/profiles'
    """
    parts = path.rstrip("/").split("/")
    return f"{method} {'/'.join('{id}' if place == 3 else part for place, part in enumerate(parts))}"
