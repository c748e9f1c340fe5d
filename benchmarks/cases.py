"""The cases, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from findings import Comparison, Findings
from loading_cases import compare_filtering, compare_loaders, compare_skipping, count_calls_to_insiderone, loaders
from memory_cases import peaks_of_the_pipe
from quota_cases import three_flows, use_of_the_quota
from races import pipe, race
from reading_cases import compare_readers, count_calls_to_klaviyo, hide_latency, readers, sparse_year
from servers import serving
from workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from commands import Stream
    from races import Pace
    from scale import Scale
    from workbench import Reading

Part = Literal["reading", "loading", "quotas", "memory"]
PARTS: tuple[Part, ...] = get_args(Part)

PACED: tuple[Stream, ...] = ("events", "profiles")
PIPE_AGAINST_SLOWER_HALF = 0.85


def run_cases(folder: Path, scale: Scale, parts: AbstractSet[Part]) -> Findings:
    """Measure what is wanted; says on standard output what it is at."""
    found = Findings()
    if parts & {"reading", "loading"}:
        with serving() as shop, serving() as store:
            found += paces_and_calls(Workbench(folder, shop, store), scale, parts)
    if "quotas" in parts:
        say("reading under Klaviyo's quotas")
        found += Findings(bounds=[*use_of_the_quota(folder, scale), *three_flows(folder, scale)])
    if "memory" in parts:
        say("measuring memory")
        found += Findings(memory=peaks_of_the_pipe(folder, scale))
    return found


def say(what: str) -> None:
    """Tell whoever waits."""
    print(f"{what} ...", flush=True)


def paces_and_calls(bench: Workbench, scale: Scale, parts: AbstractSet[Part]) -> Findings:
    """Measure reading and loading on a shop that grows in between."""
    found = Findings()
    say("filling the shop")
    bench.spend_season(scale.seasons[0])
    few = bench.read_into_files()
    if "reading" in parts:
        say("reading with latency")
        found += hide_latency(bench) + Findings(bounds=sparse_year(bench.folder))
    bench.spend_season(scale.seasons[1])
    some = bench.read_into_files()
    for stream in PACED:
        say(f"pace of {stream}")
        found += Findings(comparisons=compare_paces(bench, scale, stream, some[stream], parts))
    if "loading" in parts:
        say("filtering, skipping")
        found += Findings(comparisons=compare_filtering(bench, scale, some["events"]))
        found += Findings(comparisons=compare_skipping(bench, scale, some["profiles"]))
    say("counting calls")
    bench.spend_season(scale.seasons[2])
    many = bench.read_into_files()
    if "reading" in parts:
        found += Findings(calls=count_calls_to_klaviyo(few, many))
    if "loading" in parts:
        found += Findings(calls=count_calls_to_insiderone(bench, few, many))
    return found


def compare_paces(
    bench: Workbench, scale: Scale, stream: Stream, reading: Reading, parts: AbstractSet[Part]
) -> list[Comparison]:
    """Let all that read and load one stream take turns, and set the plugins against the others."""
    reading_side = readers(bench, scale, stream, reading) if "reading" in parts else []
    loading_side = loaders(bench, scale, stream, reading) if "loading" in parts else []
    both_sides = [pipe(bench, stream, reading.count.records)] if reading_side and loading_side else []
    paces = race([*reading_side, *loading_side, *both_sides], scale.rounds)
    read, loaded = paces[: len(reading_side)], paces[len(reading_side) :][: len(loading_side)]
    comparisons = compare_readers(stream, read) if read else []
    comparisons += compare_loaders(stream, loaded) if loaded else []
    comparisons += [compare_pipe(stream, paces[-1], read[0], loaded[0])] if both_sides else []
    return comparisons


def compare_pipe(stream: Stream, both: Pace, tap: Pace, target: Pace) -> Comparison:
    """Set the pipe against the slower of its halves."""
    slower = min(tap, target, key=lambda half: half.rates.middle)
    return Comparison(f"pipe {stream}", both, slower, PIPE_AGAINST_SLOWER_HALF)
