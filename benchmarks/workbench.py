"""Where the runs take place: a shop to read from, and an account to load into."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from commands import Taps, Targets
from measuring import measure
from servers import latency

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Stream
    from measuring import Command, Usage
    from scale import Season
    from servers import Server

STREAMS: tuple[Stream, ...] = ("profiles", "events", "subscription_changes")

RECORD = b'{"type":"RECORD"'
"""How a line with a record begins."""

SHOP_DAYS = 60
"""Insider One keeps every kind of event longer than this, so none is filtered for its age."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many records a run handled, and how many requests it sent for them."""

    records: int
    calls: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What tap-klaviyo wrote into a file."""

    file: Path
    count: Counted


class Workbench:
    """Two servers and the commands that work with them: *shop* has the data, *store* takes it.

    The Klaviyo side of *store* stays empty: whoever reads it does nothing but start up.
    """

    def __init__(self, folder: Path, shop: Server, store: Server) -> None:
        folder.mkdir()
        self.folder = folder
        self.shop = shop
        self.store = store
        self.taps = Taps(folder, shop.sandbox)
        self.idle_taps = Taps(folder, store.sandbox)
        self.targets = Targets(folder, store.sandbox)
        self._numbers = itertools.count()

    def spend_season(self, season: Season) -> None:
        """Add well-behaved profiles and events to the shop.

        A minute passes in between, since the tap leaves the last seconds alone.
        """
        sandbox = self.shop.sandbox
        sandbox.seed(season.profiles, season.events, seed=next(self._numbers), days=SHOP_DAYS, hostile=False)
        sandbox.clock(now=(datetime.now(UTC) + timedelta(minutes=next(self._numbers))).isoformat())

    def read_into_files(self) -> dict[Stream, Reading]:
        """Read each stream of the shop into a file.

        Raises:
            RuntimeError: Something that the shop holds was not read.
        """
        readings = {stream: self.read_into_file(stream) for stream in STREAMS}
        held = self.shop.sandbox.counts()
        for stream in (stream for stream in STREAMS if stream in held):
            if readings[stream].count.records != held[stream]:
                raise RuntimeError(f"{readings[stream].count.records} of {held[stream]} {stream} were read")
        return readings

    def read_into_file(self, stream: Stream) -> Reading:
        """Read one stream of the shop into a file."""
        output = self.folder / f"{stream}-{next(self._numbers)}.jsonl"
        self.shop.sandbox.clear_journal()
        measure(self.taps.tap(stream), output=output)
        with output.open("rb") as lines:
            records = sum(line.startswith(RECORD) for line in lines)
        return Reading(output, Counted(records, len(self.shop.sandbox.journal())))

    def read(self, command: Command, records: int) -> Usage:
        """Read from the shop.

        Raises:
            RuntimeError: The API gave out fewer records.
        """
        self.shop.sandbox.clear_journal()
        usage = measure(command, server_clock=self.shop.clock)
        self._check_shop(records)
        return usage

    def load(self, command: Command, source: Path, *, latency_seconds: float = 0) -> Usage:
        """Load a file into an empty Insider One account.

        Raises:
            RuntimeError: The account refused something.
        """
        self._empty_store()
        with latency(latency_seconds, self.store):
            usage = measure(command, source=source, server_clock=self.store.clock)
        self._check_store(f"{command[1]} {command[2]}")
        return usage

    def pipe(self, stream: Stream, records: int, *, latency_seconds: float = 0) -> Usage:
        """Read *records* records from the shop, or 0 from an empty account, and load them into one at the same time.

        Raises:
            RuntimeError: The API gave out fewer records, or the account refused something.
        """
        self.shop.sandbox.clear_journal()
        self._empty_store()
        taps = self.taps if records else self.idle_taps
        with latency(latency_seconds, self.shop, self.store):
            usage = measure(taps.tap(stream), self.targets.target(), server_clock=self._clock_of_both)
        self._check_shop(records)
        self._check_store("the pipe")
        return usage

    def _clock_of_both(self) -> float | None:
        shop, store = self.shop.clock(), self.store.clock()
        return None if shop is None or store is None else shop + store

    def _empty_store(self) -> None:
        """Forget what was loaded."""
        self.store.sandbox.reset()
        self.store.sandbox.quotas(None)

    def _check_shop(self, records: int) -> None:
        given = sum(request["records"] for request in self.shop.sandbox.journal())
        if given < records:
            raise RuntimeError(f"{given} records were read instead of {records}")

    def _check_store(self, loader: str) -> None:
        if refused := self.store.sandbox.status()["insiderone"]["refusals"]:
            raise RuntimeError(f"{loader}: {refused} users were refused")

    def calls_to_insiderone(self) -> int:
        """Requests since the account was emptied."""
        calls: int = self.store.sandbox.status()["insiderone"]["requests"]
        return calls


def first_records(source: Path, records: int) -> Path:
    """Copy a file of Singer lines up to its *records*-th record; the SCHEMAs and STATEs between them come along."""
    copy = source.with_name(f"{source.stem}-{records}.jsonl")
    with source.open("rb") as lines, copy.open("wb") as kept:
        for line in lines:
            is_record = line.startswith(RECORD)
            if is_record and records == 0:
                break
            records -= is_record
            kept.write(line)
    return copy
