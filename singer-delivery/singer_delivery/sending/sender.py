"""From encoded rows to one verdict for each of them: request, refusals by position, bisection of a refused request.

Where nothing was accepted yet and all rows earn one text, the rows cannot be told from the request. A batch is then set
aside until rows of other batches have been tried; a generator that yields is such a batch.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

from singer_delivery.destination import Refusal, RowRefusedError, StopSendingError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Sequence

    from singer_delivery.destination import Answer, Limits, Request

    RequestOf = Callable[[Sequence[bytes]], Request]
    Post = Callable[[Request, range], tuple[Answer, int]]
    """Sends the request of the rows at these positions; returns the answer and the number of attempts."""
    Verdict = Sequence[Refusal] | None
    Answered = Callable[[int, Sequence[Verdict], bool], None]
    Sending = Generator[StopSendingError, None, list[Verdict]]
    """Yields while it cannot be told whether the rows are at fault: why the run stops if nothing else comes."""

SAME_TEXT_LIMIT = 20
"""As many rows refused alone, all with one text, raise the suspicion that the request is at fault and not the rows, as
long as nothing at all was accepted; and as many are tried of each batch from then on, and fewer the more there were."""

REQUEST_AT_FAULT = (
    f"nothing was accepted, and all rows tried alone ({SAME_TEXT_LIMIT} and more, from all batches) are refused with "
    "one text, so it is not the rows"
)


class Evidence:
    """What all lanes have learned of one kind of request: whether one was ever answered with 200, and what 400s say."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._isolated = 0
        self._texts: set[str] = set()
        self._was_accepted = False
        self._passed = 0
        self._next = 0

    def accept(self) -> None:
        """Note that a request was answered with 200: as such it is in order, for the rest of the run."""
        self._was_accepted = True

    def isolate(self, text: str) -> None:
        """Note that a row was refused alone."""
        with self._lock:
            if not self._was_accepted and len(self._texts) <= 1:
                self._isolated += 1
                self._texts.add(text)

    @property
    def is_against_request(self) -> bool:
        """Whether all rows that were refused alone earned the same words, and nothing was accepted."""
        return not self._was_accepted and self._isolated >= SAME_TEXT_LIMIT and len(self._texts) == 1

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
        destination: What messages call it.
        limits: Larger bodies are sent in halves; but one row may have as many bytes as the API takes.
    """

    def __init__(self, requests: Counter[str], destination: str, limits: Limits) -> None:
        self._requests = requests
        self._destination = destination
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

        A refusal that names no row is narrowed down by halves, so that one bad row costs itself only. As soon as a
        request is answered, *answered* is told: the position of its first row, the verdicts, and whether an earlier
        attempt of it may have been applied, too. Where it yields, it has tried enough of these rows, and waits for what
        others learn; *go_on* is called before it sends again.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: As the transport does; what became of the
                rows that *answered* was not told of is then open.
        """
        verdicts: list[Verdict] = [None] * len(rows)
        waiting = [range(len(rows))] if rows else []
        samples: list[range] | None = None
        while waiting or samples:
            if samples is None and evidence.is_against_request:
                waiting, samples = without_samples(waiting, evidence)
            if samples and not evidence.is_against_request:  # one of them was accepted, or refused in other words
                waiting, samples = waiting + samples, []
            if not samples and evidence.is_against_request:
                yield from self._undecided(evidence)
                go_on()
            part = samples.pop() if samples else waiting.pop()
            found = self.attempt(rows, part, request_of, post, evidence)
            if found is None:
                middle = part.start + len(part) // 2
                waiting += [range(middle, part.stop), range(part.start, middle)]
                continue
            verdicts[part.start : part.stop], doubtful = found
            answered(part.start, verdicts[part.start : part.stop], doubtful)
        if rows:
            yield from self._undecided(evidence)
        return verdicts

    def _undecided(self, evidence: Evidence) -> Generator[StopSendingError, None, None]:
        """Yield as long as it cannot be told whether the rows are at fault or the request."""
        while evidence.is_against_request:
            yield StopSendingError(self._destination, 400, REQUEST_AT_FAULT)

    def attempt(
        self, rows: Sequence[bytes], part: range, request_of: RequestOf, post: Post, evidence: Evidence
    ) -> tuple[list[Verdict], bool] | None:
        """Send one request: its verdicts, and whether they are doubtful; None: it is to be sent by halves."""
        request = request_of(rows[part.start : part.stop])
        if len(request.body) > self._limits.size and len(part) > 1:
            return None
        if len(request.body) > self._limits.row_size:
            return [(Refusal("too_large"),)], False
        try:
            answer, attempts = post(request, part)
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


def without_samples(waiting: Sequence[range], evidence: Evidence) -> tuple[list[range], list[range]]:
    """Take single rows from all over the parts of a batch that still wait: (the other parts, these rows).

    >>> without_samples([range(2, 4), range(1, 2)], Evidence())
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
