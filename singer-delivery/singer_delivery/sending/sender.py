"""From encoded rows to one verdict for each of them: request, refusals by position, bisection of the rest.

Where nothing was accepted yet and all rows earn one text, the rows cannot be told from the request. Where another
status than 400 refuses, or no good answer comes, what was accepted before is no witness: a key may have been withdrawn
since. A batch is then set aside until rows of other batches have been tried; a generator that yields is such a batch.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from singer_delivery.destination import Refusal, RowRefusedError, StopSendingError, UnclearRefusalError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Sequence

    from singer_delivery.destination import Answer, Limits, Request

    RequestOf = Callable[[Sequence[bytes]], Request]
    Verdict = Sequence[Refusal] | None
    Answered = Callable[[int, Sequence[Verdict], bool], None]
    Sending = Generator[Exception, None, list[Verdict]]
    """Yields while it cannot be told whether the rows are at fault: why the run stops if nothing else comes."""


class Post(Protocol):
    """Sends the request of the rows at these positions; *hurried*: with a short budget for retries."""

    def __call__(self, request: Request, part: range, /, *, hurried: bool) -> tuple[Answer, int]:
        """Return the answer and the number of attempts; raise as the transport does."""


SAME_TEXT_LIMIT = 20
"""As many rows refused alone, all with one text, raise the suspicion that the request is at fault and not the rows, as
long as nothing at all was accepted; and as many are tried of each batch from then on, and fewer the more there were."""

REQUEST_AT_FAULT = (
    f"nothing was accepted, and all rows tried alone ({SAME_TEXT_LIMIT} and more, from all batches) are refused with "
    "one text, so it is not the rows"
)

UNANSWERED = "unanswered"
"""The code of a row that, sent alone, gets no good answer: whether it was applied is not known."""


class Evidence:
    """What all lanes have learned of one form of request: when one was accepted, and what refusals say.

    *destination*: what messages call it.
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
        """Note that a request was answered with 200: as such it is in order, as to 400s for the rest of the run."""
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
        """Note that a row alone was refused by another status, or got no good answer."""
        with self._lock:
            self._unclear += 1
            self._unclear_why = why

    @property
    def is_unclear(self) -> bool:
        """Whether rows got unclear refusals since something was accepted: whole batches may, too."""
        return self._unclear > 0

    @property
    def against_request(self) -> Exception | None:
        """Why the run ends, where rows alone are refused in the same words, and nothing is accepted, or no more."""
        if self._unclear >= SAME_TEXT_LIMIT:
            return self._unclear_why
        if not self.accepted and self._isolated >= SAME_TEXT_LIMIT and len(self._texts) == 1:
            return StopSendingError(self._destination, 400, REQUEST_AT_FAULT)
        return None

    def samples(self, rows: Sequence[int]) -> Sequence[int]:
        """Choose which of the *rows* of a batch are to be tried alone; the distance grows with how many there were."""
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
        limits: Larger bodies are sent in halves; but one row may have as many bytes as the API takes.
    """

    def __init__(self, requests: Counter[str], limits: Limits) -> None:
        self._requests = requests
        self._limits = limits

    def send(
        self,
        rows: Sequence[bytes],
        request_of: RequestOf,
        post: Post,
        answered: Answered,
        evidence: Evidence,
        go_on: Callable[[], None] = lambda: None,
    ) -> Sending:
        """One verdict for each of *rows*, in their order: the objections, or None where it was accepted.

        What is refused without naming a row is narrowed down by halves, so that one bad row costs itself only. Where
        the refusal is unclear, a row is tried once more after something else was accepted. As soon as a request is
        answered, *answered* is told: the position of its first row, the verdicts, and whether an earlier attempt of it
        may have been applied, too. Where it yields, it has tried enough of these rows, and waits for what others learn;
        *go_on* is called before it sends again.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: As the transport does; what became of the
                rows that *answered* was not told of is then open.
        """
        verdicts: list[Verdict] = [None] * len(rows)
        waiting = [range(len(rows))] if rows else []
        samples: list[range] | None = None
        doubts = _Doubts()
        while waiting or samples:
            if samples is None and evidence.against_request:
                waiting, samples = without_samples(waiting, evidence)
            if samples is not None and not evidence.against_request:  # one was accepted, or refused in other words
                waiting, samples = waiting + samples, None
            if not samples and evidence.against_request:
                yield from undecided(evidence)
                go_on()
            part = samples.pop() if samples else waiting.pop()
            try:
                found = self.attempt(rows, part, request_of, post, evidence, doubts)
            except UnclearRefusalError as error:
                doubts.rows.append(part.start)
                evidence.isolate_unclear(error.why)
                continue
            if found is None:
                middle = part.start + len(part) // 2
                waiting += [range(middle, part.stop), range(part.start, middle)]
                continue
            verdicts[part.start : part.stop], doubtful = found
            answered(part.start, verdicts[part.start : part.stop], doubtful or doubts.sent)
        if doubts.rows:
            yield from doubts.wait(evidence)
        for row in doubts.rows:
            go_on()
            verdicts[row] = self._attempt_again(rows, row, request_of, post, evidence, doubts)
            answered(row, verdicts[row : row + 1], doubts.sent)
        if rows:
            yield from undecided(evidence)
        return verdicts

    def _attempt_again(
        self, rows: Sequence[bytes], row: int, request_of: RequestOf, post: Post, evidence: Evidence, doubts: _Doubts
    ) -> Verdict:
        """Send a row alone, once more, since others are accepted: what comes of it now is its own doing."""
        try:
            found = self.attempt(rows, range(row, row + 1), request_of, post, evidence, doubts)
        except UnclearRefusalError as error:
            return (Refusal(UNANSWERED if doubts.sent else "refused_request", text=error.text),)
        return found[0][0] if found else None

    def attempt(
        self,
        rows: Sequence[bytes],
        part: range,
        request_of: RequestOf,
        post: Post,
        evidence: Evidence,
        doubts: _Doubts,
    ) -> tuple[list[Verdict], bool] | None:
        """Send one request: its verdicts, and whether they are doubtful; None: it is to be sent by halves.

        Raises:
            UnclearRefusalError: A row alone earned one.
        """
        request = request_of(rows[part.start : part.stop])
        if len(request.body) > self._limits.size and len(part) > 1:
            return None
        if len(request.body) > self._limits.row_size:
            return [(Refusal("too_large"),)], False
        try:
            answer, attempts = post(request, part, hurried=doubts.why is not None or evidence.is_unclear)
        except UnclearRefusalError as error:
            self._requests[request.name] += 1
            doubts.note(error, evidence)
            if len(part) > 1:
                return None
            raise
        except RowRefusedError as error:
            self._requests[request.name] += 1
            if len(part) > 1:
                return None
            evidence.isolate(error.text)
            return [(Refusal("refused_request", text=error.text),)], False
        evidence.accept()
        self._requests[request.name] += 1
        if attempts > 1:
            self._requests["retries"] += attempts - 1
        return [answer.refused.get(place) for place in range(len(part))], answer.doubtful


class _Doubts:
    """The unclear refusals of a batch: which rows earned one alone, and whether anything may have been applied.

    *accepted_before*: how many requests had been accepted when the first of them came.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.why: Exception | None = None
        self.sent = False
        self.accepted_before = 0

    def note(self, error: UnclearRefusalError, evidence: Evidence) -> None:
        """Take one refusal."""
        if self.why is None:
            self.accepted_before = evidence.accepted
        self.why = error.why
        self.sent = self.sent or error.sent

    def wait(self, evidence: Evidence) -> Generator[Exception, None, None]:
        """Yield until something was accepted since the first of them."""
        while self.why is not None and evidence.accepted == self.accepted_before:
            yield self.why


def undecided(evidence: Evidence) -> Generator[Exception, None, None]:
    """Yield as long as it cannot be told whether the rows are at fault or the request."""
    while why := evidence.against_request:
        yield why


def without_samples(waiting: Sequence[range], evidence: Evidence) -> tuple[list[range], list[range]]:
    """Take single rows from all over the parts of a batch that still wait: (the other parts, these rows).

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
