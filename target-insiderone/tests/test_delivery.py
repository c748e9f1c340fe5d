"""What reaches Insider One, and what every record comes to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from singer_delivery.testing.stand_in import StandIn
from singer_messages import hours_ago, order, profile, record, schema, state


def upserts(sandbox):
    """The bodies of all upsert requests that were accepted."""
    return [request["body"] for request in sandbox.journal("insiderone") if request["status"] == 200]


def body_sizes(sandbox):
    """Bytes of the bodies of all requests."""
    return [int(request["headers"]["content-length"]) for request in sandbox.journal("insiderone")]


@pytest.mark.req("IN-57", "IN-59")
def test_batches_hold_thousand_users(load, sandbox):
    """Batches hold a thousand users and all arrive.

    The API takes 1,000 users a request: fewer requests would be refused, more would be slow.
    """
    profiles = [record("profiles", profile(number)) for number in range(2_500)]

    ended = load([schema("profiles"), *profiles, state({"n": 1})], max_parallel_requests=1)

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 2_500, "delivered": 2_500}
    assert [len(body["users"]) for body in upserts(sandbox)] == [1_000, 1_000, 500]
    assert len(sandbox.users()) == 2_500


@pytest.mark.req("IN-57")
def test_batches_are_limited_by_bytes(load, sandbox):
    """Batches are cut by bytes of the encoded body.

    5,000,000 bytes of UTF-8 are the limit, whatever the number of users; text of two-byte letters counts double.
    """
    profiles = [record("profiles", profile(number, first_name="ş" * 40_000)) for number in range(100)]

    ended = load([schema("profiles"), *profiles], max_parallel_requests=1)

    assert ended.counts("profiles") == {"read": 100, "delivered": 100}
    assert len(body_sizes(sandbox)) == 2
    assert 4_000_000 < max(body_sizes(sandbox)) <= 5_000_000


@pytest.mark.req("IN-57")
def test_batch_bytes_are_never_exceeded(load, sandbox):
    """`batch_size_bytes` is never exceeded. A smaller limit than the API's is kept to the byte as well."""
    profiles = [record("profiles", profile(number, first_name="ş" * (number * 37 % 900))) for number in range(400)]

    load([schema("profiles"), *profiles], batch_size_bytes=10_000, max_parallel_requests=2)

    assert len(sandbox.users()) == 400
    assert 5_000 < max(body_sizes(sandbox)) <= 10_000


def test_oversized_user_is_rejected(load):
    """A user larger than a request is rejected alone. Nothing can carry it, so it must not stop the others."""
    records = [record("profiles", profile(1, first_name="x" * 5_100_000)), record("profiles", profile(2))]

    ended = load([schema("profiles"), *records])

    assert ended.counts("profiles") == {"read": 2, "delivered": 1, "rejected": 1}
    assert [reject["code"] for reject in ended.rejects] == ["too_large"]


@pytest.mark.req("IN-58", "IN-59")
def test_refused_users_become_rejects(load, sandbox, config):
    """Users refused by position become rejects.

    A 200 can hide refusals; they are read by position, and the others of the batch count as delivered.
    """
    config["identifier_mappings"] = [{"identifier_type": "custom.klaviyo_id", "source_field": "id"}]
    refusal = {
        "data": {
            "successful": {"count": 2},
            "fail": {
                "count": 1,
                "errors": {"users.1.identifiers.*.regexp(^.+@.+\\..+$)": ["not a valid email address: nope"]},
            },
        }
    }
    sandbox.fault("insiderone", kind="status", status=200, body=json.dumps(refusal))

    ended = load(
        [schema("profiles"), *(record("profiles", profile(number)) for number in (1, 2, 3))], max_parallel_requests=1
    )

    assert ended.code == 0, ended.logs
    assert ended.counts("profiles") == {"read": 3, "delivered": 2, "rejected": 1}
    (reject,) = ended.rejects
    assert (reject["stream"], reject["key"], reject["code"]) == ("profiles", "P2", "invalid_email")
    assert reject["record"] == profile(2)
    assert "nope" not in ended.logs


