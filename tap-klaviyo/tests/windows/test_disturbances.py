"""Pages that fail, lie or lose their place: nothing is skipped, nothing behind a gap emitted, and there is an end."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from klaviyo_http.errors import RefusedRequestError, RetriesSpentError

HOUR, DAY = 3_600, 86_400
LATER = 100 * 365 * DAY  # behind every window

steps = st.lists(st.sampled_from([0, 0, 1, HOUR, HOUR, DAY]), min_size=1, max_size=250)
sizes = st.integers(1, 20)
latencies = st.one_of(st.sampled_from([[0.0], [0.2]]), st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8))
EVEN = [HOUR] * 250


def moments(steps):
    return [sum(steps[: number + 1]) for number in range(len(steps))]


def read(play, collection, durations, **options):
    return play(collection, (None, max(collection.seconds.values(), default=0) + DAY), durations=durations, **options)[
        0
    ]


@pytest.mark.req("BX-11", "C-26")
@settings(max_examples=60, deadline=None)
@given(steps=steps, size=sizes, durations=latencies, place=st.floats(0, 1))
@example(steps=EVEN, size=5, durations=[0.2], place=0.5)
@example(steps=EVEN, size=5, durations=[0.2], place=0.0)
def test_failure_follows_earlier_records(collect, play, steps, size, durations, place):
    """Failure is raised after everything before it.

    However much was read behind it: that is for the next run, which begins at the gap.
    """
    collection = collect(moments(steps), size)
    keys = list(collection.seconds)
    gap = int(place * (len(keys) - 1))
    collection.unavailable = keys[gap]
    played = read(play, collection, durations)
    emitted = [thing.id for thing in played.read]

    assert isinstance(played.error, RetriesSpentError)
    assert emitted == keys[: len(emitted)]
    assert gap - size < len(emitted) <= gap


def test_failed_window_stops_later_requests(collect, play):
    """A failed window stops requests after it. What a failed run reads beyond its gap is useless."""
    collection = collect(moments(EVEN), 5)
    collection.unavailable = list(collection.seconds)[60]
    played = read(play, collection, [0.2])

    assert isinstance(played.error, RetriesSpentError)
    assert collection.requests <= 60 / 5 + 2 * 16


@pytest.mark.req("C-26")
@settings(max_examples=30, deadline=None)
@given(steps=steps, size=sizes, durations=latencies, number=st.integers(1, 40))
@example(steps=EVEN, size=5, durations=[0.0], number=3)
def test_self_linking_page_is_refused(collect, play, steps, size, durations, number):
    """Page that names itself as the next is an error. Else a run would never end. What stood on that page counts."""
    collection = collect(moments(steps), size)
    stuck = []

    def name_itself(page):
        if collection.links and (len(collection.links) == number or collection.links[-1] in stuck):
            stuck.append(collection.links[-1])
            page.links.next = collection.links[-1]

    collection.accident = name_itself
    played = read(play, collection, durations)
    emitted = played.once

    assert emitted == list(collection.seconds)[: len(emitted)]
    assert played.error or len(emitted) == len(collection.seconds)
    assert not played.error or "names one as the next that was read before" in str(played.error)
    assert bool(stuck) >= bool(played.error)


@pytest.mark.parametrize("stays", [0, 1, 5], ids=["empty", "one record", "a whole page"])
def test_repeating_pages_end(collect, play, stays):
    """Pages without new records come to an end.

    Each names another one as the next, so that no link comes twice; nothing of that ended the run.
    """
    collection = collect(moments([HOUR] * 5), 5)
    collection.always_names_next = True
    collection.follow = lambda link: collection.answer(collection.things[:stays], f"{link}+")
    played = read(play, collection, [0.2])

    assert played.once == list(collection.seconds)
    assert "bring nothing new" in str(played.error)


@pytest.mark.req("BX-10", "C-26")
@settings(max_examples=100, deadline=None)
@given(
    steps=steps,
    size=sizes,
    durations=latencies,
    accidents=st.sets(st.integers(1, 60), max_size=12),
    erased=st.booleans(),
    refused=st.booleans(),
    names_next=st.booleans(),
    limited=st.booleans(),
)
@example(
    steps=EVEN,
    size=5,
    durations=[0.2],
    accidents={1, 7, 8, 20, 30},
    erased=False,
    refused=False,
    names_next=False,
    limited=False,
)
@example(
    steps=EVEN,
    size=5,
    durations=[0.2],
    accidents={1, 7, 8, 20, 30},
    erased=True,
    refused=True,
    names_next=True,
    limited=False,
)
@example(
    steps=[0] * 100,
    size=5,
    durations=[0.2],
    accidents={1, 2, 7, 20},
    erased=True,
    refused=True,
    names_next=False,
    limited=True,
)
def test_moving_page_end_hides_nothing(
    collect, play, steps, size, durations, accidents, erased, refused, names_next, limited
):
    """Thing at the end of a page that moves or vanishes hides nothing.

    The cursor went with it: what it names is no page, an empty one, or one behind everything else.
    """
    collection = collect(moments(steps), size)
    collection.refuses_lost_cursors = refused
    collection.always_names_next = names_next
    original = collection.things
    changed = set()

    def disturb(page):
        if collection.requests in accidents and page.data and page.links.next:
            changed.add(page.data[-1])
            collection.change(page.data[-1].id, None if erased else LATER)

    collection.accident = disturb
    played = read(play, collection, durations, before_page=(lambda: None) if limited else None)

    assert played.error is None
    assert list(dict.fromkeys(played.read)) == [one for one in original if one not in changed or one in played.read]


@settings(max_examples=40, deadline=None)
@given(steps=steps, size=sizes, durations=latencies)
@example(steps=EVEN, size=5, durations=[0.2])
def test_trailing_link_leads_to_end(collect, play, steps, size, durations):
    """Link behind the last page leads to the end.

    An empty page whose predecessor ends with what it ended with before is the end, and costs two questions more.
    """
    collection = collect(moments(steps), size)
    collection.always_names_next = True
    played = read(play, collection, durations)

    assert played.error is None
    assert played.once == list(collection.seconds)
    assert len(collection.firsts) <= 2 * len(played.ends)


@pytest.mark.req("BX-10")
@settings(max_examples=40, deadline=None)
@given(steps=steps, size=sizes, durations=latencies, hollow=st.sets(st.integers(1, 60), max_size=20))
@example(steps=EVEN, size=5, durations=[0.2], hollow=set(range(1, 20)))
def test_linked_empty_page_is_followed(collect, play, steps, size, durations, hollow):
    """Empty page with a link is followed.

    A page whose records were all filtered out is not the end, whether it is a window's first or another.
    """
    collection = collect(moments(steps), size)
    answer = collection.answer
    withheld = {}

    def withhold(data, link):
        if collection.requests not in hollow or len(data) < size:
            return answer(data, link)
        name = f"withheld {collection.requests}"
        withheld[name] = (data, link)
        return answer([], name)

    follow = collection.follow
    collection.answer = withhold
    collection.follow = lambda link: answer(*withheld[link]) if link in withheld else follow(link)
    played = read(play, collection, durations)

    assert played.error is None
    assert [thing.id for thing in played.read] == list(collection.seconds)


@pytest.mark.parametrize("refused", [True, False])
def test_endless_empty_pages_end(collect, play, refused):
    """Empty pages without end are none.

    Where not one record was read, there is no second to ask again from: the end stands, and so does a refusal.
    """
    collection = collect([], 5)
    first = collection.first
    collection.first = lambda start, end: first(start, end) and collection.answer([], "next")

    def follow(link):
        collection.links.append(link)
        if refused:
            raise RefusedRequestError("no such page", status=404, parameter=None)
        return collection.answer([], None)

    collection.follow = follow
    played = read(play, collection, [0.2])

    assert str(played.error) == ("no such page" if refused else "None")
    assert collection.requests == 2


@settings(max_examples=60, deadline=None)
@given(steps=steps, size=sizes, durations=latencies)
@example(steps=EVEN, size=5, durations=[0.2])
@example(steps=[0] * 50, size=5, durations=[0.2])
@example(steps=[0, 0, 0, HOUR, DAY], size=4, durations=[0.2])  # cut behind the record whose cursor is refused
def test_refused_cursors_are_bypassed(collect, play, steps, size, durations):
    """Cursors that are all refused are done without or are an error.

    It is asked again from the second that was reached; where that leads no further, the refusal stands.
    """
    collection = collect(moments(steps), size)

    def refuse(_):
        raise RefusedRequestError("a cursor nobody likes", status=400, parameter="page[cursor]")

    collection.follow = refuse
    played = read(play, collection, durations)
    keys = list(collection.seconds)

    assert played.once == keys[: len(played.once)]
    assert (played.error is None) is (len(played.once) == len(keys))
    assert str(played.error or "a cursor nobody likes") == "a cursor nobody likes"
    assert played.error is None or most_around(moments(steps)) >= size


def most_around(seconds):
    """Of how many things at most it takes a page to get from one second to a later one: two neighbouring seconds'."""
    return max(sum(second - 1 <= other <= second for other in seconds) for second in seconds)


@pytest.mark.parametrize("can_ask_for_less", [True, False])
def test_refused_first_page_shrinks(collect, play, can_ask_for_less):
    """A refused first page is requested again only if less can be requested.

    Pages of a thousand may be refused, by each window that is under way; then they are smaller, or it is the end.
    """
    collection = collect(moments(EVEN), 20)
    largest = 20
    first = collection.first

    def refuse(start, end):
        if collection.size > largest:
            raise RefusedRequestError("too large", status=400, parameter="page[size]")
        return first(start, end)

    def reduce_to(_):
        collection.size = largest
        return can_ask_for_less

    def lower(_):
        nonlocal largest
        largest = 5 if len(collection.firsts) == 2 else largest

    collection.first, collection.can_ask_for_less, collection.accident = refuse, reduce_to, lower
    played = read(play, collection, [0.2])
    emitted = [thing.id for thing in played.read]

    assert emitted == list(collection.seconds)[: len(emitted)]
    assert (len(emitted) == len(EVEN)) is can_ask_for_less
    assert str(played.error or "") == ("" if can_ask_for_less else "too large")
