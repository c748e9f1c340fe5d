"""The event flow, through the command line."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY_THREE_FLOWS

NOON = "2026-06-01T12:00:00Z"


def event(identifier, moment, metric="Placed Order", **more):
    return {"id": identifier, "metric": metric, "profile_id": "P00000", "datetime": moment, "properties": {}, **more}


@pytest.fixture
def account(sandbox, profiles):
    """One profile, and a clock that stands still at noon of the first of June."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(1, first_name="Ada", updated="2026-01-01T00:00:00Z"))
    return sandbox


@pytest.mark.req("IN-44", "CS-11", "CS-13", "C-14")
def test_event_carries_metric_and_profile(tap, account):
    """No second query is needed to know what happened to whom."""
    properties = {"$value": 10.5, "Items": [{"Name": "Bowl"}], "n": None}
    account.add_events([event("E1", "2026-05-30T10:00:00Z", properties=properties, uuid="u-1")])
    outcome = tap(streams=["events"], event_profile_fields=["email", "first_name"])

    (record,) = outcome.records("events")
    assert record.pop("metric_id")
    assert record == {
        "id": "E1",
        "timestamp": 1780135200,
        "event_properties": properties,
        "datetime": "2026-05-30T10:00:00Z",
        "uuid": "u-1",
        "metric_name": "Placed Order",
        "profile_id": "P00000",
        "profile": {"email": "p0@shop.example", "first_name": "Ada"},
        "attributions": [],
    }


CREDIT = {
    "id": "A1",
    "attributed-event": "E0",
    "flow": "F1",
    "flow-message": "M1",
    "flow-message-variation": "V1",
}


@pytest.mark.req("CS-13")
@pytest.mark.parametrize("maps", [None, {"events": {"copy": "metric_name"}}], ids=["opaque", "stream maps"])
def test_event_carries_its_attributions(tap, account, maps):
    """Every id that an attribution names, and none that it does not; an event without any has an empty list."""
    given = [CREDIT, {"id": "A2", "campaign": "C1", "campaign-message": "M2"}]
    account.add_events([event("E1", "2026-05-30T10:00:00Z", attributions=given), event("E2", "2026-05-30T11:00:00Z")])
    outcome = tap(streams=["events"], **({"stream_maps": maps} if maps else {}))

    assert [record["attributions"] for record in outcome.records("events")] == [
        [
            {
                "id": "A1",
                "event_id": "E1",
                "attributed_event_id": "E0",
                "flow_id": "F1",
                "flow_message_id": "M1",
                "flow_message_variation_id": "V1",
            },
            {"id": "A2", "event_id": "E1", "campaign_id": "C1", "campaign_message_id": "M2"},
        ],
        [],
    ]


@pytest.mark.req("CS-13", "C-8")
@pytest.mark.parametrize("metrics", [None, ["Placed Order", "Viewed Product"]], ids=["one chain", "two"])
def test_attributions_cost_no_extra_call(tap, sandbox, metrics):
    """Attributions of a whole account arrive without a further call.

    Made-up data credits one order in eight; what the sandbox holds is what comes.
    """
    sandbox.seed(profiles=100, events=1_500, hostile=False)
    sandbox.clock(now="2030-01-01T00:00:00Z")
    outcome = tap(streams=["events"], **({"event_metrics": metrics} if metrics else {}))

    truth = {row["resource"]["id"]: [one["id"] for one in row["attributions"]] for row in sandbox.klaviyo_events()}
    arrived = {record["id"]: [one["id"] for one in record["attributions"]] for record in outcome.records("events")}
    assert sum(map(len, arrived.values())) == sum(map(len, truth.values())) > 10
    assert arrived.items() <= truth.items()
    assert len(sandbox.journal()) <= 2 + 3


