"""The interface between the engine and a destination.

A :class:`Destination` defines its kinds of records and connects to its API. A :class:`Kind` defines, in pure functions,
what a record becomes, how rows make a request, and how to read a result for each row from an answer. The engine does
the rest: lanes, batches, retries, quotas, bisection, ledger, rejects, accounting, STATE, dry runs, signals, commands.

There are two kinds of memory. ``once``: a record makes events, each of which is delivered once and never changes.
``newest``: a record is a version of something, and only the newest version is delivered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec

from singer_delivery.exact_json import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from threading import Event

    from singer_delivery.errors import Filtered, Finding, Rejected

Record = dict[str, Any]
Note = tuple[str, str]
"""(code, field): a value that was left out of a record that is sent. Field names only, never values."""


class Limits(NamedTuple):
    """Limits of one request: number of *rows*, *size* in bytes; a single row may have *row_size* bytes."""

    rows: int = 1_000
    size: int = 5_000_000
    row_size: int = 5_000_000


DEFAULT_LIMITS = Limits()


class Group(NamedTuple):
    """Rows that may share a request: of one kind and one *variant* of it (such as those with a flag)."""

    kind: str
    variant: str = ""


class Request(NamedTuple):
    """One request. *name*: its name in the summary. *path*: appended to the API's address."""

    name: str
    path: str
    body: bytes
    method: str = "POST"


class Response(NamedTuple):
    """A complete answer. The names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Refusal(NamedTuple):
    """Why a row was refused: our reason code, the field, and the API's own words.

    *event*: the position of the event in its row; None: the whole row. *text* may quote the record: it is written to
    rejects, never to a log.
    """

    code: str
    event: int | None = None
    field: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a request: position of the row, from 0 -> why it was refused, not empty; all others were accepted.

    *doubtful*: an earlier attempt may have been applied, too.
    """

    refused: Mapping[int, Sequence[Refusal]]
    doubtful: bool = False


class Job(NamedTuple):
    """An accepted request that the API processes asynchronously; *id*: the API's id of the job, not empty."""

    id: str


class AnswerMismatchError(Exception):
    """The answer does not account for every row that was sent, so the outcome of all rows is unknown."""


class JobLostError(Exception):
    """The API no longer knows the job: the outcome of its rows is unknown."""

    def __init__(self) -> None:
        super().__init__(
            "the API no longer knows a job that it accepted: the outcome of its rows is unknown; run again"
        )


class JobUnfinishedError(Exception):
    """The API works on a job for longer than `Kind.longest_job_seconds`; the next run follows it further."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a job is not finished after {seconds:.0f} s; it stays open: run again later to follow it")


class RowRefusedError(Exception):
    """The whole request is refused because of one of its rows, which is not named.

    *text*: the API's words, which may quote the row: they are compared and kept with rejects, never logged.
    """

    def __init__(self, text: str) -> None:
        super().__init__("a refusal that names no row")
        self.text = text


class UnclearRefusalError(Exception):
    """Not accepted, possibly because of a row: an undocumented status, or no usable answer.

    *why*: the error to end the run with if nothing else is accepted either. *text*: the answer, for rejects only.
    *sent*: the request may still have been applied.
    """

    def __init__(self, why: Exception, text: str, *, sent: bool) -> None:
        super().__init__(str(why))
        self.why = why
        self.text = text
        self.sent = sent


class StopSendingError(Exception):
    """The request itself is refused, because of its credentials or its form; so would be every further one."""

    def __init__(self, destination: str, status: int, advice: str) -> None:
        super().__init__(f"{destination} refuses every request (status {status}): {advice}")
        self.status = status


class Again(Exception):
    """The attempt failed, and may be retried. *may_have_applied*: it is unknown whether the request was applied.

    *may_be_a_row*: the rows of the request may have caused the failure.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        *,
        may_have_applied: bool,
        may_be_a_row: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.may_have_applied = may_have_applied
        self.may_be_a_row = may_be_a_row


class MadeEvent(msgspec.Struct, gc=False):
    """One event of a record: its *line* (1-based; None: the whole record), its type, and its encoded bytes."""

    line: int | None
    type: str
    body: bytes


class StagedEvents(msgspec.Struct):
    """The events of one record.

    *person*: what decides the order: rows of one person are sent one after another, those of one *variant* in the order
    of the input. *identifiers*: whose they are, encoded. *rejected* and *filtered*: (line, type, why) of the events
    that are not sent. *facts*: sentences that the run says once.
    """

    person: str
    identifiers: bytes
    events: Sequence[MadeEvent]
    rejected: Sequence[tuple[int | None, str, Rejected]] = ()
    filtered: Sequence[tuple[int | None, str, Filtered]] = ()
    notes: Sequence[Note] = ()
    variant: str = ""
    facts: Sequence[str] = ()


