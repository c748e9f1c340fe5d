"""The bookmark, as a pure thing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.moments import whole_second
from tap_klaviyo.errors import UnreadableStateError
from tap_klaviyo.reading.bookmarks import SEEN_LIMIT, Bookmark, SavedBookmark, read_state

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
OVERLAP = timedelta(seconds=60)


class Position(NamedTuple):
    """A record, as far as the bookmark looks at it."""

    second: str
    key: str
    version: str


offsets = st.lists(st.integers(min_value=0, max_value=200), max_size=60)
"""Seconds before the run's start at which records lie."""


def at(seconds_before: int, key: str = "K") -> Position:
    moment = whole_second(START - timedelta(seconds=seconds_before))
    return Position(moment[:-1], key, moment)


def bookmark(saved: SavedBookmark | None = None, *, versioned: bool = True, overlap: timedelta = OVERLAP) -> Bookmark:
    return Bookmark(saved, ceiling=START, overlap=overlap, versioned=versioned)


@pytest.mark.req("IN-47", "BX-12")
@given(offsets, st.integers(min_value=0, max_value=60), st.booleans())
def test_resuming_anywhere_is_complete(seconds, cut, versioned):
    """Resumed after any record nothing is lost or repeated.

    Stop after any number of records, go on from the state: every record comes exactly once, ties or not.
    """
    positions = [at(second, f"K{n}") for n, second in enumerate(sorted(seconds, reverse=True))]
    first = bookmark(versioned=versioned)
    for position in positions[:cut]:
        first.note([position])
    saved = read_state(first.to_state("updated"), "updated")
    second = bookmark(saved, versioned=versioned)
    lower = saved.moment - OVERLAP if saved else None
    read_again = [p for p in positions if lower is None or p.version >= whole_second(lower)]
    emitted = second.fresh(read_again)

    assert emitted == positions[cut:]


@pytest.mark.req("C-1", "C-2", "BX-11")
@given(st.lists(st.integers(min_value=-500, max_value=500), min_size=1, max_size=30))
def test_bookmark_is_monotone_and_bounded(seconds):
    """Bookmark never goes back nor past the start of the run.

    Whatever arrives in whatever order, late or dated in the future.
    """
    subject = bookmark(SavedBookmark(START - timedelta(seconds=100), {}))
    values = []
    for number, second in enumerate(seconds):
        subject.note([at(second, f"K{number}")])
        values.append(subject.to_state("updated")["replication_key_value"])

    assert values == sorted(values)
    assert whole_second(START - timedelta(seconds=100)) <= values[0]
    assert values[-1] <= whole_second(START)


@pytest.mark.req("IN-47")
@given(offsets)
def test_state_remembers_only_overlap(seconds):
    """The state remembers only the overlap.

    What the next run reads again is known; what it does not is not carried along.
    """
    subject = bookmark()
    for number, second in enumerate(sorted(seconds, reverse=True)):
        subject.note([at(second, f"K{number}")])
    subject.complete(START)
    seen = subject.to_state("updated")["seen"]

    assert {key for key, _ in seen} == {
        f"K{number}" for number, second in enumerate(sorted(seconds, reverse=True)) if second <= 61
    }


def test_new_profile_version_is_new():
    """New version of a known profile is new.

    A profile comes again when it has changed; an event, which cannot change its time, does not.
    """
    profiles, events = bookmark(versioned=True), bookmark(versioned=False)
    for subject in (profiles, events):
        subject.note([at(50)])

    assert (profiles.fresh([at(50)]), profiles.fresh([at(40)])) == ([], [at(40)])
    assert (events.fresh([at(50)]), events.fresh([at(40)])) == ([], [])


def test_duplicate_on_page_counts_once():
    """Record that stands on a page twice is new once.

    An event that is there twice, a profile in one version; two versions of a profile are two records.
    """
    profiles, events = bookmark(versioned=True), bookmark(versioned=False)
    page = [at(50), at(50), at(40)]

    assert profiles.fresh(page) == [at(50), at(40)]
    assert events.fresh(page) == [at(50)]


def test_capped_state_is_logged():
    """State is capped and says so.

    Above the cap the oldest go; that a run may repeat them is true only as long as it would read them again.
    """
    subject = bookmark()
    for number in range(SEEN_LIMIT + 5):
        subject.note([at(0 if number >= 5 else 30, f"K{number}")])
    seen = subject.to_state("updated")["seen"]

    assert len(seen) == SEEN_LIMIT
    assert subject.may_repeat
    assert not {f"K{number}" for number in range(5)} & {key for key, _ in seen}


def test_old_forgotten_records_are_silent():
    """What was forgotten long before the end of a run is no reason to warn.

    An import of many thousands in a minute, in the middle of a long read: the next run begins far behind it.
    """
    subject = bookmark()
    subject.note([at(3_600, f"K{number}") for number in range(SEEN_LIMIT + 5)])
    subject.to_state("updated")
    amid = subject.may_repeat
    subject.complete(START)

    assert amid
    assert not subject.may_repeat


def test_stop_among_ties_is_refused():
    """Stop amid more ties than the state can hold is refused.

    Else `max_pages` would stop every run at the same place for ever.
    """
    tied, untied = bookmark(), bookmark()
    for number in range(SEEN_LIMIT + 1):
        tied.note([at(5, f"K{number}")])
        untied.note([at(30 if number < 10 else 5, f"K{number}")])

    assert not tied.holds_whole_second
    assert bookmark().holds_whole_second


@pytest.mark.req("BX-13")
@pytest.mark.parametrize(
    "value",
    ["2026-05-01T10:00:00Z", "2026-05-01 10:00:00+00:00", "2026-05-01T12:00:00.75+02:00", "2026-05-01T10:00:00"],
)
def test_foreign_state_spellings_are_read(value):
    """State of other tools is read whatever the spelling.

    A state may come from the SDK, from another tap, or from a person's editor.
    """
    saved = read_state({"replication_key": "updated", "replication_key_value": value}, "updated")

    assert saved is not None
    assert bookmark(saved).to_state("updated")["replication_key_value"] == "2026-05-01T10:00:00Z"


@pytest.mark.parametrize(
    "state",
    [
        {"replication_key_value": 17},
        {"replication_key_value": "soon"},
        {"replication_key_value": "2026-05-01", "seen": [["only one"]]},
        {"replication_key_value": "2026-05-01", "replication_key": "created"},
    ],
    ids=["number", "word", "seen of no shape", "another key"],
)
def test_invalid_state_is_refused(state):
    """An invalid state is refused. Its content is not printed."""
    with pytest.raises(UnreadableStateError) as caught:
        read_state(state, "updated")

    assert "soon" not in str(caught.value)
    assert "only one" not in str(caught.value)
