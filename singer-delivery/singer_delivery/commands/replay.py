"""``replay``: maps and sends rejected records again, after the mapping or the destination was corrected."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from singer_sdk.exceptions import InvalidJSONSchema

from singer_delivery.accounts.rejects import RejectsFile, RejectsLostError, events_of_entry
from singer_delivery.accounts.remedies import REMEDIES
from singer_delivery.disclosure import shown
from singer_delivery.errors import Finding, SettingsError
from singer_delivery.exact_json import encode
from singer_delivery.memory.data_dir import AlreadyRunningError
from singer_delivery.sending.items import Arrival
from singer_delivery.settings.suggestions import plain, slip_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.target import DeliveryTarget

NO_IDENTIFIER: Final = "no_identifier"
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RejectChoice:
    """Which rejects to replay; an empty set chooses all.

    *rejects*, *unidentified*: which files to read.
    """

    codes: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    rejects: bool = True
    unidentified: bool = False

    def takes(self, entry: Entry) -> bool:
        """Whether *entry* is chosen, whether or not it was replayed already."""
        codes = {entry["code"], *(line["code"] for line in entry.get("lines") or ())}
        streams = {entry["stream"], entry.get("source_stream")}
        return (
            (not self.codes or not self.codes.isdisjoint(codes))
            and (not self.streams or not self.streams.isdisjoint(streams))
            and (not self.keys or entry["key"] in self.keys)
        )


class _Line(msgspec.Struct):
    code: str
    event_type: str | None = None
    line: int | None = None
    line_ranges: list[tuple[int, int]] | None = None


class _Shape(msgspec.Struct):
    """The members that a line of the file must have."""

    id: str
    stream: str
    key: str
    code: str
    at: str
    record: Any
    key_properties: list[str] | None = None
    event_type: str | None = None
    line: int | None = None
    lines: list[_Line] | None = None
    attempt: int = 1
    source_stream: str | None = None


def is_reject(entry: Entry | None) -> bool:
    """Whether a line of the file is a reject, written by this version or an earlier one."""
    try:
        msgspec.convert(entry, _Shape)
        datetime.fromisoformat(entry["at"] if entry else "")
    except (msgspec.ValidationError, ValueError):
        return False
    return True


@dataclass(slots=True)
class ReplayResults:
    """Results of a replay: id of the reject -> (outcome, reason); *what* names them in messages."""

    what: str
    by_id: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    """Description of what cannot be replayed -> how many."""

    replayed_before: int = 0
    """How many of the chosen rejects had been replayed before."""

    def note(self, entry: Entry) -> Any:
        """Return the callback that records the outcome of *entry*."""

        def settled(outcome: Outcome, reason: str) -> None:
            self.by_id[entry["id"]] = (outcome, reason)

        return settled

    def count(self) -> Counter[str]:
        """Outcome -> number of rejects."""
        return Counter(outcome for outcome, _ in self.by_id.values())


def replay(target: DeliveryTarget, choice: RejectChoice) -> ReplayResults:
    """Map and send the chosen rejects again and mark each with its outcome; returns the results.

    One replay of an integration runs at a time: a second one waits, and takes what is left then. A record of which a
    newer version was delivered in the meantime is a ``duplicate``; one that is refused again becomes a new reject with
    a higher attempt.

    Raises:
        SettingsError: The ledger, which protects newer data, is switched off.
        click.UsageError: A chosen code, stream or key is unknown.
        Exception: Whatever ended the run; rejects settled before that are still marked.
    """
    if not target.settings.ledger_days:
        finding = Finding("ledger_days", "0: without the ledger a replay could overwrite newer data", "switch it on")
        raise SettingsError([finding])
    target.run.expects_delivery = False
    results = ReplayResults("reject(s)" if choice.rejects else "record(s) without identifier")
    with target.run.data_dir.alone("replay"):
        known = {*REMEDIES, *target.run.destination.remedies}
        _refuse_slips(choice, files_of(target, choice), target.settings.stream_kinds, known)
        target.work(lambda: _stage(target, choice, results), lambda: _mark(target, choice, results))
    return results


def replay_report(results: ReplayResults) -> str:
    """Describe in one line what a replay did and what it skipped."""
    counts = results.count()
    counted = ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
    line = f"replayed {sum(counts.values())} {results.what}{': ' if counted else ''}{counted}"
    if not counts and results.replayed_before:
        line += f"; all {results.replayed_before} chosen ones had been replayed before"
    for words, count in results.skipped.items():
        line += f"; skipped: {count} {words}"
    return line


def files_of(target: DeliveryTarget, choice: RejectChoice) -> list[RejectsFile]:
    """The files to replay from; a dry run reads the same files, but writes to its own."""
    kept = target.run.data_dir
    paths = [*([kept.rejects] if choice.rejects else []), *([kept.unidentified] if choice.unidentified else [])]
    return [RejectsFile(path, run_id=target.run.id) for path in paths]


def _refuse_slips(
    choice: RejectChoice, files: Sequence[RejectsFile], stream_kinds: Iterable[str], codes: set[str]
) -> None:
    """Refuse a choice with a misspelt name, which would otherwise end as `replayed 0`."""
    met_by_member = _met(choice, files)
    known: tuple[tuple[str, frozenset[str], str, Iterable[str]], ...] = (
        ("--code", choice.codes, "code", codes),
        ("--stream", choice.streams, "stream", stream_kinds),
        ("--key", choice.keys, "key", ()),
    )
    for option, chosen, member, always in known:
        met = met_by_member[member]
        if unknown := sorted(chosen - met - {*always}):
            near = slip_of(unknown[0], plain({*met, *always}))
            there = "" if member == "key" else ", ".join(sorted(plain(met)))
            hint = f"did you mean `{near}`?" if near else f"there are: {there}" if there else "look into rejects.jsonl"
            raise click.UsageError(f"{option}: no reject has the {member} `{shown(unknown[0])}`; {hint}")


def _met(choice: RejectChoice, files: Sequence[RejectsFile]) -> dict[str, set[str]]:
    """The codes, streams and keys in the files, as far as the choice names any."""
    met: dict[str, set[str]] = {"code": set(), "stream": set(), "key": set()}
    chosen = {"code": choice.codes, "stream": choice.streams, "key": choice.keys}
    wanted = [member for member, names in chosen.items() if names]
    for file in files if wanted else ():
        for entry in file.entries():
            for member in wanted:
                for holder in (entry or {}, *_lines_of(entry or {})):
                    if isinstance(value := holder.get(member), str):
                        met[member].add(value)
            if isinstance(source := (entry or {}).get("source_stream"), str):
                met["stream"].add(source)
    return met


def _lines_of(entry: Entry) -> list[Entry]:
    lines = entry.get("lines")
    return [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []


def _stage(target: DeliveryTarget, choice: RejectChoice, results: ReplayResults) -> None:
    """Stage the chosen rejects, one entry at a time.

    Raises:
        AlreadyRunningError: Some streams are being loaded; the rejects of all others were staged.
    """
    streams = _Streams(target)
    for file in files_of(target, choice):
        for entry in file.entries():
            if entry is None or not is_reject(entry):
                results.skipped["line(s) that are not a reject"] += 1
            elif not choice.takes(entry):
                continue
            elif "replayed" in entry:
                results.replayed_before += 1
            elif not isinstance(entry["record"], dict):
                results.skipped["line(s) of the input that were not a Singer message"] += 1
            elif refusal := streams.open(entry):
                results.skipped[refusal] += 1
            else:
                streams.take(entry, results)
    if streams.busy:
        raise streams.busy


class _Streams:
    """The streams whose rejects are replayed, each opened at its first reject."""

    def __init__(self, target: DeliveryTarget) -> None:
        self._target = target
        self._refusals: dict[str, str] = {}
        self.busy: AlreadyRunningError | None = None

    def open(self, entry: Entry) -> str:
        """Open the stream of an entry; returns why that is impossible, or an empty string."""
        source = self._source(entry)
        if source not in self._refusals:
            self._refusals[source] = ""
            try:
                self._target.expect_rejects(source, entry.get("key_properties") or [])
            except AlreadyRunningError as error:
                self.busy = error
                self._refusals[source] = "of streams that another run is loading"
            except (SettingsError, InvalidJSONSchema):
                self._refusals[source] = "of streams that are not in these settings"
        return self._refusals[source]

    def take(self, entry: Entry, results: ReplayResults) -> None:
        """Hand an entry to its stream, through the same stream map as before."""
        source = self._source(entry)
        aliases = {stream_map.stream_alias for stream_map in self._target.mapper.stream_maps[source]}
        arrival = Arrival(
            line=encode({"stream": source, "record": entry["record"]}),
            time_extracted=read_at(entry),
            attempt=entry.get("attempt", 1) + 1,
            only=events_of_entry(entry) or None,
            alias=entry["stream"] if entry["stream"] in aliases else "",
            settled=results.note(entry),
        )
        self._target.take(source, entry["record"], arrival)

    def _source(self, entry: Entry) -> str:
        """The stream's name in the input; version 0.1.0 kept only the name given by a stream map."""
        if source := entry.get("source_stream"):
            return str(source)
        maps = self._target.config.get("stream_maps") or {}
        renamed = (name for name, rows in maps.items() if isinstance(rows, dict))
        stream = str(entry["stream"])
        return next((str(name) for name in renamed if maps[name].get("__alias__") == stream), stream)