@pytest.mark.req("IN-59", "IN-61")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"successful": {"count": 1}, "fail": {}}, id="fewer than sent"),
        pytest.param({"successful": {"count": 1}, "fail": {"count": 1, "errors": {}}}, id="refused, but not named"),
        pytest.param({"successful": {"count": 3}, "fail": {}}, id="more than sent"),
        pytest.param({}, id="no counts at all"),
    ],
)
def test_mismatched_answer_fails_run(load, sandbox, data):
    """An answer that does not add up fails the run.

    The outcome of the rows is unknown then, and must not count as success.
    """
    sandbox.fault("insiderone", kind="status", status=200, body=json.dumps({"data": data}))

    records = [record("profiles", profile(1)), record("profiles", profile(2))]

    ended = load([schema("profiles"), *records, state({})], max_parallel_requests=1)

    assert ended.code == 1
    assert ended.states == []
    assert ended.counts("profiles") == {"read": 2, "pending": 2}
    assert "exit code 1" in ended.logs


def test_refused_event_spares_others(load, sandbox):
    """A refused event spares the users other events.

    One invalid event fails its whole user, so the others have to go again without it.
    """
    refusal = {
        "data": {
            "successful": {},
            "fail": {
                "count": 1,
                "errors": {
                    "users.0.events.1.event_name.*.regexp(^[a-z0-9][a-zA-Z0-9._-]*$)": ["invalid event name: x"]
                },
            },
        }
    }
    sandbox.fault("insiderone", kind="status", status=200, body=json.dumps(refusal))

    ended = load([schema("events"), record("events", order(1, items=3))])

    assert ended.summary["streams"]["events"]["events"] == {"delivered": 2, "rejected": 1}
    assert ended.counts("events") == {"read": 1, "rejected": 1}
    (user,) = sandbox.users()
    assert [event["event_params"]["quantity"] for event in user["events"]] == [1, 3]
    assert [(reject["event_type"], reject["line"]) for reject in ended.rejects] == [("purchase", 2)]


def test_piecemeal_refusals_cost_few_requests(load):
    """An answer that names one event at a time costs few requests.

    The rest went again as a whole for each event that was refused: 5,200 bad lines made as many requests of 5 MB.
    """

    def refuse_first(_method: str, _path: str, body: dict[str, Any]) -> tuple[int, Any]:
        bad = {f"users.{place}.events.0.event_params": ["no"] for place in range(len(body["users"]))}
        return 200, {"data": {"successful": {}, "fail": {"count": len(bad), "errors": bad}}}

    with StandIn(refuse_first) as api:
        ended = load([schema("events"), record("events", order(1, items=200))], api_url=api.url)

    assert ended.summary["streams"]["events"]["events"] == {"rejected": 200}
    assert len(api.journal) <= 10


@pytest.mark.req("IN-60")
def test_nameless_400_is_bisected(load, sandbox):
    """A 400 that names no row is narrowed down.

    One bad row of 64 costs itself only, and at most 2 * log2(64) + 1 requests more.
    """
    sandbox.fault(
        "insiderone", kind="status", status=400, body='{"error": "cannot be stored"}', query="person40@", times=None
    )
    profiles = [record("profiles", profile(number)) for number in range(64)]

    ended = load([schema("profiles"), *profiles, state({"n": 1})], max_parallel_requests=1)

    assert ended.counts("profiles") == {"read": 64, "delivered": 63, "rejected": 1}
    assert [(reject["key"], reject["code"]) for reject in ended.rejects] == [("P40", "refused_request")]
    assert ended.summary["requests"]["upsert"] <= 1 + 2 * 6 + 1
    assert len(ended.states) == 1


