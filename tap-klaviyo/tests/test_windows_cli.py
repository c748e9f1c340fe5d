"""Windows, seen from outside: what is asked for, what comes out in which order, and what every STATE promises."""

from __future__ import annotations

import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

START = datetime(2026, 6, 1, 11, 59, 55, tzinfo=UTC)  # of every run here: the server's clock less five seconds
NOON = "2026-06-01T12:00:00Z"
OVERLAP = timedelta(seconds=60)
KEYS = {"profiles": "updated", "events": "datetime", "subscription_changes": "changed_at"}
WINDOW = re.compile(r"stream (\w+): window (the beginning|\S+) to (\S+): (\d+) pages, (\d+) records")
DEBUG = {"TAP_KLAVIYO_LOGLEVEL": "DEBUG"}

SECOND, MINUTE, HOUR, DAY, MONTH = 1, 60, 3_600, 86_400, 30 * 86_400


def spelt(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def moments_of(stretches):
    """Go back from the run's start: per stretch (seconds between two records, how many); 0 makes one dense second."""
    moment, moments = START - timedelta(seconds=1), []
    for step, count in stretches:
        for _ in range(min(count, 20 * 365 * DAY // max(step, 1))):
            moments.append(moment)
            moment -= timedelta(seconds=step)
        moment -= timedelta(seconds=max(step, 1))
    return [spelt(one) for one in moments]


def fill(sandbox, stream, moments):
    """Give every moment its own record; return id -> moment."""
    known = {f"R{number:05}": moment for number, moment in enumerate(moments)}
    sandbox.clock(frozen=NOON)
    sandbox.quotas(None)
    old = "2000-01-01T00:00:00Z"
    if stream == "profiles":
        sandbox.add_profiles([{"id": key, "attributes": {"updated": moment}} for key, moment in known.items()])
        return known
    metric = "Placed Order" if stream == "events" else "Unsubscribed"
    sandbox.add_profiles([{"id": key, "attributes": {"updated": old}} for key in known])
    sandbox.add_events(
        [
            {"id": key, "metric": metric, "profile_id": key, "datetime": moment, "touch": False}
            for key, moment in known.items()
        ]
    )
    return known


def emitted_by(outcome, stream):
    """Id -> moment of what came out, in the order it came."""
    return [(record["id"], record[KEYS[stream]]) for record in outcome.records(stream)]


def left_over(known, entry):
    """What a run emits that resumes at a bookmark."""
    if not entry:
        return set(known)
    lower = spelt(datetime.fromisoformat(entry["replication_key_value"]) - OVERLAP)
    seen = {one if isinstance(one, str) else one[0] for one in entry["seen"]}
    return {key for key, moment in known.items() if moment >= lower and key not in seen}


def assert_every_state_is_safe(outcome, stream, known):
    """Resuming at any STATE of the output brings exactly what had not been emitted before that line."""
    missing = set(known)
    for message in outcome.messages:
        if message["type"] == "RECORD":
            missing.remove(message["record"]["id"])
        elif message["type"] == "STATE":
            assert left_over(known, message["value"]["bookmarks"].get(stream)) == missing
    assert not missing


def windows(outcome, stream):
    """The windows of a run as (start, end, pages, records), in the order of time."""
    found = [match.groups() for match in WINDOW.finditer(outcome.log) if match[1] == stream]
    return sorted(
        ("" if start == "the beginning" else start, end, int(pages), int(n)) for _, start, end, pages, n in found
    )


def bounds(queries):
    """All times in the filters of decoded queries."""
    return [
        bound for query in queries for bound in re.findall(r"(?:than|equal)\((?:updated|datetime),([^)]*)\)", query)
    ]


stretches = st.lists(
    st.tuples(st.sampled_from([0, 0, SECOND, MINUTE, HOUR, DAY, MONTH]), st.integers(1, 350)), min_size=1, max_size=5
)
faults = st.lists(
    st.tuples(st.sampled_from(["reset", "truncate", "truncate_ok", "not_json", "status", "html"]), st.integers(1, 12)),
    max_size=1,
)


@pytest.mark.req("BX-10", "BX-11", "C-17", "C-25", "C-26", "C-27")
@pytest.mark.parametrize("stream", ["profiles", "events"])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stretches=stretches,
    faults=faults,
    latency=st.sampled_from([0, 0.02, 0.04]),
    concurrency=st.integers(1, 16),
    size=st.integers(20, 100),
)
@example(
    stretches=[(SECOND, 900), (0, 350), (DAY, 100)], faults=[("truncate_ok", 7)], latency=0.04, concurrency=16, size=50
)
def test_any_density_is_complete(tap, running, queries, stream, stretches, faults, latency, concurrency, size):
    """Everything comes once in order whatever the density.

    Dense seconds, bursts and empty years; any number of windows, any page size; with latency and faults.

    What is asked for ends five seconds before the server's now, and the windows share out the time without a gap.
    """
    running.reset()
    known = fill(running, stream, moments_of(stretches))
    running.latency("klaviyo", latency)
    for kind, skip in faults:
        running.fault("klaviyo", kind=kind, skip=skip)
    outcome = tap(
        streams=[stream], max_concurrency=concurrency, events_page_size=size, variables=DEBUG, request_timeout_seconds=5
    )
    emitted = emitted_by(outcome, stream)

    assert outcome.code == 0
    assert Counter(key for key, _ in emitted) == Counter(list(known))
    assert dict(emitted) == known
    assert [moment for _, moment in emitted] == sorted(known.values())
    assert_every_state_is_safe(outcome, stream, known)
    assert all(re.fullmatch(r"[-\d]{10}T[:\d]{8}Z", bound) for bound in bounds(queries(f"/api/{stream}")))
    assert max(bounds(queries(f"/api/{stream}"))) == spelt(START)
    parts = windows(outcome, stream)
    assert (parts[0][0], parts[-1][1]) == ("", spelt(START))
    assert all(earlier[1] == later[0] for earlier, later in pairwise(parts))
    assert sum(records for *_, records in parts) >= len(known)


@pytest.mark.req("C-9")
@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_latency_opens_windows(tap, sandbox, queries, stream):
    """If answers take long, many are awaited at the same time, each for its own time range."""
    known = fill(sandbox, stream, moments_of([(HOUR, 4_000)]))
    sandbox.latency("klaviyo", 0.3)
    outcome = tap(streams=[stream], events_page_size=100)
    firsts = {query for query in queries(f"/api/{stream}") if "page[cursor]" not in query}

    assert sorted(outcome.ids(stream)) == sorted(known)
    assert len(firsts) >= 5
    assert median(entry["under_way"] for entry in sandbox.journal()) >= 5


@pytest.mark.req("C-9")
def test_concurrency_is_never_exceeded(tap, sandbox):
    """`max_concurrency` bounds what is under way, by all windows together."""
    fill(sandbox, "profiles", moments_of([(HOUR, 3_000)]))
    sandbox.latency("klaviyo", 0.05)
    tap(streams=["profiles"], max_concurrency=3)

    assert 1 < max(entry["under_way"] for entry in sandbox.journal()) <= 3


@pytest.mark.req("C-8")
@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_sparse_year_costs_few_calls(tap, sandbox, stream):
    """Sparse year costs a handful of calls.

    A hundred records of a year are a page or two, also where latency asks for windows.
    """
    known = fill(sandbox, stream, moments_of([(3 * DAY + HOUR, 100)]))
    sandbox.latency("klaviyo", 0.05)
    outcome = tap(streams=[stream])

    assert sorted(outcome.ids(stream)) == sorted(known)
    assert len(sandbox.journal()) <= 30


@pytest.mark.req("C-8", "BX-10")
def test_burst_costs_few_calls(tap, sandbox):
    """Burst in an empty year costs no call per day.

    The density changes a hundred thousandfold from one window to the next; windows cut too fine cost little.
    """
    known = fill(sandbox, "events", moments_of([(3 * DAY, 60), (SECOND, 2_000), (3 * DAY, 60)]))
    sandbox.latency("klaviyo", 0.03)
    outcome = tap(streams=["events"], events_page_size=100)

    assert sorted(outcome.ids("events")) == sorted(known)
    assert len(sandbox.journal()) <= 22 + 150


@pytest.mark.req("C-31", "C-8")
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_every_window_respects_end_date(tap, sandbox, queries, stream):
    """`end_date` is honoured by every window.

    A slice of the past asks for nothing outside it, and brings all that lies in it.
    """
    known = fill(sandbox, stream, moments_of([(HOUR, 1_500)]))
    sandbox.latency("klaviyo", 0.02)
    first, last = "2026-05-01T00:00:00Z", "2026-05-25T00:00:00Z"
    outcome = tap(streams=[stream], start_date=first, end_date=last, events_page_size=50)
    asked = bounds(queries("/api/profiles" if stream == "profiles" else "/api/events"))

    assert sorted(outcome.ids(stream)) == sorted(key for key, moment in known.items() if first <= moment < last)
    assert (min(asked), max(asked)) == (first if stream != "profiles" else "2026-04-30T23:59:59Z", last)
    assert outcome.bookmark(stream) == last


@pytest.mark.req("C-31")
def test_metric_chains_use_windows(tap, sandbox, queries):
    """Chains of several metrics are read in windows and merged.

    Only the metrics named are asked for, and their events come in one order.
    """
    known = fill(sandbox, "events", [])
    moments = moments_of([(HOUR, 1_200), (0, 120), (MINUTE, 300)])
    names = ["Placed Order", "Viewed Product", "Opened Email"]
    sandbox.add_profiles([{"id": "P1", "attributes": {"updated": "2000-01-01T00:00:00Z"}}])
    known = {f"R{number:05}": moment for number, moment in enumerate(moments) if number % 3 < 2}
    sandbox.add_events(
        [
            {"id": f"R{n:05}", "metric": names[n % 3], "profile_id": "P1", "datetime": moment, "touch": False}
            for n, moment in enumerate(moments)
        ]
    )
    sandbox.latency("klaviyo", 0.03)
    outcome = tap(streams=["events"], event_metrics=names[:2], events_page_size=50)
    emitted = emitted_by(outcome, "events")

    assert dict(emitted) == known
    assert len(emitted) == len(known)
    assert [moment for _, moment in emitted] == sorted(known.values())
    assert_every_state_is_safe(outcome, "events", known)
    assert all("equals(metric_id," in query for query in queries("/api/events"))


@pytest.mark.req("BX-12")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_interrupted_runs_add_up(tap, interrupted, sandbox, stream, signum):
    """Runs ended at any request add up to everything.

    With windows under way. What was out before the last STATE never comes again; after SIGTERM nothing does.
    """
    known = fill(sandbox, stream, moments_of([(HOUR, 900), (0, 700), (MINUTE, 900)]))
    sandbox.latency("klaviyo", 0.02)
    options = {"streams": [stream], "events_page_size": 100}
    settled: set[str] = set()
    state = None
    for number in (4, 9, 8):
        outcome = interrupted(number, signum, state=state, **options)
        emitted = outcome.ids(stream)
        assert outcome.code == (-signal.SIGKILL if signum == signal.SIGKILL else 128 + signum)
        assert not settled & set(emitted)
        states = [place for place, message in enumerate(outcome.messages) if message["type"] == "STATE"]
        for message in outcome.messages[: states[-1]] if states else ():
            if message["type"] == "RECORD":
                settled.add(message["record"]["id"])
        if signum == signal.SIGTERM:
            assert settled >= set(emitted)
        state = outcome.state if states else state
    rest = tap(state=state, **options)

    assert rest.code == 0
    assert Counter([*settled, *rest.ids(stream)]) == Counter(list(known))


@pytest.mark.req("C-17", "C-19", "BX-11")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, "given up after"),
        ({"status": 429, "headers": {"Retry-After": "73473"}}, "the quota is spent and returns at 2026-06-02T08:24:3"),
        ({"status": 404}, "refused the request (404"),
    ],
    ids=["outage", "daily quota", "refusal"],
)
@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_failed_page_stops_before_gap(tap, sandbox, stream, fault, reason):
    """A page that cannot be read ends the stream before the gap.

    However many later windows were read already: nothing behind the gap is emitted, and the next run fills it.
    """
    known = fill(sandbox, stream, moments_of([(HOUR, 1_500)]))
    sandbox.latency("klaviyo", 0.02)
    sandbox.fault("klaviyo", kind="status", path=f"/api/{stream}", skip=11, times=None, **fault)
    failed = tap(streams=[stream], events_page_size=100, max_retry_seconds=1)
    sandbox.clear_faults()
    emitted = emitted_by(failed, stream)
    rest = tap(streams=[stream], events_page_size=100, state=failed.state)

    assert failed.code == 1
    assert reason in failed.log
    assert failed.bookmark(stream) == max(moment for _, moment in emitted)
    assert left_over(known, failed.state["bookmarks"][stream]) == set(rest.ids(stream))
    assert Counter([key for key, _ in emitted] + rest.ids(stream)) == Counter(list(known))


@pytest.mark.req("C-20")
def test_refused_load_slows_all_windows(tap, sandbox):
    """One refusal for load holds all windows back.

    A second and a half of 429: only what was under way already is refused, and the run succeeds.
    """
    known = fill(sandbox, "profiles", moments_of([(HOUR, 4_000)]))
    sandbox.latency("klaviyo", 0.05)
    throttled = {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}}
    sandbox.fault("klaviyo", path="/api/profiles", skip=20, times=None, seconds=1.5, **throttled)
    outcome = tap(streams=["profiles"])

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == sorted(known)
    assert 1 <= sum(entry["status"] == 429 for entry in sandbox.journal()) <= 16 + 2
