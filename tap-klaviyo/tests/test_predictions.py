"""Predictive analytics: on wish, at their own quota, and not at the price of the profiles."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.filters import leaving_out, query_string

NOON = "2026-06-01T12:00:00Z"
OLD = "2026-05-01T00:00:00Z"
FIELD = "predictive_analytics"
PREDICTED = {"historic_clv": 93.87, "expected_date_of_next_order": "2026-11-08 00:00:00"}


@pytest.fixture(autouse=True)
def account(sandbox, profiles):
    """250 people, three pages, with predictions."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(250, updated=OLD, **{FIELD: PREDICTED}))
    return sandbox


def schema(outcome):
    (found,) = [one for one in outcome.messages if one["type"] == "SCHEMA" and one["stream"] == "profiles"]
    return found["schema"]["properties"]


@pytest.mark.req("CS-05")
def test_predictions_are_off_by_default(tap, queries):
    """Field is absent unless it is switched on.

    From the schema, from the records, and from the requests, whose quota it would cut to a fifth.
    """
    outcome = tap(streams=["profiles"])

    assert FIELD not in schema(outcome)
    assert not any(FIELD in record for record in outcome.records("profiles"))
    assert not any(FIELD in query for query in queries("/api/profiles"))


@pytest.mark.req("CS-05")
@pytest.mark.parametrize("maps", [None, {"profiles": {"copy": "email"}}], ids=["opaque", "stream maps"])
def test_predictions_can_be_enabled(tap, queries, maps):
    """Field is fetched when it is switched on. Digit by digit, its declared time in RFC 3339; on every page."""
    settings = {"stream_maps": maps} if maps else {}
    outcome = tap(streams=["profiles"], fetch_predictive_analytics=True, **settings)

    assert schema(outcome)[FIELD]["properties"]["historic_clv"] == {"type": ["number", "null"]}
    predictions = [record[FIELD] for record in outcome.records("profiles")]
    assert len(predictions) == 250
    assert {(one["historic_clv"], one["expected_date_of_next_order"]) for one in predictions} == {
        (93.87, "2026-11-08T00:00:00Z")
    }
    assert [f"subscriptions,{FIELD}" in query for query in queries("/api/profiles")] == [True] * 3
    assert outcome.summary("profiles")[f"without_{FIELD}"] == 0


@pytest.mark.req("CS-05")
def test_predictions_skip_subscription_changes(tap, account, queries):
    """Field is no part of subscription changes.

    Who waits for a change of consent shall not wait for a smaller quota.
    """
    account.consent("P00001", "email", "UNSUBSCRIBED", at="2026-05-30T10:00:00Z")
    outcome = tap(streams=["subscription_changes"], fetch_predictive_analytics=True)

    assert FIELD not in outcome.records("subscription_changes")[0]
    assert [FIELD in query for query in queries("/api/profiles")] == [False]


@pytest.mark.req("CS-05", "C-20")
def test_predictions_keep_smaller_quota(tap, account, profiles):
    """Smaller quota of the field is kept without a single 429.

    Ten requests a second instead of 75; the sandbox refuses the eleventh.
    """
    account.add_profiles(profiles(2_100, updated=OLD))
    outcome = tap(streams=["profiles"], fetch_predictive_analytics=True)

    assert len(outcome.ids("profiles")) == 2_100
    assert {entry["status"] for entry in account.journal()} == {200}


@pytest.mark.req("CS-05", "C-10")
def test_failure_under_load_is_retried(tap, account):
    """Two 503 in a row cost time, and not the field."""
    account.fault("klaviyo", kind="status", status=503, query=FIELD, skip=1, times=2)
    outcome = tap(streams=["profiles"], fetch_predictive_analytics=True)

    assert outcome.code == 0
    assert outcome.summary("profiles")[f"without_{FIELD}"] == 0
    assert len([record for record in outcome.records("profiles") if record[FIELD]]) == 250
    assert not any("goes on without the field" in line for line in outcome.warnings())


@pytest.mark.req("CS-05", "C-10")
def test_predictions_are_dropped_on_failure(tap, account):
    """A run continues without the field when the retry budget is spent.

    From the failing page on, nobody lost and nobody twice; said once, and counted.
    """
    account.fault("klaviyo", kind="status", status=503, query=FIELD, skip=1, times=None)
    outcome = tap(streams=["profiles"], fetch_predictive_analytics=True, max_retry_seconds=1)

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == [f"P{number:05}" for number in range(250)]
    assert [FIELD in record for record in outcome.records("profiles")] == [True] * 100 + [False] * 150
    assert all("subscriptions" in record for record in outcome.records("profiles"))
    assert len([line for line in outcome.warnings() if "goes on without the field" in line]) == 1
    assert outcome.summary("profiles")[f"without_{FIELD}"] == 150
    assert [entry["records"] for entry in account.journal() if entry["status"] == 200][-2:] == [100, 50]


@pytest.mark.req("C-10", "C-24")
def test_profile_outage_still_fails(tap, account):
    """Outage of the profiles themselves still fails the stream. Giving up the field is no way out of that."""
    account.fault("klaviyo", kind="status", status=503, path="/api/profiles", skip=1, times=None)
    outcome = tap(streams=["profiles"], fetch_predictive_analytics=True, max_retry_seconds=0)

    assert outcome.code == 1
    assert "stream profiles failed: GET /api/profiles: the API failed (503); given up" in outcome.log


@pytest.mark.req("CS-05")
def test_old_catalog_keeps_predictions(tap, catalog):
    """Catalog of a time before the field does not hide it.

    The setting decides; a catalog that somebody keeps may be older.
    """
    older = catalog(["profiles"])
    assert FIELD not in json.dumps(older)

    outcome = tap(catalog=older, fetch_predictive_analytics=True)

    assert [FIELD in record for record in outcome.records("profiles")] == [True] * 250


@given(
    st.dictionaries(st.text(min_size=1), st.text()),
    st.lists(st.text("abc,&=+% ü", min_size=1).filter(lambda one: "," not in one), unique=True),
)
def test_query_keeps_other_values(others, values):
    """Query keeps everything but the value left out. Above all the cursor, whatever it looks like."""
    parameters = {**others, "list": ",".join([*values, "gone"])}
    kept = {**others, "list": ",".join(values)}

    assert leaving_out(query_string(parameters), "list", "gone") == query_string(kept)
