"""What the plugins need of memory, whatever the amount of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findings import Findings, Memory
from servers import SLOW, SLOW_SECONDS, serving
from workbench import Workbench

if TYPE_CHECKING:
    from pathlib import Path

    from measuring import Usage
    from scale import Scale, Season

GROWTH_MB = 30
TAP_MB, SLOW_TAP_MB, TARGET_MB = 150, 250, 250
"""Where answers are slow, the tap reads ahead: it holds up to 128 MB of pages, more than the smaller size has."""


def peaks_of_the_pipe(folder: Path, scale: Scale) -> Findings:
    """Pipe events from one plugin to the other, few and many. The slower one makes the faster one wait."""
    few, many = scale.memory
    (few_fast, few_slow), (many_fast, many_slow) = (pipes(folder, season) for season in scale.memory)

    def memory(program: str, few_mb: float, many_mb: float) -> Memory:
        return Memory(program, few.events, few_mb, many.events, many_mb)

    tap, target = map(memory, ("tap-klaviyo", "target-insiderone"), few_fast.peaks_mb, many_fast.peaks_mb)
    names = (f"tap-klaviyo, {SLOW}", f"target-insiderone, {SLOW}")
    slow_tap, slow_target = map(memory, names, few_slow.peaks_mb, many_slow.peaks_mb)
    return Findings(
        [
            *tap.bounds(TAP_MB, GROWTH_MB),
            *target.bounds(TARGET_MB, GROWTH_MB),
            *slow_tap.bounds(SLOW_TAP_MB, None),
            *slow_target.bounds(TARGET_MB, GROWTH_MB),
        ],
        memory=[tap, target, slow_tap, slow_target],
    )


def pipes(folder: Path, season: Season) -> tuple[Usage, Usage]:
    """Pipe the events of a new shop into a new account: APIs that answer at once, and APIs that take their time."""
    with serving() as shop, serving() as store:
        bench = Workbench(folder / f"pipe-{season.events}", shop, store)
        bench.spend_season(season)
        return (
            bench.pipe("events", season.events),
            bench.pipe("events", season.events, latency_seconds=SLOW_SECONDS),
        )