@pytest.mark.req("CS-13")
def test_attributions_can_be_deselected(tap, account, catalog, queries):
    """Attributions are switched off by deselecting them.

    As every property of a Singer stream; then they are not asked for either.
    """
    account.add_events([event("E1", "2026-05-30T10:00:00Z", attributions=[CREDIT])])
    selected = catalog(["events"])
    for entry in (entry for stream in selected["streams"] for entry in stream["metadata"]):
        if entry["breadcrumb"] == ["properties", "attributions"]:
            entry["metadata"]["selected"] = False
    (record,) = tap(catalog=selected).records("events")

    assert "attributions" not in record
    assert "include=metric,profile&" in queries("/api/events")[0]


def refusal(parameter):
    error = {"id": "1", "status": 400, "code": "invalid", "title": "t", "detail": "d"}
    return json.dumps({"errors": [{**error, "source": {"parameter": parameter}}]})


@pytest.mark.req("CS-13")
@pytest.mark.parametrize("metrics", [None, ["Placed Order", "Viewed Product"]], ids=["one chain", "two"])
def test_refused_attributions_are_done_without(tap, account, metrics):
    """An older revision, or a stand-in, may not know them: every event is still emitted, with one warning."""
    account.fault(
        "klaviyo", kind="status", status=400, body=refusal("include"), path="/api/events", query="attributions", times=9
    )
    names = ["Placed Order", "Viewed Product"]
    account.add_events([event(f"E{n}", f"2026-05-30T10:0{n}:00Z", metric=names[n % 2]) for n in range(6)])
    outcome = tap(streams=["events"], events_page_size=2, **({"event_metrics": metrics} if metrics else {}))

    assert outcome.code == 0
    assert outcome.ids("events") == [f"E{n}" for n in range(6)]
    assert all(record["attributions"] == [] and record["profile"] for record in outcome.records("events"))
    assert len([line for line in outcome.warnings() if "refuses to include attributions" in line]) == 1
    assert [entry["fault"] for entry in account.journal() if entry["status"] == 400] == ["status"]


def test_refused_includes_end_stream(tap, account):
    """Refusal of everything that is included ends the stream.

    Without metric and profile a record would lack what it is for.
    """
    account.fault(
        "klaviyo", kind="status", status=400, body=refusal("include"), path="/api/events", query="include", times=9
    )
    outcome = tap(streams=["events"])

    assert outcome.code == 1
    assert "stream events failed: GET /api/events: the API refused the request (400, invalid, include)" in outcome.log


@pytest.mark.parametrize(
    ("relationship", "attributions"),
    [
        ({"links": {}}, []),
        ({"data": None}, []),
        ({"data": [{"type": "attribution", "id": "A1"}]}, [{"id": "A1"}]),
    ],
    ids=["not filled", "null", "named, not included"],
)
def test_ignored_include_keeps_known_data(tap, account, relationship, attributions):
    """Include that is ignored leaves what is known.

    A stand-in may accept the parameter and do nothing; no event is held up by that.
    """
    resource = {
        "type": "event",
        "id": "E1",
        "attributes": {"datetime": "2026-05-30T10:00:00+00:00", "event_properties": {}},
        "relationships": {"attributions": relationship},
    }
    body = json.dumps({"data": [resource], "links": {"next": None}})
    account.fault("klaviyo", kind="status", status=200, body=body, path="/api/events", query="sort=datetime")
    (record,) = tap(streams=["events"]).records("events")

    assert record["attributions"] == attributions


@pytest.mark.req("C-8", "C-14", "CS-11", "C-17")
def test_thousand_events_per_call(tap, sandbox):
    """Thousands of events take a call per thousand.

    All that is due arrives once, in the order of time, without a call per record.
    """
    sandbox.clock(frozen=NOON)
    sandbox.seed(profiles=300, events=4_000, hostile=True)
    outcome = tap(streams=["events"])

    due = {
        row["resource"]["id"]
        for row in sandbox.klaviyo_events()
        if row["resource"]["attributes"]["datetime"] < "2026-06-01T11:59:55"
    }
    late = outcome.summary("events")["emitted"]
    ids = outcome.ids("events")
    assert len(set(ids)) == len(ids) == late
    assert set(ids) <= due
    moments = [record["datetime"] for record in outcome.records("events")]
    assert moments == sorted(moments)
    assert len(sandbox.journal()) <= 4 + 2


