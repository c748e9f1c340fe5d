"""The profile flow, through the command line."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

OLD = "2026-01-01T00:00:00Z"
NOON = "2026-06-01T12:00:00Z"
JUST_BEFORE_NOON = "2026-06-01T11:59:55Z"  # the run's start: the server's clock less five seconds


def bounds(query: str) -> dict[str, str]:
    """Operator -> literal, of the conditions on times in a decoded query."""
    return dict(re.findall(r"([a-z-]+)\((?:updated|datetime),([^)]*)\)", query))


@pytest.mark.req("IN-32", "IN-43", "IN-49", "CS-10", "C-25")
def test_second_run_reads_changes(tap, sandbox, queries):
    """First run reads everything and the next only changes.

    Without a bookmark there is no lower bound, with one there is; every bound ends in Z.
    """
    sandbox.clock(now="2026-06-01T00:00:00Z")
    sandbox.seed(profiles=230, events=0, hostile=True)
    first = tap(streams=["profiles"])
    everybody = sorted(profile["id"] for profile in sandbox.klaviyo_profiles())
    sandbox.clock(now="2026-09-01T00:00:00Z")
    sandbox.touch(everybody[:3], at="2026-08-31T00:00:00Z")
    second = tap(streams=["profiles"], state=first.state)

    assert sorted(first.ids("profiles")) == everybody
    assert sorted(second.ids("profiles")) == everybody[:3]
    asked = [query for query in queries("/api/profiles") if "cursor" not in query]
    assert [sorted(bounds(query)) for query in asked] == [["less-than"], ["greater-than", "less-than"]]
    assert all(bound.endswith("Z") for query in asked for bound in bounds(query).values())
    assert all("sort=updated" in query for query in asked)


@pytest.mark.req("IN-31", "IN-33", "IN-34")
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_initial_lookback_counts_once(tap, sandbox, queries, profiles, stream):
    """The first run reads 24 hours; the second one starts at the bookmark, whatever the setting says then."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(1, updated="2026-05-01T00:00:00Z"))
    sandbox.add_events(
        [{"metric": "Unsubscribed", "profile_id": "P00000", "datetime": "2026-05-01T00:00:00Z", "touch": False}]
    )
    path = "/api/profiles" if stream == "profiles" else "/api/events"
    first = tap(streams=[stream], initial_sync_lookback_hours=24)
    second = tap(streams=[stream], initial_sync_lookback_hours=0, state=first.state)

    lower = [value for query in queries(path) for operator, value in bounds(query).items() if operator != "less-than"]
    assert lower[0] in {"2026-05-31T11:59:55Z", "2026-05-31T11:59:54Z"}
    assert lower[1] in {"2026-06-01T11:58:55Z", "2026-06-01T11:58:54Z"}
    assert first.records(stream) == second.records(stream) == []
    assert any("no bookmark; reading what happened since 2026-05-31T11:59:55Z" in line for line in first.warnings())
    assert not any("no bookmark" in line for line in second.warnings())


@pytest.mark.req("CS-02")
@pytest.mark.parametrize("start", ["2026-05-20", "2026-05-20T00:00:00Z", "2026-05-20 02:00:00+02:00"])
def test_start_date_is_inclusive(tap, sandbox, start):
    """`start_date` is inclusive however it is spelt.

    `updated` is compared strictly by the API, which must not cost the profile of the very first second.
    """
    sandbox.clock(frozen=NOON)
    moments = ["2026-05-19T23:59:58Z", "2026-05-20T00:00:00Z", "2026-05-21T00:00:00Z"]
    sandbox.add_profiles(
        [{"id": f"P{number}", "attributes": {"updated": moment}} for number, moment in enumerate(moments)]
    )

    assert tap(streams=["profiles"], start_date=start).ids("profiles") == ["P1", "P2"]


