"""Asynchronous jobs: each is stored in the ledger, and followed to its end, even across restarts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from singer_delivery.destination import (
    Answer,
    AnswerMismatchError,
    Job,
    JobLostError,
    JobUnfinishedError,
    RowRefusedError,
    UnclearRefusalError,
)
from singer_delivery.disclosure import shown
from singer_delivery.logs import log
from singer_delivery.sending.answers import id_of, reading, refused_events, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from singer_delivery.destination import Kind, Request, Response, Transport
    from singer_delivery.memory.ledger import Ledger

FIRST_POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 30.0

FIRST_REPORT_SECONDS = 60.0
"""A job that takes this long is reported, and again whenever it has taken twice as long."""


class Jobs:
    """Follows jobs; shared by all lanes.

    Args:
        transport: Sends the requests about a job.
        ledger: Stores the jobs; None: they are not stored, and unknown after a crash.
        kinds: Name -> kind.
        wait: Waits some seconds; raises if the run is asked to stop.
    """

    def __init__(
        self, transport: Transport, ledger: Ledger | None, kinds: Mapping[str, Kind], wait: Callable[[float], None]
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._kinds = kinds
        self._wait = wait
        self._resuming = threading.Lock()
        self._resumed = threading.Event()

    def submit(self, kind: Kind, variant: str, job: Job, rows: Sequence[Sequence[bytes]]) -> bytes | None:
        """Store a job; *rows*: per row of the request, its ledger keys.

        Raises:
            AnswerMismatchError: The job has no usable id.
        """
        job_id = id_of(job)
        if self._ledger is None:
            return None
        name = next(name for name, known in self._kinds.items() if known is kind)
        return self._ledger.jobs.submit(job_id, name, variant, rows)

    def end(self, key: bytes | None) -> None:
        """Delete a job once the ledger has its outcome."""
        if self._ledger is not None and key is not None:
            self._ledger.jobs.end(key)

    def follow(self, kind: Kind, job: Job, sent: int) -> Answer:
        """Poll until the job is finished, and read every page of its errors.

        Raises:
            JobLostError: The API no longer knows the job.
            JobUnfinishedError: It takes too long.
            AnswerMismatchError: An answer cannot be read, or its pages lead back to an earlier one.
            Exception: As raised by the transport.
        """
        asked: dict[Request, Response] = {}
        last: Request | None = None
        pause, waited, report = FIRST_POLL_SECONDS, 0.0, FIRST_REPORT_SECONDS
        while not isinstance(step := self._next(kind, job, [*asked.values()], sent), Answer):
            if step == last:
                if waited >= kind.longest_job_seconds:
                    raise JobUnfinishedError(waited)
                if waited >= report:
                    log.info("a job of %d rows is not finished after %.0f s", sent, waited)
                    report = 2 * waited
                self._wait(pause)
                waited += pause
                pause = min(2 * pause, LONGEST_POLL_SECONDS)
            elif step in asked:
                raise AnswerMismatchError("the answers about a job lead back to an earlier page, so they have no end")
            last = step
            asked[step] = self.ask(step)
        verdicts_of(step, sent)
        return step

    def _next(self, kind: Kind, job: Job, answers: Sequence[Response], sent: int) -> Request | Answer:
        with reading(f"an answer about a job of {sent} rows"):
            return kind.follow(job, answers, sent)

    def ask(self, request: Request) -> Response:
        """Send one request about a job."""
        responses: list[Response] = []

        def keep(response: Response, _sent: int) -> Answer:
            responses.append(response)
            return Answer({})

        try:
            self._transport.send(request, 0, keep)
        except UnclearRefusalError as error:  # no rows are sent here that could be at fault
            raise error.why from None
        return responses[-1]

    def resume(self) -> None:
        """Follow the jobs left by earlier runs, before anything new is sent; done once per run."""
        if self._resumed.is_set() or self._ledger is None:
            return
        with self._resuming:
            if not self._resumed.is_set():
                self._resume(self._ledger)
                self._resumed.set()

    def _resume(self, ledger: Ledger) -> None:
        for open_job in ledger.jobs.open():
            kind = self._kinds.get(open_job.kind)
            if kind is None:
                log.warning(
                    "a job of an earlier run stays open: these settings have no kind `%s`", shown(open_job.kind)
                )
                continue
            log.info("following a job of an earlier run to its end (%d rows)", len(open_job.rows))
            try:
                answer = self.follow(kind, Job(open_job.id), len(open_job.rows))
            except JobLostError:
                log.warning(
                    "a job of an earlier run is lost; the outcome of its %d rows is unknown", len(open_job.rows)
                )
            except (AnswerMismatchError, UnclearRefusalError) as error:
                log.warning(
                    "a job of an earlier run is given up, as its result cannot be read; the outcome of its %d rows is "
                    "unknown: %s",
                    len(open_job.rows),
                    error,
                )
            except RowRefusedError:  # its rows go again, and the one at fault is found then
                _settle(ledger, kind, [], [key for keys in open_job.rows for key in keys])
            else:
                _settle(ledger, kind, *settled_keys(open_job.rows, answer))
            ledger.jobs.end(open_job.key)


def _settle(ledger: Ledger, kind: Kind, delivered: Sequence[bytes], refused: Sequence[bytes]) -> None:
    """Store the outcome of events; versions go again anyway."""
    if kind.memory == "once":
        ledger.events.settle(delivered, refused)


def settled_keys(rows: Sequence[Sequence[bytes]], answer: Answer) -> tuple[list[bytes], list[bytes]]:
    """The ledger keys that were delivered, and those that were refused.

    >>> from singer_delivery.destination import Refusal
    >>> settled_keys([[b"a"], [b"b", b"c"]], Answer({1: [Refusal("refused", event=1)]}))
    ([b'a', b'b'], [b'c'])
    """
    delivered: list[bytes] = []
    refused: list[bytes] = []
    for place, keys in enumerate(rows):
        found = refused_events(answer.refused.get(place, ()), len(keys))
        for number, key in enumerate(keys):
            (refused if number in found else delivered).append(key)
    return delivered, refused
