"""Answers that cannot be true, or that nobody can read: the run fails, and no row is taken for delivered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from singer_delivery.destination import (
    Answer,
    AnswerMismatchError,
    Job,
    JobUnfinishedError,
    OnceKind,
    Refusal,
    Request,
    Response,
)
from singer_delivery.sending.answers import id_of, refused_events, verdicts_of
from singer_delivery.sending.jobs import Jobs
from toybox import ORDERS, order, state

REASONS = [Refusal("refused")]


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param({2: REASONS}, id="beyond the rows"),
        pytest.param({-1: REASONS}, id="before the rows"),
        pytest.param({"0": REASONS}, id="position as string"),
        pytest.param({0: []}, id="no reason"),
        pytest.param(None, id="no mapping"),
    ],
)
def test_strange_refusals_are_noticed(refused):
    """Strange refusals are noticed.

    Refusals at other positions were ignored, so the rows that they meant counted as delivered. A row refused without a
    reason was sent again for ever.
    """
    with pytest.raises(AnswerMismatchError):
        verdicts_of(Answer(refused), 2)


def test_strange_event_refuses_row():
    """A refusal of an event that its row does not have refuses the row; a negative position was sent again for ever."""
    assert set(refused_events([Refusal("refused", event=-1)], 2)) == {0, 1}


@pytest.mark.parametrize("job_id", ["", 7, None])
def test_job_needs_id(job_id):
    """A job without a string as its id is noticed when it is accepted: the next run could not read the ledger."""
    with pytest.raises(AnswerMismatchError):
        id_of(Job(job_id))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param({"refused": {"99": "no such street"}}, "at positions that are none of 0 to 1", id="position"),
        pytest.param({"refused": 5}, "AttributeError at", id="shape"),
    ],
)
def test_untrue_answer_fails_run(run, toybox, document, told):
    """Answer that cannot be true fails the run; nothing counts as delivered, and no STATE passes."""
    toybox.strange_answer = document

    ended = run([ORDERS, order(1), order(2), state(2)])

    assert ended.code == 1, ended.log
    assert told in ended.log
    assert "unforeseen" not in ended.log
    assert (ended.states, ended.streams["orders"]) == ([], {"read": 2, "pending": 2})


class Endless(OnceKind):
    """Its jobs are never finished."""

    def stage(self, record, key, now):
        """Not called."""

    def request(self, variant, rows):
        """Not called."""

    def read(self, response, sent):
        """Not called."""

    def follow(self, job, answers, sent):  # noqa: ARG002  (it asks the same in any case)
        """Ask the same again."""
        return Request("job", f"/jobs/{job.id}", b"", "GET")


def test_endless_job_fails_run():
    """A job that is never finished fails the run, which followed it for ever; the job stays open."""
    transport = SimpleNamespace(send=lambda _request, rows, read: read(Response(200, {}, b"{}"), rows))
    waits = []

    with pytest.raises(JobUnfinishedError, match="run again later"):
        Jobs(transport, None, {}, waits.append).follow(Endless(), Job("1"), 3)

    assert Endless.longest_job_seconds <= sum(waits) < Endless.longest_job_seconds + 60
