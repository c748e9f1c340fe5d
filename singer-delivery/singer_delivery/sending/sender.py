"""Sends encoded rows and returns one verdict for each: refusals by position, or found by bisection.

If nothing was accepted yet, and all rows are refused with one text, the request itself may be at fault. After a refusal
other than 400, or without a usable answer, earlier acceptance proves nothing: the key may have been revoked since. The
batch is then set aside until rows of other batches were tried; its generator yields meanwhile.
"""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from singer_delivery.destination import Refusal, RowRefusedError, StopSendingError, UnclearRefusalError
from singer_delivery.sending.answers import verdicts_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Sequence

    from singer_delivery.destination import Answer, Limits, Request
    from singer_delivery.sending.answers import Verdict

    RequestOf = Callable[[Sequence[bytes]], Request]
    Answered = Callable[[int, Sequence[Verdict], bool], None]
    Sending = Generator[Exception, None, list[Verdict]]
    """Yields while it is open whether the rows are at fault: what to raise if no other batch decides it."""


class Post(Protocol):
    """Sends the request of the rows at these positions; *hurried*: with a short retry budget."""

    def __call__(self, request: Request, part: range, /, *, hurried: bool) -> tuple[Answer, int]:
        """Return the answer and the number of attempts; raises as the transport does."""


SAME_TEXT_LIMIT = 20
"""If this many rows were refused alone, all with one text, and nothing was accepted, the request is suspected instead
of the rows. From then on, this many rows of each batch are tried, and fewer the more there were."""

REQUEST_AT_FAULT = (
    f"nothing was accepted, and all rows tried alone ({SAME_TEXT_LIMIT} and more, from all batches) are refused with "
    "one text, so the rows are not at fault"
)

UNANSWERED = "unanswered"
"""Code of a row that, sent alone, gets no usable answer: it may or may not have been applied."""


