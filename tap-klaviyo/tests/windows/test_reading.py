"""Windows, whatever the density, the latency, the threads and the budget: everything once, in order, within bounds."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

SECOND, MINUTE, HOUR, DAY, MONTH = 1, 60, 3_600, 86_400, 30 * 86_400

stretches = st.lists(
    st.tuples(st.sampled_from([0, 0, SECOND, MINUTE, HOUR, DAY, MONTH]), st.integers(1, 150)), max_size=5
)
"""(seconds from one thing to the next, how many): 0 makes one dense second, a month gaps of years."""
durations = st.one_of(
    st.sampled_from([[0.0], [0.02], [0.2], [2.0]]),
    st.lists(st.floats(0.1, 0.2), min_size=1, max_size=8),
    st.lists(st.floats(0.001, 3.0), min_size=1, max_size=8),
)
"""Of requests, in turn: alike, nearly so, or in any order."""
emissions = st.sampled_from([0.0, 0.001, 0.01, 0.2])
budgets = st.integers(1_000, 60_000)


def seconds_of(stretches):
    return list(accumulate((step for step, count in stretches for _ in range(count)), initial=0))[1:]


def within(collection, lower, upper):
    """The ids that a reading should bring."""
    return [
        thing.id for thing in collection.things if (lower is None or lower <= thing.second) and thing.second < upper
    ]


def spelt(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.req("BX-10", "C-21")
@settings(max_examples=150, deadline=None)
@given(
    stretches=stretches,
    size=st.integers(1, 20),
    threads=st.integers(1, 16),
    durations=durations,
    emission=emissions,
    budget=budgets,
    bounds=st.one_of(st.none(), st.tuples(st.floats(0, 0.6), st.floats(0.6, 1))),
)
@example(
    stretches=[(HOUR, 150), (0, 90), (DAY, 150)],
    size=3,
    threads=16,
    durations=[0.2],
    emission=0.01,
    budget=60_000,
    bounds=None,
)
def test_reading_is_ordered_and_complete(collect, play, stretches, size, threads, durations, emission, budget, bounds):
    """Everything comes once in order and within bounds.

    No more threads than allowed; never more bytes than twice the budget, and the page that is due.
    """
    collection = collect(seconds_of(stretches), size)
    last = max(collection.seconds.values(), default=0)
    lower, upper = (None, last + DAY) if bounds is None else (int(bounds[0] * last), int(bounds[1] * last) + 1)
    played, pool = play(
        collection, (lower, upper), threads=threads, durations=durations, emission=emission, budget=budget
    )
    event(f"windows: {len(played.ends) > 1}")

    assert played.error is None
    assert [thing.id for thing in played.read] == within(collection, lower, upper)
    assert max(pool.company) <= threads
    assert collection.most_waiting_bytes <= 2 * budget + collection.page_bytes


@pytest.mark.req("BX-11")
@settings(max_examples=60, deadline=None)
@given(stretches=stretches, size=st.integers(1, 20), durations=durations, lower=st.one_of(st.none(), st.integers(0, 9)))
@example(stretches=[(HOUR, 150), (0, 90), (DAY, 150)], size=3, durations=[0.2], lower=None)
@example(stretches=[(HOUR, 150), (0, 90), (DAY, 150)], size=3, durations=[0.2], lower=7)
def test_windows_cover_without_gap(collect, play, stretches, size, durations, lower):
    """Windows share out the time without a gap.

    From the lower bound to the upper one; each ends where the next begins, however it was cut.
    """
    collection = collect(seconds_of(stretches), size)
    upper = max(collection.seconds.values(), default=0) + DAY
    ends = list(play(collection, (lower, upper), durations=durations)[0].ends.items())
    asked = {end for _, end in collection.firsts}
    starts = [start for start, _ in collection.firsts if start]

    assert all(end == start for (_, end), (start, _) in pairwise(ends))
    assert ends[0][0] == ("" if lower is None else spelt(min(starts)))
    assert ends[-1][1] == spelt(max(asked))
    assert all(moment.microsecond == 0 for moment in [*starts, *asked])


@pytest.mark.req("C-21", "BX-10")
@settings(max_examples=40, deadline=None)
@given(
    several=st.lists(stretches, min_size=2, max_size=4),
    size=st.integers(1, 20),
    threads=st.integers(1, 16),
    durations=durations,
    emission=emissions,
    budget=budgets,
)
@example(several=[[(HOUR, 150)]] * 4, size=3, threads=4, durations=[0.2], emission=0.001, budget=60_000)
def test_merged_readings_share_resources(collect, play_merged, several, size, threads, durations, emission, budget):
    """Merged readings share threads and budget.

    Each metric has its own windows; together they keep to the bytes of one, and to their order.
    """
    collections = [collect(seconds_of(one), size) for one in several]
    upper = max((second for one in collections for second in one.seconds.values()), default=0) + 1
    things, pool = play_merged(
        collections, (None, upper), threads=threads, durations=durations, emission=emission, budget=budget
    )
    share = budget // len(collections)

    assert [thing.second for thing in things] == sorted(thing.second for thing in things)
    assert sorted(things) == sorted(thing for one in collections for thing in one.things)
    assert max(pool.company) <= threads + len(collections)
    assert all(one.most_waiting_bytes <= 2 * share + one.page_bytes for one in collections)


def test_slow_answer_delays_no_state(collect, play):
    """Slow answer does not keep the state waiting.

    While the emitting thread waits, it is asked every second whether a STATE is due.
    """
    played, _ = play(collect([0], 20), (None, 1), durations=[9.5])

    assert played.settled == 9
