"""Draws how long the windows are in which tap-klaviyo reads: on dense, sparse and bursty data. ``make plot`` runs it.

The tap reads events from the sandbox, whose every answer takes its time, and tells its windows at DEBUG.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
from matplotlib import pyplot as plt

from commands import PLUGIN_TAP, Taps
from drawing import FAINT, OTHERS, OURS, prepare, save
from servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klaviyo_insiderone_sandbox.testing import Sandbox
    from matplotlib.axes import Axes

WINDOWS_SVG = Path(__file__).parent.parent / "docs" / "windows.svg"
PAGE_SECONDS = 0.2
NOW = datetime(2026, 3, 2, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BINS, PARTS = 60, 4
"""Of the time axis: bars, and stretches between two dates."""

LENGTHS = {
    "1 s": timedelta(seconds=1),
    "1 min": timedelta(minutes=1),
    "1 h": timedelta(hours=1),
    "1 day": timedelta(days=1),
    "30 days": timedelta(days=30),
    "1 year": timedelta(days=365),
}
"""Marks of the axis."""

WINDOW = re.compile(r"stream events: window (the beginning|\S+) to (\S+): (\d+) pages?, (\d+) records?")


@dataclass(frozen=True, slots=True)
class Window:
    """One line of the log; *start* is None for the beginning of everything."""

    start: datetime | None
    end: datetime
    pages: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One kind of data: how to make it, how far back it goes, and how dates are written below it."""

    title: str
    fill: Callable[[Sandbox], None]
    days: int
    dates: str

    @property
    def begins(self) -> datetime:
        """When the first event may have happened."""
        return NOW - timedelta(days=self.days)


def dense(sandbox: Sandbox) -> None:
    """Add the same number of events to every day."""
    sandbox.seed(2_000, 100_000, days=60, hostile=False)


def sparse(sandbox: Sandbox) -> None:
    """Add an event now and then."""
    sandbox.seed(20, 100, days=365, hostile=False)


def bursty(sandbox: Sandbox) -> None:
    """Add little, but for a sale that lasts a day, and an import that gives all its events the same second."""
    sandbox.seed(1_000, 5_000, days=60, hostile=False)
    sandbox.clock(now=(NOW - timedelta(days=38)).isoformat())
    sandbox.seed(1_000, 50_000, days=1, hostile=False, seed=2)
    (buyer,) = sandbox.add_profiles([{"attributes": {"email": "buyer@example.org"}}])
    second = (NOW - timedelta(days=15)).isoformat()
    sandbox.add_events(
        [{"metric": "Imported Order", "profile_id": buyer, "datetime": second, "properties": {}} for _ in range(10_000)]
    )
    sandbox.clock(now=NOW.isoformat())


PANELS = (
    Panel("dense: 100,000 events, evenly", dense, 60, "%b %d"),
    Panel("sparse: 100 events in a year", sparse, 365, "%b %Y"),
    Panel("bursty: 50,000 on one day, 10,000 in one second", bursty, 60, "%b %d"),
)


def main() -> None:
    """Read, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=WINDOWS_SVG)
    file = parser.parse_args().file
    prepare()
    figure, grid = plt.subplots(
        2, len(PANELS), figsize=(12, 5), sharex="col", height_ratios=(2, 1), layout="constrained", squeeze=False
    )
    for column, panel in enumerate(PANELS):
        windows, moments = read(panel.fill)
        draw_windows(grid[0][column], panel, windows)
        draw_density(grid[1][column], panel, moments)
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    save(figure, file)


def read(fill: Callable[[Sandbox], None]) -> tuple[list[Window], list[datetime]]:
    """Read a new shop; return the windows in which that happened, and the times of the events.

    Raises:
        RuntimeError: The log tells of no windows.
    """
    with TemporaryDirectory() as folder, serving() as shop:
        shop.sandbox.clock(now=NOW.isoformat())
        fill(shop.sandbox)
        shop.sandbox.latency("klaviyo", PAGE_SECONDS)
        command = Taps(Path(folder), shop.sandbox).tap("events", program=PLUGIN_TAP)
        environment = {**os.environ, "TAP_KLAVIYO_LOGLEVEL": "DEBUG"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True)
    windows = windows_of(done.stderr.decode())
    if not windows:
        raise RuntimeError("the log tells of no windows")
    return windows, moments_of(done.stdout.splitlines())


def windows_of(log: str) -> list[Window]:
    """Find the windows in a log, in the order of time."""
    found = [
        Window(None if start == "the beginning" else moment(start), moment(end), int(pages))
        for start, end, pages, _ in WINDOW.findall(log)
    ]
    return sorted(found, key=lambda window: window.end)


class Event(msgspec.Struct):
    """What the density needs of a record."""

    datetime: datetime


class Line(msgspec.Struct):
    """A Singer message."""

    type: str
    record: Event | None = None


def moments_of(lines: Sequence[bytes]) -> list[datetime]:
    """Tell the times of all records."""
    messages = map(msgspec.json.Decoder(Line).decode, lines)
    return [message.record.datetime for message in messages if message.record is not None]


def moment(text: str) -> datetime:
    """Read a time of the log."""
    return datetime.fromisoformat(text)


def draw_windows(axes: Axes, panel: Panel, windows: Sequence[Window]) -> None:
    """Draw every window as a line that begins with a dot: where it lies, and how long it is."""
    starts = [window.start or panel.begins for window in windows]
    lengths = [(window.end - start).total_seconds() for window, start in zip(windows, starts, strict=True)]
    places = [days_since_1970(start) for start in starts]
    axes.hlines(lengths, places, [days_since_1970(window.end) for window in windows], color=OURS, linewidth=2.5)
    axes.scatter(places, lengths, s=8, color=OURS)
    pages = sum(window.pages for window in windows)
    axes.set_title(f"{panel.title}\n{counted(len(windows), 'window')}, {counted(pages, 'page')}")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 3 * LENGTHS["1 year"].total_seconds())
    axes.set_yticks([length.total_seconds() for length in LENGTHS.values()], list(LENGTHS))
    axes.minorticks_off()
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_ylabel("length of a window")


def draw_density(axes: Axes, panel: Panel, moments: Sequence[datetime]) -> None:
    """Draw how many events there are, and when."""
    width = timedelta(days=panel.days) / BINS
    bins = Counter((one - panel.begins) // width for one in moments)
    counts = [bins[place] for place in range(BINS)]
    edges = [days_since_1970(panel.begins + place * width) for place in range(BINS + 1)]
    axes.stairs(counts, edges, fill=True, color=OTHERS)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 10 ** len(str(max(counts))))
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_ylabel("events")
    axes.set_xlim(edges[0] - panel.days / 50, edges[-1] + panel.days / 50)
    ticks = [panel.begins + timedelta(days=panel.days) * part / PARTS for part in range(PARTS + 1)]
    axes.set_xticks([days_since_1970(tick) for tick in ticks], [f"{tick:{panel.dates}}" for tick in ticks])


def counted(number: int, noun: str) -> str:
    """Say how many.

    >>> counted(1, "page"), counted(2_000, "page")
    ('1 page', '2,000 pages')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def days_since_1970(when: datetime) -> float:
    """Place a time on the axis."""
    return (when - EPOCH) / timedelta(days=1)


if __name__ == "__main__":
    main()
