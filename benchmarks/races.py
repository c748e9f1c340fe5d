"""Programs that run in turn, round by round, and how fast they were once they had started."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from figures import Spread
from measuring import measure
from workbench import first_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from commands import Stream, Taps
    from measuring import Command, Usage
    from workbench import Workbench

LEAST_SHARE = 0.1
"""Of a run's time that its work took at least: on a busy machine, a start-up may take longer than another whole run."""


@dataclass(frozen=True, slots=True)
class Contender:
    """*work* handles *records* records; *idle* is the same program with none to handle."""

    name: str
    records: int
    work: Callable[[], Usage]
    idle: Callable[[], Usage]


def reader(bench: Workbench, name: str, records: int, command_of: Callable[[Taps], Command]) -> Contender:
    """Compose a contender that reads; idle, it reads an empty account."""
    return Contender(
        name,
        records,
        lambda: bench.read(command_of(bench.taps), records),
        lambda: measure(command_of(bench.idle_taps)),
    )


def loader(
    bench: Workbench,
    name: str,
    file: Path,
    records: int,
    command_of: Callable[[], Command],
    *,
    latency_seconds: float = 0,
) -> Contender:
    """Compose a contender that loads *file*; idle, it gets the SCHEMA alone."""
    nothing = first_records(file, 0)
    return Contender(
        name,
        records,
        lambda: bench.load(command_of(), file, latency_seconds=latency_seconds),
        lambda: bench.load(command_of(), nothing),
    )


def pipe(bench: Workbench, name: str, stream: Stream, records: int, *, latency_seconds: float = 0) -> Contender:
    """Compose a contender of both plugins; idle, it reads an empty account, whose few answers take as long."""
    run = partial(bench.pipe, stream, latency_seconds=latency_seconds)
    return Contender(name, records, partial(run, records), partial(run, 0))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a contender was once it had started.

    *rates*: records per second. *cpu_micros*: its processor time per record, in µs. *server_share*: processor time of
    the server per second of the run; towards 1 the server was what everybody waited for. None where nobody can tell.
    """

    name: str
    records: int
    start_up_seconds: float
    rates: Spread
    cpu_micros: Spread
    server_share: float | None


def race(contenders: Sequence[Contender], rounds: int) -> list[Pace]:
    """Run the contenders and return their paces, in their order."""
    idle = [[contender.idle() for contender in contenders] for _ in range(rounds)]
    work = [[contender.work() for contender in contenders] for _ in range(rounds)]
    return [
        pace_of(contender, starts, runs)
        for contender, starts, runs in zip(contenders, zip(*idle, strict=True), zip(*work, strict=True), strict=True)
    ]


def pace_of(contender: Contender, starts: Sequence[Usage], runs: Sequence[Usage]) -> Pace:
    """Take the median of the start-up from every run, and divide by the records."""

    def without(start: float, whole: float) -> float:
        return max(whole - start, LEAST_SHARE * whole)

    start = median(usage.seconds for usage in starts)
    start_cpu = median(usage.cpu_seconds for usage in starts)
    seconds = [without(start, usage.seconds) for usage in runs]
    cpu_seconds = [without(start_cpu, usage.cpu_seconds) for usage in runs]
    served = [usage.server_seconds for usage in runs if usage.server_seconds is not None]
    return Pace(
        contender.name,
        contender.records,
        start,
        Spread(tuple(contender.records / one for one in seconds)),
        Spread(tuple(one / contender.records * 1e6 for one in cpu_seconds)),
        sum(served) / sum(seconds) if len(served) == len(runs) else None,
    )
