"""States of version 0.1.0 are read on. They are of that version itself: see `written_by_0_1_0/README.md`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("written_by_0_1_0")
ACCOUNT = json.loads((HERE / "account.json").read_text())
STREAMS = ("profiles", "events", "subscription_changes")
NOTES_OF_THE_SDK = {
    "starting_replication_value": "2026-06-01T00:00:00Z",
    "progress_markers": {
        "Note": "Progress is not resumable if interrupted.",
        "replication_key": "updated",
        "replication_key_value": "2026-06-01T09:59:59Z",
    },
}
"""What the Singer SDK puts beside a bookmark, and this tap never has."""


@pytest.fixture
def account(sandbox):
    """The account that 0.1.0 read, an hour later; meanwhile one more of each came."""
    sandbox.clock(frozen="2026-06-01T11:00:00Z")
    person = {"id": "P5", "attributes": {"email": "person5@shop.example", "updated": "2026-06-01T10:30:00Z"}}
    sandbox.add_profiles([*ACCOUNT["profiles"], person])
    of_them = {"profile_id": "P5", "datetime": "2026-06-01T10:30:00Z", "touch": False}
    later = [{"id": "E5", "metric": "Placed Order"}, {"id": "S5", "metric": "Subscribed to Email Marketing"}]
    sandbox.add_events([*ACCOUNT["events"], *(event | of_them for event in later)])
    return sandbox


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("notes", [{}, NOTES_OF_THE_SDK], ids=["as it is", "with the SDK's notes"])
@pytest.mark.parametrize("run", ["finished", "slice"])
def test_old_state_continues(tap, run, notes):
    """A state continues where it ended. Everything is emitted once, over the runs before and after an upgrade."""
    left = json.loads((HERE / f"{run}.json").read_text())
    state = {"bookmarks": {stream: bookmark | notes for stream, bookmark in left["state"]["bookmarks"].items()}}

    outcome = tap(streams=STREAMS, state=state)

    came = {stream: sorted(left["emitted"][stream] + outcome.ids(stream)) for stream in STREAMS}
    assert outcome.code == 0
    assert came == {
        "profiles": ["P1", "P2", "P3", "P4", "P5"],
        "events": ["E1", "E2", "E3", "E4", "E5", "S1", "S2", "S3", "S5"],
        "subscription_changes": ["P1", "P2", "P3", "P5"],
    }
    assert {outcome.bookmark(stream) for stream in STREAMS} == {"2026-06-01T10:59:55Z"}
