"""Tags and tag groups."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.filters import FLAG, LIKE
from klaviyo_insiderone_sandbox.klaviyo.reads import collection, related, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
from klaviyo_insiderone_sandbox.quotas import TIER_S

TAG = ResourceType(
    "tag",
    "tags",
    "tags:read",
    attributes=("name",),
    to_one={"tag-group": "tag-group"},
    to_many={"lists": "list", "segments": "segment", "campaigns": "campaign", "flows": "flow"},
)
TAG_GROUP = ResourceType(
    "tag-group", "tag-groups", "tags:read", attributes=("name", "exclusive", "default"), to_many={"tags": "tag"}
)
_INCLUDES = {"tag-group": TAG_GROUP}

ROUTES = (
    collection(TAG, TIER_S, page=(50, 50), sorts=("id", "name"), filters={"name": LIKE}, includes=_INCLUDES),
    single(TAG, TIER_S, includes=_INCLUDES),
    *related(TAG, "tag-group", TAG_GROUP, TIER_S),
    collection(
        TAG_GROUP,
        TIER_S,
        page=(25, 25),
        sorts=("id", "name"),
        filters={"name": LIKE, "exclusive": FLAG, "default": FLAG},
    ),
    single(TAG_GROUP, TIER_S),
    *related(TAG_GROUP, "tags", TAG, TIER_S),
)
