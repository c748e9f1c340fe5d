"""Lists."""

from __future__ import annotations

from klaviyo_http.endpoints import LISTS

from tap_klaviyo.reading.collections import Collection


class Lists(Collection):
    """Lists of profiles. Source: GET /api/lists (https://developers.klaviyo.com/en/reference/get_lists)."""

    name = "lists"
    endpoint = LISTS
    replication_key = "updated"
    include = ("tags", "flow-triggers")
