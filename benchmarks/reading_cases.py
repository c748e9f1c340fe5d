"""What is asked of tap-klaviyo: its pace, what latency costs it, and how many requests it sends."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from commands import PLUGIN_TAP, Taps
from figures import Spread
from findings import Bound, Calls, Comparison, Findings
from measuring import measure
from project import flows
from races import race, reader
from servers import SLOW_SECONDS, latency, serving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from klaviyo_insiderone_sandbox.testing import Sandbox

    from commands import Stream
    from measuring import Command
    from races import Contender, Pace
    from scale import Scale
    from workbench import Reading, Workbench

PAGE: Mapping[Stream, int] = {"events": 1_000, "profiles": 100}
"""Stream -> records of a page, the API's maximum."""

AGAINST_PLAIN = {"events": 0.9, "profiles": 0.7}
AGAINST_STOCK = 7.0

AGAINST_ONE_AT_A_TIME = 8.0

SPARSE_EVENTS, SPARSE_DAYS = 100, 365
SPARSE_CALLS = 30

CALLS_TO_KLAVIYO: Mapping[Stream, int] = {"events": 1, "profiles": 10, "subscription_changes": 12}
"""Stream -> requests allowed for 1,000 records: their pages; changes of consent need the pages of their events too."""


def readers(bench: Workbench, scale: Scale, stream: Stream, reading: Reading) -> list[Contender]:
    """tap-klaviyo, the plain loop, the SDK as it is."""
    records, pages = reading.count.records, scale.stock_records[stream] // PAGE[stream]
    return [
        reader(bench, "tap-klaviyo", records, lambda taps: taps.tap(stream)),
        reader(bench, "plain loop", records, lambda taps: taps.plain(stream)),
        reader(bench, "stock RESTStream", pages * PAGE[stream], lambda taps: taps.stock(stream, pages)),
    ]


def compare_readers(stream: Stream, paces: Sequence[Pace]) -> Findings:
    """Set the tap against the others; *paces* as `readers` names them."""
    tap, plain, stock = paces
    against_plain, against_stock = (Comparison(f"read {stream}", tap, other) for other in (plain, stock))
    bounds = [against_plain.bound(AGAINST_PLAIN[stream]), against_stock.bound(AGAINST_STOCK)]
    return Findings(bounds, [against_plain, against_stock])


def hide_latency(bench: Workbench) -> Findings:
    """Let the tap read profiles and events with a wait before every page, as it does by default and one by one.

    A single round: the second takes as long as all its pages.
    """
    counts = bench.shop.sandbox.counts()
    records, pages = sum(counts[stream] for stream in PAGE), sum(ceil(counts[stream] / PAGE[stream]) for stream in PAGE)
    one_by_one = {"max_concurrency": 1}
    contenders = [
        reader(bench, "one request at a time", records, lambda taps: taps.tap(*PAGE, settings=one_by_one)),
        reader(bench, "tap-klaviyo", records, lambda taps: taps.tap(*PAGE)),
    ]
    case = f"read both, {SLOW_SECONDS * 1_000:.0f} ms a page"
    with latency(SLOW_SECONDS, bench.shop):
        theirs, ours = race(contenders, rounds=1)
    requests = len(bench.shop.sandbox.journal())
    row = Comparison(case, ours, theirs)
    bounds = [row.bound(AGAINST_ONE_AT_A_TIME), Bound(case, f"requests for {pages} full pages", Spread((requests,)))]
    return Findings(bounds, [row])


def sparse_year(folder: Path) -> Findings:
    """Count the requests for a year with few events, slow pages included: they are what windows are cut for."""
    named = next(flow.settings["event_metrics"] for flow in flows() if flow.stream == "events")
    with serving() as shop:
        shop.sandbox.seed(20, SPARSE_EVENTS, days=SPARSE_DAYS, hostile=False)
        taps = Taps(folder, shop.sandbox)
        with latency(SLOW_SECONDS, shop):
            every = requests_of(shop.sandbox, taps.tap("events", program=PLUGIN_TAP))
            some = requests_of(shop.sandbox, taps.tap("events", program=PLUGIN_TAP, settings={"event_metrics": named}))
    case = f"a sparse year ({SPARSE_EVENTS} events)"
    return Findings(
        [
            Bound(f"{case}, all metrics", "requests", every, at_most=SPARSE_CALLS),
            Bound(f"{case}, the {len(named)} metrics of meltano.yml", "requests", some, at_most=SPARSE_CALLS),
        ]
    )


def requests_of(sandbox: Sandbox, command: Command) -> Spread:
    """Count the requests of one command."""
    sandbox.clear_journal()
    measure(command)
    return Spread((len(sandbox.journal()),))


def count_calls_to_klaviyo(few: Mapping[Stream, Reading], many: Mapping[Stream, Reading]) -> Findings:
    """Count what tap-klaviyo asked of the API."""
    found = Findings()
    for stream, limit in CALLS_TO_KLAVIYO.items():
        calls = Calls(f"read {stream}", few[stream].count, many[stream].count)
        found += Findings(calls.bounds(limit), calls=[calls])
    return found
