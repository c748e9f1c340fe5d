"""What the plugins need of memory, whatever the amount of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import Taps, Targets
from findings import Findings, Memory
from measuring import measure
from servers import SLOW_SECONDS, latency, serving
from workbench import SHOP_DAYS

if TYPE_CHECKING:
    from pathlib import Path

    from measuring import Usage
    from scale import Scale, Season

TAP_PEAK_MB, TARGET_PEAK_MB = 150, 250
GROWTH_MB = 30


def peaks_of_the_pipe(folder: Path, scale: Scale) -> Findings:
    """Pipe events from one plugin to the other, few and many. The slower one makes the faster one wait."""
    few, many = scale.memory
    (few_tap, few_target), (many_tap, many_target) = pipe(folder, few).peaks_mb, pipe(folder, many).peaks_mb
    tap = Memory("tap-klaviyo, events", few.events, few_tap, many.events, many_tap)
    target = Memory("target-insiderone, events", few.events, few_target, many.events, many_target)
    bounds = tap.bounds(TAP_PEAK_MB, GROWTH_MB) + target.bounds(TARGET_PEAK_MB, GROWTH_MB)
    return Findings(bounds, memory=[tap, target])


def pipe(folder: Path, season: Season) -> Usage:
    """Pipe the events of a new shop into a new account, whose APIs take their time.

    Raises:
        RuntimeError: Not all of them were read.
    """
    with serving() as shop, serving() as store:
        shop.sandbox.seed(season.profiles, season.events, days=SHOP_DAYS, hostile=False)
        with latency(SLOW_SECONDS, shop, store):
            usage = measure(Taps(folder, shop.sandbox).tap("events"), Targets(folder, store.sandbox).target())
        given = sum(request["records"] for request in shop.sandbox.journal())
    if given < season.events:
        raise RuntimeError(f"{given} of {season.events} events were read")
    return usage
