"""What the plugins need of memory, whatever the amount of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import Taps, Targets
from findings import Memory
from measuring import measure
from servers import serving
from workbench import SHOP_DAYS

if TYPE_CHECKING:
    from pathlib import Path

    from measuring import Usage
    from scale import Scale, Season

TAP_PEAK_MB = 150
GROWTH_MB = 30


def peaks_of_the_pipe(folder: Path, scale: Scale) -> list[Memory]:
    """Pipe events from one plugin to the other, few and many. The slower one makes the faster one wait."""
    few, many = scale.memory
    (few_tap, few_target), (many_tap, many_target) = pipe(folder, few).peaks_mb, pipe(folder, many).peaks_mb
    return [
        Memory("tap-klaviyo, events", few.events, few_tap, many.events, many_tap, GROWTH_MB, TAP_PEAK_MB),
        Memory("target-insiderone, events", few.events, few_target, many.events, many_target, GROWTH_MB),
    ]


def pipe(folder: Path, season: Season) -> Usage:
    """Pipe the events of a new shop into a new account.

    Raises:
        RuntimeError: Not all of them were read.
    """
    with serving() as shop, serving() as store:
        shop.sandbox.seed(season.profiles, season.events, days=SHOP_DAYS, hostile=False)
        usage = measure(Taps(folder, shop.sandbox).tap("events"), Targets(folder, store.sandbox).target())
        given = sum(request["records"] for request in shop.sandbox.journal())
    if given < season.events:
        raise RuntimeError(f"{given} of {season.events} events were read")
    return usage
