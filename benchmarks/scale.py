"""How much is read and loaded, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Season:
    """What one stretch of time adds to a shop."""

    profiles: int
    events: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a run of the benchmark.

    Reading under latency is measured after the first season, paces after the second, on all that the shop holds by
    then, calls after both. *stock_records*: stream -> how many of its records the stock plugins get, which are slow;
    what counts is their pace. *recurring*: few persons with many events each.
    """

    rounds: int
    seasons: tuple[Season, Season]
    stock_records: Mapping[str, int]
    recurring: Season
    quota_profiles: int
    """More than the quota lets through in *quota_seconds*."""
    quota_seconds: int
    three_flows: Season
    memory: tuple[Season, Season]


FULL = Scale(
    rounds=3,
    seasons=(Season(20_000, 50_000), Season(60_000, 150_000)),
    stock_records={"profiles": 8_000, "events": 15_000},
    recurring=Season(5_000, 200_000),
    quota_profiles=240_000,
    quota_seconds=120,
    three_flows=Season(40_000, 100_000),
    memory=(Season(5_000, 50_000), Season(100_000, 1_000_000)),
)

QUICK = Scale(
    rounds=1,
    seasons=(Season(10_000, 10_000), Season(5_000, 40_000)),
    stock_records={"profiles": 1_000, "events": 2_000},
    recurring=Season(1_000, 40_000),
    quota_profiles=90_000,
    quota_seconds=17,
    three_flows=Season(2_000, 5_000),
    memory=(Season(2_000, 10_000), Season(5_000, 50_000)),
)
