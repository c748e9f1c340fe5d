"""Faults on demand, and what each leaves behind."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import InsiderOneCaller, KlaviyoCaller

ADA = {"identifiers": {"email": "ada@example.org"}, "attributes": {"name": "Ada"}}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_klaviyo_status_has_documented_body(klaviyo: KlaviyoCaller, sandbox: Sandbox, status: int) -> None:
    """A staged Klaviyo status has the documented body."""
    sandbox.fault("klaviyo", kind="status", status=status)

    answer = klaviyo.get("/api/metrics")

    assert answer.status_code == status
    assert answer.json()["errors"][0]["status"] == status
    assert klaviyo.get("/api/metrics").status_code == 200


def test_staged_429_is_configurable(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A staged 429 says what the test wants."""
    sandbox.fault("klaviyo", kind="status", status=429, headers={"Retry-After": "30"})

    answer = klaviyo.get("/api/metrics")

    assert answer.headers["Retry-After"] == "30"
    assert "30 seconds" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("status", [403, 429, 500])
def test_insiderone_status_has_documented_body(insiderone: InsiderOneCaller, sandbox: Sandbox, status: int) -> None:
    """A staged Insider One status has the documented body."""
    sandbox.fault("insiderone", kind="status", status=status)

    answer = insiderone.post("upsert", {"users": [ADA]})

    assert answer.status_code == status
    assert answer.json().keys() <= {"error", "success", "message"}
    assert sandbox.users() == []


@pytest.mark.parametrize("status", [502, 503, 504, 520])
def test_insiderone_edge_answers_html(insiderone: InsiderOneCaller, sandbox: Sandbox, status: int) -> None:
    """The edge of Insider One speaks no JSON."""
    sandbox.fault("insiderone", kind="status", status=status)

    answer = insiderone.post("upsert", {"users": [ADA]})

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html")


