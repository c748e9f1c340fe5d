"""The seam: what a destination says of itself; everything else is the engine's business.

A :class:`Destination` names its kinds of records and opens the way to its API. A :class:`Kind` says, in pure functions,
what a record becomes, how rows make a request, and what an answer says of each row. The engine owns lanes, batches,
retries, quotas, bisection, the ledger, rejects, accounts, STATE, dry runs, signals and commands.

There are two kinds of memory. ``once``: a record makes events, each of which is delivered once and never changes.
``newest``: a record is a version of something, and the newest version is what counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from singer_delivery.exact_json import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from threading import Event

    from singer_delivery.errors import Filtered, Finding, Rejected

Record = dict[str, Any]
Note = tuple[str, str]
"""(code, field): something that was left out of a record that is sent all the same. Names of fields, never values."""


class Limits(NamedTuple):
    """What one request may hold: *rows*, and *size* in bytes; one row alone may have *row_size* bytes."""

    rows: int = 1_000
    size: int = 5_000_000
    row_size: int = 5_000_000


DEFAULT_LIMITS = Limits()


class Group(NamedTuple):
    """What may share a request: rows of one kind, and of one *variant* of it (such as those that carry a flag)."""

    kind: str
    variant: str = ""


class Request(NamedTuple):
    """One request. *name*: what the summary counts it as. *path*: appended to the API's address."""

    name: str
    path: str
    body: bytes
    method: str = "POST"


class Response(NamedTuple):
    """An answer that came whole. The names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Refusal(NamedTuple):
    """Why a row was refused: a code of ours, the field, and the API's own words.

    *event*: the position of the event in its row; None: the whole row. *text* may quote the record: it goes into
    rejects, never into a log.
    """

    code: str
    event: int | None = None
    field: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request did: position of the row -> why it was refused; all others were accepted.

    *doubtful*: an earlier attempt may have been applied, too.
    """

    refused: Mapping[int, Sequence[Refusal]]
    doubtful: bool = False


class Job(NamedTuple):
    """A request that was taken, and is worked on elsewhere; *id* is what the API calls it."""

    id: str


class AnswerMismatchError(Exception):
    """The answer does not account for every row that was sent: nothing can be said of any of them."""


class JobLostError(Exception):
    """The API does not know the job any more: what became of its rows is open."""

    def __init__(self) -> None:
        super().__init__("a job that was taken is not known any more: what became of its rows is open; run again")


class RowRefusedError(Exception):
    """The whole request is refused for the sake of one of its rows, which is not named.

    *text* is the API's, which may quote the row: it is compared and kept with rejects, never logged.
    """

    def __init__(self, text: str) -> None:
        super().__init__("a refusal that names no row")
        self.text = text


class UnclearRefusalError(Exception):
    """Not accepted, for a reason that may be one of its rows: a status that no document names, or no good answer.

    *why*: what the run ends with if nothing else passes either. *text* says what came, for the rejects alone. *sent*:
    it may have been applied all the same.
    """

    def __init__(self, why: Exception, text: str, *, sent: bool) -> None:
        super().__init__(str(why))
        self.why = why
        self.text = text
        self.sent = sent


class StopSendingError(Exception):
    """The request is refused as such, by its credentials or its form: whatever is sent next would be refused, too."""

    def __init__(self, destination: str, status: int, advice: str) -> None:
        super().__init__(f"{destination} refuses every request (status {status}): {advice}")
        self.status = status


class Again(Exception):
    """The attempt failed, and may be made again. *may_have_applied*: nobody knows whether it did what was asked.

    *may_be_a_row*: what the request holds may have caused it.
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


class MadeEvent(NamedTuple):
    """One event of a record: its *line* (1-based; None: the whole record), its type, and its encoded bytes."""

    line: int | None
    type: str
    body: bytes


class StagedEvents(NamedTuple):
    """The events of one record.

    *person*: what decides the order: rows of one person are sent one after another. *identifiers*: whose they are,
    encoded. *rejected* and *filtered*: (line, type, why) of the events that are not sent. *facts*: sentences that the
    run says once.
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
    """What a record of kind ``newest`` becomes; encoded, so that single opt-ins can be left out at the last moment."""

    @property
    def optins(self) -> Mapping[str, tuple[bool, str]]:
        """Attribute -> (opted in, the consent behind it: its word, its time, that of a suppression; what there is).

        The word ``NEVER_SUBSCRIBED`` says that the person has not decided yet.
        """

    @property
    def size(self) -> int:
        """Bytes of the row, at most."""

    def row(self, optins: Mapping[str, bool]) -> bytes | None:
        """The row with these opt-ins; None where nothing is left to send."""

    def optins_row(self, optins: Mapping[str, bool]) -> bytes:
        """A row with these opt-ins and nothing else."""

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
        """The row."""
        return self.body

    def optins_row(self, optins: Mapping[str, bool]) -> bytes:  # noqa: ARG002  (there are none)
        """The row; never asked for, as there are no opt-ins."""
        return self.body

    def clearing(self) -> bytes | None:
        """No second request."""
        return None


