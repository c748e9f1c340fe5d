"""Whose clock says how far a run reads, and when a record was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from klaviyo_http.server_clock import TOLERANCE, ServerClock

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def told(*answers: tuple[float, float, float]) -> ServerClock:
    """A clock that was told of answers: seconds after `NOW` of their Date, of the request, of the arrival."""
    clock = ServerClock()
    for date, sent, arrived in answers:
        clock.note(NOW + date * SECOND, NOW + sent * SECOND, NOW + arrived * SECOND)
    return clock


@pytest.mark.parametrize(
    ("answers", "sent", "moment"),
    [
        pytest.param([], 3, 3, id="nothing is known"),
        pytest.param([(1, 0, 2)], 0, 0, id="the clocks agree"),
        pytest.param([(-600, 0, 2)], 0, -599, id="the server's is behind"),
        pytest.param([(32, 0, 2)], 0, 30, id="the server's is ahead"),
        pytest.param([(86_400, 0, 2)], 0, 60, id="an odd Date, a day ahead"),
        pytest.param([(86_400, 0, 2), (3, 2, 4)], 4, 4, id="forgotten with the next right one"),
    ],
)
def test_records_are_dated_by_request(answers, sent, moment):
    """Records are dated by the request.

    The own clock is corrected by what the answers bear out, and put forward by the tolerance at most.
    """
    assert told(*answers).moment_of(NOW + sent * SECOND) == NOW + moment * SECOND


def test_run_respects_both_clocks():
    """Run reads no further than either clock bears out.

    The smaller of both clocks counts, with the tolerance: what nobody has read must not lie before a bookmark.
    """
    assert told((-600, 0, 2)).latest(TOLERANCE, NOW) == NOW - 600 * SECOND
    assert told((30, 0, 2)).latest(TOLERANCE, NOW) == NOW + 30 * SECOND
    assert told((86_400, 0, 2)).latest(7 * TOLERANCE, NOW) == NOW + TOLERANCE


@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
@pytest.mark.parametrize("overlap", [0, 10])
def test_bookmark_is_barely_ahead(tap, sandbox, profiles, stream, overlap):
    """A bookmark is ahead of this machine by no more than the next run reads again.

    Without an overlap, what happened until the own clock had reached the bookmark was never read.
    """
    sandbox.clock(now="2036-01-01T00:00:00Z")
    sandbox.add_profiles(profiles(1, updated="2026-06-01T11:00:00Z"))
    sandbox.add_events(
        [{"metric": "Unsubscribed", "profile_id": "P00000", "datetime": "2026-06-01T11:00:00Z", "touch": False}]
    )

    outcome = tap(streams=[stream], overlap_seconds=overlap)

    assert datetime.fromisoformat(outcome.bookmark(stream)) < datetime.now(UTC) + overlap * SECOND
    assert len(outcome.ids(stream)) == 1


@pytest.mark.parametrize("status", [503, 429, 403], ids=str)
@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=1)], ids=str)
def test_failed_answers_date_is_ignored(tap, sandbox, profiles, status, ahead):
    """Date of a failed answer moves no bookmark.

    A proxy's 503 that was ten minutes ahead moved the bookmark past changes that nobody had read.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_profiles(profiles(3, updated="2026-06-01T11:00:00Z"))
    date = format_datetime(NOW + ahead, usegmt=True)
    sandbox.fault("klaviyo", kind="status", status=status, body="<html>", headers={"Date": date})

    outcome = tap(streams=["profiles"])

    assert outcome.code == 0
    assert outcome.state["bookmarks"]["profiles"]["replication_key_value"] == "2026-06-01T11:59:55Z"


@pytest.mark.parametrize("stream", ["profiles", "events", "subscription_changes"])
def test_slow_server_keeps_bookmark(tap, sandbox, profiles, stream):
    """Server that falls behind does not bring the bookmark back.

    One Date of the day before took the bookmark back there, and the next run emitted that day once more.
    """
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    sandbox.add_profiles(profiles(3, updated="2026-06-01T11:00:00Z"))
    for number in range(3):
        at = f"2026-06-01T11:00:0{number}Z"
        sandbox.add_events([{"metric": "Unsubscribed", "profile_id": f"P0000{number}", "datetime": at, "touch": False}])
    first = tap(streams=[stream])
    sandbox.clock(frozen="2026-05-31T12:00:00Z")
    behind = tap(streams=[stream], state=first.state)
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    last = tap(streams=[stream], state=behind.state)

    assert len(first.ids(stream)) == 3
    assert behind.bookmark(stream) == first.bookmark(stream) == last.bookmark(stream)
    assert (behind.ids(stream), last.ids(stream)) == ([], [])
    assert any("the server's clock is behind the bookmark" in line for line in behind.warnings())


def test_fast_server_is_distrusted(tap, sandbox, profiles):
    """Server that is ahead of this machine is not believed.

    One odd Date in a good answer moves the bookmark by no more than the tolerance, and a WARNING says so.
    """
    sandbox.clock(now="2036-01-01T00:00:00Z")
    sandbox.add_profiles(profiles(1, updated="2026-06-01T11:00:00Z"))

    before = datetime.now(UTC)
    outcome = tap(streams=["profiles"])

    bookmark = datetime.fromisoformat(outcome.state["bookmarks"]["profiles"]["replication_key_value"])
    assert bookmark - datetime.now(UTC) < TOLERANCE
    assert bookmark > before
    assert "Is this machine's clock right?" in outcome.log
