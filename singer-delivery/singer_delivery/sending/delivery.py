"""Shared by the delivery of both kinds: sending rows, keeping rejects, settling records."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from singer_delivery.accounts.rejects import reject_of, reject_of_events
from singer_delivery.destination import Answer, Job
from singer_delivery.sending.answers import reading
from singer_delivery.sending.sender import Evidence, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from singer_delivery.accounts.accounting import Outcome, Tally
    from singer_delivery.accounts.checkpoints import Checkpoints
    from singer_delivery.accounts.progress import Progress
    from singer_delivery.accounts.rejects import RejectsFile
    from singer_delivery.destination import Kind, Limits, Refusal, Request, Response, Transport
    from singer_delivery.memory.ledger import Ledger
    from singer_delivery.sending.answers import Verdict
    from singer_delivery.sending.items import RejectedEvent, Source
    from singer_delivery.sending.jobs import Jobs
    from singer_delivery.sending.sender import Answered, Sending


@dataclass(slots=True)
class SharedParts:
    """Thread-safe objects shared by all lanes; *ledger* is None when switched off.

    *remedies*: reason code -> what to do. *content_of*: the ledger's digest of an event's bytes. *skip_unchanged*: the
    setting of this name.
    """

    destination: str
    transport: Transport
    jobs: Jobs
    ledger: Ledger | None
    rejects: RejectsFile
    checkpoints: Checkpoints
    progress: Progress
    remedies: Mapping[str, str]
    content_of: Callable[[bytes], bytes]
    skip_unchanged: bool
    _evidence: dict[tuple[Kind, str], Evidence] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def evidence(self, kind: Kind, form: str) -> Evidence:
        """The evidence on whether the API accepts requests of one *form* at all."""
        with self._lock:
            return self._evidence.setdefault((kind, form), Evidence(self.destination))


class Delivery:
    """Base class of both deliveries; *tally* belongs to one lane."""

    may_repeat: ClassVar[bool] = False
    """Whether an accepted row may be sent again, to see whether requests are still accepted."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        self.shared = shared
        self.tally = tally

    def send(
        self,
        kind: Kind,
        variant: str,
        rows: Sequence[bytes],
        keys: Sequence[Sequence[bytes]],
        answered: Answered,
        before_retry: Callable[[], None] = lambda: None,
    ) -> Sending:
        """Send rows; *answered* and the verdicts are as in :meth:`Sender.send`. *keys*: per row, its ledger keys."""
        jobs, open_jobs = self.shared.jobs, []

        def read(response: Response, sent: int) -> Answer | Job:
            with reading(f"the answer to {sent} rows, with status {response.status},"):
                return kind.read(response, sent)

        def post(request: Request, part: range, *, hurried: bool) -> tuple[Answer, int]:
            answer, attempts = self.shared.transport.send(request, len(part), read, before_retry, hurried=hurried)
            if isinstance(answer, Job):
                open_jobs.append(jobs.submit(kind, variant, answer, keys[part.start : part.stop]))
                answer = jobs.follow(kind, answer, len(part))
            return answer, attempts

        def answered_at_last(start: int, verdicts: Sequence[Verdict], doubtful: bool) -> None:
            answered(start, verdicts, doubtful)
            while open_jobs:
                jobs.end(open_jobs.pop())

        evidence, sender = self.shared.evidence(kind, variant), self.sender(kind.limits(variant))
        return sender.send(rows, partial(kind.request, variant), post, answered_at_last, evidence, before_retry)

    def sender(self, limits: Limits) -> Sender:
        """Make a sender with these limits."""
        return Sender(self.tally.requests, limits, may_repeat=self.may_repeat)

    def reject(self, source: Source, refusal: Refusal) -> None:
        """Keep a refused record with the reason."""
        why = refusal.code, refusal.field, self.shared.remedies.get(refusal.code, "")
        self.shared.rejects.add(reject_of(source, *why, answer=refusal.text or None))

    def reject_events(self, source: Source, events: Sequence[RejectedEvent]) -> None:
        """Keep a record with those of its events that were rejected or refused."""
        self.shared.rejects.add(reject_of_events(source, events))
        for event in events:
            self.tally.event(source.stream, "rejected", event.code)

    def settle(self, settled: Sequence[tuple[Source, Outcome, str]]) -> None:
        """Count the outcomes, then release the STATEs that waited for them."""
        self.tally.records.update([(source.stream, outcome, reason) for source, outcome, reason in settled])
        self.tally.settled.update([source.stream for source, _, _ in settled])
        reached = self.shared.progress.reached
        for source, outcome, reason in settled:
            if source.stream not in reached:
                self.shared.progress.note(source.stream, outcome, reason)
            if source.arrival.settled is not None:
                source.arrival.settled(outcome, reason)
        self.shared.checkpoints.settle([source.segment for source, _, _ in settled])


def answered_by(answer: Answer | Job) -> Answer:
    """The answer to a request that does not start a job."""
    if isinstance(answer, Answer):
        return answer
    raise TypeError("a job is not a valid answer to this request")
