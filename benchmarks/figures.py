"""One figure, measured several times."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure of every round, in their order.

    >>> Spread((3.0, 1.0, 2.0)).middle
    2.0
    >>> (Spread((3.0, 1.0)) / Spread((1.5, 2.0))).values
    (2.0, 0.5)
    """

    values: tuple[float, ...]

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)

    def __truediv__(self, other: Spread) -> Spread:
        """Divide round by round: what disturbed a round disturbed both."""
        return Spread(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))
