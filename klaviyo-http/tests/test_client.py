"""The client in the hands of many threads, against the sandbox."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from klaviyo_http import endpoints
from klaviyo_http.client import ClientSettings, KlaviyoClient
from klaviyo_http.documents import read_page
from klaviyo_http.errors import QuotaSpentError, RefusedRequestError, RequestAbandonedError, RetriesSpentError
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY

PROFILES = "/api/profiles"
WORKERS = 16
NOON = "2026-06-01T12:00:00Z"


@pytest.fixture
def new_client(sandbox, profiles):
    """Make a client for an account of some profiles; keywords are settings."""
    sandbox.clock(frozen=NOON)
    sandbox.add_profiles(profiles(20))

    def make(**settings):
        defaults = {
            "api_key": KLAVIYO_KEY,
            "api_url": sandbox.klaviyo_url,
            "revision": "2026-07-15",
            "user_agent": "test",
            "request_timeout_seconds": 10,
            "max_retry_seconds": 900,
            "rate_limit_percent": 100,
            "max_concurrency": WORKERS,
        }
        return KlaviyoClient(ClientSettings(**{**defaults, **settings}))

    return make


def page(client, size=20):
    """Read the first page."""
    return client.get(PROFILES, {"page[size]": size}, read_page)


def ask_at_once(client, rounds=1):
    """Have all workers ask at the same moment; return what each got, or the error that it met."""
    gate = threading.Barrier(WORKERS)

    def work(_):
        gate.wait()
        try:
            return [page(client) for _ in range(rounds)]
        except (QuotaSpentError, RequestAbandonedError) as error:
            return error

    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(work, range(WORKERS)))


def test_threads_share_count_and_connections(sandbox, new_client, caplog):
    """Every request of every thread is counted and connections are used again.

    As many connections as workers; one more each time would cost a handshake a page.
    """
    sandbox.quotas(None)
    sandbox.latency("klaviyo", 0.02)
    client = new_client()
    with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
        fetched = [page for pages in ask_at_once(client, rounds=4) for page in pages]
    opened = [line for line in caplog.messages if "Starting new HTTP connection" in line]

    assert {len(one.document.data) for one in fetched} == {20}
    assert client.requests == len(sandbox.journal()) == 4 * WORKERS
    assert len(opened) <= WORKERS
    assert not [line for line in caplog.messages if "pool is full" in line]


def test_page_has_size_and_time(sandbox, new_client):
    """A fetched page has its size and its time. Both determine how many windows are read at once."""
    sandbox.latency("klaviyo", 0.05)
    fetched = page(new_client())
    (request,) = sandbox.journal()

    assert fetched.size == request["bytes"]
    assert fetched.seconds >= 0.05


@pytest.mark.req("C-20")
@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {"Retry-After": ""}], ids=["with Retry-After", "without"])
def test_throttled_workers_probe_once(sandbox, new_client, headers):
    """Throttling met by all workers costs one more request per pause.

    Sixteen are under way when it begins; after that a single one asks, for all of them.
    """
    sandbox.latency("klaviyo", 0.3)
    sandbox.fault("klaviyo", kind="status", status=429, headers=headers, times=WORKERS + 1)
    outcomes = ask_at_once(new_client(max_retry_seconds=6))
    statuses = [request["status"] for request in sandbox.journal()]

    assert [len(pages) for pages in outcomes] == [1] * WORKERS
    assert statuses == [429] * (WORKERS + 1) + [200] * WORKERS


@pytest.mark.req("C-19")
def test_spent_quota_ends_all_workers(sandbox, new_client):
    """Spent daily quota ends all workers at once. Each with the time at which it returns; none asks again."""
    sandbox.latency("klaviyo", 0.3)
    sandbox.fault("klaviyo", kind="status", status=429, headers={"Retry-After": "73473"}, times=None)
    client = new_client()
    outcomes = [*ask_at_once(client), *ask_at_once(client)]

    assert {type(error) for error in outcomes} == {QuotaSpentError}
    assert all("the quota is spent and returns at 2026-06-02T08:24:33Z" in str(error) for error in outcomes)
    assert len(sandbox.journal()) == WORKERS


def test_broken_probe_blocks_nobody(sandbox, new_client):
    """Probe that is interrupted does not hold the others forever.

    A reset and a refusal of the edge say nothing about the quota: the next one asks.
    """
    sandbox.latency("klaviyo", 0.3)
    sandbox.fault("klaviyo", kind="status", status=429, headers={"Retry-After": "1"}, times=WORKERS)
    for fault in ({"kind": "reset"}, {"kind": "html", "status": 403}):
        sandbox.fault("klaviyo", **fault)
    outcomes = ask_at_once(new_client())
    under_way = [request["under_way"] for request in sandbox.journal()]

    assert [len(pages) for pages in outcomes] == [1] * WORKERS
    assert under_way[WORKERS : WORKERS + 3] == [1] * 3


def test_closing_ends_waits(sandbox, new_client):
    """Closing the client ends what waits.

    Requests that wait for a quota, for the next attempt, or that are asked later.
    """
    sandbox.fault("klaviyo", kind="status", status=429, headers={"Retry-After": "600"}, times=None)
    client = new_client()
    with ThreadPoolExecutor(2) as workers:
        waiting = [workers.submit(page, client) for _ in range(2)]
        while not sandbox.journal():
            assert not any(one.done() for one in waiting)
        client.close()

        assert [type(one.exception(timeout=10)) for one in waiting] == [RequestAbandonedError] * 2
    with pytest.raises(RequestAbandonedError):
        page(client)


def test_server_time_is_monotonic(sandbox, new_client):
    """Server time does not go back.

    Answers overtake each other; the bounds of a later stream must not lie before those of an earlier one.
    """
    client = new_client()
    before = client.run_start(endpoints.PROFILES, timedelta(minutes=1))
    sandbox.clock(frozen="2026-06-01T11:00:00Z")
    page(client)
    unmoved = client.run_start(endpoints.PROFILES, timedelta(minutes=1))
    sandbox.clock(frozen="2026-06-01T12:00:09Z")
    page(client)

    assert before == unmoved
    assert (client.run_start(endpoints.PROFILES, timedelta(minutes=1)) - before).total_seconds() == 9


@pytest.mark.req("C-32")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_never_gets_key(sandbox, new_client, status):
    """Redirect is refused and its target never gets the key.

    Whoever controls a redirect would control where the key goes.
    """
    elsewhere = f"{sandbox.insiderone_url}/api/profiles"
    sandbox.fault("klaviyo", kind="status", status=status, headers={"Location": elsewhere})
    with pytest.raises(RefusedRequestError, match="which is not followed"):
        page(new_client())

    assert sandbox.journal("insiderone") == []
    assert len(sandbox.journal()) == 1


def test_deep_answer_is_retried(sandbox, new_client):
    """Deeply nested answer is repeated not a crash.

    It exhausts the decoder's stack, which is no reason to end the run with an unexpected error.
    """
    nested = '{"data":[{"id":"1","attributes":{"x":' + "[" * 100_000 + "]" * 100_000 + '}}],"links":{}}'
    sandbox.fault("klaviyo", kind="status", status=200, body=nested)
    fetched = page(new_client())

    assert len(fetched.document.data) == 20
    assert len(sandbox.journal()) == 2


def test_cyclic_pages_end(new_client, sandbox, monkeypatch):
    """A collection whose pages link to each other comes to an end.

    Metrics, and profiles by their ids, are read to the end before anything is emitted.
    """
    monkeypatch.setattr("klaviyo_http.client.MOST_PAGES", 3)
    page = '{"data":[],"links":{"next":"/api/profiles?page%5Bcursor%5D=x"}}'
    sandbox.fault("klaviyo", kind="status", status=200, body=page, path=PROFILES, times=None)

    with pytest.raises(RefusedRequestError, match="the pages do not end"):
        new_client().all_pages(PROFILES, {}, read_page)
    assert len(sandbox.journal()) == 3


def test_broken_answer_counts_as_answer(new_client, sandbox):
    """An incomplete answer is an answer.

    Whether anything ever answered decides what the other streams are worth; it did.
    """
    sandbox.fault("klaviyo", kind="status", status=200, body="x", headers={"Content-Encoding": "br"}, times=None)

    with pytest.raises(RetriesSpentError):
        page(new_client(max_retry_seconds=1))
