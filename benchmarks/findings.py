"""What a run of the benchmark found, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from figures import Spread
    from races import Pace
    from workbench import Counted

SPARE_CALLS = 12
"""Requests of a run beyond its share per record: metric names, a last page, each lane's last and incomplete batches."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pace against another; *at_least* is what the ratio of the rates should reach."""

    case: str
    ours: Pace
    theirs: Pace
    at_least: float

    @property
    def ratio(self) -> Spread:
        """Our records per second over theirs."""
        return self.ours.rates / self.theirs.rates

    @property
    def cpu_ratio(self) -> Spread:
        """Their processor time per record over ours: how much faster we would be if nobody ever waited."""
        return self.theirs.cpu_micros / self.ours.cpu_micros

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the target."""
        return self.ratio.middle >= self.at_least


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests of one flow to its API, at two sizes; *limit* is the number allowed for 1,000 records."""

    flow: str
    few: Counted
    many: Counted
    limit: float

    @property
    def per_thousand(self) -> float:
        """Requests that 1,000 further records cost."""
        return (self.many.calls - self.few.calls) / (self.many.records - self.few.records) * 1_000

    @property
    def is_met(self) -> bool:
        """Whether both sizes stay within what is allowed."""
        return all(count.calls <= self.allowed(count.records) for count in (self.few, self.many))

    def allowed(self, records: int) -> float:
        """How many requests *records* records may cost."""
        return self.limit * records / 1_000 + SPARE_CALLS


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak resident memory of one program at two sizes, in MB.

    *at_most* is the limit of the larger one, if there is one; *growth* is the limit of what lies between them.
    """

    program: str
    few_records: int
    few_mb: float
    many_records: int
    many_mb: float
    growth: float
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the limits are kept."""
        return self.many_mb - self.few_mb <= self.growth and (self.at_most is None or self.many_mb <= self.at_most)


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it, in the order in which it was measured."""

    comparisons: list[Comparison]
    calls: list[Calls]
    memory: list[Memory]
