"""Nothing lost, nothing twice: what users of other sources complain of, row by row, through the command line."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter
from datetime import datetime, timedelta

import pytest
from klaviyo_insiderone_sandbox.testing import Sandbox

NOON = "2026-06-01T12:00:00Z"
LATER = "2026-06-01T12:00:30Z"
LAST_SECOND = "2026-06-01T11:59:54Z"  # of a run that starts at noon: the server's clock less five seconds, exclusively
NEXT_SECOND = "2026-06-01T11:59:55Z"
OLD = "2026-01-01T00:00:00Z"
DENSE = "2026-05-20T10:00:00Z"
KEYS = {"profiles": "updated", "events": "datetime", "subscription_changes": "changed_at"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def account(sandbox):
    """A clock that stands still at noon of the first of June, no quotas, and one profile that events can be of."""
    sandbox.clock(frozen=NOON)
    sandbox.quotas(None)
    sandbox.add_profiles([{"id": "NOBODY", "attributes": {"updated": OLD}}])
    return sandbox


def hours(count, since="2026-05-01T00:00:00Z"):
    """So many moments, an hour apart."""
    first = datetime.fromisoformat(since)
    return [f"{first + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}" for n in range(count)]


def add(account, stream, moments, prefix="R"):
    """Add a record per moment; return the ids."""
    ids = [f"{prefix}{number:05}" for number in range(len(moments))]
    if stream == "profiles":
        account.add_profiles([{"id": key, "attributes": {"updated": at}} for key, at in zip(ids, moments, strict=True)])
        return ids
    if stream == "subscription_changes":
        account.add_profiles([{"id": key, "attributes": {"updated": OLD}} for key in ids])
    metric = "Placed Order" if stream == "events" else "Unsubscribed"
    account.add_events(
        [
            {
                "id": key,
                "metric": metric,
                "profile_id": "NOBODY" if stream == "events" else key,
                "datetime": at,
                "touch": False,
            }
            for key, at in zip(ids, moments, strict=True)
        ]
    )
    return ids


def of(outcome, stream):
    """The ids of a stream, without the one that is there before every test."""
    return [key for key in outcome.ids(stream) if key != "NOBODY"]


def once(*parts):
    """Every id of every part, each once."""
    return Counter([key for part in parts for key in part])


@pytest.mark.req("BX-10", "C-5")
@pytest.mark.parametrize(
    ("stream", "number"), [("profiles", 5_000), ("events", 3_000), ("subscription_changes", 1_200)]
)
def test_tied_import_crosses_pages(tap, account, stream, number):
    """Import of one second crosses pages and windows.

    A bulk import between ordinary days, with latency, so that windows begin before it, in it and behind it.
    """
    moments = [*hours(400), *[DENSE] * number, *hours(200, "2026-05-22T00:00:00Z")]
    ids = add(account, stream, moments)
    account.latency("klaviyo", 0.01)
    first = tap(streams=[stream], events_page_size=100)
    second = tap(streams=[stream], state=first.state)

    assert once(of(first, stream)) == once(ids)
    assert [record[KEYS[stream]] for record in first.records(stream)] == sorted(
        record[KEYS[stream]] for record in first.records(stream)
    )
    assert of(second, stream) == []


@pytest.mark.req("BX-10", "C-5", "IN-47")
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_interrupted_import_is_continued(tap, account, stream):
    """Run that ends inside an import leaves the rest to the next.

    One second lies half before the run and half after it, the next second wholly after: each comes once.
    """
    early = add(account, stream, [LAST_SECOND] * 500, "EARLY")
    account.latency("klaviyo", 0.01)
    first = tap(streams=[stream])
    late = [*add(account, stream, [LAST_SECOND] * 300, "LATE"), *add(account, stream, [NEXT_SECOND] * 250, "NEXT")]
    account.clock(frozen=LATER)
    second = tap(streams=[stream], state=first.state)
    third = tap(streams=[stream], state=second.state)

    assert once(of(first, stream)) == once(early)
    assert once(of(second, stream)) == once(late)
    assert of(third, stream) == []


@pytest.mark.req("BX-10", "IN-35")
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_page_limit_skips_ties(tap, account, stream):
    """A page limit among equal times reads past them.

    Runs of four pages each, through a second of 600 between others; the limit holds, and nothing is repeated.
    """
    ids = add(account, stream, [*hours(150), *[DENSE] * 600, *hours(150, "2026-05-22T00:00:00Z")])
    runs, state = [], None
    for _ in range(4):
        outcome = tap(streams=[stream], max_pages=4, events_page_size=100, state=state)
        runs.append(of(outcome, stream))
        state = outcome.state
        if outcome.summary(stream)["outcome"] == "complete":
            break

    assert outcome.summary(stream)["outcome"] == "complete"
    assert once(*runs) == once(ids)
    assert max(map(len, runs)) <= 400


def assert_latest_versions(account, *outcomes):
    """Everybody who is there now came, last of all as they are now, and no version came twice."""
    records = [record for outcome in outcomes for record in outcome.records("profiles")]
    latest = {record["id"]: (record["updated"], record["title"]) for record in records}
    truth = {
        profile["id"]: (profile["attributes"]["updated"].replace("+00:00", "Z"), profile["attributes"]["title"])
        for profile in account.klaviyo_profiles()
    }
    assert {key: latest.get(key) for key in truth} == truth
    versions = Counter((record["id"], record["updated"], record["title"]) for record in records)
    assert set(versions.values()) == {1}


@pytest.mark.req("BX-10", "C-17")
@pytest.mark.parametrize("cursor", ["keyset", "anchor"])
@pytest.mark.parametrize("limit", [{}, {"max_pages": 100}], ids=["windows", "one chain"])
def test_moving_people_are_not_lost(tap, account, cursor, limit):
    """People touched and erased while being read are not lost.

    Somebody works in the account during the run. Whoever is there afterwards has come in this run or the next.

    Where cursors name profiles, a touched one takes its cursor along to the end, and an erased one takes it away.
    """
    ids = add(account, "profiles", [*hours(700), *[DENSE] * 500, *hours(150, "2026-05-22T00:00:00Z")])
    account.clock(now=NOON)
    account.latency("klaviyo", 0.03)
    account.klaviyo_settings(cursor=cursor)
    busy = [ids[place * 389 % len(ids)] for place in range(len(ids))]
    over = threading.Event()

    def disturb():
        with Sandbox.attach(account.control_url) as office:
            for turn, key in enumerate(busy):
                if over.is_set():
                    return
                if turn % 10 == 9:
                    office.erase([key])
                else:
                    office.touch([key], {"title": f"version {turn}"})

    worker = threading.Thread(target=disturb)
    worker.start()
    try:
        first = tap(streams=["profiles"], **limit)
    finally:
        over.set()
        worker.join()
    account.clock(frozen="2026-06-01T13:00:00Z")
    second = tap(streams=["profiles"], state=first.state)

    assert (first.code, second.code) == (0, 0)
    assert of(second, "profiles")
    assert_latest_versions(account, first, second)


@pytest.mark.req("BX-10", "C-17")
@pytest.mark.parametrize(
    ("cursor", "restless", "limit"),
    [
        ("keyset", 1, {}),
        ("anchor", 1, {}),
        ("anchor", 2, {}),
        ("anchor", 2, {"max_pages": 100}),
    ],
    ids=["keyset", "anchor, every page", "anchor, every other page", "anchor, one chain"],
)
def test_touched_page_end_hides_nobody(tap, account, cursor, restless, limit):
    """Person at the end of a page who is touched hides nobody.

    The worst moment: between the page that shows them last and the one that follows it. Every page, or every other.

    A stream may fail where a second is denser than a page and stirred all the time; it may not close over a gap.
    """
    add(account, "profiles", [*hours(250), *[DENSE] * 220, *hours(150, "2026-05-21T00:00:00Z")])
    account.latency("klaviyo", 0.01)
    account.klaviyo_settings(cursor=cursor, restless=restless)
    first = tap(streams=["profiles"], **limit)
    account.klaviyo_settings(restless=0)
    account.clock(frozen="2026-06-01T13:00:00Z")
    second = tap(streams=["profiles"], state=first.state)

    assert first.code in {0, 1}
    assert second.code == 0
    assert_latest_versions(account, first, second)


@pytest.mark.req("BX-10", "C-17")
@pytest.mark.parametrize("limit", [{}, {"max_pages": 1_000}], ids=["windows", "one chain"])
def test_erased_cursor_costs_one_request(tap, account, limit):
    """Cursor of an erased person costs a question more.

    The API refuses it (400); the rest of its window is still there, and comes.
    """
    add(account, "profiles", [*hours(300), *[DENSE] * 250, *hours(200, "2026-05-21T00:00:00Z")])
    account.latency("klaviyo", 0.01)
    account.klaviyo_settings(cursor="anchor", restless=2, fate="erased")
    outcome = tap(streams=["profiles"], **limit)
    refused = [entry for entry in account.journal() if entry["status"] == 400]

    assert outcome.code == 0
    assert refused
    assert set(once(of(outcome, "profiles")).values()) == {1}
    assert set(of(outcome, "profiles")) >= {profile["id"] for profile in account.klaviyo_profiles()} - {"NOBODY"}


@pytest.mark.req("C-17", "C-26")
def test_empty_page_with_link_continues(tap, account):
    """Empty page that names a next one is not the end.

    Rows may be filtered out behind the page; only a missing link ends a walk.
    """
    ids = add(account, "profiles", hours(250))
    cursor = base64.b64encode(b'next::updated::[0, ""]').decode()
    link = f"/api/profiles?page%5Bcursor%5D={cursor}&page%5Bsize%5D=100&sort=updated"
    body = json.dumps({"data": [], "links": {"next": f"{link}&filter=less-than%28updated%2C{NEXT_SECOND}%29"}})
    account.fault("klaviyo", kind="status", status=200, body=body, path="/api/profiles", query="sort=updated")
    outcome = tap(streams=["profiles"])

    assert once(of(outcome, "profiles")) == once(ids)


MALFORMED = {
    "nothing": "",
    "no document": "{}",
    "null": "null",
    "a list": "[]",
    "data is null": '{"data":null,"links":{"next":null}}',
    "errors with status 200": '{"errors":[{"id":"1","code":"error","title":"t","detail":"d"}]}',
    "a record without an id": '{"data":[{"type":"profile","attributes":{}}],"links":{"next":null}}',
    "half a document": '{"data":[',
}


@pytest.mark.req("C-26", "C-17")
@pytest.mark.parametrize(
    ("stream", "bodies"),
    [("profiles", list(MALFORMED.values())[:4]), ("events", list(MALFORMED.values())[4:])],
    ids=["profiles", "events"],
)
def test_malformed_answer_is_no_end(tap, account, stream, bodies):
    """Malformed answer is never taken for the end.

    Each with status 200, at pages of windows that are under way; every page is asked for again.
    """
    ids = add(account, stream, hours(740))
    account.latency("klaviyo", 0.02)
    for place, body in enumerate(bodies):
        answer = {"kind": "status", "status": 200, "body": body, "path": f"/api/{stream}", "query": "page[size]"}
        account.fault("klaviyo", skip=1 + place, times=1, **answer)
    outcome = tap(streams=[stream], events_page_size=50)

    assert outcome.code == 0
    assert once(of(outcome, stream)) == once(ids)
    assert sum("attempt" in line and "(200)" in line for line in outcome.warnings()) == len(bodies)


@pytest.mark.req("BX-13", "C-23", "BX-10")
@pytest.mark.parametrize(
    "setting",
    [{"spelling": "blank"}, {"spelling": "offset"}, {"spelling": "fraction", "precision": "microsecond"}],
    ids=["space", "offset", "fraction"],
)
def test_any_time_spelling_works(tap, account, setting):
    """Times may be spelt in any way.

    All records come once, in order and in RFC 3339; the bookmark is normalised, and the next run starts from it.
    """
    account.klaviyo_settings(**setting)
    moments = [*hours(150), *[DENSE[:-1] + f".{n:03}Z" for n in range(250)], *[LAST_SECOND] * 20]
    people = add(account, "profiles", moments)
    events = add(account, "events", moments, "E")
    changes = add(account, "subscription_changes", moments[::10], "S")
    account.latency("klaviyo", 0.01)
    first = tap(events_page_size=50)
    second = tap(state=first.state)

    assert once([key for key in of(first, "profiles") if key[0] == "R"]) == once(people)
    assert once([key for key in of(first, "events") if key in set(events)]) == once(events)
    assert once(of(first, "subscription_changes")) == once(changes)
    for stream, key in KEYS.items():
        values = [record[key] for record in first.records(stream)]
        assert all(RFC3339.fullmatch(value) for value in values)
        assert [value[:19] for value in values] == sorted(value[:19] for value in values)
        assert first.bookmark(stream) == NEXT_SECOND
        assert second.records(stream) == []


@pytest.mark.req("BX-13", "CS-02")
@pytest.mark.parametrize("precision", ["second", "microsecond"])
def test_bounds_hold_with_any_comparison(tap, account, precision):
    """Bounds hold whatever the API compares.

    From the very first second of `start_date` to the last before `end_date`, fractions and all.
    """
    account.klaviyo_settings(spelling="fraction", precision=precision)
    moments = ["2026-05-09T23:59:59.5Z", "2026-05-10T00:00:00Z", "2026-05-10T00:00:00.5Z", "2026-05-10T00:00:01Z"]
    moments += ["2026-05-11T23:59:59Z", "2026-05-11T23:59:59.9Z", "2026-05-12T00:00:00Z", "2026-05-12T00:00:00.1Z"]
    ids = add(account, "profiles", moments)
    outcome = tap(streams=["profiles"], start_date="2026-05-10", end_date="2026-05-12")

    assert outcome.ids("profiles") == ids[1:6]


@pytest.mark.req("C-1", "C-2", "BX-11")
@pytest.mark.parametrize("stream", ["events", "subscription_changes"])
def test_future_events_block_nobody(tap, account, queries, stream):
    """Future-dated events block nobody.

    Whole pages of them, months ahead; what is due comes, run after run, and each of them once it is due.
    """
    due = add(account, stream, hours(120), "DUE")
    future = add(account, stream, ["2026-07-01T12:00:00Z"] * 120, "FUTURE")
    runs, state = [], None
    for clock in (NOON, "2026-06-02T12:00:00Z", "2026-07-02T12:00:00Z"):
        account.clock(frozen=clock)
        account.clear_journal()
        outcome = tap(streams=[stream], events_page_size=50, state=state)
        state = outcome.state
        runs.append(of(outcome, stream))
        start = f"{datetime.fromisoformat(clock) - timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
        asked = re.findall(r"\(datetime,([^)]*)\)", " ".join(queries("/api/events")))
        assert outcome.bookmark(stream) == max(asked) == start
        if clock == NOON:
            late = add(account, stream, ["2026-06-02T10:00:00Z"] * 10, "NEW")

    assert [once(run) for run in runs] == [once(due), once(late), once(future)]


@pytest.mark.req("C-3", "C-4", "CS-03", "IN-47")
def test_lookback_uses_windows(tap, account):
    """Lookback is read in windows too.

    Seven days again, with latency: what surfaced late is there, each event once, and the bookmark only moves on.
    """
    known = add(account, "events", hours(700))
    account.add_events(
        [
            {
                "id": f"LATE{n:03}",
                "metric": "Placed Order",
                "profile_id": "NOBODY",
                "datetime": moment,
                "visible_after": "2026-06-01T12:00:20Z",
                "touch": False,
            }
            for n, moment in enumerate(hours(60, "2026-05-27T00:30:00Z"))
        ]
    )
    account.latency("klaviyo", 0.02)
    settings = {"streams": ["events"], "events_page_size": 50, "lookback_window_days": 7}
    first = tap(**settings)
    account.clock(frozen=LATER)
    second = tap(**settings, state=first.state)

    again = [key for key, moment in zip(known, hours(700), strict=True) if moment >= "2026-05-25T11:59:55Z"]
    assert once(of(first, "events")) == once(known)
    assert once(of(second, "events")) == once(again, [f"LATE{n:03}" for n in range(60)])
    assert [state["bookmarks"]["events"]["replication_key_value"] for state in second.states] == sorted(
        state["bookmarks"]["events"]["replication_key_value"] for state in second.states
    )
    assert second.bookmark("events") == "2026-06-01T12:00:25Z"


def leaves(value, path=()):
    """Every leaf of a JSON value as path -> value; an empty object or list is one."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {deep: leaf for key, child in children for deep, leaf in leaves(child, (*path, key)).items()}
    return found or {path: value}


