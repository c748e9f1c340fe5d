"""Metrics, which the account creates when their first event is added."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.families.flows import FLOW
from klaviyo_insiderone_sandbox.klaviyo.filters import EQUALS, IS, FieldRule, Kind
from klaviyo_insiderone_sandbox.klaviyo.reads import collection, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
from klaviyo_insiderone_sandbox.quotas import TIER_M

METRIC = ResourceType(
    "metric",
    "metrics",
    "metrics:read",
    attributes=("name", "created", "updated", "integration"),
    to_many={"flow-triggers": "flow"},
    kept_elsewhere=lambda account: account.metrics_by_id,
)
_INCLUDES = {"flow-triggers": FLOW}

ROUTES = (
    collection(
        METRIC,
        TIER_M,
        page=(200, None),
        filters={
            "integration.name": IS,
            "integration.category": FieldRule(Kind.TEXT, EQUALS, ignored=True),
        },
        includes=_INCLUDES,
    ),
    single(METRIC, TIER_M, includes=_INCLUDES),
)
