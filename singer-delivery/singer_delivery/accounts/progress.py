"""Whether each stream has delivered anything; until then, no STATE passes records that wrong settings may have lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.accounts.accounting import UNREADABLE
from singer_delivery.disclosure import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

REACHED: Final = frozenset({"delivered", "unchanged", "duplicate"})
"""Outcomes which show that the settings identify the person."""

UNWANTED: Final = frozenset({"no_identifier", "no_attributes"})
"""Reasons for filtering a record that are probably a mistake in the settings; all others are intended."""

QUIET_ROWS: Final = 100
"""With fewer rows than this, settings that delivered before are trusted: one hour may bring only one odd person."""


@dataclass(slots=True)
class Progress:
    """Which streams have delivered records, and which have lost some unintentionally; shared by all threads."""

    reached: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)

    def note(self, stream: str, outcome: str, reason: str) -> None:
        """Take one record's outcome."""
        if outcome in REACHED or reason == "partly_rejected":
            self.reached.add(stream)
        elif outcome == "rejected" or reason in UNWANTED:
            self.doubtful.add(stream)

    def may_pass(self) -> bool:
        """Whether a STATE may be written: every stream that lost records has also delivered some."""
        return self.doubtful <= self.reached


@dataclass(frozen=True, slots=True)
class UndeliveredStream:
    """A stream that delivered nothing. *reasons*: reason -> records; *read* counts all records."""

    stream: str
    read: int
    rejected: int
    reasons: Mapping[str, int]

    def __str__(self) -> str:
        why = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.items())
        where = (
            "of the input's lines"
            if self.stream == UNREADABLE
            else f"stream {shown(self.stream)}: of {self.read:,} record{'' if self.read == 1 else 's'}"
        )
        return f"{where} nothing was delivered ({why})"


def undelivered_streams(
    streams: Mapping[str, Mapping[str, Any]], slipped: Mapping[str, int]
) -> list[UndeliveredStream]:
    """The streams of a run's report that delivered nothing and lost records unintentionally.

    *slipped*: stream -> records of a metric whose name is nearly a mapped one.
    """
    found = []
    others_read = any(figures["read"] for stream, figures in streams.items() if stream != UNREADABLE)
    for stream, figures in streams.items():
        if any(figures[outcome] for outcome in REACHED) or figures.get("events", {}).get("delivered"):
            continue
        if stream == UNREADABLE and others_read:
            continue
        reasons = figures["reasons"]
        unwanted = dict(reasons.get("rejected", {}))
        unwanted |= {why: count for why, count in reasons.get("filtered", {}).items() if why in UNWANTED}
        if slipped.get(stream):
            unwanted["unmapped_metric"] = slipped[stream]
        if unwanted:
            found.append(UndeliveredStream(stream, figures["read"], figures["rejected"], unwanted))
    return found
