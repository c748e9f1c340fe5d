"""`target-insiderone replay`: rejected records once more, after the mapping or Insider One was corrected."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_insiderone.errors import Finding, SettingsError
from target_insiderone.exact_json import encode
from target_insiderone.items import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_insiderone.accounting import Outcome
    from target_insiderone.target import TargetInsiderOne

Entry = dict[str, Any]

log = logging.getLogger("target-insiderone")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rejects to replay; an empty part chooses all."""

    codes: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def takes(self, entry: Entry) -> bool:
        """Whether *entry* is chosen; what was replayed already, or was no record, never is."""
        return (
            "replayed" not in entry
            and isinstance(entry.get("record"), dict)
            and (not self.codes or entry["code"] in self.codes)
            and (not self.streams or entry["stream"] in self.streams)
            and (not self.keys or entry["key"] in self.keys)
        )


@dataclass(slots=True)
class Outcomes:
    """What became of the replayed rejects: id of the reject -> (outcome, reason)."""

    by_id: dict[str, tuple[Outcome, str]] = field(default_factory=dict)

    def note(self, entry: Entry) -> Any:
        """The callback that notes the outcome of *entry*."""

        def settled(outcome: Outcome, reason: str) -> None:
            self.by_id[entry["id"]] = (outcome, reason)

        return settled

    def count(self) -> Counter[str]:
        """How many came to which outcome."""
        return Counter(outcome for outcome, _ in self.by_id.values())


def replay(target: TargetInsiderOne, choice: Choice) -> Counter[str]:
    """Map and send the chosen rejects again and mark what became of each; returns the outcomes.

    What was delivered in the meantime in a newer version is not overwritten (``duplicate``); what is refused again
    becomes a new reject with a higher attempt.

    Raises:
        SettingsError: The ledger, which guards newer data, is switched off.
        Exception: What ended the run; rejects that were settled before are marked all the same.
    """
    if not target.settings.ledger_days:
        finding = Finding("ledger_days", "0: without the ledger a replay could overwrite newer data", "switch it on")
        raise SettingsError([finding])
    chosen = [entry for entry in target.run.rejects.read() if choice.takes(entry)]
    outcomes = Outcomes()
    target.work(lambda: _stage(target, chosen, outcomes), lambda: _mark(target, outcomes))
    return outcomes.count()


def _stage(target: TargetInsiderOne, chosen: Iterable[Entry], outcomes: Outcomes) -> None:
    ready: set[str] = set()
    for entry in chosen:
        stream = entry["stream"]
        if stream not in ready:
            target.expect_rejects(stream, entry.get("key_properties") or [])
            ready.add(stream)
        arrival = Arrival(
            line=encode({"record": entry["record"]}),
            time_extracted=entry.get("time_extracted") or entry["at"],
            attempt=entry.get("attempt", 1) + 1,
            only=(entry["event_type"], entry["line"]) if entry.get("event_type") else None,
            settled=outcomes.note(entry),
        )
        target.take(stream, entry["record"], arrival)


def _mark(target: TargetInsiderOne, outcomes: Outcomes) -> None:
    at = datetime.now(tz=UTC).isoformat(timespec="seconds")

    def marked(entry: Entry) -> Entry:
        found = outcomes.by_id.get(entry.get("id", ""))
        if found is not None:
            outcome, reason = found
            entry["replayed"] = {"at": at, "run_id": target.run.id, "outcome": outcome, "reason": reason}
        return entry

    target.run.rejects.rewrite(marked)
