"""From encoded users to one verdict for each of them: body, request, refusals by position, bisection of a 400."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_insiderone.answers import Refusal
from target_insiderone.client import RowRefusedError, StopSendingError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from target_insiderone.answers import Outcome

    BodyOf = Callable[[Sequence[bytes]], bytes]
    Post = Callable[[bytes, int], tuple[Outcome, int]]
    Verdict = Sequence[Refusal] | None
    Answered = Callable[[int, Sequence[Verdict], bool], None]

MAX_BODY_BYTES = 5_000_000
"""The API's limit. Source: Upsert User Data."""

SAME_TEXT_LIMIT = 20
"""As many rows isolated by bisection, all with one text, say that the request is at fault and not the rows."""


class Sender:
    """Sends users and reads the answers; belongs to one lane.

    Args:
        requests: Counts requests by *name*, and retries.
        name: ``upsert`` or ``attribute/delete``.
    """

    def __init__(self, requests: Counter[str], name: str) -> None:
        self._requests = requests
        self._name = name
        self._isolated: list[str] = []

    def send(
        self, users: Sequence[bytes], body_of: BodyOf, post: Post, answered: Answered, start: int = 0
    ) -> list[Verdict]:
        """One verdict for each of *users*, in their order: the objections, or None where it was accepted.

        A 400 that names no row is narrowed down by halves, so that one bad row costs itself only. As soon as a request
        is answered, *answered* is told: the position of its first user (counted from *start*), the verdicts, and
        whether an earlier attempt of it may have been applied, too.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: As the client does; what became of the users
                that *answered* was not told of is then open.
        """
        if not users:
            return []
        verdicts: list[Verdict]
        body = body_of(users)
        if len(body) > MAX_BODY_BYTES:
            if len(users) > 1:
                return self._halves(users, body_of, post, answered, start)
            verdicts = [(Refusal("too_large"),)]
            answered(start, verdicts, False)
            return verdicts
        try:
            outcome, attempts = post(body, len(users))
        except RowRefusedError as error:
            self._requests[self._name] += 1
            if len(users) > 1:
                return self._halves(users, body_of, post, answered, start)
            verdicts, doubtful = [self._isolate(error)], False
        else:
            self._requests[self._name] += 1
            if attempts > 1:
                self._requests["retries"] += attempts - 1
            verdicts, doubtful = [outcome.refused.get(place) for place in range(len(users))], outcome.doubtful
        answered(start, verdicts, doubtful)
        return verdicts

    def _halves(
        self, users: Sequence[bytes], body_of: BodyOf, post: Post, answered: Answered, start: int
    ) -> list[Verdict]:
        middle = len(users) // 2
        first = self.send(users[:middle], body_of, post, answered, start)
        return [*first, *self.send(users[middle:], body_of, post, answered, start + middle)]

    def _isolate(self, error: RowRefusedError) -> Sequence[Refusal]:
        """A row found to blame; unless the first rows found all earn the same words, which then concern the request."""
        if len(self._isolated) < SAME_TEXT_LIMIT:
            self._isolated.append(error.text)
            if len(self._isolated) == SAME_TEXT_LIMIT and len(set(self._isolated)) == 1:
                raise StopSendingError(
                    400,
                    f"the first {SAME_TEXT_LIMIT} rows tried alone are refused with one text, so it is not the rows",
                )
        return (Refusal("refused_request", text=error.text),)
