"""Ways to break the target's guarantees on purpose; the harness must notice each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_delivery.accounts.checkpoints import Checkpoints, State
from singer_delivery.accounts.rejects import RejectsFile
from singer_delivery.memory.once_ledger import EventLedger
from singer_delivery.testing.striking import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def write_states_at_once() -> None:
    """Write each STATE before the records before it are settled."""

    def add_state(checkpoints: Checkpoints, state: State) -> None:
        checkpoints.write(state)

    replace(Checkpoints, "add_state", add_state)


def note_no_intent() -> None:
    """Tell the ledger of events only once they are delivered."""
    intend, settle = EventLedger.intend, EventLedger.settle
    held_back: dict[bytes, tuple[bytes, bytes, bytes]] = {}

    def intend_events(_: EventLedger, events: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        held_back.update((event[0], event) for event in events)

    def settle_events(ledger: EventLedger, delivered: Sequence[bytes], refused: Sequence[bytes]) -> None:
        intend(ledger, [held_back[key] for key in delivered if key in held_back])
        settle(ledger, delivered, refused)

    replace(EventLedger, "intend", intend_events)
    replace(EventLedger, "settle", settle_events)


def note_no_outcome() -> None:
    """Forget that events were delivered."""
    replace(EventLedger, "settle", lambda *_: None)


def leave_rejects_unwritten() -> None:
    """Let STATEs pass rejects that are not on the disk."""
    replace(RejectsFile, "sync", lambda _: None)


SABOTAGES: dict[str, Callable[[], None]] = {
    "states at once": write_states_at_once,
    "no intent": note_no_intent,
    "no outcome": note_no_outcome,
    "rejects unwritten": leave_rejects_unwritten,
}
