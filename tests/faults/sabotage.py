"""Ways to break the target's promises on purpose: the harness must notice every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from target_insiderone.checkpoints import Checkpoints, State
from target_insiderone.ledger import Ledger
from target_insiderone.rejects import RejectsFile

if TYPE_CHECKING:
    from collections.abc import Callable


def write_states_at_once() -> None:
    """Let a STATE out before the records that stand before it are settled."""

    def add_state(checkpoints: Checkpoints, state: State) -> None:
        checkpoints._write(state)

    Checkpoints.add_state = add_state  # type: ignore[method-assign]  # the sabotage


def note_no_intent() -> None:
    """Send events that the ledger does not know of yet."""
    intend = Ledger.intend_events
    settle = Ledger.settle_events

    def settle_events(ledger: Ledger, delivered: Any, refused: Any) -> None:
        intend(ledger, [(key, key, b"") for key in delivered])
        settle(ledger, delivered, refused)

    Ledger.intend_events = lambda *_: None  # type: ignore[method-assign]  # the sabotage
    Ledger.settle_events = settle_events  # type: ignore[method-assign]  # the sabotage


def note_no_outcome() -> None:
    """Forget that events were delivered."""
    Ledger.settle_events = lambda *_: None  # type: ignore[method-assign]  # the sabotage


def leave_rejects_unwritten() -> None:
    """Let STATEs pass rejects that are not on the disk."""
    RejectsFile.sync = lambda _: None  # type: ignore[method-assign]  # the sabotage


SABOTAGES: dict[str, Callable[[], None]] = {
    "states at once": write_states_at_once,
    "no intent": note_no_intent,
    "no outcome": note_no_outcome,
    "rejects unwritten": leave_rejects_unwritten,
}