@pytest.mark.req("IN-60")
def test_bad_rows_block_no_stream(load, sandbox):
    """Many bad rows with one text do not block their stream.

    Twenty rows with one text were taken for the fault of the request, although half of it would have passed.
    """
    sandbox.fault(
        "insiderone", kind="status", status=400, body='{"error": "cannot be stored"}', query="odd", times=None
    )
    bad = [record("profiles", profile(number, email=f"odd{number}@shop.example")) for number in range(25)]
    good = [record("profiles", profile(number)) for number in range(25, 100)]

    ended = load([schema("profiles"), *bad, *good, state({"n": 1})], max_parallel_requests=1, max_rejects="50%")

    assert ended.counts("profiles") == {"read": 100, "delivered": 75, "rejected": 25}
    assert (ended.code, len(ended.states)) == (0, 1)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_bad_small_batches_block_nothing(load, sandbox, stream, lanes):
    """Bad rows that fill whole small batches do not block their stream.

    Each batch was judged alone: the fifth of five rows stopped the run, and every run after it.
    """
    sandbox.fault(
        "insiderone", kind="status", status=400, body='{"error": "cannot be stored"}', query="odd", times=None
    )
    made = {"profiles": lambda number, email: profile(number, email=email), "events": order_of}[stream]
    bad = [record(stream, made(number, f"odd{number}@shop.example")) for number in range(25)]
    good = [record(stream, made(number, f"person{number}@shop.example")) for number in range(25, 40)]
    settings = {"batch_size_rows": 5, "max_parallel_requests": lanes, "max_rejects": "70"}

    ended = load([schema(stream), *bad, state({"n": 1}), *good, state({"n": 2})], **settings)

    assert ended.counts(stream) == {"read": 40, "delivered": 15, "rejected": 25}
    assert sorted(reject["key"] for reject in ended.rejects) == sorted(one["record"]["id"] for one in bad)
    assert (ended.code, ended.states[-1]) == (0, {"bookmarks": {"n": 2}})


def order_of(number, email):
    """An order of the person with that address."""
    return order(number, profile={"email": email})


