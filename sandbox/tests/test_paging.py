"""Walks over pages: nothing lost, nothing twice, and rows that move while a walk is under way."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller


def add_ties(sandbox: Sandbox, number: int) -> None:
    """Add events that all share one second."""
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events(
        [{"metric": "Viewed Product", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"} for _ in range(number)]
    )


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
@pytest.mark.parametrize("sort", ["datetime", "-datetime"])
def test_tied_events_come_once(klaviyo: KlaviyoCaller, sandbox: Sandbox, size: int, sort: str) -> None:
    """Events of one second come once each. The id breaks the tie, so pages may be cut anywhere."""
    add_ties(sandbox, 53)

    rows = klaviyo.walk("/api/events", page__size=size, sort=sort)

    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids)) == 53
    assert ids == sorted(ids, reverse=sort.startswith("-"))


@pytest.mark.parametrize("size", [1, 9, 100])
@pytest.mark.parametrize("sort", ["id", "updated", "-updated", "created", "email", "-email"])
def test_profiles_come_once_per_order(klaviyo: KlaviyoCaller, sandbox: Sandbox, size: int, sort: str) -> None:
    """Profiles come once each in every order."""
    sandbox.seed(profiles=30, events=0)

    rows = klaviyo.walk("/api/profiles", page__size=size, sort=sort)

    assert len(rows) == len({row["id"] for row in rows}) == 30


def test_event_cursor_is_a_position(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The event cursor is a position not a page number.

    Base64 of epoch second and id of the last row, as recordings of the API show.
    """
    add_ties(sandbox, 3)

    answer = klaviyo.get("/api/events", page__size=2).json()

    cursor = parse_qs(urlsplit(answer["links"]["next"]).query)["page[cursor]"][0]
    assert json.loads(base64.b64decode(cursor)) == [1767225600, answer["data"][-1]["id"], True]


def test_next_link_repeats_parameters(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The next link is absolute and repeats every parameter."""
    add_ties(sandbox, 3)

    answer = klaviyo.get(
        "/api/events",
        page__size=2,
        include="metric",
        sort="datetime",
        filter="less-than(datetime,2026-02-01T00:00:00Z)",
    ).json()

    query = parse_qs(urlsplit(answer["links"]["next"]).query)
    assert answer["links"]["next"].startswith(f"{sandbox.klaviyo_url}/api/events?")
    assert query["filter"] == ["less-than(datetime,2026-02-01T00:00:00Z)"]
    assert query["page[size]"] == ["2"]
    assert query["include"] == ["metric"]


def test_last_page_link_is_null(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The last page has a null link. Also where the rows fill the page exactly."""
    add_ties(sandbox, 2)

    assert klaviyo.get("/api/events", page__size=2).json()["links"]["next"] is None


def test_touched_profile_comes_again(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A profile touched during a walk comes again at the end.

    Sorting by ``updated`` gives no snapshot, as in reality.
    """
    sandbox.add_profiles(
        [{"id": f"P{day}", "attributes": {"updated": f"2026-01-0{day}T00:00:00Z"}} for day in (1, 2, 3)]
    )
    first = klaviyo.get("/api/profiles", page__size=1, sort="updated").json()

    sandbox.touch(["P1"], at="2026-01-09T00:00:00Z")
    second = klaviyo.follow(first["links"]["next"]).json()
    third = klaviyo.follow(second["links"]["next"]).json()
    fourth = klaviyo.follow(third["links"]["next"]).json()

    seen = [page["data"][0]["id"] for page in (first, second, third, fourth)]
    assert seen == ["P1", "P2", "P3", "P1"]


def test_cursor_outlives_its_row(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A cursor outlives the row it names. The position is a key, so an erased row does not derail a walk."""
    sandbox.add_profiles([{"id": f"P{n}", "attributes": {}} for n in range(3)])
    first = klaviyo.get("/api/profiles", page__size=1).json()

    sandbox.erase(["P0"])

    assert klaviyo.follow(first["links"]["next"]).json()["data"][0]["id"] == "P1"


@pytest.mark.parametrize(
    "cursor", ["", "garbage", base64.b64encode(b"[1]").decode(), base64.b64encode(b"next::id::7").decode()]
)
@pytest.mark.parametrize("path", ["/api/events", "/api/profiles"])
def test_a_foreign_cursor_is_refused(klaviyo: KlaviyoCaller, path: str, cursor: str) -> None:
    answer = klaviyo.get(path, page__cursor=cursor)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": "page[cursor]"}


@pytest.mark.parametrize(
    ("path", "default", "largest"), [("/api/profiles", 20, 100), ("/api/events", 200, 1000)], ids=["profiles", "events"]
)
def test_page_sizes_match_endpoint(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, path: str, default: int, largest: int
) -> None:
    """Page sizes are those of the endpoint."""
    sandbox.seed(profiles=largest + 1, events=largest + 1, hostile=False)

    assert len(klaviyo.get(path).json()["data"]) == default
    assert len(klaviyo.get(path, page__size=largest).json()["data"]) == min(largest, 1001)
    for size in (0, largest + 1, -1, "ten"):
        assert klaviyo.get(path, page__size=size).json()["errors"][0]["source"] == {"parameter": "page[size]"}


def test_metrics_take_no_page_size(klaviyo: KlaviyoCaller) -> None:
    answer = klaviyo.get("/api/metrics", page__size=10)

    assert answer.status_code == 400


def test_metrics_come_200_a_page(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Accounts with more metrics exist, and a tap must follow the link here too."""
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events(
        [{"metric": f"Metric {n}", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"} for n in range(201)]
    )

    first: dict[str, Any] = klaviyo.get("/api/metrics").json()

    assert len(first["data"]) == 200
    assert len(klaviyo.follow(first["links"]["next"]).json()["data"]) == 1