@pytest.mark.req("C-11", "C-23")
@pytest.mark.parametrize("stream", ["profiles", "subscription_changes"])
def test_every_leaf_of_subscriptions_arrives(tap, account, stream):
    """Of every channel, in every state, with suppressions: as the server sends it, times in RFC 3339."""
    changes = [
        ("email", "SUBSCRIBED", None),
        ("email", "UNSUBSCRIBED", None),
        ("email", "UNSUBSCRIBED", "SPAM_COMPLAINT"),
        ("email", "SUBSCRIBED", "HARD_BOUNCE"),
        ("email", "PENDING", None),
        ("sms", "SUBSCRIBED", None),
        ("sms", "UNSUBSCRIBED", None),
        ("whatsapp", "SUBSCRIBED", None),
    ]
    ids = add(account, "profiles", [OLD] * len(changes))
    listed = {"list_id": "L1", "reason": "UNSUBSCRIBE", "timestamp": "2026-05-01T00:00:00.131026+00:00"}
    held = {"email": {"marketing": {"list_suppressions": [listed]}}}
    account.add_profiles([{"id": key, "attributes": {"updated": OLD, "subscriptions": held}} for key in ids])
    for key, (channel, consent, suppression) in zip(ids, changes, strict=True):
        account.consent(key, channel, consent, suppression=suppression, at="2026-05-30T10:00:00Z")
    arrived = {record["id"]: leaves(record["subscriptions"]) for record in tap(streams=[stream]).records(stream)}
    truth = {profile["id"]: profile["attributes"]["subscriptions"] for profile in account.klaviyo_profiles()}

    assert set(arrived) >= set(ids) - ({ids[4]} if stream == "subscription_changes" else set())  # PENDING has no event
    for key, found in arrived.items():
        sent = leaves(truth[key])
        assert found.keys() == sent.keys()
        assert found == {
            path: sent[path].replace("+00:00", "Z") if is_time(sent[path]) else sent[path] for path in sent
        }


