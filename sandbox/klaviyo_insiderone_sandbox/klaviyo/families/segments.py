"""Segments."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.families.flows import FLOW
from klaviyo_insiderone_sandbox.klaviyo.families.tags import TAG
from klaviyo_insiderone_sandbox.klaviyo.filters import AFTER, EQUALS, EQUALS_ANY, ONE_OF, FieldRule, Kind
from klaviyo_insiderone_sandbox.klaviyo.reads import collection, related, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
from klaviyo_insiderone_sandbox.quotas import TIER_L, TIER_S, TIER_XS

SEGMENT = ResourceType(
    "segment",
    "segments",
    "segments:read",
    attributes=("name", "definition", "created", "updated", "is_active", "is_processing", "is_starred"),
    members=(r"definition\.condition_groups",),
    additional=("profile_count",),
    to_many={"profiles": "profile", "tags": "tag", "flow-triggers": "flow"},
)
_INCLUDES = {"flow-triggers": FLOW, "tags": TAG}

ROUTES = (
    collection(
        SEGMENT,
        TIER_L,
        page=(10, 10),
        sorts=("created", "id", "name", "updated"),
        filters={
            "name": ONE_OF,
            "id": ONE_OF,
            "created": AFTER,
            "updated": AFTER,
            "is_active": FieldRule(Kind.BOOLEAN, EQUALS_ANY),
            "is_starred": FieldRule(Kind.BOOLEAN, EQUALS, ignored=True),
        },
        includes=_INCLUDES,
    ),
    single(SEGMENT, TIER_L, includes=_INCLUDES, additional={"profile_count": TIER_XS}),
    *related(SEGMENT, "tags", TAG, TIER_S),
    *related(SEGMENT, "flow-triggers", FLOW, TIER_S),
)
