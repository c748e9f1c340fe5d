"""Answers that drip in: no single wait is long, and yet they must not hold a run for ever."""

from __future__ import annotations

import socket
import threading

import pytest
import urllib3
from klaviyo_http.client import ClientSettings, KlaviyoClient
from klaviyo_http.connections import POOLS, TimedResponse
from klaviyo_http.documents import read_page
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY

HEAD = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jun 2026 12:00:00 GMT\r\n"
BODIES = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"),
    "body": (HEAD + b"Content-Length: 9999\r\n\r\n", b"x"),
    "chunked body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "body without length": (HEAD + b"\r\n", b"x"),
}


@pytest.fixture
def dripping():
    """Serve one slow answer: a beginning at once, then a drop every 20 ms, for 2 s or until the client has left."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(beginning, drop):
        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.settimeout(0.02)
                piece = beginning
                for _ in range(100):
                    try:
                        connection.sendall(piece)
                        if not connection.recv(1):
                            return
                    except TimeoutError:
                        piece = drop
                    except OSError:
                        return

        threads.append(threading.Thread(target=answer))
        threads[0].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    listener.close()
    for thread in threads:
        thread.join()


@pytest.mark.req("CS-23", "C-27")
@pytest.mark.parametrize(("beginning", "drop"), BODIES.values(), ids=BODIES.keys())
def test_slow_answer_is_a_timeout(dripping, beginning, drop):
    """Every part of it is bounded; a limit on single reads would never strike."""
    url = dripping(beginning, drop)
    with urllib3.PoolManager(timeout=urllib3.Timeout(0.1)) as pool:
        pool.pool_classes_by_scheme = dict(POOLS)

        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            pool.request("GET", url, retries=False)


def test_encrypted_answers_are_bounded():
    """Encrypted answers are bounded as well.

    What the scheme decides is the pool; both make answers of the same kind.
    """
    kinds = {pool.ConnectionCls.response_class for pool in POOLS.values()}

    assert set(POOLS) == {"http", "https"}
    assert kinds == {TimedResponse}


@pytest.fixture
def settings(sandbox):
    return ClientSettings(
        api_key=KLAVIYO_KEY,
        api_url=sandbox.klaviyo_url,
        revision="2026-07-15",
        user_agent="test",
        request_timeout_seconds=0.2,
        max_retry_seconds=60,
        rate_limit_percent=100,
        max_concurrency=4,
    )


@pytest.mark.req("CS-23", "C-27")
def test_slow_page_is_requested_again(sandbox, settings):
    """A page that arrives too slowly is requested again.

    It is given up after five times the read timeout, and costs nothing but that.
    """
    sandbox.seed(profiles=20, events=0)
    sandbox.fault("klaviyo", kind="drip", path="/api/profiles")
    fetched = KlaviyoClient(settings).get("/api/profiles", {"page[size]": 20}, read_page)

    assert len(fetched.document.data) == 20
    assert [entry.get("fault") for entry in sandbox.journal()] == ["drip", None]