@pytest.mark.req("IN-60")
def test_uniform_refusals_blame_request(load, sandbox):
    """Twenty rows with one text are not the rows fault.

    Then the request as such is refused, and turning the whole input into rejects would lose it.
    """
    sandbox.fault("insiderone", kind="status", status=400, body='{"error": "no such thing"}', times=None)
    profiles = [record("profiles", profile(number)) for number in range(100)]

    ended = load([schema("profiles"), *profiles, state({"n": 1})], max_parallel_requests=1)

    assert ended.code == 2
    assert ended.states == []
    assert ended.rejects == []


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("lanes", [1, 3])
def test_refused_small_batches_stop_run(load, sandbox, lanes):
    """Small batches that are all refused stop the run.

    They wait for one that is accepted until the input ends, and no longer.
    """
    sandbox.fault("insiderone", kind="status", status=400, body='{"error": "no such thing"}', times=None)
    profiles = [record("profiles", profile(number)) for number in range(300)]

    ended = load([schema("profiles"), *profiles, state({"n": 1})], max_parallel_requests=lanes, batch_size_rows=5)

    assert (ended.code, ended.states) == (2, [])
    assert "refuses every request" in ended.logs
    assert ended.counts("profiles")["pending"] > 270
    assert ended.summary["requests"]["upsert"] < 200


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        pytest.param(401, '{"error":"Bad Api Key."}', "api_key", id="401"),
        pytest.param(400, '{"success":false,"message":"Partner is invalid."}', "partner_name", id="unknown partner"),
        pytest.param(400, '{"error":"content type must be application/json"}', "content type", id="content type"),
        pytest.param(400, '{"error":"users must be defined: bad request"}', "no users", id="no users"),
    ],
)
def test_refused_request_stops_with_advice(load, sandbox, status, body, advice):
    """Refused requests stop at once with advice.

    Insider One asks to stop sending; every further request would be refused, and none of it is the rows' fault.
    """
    sandbox.fault("insiderone", kind="status", status=status, body=body, times=None)

    ended = load(
        [schema("profiles"), *(record("profiles", profile(number)) for number in range(10)), state({})],
        max_parallel_requests=1,
    )

    assert ended.code == 2
    assert advice in ended.logs
    assert ended.states == []
    assert ended.rejects == []
    assert len(sandbox.journal("insiderone")) == 1


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("status", "advice"), [pytest.param(403, "allow-list", id="403"), pytest.param(404, "api_url", id="wrong address")]
)
def test_general_refusal_stops_soon(load, sandbox, status, advice):
    """A status that meets everything stops soon with advice.

    It is no row's fault then: no rejects, no STATE, and few requests.
    """
    sandbox.fault("insiderone", kind="status", status=status, body="no", times=None)

    ended = load([schema("profiles"), *(record("profiles", profile(number)) for number in range(10)), state({})])

    assert (ended.code, ended.states, ended.rejects) == (2, [], [])
    assert advice in ended.logs
    assert len(sandbox.journal("insiderone")) < 20


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("stream", "status", "code"),
    [("profiles", 403, "refused_request"), ("profiles", 500, "unanswered"), ("events", 500, "unanswered")],
)
def test_odd_status_blocks_no_stream(load, sandbox, stream, status, code):
    """A row that meets another status does not block its stream.

    A firewall, or a server that breaks at one row, ended this run with nothing delivered, and every run after it.
    """
    sandbox.fault("insiderone", kind="status", status=status, body="<html>", query="odd", times=None)
    made = {"profiles": lambda number, email: profile(number, email=email), "events": order_of}[stream]
    records = [record(stream, made(number, f"{'odd' * (number == 3)}{number}@shop.example")) for number in range(40)]

    ended = load(
        [schema(stream), *records, state({"n": 1})],
        batch_size_rows=10,
        max_parallel_requests=1,
        max_retry_seconds=0,
        max_rejects="1",
    )

    assert ended.counts(stream) == {"read": 40, "delivered": 39, "rejected": 1}, ended.logs
    (reject,) = ended.rejects
    assert (reject["code"] if "code" in reject else reject["events"][0]["code"]) == code
    assert f"status {status}" in json.dumps(reject)
    assert (ended.code, len(ended.states)) == (0, 1)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "status", "status": 429}, id="429"),
        pytest.param({"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}, id="429 with Retry-After"),
        *(pytest.param({"kind": "status", "status": status}, id=str(status)) for status in (500, 502, 503, 504)),
        pytest.param({"kind": "html", "status": 520}, id="520 of the edge"),
        pytest.param({"kind": "reset"}, id="connection reset"),
        pytest.param({"kind": "not_json"}, id="200 that is no JSON"),
        pytest.param({"kind": "answer_lost"}, id="applied, but the answer was lost"),
    ],
)
def test_temporary_faults_store_once(load, sandbox, fault):
    """Passing faults are retried and nothing is stored twice.

    A fault of a moment is not the user's business; the same bytes go again, which Insider One stores once.
    """
    sandbox.fault("insiderone", **fault)

    ended = load([schema("events"), record("events", order(1, items=2)), state({"n": 1})])

    assert ended.code == 0, ended.logs
    assert ended.counts("events") == {"read": 1, "delivered": 1}
    assert ended.summary["requests"] == {"upsert": 1, "retries": 1}
    (user,) = sandbox.users()
    assert len(user["events"]) == 2
    assert len(ended.states) == 1


@pytest.mark.req("IN-60")
def test_long_retry_after_ends_run(load, sandbox):
    """A Retry-After beyond the budget ends the run and names the time.

    Waiting for hours blocks an orchestrator; the message says when to come back.
    """
    sandbox.fault("insiderone", kind="status", status=429, headers={"Retry-After": "7200"}, times=None)

    ended = load([schema("profiles"), record("profiles", profile(1)), state({})])

    assert ended.code == 1
    assert "run again after 20" in ended.logs
    assert ended.states == []
    assert ended.counts("profiles") == {"read": 1, "pending": 1}


@pytest.mark.req("IN-37", "IN-38")
def test_skip_hook_on_every_request(load, sandbox):
    """Skip_hook is on every request and its condition is said once. A request without the flag would start journeys."""
    records = [record("profiles", profile(number)) for number in range(30)]

    ended = load([schema("profiles"), *records], skip_hook=True, batch_size_rows=5)

    assert {body.get("skip_hook") for body in upserts(sandbox)} == {True}
    assert ended.logs.count("must have enabled") == 1