class Version(Protocol):
    """A record of kind ``newest``, encoded so that single opt-ins can be left out at the last moment."""

    @property
    def optins(self) -> Mapping[str, tuple[bool, str]]:
        """Attribute -> (opted in, the consent behind it: its word, its time, the time of a suppression; if available).

        The word ``NEVER_SUBSCRIBED`` means that the person has not decided yet.
        """

    @property
    def size(self) -> int:
        """Upper bound of the row's bytes."""

    def row(self, optins: Mapping[str, bool]) -> bytes | None:
        """The row with these opt-ins; None if nothing is left to send."""

    def optins_row(self, optins: Mapping[str, bool]) -> bytes:
        """A row with only these opt-ins."""

    def clearing(self) -> bytes | None:
        """The row of the second request (`NewestKind.clearing`), if there is one."""


class PlainVersion(NamedTuple):
    """A version without opt-ins, sent by one request: its encoded row."""

    body: bytes

    @property
    def optins(self) -> Mapping[str, tuple[bool, str]]:
        """None."""
        return {}

    @property
    def size(self) -> int:
        """Bytes of the row, the separating comma included."""
        return len(self.body) + 1

    def row(self, optins: Mapping[str, bool]) -> bytes | None:  # noqa: ARG002  (there are none)
        """Return the row."""
        return self.body

    def optins_row(self, optins: Mapping[str, bool]) -> bytes:  # noqa: ARG002  (there are none)
        """The row; never asked for, as there are no opt-ins."""
        return self.body

    def clearing(self) -> bytes | None:
        """No second request."""
        return None


class StagedVersion(msgspec.Struct):
    """One version. *content*: what makes it another version than the last one, in pieces.

    *email*, *phone_number*: the person's addresses; the ledger keeps their digests, so that a change is noticed and
    `forget` finds them.
    """

    person: str
    version: Version
    content: Sequence[bytes]
    email: str | None = None
    phone_number: str | None = None
    notes: Sequence[Note] = ()
    variant: str = ""
    facts: Sequence[str] = ()