@pytest.mark.req("IN-35", "IN-36")
def test_page_limit_is_resumable(tap, sandbox, profiles):
    """Page limit stops cleanly and the next run continues.

    Exactly 200 of 250, a bookmark at the last one emitted, and no repeat although all share one second.
    """
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(250, updated="2026-05-20T10:00:00Z"))
    first = tap(streams=["profiles"], max_pages=2)
    second = tap(streams=["profiles"], max_pages=2, state=first.state)

    assert (first.code, len(first.ids("profiles")), first.bookmark("profiles")) == (0, 200, "2026-05-20T10:00:00Z")
    assert any("Raise max_pages or run more often" in line for line in first.warnings())
    assert first.summary("profiles")["outcome"] == "stopped at max_pages"
    assert sorted(first.ids("profiles") + second.ids("profiles")) == [f"P{number:05}" for number in range(250)]
    assert second.summary("profiles") | {"repeats": 200, "emitted": 50} == second.summary("profiles")
    assert second.bookmark("profiles") == JUST_BEFORE_NOON


@pytest.mark.req("BX-10", "IN-35")
def test_tied_thousands_arrive_once(tap, sandbox, profiles):
    """Import of thousands in one second arrives once across runs.

    A bulk import gives 5,000 profiles one `updated`: ties cross every page and run, none is lost or repeated.
    """
    sandbox.quotas(None)
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(5_000, updated="2026-05-20T10:00:00Z"))
    ids: list[str] = []
    state = None
    for _ in range(3):
        outcome = tap(streams=["profiles"], max_pages=20, state=state)
        ids += outcome.ids("profiles")
        state = outcome.state

    assert len(ids) == 5_000
    assert len(set(ids)) == 5_000


@pytest.mark.req("C-5", "IN-47")
def test_late_tied_profile_comes_alone(tap, sandbox, profiles):
    """Profile of the bookmarks second that appears later is emitted alone.

    The overlap is read again, and what was emitted there is known.
    """
    sandbox.clock(frozen=NOON)
    early, late = profiles(2, updated=JUST_BEFORE_NOON.replace("55", "54"))
    sandbox.add_profiles([early])
    first = tap(streams=["profiles"])
    sandbox.add_profiles([late])
    second = tap(streams=["profiles"], state=first.state)

    assert first.ids("profiles") == [early["id"]]
    assert second.ids("profiles") == [late["id"]]
    assert second.summary("profiles")["repeats"] == 1


