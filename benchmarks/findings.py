"""What a run of the benchmark found, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from figures import Spread
    from races import Pace
    from workbench import Counted

SPARE_CALLS = 12
"""Requests of a run beyond its share per record: metric names, a last page, each lane's last and incomplete batches."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pace against another; *at_least* is what the ratio of the rates should reach, if it is held to anything."""

    case: str
    ours: Pace
    theirs: Pace
    at_least: float | None = None

    @property
    def ratio(self) -> Spread:
        """Our records per second over theirs."""
        return self.ours.rates / self.theirs.rates

    @property
    def cpu_ratio(self) -> Spread:
        """Their processor time per record over ours: how much faster we would be if nobody ever waited."""
        return self.theirs.cpu_micros / self.ours.cpu_micros

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the target; None where there is none."""
        return None if self.at_least is None else self.ratio.middle >= self.at_least


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
class Bound:
    """One figure of a case, and what it should not fall below or exceed; *form* is how it is shown."""

    case: str
    figure: str
    value: float
    form: str = ",.0f"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it, in the order in which it was measured."""

    comparisons: list[Comparison] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    calls: list[Calls] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    @property
    def verdicts(self) -> list[bool]:
        """Whether each target is met."""
        rows = (self.comparisons, self.bounds, self.calls, self.memory)
        return [row.is_met for kind in rows for row in kind if row.is_met is not None]

    def __add__(self, more: Findings) -> Findings:
        """Put what was found later behind."""
        return Findings(
            self.comparisons + more.comparisons,
            self.bounds + more.bounds,
            self.calls + more.calls,
            self.memory + more.memory,
        )
