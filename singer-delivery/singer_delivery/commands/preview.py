"""``preview``: shows the rows that Singer lines would become; nothing is sent.

The records go through the target itself, as in a run; the sinks print items instead of handing them to the lanes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

import click

from singer_delivery.accounts.remedies import REMEDIES
from singer_delivery.destination import OnceKind
from singer_delivery.disclosure import shown
from singer_delivery.exact_json import encode
from singer_delivery.memory.data_dir import DataDir
from singer_delivery.run import Run
from singer_delivery.sending.items import VersionItem
from singer_delivery.settings.suggestions import plain, slip_of
from singer_delivery.sink import DeliverySink
from singer_delivery.target import DeliveryTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from singer_delivery.accounts.accounting import Outcome
    from singer_delivery.destination import Group
    from singer_delivery.errors import Filtered, Rejected
    from singer_delivery.sending.items import Arrival, Item

Shown = dict[str, Any]
"""``{"stream", "key", "outcome", "reason", "left_out": ["why: field"], "not_mapped": [field]}``, and the kind's view
of the row (`Kind.shown`)."""


@dataclass(frozen=True, slots=True)
class RecordChoice:
    """Which records to show; None: all."""

    stream: str | None = None
    metric: str | None = None
    key: str | None = None

    def takes(self, stream: str, metric: object, key: str) -> bool:
        """Whether a record is to be shown."""
        return self.stream in (None, stream) and self.metric in (None, metric) and self.key in (None, key)


@dataclass(slots=True)
class Met:
    """Streams and metrics of the input, and how many records were chosen."""

    streams: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    chosen: int = 0


class PreviewSink(DeliverySink):
    """A sink that shows each item instead of sending it."""

    current: dict[str, Shown]
    """Result for the present record, by stream (stream maps can make several); shared by all sinks."""

    def take(self, record: dict[str, Any], arrival: Arrival) -> None:
        """Process one record as a run does."""
        key = "|".join(str(record.get(name, "")) for name in self.key_properties)
        found = self._found()
        found["key"] = key
        super().take(record, arrival)
        found["record"] = record

    def hand_over(self, group: Group, item: Item) -> None:
        """Show an item instead of sending it."""
        found = self._found()
        found["outcome"] = "sent"
        row: bytes | None = None
        clearing: bytes | None = None
        if isinstance(item, VersionItem):
            row = item.version.row({name: value for name, (value, _) in item.version.optins.items()})
            clearing = item.version.clearing()
        elif isinstance(self._kind, OnceKind):
            row = self._kind.row(item.identifiers, [event.body for event in item.events])
        found.update(self._kind.shown(group.variant, row, clearing))

    def settle(self, arrival: Arrival, outcome: Outcome, reason: str) -> None:
        """Show why a record is not sent."""
        found = self._found()
        found["outcome"] = outcome
        found.setdefault("reason", reason)
        super().settle(arrival, outcome, reason)

    def reject(self, why: Rejected, key: str, arrival: Arrival) -> None:
        """Show why a record is rejected."""
        del key, arrival
        self._found()["reason"] = f"{why.code} ({why.field}): {self._remedy(why)}"

    def leave_out(self, why: Filtered | Rejected, event_type: str, number: int | None) -> None:
        """Show why one event of a record is not sent."""
        self._found()["left_out"].append(f"{why} (line {number or 'none'} of {event_type})")

    def note(self, notes: Sequence[tuple[str, str]]) -> None:
        """Show which parts of a record are left out."""
        self._found()["left_out"] += [f"{code}: {name}" for code, name in notes]
        super().note(notes)

    def keep_unidentified(self, key: str, arrival: Arrival) -> None:
        """Do nothing: a preview keeps no records."""

    def _found(self) -> Shown:
        return self.current.setdefault(
            self.stream_name, {"stream": self.stream_name, "key": "", "outcome": "", "left_out": []}
        )


class PreviewRun(Run):
    """A run in a temporary data folder, without announcements and report."""

    def __init__(self, target: PreviewTarget, folder: str) -> None:
        settings = replace(
            target.settings, data_dir=folder, dry_run=True, ledger_days=0, ledger_url=None, max_parallel_requests=1
        )
        destination = target.destination(settings)
        super().__init__(settings, destination, target.given, target.interruption, target.properties())

    def _log_facts(self) -> None:
        """Say nothing: the folder and the dry run are details of the preview."""

    def finish(self) -> None:
        """End, without a report."""
        self.lanes.finish()


class PreviewTarget(DeliveryTarget):
    """The target with `PreviewSink`; *show* is called with the result of each chosen record."""

    sink_class: ClassVar[type[DeliverySink]] = PreviewSink

    def __init__(
        self, config: Mapping[str, Any], folder: str, choice: RecordChoice, show: Callable[[Shown], None]
    ) -> None:
        super().__init__(config=dict(config))
        self.given = dict(config)
        self.met = Met()
        self._folder = folder
        self._choice = choice
        self._show = show
        self._current: dict[str, Shown] = {}
        self._keys: dict[str, Sequence[str]] = {}

    @property
    def interruption(self) -> Any:
        """The run's interruption."""
        return self._interruption

    @cached_property
    def run(self) -> Run:
        """This run, which sends nothing."""
        return PreviewRun(self, self._folder)

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Make the stream's sink, and connect it with this preview."""
        super()._process_schema_message(message_dict)
        stream = message_dict["stream"]
        self._keys[stream] = message_dict.get("key_properties") or []
        for stream_map in self.mapper.stream_maps[stream]:
            sink = self.get_sink(stream_map.stream_alias)
            if isinstance(sink, PreviewSink):
                sink.current = self._current

    def take(self, stream: str, record: dict[str, Any], arrival: Arrival) -> None:
        """Process a record and show the result, if the record is chosen."""
        if stream not in self._keys:
            self._use_last_schema(stream)
        metric = record.get("metric_name")
        self.met.streams[stream] += 1
        if isinstance(metric, str):
            self.met.metrics[metric] += 1
        key = "|".join(str(record.get(name, "")) for name in self._keys.get(stream, ()))
        if not self._choice.takes(stream, metric, key):
            return
        self.met.chosen += 1
        self._current.clear()
        super().take(stream, record, arrival)
        for found in self._current.values():
            record = found.pop("record", {})
            if found["outcome"] != "filtered":
                found["not_mapped"] = self.run.destination.not_mapped(record)
            self._show(found)

    def _count_unreadable(self, line: bytes) -> None:
        """Show that a line is not a message."""
        super()._count_unreadable(line)
        self._show(
            {
                "stream": "(unreadable)",
                "key": "",
                "outcome": "rejected",
                "reason": f"unreadable: {REMEDIES['unreadable']}",
            }
        )

    def _use_last_schema(self, stream: str) -> None:
        """Use the SCHEMA of the stream's last run if the input has none, as a replay does."""
        settings = self.settings
        if (Path(settings.data_dir).expanduser() / settings.integration_name).exists():
            message = DataDir(settings.data_dir, settings.integration_name).read_schema(stream)
            if message is not None:
                self._process_schema_message({"key_properties": ["id"], **message})


