"""Which run is struck where: a repeatable hand of kills, dealt from a seed."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from points import TARGET_POINTS, Strike
from recording import dice

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

HITS = 5
"""How often every point is struck in the bounded part."""

STRIKES_A_RUN = 3

SIGNALS = (*[signal.SIGKILL] * 4, signal.SIGTERM, signal.SIGINT)

REACH = {
    "reading_input": (4_000, 400),
    "before_intent": (20, 4),
    "ledger_uncommitted": (40, 6),
    "intent_noted": (20, 4),
    "request_half_sent": (30, 5),
    "answer_waiting": (30, 5),
    "answer_half_read": (30, 5),
    "answer_read": (30, 5),
    "part_answered": (60, 4),
    "outcome_noted": (30, 5),
    "rejects_half_written": (3, 1),
    "rejects_written": (3, 1),
    "before_state": (3, 1),
    "state_half_written": (3, 1),
}
"""Point -> up to which time it is struck: in a run from the beginning, and in one that resumes late."""


@dataclass(frozen=True)
class Plan:
    """One ordeal: the kills, one after the other, and what else is drawn from *seed*."""

    seed: int
    strikes: Sequence[Strike]

    @property
    def name(self) -> str:
        """What the test is called."""
        return f"{self.seed}-" + "-".join(strike.point for strike in self.strikes)


def strike_at(point: str, chance: random.Random, *, later: bool = False) -> Strike:
    """Draw the time and the signal of a kill at *point*."""
    return Strike(point, chance.randint(1, REACH[point][later]), chance.choice(SIGNALS))


def deal(seed: int, points: Sequence[str] = tuple(TARGET_POINTS), hits: int = HITS) -> list[Plan]:
    """Deal every one of *points* *hits* times to runs of three kills each; later kills come sooner, as less is left."""
    chance = dice(seed)
    hand = list(points) * hits
    chance.shuffle(hand)
    plans = []
    for start in range(0, len(hand), STRIKES_A_RUN):
        dealt = hand[start : start + STRIKES_A_RUN]
        strikes = [strike_at(point, chance, later=place > 0) for place, point in enumerate(dealt)]
        plans.append(Plan(seed * 1_000 + start, strikes))
    return plans
