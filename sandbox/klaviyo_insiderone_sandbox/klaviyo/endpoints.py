"""The parameters that a read endpoint permits: scopes, quota, page sizes, sort keys, filters, includes, fields.

Declarations follow the vendor's OpenAPI document, revision 2026-07-15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.quotas import Bucket, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klaviyo_insiderone_sandbox.klaviyo.filters import FieldRule


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One documented read."""

    path: str
    """With ``{id}`` for the id: all ids share one quota."""
    scopes: tuple[str, ...]
    limits: Limits
    sorts: tuple[str, ...] = ()
    filters: Mapping[str, FieldRule] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    fields: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """Resource type -> the field names that ``fields[type]`` may list."""
    additional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Resource type -> the field names that ``additional-fields[type]`` may list."""
    page: tuple[int, int | None] | None = None
    """Default and largest ``page[size]``; largest None = clients cannot choose; no pair = no pages."""
    parameter_buckets: Mapping[str, Bucket] = field(default_factory=dict)
    """``parameter=value`` -> the quota that the value draws from besides the endpoint's own."""

    @property
    def bucket(self) -> Bucket:
        """The endpoint's own quota."""
        return Bucket(f"GET {self.path}", self.limits)


def any_of(*names: str) -> re.Pattern[str]:
    """Compile the field names of a resource type, or patterns of them; each type has ``id`` besides."""
    return re.compile("|".join(("id", *names)))
