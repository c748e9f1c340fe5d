"""Whether a 400 that names no row is the rows' fault or the request's, in a process of one's own."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from singer_delivery.destination import Answer, Limits, Request, RowRefusedError, StopSendingError
from singer_delivery.sending.sender import Evidence, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_delivery.sending.sender import Verdict

BOUND = 80
"""Requests until a run stops that is refused whatever it sends."""


def send(count: int, bad, evidence: Evidence, text_of=lambda _: "cannot be stored") -> tuple[set[int], int]:
    """Send the users 0 to *count*, of whom the API refuses the *bad*; (positions refused, requests).

    Where it cannot be told whether they are at fault, nothing else comes.
    """
    (verdicts,), requests = send_batches(count, count, bad, evidence, text_of)
    return {place for place, verdict in enumerate(verdicts or ()) if verdict}, requests


def send_batches(
    count: int, size: int, bad, evidence: Evidence, text_of=lambda _: "cannot be stored"
) -> tuple[list[Sequence[Verdict] | None], int]:
    """Send users in batches of *size*: what comes of each batch, or None for one that waits in vain; requests."""
    told: list[int] = []
    requests: Counter[str] = Counter()

    def post(request: Request, _part: range) -> tuple[Answer, int]:
        if found := sorted(set(json.loads(request.body)) & set(bad)):
            requests["refused"] += 1
            raise RowRefusedError(text_of(found[0]))
        return Answer({}), 1

    def request_of(users) -> Request:
        return Request("upsert", "/", b"[" + b",".join(users) + b"]")

    def answered(first, start, verdicts, _doubtful) -> None:
        told.extend(range(first + start, first + start + len(verdicts)))

    found: list[Sequence[Verdict] | None] = []

    def deliver(first: int) -> Iterator[StopSendingError]:
        place = len(found)
        found.append(None)
        users = [str(number).encode() for number in range(first, min(first + size, count))]
        sender = Sender(requests, "The API", Limits())
        found[place] = yield from sender.send(users, request_of, post, partial(answered, first), evidence)

    deliveries = [deliver(first) for first in range(0, count, size)]
    for delivery in [*deliveries, *deliveries]:
        next(delivery, None)
    if None not in found:
        assert sorted(told) == list(range(count))
    return found, requests["upsert"]


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("count", "bad"),
    [
        pytest.param(26, range(25), id="all but the last"),
        pytest.param(100, range(25), id="the first"),
        pytest.param(1_000, range(25), id="the first of many"),
        pytest.param(1_000, range(975, 1_000), id="the last"),
        pytest.param(1_000, {*range(25), *range(30, 1_000, 33)}, id="the first, and some in every part"),
        pytest.param(1_000, range(0, 1_000, 2), id="every other one"),
        pytest.param(40, range(1, 40), id="all but the first"),
    ],
)
def test_bad_rows_with_one_text_cost_themselves_where_others_pass(count, bad):
    """Twenty rows with one text were taken for the request's fault, and blocked their stream for ever."""
    refused, _ = send(count, bad, Evidence())

    assert refused == set(bad)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("count", [20, 25, 100, 1_000])
def test_a_request_that_is_refused_whatever_it_holds_stops_the_run_soon(count):
    """Else the whole input would turn into rejects, one request each."""
    refused, requests = send(count, range(count), Evidence())

    assert refused == set()
    assert requests <= BOUND


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(
    ("count", "size", "bad"),
    [
        pytest.param(40, 5, range(25), id="five batches of eight"),
        pytest.param(40, 5, range(39), id="all rows but the last"),
        pytest.param(40, 1, range(25), id="batches of one"),
        pytest.param(300, 7, range(205), id="many batches"),
        pytest.param(3_000, 1_000, range(1_000), id="the first of three"),
        pytest.param(3_000, 1_000, range(2_100), id="two and a part of the third"),
        pytest.param(9_000, 100, range(6_000), id="most"),
    ],
)
def test_bad_rows_that_fill_whole_batches_wait_for_those_of_others(count, size, bad):
    """A batch alone decided that the request was at fault, and small ones stopped every run at the same rows."""
    found, _ = send_batches(count, size, bad, Evidence())

    refused = [verdict is not None for verdicts in found for verdict in verdicts]
    assert [place for place, is_refused in enumerate(refused) if is_refused] == list(bad)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(("count", "size"), [(300, 5), (9_000, 5), (9_000, 1_000)])
def test_suspicion_costs_few_requests(count, size):
    """A request that is refused whatever it holds must not be tried with each row of the input."""
    found, requests = send_batches(count, size, range(count), Evidence())

    assert found[-1] is None
    assert requests <= 2.5 * BOUND


@pytest.mark.req("IN-60")
def test_rows_refused_in_several_words_are_at_fault():
    """What the API says of each row differs, so it has looked at the rows."""
    refused, _ = send(50, range(50), Evidence(), text_of=lambda number: f"row {number % 2}")

    assert refused == set(range(50))


@pytest.mark.req("IN-60")
def test_what_one_lane_got_accepted_counts_for_all():
    """A batch of nothing but bad rows must not stop a run in which requests pass."""
    evidence = Evidence()
    send(10, (), evidence)

    refused, _ = send(50, range(50), evidence)

    assert refused == set(range(50))
