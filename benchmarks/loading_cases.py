"""What is asked of target-insiderone: its pace, what its parts cost, and how many requests it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from commands import UNVALIDATING_TARGET
from findings import Bound, Calls, Comparison, Findings
from races import Contender, loader, race
from servers import SLOW, SLOW_SECONDS, serving
from workbench import Counted, Workbench, first_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from before import Before
    from commands import Stream
    from measuring import Command, Usage
    from races import Pace
    from scale import Scale
    from servers import Server
    from workbench import Reading

AGAINST_PLAIN = 0.6
AGAINST_STOCK = 8.0
LEDGER_ON_AGAINST_OFF = 0.85
CPU_AGAINST_BEFORE = 1.0

SLOW_AGAINST_FAST = 0.9

RARE_METRIC = "Refunded Order"
"""One event in a hundred."""

CALLS_TO_INSIDERONE = 1
"""Requests allowed for 1,000 records of any stream."""


def loaders(bench: Workbench, scale: Scale, stream: Stream, reading: Reading, before: Before | None) -> list[Contender]:
    """target-insiderone, the plain loop, the SDK as it is; target-insiderone without this, with that, and before."""
    file, records, stock_records = reading.file, reading.count.records, scale.stock_records[stream]
    targets = bench.targets
    contenders = [
        *fast_and_slow(bench, reading),
        loader(bench, "plain loop", file, records, lambda: targets.plain(stream)),
        loader(bench, "stock BatchSink", first_records(file, stock_records), stock_records, targets.stock),
        loader(bench, "itself without ledger", file, records, lambda: targets.target(ledger_days=0)),
        loader(bench, "itself without validation", file, records, lambda: targets.target(program=UNVALIDATING_TARGET)),
    ]
    if before:
        contenders.append(loader(bench, before.name, file, records, lambda: targets.target(program=before.target)))
    return contenders


def compare_loaders(stream: Stream, paces: Sequence[Pace]) -> Findings:
    """Set the target against the others; *paces* as `loaders` names them."""
    target, slow, plain, stock, forgetful, unvalidating, *earlier = paces
    case = f"load {stream}"
    yardsticks = {AGAINST_PLAIN: plain, AGAINST_STOCK: stock, LEDGER_ON_AGAINST_OFF: forgetful}
    held = [(Comparison(case, target, other), at_least) for at_least, other in yardsticks.items()]
    found = Findings(
        [row.bound(at_least) for row, at_least in held],
        [*(row for row, _ in held), Comparison(case, target, unvalidating)],
    )
    found += compare_latency(case, target, slow)
    for one in earlier:
        ratio = target.cpu_micros / one.cpu_micros
        found += Findings(
            [Bound(case, f"processor time a record, against {one.name}", ratio, ".2f", at_most=CPU_AGAINST_BEFORE)],
            [Comparison(case, target, one)],
        )
    return found


def fast_and_slow(bench: Workbench, reading: Reading) -> list[Contender]:
    """target-insiderone on an API that answers at once, and on one that takes its time."""
    file, records, command = reading.file, reading.count.records, bench.targets.target
    return [
        loader(bench, "target-insiderone", file, records, command),
        loader(bench, f"itself at {SLOW}", file, records, command, latency_seconds=SLOW_SECONDS),
    ]


def compare_latency(case: str, fast: Pace, slow: Pace) -> Findings:
    """Set what works with APIs that take their time against the same with APIs that answer at once."""
    row = Comparison(f"{case}, {SLOW}", slow, fast)
    return Findings(
        [Bound(row.case, "rate against 0 ms a request", row.ratio, ".2f", at_least=SLOW_AGAINST_FAST)], [row]
    )


def load_recurring(folder: Path, store: Server, scale: Scale) -> Findings:
    """Load many events of few persons: the next event of a person waits until the last one is settled."""
    with serving() as shop:
        bench = Workbench(folder, shop, store)
        bench.spend_season(scale.recurring)
        reading = bench.read_into_file("events")
    fast, slow = race(fast_and_slow(bench, reading), scale.rounds)
    return compare_latency(f"load events of {scale.recurring.profiles:,} persons", fast, slow)


def compare_filtering(bench: Workbench, scale: Scale, reading: Reading) -> Findings:
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
    return Findings(comparisons=[Comparison(case, target, plain), Comparison(case, target, stock)])


def compare_skipping(bench: Workbench, scale: Scale, reading: Reading) -> Findings:
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
    return Findings(
        comparisons=[
            Comparison("load profiles, skip_unchanged", first, plainly),
            Comparison("load them again, skip_unchanged", second, plainly),
        ]
    )


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
) -> Findings:
    """Count what target-insiderone asked of the API."""

    def calls_for(reading: Reading) -> Counted:
        bench.load(bench.targets.target(), reading.file)
        return Counted(reading.count.records, bench.calls_to_insiderone())

    found = Findings()
    for stream in few:
        calls = Calls(f"load {stream}", calls_for(few[stream]), calls_for(many[stream]))
        found += Findings(calls.bounds(CALLS_TO_INSIDERONE), calls=[calls])
    return found
