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
from tables import bound_table, calls_table, comparison_table, memory_table, pace_table

if TYPE_CHECKING:
    from findings import Findings
    from scale import Scale

PACKAGES = (
    "klaviyo-http",
    "tap-klaviyo",
    "singer-delivery",
    "target-insiderone",
    "klaviyo-insiderone-sandbox",
    "singer-sdk",
    "urllib3",
    "requests",
    "msgspec",
    "orjson",
)
"""Whose versions bear on the figures."""

HOW = """\
Written by `make bench`; every figure is from one run of it. Ratios travel from machine to machine, absolute figures do
not. The sandbox plays both APIs, in processes of its own: one with the shop's data, one that is loaded into. Where
nothing else is said, its quotas and its latency are off, and `unlimited_tap.py` lifts the quotas that tap-klaviyo keeps
to by itself; against Klaviyo they are what decides (profiles: 750 pages of 100 a minute). The data are well-behaved;
orders have one to three lines.
"""

TARGETS = """\
A cell shows minimum / **median** / maximum of the rounds, in each of which all programs took a turn, or the one figure
that there is; the median is held to the target. A rate against another is their ratio in the same round. 200 ms a
request is what each answer waits for, of a pipe those of both APIs. Where a share of the quota is told, the documented
quotas are on, in the sandbox and in the tap. The three flows of `meltano.yml` run in three processes. The sparse year
is read at 200 ms a page.
"""

HOW_TO_READ = """\
- *Steady rate*: records a second, without the start-up, which is measured apart with nothing to read or load (median)
  and subtracted.
- *Processor ratio*: the other program's processor time per record over ours. It says how the two compare where neither
  waits for the server or for the other processes of the machine.
- *Server*: how much of one core the sandbox needed meanwhile, for ours / for the other. Towards 100 % the sandbox is
  what everybody waited for, and the ratio of the rates says less than the one of the processor times. Beside a pipe
  there are two of them, and this is their sum.
- *Plain loop*: `plain_tap.py`, `plain_target.py`, `plain_target_events.py`: no more than fetch, re-shape, write; no
  validation, retries, state, ledger or accounts. *Stock*: `stock_tap.py`, `stock_target.py`: the SDK as it comes.
- *Itself without* something: what that costs. Validation is taken out by `unvalidating_target.py`, since no setting
  does it. *The commit before* is the target of that revision, installed as its own lock file says.
"""

CALLS = f"""\
No flow makes a request per record. Its target is so many per 1,000 records, and {SPARE_CALLS} more in all.
"""

MEMORY = """\
Peak resident memory of each end of the pipe of events, 1 MB = 10^6 bytes. Below the
benchmark's own {own:.0f} MB nothing shows.
"""


def compose(
    found: Findings, scale: Scale, seconds: float, busy: float, *, plot: str | None = None, remark: str = ""
) -> str:
    """Compose the report, in Markdown.

    Args:
        found: What there is to report.
        scale: How much was read and loaded.
        seconds: How long the run took.
        busy: The load of the machine before the run.
        plot: The file name of the plot of the paces, if there is one.
        remark: What is missing, if anything.
    """
    met = found.verdicts
    picture = f"![Paces of all programs]({plot})\n\n" if plot else ""
    sections = {
        "## Targets\n\n" + TARGETS: found.bounds and bound_table(found.bounds),
        "## Pace\n\n" + HOW_TO_READ: found.comparisons and picture + comparison_table(found.comparisons),
        "## Cost of a record, and start-up\n": found.comparisons and pace_table(found.comparisons),
        "## Calls\n\n" + CALLS: found.calls and calls_table(found.calls),
        "## Memory\n\n" + MEMORY.format(own=own_peak_mb()): found.memory and memory_table(found.memory),
    }
    return "\n".join(
        [
            "# Results of the benchmark\n",
            HOW,
            machine(scale, seconds, busy),
            f"**{sum(met)} of {len(met)} targets met.**\n",
            *([f"{remark}\n"] if remark else []),
            *(f"{heading}\n{body}" for heading, body in sections.items() if body),
        ]
    )


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
