"""The pages that count towards `max_pages`, and when a run may stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from klaviyo_http.moments import whole_second
from tap_klaviyo.reading.bookmarks import SEEN_LIMIT, Bookmark, SavedBookmark
from tap_klaviyo.reading.pages import Slice
from tap_klaviyo.reading.rows import PageBudget, PageLimitReached, moment_of, version_of

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SAVED = START - timedelta(hours=1)


class Position(NamedTuple):
    """A record, as far as bookmark and budget look at it."""

    second: str
    key: str
    version: str


def at(offset, key="K"):
    """A record so many seconds after the bookmark."""
    version = whole_second(SAVED + timedelta(seconds=offset))
    return Position(version[:-1], key, version)


def bookmark():
    return Bookmark(SavedBookmark(SAVED, {}), ceiling=START, overlap=timedelta(seconds=60), versioned=False)


@pytest.mark.req("C-9")
@given(st.lists(st.lists(st.integers(-3, 3), max_size=4), max_size=12), st.integers(1, 5))
def test_new_pages_count_towards_limit(pages, limit):
    """Pages with something new are counted up to the limit.

    One with nothing, or nothing but what lies before the bookmark, is free: a look-back must not hold a run up.
    """
    subject = bookmark()
    budget = PageBudget(limit, subject)
    begun = []
    reached = False
    for number, offsets in enumerate(pages):
        rows = [at(offset, f"K{number} {place}") for place, offset in enumerate(offsets)]
        try:
            budget.begin(rows)
        except PageLimitReached:
            reached = True
            break
        begun.append(offsets)
        subject.note(rows)
    counted = [any(offset >= 0 for offset in offsets) for offsets in pages]

    assert sum(counted[: len(begun)]) == min(sum(counted), limit)
    assert reached == (sum(counted) > limit)
    assert not reached or counted[len(begun)]


@given(st.lists(st.lists(st.integers(-3, 3), max_size=4), max_size=12))
def test_no_limit_allows_all_pages(pages):
    """Without a limit every page may be begun. `max_pages` is off by default."""
    budget = PageBudget(None, bookmark())
    for offsets in pages:
        budget.begin([at(offset) for offset in offsets])
        budget.check()


def test_limit_yields_to_ties():
    """A limit yields if the state could not hold the ties.

    A stop amid more records of one second than a state remembers would be the same stop, run after run.
    """
    subject = bookmark()
    budget = PageBudget(1, subject)
    budget.begin([at(1)])
    subject.note([at(1, f"K{number}") for number in range(SEEN_LIMIT + 1)])
    budget.check()
    subject.note([at(2)])

    with pytest.raises(PageLimitReached):
        budget.check()


@pytest.mark.parametrize(
    ("encoded", "version", "moment"),
    [
        (b'"2026-06-01T14:00:00.25+02:00"', "2026-06-01T12:00:00.25Z", START),
        (b'"2026-06-01 12:00:00+00:00"', "2026-06-01T12:00:00Z", START),
        (b"null", "", None),
        (b"1780315200", "", None),
        (b'"soon"', "", None),
    ],
    ids=["another zone", "space for T", "null", "a number", "a word"],
)
def test_record_time_has_seconds(encoded, version, moment):
    """Time of a record is read to the second. What is no time has no place in the order."""
    from klaviyo_http.moments import rfc3339_json

    assert moment_of(msgspec.Raw(encoded)) == moment
    assert version_of(rfc3339_json(msgspec.Raw(encoded))) == version
    assert moment_of(None) is None


@pytest.mark.req("BX-11")
@pytest.mark.parametrize(
    ("second", "held"),
    [
        ("2026-06-01T09:59:59", False),
        ("2026-06-01T10:00:00", True),
        ("2026-06-01T10:59:59", True),
        ("2026-06-01T11:00:00", False),
        ("", True),
    ],
    ids=["before", "first", "last", "behind", "without a time"],
)
def test_slice_is_half_open(second, held):
    """Slice holds its first second and not its end.

    A record without a time counts where it is met, or it would count nowhere.
    """
    assert Slice(None, "2026-06-01T10:00:00", "2026-06-01T11:00:00").holds(second) is held
    assert Slice(None, "", "2026-06-01T11:00:00").holds(second) is (held or second < "2026-06-01T10")