class StagedVersion(NamedTuple):
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
    """How records of one kind are delivered. All its methods are pure, and called from several threads."""

    memory: ClassVar[Literal["once", "newest"]]
    rank: ClassVar[int] = 0
    """Where one person has rows of several kinds in one run, those of the lower rank are sent first."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    def limits(self, variant: str) -> Limits:  # noqa: ARG002  (for those whose variants differ)
        """What one request may hold."""
        return self._limits

    def shown(self, variant: str, row: bytes | None, clearing: bytes | None) -> dict[str, Any]:  # noqa: ARG002
        """What a preview shows of a row, by name; a ``row`` or ``user`` is shown whole."""
        return {"row": decode(row)} if row else {}

    @abstractmethod
    def request(self, variant: str, rows: Sequence[bytes]) -> Request:
        """Make the request of some rows."""

    @abstractmethod
    def read(self, response: Response, sent: int) -> Answer | Job:
        """Read the answer to a request of *sent* rows.

        Raises:
            RowRefusedError: A row is to blame, and not named: the engine finds it by halves.
            UnclearRefusalError: A row may be to blame: found by halves, too, and only where others pass.
            StopSendingError: The request is refused as such.
            Again: Another attempt may succeed. Statuses that always mean so never come here (`Transport`).
            AnswerMismatchError: The answer does not account for every row.
        """

    def follow(self, job: Job, answers: Sequence[Response], sent: int) -> Request | Answer:
        """Follow a job: what to ask next (first with no *answers*), or what it did once it is finished.

        A request that was just made is repeated after a pause, and its answer replaces the one before; another one,
        such as the next page of errors, follows at once, and its answer is added.

        Raises:
            JobLostError: The API does not know the job any more.
        """
        raise NotImplementedError


class OnceKind(Kind):
    """Events: each is sent once."""

    memory = "once"

    @abstractmethod
    def stage(self, record: Record, key: str, now: float) -> StagedEvents:
        """Make the events of a record.

        Raises:
            Filtered: The settings leave it out.
            Rejected: Its content cannot be sent.
        """

    def row(self, identifiers: bytes, events: Sequence[bytes]) -> bytes:
        """Make one row of events that have the same identifiers."""
        return identifiers + b"".join(events)

    def renumbered(self, body: bytes, old: int | None, new: int | None) -> bytes:  # noqa: ARG002  (see below)
        """The bytes that an event would have under another line number, for those whose bytes hold it."""
        return body


class NewestKind(Kind):
    """Versions: the newest is sent, and an older one never after it."""

    memory = "newest"

    @abstractmethod
    def stage(self, record: Record, key: str, now: float) -> StagedVersion:
        """Make the version that a record holds; raises as `OnceKind.stage`."""

    def clearing(self, rows: Sequence[bytes]) -> Request:
        """Make the request of second rows (`Version.clearing`), which follows once the first was accepted."""
        raise NotImplementedError

    def read_clearing(self, response: Response, sent: int) -> Answer:
        """Read the answer to it; raises as `read`."""
        raise NotImplementedError


class Transport(Protocol):
    """The way to the API; used by several threads."""

    def send(
        self,
        request: Request,
        rows: int,
        read: Callable[[Response, int], Answer | Job],
        before_retry: Callable[[], None] = lambda: None,
        *,
        hurried: bool = False,
    ) -> tuple[Answer | Job, int]:
        """Send until there is an answer; returns what *read* makes of it, and the number of attempts.

        *before_retry* is called before each further attempt, and may raise to call the request off. *hurried*: the
        retries have a short budget. Where they are spent on what may be a row's fault, it raises `UnclearRefusalError`.
        """


class Watch(Protocol):
    """Looks for the sources of a mapping in the input, so that a misspelt one is named (`mapping.sightings`)."""

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:
        """Begin to look in a stream; returns what is to be told of each record."""

    def slips(self, kind: str, schema: Mapping[str, Any]) -> Iterable[str]:
        """What is nearly a name of the SCHEMA, in the rows that apply to streams of this kind."""

    def none_met(self) -> Mapping[str, str]:
        """Stream -> what is to be said of it, where nothing that is mapped was met in its records."""

    def missing(self) -> Mapping[str, Sequence[Any]]:
        """Stream -> the sources that no record had; each has a *suggestion*, or none."""

    def slipped(self) -> Mapping[str, int]:
        """Stream -> how many of its records a misspelt name has kept out."""


class NoWatch:
    """For a destination whose mapping has no sources to look for."""

    def open(self, stream: str, kind: str, schema: Mapping[str, Any]) -> Callable[[Record], None]:  # noqa: ARG002
        """Look for nothing."""
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
    """What the records of a run are delivered to; made from its settings."""

    name: ClassVar[str]
    """What messages call it."""
    prefix: ClassVar[str]
    """What the names of the ledger's tables begin with."""
    remedies: ClassVar[Mapping[str, str]] = {}
    """Reason code -> what to do about it, beside those of the engine (`accounts.remedies`)."""
    note_hints: ClassVar[Mapping[str, str]] = {}
    """Code of a note -> what a run says of it, once; ``{field}`` is the note's field."""

    @property
    @abstractmethod
    def kinds(self) -> Mapping[str, Kind]:
        """Name (setting ``stream_kinds``) -> how such records are delivered."""

    @abstractmethod
    def connect(self, stopping: Event) -> Transport:
        """Open the way to the API; *stopping* ends its waits early."""

    def try_credentials(self, transport: Transport) -> Iterator[Finding]:
        """Ask the API whether it knows us, without writing anything."""
        raise NotImplementedError

    def watch(self) -> Watch:
        """What looks for the sources of the mapping."""
        return NoWatch()

    def not_mapped(self, record: Record) -> list[str]:  # noqa: ARG002  (for those that can tell)
        """The fields of a record that no mapping names, for a preview."""
        return []

    def facts(self) -> Iterator[str]:
        """What every run says at its start."""
        return iter(())
