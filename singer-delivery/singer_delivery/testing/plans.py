"""Plans of kills: which run is killed at which point, drawn reproducibly from a seed."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singer_delivery.testing.points import Strike

if TYPE_CHECKING:
    from collections.abc import Sequence

HITS = 5
"""How often every point is struck in the default suite."""

STRIKES_A_RUN = 3

SIGNALS = (*[signal.SIGKILL] * 4, signal.SIGTERM, signal.SIGINT)

Reach = Mapping[str, tuple[int, int]]
"""Point -> highest count at which it is struck: in a run from the start, and in one that resumes late."""


def dice(seed: int) -> random.Random:
    """A reproducible random generator."""
    return random.Random(seed)  # noqa: S311 - repeatable tests, not secrets


@dataclass(frozen=True)
class Plan:
    """One ordeal: the kills, one after the other; other random choices are drawn from *seed*."""

    seed: int
    strikes: Sequence[Strike]

    @property
    def name(self) -> str:
        """The test's id."""
        return f"{self.seed}-" + "-".join(strike.point for strike in self.strikes)


def strike_at(point: str, reach: Reach, chance: random.Random, *, later: bool = False) -> Strike:
    """Draw the count and the signal of a kill at *point*."""
    return Strike(point, chance.randint(1, reach[point][later]), chance.choice(SIGNALS))


def deal(seed: int, reach: Reach, hits: int = HITS) -> list[Plan]:
    """Deal every point of *reach* *hits* times to ordeals of three kills each; later runs are shorter."""
    chance = dice(seed)
    hand = list(reach) * hits
    chance.shuffle(hand)
    plans = []
    for start in range(0, len(hand), STRIKES_A_RUN):
        dealt = hand[start : start + STRIKES_A_RUN]
        strikes = [strike_at(point, reach, chance, later=place > 0) for place, point in enumerate(dealt)]
        plans.append(Plan(seed * 1_000 + start, strikes))
    return plans