def is_time(value):
    return isinstance(value, str) and value.endswith("+00:00")


CANARY = "pk_canary0123456789"
FAILURES = {
    "missing scope": {"kind": "status", "status": 403},
    "edge": {"kind": "html"},
    "daily quota": {"kind": "status", "status": 429, "headers": {"Retry-After": "73473"}},
    "outage": {"kind": "status", "status": 503},
    "cut connection": {"kind": "reset"},
    "cut body": {"kind": "truncate"},
    "no JSON": {"kind": "not_json"},
    "echo of the key": {
        "kind": "status",
        "status": 400,
        "body": json.dumps({"errors": [{"detail": CANARY, "code": CANARY}]}),
    },
}


@pytest.mark.req("C-32", "IN-04")
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_key_stays_out_of_failures(tap, account, failure):
    """Key is in no output however a run fails.

    Standard output and log together, at the level that tells most, with requests of windows under way.
    """
    account.add_key(CANARY, ["profiles:read", "events:read", "metrics:read"])
    add(account, "profiles", hours(400))
    account.latency("klaviyo", 0.01)
    account.fault("klaviyo", path="/api/profiles", skip=3, times=None, **failure)
    outcome = tap(
        api_key=CANARY, streams=["profiles"], max_retry_seconds=0, variables={"TAP_KLAVIYO_LOGLEVEL": "DEBUG"}
    )

    assert outcome.code == 1
    assert CANARY not in outcome.output + outcome.log
    assert "Traceback" not in outcome.log


@pytest.mark.req("C-32")
def test_key_stays_out_of_timeouts(tap):
    """Key is in no output when nobody answers.

    Where the address leads nowhere, the library's own error holds the whole request.
    """
    outcome = tap(api_key=CANARY, api_url="http://127.0.0.1:9", streams=["profiles"], max_retry_seconds=0)

    assert outcome.code == 1
    assert CANARY not in outcome.output + outcome.log
