"""The report: what was measured, on what, beside what it should be."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from findings import SPARE_CALLS
from measuring import own_peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from figures import Spread
    from findings import Calls, Comparison, Findings, Memory
    from races import Pace
    from scale import Scale

PACKAGES = (
    "tap-klaviyo",
    "target-insiderone",
    "klaviyo-insiderone-sandbox",
    "singer-sdk",
    "requests",
    "msgspec",
    "orjson",
)
"""Whose versions bear on the figures."""

HOW = """\
Written by `make bench`; every figure is from one run of it. Ratios travel from machine to machine, absolute figures do
not. The sandbox plays both APIs, in processes of its own: one with the shop's data, one that is loaded into. Its quotas
and its latency are off, and `unlimited_tap.py` lifts the quotas that tap-klaviyo keeps to by itself; against Klaviyo
they are what decides (profiles: 750 pages of 100 a minute). The data are well-behaved; orders have one to three lines.

- *Steady rate*: records a second, without the start-up, which is measured apart with nothing to read or load (median)
  and subtracted. A cell shows minimum / **median** / maximum of the rounds, in each of which all programs took a turn.
- *Processor ratio*: the other program's processor time per record over ours. It says how the two compare where neither
  waits for the server or for the other processes of the machine.
- *Server*: how much of one core the sandbox needed meanwhile, for ours / for the other. Towards 100 % the sandbox is
  what everybody waited for, and the ratio of the rates says less than the one of the processor times.
- *Plain loop*: `plain_tap.py`, `plain_target.py`, `plain_target_events.py`: no more than fetch, re-shape, write; no
  validation, retries, state, ledger or accounts. *Stock*: `stock_tap.py`, `stock_target.py`: the SDK as it comes.
"""


def compose(found: Findings, scale: Scale, seconds: float, busy: float) -> str:
    """Compose the report, in Markdown; *busy* is the load of the machine before the run."""
    met = [row.is_met for rows in (found.comparisons, found.calls, found.memory) for row in rows]
    sections = [
        "# Results of the benchmark\n",
        HOW,
        machine(scale, seconds, busy),
        f"**{sum(met)} of {len(met)} targets met.**\n",
        "## Pace\n",
        table(
            (
                "case",
                "against",
                "our steady rate",
                "its steady rate",
                "ratio",
                "target",
                "",
                "processor ratio",
                "server",
            ),
            map(comparison_row, found.comparisons),
        ),
        "## Cost of a record, and start-up\n",
        table(
            ("program", "case", "records", "processor time, µs a record", "start-up, s"), pace_rows(found.comparisons)
        ),
        "## Calls\n",
        f"No flow makes a request per record. Allowed: so many per 1,000 records, and {SPARE_CALLS} more in all.\n",
        table(
            ("flow", "records", "calls", "records", "calls", "per 1,000 of the difference", "target", ""),
            map(calls_row, found.calls),
        ),
        "## Memory\n",
        f"Peak resident memory, 1 MB = 10^6 bytes. Below the benchmark's own {own_peak_mb():.0f} MB nothing shows.\n",
        table(("program", "records", "MB", "records", "MB", "target", ""), map(memory_row, found.memory)),
    ]
    return "\n".join(sections)


def machine(scale: Scale, seconds: float, busy: float) -> str:
    """Say what the run took place on."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()} · Python {platform.python_version()} · {versions} · rounds: {scale.rounds} · "
        f"{seconds / 60:.1f} minutes · load of the machine before: {busy:.1f}\n"
    )


def processor() -> str:
    """Name the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def comparison_row(row: Comparison) -> tuple[str, ...]:
    """Show one pace against another."""
    return (
        row.case,
        row.theirs.name,
        shown(row.ours.rates, ",.0f"),
        shown(row.theirs.rates, ",.0f"),
        shown(row.ratio, ".2f"),
        f"≥ {row.at_least:g}",
        verdict(met=row.is_met),
        shown(row.cpu_ratio, ".2f"),
        f"{share(row.ours)} / {share(row.theirs)}",
    )


def pace_rows(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """Show every program once, where it appears first."""
    paces: dict[int, tuple[str, Pace]] = {}
    for row in comparisons:
        for pace in (row.ours, row.theirs):
            paces.setdefault(id(pace), (row.case, pace))
    return [
        (pace.name, case, f"{pace.records:,}", shown(pace.cpu_micros, ".1f"), f"{pace.start_up_seconds:.2f}")
        for case, pace in paces.values()
    ]


def calls_row(row: Calls) -> tuple[str, ...]:
    """Show the requests of one flow."""
    counts = (f"{number:,}" for count in (row.few, row.many) for number in (count.records, count.calls))
    target = f"≤ {row.limit:g} per 1,000 + {SPARE_CALLS}: {row.allowed(row.many.records):.0f}"
    return (row.flow, *counts, f"{row.per_thousand:.2f}", target, verdict(met=row.is_met))


def memory_row(row: Memory) -> tuple[str, ...]:
    """Show the memory of one program."""
    few, many = (f"{row.few_records:,}", f"{row.few_mb:.0f}"), (f"{row.many_records:,}", f"{row.many_mb:.0f}")
    peak = "" if row.at_most is None else f"≤ {row.at_most:g}, "
    return (row.program, *few, *many, f"{peak}at most {row.growth:g} more", verdict(met=row.is_met))


def shown(spread: Spread, form: str) -> str:
    """Show minimum, median and maximum."""
    return f"{spread.low:{form}} / **{spread.middle:{form}}** / {spread.high:{form}}"


def share(pace: Pace) -> str:
    """Show how busy the server was."""
    return "?" if pace.server_share is None else f"{pace.server_share:.0%}"


def verdict(*, met: bool) -> str:
    """Show whether a target is met."""
    return "met" if met else "**not met**"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Compose a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