class Screen:
    """Prints results: per stream, up to *limit* sent or rejected records, and one filtered record per reason."""

    def __init__(self, *, as_json: bool, limit: int) -> None:
        self._as_json = as_json
        self._limit = limit
        self._printed: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str, str]] = Counter()
        self._open = True

    def show(self, found: Shown) -> None:
        """Count one record, and print it if the limit allows."""
        stream, outcome = found["stream"], found["outcome"]
        reason = found.get("reason", "").partition(":")[0].partition(" ")[0]
        self._reasons[stream, outcome, reason] += 1
        if outcome == "filtered":
            wanted = self._reasons[stream, outcome, reason] == 1
        else:
            wanted = self._printed[stream] < self._limit
            self._printed[stream] += wanted
        if wanted and self._open:
            self._print(encode(found).decode() if self._as_json else as_text(found))

    def sum_up(self) -> None:
        """Print the number of records by outcome to standard error; standard output has only the records."""
        for stream in dict.fromkeys(stream for stream, _, _ in self._reasons):
            told = [
                f"{outcome} {count:,}" + (f" ({reason})" if reason else "")
                for (of, outcome, reason), count in self._reasons.items()
                if of == stream
            ]
            click.echo(f"{stream}: {', '.join(told)}", err=True)
        if any(
            count > self._limit
            for stream in self._printed
            for count in [sum(n for (of, what, _), n in self._reasons.items() if of == stream and what != "filtered")]
        ):
            records = "record is" if self._limit == 1 else "records are"
            besides = ", besides the first one filtered for each reason" if self._filtered else ""
            click.echo(f"of each stream {self._limit} {records} shown{besides}; --limit shows more", err=True)

    @property
    def _filtered(self) -> bool:
        return any(outcome == "filtered" for _, outcome, _ in self._reasons)

    def _print(self, text: str) -> None:
        try:
            click.echo(text)
        except BrokenPipeError:  # `preview | head`: the rest of the input is still read, or the tap would fail
            self._open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def preview(
    base: type[DeliveryTarget],
    config: Mapping[str, Any],
    lines: IO[bytes] | None,
    choice: RecordChoice,
    *,
    as_json: bool,
    limit: int,
) -> None:
    """Print the results for the records of the input; all of it is read, so that the tap does not fail.

    Raises:
        click.UsageError: None of the records is chosen.
        Exception: Whatever would end a run.
    """
    screen = Screen(as_json=as_json, limit=limit)
    target = run_through(base, config, lines, choice, screen.show)
    target.run.log_missing_sources()
    screen.sum_up()
    _refuse_slips(choice, target.met)


