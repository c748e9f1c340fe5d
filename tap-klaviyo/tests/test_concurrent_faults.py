"""Faults that strike while several windows are being read: nothing is lost, nothing comes twice, and it ends."""

from __future__ import annotations

import pytest

NOON = "2026-06-01T12:00:00Z"
PEOPLE = 1_500
LATENCY = 0.05


@pytest.fixture
def account(sandbox, profiles):
    """An account whose profiles take fifteen slow pages, so that windows are useful."""
    sandbox.clock(frozen=NOON)
    sandbox.latency("klaviyo", LATENCY)
    people = profiles(PEOPLE)
    for number, person in enumerate(people):
        minute = number // 2
        person["attributes"]["updated"] = f"2026-05-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
    sandbox.add_profiles(people)
    sandbox.add_events(
        [{"metric": "Placed Order", "profile_id": "P00000", "datetime": "2026-05-01T00:00:00Z", "touch": False}]
    )
    return sandbox


EVERYBODY = [f"P{number:05}" for number in range(PEOPLE)]

STORMS = {
    "answers of an API in trouble": [
        *({"kind": "status", "status": status} for status in (500, 502, 503, 504, 524, 408)),
        {"kind": "html", "status": 403},
    ],
    "answers that are not whole, or none": [
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "truncate_ok"},
        {"kind": "html", "status": 200},
        {"kind": "not_json"},
        {"kind": "hang"},
    ],
}


@pytest.mark.req("C-20", "C-26", "C-27")
@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS.keys())
def test_fault_storm_loses_nothing(tap, account, storm):
    """A storm of faults costs only time.

    One kind after the other, at every other request or so, whichever window that is of.
    """
    for number, fault in enumerate(storm):
        account.fault("klaviyo", path="/api/profiles", skip=2 + number, **fault)
    outcome = tap(streams=["profiles"], request_timeout_seconds=1)

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == EVERYBODY
    assert sum(bool(request.get("fault")) for request in account.journal()) == len(storm)


NO_PAGES = {
    "the first page": ("updated,", ["{}", '{"data":[]}']),
    "a page that a link names": ("cursor", ["[]", "null", '{"data":null}', '{"data":[]}', '{"data":[],"links":null}']),
}


@pytest.mark.req("C-26")
@pytest.mark.parametrize(("query", "bodies"), NO_PAGES.values(), ids=NO_PAGES.keys())
def test_invalid_page_is_requested_again(tap, account, query, bodies):
    """An answer that is not a page is requested again.

    Taken for a last page, it would lose all that is behind it, without a word.
    """
    for skip, body in enumerate(bodies):
        account.fault("klaviyo", kind="status", status=200, body=body, path="/api/profiles", query=query, skip=skip)
    outcome = tap(streams=["profiles"])

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == EVERYBODY
    assert any("the answer (200) is cut off or no JSON:API document" in line for line in outcome.warnings())


@pytest.mark.parametrize("links", ['{"next":null}', "{}", '{"next":""}'])
def test_empty_account_is_read(tap, account, links):
    """Account without anybody is read to its end.

    An empty page with links is whole, whether it says null or nothing about the next one.
    """
    body = f'{{"data":[],"links":{links}}}'
    account.fault("klaviyo", kind="status", status=200, body=body, path="/api/profiles", query="updated,", times=None)
    outcome = tap(streams=["profiles"])

    assert outcome.code == 0
    assert outcome.ids("profiles") == []
    assert outcome.warnings()[1:] == []


@pytest.mark.req("C-20")
def test_occasional_throttling_only_slows(tap, account):
    """Occasional throttling only slows the run.

    Each 429 holds back all windows, and never for less than it asks.
    """
    throttled = {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}
    for skip in (4, 6):
        account.fault("klaviyo", path="/api/profiles", skip=skip, **throttled)
    outcome = tap(streams=["profiles"], max_retry_seconds=8)
    requests = account.journal()

    assert outcome.code == 0
    assert sorted(outcome.ids("profiles")) == EVERYBODY
    assert sum(request["status"] == 429 for request in requests) == 2
    pauses = [line.rsplit("in ", 1)[1] for line in outcome.warnings() if "throttled (429)" in line]
    assert len(pauses) == 2
    assert all(float(pause.split()[0]) >= 0.9 for pause in pauses)


LASTING = {
    "daily quota": (
        {"kind": "status", "status": 429, "headers": {"Retry-After": "73473"}},
        "the quota is spent and returns at 2026-06-02T08:24:33Z",
    ),
    "throttled without end": (
        {"kind": "status", "status": 429, "headers": {"Retry-After": ""}},
        "throttled (429) for longer than max_retry_seconds (1) allows",
    ),
    "missing scope": ({"kind": "status", "status": 403}, "lacks the scope"),
    "outage": ({"kind": "status", "status": 503}, "the API failed (503); given up after"),
    "resets": ({"kind": "reset"}, "no complete answer (ProtocolError); given up after"),
    "no JSON": ({"kind": "html", "status": 200}, "the answer (200) is cut off or no JSON:API document; given up"),
}


@pytest.mark.req("C-19", "C-24", "BX-12")
@pytest.mark.parametrize(("fault", "reason"), LASTING.values(), ids=LASTING.keys())
def test_failed_windows_resume_without_gap(tap, account, fault, reason):
    """Stream that fails between its windows is continued without a gap.

    What later windows had brought already must not move the bookmark over what is missing.
    """
    account.fault("klaviyo", path="/api/profiles", skip=5, times=None, **fault)
    failed = tap(max_retry_seconds=1)
    account.clear_faults()
    resumed = tap(streams=["profiles"], state=failed.state)

    assert failed.code == 4
    assert reason in failed.log
    assert "streams that failed: profiles" in failed.log
    assert len(failed.ids("events")) == 1
    assert resumed.code == 0
    assert failed.ids("profiles") + resumed.ids("profiles") == EVERYBODY


@pytest.mark.req("C-27")
def test_lasting_fault_ends_run_soon(tap, account):
    """Lasting fault of one window ends the run soon.

    The others are not read to the end first, and a black hole does not outlast its timeouts.
    """
    account.fault("klaviyo", kind="hang", path="/api/profiles", skip=3, times=None)
    outcome = tap(streams=["profiles"], request_timeout_seconds=1, max_retry_seconds=0)

    assert outcome.code == 1
    assert "no complete answer (ReadTimeoutError); given up after 1 attempts" in outcome.log
    assert len(outcome.ids("profiles")) <= 300
