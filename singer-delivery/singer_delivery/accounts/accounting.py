"""Counts the outcome of every record; the outcomes must add up to the number of records read."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from singer_delivery.disclosure import shown, shown_once

if TYPE_CHECKING:
    from collections.abc import Iterable

Outcome = Literal["delivered", "unchanged", "duplicate", "filtered", "rejected"]

OUTCOMES: tuple[Outcome, ...] = ("delivered", "unchanged", "duplicate", "filtered", "rejected")
UNREADABLE = "(unreadable)"
"""Lines that are not Singer messages are counted under this stream name."""


@dataclass(slots=True)
class Tally:
    """Counts of one thread. Threads never share a tally; the report adds them up.

    Keys: *read* by stream; *records* and *events* by (stream, outcome, reason), with an empty reason for delivered
    ones; *notes* by (stream, code, field), such as ``("profiles", "identifier_skipped", "phone_number")``; *settled* by
    stream, counting the settled records that had been staged for a request.
    """

    read: Counter[str] = field(default_factory=Counter)
    records: Counter[tuple[str, Outcome, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, Outcome, str]] = field(default_factory=Counter)
    notes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)

    def record(self, stream: str, outcome: Outcome, reason: str = "") -> None:
        """Count one record's outcome."""
        self.records[stream, outcome, reason] += 1

    def event(self, stream: str, outcome: Outcome, reason: str = "", count: int = 1) -> None:
        """Count the outcome of events made from records."""
        self.events[stream, outcome, reason] += count


class Accounts:
    """All tallies of a run, and their totals."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: list[Tally] = []

    def new_tally(self) -> Tally:
        """Create a tally for one thread."""
        tally = Tally()
        with self._lock:
            self._tallies.append(tally)
        return tally

    def rejected(self) -> tuple[int, int]:
        """(records rejected, records read), unreadable lines included."""
        total = self._total()
        rejected = sum(count for (_, outcome, _), count in total.records.items() if outcome == "rejected")
        return rejected, sum(total.read.values())

    def settled(self) -> Counter[str]:
        """How many staged records of each stream are settled."""
        return self._total().settled

    def report(self, pending: Counter[str]) -> dict[str, Any]:
        """The figures of the run summary.

        *pending*: stream -> records that were staged but not settled. Shape: ``{"streams": {stream: {"read": n,
        "delivered": n, …, "pending": n, "reasons": {"filtered": {reason: n}}, "events": {outcome: n}, "notes": {"code
        field": n}}}, "requests": {…}, "unbalanced": [stream]}``; *unbalanced* names the streams whose outcomes do not
        add up to the records read, and is empty unless there is a bug.
        """
        total = self._total()
        names = shown_once(sorted(total.read))
        streams = {names[stream]: _stream_report(stream, total, pending[stream]) for stream in sorted(total.read)}
        unbalanced = [
            stream
            for stream, figures in streams.items()
            if figures["read"] != figures["pending"] + sum(figures[outcome] for outcome in OUTCOMES)
        ]
        return {"streams": streams, "requests": dict(total.requests), "unbalanced": unbalanced}

    def _total(self) -> Tally:
        total = Tally()
        with self._lock:
            tallies = list(self._tallies)
        for tally in tallies:
            total.read.update(tally.read.copy())
            total.records.update(tally.records.copy())
            total.events.update(tally.events.copy())
            total.notes.update(tally.notes.copy())
            total.requests.update(tally.requests.copy())
            total.settled.update(tally.settled.copy())
        return total


def _stream_report(stream: str, total: Tally, pending: int) -> dict[str, Any]:
    records = _of_stream(stream, total.records)
    events = _of_stream(stream, total.events)
    figures: dict[str, Any] = {"read": total.read[stream]}
    figures |= {outcome: sum(records[outcome].values()) for outcome in OUTCOMES}
    figures["pending"] = pending
    named = {outcome: {why: n for why, n in sorted(reasons.items()) if why} for outcome, reasons in records.items()}
    figures["reasons"] = {outcome: reasons for outcome, reasons in named.items() if reasons}
    if any(events.values()):
        figures["events"] = {outcome: sum(reasons.values()) for outcome, reasons in events.items() if reasons}
    notes: Counter[str] = Counter()
    for (of, code, name), count in sorted(total.notes.items()):
        if of == stream:
            notes[f"{code} {shown(name)}".strip()] += count
    if notes:
        figures["notes"] = dict(notes)
    return figures


def _of_stream(stream: str, counts: Counter[tuple[str, Outcome, str]]) -> dict[Outcome, Counter[str]]:
    found: dict[Outcome, Counter[str]] = {outcome: Counter() for outcome in OUTCOMES}
    for (of, outcome, reason), count in counts.items():
        if of == stream:
            found[outcome][reason] += count
    return found


def as_table(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows of the summary table: a header, then one row per stream; it fits 80 columns.

    Outcomes that no stream had are left out, except *delivered* and *rejected*.
    """
    streams = report["streams"]
    columns = [
        column
        for column in ("read", *OUTCOMES, "pending")
        if column in {"read", "delivered", "rejected"} or any(figures[column] for figures in streams.values())
    ]
    rows = [("stream", *columns)]
    for stream, figures in streams.items():
        rows.append((stream, *(f"{figures[column]:,}" for column in columns)))
    return rows


def reasons_of(report: dict[str, Any]) -> Iterable[str]:
    """One line per stream and outcome with its reasons, for outcomes that have any."""
    for stream, figures in report["streams"].items():
        for outcome, reasons in figures["reasons"].items():
            why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            yield f"{stream}: {outcome}: {why}"