def run_through(
    base: type[DeliveryTarget],
    config: Mapping[str, Any],
    lines: IO[bytes] | None,
    choice: RecordChoice,
    show: Callable[[Shown], None],
) -> PreviewTarget:
    """Call *show* with the result of every chosen record of the input; returns the target for further questions."""
    with tempfile.TemporaryDirectory(prefix=f"{base.name}-") as folder:
        target = cast("type[PreviewTarget]", type(base.__name__, (PreviewTarget, base), {}))(
            config, folder, choice, show
        )
        target.load(lines)
        return target


def _refuse_slips(choice: RecordChoice, met: Met) -> None:
    if met.chosen or not met.streams:
        return
    for option, chosen, names in (("--stream", choice.stream, met.streams), ("--metric", choice.metric, met.metrics)):
        if chosen is not None and chosen not in names:
            near = slip_of(chosen, plain(names))
            there = ", ".join(sorted(plain(names))) or "none"
            hint = f"did you mean `{near}`?" if near else f"there are: {there}"
            raise click.UsageError(f"{option}: no record of the input has `{shown(chosen)}`; {hint}")
    raise click.UsageError(f"none of the {sum(met.streams.values()):,} records of the input is chosen")


def as_text(found: Shown) -> str:
    """Format one result for reading."""
    head = click.style(f"{found['stream']} {found['key']}: {found['outcome']}", bold=True)
    parts = [head + (f", {found['reason']}" if "reason" in found else "")]
    for name, value in found.items():
        if name in {"user", "row"}:
            parts.append(json.dumps(json.loads(encode(value)), indent=2, ensure_ascii=False))
        elif value is True:
            parts.append(f"  sent with {name}: true")
        elif isinstance(value, dict):
            parts.append(f"  {name}: " + json.dumps(json.loads(encode(value)), ensure_ascii=False))
    parts += [f"  left out: {why}" for why in found.get("left_out", ())]
    if found.get("not_mapped"):
        parts.append(f"  not mapped: {', '.join(found['not_mapped'])}")
    return "\n".join(parts)
