"""The cases, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from findings import Comparison, Findings
from loading_cases import (
    compare_filtering,
    compare_latency,
    compare_loaders,
    compare_skipping,
    count_calls_to_insiderone,
    load_recurring,
    loaders,
)
from memory_cases import peaks_of_the_pipe
from quota_cases import three_flows, use_of_the_quota
from races import pipe, race
from reading_cases import compare_readers, count_calls_to_klaviyo, hide_latency, readers, sparse_year
from servers import SLOW, SLOW_SECONDS, serving
from workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from before import Before
    from commands import Stream
    from races import Contender, Pace
    from scale import Scale
    from workbench import Reading

Part = Literal["reading", "loading", "quotas", "memory"]
PARTS: tuple[Part, ...] = get_args(Part)

PACED: tuple[Stream, ...] = ("events", "profiles")
PIPE_AGAINST_SLOWER_HALF = 0.85


def run_cases(folder: Path, scale: Scale, parts: AbstractSet[Part], before: Before | None) -> Findings:
    """Measure what is wanted; says on standard output what it is at."""
    found = Findings()
    if parts & {"reading", "loading"}:
        with serving() as shop, serving() as store:
            found += paces_and_calls(Workbench(folder / "shop", shop, store), scale, parts, before)
            if "loading" in parts:
                say("loading events of recurring persons")
                found += load_recurring(folder / "recurring", store, scale)
    if "quotas" in parts:
        say("reading under Klaviyo's quotas")
        found += use_of_the_quota(folder, scale) + three_flows(folder, scale)
    if "memory" in parts:
        say("measuring memory")
        found += peaks_of_the_pipe(folder, scale)
    return found


def say(what: str) -> None:
    """Tell whoever waits."""
    print(f"{what} ...", flush=True)


def paces_and_calls(bench: Workbench, scale: Scale, parts: AbstractSet[Part], before: Before | None) -> Findings:
    """Measure reading and loading on a shop that grows in between."""
    found = Findings()
    say("filling the shop")
    bench.spend_season(scale.seasons[0])
    few = bench.read_into_files()
    if "reading" in parts:
        say("reading with latency")
        found += hide_latency(bench) + sparse_year(bench.folder)
    bench.spend_season(scale.seasons[1])
    many = bench.read_into_files()
    for stream in PACED:
        say(f"pace of {stream}")
        found += compare_paces(bench, scale, stream, many[stream], parts, before)
    if "loading" in parts:
        say("filtering, skipping")
        found += compare_filtering(bench, scale, many["events"])
        found += compare_skipping(bench, scale, few["profiles"])
    say("counting calls")
    if "reading" in parts:
        found += count_calls_to_klaviyo(few, many)
    if "loading" in parts:
        found += count_calls_to_insiderone(bench, few, many)
    return found


def compare_paces(
    bench: Workbench,
    scale: Scale,
    stream: Stream,
    reading: Reading,
    parts: AbstractSet[Part],
    before: Before | None,
) -> Findings:
    """Let all that read and load one stream take turns, and set the plugins against the others."""
    reading_side = readers(bench, scale, stream, reading) if "reading" in parts else []
    loading_side = loaders(bench, scale, stream, reading, before) if "loading" in parts else []
    both_sides = pipes(bench, stream, reading) if reading_side and loading_side else []
    paces = iter(race([*reading_side, *loading_side, *both_sides], scale.rounds))
    read, loaded, piped = ([next(paces) for _ in side] for side in (reading_side, loading_side, both_sides))
    found = Findings()
    if read:
        found += compare_readers(stream, read)
    if loaded:
        found += compare_loaders(stream, loaded)
    if piped:
        found += compare_pipes(stream, piped, read[0], loaded[0])
    return found


def pipes(bench: Workbench, stream: Stream, reading: Reading) -> list[Contender]:
    """Both plugins at a time, between APIs that answer at once, and between APIs that take their time."""
    records = reading.count.records
    return [
        pipe(bench, "tap and target", stream, records),
        pipe(bench, f"tap and target at {SLOW}", stream, records, latency_seconds=SLOW_SECONDS),
    ]


def compare_pipes(stream: Stream, paces: list[Pace], tap: Pace, target: Pace) -> Findings:
    """Set the pipe against the slower of its halves, and against itself; *paces* as `pipes` names them."""
    fast, slow = paces
    case = f"pipe {stream}"
    row = Comparison(case, fast, min(tap, target, key=lambda half: half.rates.middle))
    return Findings([row.bound(PIPE_AGAINST_SLOWER_HALF)], [row]) + compare_latency(case, fast, slow)