@pytest.mark.req("C-17", "IN-49")
def test_emitted_matches_server_count(tap, sandbox):
    """What the server counts is what is emitted. Without events that hide or lie ahead, every one is there."""
    sandbox.seed(profiles=100, events=1_500, hostile=False)
    sandbox.clock(now="2030-01-01T00:00:00Z")
    outcome = tap(streams=["events"])

    assert len(set(outcome.ids("events"))) == sandbox.counts()["events"]


@pytest.mark.req("C-31", "IN-44")
def test_named_metrics_are_filtered_remotely(tap, account, queries):
    """Named metrics are filtered at the API one chain each.

    By exact name or by id; the chains are merged in the order of time.
    """
    moments = [f"2026-05-30T10:{minute:02}:00Z" for minute in range(30)]
    names = ["Placed Order", "Viewed Product", "Opened Email"]
    account.add_events([event(f"E{n:02}", moment, metric=names[n % 3]) for n, moment in enumerate(moments)])
    everything = tap(streams=["events"])
    viewed = next(r["metric_id"] for r in everything.records("events") if r["metric_name"] == "Viewed Product")
    account.clear_journal()
    outcome = tap(streams=["events"], event_metrics=["Placed Order", viewed])

    assert {record["metric_name"] for record in outcome.records("events")} == {"Placed Order", "Viewed Product"}
    assert outcome.ids("events") == [f"E{n:02}" for n in range(30) if n % 3 != 2]
    assert all("equals(metric_id," in query for query in queries("/api/events"))


@pytest.mark.req("IN-22")
def test_near_metric_name_is_suggested(tap, account):
    """Metric names are exact and a near miss is suggested.

    `placed order` is not `Placed Order`, and nobody should have to guess why nothing comes.
    """
    account.add_events([event("E1", "2026-05-30T10:00:00Z")])
    outcome = tap(streams=["events"], event_metrics=["placed order", "Opened Email"])
    others = tap(streams=["events"], event_metrics=["placed order", "Placed Order"])

    assert (outcome.code, [one["type"] for one in outcome.messages if one["type"] != "STATE"]) == (2, ["SCHEMA"])
    assert "did you mean `Placed Order`" in outcome.log
    assert (others.code, others.ids("events")) == (0, ["E1"])


def test_all_misspelt_metrics_are_refused(tap, account):
    """Metrics that are all misspelt are a mistake in the settings.

    Such jobs delivered nothing and were green, in every run. The connection test tells it, too.
    """
    account.add_events([event("E1", "2026-05-30T10:00:00Z")])
    outcome = tap("--test", event_metrics=["Placed Ordr", "Opened Email"])

    assert outcome.code == 2
    assert "none of the metrics in `event_metrics` can be read" in outcome.log
    assert "the account has no metric `Opened Email`" in outcome.log
    assert "events: was not read, see the ERROR line above" in outcome.output
    assert "is empty" not in outcome.output


def test_future_metrics_warn(tap, account):
    """Metrics that an account has not yet are a warning.

    A young shop has had no order; nothing says that it reads everything then, or that a bookmark stays.
    """
    account.add_events([event("E1", "2026-05-30T10:00:00Z")])
    outcome = tap(streams=["events"], event_metrics=["Refunded Order"])

    assert (outcome.code, outcome.ids("events")) == (0, [])
    assert any("nothing is read, and no bookmark moves" in line for line in outcome.warnings())
    assert "reading everything" not in outcome.log


@pytest.mark.req("C-31")
def test_ambiguous_name_reads_both(tap, account):
    """Name that stands twice reads both unless qualified.

    A WARNING lists the candidates; `Name (Integration)` picks one.
    """
    account.add_events(
        [
            event("E1", "2026-05-30T10:00:00Z", integration="Shopify"),
            event("E2", "2026-05-30T11:00:00Z", integration="API"),
        ]
    )
    both = tap(streams=["events"], event_metrics=["Placed Order"])
    one = tap(streams=["events"], event_metrics=["Placed Order (API)"])

    assert both.ids("events") == ["E1", "E2"]
    assert any("`Placed Order (Shopify)`" in line and "`Placed Order (API)`" in line for line in both.warnings())
    assert one.ids("events") == ["E2"]


