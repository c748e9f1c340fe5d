"""Metrics."""

from __future__ import annotations

from klaviyo_http.endpoints import METRICS

from tap_klaviyo.reading.collections import Collection


class Metrics(Collection):
    """Kinds of events. Source: GET /api/metrics (https://developers.klaviyo.com/en/reference/get_metrics)."""

    name = "metrics"
    endpoint = METRICS
    include = ("flow-triggers",)
