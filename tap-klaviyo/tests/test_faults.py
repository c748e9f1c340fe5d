"""What the tap does when Klaviyo, the network or the operator does not play along."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from tap_klaviyo.reading.bookmarks import Bookmark
from tap_klaviyo.reading.fetching import Fetcher
from tap_klaviyo.reading.rows import PageBudget, Row
from tap_klaviyo.reading.stream import Run
from tap_klaviyo.writer import Stopped

NOON = "2026-06-01T12:00:00Z"
OLD = "2026-05-01T00:00:00Z"
DAILY_QUOTA_SPENT = {"kind": "status", "status": 429, "headers": {"Retry-After": "73473"}}
CANARY = "pk_canary0123456789"


@pytest.fixture
def account(sandbox, profiles):
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(250, updated=OLD))
    sandbox.add_events(
        [
            {"metric": metric, "profile_id": "P00000", "datetime": OLD, "properties": {}, "touch": False}
            for metric in ("Placed Order", "Unsubscribed")
        ]
    )
    return sandbox


TRANSIENT = {
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "524": {"kind": "status", "status": 524},
    "reset": {"kind": "reset"},
    "body cut off by the network": {"kind": "truncate"},
    "body cut off, well-formed HTTP": {"kind": "truncate_ok"},
    "HTML of the edge, 403": {"kind": "html", "status": 403},
    "text instead of JSON": {"kind": "not_json"},
    "no answer": {"kind": "hang"},
}


@pytest.mark.req("C-26", "C-27", "C-20")
@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_transient_fault_costs_only_time(tap, account, fault):
    """A transient fault on the second page costs only time.

    A page is repeated until it is whole; a cut body is never taken for the end.
    """
    account.fault("klaviyo", path="/api/profiles", query="cursor", times=1, **fault)
    outcome = tap(streams=["profiles"], request_timeout_seconds=1)

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == [f"P{number:05}" for number in range(250)]
    assert any("attempt 2 follows" in line for line in outcome.warnings())


@pytest.mark.req("C-20")
def test_retry_after_is_never_undercut(tap, account):
    """An early retry is refused for certain."""
    account.fault("klaviyo", kind="status", status=429, headers={"Retry-After": "2"}, path="/api/profiles", times=2)
    outcome = tap(streams=["profiles"], max_retry_seconds=8)

    assert outcome.code == 0
    assert len(outcome.ids("profiles")) == 250
    waits = [line for line in outcome.warnings() if "throttled (429)" in line]
    assert [float(line.rsplit("in ", 1)[1].split()[0]) >= 2 for line in waits] == [True, True]


@pytest.mark.req("C-19", "C-24", "CS-01", "IN-46")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DAILY_QUOTA_SPENT, "the quota is spent and returns at 2026-06-02T08:24:33Z"),
        ({"kind": "status", "status": 500}, "given up after"),
        ({"kind": "status", "status": 403}, "lacks the scope"),
        ({"kind": "status", "status": 410}, "refused the request (410"),
    ],
    ids=["daily quota", "no recovery", "missing scope", "gone"],
)
def test_failing_stream_is_named(tap, account, fault, reason):
    """Failing stream is named and the others complete.

    Exit code 4, the bookmark of the failed streams unmoved, and the reason in an ERROR line.
    """
    account.fault("klaviyo", path="/api/events", times=None, **fault)
    state = {"bookmarks": {"events": {"replication_key": "datetime", "replication_key_value": "2026-04-01T00:00:00Z"}}}
    outcome = tap(max_retry_seconds=1, state=state)

    assert outcome.code == 4
    assert len(outcome.ids("profiles")) == 250
    assert outcome.bookmark("events") == "2026-04-01T00:00:00Z"
    errors = [line for line in outcome.log.splitlines() if "| ERROR" in line]
    assert reason in errors[0]
    assert "streams that failed: events, subscription_changes; streams that completed: profiles" in errors[-1]


@pytest.mark.req("CS-01", "C-24", "IN-07")
def test_missing_scope_is_named(tap, account):
    """Scope, endpoint and stream, so that the key can be mended."""
    account.add_key("pk_profiles_only", ["profiles:read"])
    outcome = tap(api_key="pk_profiles_only", streams=["profiles", "events"])

    assert outcome.code == 4
    assert "stream events failed: GET /api/events: the `api_key` lacks the scope events:read (403)" in outcome.log


def test_unreadable_metrics_fail_dependent_streams(tap, account):
    """Metrics that cannot be read fail every stream that needs them.

    Reading all events instead is for keys that lack the scope, and said; an outage is not that.
    """
    account.fault("klaviyo", kind="status", status=500, path="/api/metrics", times=None)
    outcome = tap(max_retry_seconds=1, event_metrics=["Placed Order"])

    assert outcome.code == 4
    assert "streams that failed: events, subscription_changes; streams that completed: profiles" in outcome.log


def test_complete_failure_exits_1(tap, account):
    """A run in which nothing completes exits with 1. There is no partial success without a success."""
    account.fault("klaviyo", kind="status", status=404, times=None)

    assert tap().code == 1


@pytest.mark.req("IN-07", "IN-04", "C-32")
def test_rejected_key_ends_run(tap, account):
    """Rejected key ends the run at once and is not shown.

    401 concerns every stream; the key appears nowhere, at any level of logging.
    """
    outcome = tap(api_key=CANARY, variables={"TAP_KLAVIYO_LOGLEVEL": "DEBUG"})

    assert outcome.code == 2
    assert "rejected the `api_key` (401): is it a private key" in outcome.log
    assert not [words for words in ("Traceback", "unhandled") if words in outcome.log]
    assert CANARY not in outcome.log + outcome.output
    assert len(account.journal()) == 1


@pytest.mark.req("IN-04", "C-32")
def test_passing_run_logs_no_secrets(tap, account):
    """Key and people stay out of the log of a passing run.

    At DEBUG, with faults, stream maps and an API that puts an address into its error.
    """
    account.add_key(CANARY, ["profiles:read", "events:read", "metrics:read"])
    error = {"id": "1", "status": 400, "code": "invalid", "title": "leak@shop.example", "detail": "leak@shop.example"}
    body = json.dumps({"errors": [error]})
    account.fault("klaviyo", kind="status", status=400, body=body, path="/api/events", times=None)
    account.fault("klaviyo", kind="truncate_ok", path="/api/profiles", query="cursor", times=1)
    outcome = tap(
        api_key=CANARY,
        variables={"TAP_KLAVIYO_LOGLEVEL": "DEBUG"},
        stream_maps={"profiles": {"contact": "email.upper()"}},
    )

    assert outcome.code == 4
    assert len(outcome.records("profiles")) == 250
    assert CANARY not in outcome.log + outcome.output
    assert "@shop" not in outcome.log.lower()
    assert "@SHOP" not in outcome.log


@pytest.fixture
def started(command, environment):
    """Start the tap, and end it when the test does."""
    processes = []

    def start(**options):
        process = subprocess.Popen(
            command(**options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.req("BX-12")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_signal_while_waiting_keeps_state(tap, started, account, signum, code):
    """Signal during a wait ends the run with the state of what was emitted.

    Also in the middle of a long Retry-After; whole lines only, and the next run brings exactly the rest.
    """
    throttled = {"kind": "status", "status": 429, "headers": {"Retry-After": "600"}}
    account.fault("klaviyo", path="/api/profiles", query="cursor", skip=1, **throttled)
    process = started(streams=["profiles"])
    lines = [process.stdout.readline()]
    while json.loads(lines[-1])["type"] != "STATE":
        lines.append(process.stdout.readline())
    process.send_signal(signum)
    rest, log = process.stdout.read(), process.stderr.read()
    process.wait()
    messages = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    account.clear_faults()
    state = [message["value"] for message in messages if message["type"] == "STATE"][-1]
    resumed = tap(streams=["profiles"], state=state)

    assert process.returncode == code
    assert "stopped by a signal" in log
    emitted = [message["record"]["id"] for message in messages if message["type"] == "RECORD"]
    assert len(emitted) == 200
    assert sorted(emitted + resumed.ids("profiles")) == [f"P{number:05}" for number in range(250)]


@pytest.mark.req("BX-12")
def test_signals_tear_no_line(sandbox, started):
    """Signals while the reader is slow tear no line and repeat nothing.

    A full pipe is where a signal finds the tap most of the time, in the middle of a write.
    """
    sandbox.quotas(None)
    sandbox.seed(profiles=100, events=3_000, hostile=False)
    sandbox.clock(now="2030-01-01T00:00:00Z")
    state, ids = None, []
    for stop in (True, True, True, True, False):
        process = started(streams=["events"], state=state, events_page_size=200)  # a page is larger than a pipe
        lines = [process.stdout.readline() for _ in range(3)]
        if stop:
            process.send_signal(signal.SIGTERM)
        messages = [json.loads(line) for line in [*lines, *process.stdout.read().splitlines()]]
        ids += [message["record"]["id"] for message in messages if message["type"] == "RECORD"]
        state = [message["value"] for message in messages if message["type"] == "STATE"][-1]
        assert process.wait() == (143 if stop else 0)

    assert sorted(ids) == sorted(row["resource"]["id"] for row in sandbox.klaviyo_events())


@pytest.mark.req("BX-12")
@pytest.mark.parametrize(
    "settings", [{}, {"stream_maps": {"profiles": {"kind": "'person'"}}}], ids=["at once", "one by one"]
)
def test_signal_waits_for_notes(settings, monkeypatch):
    """Signal between records and their notes waits for the notes.

    Else the records are out, the last STATE does not know them, and the next run emits them again.
    """
    from tap_klaviyo.tap import TapKlaviyo

    tap = TapKlaviyo(config={"api_key": "pk_0123456789", **settings})
    start = datetime(2026, 6, 1, tzinfo=UTC)
    bookmark = Bookmark(None, ceiling=start, overlap=timedelta(seconds=60), versioned=True)
    tally = {"emitted": 0, "repeats": 0}
    run = Run(None, None, start, bookmark, PageBudget(None, bookmark), tally, Fetcher(1))
    row = Row("2026-05-01T00:00:00", "P1", "2026-05-01T00:00:00Z", start, {"id": "P1"})
    stream = tap.streams["profiles"]
    stream.get_record_counter()
    monkeypatch.setattr(tap.lines, "write_lines", lambda _: tap.lines.handle_signal(signal.SIGTERM, None))
    with pytest.raises(Stopped):  # noqa: PT012 - the signal arrives while the records are being emitted
        for _ in stream.emit(run, [[row]]):
            tap.lines.handle_signal(signal.SIGTERM, None)

    assert bookmark.fresh([row]) == []


@pytest.mark.req("BX-12")
def test_kill_repeats_little(tap, sandbox, started):
    """Killed run repeats at most what followed its last state.

    SIGKILL leaves no time for a last word; the STATEs on the way are enough.
    """
    sandbox.clock(frozen=NOON)
    sandbox.quotas(None)
    moments = [f"2026-05-01T{n // 200:02}:00:00Z" for n in range(3_000)]
    sandbox.add_profiles([{"id": f"P{n:05}", "attributes": {"updated": moment}} for n, moment in enumerate(moments)])
    sandbox.fault("klaviyo", kind="hang", path="/api/profiles", query="cursor", skip=24)
    process = started(streams=["profiles"])
    messages = []
    while sum(message["type"] == "STATE" for message in messages) < 2:
        messages.append(json.loads(process.stdout.readline()))
    process.kill()
    process.wait()
    sandbox.clear_faults()
    state = messages[-1]["value"]
    settled = {message["record"]["id"] for message in messages if message["type"] == "RECORD"}
    resumed = tap(streams=["profiles"], state=state)

    everybody = {f"P{number:05}" for number in range(3_000)}
    assert settled | set(resumed.ids("profiles")) == everybody
    assert settled & set(resumed.ids("profiles")) == set()


@pytest.mark.req("BX-12")
def test_state_frequency_and_truth(tap, sandbox):
    """State comes at least every ten thousand records and passes nothing.

    Every STATE on the way is one to resume from: no record at or before its bookmark follows, but for known ties.
    """
    sandbox.seed(profiles=100, events=6_000, hostile=False)
    outcome = tap(streams=["events"])
    bookmark, seen, since = "", set(), 0
    for message in outcome.messages:
        if message["type"] == "RECORD":
            since += 1
            moment, key = message["record"]["datetime"], message["record"]["id"]
            assert moment >= bookmark
            assert key not in seen
        elif message["type"] == "STATE":
            entry = message["value"]["bookmarks"]["events"]
            bookmark, seen = entry["replication_key_value"], set(entry["seen"])
            assert since <= 10_000
            since = 0

    assert len(outcome.states) >= 6


def test_lost_reader_ends_quietly(started, sandbox):
    """Reader that goes away ends the run without a traceback.

    The target failed: its error matters, not a stack of ours.
    """
    sandbox.quotas(None)
    sandbox.seed(profiles=100, events=6_000, hostile=False)
    process = started(streams=["events"])
    process.stdout.readline()
    process.stdout.close()
    log = process.stderr.read()

    assert process.wait() == 1
    assert "the reader of the output is gone" in log
    assert "Traceback" not in log


def test_foreign_next_link_gets_nothing(tap, account, sandbox):
    """Next link to another host never gets the key.

    Nor is it followed anywhere else: whoever changes the answers is not asked for more.
    """
    page = {"data": [], "links": {"next": "@elsewhere.invalid/api/profiles?page%5Bcursor%5D=x&sort=updated"}}
    sandbox.fault("klaviyo", kind="status", status=200, body=json.dumps(page), path="/api/profiles", query="updated,")
    outcome = tap(streams=["profiles"])

    assert outcome.code == 1
    assert "leads to another address than `api_url`" in outcome.log
    assert "elsewhere" not in outcome.log
    assert not [entry for entry in account.journal() if "cursor" in entry["query"]]


@pytest.mark.parametrize("cycle", ["x", "xy", "xyz"])
def test_cyclic_pages_end_run(tap, account, cycle):
    """Pages that name each other as the next do not hold the run forever. A loop is an error, not a long run."""
    for query, cursor in zip(["updated,", *(f"cursor]={one}" for one in cycle)], cycle + cycle[0], strict=True):
        page = {"data": [], "links": {"next": f"/api/profiles?page%5Bcursor%5D={cursor}"}}
        fault = {"kind": "status", "status": 200, "body": json.dumps(page), "times": None}
        account.fault("klaviyo", path="/api/profiles", query=query, **fault)
    outcome = tap(streams=["profiles"])

    assert outcome.code == 1
    assert "names one as the next that was read before" in outcome.log


def test_deep_property_is_passed_on(tap, sandbox):
    """Property nested deep is passed on.

    Nobody looks into it: 5,000 levels ended the stream, since the decoder had room for fewer.
    """
    deep = "[" * 5_000 + "]" * 5_000
    people = [
        f'{{"type":"profile","id":"{key}","attributes":{{"updated":"2026-05-01T00:00:00Z","properties":{{"x":{value}}}}}}}'
        for key, value in (("1", "1"), ("2", deep))
    ]
    page = f'{{"data":[{",".join(people)}],"links":{{"self":"x","next":null}}}}'
    sandbox.fault("klaviyo", kind="status", status=200, body=page, path="/api/profiles", query="updated,", times=None)

    outcome = tap(streams=["profiles"])

    assert outcome.code == 0, outcome.log
    assert f'"properties":{{"x":{deep}}}' in outcome.output
    assert outcome.output.count('"RECORD"') == 2