def test_custom_metric_is_filtered_locally(tap, account):
    """Custom metric is found by reading everything.

    The API cannot filter it (400); the cost is said, and nothing is lost.
    """
    account.add_events(
        [
            event("E1", "2026-05-30T10:00:00Z", metric="Big spender", integration=None),
            event("E2", "2026-05-30T11:00:00Z"),
            event("E3", "2026-05-30T12:00:00Z", metric="Opened Email"),
        ]
    )
    outcome = tap(streams=["events"], event_metrics=["Big spender", "Placed Order"])

    assert outcome.ids("events") == ["E1", "E2"]
    assert any("cannot filter the metric `Big spender`" in line for line in outcome.warnings())


def test_unrelated_refusal_keeps_page_size(tap, account, queries):
    """Refusal of a metric that blames nothing does not shrink the pages.

    Smaller pages are tried, and do not help; kept, they would make five requests of each for the whole run.
    """
    fault = {"kind": "status", "status": 400, "body": refusal(None), "query": "metric_id", "times": 2}
    account.fault("klaviyo", path="/api/events", **fault)
    account.add_events([event("E1", "2026-05-30T10:00:00Z")])
    outcome = tap(streams=["events"], event_metrics=["Placed Order"])
    sizes = [re.search(r"page\[size\]=(\d+)", query)[1] for query in queries("/api/events")]

    assert outcome.code == 0
    assert outcome.ids("events") == ["E1"]
    assert sizes == ["1000", "200", "1000"]


@pytest.mark.req("IN-02", "CS-01")
def test_two_scopes_serve_all_flows(tap, account):
    """Key with two scopes serves the three flows.

    Profiles and events (read) are enough; one WARNING names the missing scope and what it costs.
    """
    account.add_events(
        [event("E1", "2026-05-30T10:00:00Z"), event("E2", "2026-05-30T11:00:00Z", metric="Opened Email")]
    )
    account.consent("P00000", "email", "UNSUBSCRIBED", at="2026-05-30T12:00:00Z")
    account.clock(frozen="2026-06-01T12:01:00Z")
    outcome = tap(api_key=KLAVIYO_KEY_THREE_FLOWS, event_metrics=["Placed Order"])

    assert outcome.code == 0
    assert outcome.ids("events") == ["E1"]
    assert outcome.summary("events")["filtered"] == 2
    assert outcome.ids("profiles") == outcome.ids("subscription_changes") == ["P00000"]
    (warning,) = [line for line in outcome.warnings() if "metrics:read" in line]
    assert "costs requests" in warning


@pytest.mark.req("C-1", "BX-11")
def test_future_event_comes_when_due(tap, account):
    """A future-dated event blocks nothing and is emitted when it is due.

    It neither moves the bookmark past now, nor is it lost.
    """
    account.add_events([event("E1", "2026-05-30T10:00:00Z"), event("FUTURE", "2026-07-01T12:00:00Z")])
    first = tap(streams=["events"])
    account.clock(frozen="2026-06-02T12:00:00Z")
    account.add_events([event("E2", "2026-06-02T10:00:00Z")])
    second = tap(streams=["events"], state=first.state)
    account.clock(frozen="2026-07-02T12:00:00Z")
    third = tap(streams=["events"], state=second.state)

    assert first.bookmark("events") == "2026-06-01T11:59:55Z"
    assert [first.ids("events"), second.ids("events"), third.ids("events")] == [["E1"], ["E2"], ["FUTURE"]]


@pytest.mark.req("C-3", "CS-03", "IN-47")
@pytest.mark.parametrize(("days", "found"), [(7, True), (0, False)])
def test_lookback_finds_late_event(tap, account, days, found):
    """Event that appears three days late is found by the lookback.

    Klaviyo indexes some events days after they occurred.
    """
    account.add_events([event("LATE", "2026-05-29T12:00:00Z", visible_after="2026-06-01T12:30:00Z")])
    first = tap(streams=["events"], lookback_window_days=days)
    account.clock(frozen="2026-06-01T13:00:00Z")
    second = tap(streams=["events"], lookback_window_days=days, state=first.state)

    assert first.ids("events") == []
    assert ("LATE" in second.ids("events")) is found