@pytest.mark.req("IN-47", "BX-10")
def test_touched_profile_comes_anew(tap, sandbox, profiles):
    """Profile touched after it was read comes again in its new version. The state remembers versions, not people."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(3, updated="2026-06-01T11:59:50Z"))
    first = tap(streams=["profiles"])
    sandbox.clock(frozen="2026-06-01T12:00:30Z")
    sandbox.touch(["P00001"], {"title": "Dr"}, at="2026-06-01T12:00:01Z")
    second = tap(streams=["profiles"], state=first.state)

    assert len(first.ids("profiles")) == 3
    assert [(record["id"], record["title"]) for record in second.records("profiles")] == [("P00001", "Dr")]


@pytest.mark.req("IN-50")
def test_empty_account_writes_bookmarks(tap):
    """Empty account leaves bookmarks and no records.

    So that "first run only" is over after the first run, data or not.
    """
    outcome = tap()

    assert outcome.code == 0
    assert [message["type"] for message in outcome.messages if message["type"] == "RECORD"] == []
    assert {stream: outcome.bookmark(stream)[-1] for stream in outcome.state["bookmarks"]} == {
        "profiles": "Z",
        "events": "Z",
        "subscription_changes": "Z",
    }


@pytest.mark.req("C-2", "BX-11")
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_future_state_is_brought_back(tap, sandbox, queries, profiles, stream):
    """State dated tomorrow is brought back.

    A cursor in the future would be a 400 for ever; no bound lies after the server's now less 5 s.
    """
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(1, updated="2026-06-01T11:59:54Z"))
    key = {"profiles": "updated", "events": "datetime", "subscription_changes": "changed_at"}[stream]
    sandbox.add_events([{"metric": "Unsubscribed", "profile_id": "P00000", "datetime": "2026-06-01T11:59:54Z"}])
    tomorrow = {"bookmarks": {stream: {"replication_key": key, "replication_key_value": "2026-06-02T12:00:00Z"}}}
    outcome = tap(streams=[stream], state=tomorrow)

    assert outcome.code == 0
    assert outcome.bookmark(stream) == JUST_BEFORE_NOON
    assert any("lies in the future" in line for line in outcome.warnings())
    asked = queries("/api/profiles" if stream == "profiles" else "/api/events")
    assert max(value for query in asked for value in bounds(query).values()) <= JUST_BEFORE_NOON


@pytest.mark.req("C-11", "C-23", "CS-10")
def test_record_has_all_server_data(tap, sandbox):
    """Record holds all that the server sends.

    Every attribute and every leaf of `subscriptions`, values untouched; only declared times are spelt anew.
    """
    sandbox.seed(profiles=40, events=100, hostile=True)
    outcome = tap(streams=["profiles"])
    truth = {profile["id"]: profile["attributes"] for profile in sandbox.klaviyo_profiles()}

    assert len(outcome.records("profiles")) == 40
    for record in outcome.records("profiles"):
        sent = truth[record.pop("id")]
        assert record.keys() == sent.keys()
        assert record["properties"] == sent["properties"]
        assert utc(record) == utc(sent)
        assert "+00:00" not in json.dumps([record["updated"], record["created"], record["subscriptions"]])


def utc(value):
    """Spell every ``+00:00`` as ``Z``, and leave the rest."""
    return json.loads(json.dumps(value, sort_keys=True).replace('+00:00"', 'Z"'))


PAGE = r"""{"data":[{"type":"profile","id":"P1","attributes":{
"email":"a@shop.example","new_attribute":{"b":1,"a":[2]},"title":"","last_event_date":null,
"created":"2021-05-17 23:43:28+00:00","updated":"2026-05-01T02:00:00.25+02:00",
"properties":{"big":12345678901234567890,"money":10.10,"tiny":1e-7,"zero":0,"no":false,
"when":"2021-05-17 23:43:28+00:00","name":"Ünïcode \u0130 🧦","z":1,"a":2},
"subscriptions":{"email":{"marketing":{"consent":"SUBSCRIBED","consent_timestamp":"2021-05-17 23:43:28+00:00",
"method_detail":"2021-05-17 23:43:28+00:00",
"suppression":[{"reason":"X","timestamp":"2021-05-17T23:43:28.131026+00:00"}]}}}},
"links":{}}],"links":{"next":null}}"""


@pytest.mark.req("BX-13", "C-23", "CS-10")
@pytest.mark.parametrize("maps", [None, {"profiles": {"copy": "email"}}], ids=["opaque", "stream maps"])
def test_values_are_exact(tap, sandbox, maps):
    """Values survive to the digit and declared times become RFC 3339.

    Numbers, key order, unicode and unknown attributes are passed on; nothing inside `properties` is touched.
    """
    sandbox.clock(frozen=NOON)
    sandbox.fault("klaviyo", kind="status", status=200, body=PAGE, path="/api/profiles", query="sort=updated")
    settings = {"stream_maps": maps} if maps else {}
    outcome = tap(streams=["profiles"], **settings)
    line = next(line for line in outcome.output.splitlines() if '"RECORD"' in line)
    record = json.loads(line, parse_float=Decimal)["record"]

    assert '"big":12345678901234567890,"money":10.10' in line
    assert record["properties"]["tiny"] == Decimal("1e-7")
    assert list(record["properties"]) == ["big", "money", "tiny", "zero", "no", "when", "name", "z", "a"]
    assert record["properties"]["zero"] == 0
    assert record["properties"]["no"] is False
    assert record["properties"]["when"] == "2021-05-17 23:43:28+00:00"
    assert record["properties"]["name"] == "Ünïcode \u0130 🧦"
    assert record["new_attribute"] == {"b": 1, "a": [2]}
    assert (record["title"], record["last_event_date"]) == ("", None)
    assert (record["created"], record["updated"]) == ("2021-05-17T23:43:28Z", "2026-05-01T00:00:00.25Z")
    marketing = record["subscriptions"]["email"]["marketing"]
    assert marketing["consent_timestamp"] == "2021-05-17T23:43:28Z"
    assert marketing["suppression"][0]["timestamp"] == "2021-05-17T23:43:28.131026Z"
    assert marketing["method_detail"] == "2021-05-17 23:43:28+00:00"


@pytest.mark.req("CS-06")
def test_full_table_ignores_bookmark(tap, sandbox, profiles, full_table):
    """FULL_TABLE reads everything and leaves the bookmark alone.

    The catalog decides; the state of the incremental reading stays for later.
    """
    sandbox.add_profiles(profiles(5, updated=OLD))
    first = tap(streams=["profiles"])
    full = tap(catalog=full_table, state=first.state)

    assert len(full.ids("profiles")) == 5
    assert full.state == first.state


@pytest.fixture
def full_table():
    from tap_klaviyo.tap import TapKlaviyo

    catalog = TapKlaviyo(config={}, validate_config=False, setup_mapper=False).catalog_dict
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = stream["tap_stream_id"] == "profiles"
    return json.loads(json.dumps(catalog))


@pytest.mark.req("CS-06")
def test_deselected_properties_are_left_out(tap, sandbox, profiles, full_table):
    """At the root and inside an object; the rest of the object stays."""
    sandbox.add_profiles(profiles(1, updated=OLD, location={"city": "Oslo", "zip": "0150"}))
    dropped = (["properties", "email"], ["properties", "location", "properties", "zip"])
    for entry in (entry for stream in full_table["streams"] for entry in stream["metadata"]):
        if entry["breadcrumb"] in dropped:
            entry["metadata"]["selected"] = False
    (record,) = tap(catalog=full_table).records("profiles")

    assert "email" not in record
    assert record["location"]["city"] == "Oslo"
    assert "zip" not in record["location"]


@pytest.mark.req("C-8")
def test_calls_per_thousand_are_bounded(tap, sandbox):
    """Calls stay within ten per thousand profiles. Pages of 100, and one call for the server's clock.

    One request at a time: a busy machine makes the tap read in several windows, and the last page of each is not full.
    """
    sandbox.seed(profiles=1_000, events=0)
    tap(streams=["profiles"], max_concurrency=1)

    assert len(sandbox.journal()) <= 10 + 2


def test_stated_limits_replace_documented(tap, sandbox, profiles):
    """Limits stated by the account replace the documented ones.

    An account may have a smaller quota than the documented one: it is heeded without a single 429.
    """
    sandbox.quotas(1.0, {"GET /api/profiles": "3;w=1, 60;w=60"})
    sandbox.add_profiles(profiles(600, updated=OLD))
    outcome = tap(streams=["profiles"])

    assert len(outcome.ids("profiles")) == 600
    assert [entry["status"] for entry in sandbox.journal() if entry["status"] != 200] == []


@pytest.mark.req("C-26")
def test_half_emoji_costs_one_character(tap, sandbox):
    """Half an emoji costs one character.

    A name cut in the middle of a surrogate pair is grammatical JSON; it must not hold the stream up for ever.
    """
    body = (
        r'{"data":[{"type":"profile","id":"P1","attributes":{"updated":"2026-01-01T00:00:00+00:00",'
        r'"first_name":"Ada \ud83e","last_name":"\ud83e\udde6 \\ud83e","title":"\udde6x"}}],"links":{"next":null}}'
    )
    sandbox.fault("klaviyo", kind="status", status=200, body=body, path="/api/profiles", query="sort=updated")
    (record,) = tap(streams=["profiles"]).records("profiles")

    assert (record["first_name"], record["title"]) == ("Ada \ufffd", "\ufffdx")
    assert record["last_name"] == "\U0001f9e6 \\ud83e"