def test_klaviyo_edge_challenges_in_html(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The edge of Klaviyo challenges in HTML."""
    sandbox.fault("klaviyo", kind="html")

    answer = klaviyo.get("/api/metrics")

    assert (answer.status_code, answer.headers["cf-mitigated"]) == (403, "challenge")
    assert "<html>" in answer.text


def test_reset_leaves_no_answer(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A reset leaves the client without an answer."""
    sandbox.fault("insiderone", kind="reset")

    with pytest.raises(requests.ConnectionError):
        insiderone.post("upsert", {"users": [ADA]})

    assert sandbox.users() == []
    assert [(entry["status"], entry["fault"]) for entry in sandbox.journal("insiderone")] == [(None, "reset")]


def test_a_lost_answer_was_applied(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """The target cannot know, and must send the same again."""
    sandbox.fault("insiderone", kind="answer_lost")

    with pytest.raises(requests.ConnectionError):
        insiderone.post("upsert", {"users": [ADA]})

    assert len(sandbox.users()) == 1


def test_gateway_timeout_after_write(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A 504 may come after the write."""
    sandbox.fault("insiderone", kind="answer_lost", status=504)

    assert insiderone.post("upsert", {"users": [ADA]}).status_code == 504
    assert len(sandbox.users()) == 1


def test_a_truncated_answer_breaks_off(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """``Content-Length`` promises more than comes."""
    sandbox.fault("klaviyo", kind="truncate")

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        klaviyo.get("/api/metrics")


def test_truncated_document_is_wellformed_http(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Half a document can come in well formed HTTP."""
    sandbox.fault("klaviyo", kind="truncate_ok")

    answer = klaviyo.get("/api/metrics")

    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_text_instead_of_json(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Text can come instead of JSON."""
    sandbox.fault("klaviyo", kind="not_json", body="maintenance")

    answer = klaviyo.get("/api/metrics")

    assert (answer.status_code, answer.text) == (200, "maintenance")


def test_hanging_request_stays_unanswered(sandbox: Sandbox) -> None:
    """A hanging request is never answered."""
    sandbox.fault("klaviyo", kind="hang")

    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{sandbox.klaviyo_url}/api/metrics", timeout=0.2)


def test_slow_answer_comes_bytewise(sandbox: Sandbox) -> None:
    """A dripping answer comes byte by byte.

    Each wait is short, so that a limit on single reads never ends it; what comes is the answer.
    """
    sandbox.fault("klaviyo", kind="drip")
    headers = {"Authorization": f"Klaviyo-API-Key {sandbox.KLAVIYO_KEY}", "revision": "2026-07-15"}

    with requests.get(f"{sandbox.klaviyo_url}/api/metrics", headers=headers, stream=True, timeout=0.5) as answer:
        pieces = [answer.raw.read1() for _ in range(9)]

    begun = b"".join(pieces)
    assert begun.startswith(b'{"data":')
    assert len(begun) < int(answer.headers["Content-Length"])


def test_slow_answer_is_complete(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A slow answer is complete in the end."""
    sandbox.fault("klaviyo", kind="drip")

    assert klaviyo.get("/api/metrics").json()["data"] == []


@pytest.mark.parametrize(
    ("rule", "hits"),
    [
        pytest.param({"path": "/api/metrics"}, [503, 200, 200], id="once"),
        pytest.param({"path": "/api/met*", "times": 2}, [503, 503, 200], id="twice"),
        pytest.param({"times": None}, [503, 503, 503], id="always"),
        pytest.param({"skip": 1}, [200, 503, 200], id="the second"),
        pytest.param({"path": "/api/events*", "times": None}, [200, 200, 200], id="another path"),
        pytest.param({"method": "POST", "times": None}, [200, 200, 200], id="another method"),
        pytest.param(
            {"query": 'equals(integration.name,"Klaviyo")', "times": None}, [200, 200, 200], id="another query"
        ),
        pytest.param({"probability": 0.0, "times": None}, [200, 200, 200], id="never by chance"),
    ],
)
def test_rule_matches_named_requests(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, rule: dict[str, Any], hits: list[int]
) -> None:
    """A rule meets the requests it names."""
    sandbox.fault("klaviyo", kind="status", status=503, **rule)

    assert [klaviyo.get("/api/metrics").status_code for _ in hits] == hits


def test_rule_can_match_body(insiderone: InsiderOneCaller, sandbox: Sandbox) -> None:
    """A rule can look into the body."""
    sandbox.fault("insiderone", kind="status", status=500, query="ada@example.org", times=None)
    ben = {**ADA, "identifiers": {"email": "ben@example.org"}}

    statuses = [insiderone.post("upsert", {"users": [one]}).status_code for one in (ADA, ben)]

    assert statuses == [500, 200]


def test_chance_is_repeatable(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A failing test with random faults must fail again."""

    def run() -> list[int]:
        sandbox.clear_faults()
        sandbox.fault("klaviyo", kind="status", status=503, times=None, probability=0.5, seed=7)
        return [klaviyo.get("/api/metrics").status_code for _ in range(20)]

    first, second = run(), run()

    assert first == second
    assert set(first) == {200, 503}


@pytest.mark.parametrize(("seconds", "statuses"), [(0, [503, 200, 200]), (300, [503, 503, 503])])
def test_fault_can_expire(klaviyo: KlaviyoCaller, sandbox: Sandbox, seconds: int, statuses: list[int]) -> None:
    """A fault can end by itself. An outage lasts for a time, however often a client asks meanwhile."""
    sandbox.fault("klaviyo", kind="status", times=None, seconds=seconds)

    assert [klaviyo.get("/api/metrics").status_code for _ in range(3)] == statuses


def test_faults_can_be_cleared(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    sandbox.fault("klaviyo", kind="status", status=503, times=None)

    sandbox.clear_faults()

    assert klaviyo.get("/api/metrics").status_code == 200


def test_aborted_request_has_no_effect(sandbox: Sandbox) -> None:
    """An incomplete request has no effect, even if its half of a body is valid JSON."""
    host, port = sandbox.insiderone_url.removeprefix("http://").split(":")
    body = b'{"users":[{"identifiers":{"email":"a@b.co"},"attributes":{"name":"A"}}]}'
    head = (
        "POST /api/user/v1/upsert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-PARTNER-NAME: {sandbox.PARTNER}\r\nX-REQUEST-TOKEN: {sandbox.TOKEN}\r\n"
        f"Content-Length: {len(body) + 9}\r\n\r\n"
    )

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)

    assert sandbox.users() == []
    assert sandbox.journal("insiderone") == []
