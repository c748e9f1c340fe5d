"""Runs a target's own command, as installed, with a kill at one named point.

The points within requests are those of `HttpTransport`; another transport needs its own.
"""

from __future__ import annotations

import select
import sys
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from urllib3.connection import HTTPConnection

from singer_delivery.accounts.checkpoints import Checkpoints
from singer_delivery.accounts.rejects import RejectsFile
from singer_delivery.memory import line_file
from singer_delivery.memory.once_ledger import EventLedger
from singer_delivery.memory.version_ledger import ProfileLedger
from singer_delivery.reader import MessageReader
from singer_delivery.run import Run
from singer_delivery.sending.jobs import Jobs
from singer_delivery.sending.sender import Sender
from singer_delivery.testing.points import LANE_HEADER, Orders
from singer_delivery.testing.sabotage import SABOTAGES
from singer_delivery.testing.striking import Trigger, after, before, halved, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def strike_uncommitted(trigger: Trigger) -> None:
    """Fire when a lane's transaction is about to be committed."""

    def on_commit(_connection: sa.Connection) -> None:
        if threading.current_thread().name.startswith("lane-"):
            trigger.pull()

    sa.event.listen(sa.Engine, "commit", on_commit)


def strike_waiting_answer(trigger: Trigger) -> None:
    """Fire once the first byte of an answer has arrived, but is unread."""
    original = HTTPConnection.getresponse

    def getresponse(connection: HTTPConnection) -> Any:
        if trigger.is_due():
            select.select([connection.sock], [], [])
            trigger.fire()
        return original(connection)

    replace(HTTPConnection, "getresponse", getresponse)


def strike_between_halves(trigger: Trigger) -> None:
    """Fire when one half of a bisected batch has its verdicts, but the other has not."""
    batch = threading.local()
    send, attempt = Sender.send, Sender.attempt

    def noting(sender: Sender, users: Sequence[bytes], *arguments: Any) -> Any:
        batch.users, batch.is_answered = len(users), False
        return send(sender, users, *arguments)

    def attempting(sender: Sender, users: Sequence[bytes], part: range, *arguments: Any) -> Any:
        if batch.is_answered:
            batch.is_answered = False
            trigger.pull()
        found = attempt(sender, users, part, *arguments)
        batch.is_answered = found is not None and len(part) < batch.users and None in found[0]
        return found

    replace(Sender, "send", noting)
    replace(Sender, "attempt", attempting)


def strike_answer_read(trigger: Trigger) -> None:
    """Fire before the outcome of a batch of either kind is noted."""
    before(EventLedger, "settle", trigger.pull)
    before(ProfileLedger, "remember", trigger.pull)


class TornOutput:
    """Standard output that writes the due STATE in two halves, and fires between them."""

    def __init__(self, trigger: Trigger) -> None:
        self._output = sys.stdout
        self._trigger = trigger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)

    def write(self, text: str) -> int:
        """Write a line."""
        if not self._trigger.is_due():
            return self._output.write(text)
        middle = len(text) // 2
        self._output.write(text[:middle])
        self._output.flush()
        self._trigger.fire()
        return middle + self._output.write(text[middle:])


def strike_state(trigger: Trigger) -> None:
    """Fire in the middle of a STATE."""
    sys.stdout = TornOutput(trigger)


POINTS: dict[str, Callable[[Trigger], None]] = {
    "reading_input": lambda trigger: before(MessageReader, "deserialize_json", trigger.pull),
    "before_intent": lambda trigger: before(EventLedger, "intend", trigger.pull),
    "ledger_uncommitted": strike_uncommitted,
    "intent_noted": lambda trigger: after(EventLedger, "intend", trigger.pull),
    "request_half_sent": lambda trigger: halved(
        HTTPConnection, "send", trigger, lambda data: bytes(data[-4:]) != b"\r\n\r\n"
    ),
    "answer_waiting": strike_waiting_answer,
    "answer_half_read": lambda trigger: after(HTTPConnection, "getresponse", trigger.pull),
    "answer_read": strike_answer_read,
    "part_answered": strike_between_halves,
    "outcome_noted": lambda trigger: before(Checkpoints, "settle", trigger.pull),
    "rejects_half_written": lambda trigger: halved(line_file, "write_all", trigger, lambda _: True),
    "rejects_written": lambda trigger: after(RejectsFile, "sync", trigger.pull),
    "before_state": lambda trigger: before(Run, "write_state", trigger.pull),
    "state_half_written": strike_state,
    "job_taken": lambda trigger: before(Jobs, "submit", trigger.pull),
    "job_noted": lambda trigger: after(Jobs, "submit", trigger.pull),
    "job_asked": lambda trigger: after(Jobs, "ask", trigger.pull),
    "job_finished": lambda trigger: before(Jobs, "end", trigger.pull),
}


def name_requests(run: int) -> None:
    """Add run and lane to every request, so that the journal shows which request was a lane's last."""
    original = HTTPConnection.endheaders

    def endheaders(connection: HTTPConnection, *arguments: Any, **options: Any) -> None:
        connection.putheader(LANE_HEADER, f"{run}/{threading.current_thread().name}")
        original(connection, *arguments, **options)

    replace(HTTPConnection, "endheaders", endheaders)


def run_struck(main: Callable[[], None]) -> None:
    """Set up the point named in the environment (:class:`points.Orders`), then run the target's console script."""
    orders = Orders.received()
    name_requests(orders.run)
    if orders.sabotage:
        SABOTAGES[orders.sabotage]()
    if orders.strike and orders.strike.point in POINTS:
        POINTS[orders.strike.point](Trigger(orders.strike, orders))
    main()
