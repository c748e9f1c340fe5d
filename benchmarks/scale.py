"""How much is read and loaded, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Season:
    """What one stretch of time adds to the shop."""

    profiles: int
    events: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a run of the benchmark.

    Paces are measured after the second season, on all that the shop holds by then; calls and memory after the first
    and after the third. *stock_records*: stream -> how many of its records the stock plugins get, which are slow; what
    counts is their pace.
    """

    rounds: int
    seasons: tuple[Season, Season, Season]
    stock_records: Mapping[str, int]


FULL = Scale(
    rounds=3,
    seasons=(Season(20_000, 50_000), Season(20_000, 50_000), Season(10_000, 100_000)),
    stock_records={"profiles": 8_000, "events": 15_000},
)

QUICK = Scale(
    rounds=1,
    seasons=(Season(5_000, 10_000), Season(5_000, 10_000), Season(2_500, 20_000)),
    stock_records={"profiles": 1_000, "events": 2_000},
)
