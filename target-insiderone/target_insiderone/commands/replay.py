"""`target-insiderone replay`: rejected records once more, after the mapping or Insider One was corrected."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from target_insiderone.disclosure import shown
from target_insiderone.errors import Finding, SettingsError
from target_insiderone.exact_json import encode
from target_insiderone.items import Arrival
from target_insiderone.near_miss import slip_of
from target_insiderone.remedies import MAPPING_CODES, REMEDIES
from target_insiderone.sightings import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from target_insiderone.accounting import Outcome
    from target_insiderone.rejects import RejectsFile
    from target_insiderone.target import TargetInsiderOne

NO_IDENTIFIER: Final = "no_identifier"
Entry = dict[str, Any]

log = logging.getLogger("target-insiderone")


@dataclass(frozen=True, slots=True)
class RejectChoice:
    """Which rejects to replay; an empty part chooses all.

    *rejects* and *unidentified*: from which files.
    """

    codes: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    rejects: bool = True
    unidentified: bool = False

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


def replay(target: TargetInsiderOne, choice: RejectChoice) -> Counter[str]:
    """Map and send the chosen rejects again and mark what became of each; returns the outcomes.

    What was delivered in the meantime in a newer version is not overwritten (``duplicate``); what is refused again
    becomes a new reject with a higher attempt.

    Raises:
        SettingsError: The ledger, which guards newer data, is switched off.
        click.UsageError: A code, a stream or a key of the choice is nowhere known.
        Exception: What ended the run; rejects that were settled before are marked all the same.
    """
    if not target.settings.ledger_days:
        finding = Finding("ledger_days", "0: without the ledger a replay could overwrite newer data", "switch it on")
        raise SettingsError([finding])
    target.run.expects_delivery = False
    kept = [entry for file in files_of(target, choice) for entry in file.read()]
    _refuse_slips(choice, kept, target.settings.stream_kinds)
    chosen = [entry for entry in kept if choice.takes(entry)]
    outcomes = Outcomes()
    target.work(lambda: _stage(target, chosen, outcomes), lambda: _mark(target, choice, outcomes))
    return outcomes.count()


def files_of(target: TargetInsiderOne, choice: RejectChoice) -> list[RejectsFile]:
    """The files to replay from."""
    files = [target.run.rejects] if choice.rejects else []
    if choice.unidentified and target.run.unidentified is not None:
        files.append(target.run.unidentified.file)
    return files


def _refuse_slips(choice: RejectChoice, kept: Sequence[Entry], stream_kinds: Iterable[str]) -> None:
    """Refuse a choice that can take nothing, now or later: it is a slip, and must not pass as `replayed 0`."""
    known: tuple[tuple[str, frozenset[str], str, Iterable[str]], ...] = (
        ("--code", choice.codes, "code", REMEDIES.keys() | MAPPING_CODES),
        ("--stream", choice.streams, "stream", stream_kinds),
        ("--key", choice.keys, "key", ()),
    )
    for option, chosen, member, always in known:
        met = {entry[member] for entry in kept if isinstance(entry.get(member), str)}
        if unknown := sorted(chosen - met - {*always}):
            near = slip_of(unknown[0], plain({*met, *always}))
            there = "" if member == "key" else ", ".join(sorted(plain(met)))
            hint = f"did you mean `{near}`?" if near else f"there are: {there}" if there else "look into rejects.jsonl"
            raise click.UsageError(f"{option}: no reject has the {member} `{shown(unknown[0])}`; {hint}")


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


def _mark(target: TargetInsiderOne, choice: RejectChoice, outcomes: Outcomes) -> None:
    at = datetime.now(tz=UTC).isoformat(timespec="seconds")

    def marked(entry: Entry) -> Entry:
        found = outcomes.by_id.get(entry.get("id", ""))
        if found is not None and found[1] != NO_IDENTIFIER:  # that one may still be brought, after another correction
            outcome, reason = found
            entry["replayed"] = {"at": at, "run_id": target.run.id, "outcome": outcome, "reason": reason}
        return entry

    for file in files_of(target, choice):
        file.rewrite(marked)
