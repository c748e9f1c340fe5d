"""Flows: declared because other resources refer to them; not served."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType

FLOW = ResourceType(
    "flow",
    "flows",
    "flows:read",
    attributes=("name", "status", "archived", "created", "updated", "trigger_type"),
    to_many={"flow-actions": "flow-action", "tags": "tag"},
)