@pytest.mark.req("IN-47", "C-5")
def test_overlap_finds_late_event(tap, account):
    """Event thirty seconds late is found by the overlap. Its neighbour, which was emitted in time, is not repeated."""
    account.add_events(
        [
            event("INTIME", "2026-06-01T11:59:50Z"),
            event("LATE", "2026-06-01T11:59:50Z", visible_after="2026-06-01T12:00:20Z"),
        ]
    )
    first = tap(streams=["events"])
    account.clock(frozen="2026-06-01T12:00:25Z")
    second = tap(streams=["events"], state=first.state)
    third = tap(streams=["events"], state=second.state)

    assert [first.ids("events"), second.ids("events"), third.ids("events")] == [["INTIME"], ["LATE"], []]


@pytest.mark.req("C-4", "CS-03")
def test_lookback_emits_known_events_again(tap, account):
    """Attributions are added hours later; the target recognizes the event by its id."""
    account.add_events([event("E1", "2026-06-01T11:00:00Z")])
    first = tap(streams=["events"], lookback_window_days=7)
    account.clock(frozen="2026-06-01T14:00:00Z")
    account.attribute("E1", [{"id": "A1", "flow": "F1"}])
    second = tap(streams=["events"], lookback_window_days=7, state=first.state)

    assert first.ids("events") == second.ids("events") == ["E1"]
    credited = [outcome.records("events")[0]["attributions"] for outcome in (first, second)]
    assert credited == [[], [{"id": "A1", "event_id": "E1", "flow_id": "F1"}]]
    assert second.bookmark("events") == "2026-06-01T13:59:55Z"


@pytest.mark.req("C-31")
def test_date_slices_join_seamlessly(tap, account, queries):
    """Slices by `end_date` join without gap or overlap.

    A backfill in slices: each run ends before `end_date`, the next one goes on there.
    """
    account.add_events([event(f"E{day}", f"2026-05-{day}T00:00:00Z") for day in range(10, 20)])
    first = tap(streams=["events"], start_date="2026-05-12", end_date="2026-05-15")
    second = tap(streams=["events"], end_date="2026-05-18", state=first.state)

    assert first.ids("events") == ["E12", "E13", "E14"]
    assert first.bookmark("events") == "2026-05-15T00:00:00Z"
    assert second.ids("events") == ["E15", "E16", "E17"]
    assert (
        "greater-or-equal(datetime,2026-05-12T00:00:00Z),less-than(datetime,2026-05-15T00:00:00Z)"
        in queries("/api/events")[0]
    )


def test_page_size_falls_back(tap, account):
    """Page of a thousand falls back to two hundred.

    Where the API refuses the larger page, the smaller one serves, by itself.
    """
    account.fault(
        "klaviyo",
        kind="status",
        status=400,
        body=refusal("page[size]"),
        path="/api/events",
        query="page[size]=1000",
        times=None,
    )
    account.add_events([event(f"E{n:03}", "2026-05-30T10:00:00Z") for n in range(250)])
    outcome = tap(streams=["events"])

    assert len(set(outcome.ids("events"))) == 250
    assert any("reading 200 a page" in line for line in outcome.warnings())


@pytest.mark.req("CS-11")
def test_erased_persons_event_stays(tap, account):
    """Event of an erased person keeps its place. The profile is gone, the event is not: it comes with nulls."""
    account.add_profiles([{"id": "GONE", "attributes": {"email": "g@shop.example", "updated": "2026-01-01T00:00:00Z"}}])
    account.add_events([event("E1", "2026-05-30T10:00:00Z", profile_id="GONE")])
    account.erase(["GONE"])
    outcome = tap(streams=["events"])

    (record,) = outcome.records("events")
    assert (outcome.code, record["id"], record["profile"]) == (0, "E1", None)