class Kind(ABC):
    """Defines how records of one kind are delivered. All methods are pure, and called from several threads."""

    memory: ClassVar[Literal["once", "newest"]]
    rank: ClassVar[int] = 0
    """Of the rows of one person that wait at the same time, those of kinds with a lower rank are sent first."""
    longest_job_seconds: ClassVar[float] = 86_400.0
    """How long a job is followed before the run fails; it stays open, and the next run follows it further."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    def limits(self, variant: str) -> Limits:  # noqa: ARG002  (for kinds whose variants differ)
        """Limits of one request."""
        return self._limits

    def shown(self, variant: str, row: bytes | None, clearing: bytes | None) -> dict[str, Any]:  # noqa: ARG002
        """What a preview shows of a row: name -> value; a ``row`` or ``user`` is shown in full."""
        return {"row": decode(row)} if row else {}

    @abstractmethod
    def request(self, variant: str, rows: Sequence[bytes]) -> Request:
        """Make the request for some rows."""

    @abstractmethod
    def read(self, response: Response, sent: int) -> Answer | Job:
        """Read the answer to a request of *sent* rows.

        Raises:
            RowRefusedError: A row is at fault, but not named: the engine finds it by bisection.
            UnclearRefusalError: A row may be at fault: bisected, too, but blamed only if other rows are accepted.
            StopSendingError: The request itself is refused.
            Again: A retry may succeed. Statuses that always mean this never come here (`Transport`).
            AnswerMismatchError: The answer does not account for every row.
        """

    def follow(self, job: Job, answers: Sequence[Response], sent: int) -> Request | Answer:
        """Follow a job: return the next request (the first with no *answers*), or the result once it is finished.

        If the request equals the last one, it is repeated after a pause, and its answer replaces the last answer; any
        other request, such as the next page of errors, is sent at once, and its answer is added; it must not be an
        earlier one.

        Raises:
            JobLostError: The API no longer knows the job.
            RowRefusedError: The job failed as a whole because of a row that is not named, and nothing was applied.
            StopSendingError, AnswerMismatchError: As `read`; the job stays open.
        """
        raise NotImplementedError


class OnceKind(Kind):
    """Events: each is delivered once."""

    memory = "once"

    @abstractmethod
    def stage(self, record: Record, key: str, now: float) -> StagedEvents:
        """Make the events of a record.

        Raises:
            Filtered: The settings leave it out.
            Rejected: It cannot be sent because of its content.
        """

    def row(self, identifiers: bytes, events: Sequence[bytes]) -> bytes:
        """Make one row of events that have the same identifiers."""
        return identifiers + b"".join(events)

    def renumbered(self, body: bytes, old: int | None, new: int | None) -> bytes:  # noqa: ARG002  (see below)
        """The bytes that an event would have under another line number, if these contain it."""
        return body


class NewestKind(Kind):
    """Versions: the newest is delivered, and never an older one after it."""

    memory = "newest"

    @abstractmethod
    def stage(self, record: Record, key: str, now: float) -> StagedVersion:
        """Make the version of a record; raises as `OnceKind.stage`."""

    def clearing(self, rows: Sequence[bytes]) -> Request:
        """Make the second request (rows from `Version.clearing`), sent once the first was accepted."""
        raise NotImplementedError

    def read_clearing(self, response: Response, sent: int) -> Answer:
        """Read the answer to the second request; raises as `read`."""
        raise NotImplementedError


class Transport(Protocol):
    """Sends requests to the API; used by several threads."""

    def send(
        self,
        request: Request,
        rows: int,
        read: Callable[[Response, int], Answer | Job],
        before_retry: Callable[[], None] = lambda: None,
        *,
        hurried: bool = False,
    ) -> tuple[Answer | Job, int]:
        """Send until there is an answer; returns the result of *read*, and the number of attempts.

        *before_retry* is called before each further attempt, and may raise to cancel the request. *hurried*: the retry
        budget is short. If it is spent on failures that may be a row's fault, raises `UnclearRefusalError`.
        """


class Watch(Protocol):
    """Looks for the sources of a mapping in the input, to report misspelt ones (`mapping.sightings`)."""

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:
        """Start watching a stream; returns a function to call with each record."""

    def slips(self, kind: str, schema: Mapping[str, Any]) -> Iterable[str]:
        """Warnings for sources that nearly match a name of the SCHEMA, in rows for streams of this kind."""

    def none_met(self) -> Mapping[str, str]:
        """Stream -> warning, for streams whose records have nothing that is mapped."""

    def missing(self) -> Mapping[str, Sequence[Any]]:
        """Stream -> the sources that no record had, each possibly with a *suggestion*."""

    def slipped(self) -> Mapping[str, int]:
        """Stream -> number of its records left out because of a misspelt name."""


class NoWatch:
    """For destinations whose mapping has no sources to look for."""

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:  # noqa: ARG002
        """Watch nothing."""
        return lambda _: None

    def slips(self, kind: str, schema: Mapping[str, Any]) -> Iterable[str]:  # noqa: ARG002
        """Nothing."""
        return ()

    def none_met(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def missing(self) -> Mapping[str, Sequence[Any]]:
        """Nothing."""
        return {}

    def slipped(self) -> Mapping[str, int]:
        """Nothing."""
        return {}


class Destination(ABC):
    """The API that the records of a run are delivered to; made from the run's settings."""

    name: ClassVar[str]
    """Name in messages."""
    prefix: ClassVar[str]
    """Prefix of the ledger's table names."""
    remedies: ClassVar[Mapping[str, str]] = {}
    """Reason code -> what to do about it, in addition to the engine's (`accounts.remedies`)."""
    note_hints: ClassVar[Mapping[str, str]] = {}
    """Note code -> warning, logged once; ``{field}`` is the note's field."""

    @property
    @abstractmethod
    def kinds(self) -> Mapping[str, Kind]:
        """Name (as in the setting ``stream_kinds``) -> kind."""

    @abstractmethod
    def connect(self, stopping: Event) -> Transport:
        """Connect to the API; *stopping* ends waits early."""

    def try_credentials(self, transport: Transport) -> Iterator[Finding]:
        """Check the credentials, without writing anything."""
        raise NotImplementedError

    def watch(self) -> Watch:
        """Make the watch for the sources of the mapping."""
        return NoWatch()

    def not_mapped(self, record: Record) -> list[str]:  # noqa: ARG002  (for destinations that know them)
        """The fields of a record that no mapping names, for a preview."""
        return []

    def facts(self) -> Iterator[str]:
        """Warnings that every run logs at its start."""
        return iter(())
