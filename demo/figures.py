"""The demo's figures, from the runs' summaries and the sandbox's journals, and the checks that compare them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meltano_project import FinishedJob

OUTCOMES = ("delivered", "unchanged", "duplicate", "filtered", "rejected")

STREAMS = {
    "profiles-sync": "profiles",
    "events-sync": "events",
    "subscriptions-sync": "subscription_changes",
}
"""Job -> its stream."""

Entry = dict[str, Any]
"""One request in a sandbox journal."""


@dataclass(frozen=True)
class Check:
    """One statement about the runs, and what contradicts it."""

    statement: str
    objections: Sequence[str] = ()


@dataclass(frozen=True)
class Round:
    """The three jobs of one round, and the requests that the two APIs received."""

    jobs: Sequence[FinishedJob]
    klaviyo: Sequence[Entry]
    insiderone: Sequence[Entry]


def stream_figures(job: FinishedJob) -> dict[str, Any]:
    """The target's counts for the job's stream; zeros if it had no record."""
    figures: dict[str, Any] = job.run_summary.get("streams", {}).get(STREAMS[job.job], {})
    return dict.fromkeys(("read", *OUTCOMES, "pending"), 0) | {"reasons": {}} | figures


def reasons(job: FinishedJob) -> Iterator[str]:
    """Why records were not sent, one line per outcome: ``filtered: no_identifier 20``."""
    for outcome, counts in stream_figures(job)["reasons"].items():
        yield f"{outcome}: " + ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def checks_of(number: int, jobs: Round) -> Iterator[Check]:
    """Compare the figures of one round with each other."""
    codes = [f"{job.job} ended with {job.exit_code}" for job in jobs.jobs if job.exit_code]
    yield Check(f"run {number}: all three jobs ended with exit code 0", codes)
    yield Check(
        f"run {number}: in every flow, read = delivered + unchanged + duplicate + filtered + rejected",
        [job.job for job in jobs.jobs if not is_balanced(job)],
    )
    yield Check(
        f"run {number}: every target read as many records as its tap wrote",
        [job.job for job in jobs.jobs if job.tap_summary.get("emitted") != stream_figures(job)["read"]],
    )
    asked = sum(job.tap_summary.get("requests", 0) for job in jobs.jobs)
    seen = len(jobs.klaviyo)
    yield Check(
        f"run {number}: Klaviyo's journal holds {seen} requests, as many as the taps counted",
        [] if asked == seen else [f"the taps counted {asked}"],
    )
    writes = {entry["method"] for entry in jobs.klaviyo} - {"GET"}
    yield Check(f"run {number}: nothing was written to Klaviyo", sorted(writes))


def is_balanced(job: FinishedJob) -> bool:
    """Whether the outcomes add up to the records read, and none is unsettled."""
    figures = stream_figures(job)
    settled = sum(figures[outcome] for outcome in OUTCOMES)
    return bool(job.run_summary) and figures["read"] == settled and not figures["pending"]


def sent_users(entries: Iterable[Entry]) -> Iterator[Mapping[str, Any]]:
    """The users of all accepted upserts, as sent."""
    for entry in entries:
        if entry["status"] == 200:
            yield from entry["body"]["users"]


def sent_events(entries: Iterable[Entry]) -> Iterator[Mapping[str, Any]]:
    """The events of all accepted upserts, as sent."""
    for user in sent_users(entries):
        yield from user.get("events", ())


def event_key(event: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """Identity of an event: Klaviyo's event id, the event type, the order line."""
    custom = event["event_params"]["custom"]
    return custom["klaviyo_event_id"], event["event_name"], custom.get("line")


def count_keys(events: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str, int | None]]:
    """How often each event occurs."""
    return Counter(event_key(event) for event in events)