def read_at(entry: Entry) -> str:
    """When the record was read; if unknown, the end of the second in which it was rejected."""
    with suppress(ValueError, TypeError):
        datetime.fromisoformat(entry["time_extracted"])
        return str(entry["time_extracted"])
    at = datetime.fromisoformat(entry["at"])
    return (at.replace(tzinfo=at.tzinfo or UTC) + timedelta(microseconds=999_999)).isoformat()


def _are_kept(target: DeliveryTarget) -> bool:
    """Whether the rejects that the replay itself made are on disk."""
    try:
        target.run.rejects.sync()
    except RejectsLostError:
        return False
    return True


def _mark(target: DeliveryTarget, choice: RejectChoice, results: ReplayResults) -> None:
    """Mark the replayed entries with their outcome; one that was rejected again, only if its new reject is kept."""
    if not _are_kept(target):
        results.by_id = {key: found for key, found in results.by_id.items() if found[0] != "rejected"}
    at = datetime.now(tz=UTC).isoformat(timespec="seconds")

    def marked(entry: Entry) -> Entry:
        found = results.by_id.get(str(entry.get("id")))
        if found is not None and found[1] != NO_IDENTIFIER:  # it may be replayed again, after another correction
            outcome, reason = found
            entry["replayed"] = {"at": at, "run_id": target.run.id, "outcome": outcome, "reason": reason}
        return entry

    for file in files_of(target, choice) if not target.settings.dry_run else ():
        file.rewrite(marked)
