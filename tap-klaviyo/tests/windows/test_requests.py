"""What windows cost in requests, and what they gain in time, by the played clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SECOND, MINUTE, HOUR, DAY = 1, 60, 3_600, 86_400
YEAR = 365 * DAY
SIZE = 20

latencies = st.one_of(
    st.sampled_from([0.0, 0.02, 0.06, 0.2, 2.0]).map(lambda seconds: [seconds]),
    st.lists(st.floats(0.1, 0.25), min_size=1, max_size=8),
)
"""Durations of requests; a page is emitted in 0.01 s."""


def read(play, collection, until=DAY, **options):
    """Read it all, and a stretch of nothing after it."""
    last = max(collection.seconds.values())
    played, pool = play(collection, (None, last + until), **options)
    assert [thing.id for thing in played.read] == list(collection.seconds)
    return pool


def ideal(collection):
    return math.ceil(len(collection.seconds) / collection.size)


@pytest.mark.req("C-8")
@given(durations=latencies, threads=st.integers(1, 16))
def test_sparse_year_costs_three_pages(collect, play, durations, threads):
    """Sparse year costs three pages at most. A request per day would be 365."""
    collection = collect(range(0, YEAR, YEAR // (2 * SIZE)), SIZE)
    read(play, collection, durations=durations, threads=threads)

    assert collection.requests <= 3


@pytest.mark.req("C-8")
@settings(max_examples=20, deadline=None)
@given(
    durations=latencies,
    threads=st.integers(1, 16),
    step=st.sampled_from([SECOND, MINUTE, HOUR, DAY]),
    count=st.integers(1, 4_000),
)
def test_even_density_costs_little_extra(collect, play, durations, threads, step, count):
    """Evenly spread things cost a third more at most.

    Whatever the latency: a window ends with a page that is not full, and there are pages enough in it.
    """
    collection = collect(range(0, count * step, step), SIZE)
    read(play, collection, until=step, durations=durations, threads=threads)

    assert collection.requests <= 1.35 * ideal(collection) + 16


@pytest.mark.req("C-8")
@settings(max_examples=20, deadline=None)
@given(
    durations=latencies,
    before=st.integers(1, 400),
    dense=st.integers(1, 1_000),
    behind=st.integers(1, 400),
    step=st.sampled_from([MINUTE, HOUR, DAY]),
)
def test_dense_second_misleads_nobody(collect, play, durations, before, dense, behind, step):
    """An import, thousands of things of one second, amid sparse ones: what follows is not cut into seconds."""
    now = before * step
    collection = collect([*range(0, now, step), *[now] * dense, *range(now, now + behind * step, step)], SIZE)
    read(play, collection, durations=durations)

    assert collection.requests <= ideal(collection) + 40


@pytest.mark.req("C-8")
@settings(max_examples=15, deadline=None)
@given(durations=latencies, nights=st.integers(1, 60), things=st.integers(1, 200), length=st.sampled_from([1, 10, 600]))
def test_nightly_imports_cost_few_requests(collect, play, durations, nights, things, length):
    """Nightly imports cost a dozen requests each.

    Day after day nothing, then a burst: its pace tells nothing of the day that follows, nor of the one before.
    """
    moments = [night * DAY + number % length for night in range(nights) for number in range(things)]
    collection = collect(moments, SIZE)
    read(play, collection, durations=durations)

    assert collection.requests <= ideal(collection) + 12 * nights + 16


def nightly(nights, things, length):
    """Moments of imports at midnight, spread over so many seconds."""
    return [night * DAY + number * length // things for night in range(nights) for number in range(things)]


@pytest.mark.req("C-8")
@pytest.mark.parametrize(
    ("moments", "most"),
    [
        ([day * DAY + 8 * HOUR + second for day in range(300) for second in range(0, 10 * HOUR, 900)], 690),
        (nightly(60, 60, 10), 500),
        (nightly(60, 60, 1), 240),
        ([*nightly(60, 200, 100), *range(0, 60 * DAY, HOUR)], 1_000),
    ],
    ids=["office hours", "imports of ten seconds", "imports of one second", "imports amid hourly things"],
)
def test_pace_estimate_is_limited(collect, play, moments, most):
    """Pace is relied on as far as it holds.

    What was learned of one stretch is used in the next one like it, and forgotten where the pace changes.
    """
    collection = collect(moments, SIZE)
    read(play, collection, durations=[0.2])

    assert collection.requests <= most


@pytest.mark.req("C-9")
def test_windows_hide_the_latency(collect, play):
    """Sixteen threads read what takes 0.2 s a page in a tenth of the time of a single chain, or less."""
    collection = collect(range(0, 6_000 * HOUR, HOUR), SIZE)
    pool = read(play, collection, durations=[0.2])

    assert pool.now <= 0.1 * 0.2 * ideal(collection)


@pytest.mark.req("C-9")
def test_quick_answers_need_no_windows(collect, play):
    """Where a page takes no longer to fetch than to emit, there is one chain, and its next page is on its way."""
    collection = collect(range(0, 2_000 * HOUR, HOUR), SIZE)
    pool = read(play, collection, durations=[0.01], budget=10_000)

    assert len(collection.firsts) == 1
    assert pool.now <= 0.01 * (ideal(collection) + 2)


@pytest.mark.req("C-21")
def test_buffered_pages_stay_encoded(collect, play):
    """Pages that wait are kept as they came.

    Decoded, a page takes many times its bytes; so one that has to wait is decoded again when its turn comes.
    """
    collection = collect(range(0, 2_000 * HOUR, HOUR), SIZE)
    read(play, collection, durations=[0.2])

    assert collection.decoded_again >= 0.5 * ideal(collection)


@pytest.mark.req("C-21")
def test_small_budget_keeps_windows_few(collect, play):
    """With room for a handful of pages, what waits is a handful of pages, and the time is still less than a chain's."""
    collection = collect(range(0, 2_000 * HOUR, HOUR), SIZE)
    pool = read(play, collection, durations=[0.2], budget=8_000)

    assert collection.most_waiting_bytes <= 17_000
    assert pool.now <= 0.5 * 0.2 * ideal(collection)


@pytest.mark.req("C-9")
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 300), step=st.sampled_from([0, SECOND, HOUR]), durations=latencies)
def test_limited_reading_is_one_chain(collect, play, count, step, durations):
    """Limited reading is one chain without look ahead.

    Before each page but the first it is asked whether there may be one; nothing is read that is not emitted.
    """
    collection = collect([number * step for number in range(count)], SIZE)
    asked = []
    pool = read(play, collection, durations=durations, before_page=lambda: asked.append(collection.requests))

    assert asked == list(range(1, ideal(collection)))
    assert len(collection.firsts) == 1
    assert max(pool.company) == 1
    assert collection.most_waiting_bytes <= collection.page_bytes
