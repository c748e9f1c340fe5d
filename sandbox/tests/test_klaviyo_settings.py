"""What can be chosen of the Klaviyo account where the vendor leaves it open."""

from __future__ import annotations

import base64
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import KlaviyoCaller

MAY = {"filter": "less-than(updated,2026-06-01T00:00:00Z)", "sort": "updated", "page__size": 1}


@pytest.fixture
def anchored(sandbox: Sandbox) -> Sandbox:
    """Three profiles of May, and cursors that name profiles."""
    sandbox.klaviyo_settings(cursor="anchor")
    sandbox.add_profiles(
        [{"id": f"P{day}", "attributes": {"updated": f"2026-05-0{day}T00:00:00Z"}} for day in (1, 2, 3)]
    )
    return sandbox


@pytest.mark.parametrize("sort", ["id", "updated", "-updated", "created", "email"])
def test_anchor_walk_is_complete(klaviyo: KlaviyoCaller, sandbox: Sandbox, sort: str) -> None:
    """A walk by anchors shows everybody once. As long as nobody moves, the kind of cursor makes no difference."""
    sandbox.seed(profiles=30, events=0)
    by_key = klaviyo.walk("/api/profiles", page__size=7, sort=sort)
    sandbox.klaviyo_settings(cursor="anchor")

    assert klaviyo.walk("/api/profiles", page__size=7, sort=sort) == by_key


@pytest.mark.usefixtures("anchored")
def test_anchor_is_last_row_id(klaviyo: KlaviyoCaller) -> None:
    """An anchor is the id of the last row. As the vendor's samples show it."""
    answer = klaviyo.get("/api/profiles", **MAY).json()

    cursor = parse_qs(urlsplit(answer["links"]["next"]).query)["page[cursor]"][0]
    assert base64.b64decode(cursor) == b"next::id::P1"


def test_touched_anchor_ends_walk(klaviyo: KlaviyoCaller, anchored: Sandbox) -> None:
    """The rest looks empty once the anchor was touched.

    It stands behind the filter's end now, and what follows it there is nothing: the trap for a reader.
    """
    first = klaviyo.get("/api/profiles", **MAY).json()
    anchored.touch(["P1"], at="2026-06-09T00:00:00Z")
    second = klaviyo.follow(first["links"]["next"])

    assert second.status_code == 200
    assert second.json()["data"] == []
    assert second.json()["links"]["next"] is None


def test_moved_anchor_skips_page(klaviyo: KlaviyoCaller, anchored: Sandbox) -> None:
    """A page is skipped if the anchor moves within the window. The walk continues after its new place."""
    first = klaviyo.get("/api/profiles", **MAY).json()
    anchored.touch(["P1"], at="2026-05-02T12:00:00Z")
    second = klaviyo.follow(first["links"]["next"]).json()

    assert [row["id"] for row in second["data"]] == ["P3"]


def test_an_erased_anchor_is_refused(klaviyo: KlaviyoCaller, anchored: Sandbox) -> None:
    """Like a cursor that was never one."""
    first = klaviyo.get("/api/profiles", **MAY).json()
    anchored.erase(["P1"])
    answer = klaviyo.follow(first["links"]["next"])

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": "page[cursor]"}


@pytest.mark.parametrize("cursor", ["", "garbage", "/w==", base64.b64encode(b"[1]").decode()])
def test_a_foreign_cursor_is_refused(klaviyo: KlaviyoCaller, anchored: Sandbox, cursor: str) -> None:
    """Also where cursors name profiles."""
    answer = klaviyo.get("/api/profiles", page__cursor=cursor)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": "page[cursor]"}
    assert anchored.klaviyo_settings()["cursor"] == "anchor"


