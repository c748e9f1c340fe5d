"""Whether a 400 that names no row is the rows' fault or the request's, in a process of one's own."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from singer_delivery.destination import (
    Answer,
    Limits,
    Request,
    RowRefusedError,
    StopSendingError,
    UnclearRefusalError,
)
from singer_delivery.sending.sender import Evidence, Sender
from singer_delivery.sending.transport import GaveUpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_delivery.sending.sender import Verdict

BOUND = 80
"""Requests until a run stops that is refused whatever it sends."""


def request_of(users: Sequence[bytes]) -> Request:
    """A request whose body is the list of its users."""
    return Request("upsert", "/", b"[" + b",".join(users) + b"]")


def send(count: int, bad, evidence: Evidence, text_of=lambda _: "cannot be stored") -> tuple[set[int], int]:
    """Send the users 0 to *count*, of whom the API refuses the *bad*; (positions refused, requests).

    Where it cannot be told whether they are at fault, nothing else comes.
    """
    (verdicts,), requests = send_batches(count, count, bad, evidence, text_of)
    return {place for place, verdict in enumerate(verdicts or ()) if verdict}, requests


def send_batches(
    count: int, size: int, bad, evidence: Evidence, text_of=lambda _: "cannot be stored", error_of=RowRefusedError
) -> tuple[list[Sequence[Verdict] | None], int]:
    """Send users in batches of *size*: the result of each batch, or None for one that waits to the end; requests."""
    told: list[int] = []
    requests: Counter[str] = Counter()

    def post(request: Request, _part: range, *, hurried: bool) -> tuple[Answer, int]:
        del hurried
        if found := sorted(set(json.loads(request.body)) & set(bad)):
            requests["refused"] += 1
            raise error_of(text_of(found[0]))
        return Answer({}), 1

    def answered(first, start, verdicts, _doubtful) -> None:
        told.extend(range(first + start, first + start + len(verdicts)))

    found: list[Sequence[Verdict] | None] = []

    def deliver(first: int) -> Iterator[StopSendingError]:
        place = len(found)
        found.append(None)
        users = [str(number).encode() for number in range(first, min(first + size, count))]
        sender = Sender(requests, Limits(), may_repeat=True)
        found[place] = yield from sender.send(users, request_of, post, partial(answered, first), evidence)

    deliveries = [deliver(first) for first in range(0, count, size)]
    for delivery in deliveries * 3:
        next(delivery, None)
    if None not in found:
        assert sorted(set(told)) == list(range(count))
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
def test_bad_rows_cost_themselves(count, bad):
    """Bad rows with one text cost themselves where others pass.

    Twenty rows with one text were taken for the request's fault, and blocked their stream for ever.
    """
    refused, _ = send(count, bad, Evidence("The API"))

    assert refused == set(bad)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("count", [20, 25, 100, 1_000])
def test_hopeless_request_stops_run(count):
    """A request that is refused whatever it holds stops the run soon.

    Else the whole input would turn into rejects, one request each.
    """
    refused, requests = send(count, range(count), Evidence("The API"))

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
def test_bad_batches_wait_for_others(count, size, bad):
    """Bad rows that fill whole batches wait for those of others.

    A batch alone decided that the request was at fault, and small ones stopped every run at the same rows.
    """
    found, _ = send_batches(count, size, bad, Evidence("The API"))

    refused = [verdict is not None for verdicts in found for verdict in verdicts]
    assert [place for place, is_refused in enumerate(refused) if is_refused] == list(bad)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(("count", "size"), [(300, 5), (9_000, 5), (9_000, 1_000)])
def test_suspicion_costs_few_requests(count, size):
    """A request that is refused whatever it holds must not be tried with each row of the input."""
    found, requests = send_batches(count, size, range(count), Evidence("The API"))

    assert found[-1] is None
    assert requests <= 2.5 * BOUND


@pytest.mark.req("IN-60")
def test_varied_refusals_blame_rows():
    """Rows refused in several words are at fault.

    What the API says of each row differs, so it has looked at the rows.
    """
    refused, _ = send(50, range(50), Evidence("The API"), text_of=lambda number: f"row {number % 2}")

    assert refused == set(range(50))


@pytest.mark.req("IN-60")
def test_acceptance_counts_for_all_lanes():
    """What one lane got accepted counts for all.

    A batch of nothing but bad rows must not stop a run in which requests pass.
    """
    evidence = Evidence("The API")
    send(10, (), evidence)

    refused, _ = send(50, range(50), evidence)

    assert refused == set(range(50))


def forbidden(text: str) -> UnclearRefusalError:
    """What the transport makes of a 403."""
    return UnclearRefusalError(StopSendingError("The API", 403, "access denied"), text, sent=False)


def broken(text: str) -> UnclearRefusalError:
    """What the transport makes of a 500 that lasts."""
    return UnclearRefusalError(GaveUpError("The API", 900, "status 500", 1), text, sent=True)


@pytest.mark.req("IN-60")
@pytest.mark.parametrize(("error_of", "code"), [(forbidden, "refused_request"), (broken, "unanswered")])
@pytest.mark.parametrize(
    ("count", "size", "bad"),
    [
        pytest.param(40, 10, {17}, id="one"),
        pytest.param(40, 10, {39}, id="the last"),
        pytest.param(40, 40, {0, 39}, id="first and last"),
        pytest.param(40, 5, range(25), id="whole batches"),
        pytest.param(40, 1, range(25), id="batches of one"),
        pytest.param(1_000, 1_000, range(100), id="the first hundred"),
        pytest.param(1_000, 1_000, range(0, 1_000, 3), id="every third"),
        pytest.param(40, 40, range(10, 40), id="the last of all"),
        pytest.param(1_000, 1_000, range(900, 1_000), id="the last hundred of all"),
    ],
)
def test_poison_row_costs_itself(error_of, code, count, size, bad):
    """A row that a firewall or a server trips over costs itself.

    Only a 400 was narrowed down: any other status, met by one row, ended this run and every run after it.
    """
    found, _ = send_batches(count, size, bad, Evidence("The API"), error_of=error_of)

    verdicts = [verdict for part in found for verdict in part]
    assert {place for place, verdict in enumerate(verdicts) if verdict} == set(bad)
    assert {verdict[0].code for verdict in verdicts if verdict} == {code}


@pytest.mark.req("IN-60")
@pytest.mark.parametrize("error_of", [forbidden, broken])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (10, 10), (300, 5), (9_000, 1_000)])
def test_general_refusal_makes_no_rejects(error_of, count, size):
    """What refuses all makes no rejects and costs few requests.

    A key that was withdrawn in mid-run, or a server that is down: what was accepted before is no witness.
    """
    evidence = Evidence("The API")
    send(10, (), evidence)

    found, requests = send_batches(count, size, range(count), evidence, error_of=error_of)

    assert not any(found)
    assert requests <= 2.5 * BOUND


@pytest.mark.req("IN-60")
def test_key_withdrawn_midway():
    """What is refused from some request on makes no rejects, although rows of the same batch were accepted."""
    evidence = Evidence("The API")
    accepted = iter(range(1))

    def post(request: Request, _part: range, *, hurried: bool) -> tuple[Answer, int]:
        del hurried
        if b"99" in request.body or next(accepted, None) is None:
            raise forbidden("status 403")
        return Answer({}), 1

    rows = [str(number).encode() for number in range(100)]
    sending = Sender(Counter(), Limits(), may_repeat=True).send(rows, request_of, post, lambda *_: None, evidence)

    assert [type(next(sending)) for _ in range(3)] == [StopSendingError] * 3


@pytest.mark.req("IN-60")
def test_accepted_event_is_not_repeated():
    """An accepted event is not sent again to test the API, which may count it twice; the batch waits for others."""
    evidence = Evidence("The API")
    accepted: list[int] = []

    def post(request: Request, _part: range, *, hurried: bool) -> tuple[Answer, int]:
        del hurried
        rows = json.loads(request.body)
        if max(rows) >= 10:
            raise forbidden("status 403")
        accepted.extend(rows)
        return Answer({}), 1

    rows = [str(number).encode() for number in range(40)]
    sending = Sender(Counter(), Limits(), may_repeat=False).send(rows, request_of, post, lambda *_: None, evidence)

    assert [type(next(sending)) for _ in range(3)] == [StopSendingError] * 3
    assert sorted(accepted) == list(range(10))


@pytest.mark.req("IN-60")
def test_temporary_refusal_costs_no_row():
    """A refusal that passes costs no row.

    Rows that were refused while everything was are tried again once something is accepted.
    """
    bad = set(range(10))
    sending = Sender(Counter(), Limits(), may_repeat=True).send(
        [str(number).encode() for number in range(10)],
        request_of,
        lambda request, _part, **_: answer(request, bad),
        lambda *_: None,
        (evidence := Evidence("The API")),
    )
    assert isinstance(next(sending), StopSendingError)
    bad.clear()
    evidence.accept()

    with pytest.raises(StopIteration) as ended:
        next(sending)

    assert ended.value.value == [None] * 10


def answer(request: Request, bad: set[int]) -> tuple[Answer, int]:
    """Accept what holds none of the bad."""
    if bad.intersection(json.loads(request.body)):
        raise forbidden("status 403")
    return Answer({}), 1
