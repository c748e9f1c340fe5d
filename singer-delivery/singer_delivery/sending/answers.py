"""Checks what a destination makes of an answer: each row has one verdict, and nothing else does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from singer_delivery.destination import AnswerMismatchError
from singer_delivery.errors import frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_delivery.destination import Answer, Job, Refusal

    Verdict = Sequence[Refusal] | None

UNKNOWN_SHAPE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code raises that meets an answer of another shape than it expects."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Name the answer and the place in the code if an answer cannot be read.

    Raises:
        AnswerMismatchError: The answer has an unknown shape; it may quote records, so it is not shown.
    """
    try:
        yield
    except UNKNOWN_SHAPE as error:
        raise AnswerMismatchError(
            f"{what} has an unknown shape ({type(error).__name__} at {frames(error)}); the outcome of its rows is "
            "unknown"
        ) from None


def verdicts_of(answer: Answer, sent: int) -> list[Verdict]:
    """One verdict for each of the *sent* rows, in order.

    >>> from singer_delivery.destination import Answer, Refusal
    >>> verdicts_of(Answer({1: [Refusal("refused", text="no such street")]}), 2)
    [None, [Refusal(code='refused', event=None, field='', text='no such street')]]

    Raises:
        AnswerMismatchError: A refusal is of no row that was sent, or has no reason.
    """
    with reading("what was read from an answer"):
        strange = [place for place, refusals in answer.refused.items() if place not in range(sent) or not refusals]
    if strange:
        raise AnswerMismatchError(
            f"an answer to {sent} rows has {len(strange)} refusals without a reason, or at positions that are none of "
            f"0 to {sent - 1}; the outcome of its rows is unknown"
        )
    return [answer.refused.get(place) for place in range(sent)]


def refused_events(verdict: Sequence[Refusal], count: int) -> dict[int, Refusal]:
    """Position of the event -> why it was refused; a refusal that names no event applies to all of the user's."""
    refused: dict[int, Refusal] = {}
    for refusal in verdict:
        places: Sequence[int] = range(count) if refusal.event is None else (refusal.event,)
        for place in places:
            if 0 <= place < count:
                refused.setdefault(place, refusal)
    if verdict and not refused:
        refused = dict.fromkeys(range(count), verdict[0])
    return refused


def id_of(job: Job) -> str:
    """The id of a job.

    Raises:
        AnswerMismatchError: It is empty, or no string: such a job could not be found again.
    """
    found: object = job.id
    if not isinstance(found, str) or not found:
        raise AnswerMismatchError("the API accepted a job, but its id is empty or no string; its outcome is unknown")
    return found