@pytest.mark.parametrize(
    ("spelling", "profile", "event"),
    [
        ("usual", "2026-05-01T12:00:00+00:00", "2026-05-01T12:00:00+00:00"),
        ("blank", "2026-05-01 12:00:00+00:00", "2026-05-01 12:00:00+00:00"),
        ("fraction", "2026-05-01T12:00:00.250000+00:00", "2026-05-01T12:00:00.000000+00:00"),
        ("offset", "2026-05-01T06:30:00-05:30", "2026-05-01T06:30:00-05:30"),
    ],
)
def test_times_are_spelt_as_set(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, spelling: str, profile: str, event: str
) -> None:
    """In profiles, in events, and in the profiles that come with events; the truth shown to tests stays as it is."""
    moment = "2026-05-01T12:00:00.25Z"
    sandbox.add_profiles([{"id": "P1", "attributes": {"created": moment, "updated": moment}}])
    sandbox.add_events([{"metric": "M", "profile_id": "P1", "datetime": moment, "touch": False}])
    sandbox.klaviyo_settings(spelling=spelling)
    shown = klaviyo.get("/api/profiles").json()["data"][0]["attributes"]
    page = klaviyo.get("/api/events", include="profile").json()

    assert [shown[name] for name in ("created", "updated", "last_event_date")] == [profile, profile, event]
    assert page["data"][0]["attributes"]["datetime"] == event
    assert page["included"][0]["attributes"]["updated"] == profile
    assert sandbox.klaviyo_profiles()[0]["attributes"]["updated"] == "2026-05-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("precision", "after", "before"), [("second", [], []), ("microsecond", ["P1"], [])], ids=["second", "microsecond"]
)
def test_filters_compare_what_is_set(
    klaviyo: KlaviyoCaller, sandbox: Sandbox, precision: str, after: list[str], before: list[str]
) -> None:
    """Half a second after the bound is after it, or is not."""
    sandbox.add_profiles([{"id": "P1", "attributes": {"updated": "2026-05-01T12:00:00.5Z"}}])
    sandbox.klaviyo_settings(precision=precision)
    for sort in ("updated", "id"):
        found = [
            [row["id"] for row in klaviyo.walk("/api/profiles", sort=sort, filter=f"{operator}(updated,{bound})")]
            for operator, bound in (
                ("greater-than", "2026-05-01T12:00:00Z"),
                ("less-than", "2026-05-01T12:00:00Z"),
            )
        ]

        assert found == [after, before]


def test_page_ends_are_touched(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """Every second page ends with somebody who is touched.

    After the page was served, so it shows the old version; walks in another order touch nobody.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_profiles([{"id": f"P{n}", "attributes": {"updated": f"2026-05-0{n + 1}T00:00:00Z"}} for n in range(6)])
    sandbox.klaviyo_settings(restless=2)
    klaviyo.walk("/api/profiles", page__size=1, sort="id")
    rows = klaviyo.walk("/api/profiles", page__size=2, sort="updated", filter=MAY["filter"])
    now = {row["id"] for row in sandbox.klaviyo_profiles() if row["attributes"]["updated"].startswith("2026-06")}

    assert [row["id"] for row in rows] == [f"P{n}" for n in range(6)]
    assert all(row["attributes"]["updated"] < "2026-06" for row in rows)
    assert now == {"P3"}


def test_page_end_can_be_erased(klaviyo: KlaviyoCaller, anchored: Sandbox) -> None:
    """Somebody at the end of a page can be erased. Which takes the cursor of the next page away."""
    anchored.klaviyo_settings(restless=1, fate="erased")
    first = klaviyo.get("/api/profiles", **MAY).json()

    assert [row["id"] for row in first["data"]] == ["P1"]
    assert klaviyo.follow(first["links"]["next"]).status_code == 400
    assert [row["id"] for row in anchored.klaviyo_profiles()] == ["P2", "P3"]


def test_unnamed_settings_stay(sandbox: Sandbox) -> None:
    """Settings not named stay until the reset. One can be changed without knowing the others."""
    usual = sandbox.klaviyo_settings()
    sandbox.klaviyo_settings(cursor="anchor")
    changed = sandbox.klaviyo_settings(spelling="blank")
    sandbox.reset()

    assert changed == {**usual, "cursor": "anchor", "spelling": "blank"}
    assert sandbox.klaviyo_settings() == usual


@pytest.mark.parametrize("wish", [{"cursors": "anchor"}, {"cursor": "page"}, {"spelling": "roman"}, {"restless": -1}])
def test_an_unknown_setting_is_refused(sandbox: Sandbox, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="400"):
        sandbox.klaviyo_settings(**wish)


def test_journal_counts_concurrent_requests(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """The journal shows how many requests were in flight.

    So that a test can tell a reader that asks for several pages at once from one that does not.
    """
    sandbox.latency("klaviyo", 0.5)
    klaviyo.get("/api/metrics")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(klaviyo.get, ["/api/profiles", "/api/events", "/api/lists"]))

    assert [entry["under_way"] for entry in sandbox.journal()] == [1, 1, 2, 3]


def test_reset_forgets_hanging_request(klaviyo: KlaviyoCaller, sandbox: Sandbox) -> None:
    """A request that hangs since before the reset is not counted.

    Or the requests of one test would be counted in the next one.
    """
    sandbox.fault("klaviyo", kind="hang")
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.klaviyo_url).port or 0), timeout=30) as hanging:
        hanging.sendall(b"GET /api/metrics HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        while not sandbox.journal():
            pass
        before = klaviyo.get("/api/metrics")
        counted = sandbox.journal()[-1]["under_way"]
        sandbox.reset()
        klaviyo.get("/api/metrics")

        assert (before.status_code, counted) == (200, 2)
        assert [entry["under_way"] for entry in sandbox.journal()] == [1]
