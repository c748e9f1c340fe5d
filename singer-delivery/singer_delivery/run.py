"""One run of the target: assembles its parts, and accounts for it at the end, however it ends."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from singer_delivery.accounts.accounting import UNREADABLE, Accounts
from singer_delivery.accounts.checkpoints import Checkpoints, State
from singer_delivery.accounts.history import ALWAYS_RUNS, always_had_rows, delivered_before
from singer_delivery.accounts.progress import QUIET_ROWS, Progress, undelivered_streams
from singer_delivery.accounts.rejects import Reject, RejectsFile
from singer_delivery.accounts.remedies import NOTE_HINTS, REMEDIES
from singer_delivery.accounts.summary import show_table
from singer_delivery.accounts.unidentified import Unidentified
from singer_delivery.disclosure import shown, without_keys
from singer_delivery.exact_json import encode
from singer_delivery.logs import log
from singer_delivery.memory.consent_memory import ConsentMemory
from singer_delivery.memory.data_dir import AlreadyRunningError, DataDir
from singer_delivery.memory.digests import Digester
from singer_delivery.memory.ledger import Ledger
from singer_delivery.sending.batches import deliver_batches
from singer_delivery.sending.delivery import SharedParts
from singer_delivery.sending.dry_run import DryRun
from singer_delivery.sending.jobs import Jobs
from singer_delivery.sending.lanes import Lanes
from singer_delivery.sink import Staging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_delivery.accounts.progress import UndeliveredStream
    from singer_delivery.destination import Destination, Transport
    from singer_delivery.interruption import Interruption
    from singer_delivery.settings.declarations import DeliverySettings


IDENTIFYING_SETTINGS = (
    "identifier_mappings",
    "identifier_settings",
    "stream_maps",
    "stream_map_config",
    "flattening_enabled",
)
"""Settings that decide whether a person is identified; if they delivered before, they are trusted to do so again."""

PERCENT_FROM_ROWS = 100
"""A percentage in ``max_rejects`` applies above this many rows."""


class TooManyRejectsError(Exception):
    """More records were rejected than ``max_rejects`` allows."""


class NothingDeliveredError(Exception):
    """A stream delivered nothing, probably because of a mistake in the settings."""


class OutputGoneError(Exception):
    """STATE can no longer be written to standard output."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"standard output is closed, or cannot be written ({why}): STATE cannot be passed on, so the run ends here"
        )


class UnbalancedError(Exception):
    """The outcomes do not add up to the records read: a bug, which must not pass as success."""


