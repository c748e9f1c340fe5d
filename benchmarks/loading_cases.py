"""What is asked of target-insiderone: its pace, what its parts cost, and how many requests it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from commands import UNVALIDATING_TARGET
from findings import Calls, Comparison
from races import Contender, loader, race
from workbench import Counted, first_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from commands import Stream
    from measuring import Command, Usage
    from races import Pace
    from scale import Scale
    from workbench import Reading, Workbench

AGAINST_PLAIN = 0.6
AGAINST_STOCK = 8.0
LEDGER_ON_AGAINST_OFF = 0.85

ANSWER_SECONDS = 0.2
SLOW_AGAINST_FAST = 0.8

RARE_METRIC = "Refunded Order"
"""One event in a hundred."""

CALLS_TO_INSIDERONE = 1
"""Requests allowed for 1,000 records of any stream."""


def loaders(bench: Workbench, scale: Scale, stream: Stream, reading: Reading) -> list[Contender]:
    """target-insiderone, the plain loop, the SDK as it is; then target-insiderone without this and with that."""
    file, records, stock_records = reading.file, reading.count.records, scale.stock_records[stream]
    targets = bench.targets
    slow = f"itself at {ANSWER_SECONDS * 1_000:.0f} ms a request"
    return [
        loader(bench, "target-insiderone", file, records, targets.target),
        loader(bench, "plain loop", file, records, lambda: targets.plain(stream)),
        loader(bench, "stock BatchSink", first_records(file, stock_records), stock_records, targets.stock),
        loader(bench, "itself without ledger", file, records, lambda: targets.target(ledger_days=0)),
        loader(bench, "itself without validation", file, records, lambda: targets.target(program=UNVALIDATING_TARGET)),
        loader(bench, slow, file, records, targets.target, latency_seconds=ANSWER_SECONDS),
    ]


def compare_loaders(stream: Stream, paces: Sequence[Pace]) -> list[Comparison]:
    """Set the target against the others; *paces* as `loaders` names them."""
    target, plain, stock, forgetful, unvalidating, slow = paces
    return [
        Comparison(f"load {stream}", target, plain, AGAINST_PLAIN),
        Comparison(f"load {stream}", target, stock, AGAINST_STOCK),
        Comparison(f"load {stream}", target, forgetful, LEDGER_ON_AGAINST_OFF),
        Comparison(f"load {stream}", target, unvalidating),
        Comparison(f"load {stream}, {ANSWER_SECONDS * 1_000:.0f} ms a request", slow, target, SLOW_AGAINST_FAST),
    ]


def compare_filtering(bench: Workbench, scale: Scale, reading: Reading) -> list[Comparison]:
    """Load events of which the mapping names one rare metric: what the others cost that are left out."""
    file, records, stock_records = reading.file, reading.count.records, scale.stock_records["events"]
    targets = bench.targets
    mapped = [row for row in targets.mapping["event_mappings"] if row["metric_name"] == RARE_METRIC]
    target, plain, stock = race(
        [
            loader(bench, "target-insiderone", file, records, lambda: targets.target(event_mappings=mapped)),
            loader(bench, "plain loop", file, records, lambda: targets.plain("events", RARE_METRIC)),
            loader(
                bench,
                "stock BatchSink",
                first_records(file, stock_records),
                stock_records,
                lambda: targets.stock(event_mappings=mapped),
            ),
        ],
        scale.rounds,
    )
    case = "load events, 99 % filtered"
    return [Comparison(case, target, plain), Comparison(case, target, stock)]


def compare_skipping(bench: Workbench, scale: Scale, reading: Reading) -> list[Comparison]:
    """Load profiles twice with ``skip_unchanged``: what it costs the first time, and saves the second time."""
    file, records = reading.file, reading.count.records
    loaded = Reloaded(bench, file)
    plainly, first, second = race(
        [
            loader(bench, "itself without skip_unchanged", file, records, bench.targets.target),
            Contender("target-insiderone", records, loaded.first, loaded.idle),
            Contender("target-insiderone", records, loaded.again, loaded.idle),
        ],
        scale.rounds,
    )
    return [
        Comparison("load profiles, skip_unchanged", first, plainly),
        Comparison("load them again, skip_unchanged", second, plainly),
    ]


class Reloaded:
    """One file of profiles that is loaded with ``skip_unchanged``, and then again with the memory of that."""

    def __init__(self, bench: Workbench, file: Path) -> None:
        self._bench = bench
        self._file = file
        self._nothing = first_records(file, 0)
        self._data_dir = bench.targets.data_dir()

    def idle(self) -> Usage:
        """Start up and end."""
        return self._bench.load(self._command(data_dir=str(self._bench.targets.data_dir())), self._nothing)

    def first(self) -> Usage:
        """Load the file for the first time, with a new memory."""
        self._data_dir = self._bench.targets.data_dir()
        return self._bench.load(self._command(data_dir=str(self._data_dir)), self._file)

    def again(self) -> Usage:
        """Load the file once more.

        Raises:
            RuntimeError: Something was sent.
        """
        usage = self._bench.load(self._command(data_dir=str(self._data_dir)), self._file)
        if calls := self._bench.calls_to_insiderone():
            raise RuntimeError(f"{calls} requests were sent for profiles that had not changed")
        return usage

    def _command(self, **settings: Any) -> Command:
        return self._bench.targets.target(skip_unchanged=True, **settings)


def count_calls_to_insiderone(
    bench: Workbench, few: Mapping[Stream, Reading], many: Mapping[Stream, Reading]
) -> list[Calls]:
    """Count what target-insiderone asked of the API."""

    def calls_for(reading: Reading) -> Counted:
        bench.load(bench.targets.target(), reading.file)
        return Counted(reading.count.records, bench.calls_to_insiderone())

    return [
        Calls(f"load {stream}", calls_for(few[stream]), calls_for(many[stream]), CALLS_TO_INSIDERONE) for stream in few
    ]
