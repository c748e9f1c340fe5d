"""What a run of the benchmark found: the figures, and those that are held to a target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from figures import Spread

if TYPE_CHECKING:
    from races import Pace
    from workbench import Counted

SPARE_CALLS = 12
"""Requests of a run beyond its share per record: metric names, a last page, each lane's last and incomplete batches."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pace against another."""

    case: str
    ours: Pace
    theirs: Pace

    @property
    def ratio(self) -> Spread:
        """Our records per second over theirs."""
        return self.ours.rates / self.theirs.rates

    @property
    def cpu_ratio(self) -> Spread:
        """Their processor time per record over ours: how much faster we would be if nobody ever waited."""
        return self.theirs.cpu_micros / self.ours.cpu_micros

    def bound(self, at_least: float) -> Bound:
        """Hold the ratio of the rates to a target."""
        return Bound(self.case, f"rate against {self.theirs.name}", self.ratio, ".2f", at_least=at_least)


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests of one flow to its API, at two sizes."""

    flow: str
    few: Counted
    many: Counted

    @property
    def per_thousand(self) -> float:
        """Requests that 1,000 further records cost."""
        return (self.many.calls - self.few.calls) / (self.many.records - self.few.records) * 1_000

    def bounds(self, per_thousand: float) -> list[Bound]:
        """Hold both sizes to so many requests for 1,000 records, and a few more."""
        return [
            Bound(
                self.flow,
                f"requests for {count.records:,} records",
                Spread((count.calls,)),
                at_most=per_thousand * count.records / 1_000 + SPARE_CALLS,
            )
            for count in (self.few, self.many)
        ]


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak resident memory of one program at two sizes, in MB."""

    program: str
    few_records: int
    few_mb: float
    many_records: int
    many_mb: float

    def bounds(self, at_most: float, growth: float | None) -> list[Bound]:
        """Hold the larger size to *at_most* MB, and to *growth* MB more than the smaller one, if to anything."""
        case = f"memory of {self.program}"
        few, many = f"{self.few_records:,}", f"{self.many_records:,}"
        more = self.many_mb - self.few_mb
        return [
            Bound(case, f"MB more for {many} records than for {few}", Spread((more,)), at_most=growth),
            Bound(case, f"MB for {many} records", Spread((self.many_mb,)), at_most=at_most),
        ]


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure of a case, and what it should not fall below or exceed; *form* is how it is shown."""

    case: str
    figure: str
    measured: Spread
    form: str = ",.0f"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the median keeps the limit; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.measured.middle >= self.at_least) and (
            self.at_most is None or self.measured.middle <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it, in the order in which it was measured."""

    bounds: list[Bound] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    calls: list[Calls] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    @property
    def verdicts(self) -> list[bool]:
        """Whether each target is met."""
        return [row.is_met for row in self.bounds if row.is_met is not None]

    def __add__(self, more: Findings) -> Findings:
        """Put what was found later behind."""
        return Findings(
            self.bounds + more.bounds,
            self.comparisons + more.comparisons,
            self.calls + more.calls,
            self.memory + more.memory,
        )