@pytest.mark.req("IN-37")
def test_old_events_are_sent_apart(load, sandbox):
    """Old events travel apart with skip_hook.

    A backfill, or an event that arrives late, starts no journey; a fresh one does.
    """
    fresh, late = order(1), order(2, datetime=hours_ago(30))

    ended = load([schema("events"), record("events", fresh), record("events", late)], max_parallel_requests=1)

    flags = {body["users"][0]["identifiers"]["email"]: body.get("skip_hook", False) for body in upserts(sandbox)}
    assert flags == {"person1@shop.example": False, "person2@shop.example": True}
    assert ended.logs.count("must have enabled") == 1


@pytest.mark.req("IN-37")
@pytest.mark.parametrize(
    ("fields", "settings", "flag"),
    [
        pytest.param({"updated": hours_ago(30)}, {}, True, id="old"),
        pytest.param({"updated": hours_ago(30), "changed_at": hours_ago(1)}, {}, False, id="consent is new"),
        pytest.param({"updated": hours_ago(1), "changed_at": hours_ago(30)}, {}, False, id="profile is new"),
        pytest.param({"updated": None}, {}, False, id="says nothing"),
        pytest.param({"updated": hours_ago(30)}, {"skip_hook_older_than_hours": 0}, False, id="switched off"),
        pytest.param({"updated": hours_ago(30)}, {"skip_hook_older_than_hours": 48}, False, id="within two days"),
    ],
)
def test_old_profiles_are_sent_apart(load, sandbox, fields, settings, flag):
    """Profiles that changed long ago travel apart with skip_hook.

    A backfill of profiles started the journeys of everybody: only events carried the flag.
    """
    people = [record("profiles", profile(1, **fields)), record("profiles", profile(2, updated=hours_ago(1)))]

    ended = load([schema("profiles"), *people], max_parallel_requests=1, **settings)

    flags = {
        user["identifiers"]["email"]: body.get("skip_hook", False)
        for body in upserts(sandbox)
        for user in body["users"]
    }
    assert flags == {"person1@shop.example": flag, "person2@shop.example": False}
    assert "WARNING" not in "".join(line for line in ended.logs.splitlines() if "must have enabled" in line)


def test_version_order_across_requests(load, sandbox):
    """Versions of a profile keep their order across requests.

    Old and new versions travel in requests of their own, which must not pass one another.

    The batch of the new ones is begun first here, so without care it would go before or after the others.
    """
    fresh = [record("profiles", profile(number, updated=hours_ago(1))) for number in range(2, 5)]
    versions = [
        record("profiles", profile(1, first_name="Old", updated=hours_ago(40))),
        record("profiles", profile(1, first_name="New", updated=hours_ago(1))),
        record("profiles", profile(1, first_name="Older", updated=hours_ago(60))),
    ]

    load([schema("profiles"), *fresh, *versions], ledger_days=0)

    names = [
        user["attributes"]["name"]
        for body in upserts(sandbox)
        for user in body["users"]
        if user["identifiers"]["email"] == "person1@shop.example"
    ]
    assert names == ["Old", "New", "Older"]


def test_missing_profile_field_warns_once(load):
    """A profile field that events lack is said once.

    Without it people are not recognised by their phone number, and only the tap's settings can change that.
    """
    ended = load([schema("events"), *(record("events", order(number)) for number in range(5))])

    assert ended.logs.count("add it to the tap's event_profile_fields") == 1
    assert ended.summary["streams"]["events"]["notes"]["profile_field_missing phone_number"] == 5


def test_attribute_excess_warns_once(load, config):
    """More custom attributes than Insider One keeps are said once. It drops what exceeds its limit without a word."""
    config["attribute_mappings"] = [{"source_field": "properties.*", "attribute": "*"}]
    people = [profile(number, properties={f"p{place}": place for place in range(81)}) for number in range(3)]

    ended = load([schema("profiles"), *(record("profiles", person) for person in people)])

    assert ended.logs.count("more than 80 custom attributes") == 1
    assert ended.counts("profiles") == {"read": 3, "delivered": 3}


def test_missing_currency_warns_once(load):
    """A missing currency is said once. A purchase without one is accepted, and of little use."""
    bought = [order(number) for number in range(3)]
    for one in bought:
        del one["event_properties"]["$value_currency"]

    ended = load([schema("events"), *(record("events", one) for one in bought)])
    helped = load(
        [schema("events"), *(record("events", {**one, "id": one["id"] + "b"}) for one in bought)],
        default_currency="EUR",
    )

    assert ended.logs.count("set default_currency") == 1
    assert "set default_currency" not in helped.logs


