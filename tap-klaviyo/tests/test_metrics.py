"""Which metrics the names in a setting mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.filters import any_of, equals, query_string
from tap_klaviyo.metrics import CONSENT_METRICS, Metric, resolve, suggestion

METRICS = [
    Metric("A1", "Placed Order", "Shopify"),
    Metric("B2", "Placed Order", "API"),
    Metric("C3", "Viewed Product", None),
]


def test_metric_spellings_find_one_metric():
    """Names ids and qualified names find their metric once.

    Several ways to name one metric do not read it several times.
    """
    resolution = resolve(["Viewed Product", "C3", "Placed Order (API)", "nothing"], METRICS)

    assert [metric.id for metric in resolution.metrics] == ["C3", "B2"]
    assert resolution.unknown == ["nothing"]
    assert resolution.ambiguous == []


def test_ambiguous_name_lists_candidates():
    """Name that stands twice is reported with its candidates. Both are taken: nothing is dropped silently."""
    resolution = resolve(["Placed Order"], METRICS)

    assert [metric.id for metric in resolution.metrics] == ["A1", "B2"]
    assert resolution.ambiguous == [("Placed Order", METRICS[:2])]


def test_suggestion_prefers_case_difference():
    """Suggestion prefers a difference in case. The mistake that people make most."""
    assert suggestion("viewed product", METRICS) == "Viewed Product"
    assert suggestion("Placed Ordre", METRICS) == "Placed Order"
    assert suggestion("Something else entirely", METRICS) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("placed_ordr", "Placed Order"),
        ("PlacedOrder", "Placed Order"),
        (" Placed Order", "Placed Order"),
        ("Product Viewed", "Viewed Product"),
        ("placed order (shopify)", "Placed Order (Shopify)"),
        ("a1", "A1"),
        ("Subscribed to Text Messaging Marketing", None),
        ("?", None),
    ],
)
def test_suggestion_handles_other_spellings(name, meant):
    """Suggestion is found in other spellings.

    Case, division and order are people's mistakes; a name that Klaviyo itself gives is none.
    """
    metrics = [*METRICS, Metric("D4", "Unsubscribed from Text Messaging Marketing", "Klaviyo")]

    assert suggestion(name, metrics) == meant


def test_consent_metrics_hold_both_families():
    """Names are unique, and for every SMS name there is a Text Messaging one."""
    assert len(set(CONSENT_METRICS)) == len(CONSENT_METRICS)
    for name in ("Subscribed to SMS Marketing", "Unsubscribed from SMS Marketing"):
        assert {name, name.replace("SMS", "Text Messaging")} <= set(CONSENT_METRICS)


@given(st.text())
def test_filter_strings_are_escaped(text):
    """Texts in filters cannot break out. Quotes and backslashes of a name are escaped."""
    import json

    assert json.loads(equals("name", text).removeprefix("equals(name,").removesuffix(")")) == text
    assert json.loads(any_of("id", [text, "b"]).removeprefix("any(id,").removesuffix(")")) == [text, "b"]


def test_query_is_percent_encoded_throughout():
    """A bare `+` in a filter is a space to the API, and re-imports everything."""
    query = query_string({"filter": "less-than(updated,2026-05-01T10:00:00+00:00)", "page[size]": 5, "left out": None})

    assert query == "filter=less-than%28updated%2C2026-05-01T10%3A00%3A00%2B00%3A00%29&page%5Bsize%5D=5"
