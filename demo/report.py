"""The demo's tables, for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from figures import OUTCOMES, Check, Round, reasons, sent_events, sent_users, stream_figures
from meltano_project import ROOT
from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meltano_project import FinishedJob
    from rich.console import Console

SHOWN_OBJECTIONS = 3
FLOWS = {"profiles-sync": "profiles", "events-sync": "events", "subscriptions-sync": "subscriptions"}
"""Job -> label of its row."""


def print_rounds(console: Console, rounds: Sequence[Round]) -> None:
    """One row per flow and run; the reasons below the table."""
    table = Table(
        title="Outcomes of all records",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("run")
    table.add_column("flow", no_wrap=True)
    for column in ("read", *OUTCOMES, "Klaviyo\nrequests", "Insider\nrequests"):
        table.add_column(column, justify="right", vertical="bottom", no_wrap=True)
    for number, jobs in enumerate(rounds, start=1):
        table.add_section()
        for job in jobs.jobs:
            table.add_row(str(number), *_row(job))
    console.print(table)
    for number, jobs in enumerate(rounds, start=1):
        for job in jobs.jobs:
            for reason in reasons(job):
                console.print(f"run {number}, {FLOWS[job.job]}: {reason}", style="dim")
    console.print()


def _row(job: FinishedJob) -> list[str]:
    figures = stream_figures(job)
    requests = (job.tap_summary.get("requests", 0), sum(job.run_summary.get("requests", {}).values()))
    return [
        FLOWS[job.job],
        *(f"{count:,}" for count in (figures["read"], *(figures[name] for name in OUTCOMES), *requests)),
    ]


def print_increment(console: Console, second: Round) -> None:
    """The number of users and events that the second run sent, by kind."""
    users = list(sent_users(second.insiderone))
    profiles = sum("attributes" in user for user in users)
    types = Counter(event["event_name"] for event in sent_events(second.insiderone))
    events = ", ".join(f"{count} {name}" for name, count in types.most_common()) or "none"
    console.print(f"Run 2 sent {profiles} profiles and {types.total()} events ({events}).\n")


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """The checks that passed and failed, with the first objections."""
    table = Table(title="Checks", title_justify="left", show_header=False, box=None)
    for check in checks:
        if check.objections:
            shown = ", ".join(check.objections[:SHOWN_OBJECTIONS])
            table.add_row("[red]FAILED[/]", f"{check.statement} ({len(check.objections)}: {shown})")
        else:
            table.add_row("[green]ok[/]", check.statement)
    console.print(table)
    console.print()


def print_places(console: Console, data_dir: Path, logs: Path) -> None:
    """Where to find details."""
    folder = (data_dir / "klaviyo").relative_to(ROOT)
    places = Table(title="Where to look", title_justify="left", show_header=False, box=None)
    places.add_row("rejected records", str(folder / "rejects.jsonl"))
    places.add_row("run summaries", str(folder / "summary-*.json"))
    places.add_row("logs of the six runs", str(logs.relative_to(ROOT)))
    places.add_row("the people in Insider One", "DEMO_KEEP=1 make demo, then the page printed at the end")
    console.print(places)
    console.print()