def test_disabled_limit_sends_plainly(load, sandbox):
    """Old events go plainly when the limit is off. 0 switches the separation off."""
    load([schema("events"), record("events", order(2, datetime=hours_ago(30)))], skip_hook_older_than_hours=0)

    assert [body.get("skip_hook") for body in upserts(sandbox)] == [None]


@pytest.mark.req("IN-61")
def test_states_wait_for_their_records(load, sandbox):
    """States wait for the records before them.

    A STATE that passes an unsettled record would lose it: here the second batch is never taken.
    """
    sandbox.fault("insiderone", kind="status", status=403, skip=1, times=None)
    first = [record("profiles", profile(number)) for number in range(10)]
    second = [record("profiles", profile(number)) for number in range(10, 20)]

    ended = load(
        [schema("profiles"), *first, state({"n": 10}), *second, state({"n": 20})],
        batch_size_rows=10,
        max_parallel_requests=1,
    )

    assert ended.code == 2
    assert ended.states == [{"bookmarks": {"n": 10}}]
    assert ended.counts("profiles") == {"read": 20, "delivered": 10, "pending": 10}


@pytest.mark.req("IN-61")
def test_waiting_records_are_bounded(load, sandbox):
    """No more than ten thousand records wait for their state.

    A run that dies has to repeat little: with a slow API, too, a STATE follows its records closely.
    """
    sandbox.latency("insiderone", 0.05)
    sandbox.fault("insiderone", kind="status", status=401, skip=14, times=None)
    messages = [schema("profiles")]
    for number in range(30_000):
        messages.append(record("profiles", profile(number)))
        if number % 500 == 499:
            messages.append(state({"n": number + 1}))

    ended = load(messages)

    counts = ended.counts("profiles")
    assert ended.code == 2
    assert counts["delivered"] >= 12_000
    assert 0 < counts["pending"] <= 10_000
    assert ended.states[-1]["bookmarks"]["n"] > counts["read"] - 10_000


def test_equal_states_are_written_once(load):
    """Unmapped and equal states are not repeated. Orchestrators store every line; an unchanged STATE says nothing."""
    ended = load(
        [schema("profiles"), state({"n": 1}), state({"n": 1}), record("profiles", profile(1)), state({"n": 2})]
    )

    assert ended.states == [{"bookmarks": {"n": 1}}, {"bookmarks": {"n": 2}}]


def test_later_version_is_written_once(load, sandbox):
    """The later of two versions in a batch is written once.

    Two versions of one profile in one request would race inside Insider One.
    """
    versions = [record("profiles", profile(1, first_name=name)) for name in ("Old", "New")]

    ended = load([schema("profiles"), *versions])

    assert ended.counts("profiles") == {"read": 2, "delivered": 1, "duplicate": 1}
    assert [user["attributes"]["name"] for user in sandbox.users()] == ["New"]
    assert sum(len(body["users"]) for body in upserts(sandbox)) == 1


def test_parallel_requests_keep_order(load, sandbox):
    """A person keeps the order over many parallel requests.

    The newest version of everybody must be the one that stays.
    """
    rounds = [
        record("profiles", profile(number, first_name=f"Version {version}"), f"2026-06-01T10:{version:02}:00Z")
        for version in range(20)
        for number in range(40)
    ]

    ended = load([schema("profiles"), *rounds], batch_size_rows=7, max_parallel_requests=8)

    assert ended.code == 0, ended.logs
    assert {user["attributes"]["name"] for user in sandbox.users()} == {"Version 19"}


def test_same_record_same_bytes(load, sandbox):
    """Insider One knows an event again only by its content, so a resend must not differ in a single byte."""
    messages = [schema("events"), record("events", order(1, items=3, datetime="2026-06-01T09:30:00+00:00"))]

    load(messages, ledger_days=0)
    load(messages, ledger_days=0)

    first, second = upserts(sandbox)
    assert json.dumps(first) == json.dumps(second)
    assert len(sandbox.users()[0]["events"]) == 3