class Evidence:
    """What all lanes have learned about one form of request: acceptances and refusals.

    *destination*: its name in messages.
    """

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._lock = threading.Lock()
        self._isolated = 0
        self._texts: set[str] = set()
        self.accepted = 0
        self._unclear = 0
        self._unclear_why: Exception | None = None
        self._passed = 0
        self._next = 0

    def accept(self) -> None:
        """Note that a request was answered with 200: from now on, a 400 means that a row is at fault."""
        with self._lock:
            self.accepted += 1
            self._unclear = 0

    def isolate(self, text: str) -> None:
        """Note that a row was refused alone."""
        with self._lock:
            if not self.accepted and len(self._texts) <= 1:
                self._isolated += 1
                self._texts.add(text)

    def isolate_unclear(self, why: Exception) -> None:
        """Note that a row alone was refused with another status, or got no usable answer."""
        with self._lock:
            self._unclear += 1
            self._unclear_why = why

    @property
    def is_unclear(self) -> bool:
        """Whether rows got unclear refusals since the last acceptance; whole batches may get them, too."""
        return self._unclear > 0

    @property
    def against_request(self) -> Exception | None:
        """The error to end the run with, if single rows are refused in the same words and nothing is accepted."""
        if self._unclear >= SAME_TEXT_LIMIT:
            return self._unclear_why
        if not self.accepted and self._isolated >= SAME_TEXT_LIMIT and len(self._texts) == 1:
            return StopSendingError(self._destination, 400, REQUEST_AT_FAULT)
        return None

    def samples(self, rows: Sequence[int]) -> Sequence[int]:
        """Choose which *rows* of a batch to try alone; their distance grows with the number of rows so far."""
        with self._lock:
            distance = max(1, len(rows) // SAME_TEXT_LIMIT, self._passed // SAME_TEXT_LIMIT)
            chosen = rows[self._next :: distance]
            self._next = (self._next - len(rows)) % distance
            self._passed += len(rows)
        return chosen


class Sender:
    """Sends rows and reads the answers; belongs to one lane.

    Args:
        requests: Counts requests by name, and retries.
        limits: Larger bodies are split in halves; a single row may be as large as the API accepts.
        may_repeat: Whether an accepted row may be sent again; an event must not.
    """

    def __init__(self, requests: Counter[str], limits: Limits, *, may_repeat: bool) -> None:
        self._requests = requests
        self._limits = limits
        self._may_repeat = may_repeat

    def send(
        self,
        rows: Sequence[bytes],
        request_of: RequestOf,
        post: Post,
        answered: Answered,
        evidence: Evidence,
        go_on: Callable[[], None] = lambda: None,
    ) -> Sending:
        """Send *rows*; returns one verdict per row, in order: its refusals, or None if it was accepted.

        A refusal that names no row is narrowed down by bisection, so that one bad row costs only itself. After an
        unclear refusal, a row is tried once more after something else was accepted: by others, or, if rows may be
        repeated, an accepted row of this batch, because the rest of the batch may be bad. Each answered request is
        reported to *answered*: the position of its first row, the verdicts, and whether an earlier attempt may have
        been applied, too. It yields after trying enough of these rows, to wait for the results of others; *go_on* is
        called before it sends again.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: As the transport does; the outcome of rows
                not reported to *answered* is then unknown.
        """
        verdicts: list[Verdict] = [None] * len(rows)
        waiting = [range(len(rows))] if rows else []
        samples: list[range] | None = None
        unclear = _UnclearRefusals()
        accepted: list[int] = []
        again = partial(self._attempt_again, rows, request_of, post, evidence, unclear)
        undecided = partial(self._undecided, evidence, accepted, go_on, again, answered)
        while waiting or samples:
            if samples is None and evidence.against_request:
                waiting, samples = without_samples(waiting, evidence)
            if samples is not None and not evidence.against_request:  # one was accepted, or refused in other words
                waiting, samples = waiting + samples, None
            if not samples and evidence.against_request:
                yield from undecided()
                go_on()
            part = samples.pop() if samples else waiting.pop()
            try:
                found = self.attempt(rows, part, request_of, post, evidence, unclear)
            except UnclearRefusalError as error:
                unclear.rows.append(part.start)
                evidence.isolate_unclear(error.why)
                continue
            if found is None:
                middle = part.start + len(part) // 2
                waiting += [range(middle, part.stop), range(part.start, middle)]
                continue
            verdicts[part.start : part.stop], doubtful = found
            answered(part.start, verdicts[part.start : part.stop], doubtful or unclear.sent)
            accepted += [part.start] if verdicts[part.start] is None else []
        if unclear.rows:
            yield from unclear.wait(evidence)
        for row in unclear.rows:
            go_on()
            verdicts[row] = again(row)
            answered(row, verdicts[row : row + 1], unclear.sent)
        if rows:
            yield from undecided()
        return verdicts

    def _undecided(
        self,
        evidence: Evidence,
        accepted: Sequence[int],
        go_on: Callable[[], None],
        again: Callable[[int], Verdict],
        answered: Answered,
    ) -> Generator[Exception, None, None]:
        """Yield while it is unknown whether the rows or the request are at fault.

        If rows may be repeated, the last of the *accepted* ones is sent once more first: if it still passes, the others
        are at fault.
        """
        if self._may_repeat and accepted and evidence.against_request:
            go_on()
            again(accepted[-1])
            answered(accepted[-1], [None], False)
        while why := evidence.against_request:
            yield why

    def _attempt_again(
        self,
        rows: Sequence[bytes],
        request_of: RequestOf,
        post: Post,
        evidence: Evidence,
        unclear: _UnclearRefusals,
        row: int,
    ) -> Verdict:
        """Send a row alone once more while others are accepted: if it fails again, the row is at fault."""
        try:
            found = self.attempt(rows, range(row, row + 1), request_of, post, evidence, unclear)
        except UnclearRefusalError as error:
            return (Refusal(UNANSWERED if unclear.sent else "refused_request", text=error.text),)
        return found[0][0] if found else None

    def attempt(
        self,
        rows: Sequence[bytes],
        part: range,
        request_of: RequestOf,
        post: Post,
        evidence: Evidence,
        unclear: _UnclearRefusals,
    ) -> tuple[list[Verdict], bool] | None:
        """Send one request; returns its verdicts, and whether they are uncertain; None: send it again in halves.

        Raises:
            UnclearRefusalError: A single row got an unclear refusal.
        """
        request = request_of(rows[part.start : part.stop])
        if len(request.body) > self._limits.size and len(part) > 1:
            return None
        if len(request.body) > self._limits.row_size:
            return [(Refusal("too_large"),)], False
        try:
            answer, attempts = post(request, part, hurried=unclear.why is not None or evidence.is_unclear)
        except UnclearRefusalError as error:
            self._requests[request.name] += 1
            unclear.note(error, evidence)
            if len(part) > 1:
                return None
            raise
        except RowRefusedError as error:
            self._requests[request.name] += 1
            if len(part) > 1:
                return None
            evidence.isolate(error.text)
            return [(Refusal("refused_request", text=error.text),)], False
        verdicts = verdicts_of(answer, len(part))
        evidence.accept()
        self._requests[request.name] += 1
        if attempts > 1:
            self._requests["retries"] += attempts - 1
        return verdicts, answer.doubtful


class _UnclearRefusals:
    """The unclear refusals of a batch: which single rows got one, and whether anything may have been applied.

    *accepted_before*: how many requests had been accepted at the first unclear refusal.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.why: Exception | None = None
        self.sent = False
        self.accepted_before = 0

    def note(self, error: UnclearRefusalError, evidence: Evidence) -> None:
        """Note one refusal."""
        if self.why is None:
            self.accepted_before = evidence.accepted
        self.why = error.why
        self.sent = self.sent or error.sent

    def wait(self, evidence: Evidence) -> Generator[Exception, None, None]:
        """Yield until something was accepted after the first refusal."""
        while self.why is not None and evidence.accepted == self.accepted_before:
            yield self.why


def without_samples(waiting: Sequence[range], evidence: Evidence) -> tuple[list[range], list[range]]:
    """Take sample rows out of the waiting parts of a batch; returns (the remaining parts, the samples).

    >>> without_samples([range(2, 4), range(1, 2)], Evidence("The API"))
    ([], [range(1, 2), range(2, 3), range(3, 4)])
    """
    rows = sorted(row for part in waiting for row in part)
    samples = evidence.samples(rows)
    parts: list[range] = []
    for part in waiting:
        borders = [part.start - 1, *(row for row in samples if row in part), part.stop]
        pieces = [range(one + 1, other) for one, other in pairwise(borders) if one + 1 < other]
        parts += reversed(pieces)
    return parts, [range(row, row + 1) for row in samples]
