"""Quotas: windows, headers, shared buckets, and what a refused request gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from klaviyo_insiderone_sandbox.quotas import DAY, MINUTE, SECOND, TIER_L, Bucket, Quotas, parse_limits
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, KLAVIYO_KEY_THREE_FLOWS

from .conftest import REVISION, InsiderOneCaller, KlaviyoCaller

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

PROFILES = Bucket("GET /api/profiles", TIER_L)


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 600.25

    def __call__(self) -> float:
        """Read the clock."""
        return self.seconds


def counters() -> tuple[Quotas, Hands]:
    hands = Hands()
    return Quotas(monotonic=hands), hands


def test_burst_window_is_limited() -> None:
    """The burst window refuses the 76th call and opens with the next second."""
    quotas, hands = counters()

    waits = [quotas.take([PROFILES]) for _ in range(76)]
    hands.seconds = 601.0

    assert waits == [0] * 75 + [1]
    assert quotas.take([PROFILES]) == 0


def test_minute_window_is_limited() -> None:
    """The minute refuses the 751st call until it is over.

    ``Retry-After`` names the rest of the minute, and coming early is refused again.
    """
    quotas, hands = counters()
    for second in range(10):
        hands.seconds = 600.25 + second
        assert all(quotas.take([PROFILES]) == 0 for _ in range(75))

    hands.seconds = 610.25

    assert quotas.take([PROFILES]) == 50
    hands.seconds = 659.9
    assert quotas.take([PROFILES]) == 1
    hands.seconds = 660.0
    assert quotas.take([PROFILES]) == 0


def test_daily_quota_asks_for_hours() -> None:
    """A spent day asks for hours."""
    quotas, hands = counters()
    reports = Bucket("reports", {SECOND: 1, MINUTE: 2, DAY: 2})
    for minute in range(2):
        hands.seconds = 60.0 * minute
        assert quotas.take([reports]) == 0

    hands.seconds = 120.0

    assert quotas.take([reports]) == DAY - 120


def test_shared_bucket_limits_both() -> None:
    """A shared bucket is drawn from by both and refuses both.

    Predictive analytics has one quota, whichever endpoint is asked.
    """
    quotas, _ = counters()
    shared, other = Bucket("predictive", {SECOND: 1}), Bucket("members", {SECOND: 10})

    assert quotas.take([shared, PROFILES]) == 0
    assert quotas.take([shared, other]) == 1
    assert quotas.take([other]) == 0


def test_longest_wait_is_stated() -> None:
    """The longest wait of several spent windows counts.

    Coming back after the second would be refused for the rest of the minute.
    """
    quotas, _ = counters()
    one = Bucket("one", {SECOND: 1, MINUTE: 1})

    assert [quotas.take([one]) for _ in range(2)] == [0, 60]


def test_a_refused_call_draws_nothing() -> None:
    quotas, hands = counters()
    one = Bucket("one", {SECOND: 1, MINUTE: 2})

    assert [quotas.take([one]) for _ in range(5)] == [0, 1, 1, 1, 1]
    hands.seconds += 1
    assert quotas.take([one]) == 0


def test_scaling_and_switching_off() -> None:
    quotas, _ = counters()
    quotas.scale = 0.04

    assert [quotas.take([PROFILES]) for _ in range(4)] == [0, 0, 0, 1]
    quotas.scale = None
    assert quotas.take([PROFILES]) == 0
    assert quotas.headers(PROFILES) == {}


@pytest.mark.parametrize("text", ["", "75", "75;w=x", "75;w=1,"])
def test_broken_limits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="limits must look like"):
        parse_limits(text)


def get(sandbox: Sandbox, path: str, key: str = KLAVIYO_KEY) -> requests.Response:
    headers = {"Authorization": f"Klaviyo-API-Key {key}", "revision": REVISION}
    return requests.get(sandbox.klaviyo_url + path, headers=headers, timeout=30)


@pytest.mark.parametrize(
    ("path", "limits"),
    [
        ("/api/profiles", "75, 75;w=1, 750;w=60"),
        ("/api/profiles?additional-fields[profile]=subscriptions", "75, 75;w=1, 750;w=60"),
        ("/api/profiles?additional-fields[profile]=predictive_analytics", "10, 10;w=1, 150;w=60"),
        ("/api/events", "350, 350;w=1, 3500;w=60"),
        ("/api/metrics", "10, 10;w=1, 150;w=60"),
        ("/api/accounts", "1, 1;w=1, 15;w=60"),
        ("/api/lists", "75, 75;w=1, 750;w=60"),
        ("/api/tags", "3, 3;w=1, 60;w=60"),
    ],
)
def test_answer_states_documented_quota(sandbox: Sandbox, path: str, limits: str) -> None:
    """A successful answer states the documented quota. The burst quota first, and a remainder counted against it."""
    headers = get(sandbox, path).headers

    assert headers["RateLimit-Limit"] == limits
    assert headers["RateLimit-Remaining"] == str(int(limits.split(",", maxsplit=1)[0]) - 1)
    assert headers["RateLimit-Reset"] == "0"


def test_throttled_answer_has_retry_after(sandbox: Sandbox) -> None:
    """A throttled answer has Retry-After and no quota headers."""
    sandbox.quotas(limits={"GET /api/metrics": "1;w=86400"})
    get(sandbox, "/api/metrics")

    answer = get(sandbox, "/api/metrics")

    error = answer.json()["errors"][0]
    seconds = int(answer.headers["Retry-After"])
    assert answer.status_code == 429
    assert not [name for name in answer.headers if name.lower().startswith("ratelimit")]
    assert (error["status"], error["code"], error["title"]) == (429, "throttled", "Request was throttled.")
    assert error["detail"].startswith("Request was throttled. Expected available in ")
    assert str(seconds) in error["detail"]
    assert error["source"] == {"pointer": "/data"}


def test_account_keys_share_quota(sandbox: Sandbox) -> None:
    """Keys of one account share the quota. The three flows run with one account, whatever their keys."""
    sandbox.quotas(limits={"GET /api/events": "1;w=86400"})
    get(sandbox, "/api/events")

    assert get(sandbox, "/api/events", KLAVIYO_KEY_THREE_FLOWS).status_code == 429


def test_path_ids_share_quota(sandbox: Sandbox) -> None:
    """All ids of a path share the quota.

    Quotas belong to endpoints: the tags of one list and those of another draw from the same.
    """
    sandbox.add_resources("list", [{"id": "A"}, {"id": "B"}])
    sandbox.quotas(limits={"GET /api/lists/{id}/tags": "1;w=86400"})

    statuses = [get(sandbox, f"/api/lists/{path}").status_code for path in ("A/tags", "B/tags", "B/relationships/tags")]

    assert statuses == [200, 429, 200]


def test_refused_key_sees_no_quota(sandbox: Sandbox) -> None:
    """A refused key sees no quota."""
    answer = get(sandbox, "/api/profiles", "pk_wrong")

    assert answer.status_code == 401
    assert "RateLimit-Limit" not in answer.headers


def test_writes_share_their_quota(sandbox: Sandbox, insiderone: InsiderOneCaller) -> None:
    """Upsert and attribute delete share their quota. 25,000 a minute together; scaled down here to one."""
    sandbox.quotas(1 / 25_000)
    user = {"identifiers": {"email": "a@b.co"}, "attributes": {"name": "A"}}
    statuses = [insiderone.post("upsert", {"users": [user]}).status_code for _ in range(2)]

    refused = insiderone.post("attribute/delete", {"users": [{"identifiers": {"email": "a@b.co"}, "whole": ["name"]}]})

    assert 429 in [*statuses, refused.status_code]
    throttled = refused if refused.status_code == 429 else insiderone.post("upsert", {"users": [user]})
    assert throttled.json() == {"error": "rejected: too many requests"}
    assert "Retry-After" not in throttled.headers


def test_insiderone_retry_after_is_optional(sandbox: Sandbox, insiderone: InsiderOneCaller) -> None:
    """Insider One sometimes says when to come back."""
    sandbox.quotas(1 / 25_000)
    sandbox.insiderone_settings(retry_after=True)
    answers = [insiderone.post("upsert", {"users": []}) for _ in range(3)]

    throttled = [answer for answer in answers if answer.status_code == 429]

    assert throttled
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in throttled)


def test_quotas_can_be_switched_off(klaviyo: KlaviyoCaller) -> None:
    """``klaviyo`` runs without quotas; accounts would otherwise serve one call a second."""
    assert [klaviyo.get("/api/accounts").status_code for _ in range(5)] == [200] * 5