@pytest.mark.req("IN-35")
@pytest.mark.parametrize(
    "metrics", [None, ["Placed Order", "Viewed Product", "Opened Email"]], ids=["one chain", "three"]
)
def test_page_limit_loses_nothing(tap, account, metrics):
    """Page limit loses nothing however many chains.

    Runs of one page each, over ties and chains of unlike length, add up to everything, once.
    """
    names = ["Placed Order"] * 5 + ["Viewed Product"] * 2 + ["Opened Email"]
    account.add_events(
        [event(f"E{n:03}", f"2026-05-30T10:{n // 60:02}:00Z", metric=names[n % len(names)]) for n in range(200)]
    )
    settings = {"event_metrics": metrics} if metrics else {}
    ids, state = [], None
    for _ in range(12):
        outcome = tap(streams=["events"], events_page_size=40, max_pages=1, state=state, **settings)
        ids += outcome.ids("events")
        state = outcome.state
        if outcome.summary("events")["outcome"] == "complete":
            break

    assert outcome.summary("events")["outcome"] == "complete"
    assert sorted(ids) == [f"E{n:03}" for n in range(200)]


@pytest.mark.req("IN-35")
def test_page_limit_advances_through_lookback(tap, account):
    """A page limit advances through a look-back.

    Pages that only repeat what was read do not count, or a long look-back would hold every run in place.
    """
    account.add_events([event(f"E{n:03}", f"2026-05-30T10:{n // 60:02}:{n % 60:02}Z") for n in range(120)])
    settings = {"events_page_size": 40, "max_pages": 1, "overlap_seconds": 5}
    first = tap(streams=["events"], **settings)
    second = tap(streams=["events"], lookback_window_days=7, **settings, state=first.state)

    assert first.bookmark("events") == "2026-05-30T10:00:39Z"
    assert second.bookmark("events") > first.bookmark("events")
    assert set(second.ids("events")) >= {f"E{n:03}" for n in range(40, 80)}


@pytest.mark.req("CS-11")
def test_sdk_maps_still_work(tap, account):
    """Stream maps and flattening still work. Nested values are decoded where a map looks into them."""
    account.add_events([event("E1", "2026-05-30T10:00:00Z", properties={"Total": 10.10})])
    outcome = tap(
        streams=["events"],
        stream_maps={"events": {"total": "event_properties['Total']", "profile": None}},
    )

    (record,) = outcome.records("events")
    assert record["total"] == 10.1
    assert "profile" not in record


def test_multiline_page_makes_single_lines(tap, account):
    """Page in several lines still makes one line a record. An answer may be indented; a Singer message is one line."""
    attributes = {
        "timestamp": 1,
        "datetime": "2026-05-30T10:00:00+00:00",
        "uuid": "u",
        "event_properties": {"a": {"b": 1}},
    }
    page = {
        "data": [{"type": "event", "id": "E1", "attributes": attributes, "relationships": {}}],
        "links": {"next": None},
    }
    body = json.dumps(page, indent=2).replace("\n", "\r\n")
    account.fault("klaviyo", kind="status", status=200, body=body, path="/api/events", query="sort=datetime")
    outcome = tap(streams=["events"])

    assert [record["event_properties"] for record in outcome.records("events")] == [{"a": {"b": 1}}]
    assert not re.search(r"\r", outcome.output)


@pytest.mark.req("CS-11")
def test_time_extracted_is_request_time(tap, account):
    """`time_extracted` is when the page was requested.

    All records of one page share the moment its request was sent: a slow answer shows an old truth.
    """
    account.clock()
    account.add_events([event(f"E{n}", "2026-05-30T10:00:00Z") for n in range(5)])
    account.latency("klaviyo", 0.3)
    outcome = tap(streams=["events"], events_page_size=3)
    times = [message["time_extracted"] for message in outcome.messages if message["type"] == "RECORD"]
    received = [entry["at"] for entry in account.journal() if "sort=datetime" in entry["query"]]

    assert [times.count(moment) for moment in dict.fromkeys(times)] == [3, 2]
    assert len(received) == 2
    assert all(
        datetime.fromisoformat(sent) <= datetime.fromisoformat(at)
        for sent, at in zip(dict.fromkeys(times), received, strict=True)
    )
