"""The cases: which programs run against which, and what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findings import Calls, Comparison, Findings, Memory
from races import Contender, loader, pipe, race, reader
from workbench import Counted, first_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scale import Scale
    from workbench import Reading, Stream, Workbench

PACED: tuple[Stream, ...] = ("events", "profiles")
PAGE = {"events": 1_000, "profiles": 100}
"""Stream -> records of a page, the API's maximum."""

AGAINST_PLAIN_TAP = {"events": 0.9, "profiles": 0.7}
AGAINST_STOCK_TAP = 7.0
AGAINST_PLAIN_TARGET = 0.6
AGAINST_STOCK_TARGET = 8.0
LEDGER_ON_AGAINST_OFF = 0.85
PIPE_AGAINST_SLOWER_HALF = 0.85

CALLS_TO_KLAVIYO = {"events": 1, "profiles": 10, "subscription_changes": 12}
"""Stream -> requests allowed for 1,000 records: their pages; changes of consent need the pages of their events too."""

CALLS_TO_INSIDERONE = 1
"""Requests allowed for 1,000 records of any stream."""

TAP_PEAK_MB = 150
GROWTH_MB = 30


def run_cases(bench: Workbench, scale: Scale) -> Findings:
    """Measure everything; says on standard output what it is at."""
    say("filling the shop")
    few = bench.spend_season(scale.seasons[0])
    some = bench.spend_season(scale.seasons[1])
    comparisons: list[Comparison] = []
    for stream in PACED:
        say(f"reading and loading {stream}")
        comparisons += compare_paces(bench, scale, stream, some[stream])
    say("counting calls, measuring memory")
    many = bench.spend_season(scale.seasons[2])
    return Findings(
        comparisons,
        [*count_calls_to_klaviyo(few, many), *count_calls_to_insiderone(bench, few, many)],
        [tap_memory(few["events"], many["events"]), target_memory(bench, few["events"], many["events"])],
    )


def say(what: str) -> None:
    """Tell whoever waits."""
    print(f"{what} ...", flush=True)


def compare_paces(bench: Workbench, scale: Scale, stream: Stream, reading: Reading) -> list[Comparison]:
    """Let all that read and load one stream take turns, and set the plugins against the others."""
    tap, plain_tap, stock_tap, target, plain_target, stock_target, forgetful, both = race(
        [
            *readers(bench, scale, stream, reading),
            *loaders(bench, scale, stream, reading),
            pipe(bench, stream, reading),
        ],
        scale.rounds,
    )
    slower_half = min(tap, target, key=lambda half: half.rates.middle)
    return [
        Comparison(f"read {stream}", tap, plain_tap, AGAINST_PLAIN_TAP[stream]),
        Comparison(f"read {stream}", tap, stock_tap, AGAINST_STOCK_TAP),
        Comparison(f"load {stream}", target, plain_target, AGAINST_PLAIN_TARGET),
        Comparison(f"load {stream}", target, stock_target, AGAINST_STOCK_TARGET),
        Comparison(f"load {stream}", target, forgetful, LEDGER_ON_AGAINST_OFF),
        Comparison(f"pipe {stream}", both, slower_half, PIPE_AGAINST_SLOWER_HALF),
    ]


def readers(bench: Workbench, scale: Scale, stream: Stream, reading: Reading) -> list[Contender]:
    """tap-klaviyo, the plain loop, the SDK as it is."""
    records, pages = reading.count.records, scale.stock_records[stream] // PAGE[stream]
    return [
        reader(bench, "tap-klaviyo", records, lambda empty: bench.tap(stream, empty=empty)),
        reader(bench, "plain loop", records, lambda empty: bench.plain_tap(stream, empty=empty)),
        reader(
            bench, "stock RESTStream", pages * PAGE[stream], lambda empty: bench.stock_tap(stream, pages, empty=empty)
        ),
    ]


def loaders(bench: Workbench, scale: Scale, stream: Stream, reading: Reading) -> list[Contender]:
    """target-insiderone, the plain loop, the SDK as it is, and target-insiderone without its ledger."""
    records, file, stock_records = reading.count.records, reading.file, scale.stock_records[stream]
    return [
        loader(bench, "target-insiderone", file, records, bench.target),
        loader(bench, "plain loop", file, records, lambda: bench.plain_target(stream)),
        loader(bench, "stock BatchSink", first_records(file, stock_records), stock_records, bench.stock_target),
        loader(bench, "itself without ledger", file, records, lambda: bench.target(ledger_days=0)),
    ]


def count_calls_to_klaviyo(few: Mapping[str, Reading], many: Mapping[str, Reading]) -> list[Calls]:
    """Count what tap-klaviyo asked of the API."""
    return [
        Calls(f"read {stream}", few[stream].count, many[stream].count, limit)
        for stream, limit in CALLS_TO_KLAVIYO.items()
    ]


def count_calls_to_insiderone(bench: Workbench, few: Mapping[str, Reading], many: Mapping[str, Reading]) -> list[Calls]:
    """Count what target-insiderone asked of the API."""

    def calls_for(reading: Reading) -> Counted:
        bench.load(bench.target(), reading.file)
        return Counted(reading.count.records, bench.calls_to_insiderone())

    return [
        Calls(f"load {stream}", calls_for(few[stream]), calls_for(many[stream]), CALLS_TO_INSIDERONE)
        for stream in CALLS_TO_KLAVIYO
    ]


def tap_memory(few: Reading, many: Reading) -> Memory:
    """The tap's peak; the readings measured it already."""
    small, large = (reading.usage.peak_mb for reading in (few, many))
    return Memory("tap-klaviyo, events", few.count.records, small, many.count.records, large, GROWTH_MB, TAP_PEAK_MB)


def target_memory(bench: Workbench, few: Reading, many: Reading) -> Memory:
    """The target's peak."""
    small, large = (bench.load(bench.target(), reading.file).peak_mb for reading in (few, many))
    return Memory("target-insiderone, events", few.count.records, small, many.count.records, large, GROWTH_MB)
