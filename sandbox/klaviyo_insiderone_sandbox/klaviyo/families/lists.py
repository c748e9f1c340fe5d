"""Lists."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.families.flows import FLOW
from klaviyo_insiderone_sandbox.klaviyo.families.tags import TAG
from klaviyo_insiderone_sandbox.klaviyo.filters import AFTER, ONE_OF
from klaviyo_insiderone_sandbox.klaviyo.reads import collection, related, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
from klaviyo_insiderone_sandbox.quotas import TIER_L, TIER_S, TIER_XS

LIST = ResourceType(
    "list",
    "lists",
    "lists:read",
    attributes=("name", "created", "updated", "opt_in_process"),
    additional=("profile_count",),
    to_many={"profiles": "profile", "tags": "tag", "flow-triggers": "flow"},
)
_INCLUDES = {"flow-triggers": FLOW, "tags": TAG}

ROUTES = (
    collection(
        LIST,
        TIER_L,
        page=(10, 10),
        sorts=("created", "id", "name", "updated"),
        filters={"name": ONE_OF, "id": ONE_OF, "created": AFTER, "updated": AFTER},
        includes=_INCLUDES,
    ),
    single(LIST, TIER_L, includes=_INCLUDES, additional={"profile_count": TIER_XS}),
    *related(LIST, "tags", TAG, TIER_S),
    *related(LIST, "flow-triggers", FLOW, TIER_S),
)