@pytest.mark.req("IN-47", "C-3")
def test_next_run_knows_delivered_events(load, sandbox):
    """Delivered events are known in the next run.

    The tap's look-back reads events again on purpose; the ledger keeps them from reaching Insider One again.
    """
    messages = [schema("events"), record("events", order(1, items=2))]
    load(messages)

    again = load(messages)

    assert again.counts("events") == {"read": 1, "duplicate": 1}
    assert len(upserts(sandbox)) == 1


@pytest.mark.req("C-4")
def test_changed_event_is_only_counted(load, sandbox):
    """An event that changed after delivery is counted not repeated.

    Klaviyo fills attributions in later; a second purchase would be worse than a missing detail.
    """
    load([schema("events"), record("events", order(1))])
    changed = order(1)
    changed["event_properties"]["Items"][0]["Quantity"] = 9

    again = load([schema("events"), record("events", changed)])

    assert again.counts("events") == {"read": 1, "duplicate": 1}
    assert again.summary["streams"]["events"]["notes"]["changed_after_delivery purchase"] == 1
    assert len(sandbox.users()[0]["events"]) == 1


@pytest.mark.req("IN-15")
def test_profiles_are_written_every_sync(load):
    """Profiles are written on every sync unless `skip_unchanged`.

    Insider One's own integration writes always; whoever wants less traffic says so.
    """
    messages = [schema("profiles"), record("profiles", profile(1))]
    load(messages)

    always = load(messages)
    skipping = load(messages, skip_unchanged=True)
    changed = load([schema("profiles"), record("profiles", profile(1, first_name="Else"))], skip_unchanged=True)

    assert always.counts("profiles") == {"read": 1, "delivered": 1}
    assert skipping.counts("profiles") == {"read": 1, "unchanged": 1}
    assert changed.counts("profiles") == {"read": 1, "delivered": 1}


@pytest.mark.req("IN-15")
def test_lost_answer_means_unknown(load, sandbox):
    """A version whose answer was lost counts as unknown.

    It may have arrived: so what was delivered before it is no longer what Insider One has.
    """
    old, new = ([schema("profiles"), record("profiles", profile(1, first_name=name))] for name in ("Old", "New"))
    load(old)
    sandbox.fault("insiderone", kind="answer_lost", times=None)
    failed = load(new, max_retry_seconds=1)
    sandbox.clear_faults()

    again = load(old, skip_unchanged=True)

    assert failed.counts("profiles") == {"read": 1, "pending": 1}
    assert again.counts("profiles") == {"read": 1, "delivered": 1}
    assert sandbox.users()[0]["attributes"]["name"] == "Old"


def test_dry_run_writes_requests(load, sandbox, tmp_path):
    """Dry run writes the requests that would be sent.

    Byte for byte what the real run sends; no STATE, no request, and the ledger does not learn from it.
    """
    messages = [
        schema("profiles"),
        *(record("profiles", profile(number)) for number in range(5)),
        schema("events"),
        record("events", order(1, items=2, datetime="2026-06-01T09:30:00+00:00")),
        state({"n": 1}),
    ]

    dry = load(messages, dry_run=True, max_parallel_requests=1)
    nothing_sent = sandbox.journal("insiderone")
    real = load(messages, max_parallel_requests=1)

    (path,) = (tmp_path / "data").glob("dry-run-*.jsonl")
    assert dry.code == real.code == 0
    assert dry.states == []
    assert nothing_sent == []
    assert [json.loads(line)["body"] for line in path.read_text().splitlines()] == upserts(sandbox)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.req("IN-19")
def test_nulls_use_delete_api(load, sandbox):
    """Deleting what became null uses the delete API.

    An upsert cannot clear an attribute; absent and null are cleared alike with null_handling: delete.
    """
    load([schema("profiles"), record("profiles", profile(1))])

    ended = load([schema("profiles"), record("profiles", profile(1, first_name=None))], null_handling="delete")

    assert ended.counts("profiles") == {"read": 1, "delivered": 1}
    assert ended.summary["requests"]["attribute/delete"] == 1
    assert "name" not in sandbox.users()[0]["attributes"]