class Run:
    """The parts of one run of the target; created at its first message.

    Raises:
        LedgerError, OSError: The ledger or the data folder cannot be used.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        destination: Destination,
        config: dict[str, Any],
        interruption: Interruption,
        properties: Mapping[str, Any],
    ) -> None:
        self.id = f"{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        self.settings = settings
        self.destination = destination
        self.accounts = Accounts()
        self.tally = self.accounts.new_tally()
        self._interruption = interruption
        self._settings_hash = hash_of_settings(config, properties)
        self._mapping_hash = hash_of_settings({name: config.get(name) for name in IDENTIFYING_SETTINGS}, properties)
        self._started = datetime.now(tz=UTC)
        self._said: set[tuple[str, str]] = set()
        self.expects_delivery = True  # False in a replay: what is left may be undeliverable
        self.broke_off = False  # an error ended the reading: what is missing of the input is no finding
        self.progress = Progress()
        self.watch = destination.watch()
        self.checkpoints = Checkpoints(self.write_state, self._may_pass)
        self._open_files()
        self._open_ledger()
        self._open_lanes()
        self._log_facts()

    def _open_files(self) -> None:
        """Open the data folder and the files of records; remove what is too old."""
        settings = self.settings
        self.data_dir = DataDir(settings.data_dir, settings.integration_name)
        rejects = self.data_dir.dry_run_rejects(self.id) if settings.dry_run else self.data_dir.rejects
        self.rejects = RejectsFile(rejects, run_id=self.id)
        self.unidentified = None if settings.dry_run else Unidentified(self.data_dir.unidentified, run_id=self.id)
        size, days = settings.rejects_max_mb, settings.rejects_max_days
        for file in self.files_of_records():
            if dropped := file.compact(max_bytes=size * 1_000_000, max_days=days):
                log.warning("%s: removed the oldest %d, above %d MB or %d days", file.path.name, dropped, size, days)
        if pruned := self.data_dir.prune(days):
            log.info("removed %d summaries and dry runs older than %d days (rejects_max_days)", pruned, days)

    def _open_ledger(self) -> None:
        """Open the ledger, unless it is switched off."""
        settings = self.settings
        self.ledger: Ledger | None = None
        if settings.ledger_days:
            url = settings.ledger_url or f"sqlite:///{self.data_dir.ledger}"
            self.ledger = Ledger(url, self.destination.prefix, read_only=settings.dry_run)
            self.ledger.prune(settings.ledger_days)
        self._digest = Digester(settings.scope)
        self.consent_memory = ConsentMemory(
            self.ledger,
            self._digest,
            self.data_dir.folder,
            withholds=settings.optins_without_memory == "withhold",
            destination=self.destination.name,
        )

    def _open_lanes(self) -> None:
        """Connect to the destination, and open the first lane."""
        kinds, shared = self.destination.kinds, self._shared_parts()
        self.lanes = Lanes(
            [
                deliver_batches(kinds, shared, self.accounts.new_tally())
                for _ in range(self.settings.max_parallel_requests)
            ],
            kinds=kinds,
            stopping=self._interruption.stopping,
            wake=self._interruption.wake,
        )
        self.staging = Staging(
            kinds=kinds,
            remedies=shared.remedies,
            note_hints={**NOTE_HINTS, **self.destination.note_hints},
            tally=self.tally,
            rejects=self.rejects,
            checkpoints=self.checkpoints,
            lanes=self.lanes,
            digest=self._digest,
            warn_once=self.warn_once,
            watch=self.watch,
            progress=self.progress,
            consent_memory=self.consent_memory,
            unidentified=self.unidentified,
            inform_once=self.inform_once,
        )

    def _shared_parts(self) -> SharedParts:
        """Make what all lanes share; a dry run has a transport of its own, and stores no jobs."""
        destination, is_dry = self.destination, self.settings.dry_run
        transport: Transport = (
            DryRun(self.data_dir.dry_run(self.id)) if is_dry else destination.connect(self._interruption.stopping)
        )
        return SharedParts(
            destination.name,
            transport,
            Jobs(transport, None if is_dry else self.ledger, destination.kinds, self._interruption.wait),
            self.ledger,
            self.rejects,
            self.checkpoints,
            self.progress,
            {**REMEDIES, **destination.remedies},
            content_of=partial(self._digest, "content"),
            skip_unchanged=self.settings.skip_unchanged,
        )

    def _log_facts(self) -> None:
        if self.data_dir.is_new:
            log.warning(
                "data_dir %s is new and empty: there is no memory of earlier runs (containers need a volume)",
                without_keys(self.data_dir.folder),
            )
        for fact in self.destination.facts():
            self.warn_once("", fact)
        if self.settings.dry_run:
            log.warning(
                "dry_run: nothing is sent, no STATE is written; requests go to %s", without_keys(self.data_dir.root)
            )

    def lock(self, stream: str) -> None:
        """Lock *stream* for this run, in the data folder and in a shared ledger.

        Raises:
            AlreadyRunningError: Another run of the integration holds the lock.
        """
        self.data_dir.lock(stream)
        if self.ledger and not self.ledger.hold(self.staging.digest("stream", stream)):
            raise AlreadyRunningError(stream)

    def warn_once(self, stream: str, words: str) -> None:
        """Log a warning once, even if it applies to many records."""
        self._log_once(logging.WARNING, stream, words)

    def inform_once(self, stream: str, words: str) -> None:
        """Log an information once, even if it applies to many records."""
        self._log_once(logging.INFO, stream, words)

    def _log_once(self, level: int, stream: str, words: str) -> None:
        if (stream, words) not in self._said:
            self._said.add((stream, words))
            log.log(level, "%s%s", f"stream {shown(stream)}: " if stream else "", words)

    def unreadable(self, line: bytes) -> None:
        """Count a line that is not a Singer message, and keep it with the rejects."""
        self.tally.read[UNREADABLE] += 1
        self.tally.record(UNREADABLE, "rejected", "unreadable")
        self.progress.note(UNREADABLE, "rejected", "unreadable")
        text = line.decode("utf-8", "replace").rstrip("\n")
        self.rejects.add(Reject(UNREADABLE, "", (), "unreadable", "", REMEDIES["unreadable"], text))

    def state(self, value: State) -> None:
        """Process a STATE of the input; it is written once every record before it is settled."""
        self.consent_memory.note_state(value, self.tally.read)
        self.checkpoints.add_state(value)
        self.lanes.flush_old()

    def finish(self) -> None:
        """Send and settle the staged records, and report on the run.

        Raises:
            TooManyRejectsError, UnbalancedError, NothingDeliveredError: See there.
            Exception: Whatever made a lane fail.
        """
        try:
            self.lanes.finish()
            if not self._interruption.stopping.is_set():
                self.consent_memory.end()
        finally:
            try:
                self._sync()
            finally:
                report = self._report()
                self.log_missing_sources()
                self._warn_of_empty_streams(report["streams"])
                self._show(report)
                if self.ledger:
                    self.ledger.close()
        if report["unbalanced"]:
            raise UnbalancedError(
                f"the counts of {', '.join(report['unbalanced'])} do not add up; please report it with {self._summary}"
            )
        rejected, read = self.accounts.rejected()
        if exceeds(self.settings.max_rejects, rejected, read):
            raise TooManyRejectsError(
                f"{rejected} of {read} records were rejected, more than `max_rejects` ({self.settings.max_rejects}) "
                f"allows; they and the reasons are in {without_keys(self.rejects.path)}"
            )
        if self.expects_delivery and not self._interruption.stopping.is_set():
            self._check_delivered(undelivered_streams(report["streams"], self.watch.slipped()))
            self.checkpoints.release()

    def _check_delivered(self, undelivered: Sequence[UndeliveredStream]) -> None:
        """Log which streams delivered nothing.

        Raises:
            NothingDeliveredError: It may be a mistake in the settings.
        """
        doubted = [stream for stream in undelivered if not self._is_quiet(stream)]
        for stream in undelivered:
            log.warning("%s", stream)
        if doubted and self.settings.on_nothing_delivered == "fail":
            raise NothingDeliveredError(
                "; ".join(map(str, doubted)) + ": no STATE passes them, so they are read again; correct the mapping, "
                "or set `on_nothing_delivered` to warn if this is intended"
            )

    def _is_quiet(self, undelivered: UndeliveredStream) -> bool:
        """Whether there were few records, none newly rejected, and the settings delivered before."""
        if undelivered.read >= QUIET_ROWS or (
            undelivered.rejected and self._rejects_for_the_first_time(undelivered.stream)
        ):
            return False
        return delivered_before(self.data_dir.summaries(), undelivered.stream, self._mapping_hash)

    def _rejects_for_the_first_time(self, stream: str) -> bool:
        """Whether this run rejected a record of *stream* that no earlier run had rejected."""
        now: set[object] = set()
        before: set[object] = set()
        for entry in self.rejects.entries():
            if entry is not None and entry.get("stream") == stream:
                (now if entry.get("run_id") == self.id else before).add(entry.get("key"))
        return not now <= before

    def _may_pass(self) -> bool:
        """Whether a STATE may be written before the run's end: every stream so far has delivered something."""
        if self.settings.on_nothing_delivered == "warn":
            return True
        return self.progress.may_pass() and self.watch.slipped().keys() <= self.progress.reached

    def _sync(self) -> None:
        """Sync the files of records that were left out."""
        for file in self.files_of_records():
            file.sync()

    def _warn_of_empty_streams(self, streams: Mapping[str, Any]) -> None:
        """Warn if the input has no stream, or if a stream that always had records has none."""
        if self._interruption.stopping.is_set() or self.broke_off or not self.expects_delivery:
            return
        if not streams:
            log.warning(
                "the input has no stream: is one selected in the tap (`select`, or its catalog), or did the tap fail?"
            )
        for stream in (stream for stream, figures in streams.items() if not figures["read"]):
            if always_had_rows(self.data_dir.summaries(), stream):
                log.warning(
                    "stream %s: the input has no record, though each of the last %d runs had some; check the tap: its "
                    "selection, its settings, its account",
                    shown(stream),
                    ALWAYS_RUNS,
                )

    def log_missing_sources(self) -> None:
        """Log the mapping sources that no record had; as a warning if the settings look wrong."""
        for stream, words in self.watch.none_met().items():
            log.warning("stream %s: %s", shown(stream), words)
        for stream, missing in self.watch.missing().items():
            plain = []
            for source in missing:
                if source.suggestion:
                    log.warning("stream %s: %s", shown(stream), source)
                else:
                    plain.append(source)
            if plain:
                log.info("stream %s: %s", shown(stream), "; ".join(map(str, plain)))

    def files_of_records(self) -> list[RejectsFile]:
        """The files of records that were left out."""
        return [self.rejects, *([self.unidentified.file] if self.unidentified else [])]

    def tidy_up(self) -> None:
        """Merge rejects that repeat earlier ones; a failure, such as a full disk, is only logged."""
        try:
            self.rejects.merge_repeats()
        except OSError as error:
            log.warning("rejects that repeat earlier ones could not be merged (%s)", error.strerror)

    def _report(self) -> dict[str, Any]:
        pending = self.lanes.staged() - self.accounts.settled()
        return {
            "run_id": self.id,
            "integration_name": shown(self.settings.integration_name),
            "settings_hash": self._settings_hash,
            "started": self._started.isoformat(timespec="seconds"),
            "finished": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "mapping_hash": self._mapping_hash,
            "dry_run": self.settings.dry_run,
            **self.accounts.report(pending),
            "rejects_file": without_keys(self.rejects.path),
        }

    def _show(self, report: dict[str, Any]) -> None:
        try:
            self._summary = self.data_dir.write_summary(self.id, json.dumps(report, indent=2) + "\n")
        except OSError as error:  # a full disk must not hide the run's result
            folder = without_keys(self.data_dir.folder)
            log.error("the run summary cannot be written to %s (%s)", folder, error.strerror)
            self._summary = self.data_dir.folder
        if sys.stderr.isatty():
            show_table(report)
        else:
            log.info("run summary: %s", json.dumps(report))

    def write_state(self, state: State) -> None:
        """Write one STATE to standard output, once the rejects before it are on disk."""
        self._sync()
        if self.settings.dry_run:
            return
        self.consent_memory.note_progress()
        try:
            sys.stdout.write(encode(state).decode() + "\n")
            sys.stdout.flush()
        except OSError as error:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # else Python would report the error again at exit
            raise OutputGoneError(error.strerror or type(error).__name__) from None


def exceeds(max_rejects: str, rejected: int, read: int) -> bool:
    """Whether *rejected* of *read* records exceed ``N`` or ``N%`` (the latter above 100 rows only)."""
    if max_rejects.endswith("%"):
        return read > PERCENT_FROM_ROWS and rejected * 100 > float(max_rejects[:-1]) * read
    return rejected > int(max_rejects)


def hash_of_settings(config: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """A hash of twelve characters over all settings, secrets excluded."""
    plain = {name: value for name, value in config.items() if not properties.get(name, {}).get("writeOnly")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:12]
