"""Where the runs take place: a shop to read from, an account to load into, and the commands that are compared."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from klaviyo_insiderone_sandbox.testing import Sandbox

from measuring import measure, processor_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Command, Usage
    from scale import Season

Stream = Literal["profiles", "events", "subscription_changes"]
STREAMS: tuple[Stream, ...] = ("profiles", "events", "subscription_changes")

HERE = Path(__file__).parent
MAPPING = HERE.parent / "target-insiderone" / "examples" / "klaviyo-default-mapping.yml"
PYTHON = Path(sys.executable)

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
    """What tap-klaviyo wrote into a file, and what that took."""

    file: Path
    count: Counted
    usage: Usage


@dataclass(frozen=True, slots=True)
class Server:
    """A sandbox in a process of its own."""

    sandbox: Sandbox
    pid: int

    def clock(self) -> float | None:
        """Processor seconds used so far."""
        return processor_seconds(self.pid)


@contextmanager
def serving() -> Iterator[Server]:
    """Start a sandbox without quotas."""
    ports = ["--klaviyo-port", "0", "--insiderone-port", "0", "--control-port", "0"]
    command = (str(PYTHON), "-m", "klaviyo_insiderone_sandbox", "serve", "--no-quotas", *ports)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                raise RuntimeError("the sandbox does not start")
            with Sandbox.attach(json.loads(line)["control"]) as sandbox:
                yield Server(sandbox, process.pid)
        finally:
            process.terminate()


class Workbench:
    """The commands, their settings in *folder*, and the two servers: *shop* has the data, *store* takes it.

    The Klaviyo side of *store* stays empty: whoever reads it does nothing but start up.
    """

    def __init__(self, folder: Path, shop: Server, store: Server) -> None:
        self.folder = folder
        self.shop = shop
        self.store = store
        self._numbers = itertools.count()
        self._mapping = yaml.safe_load(MAPPING.read_text(encoding="utf-8"))

    def spend_season(self, season: Season) -> dict[str, Reading]:
        """Add well-behaved profiles and events to the shop, then read each stream of it into a file.

        A minute passes in between, since the tap leaves the last seconds alone.

        Raises:
            RuntimeError: Something that the shop holds was not read.
        """
        sandbox = self.shop.sandbox
        sandbox.seed(season.profiles, season.events, seed=next(self._numbers), days=SHOP_DAYS, hostile=False)
        sandbox.clock(now=(datetime.now(UTC) + timedelta(minutes=next(self._numbers))).isoformat())
        readings: dict[str, Reading] = {stream: self._read_into_file(stream) for stream in STREAMS}
        for name, count in sandbox.counts().items():
            if name in readings and readings[name].count.records != count:
                raise RuntimeError(f"{readings[name].count.records} of {count} {name} were read")
        return readings

    def _read_into_file(self, stream: Stream) -> Reading:
        output = self.folder / f"{stream}-{next(self._numbers)}.jsonl"
        self.shop.sandbox.clear_journal()
        usage = measure(self.tap(stream), output=output)
        with output.open("rb") as lines:
            records = sum(line.startswith(RECORD) for line in lines)
        return Reading(output, Counted(records, len(self.shop.sandbox.journal())), usage)

    # Reading

    def tap(self, stream: Stream, *, empty: bool = False) -> Command:
        """tap-klaviyo on one stream of the shop, or of an empty account."""
        config = {**self._source(empty=empty), "initial_sync_lookback_hours": 0}
        catalog = self._catalog(stream)
        return (PYTHON, HERE / "unlimited_tap.py", "--config", self._write(config), "--catalog", catalog)

    def stock_tap(self, stream: Stream, pages: int, *, empty: bool = False) -> Command:
        """The SDK's own reading of the first pages."""
        config = {**self._source(empty=empty), "stream": stream, "pages": pages}
        return (PYTHON, HERE / "stock_tap.py", "--config", self._write(config))

    def plain_tap(self, stream: Stream, *, empty: bool = False) -> Command:
        """The plain loop that reads."""
        source = self._source(empty=empty)
        return (PYTHON, HERE / "plain_tap.py", source["api_url"], source["api_key"], stream)

    def read(self, command: Command, records: int) -> Usage:
        """Read from the shop.

        Raises:
            RuntimeError: The API gave out fewer records.
        """
        self.shop.sandbox.clear_journal()
        usage = measure(command, server_clock=self.shop.clock)
        given = sum(request["records"] for request in self.shop.sandbox.journal())
        if given < records:
            raise RuntimeError(f"{command[1]}: {given} records were read instead of {records}")
        return usage

    def _source(self, *, empty: bool) -> dict[str, str]:
        sandbox = self.store.sandbox if empty else self.shop.sandbox
        return {"api_url": sandbox.klaviyo_url, "api_key": sandbox.KLAVIYO_KEY}

    def _catalog(self, stream: Stream) -> Path:
        catalog = self._discovered
        for entry in catalog["streams"]:
            for metadata in entry["metadata"]:
                if not metadata["breadcrumb"]:
                    metadata["metadata"]["selected"] = entry["tap_stream_id"] == stream
        return self._write(catalog)

    @cached_property
    def _discovered(self) -> dict[str, Any]:
        config = self._write(self._source(empty=True))
        command = (PYTHON, HERE / "unlimited_tap.py", "--config", config, "--discover")
        catalog: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return catalog

    # Loading

    def target(self, **settings: Any) -> Command:
        """target-insiderone with the shipped mapping; each command has a data folder of its own, still empty."""
        data_dir = self.folder / f"data-{next(self._numbers)}"
        config = {**self._destination(), **self._mapping, "data_dir": str(data_dir), **settings}
        return (PYTHON, "-m", "target_insiderone.target", "--config", self._write(config))

    def stock_target(self) -> Command:
        """The SDK's own loading with the same mapping."""
        return (PYTHON, HERE / "stock_target.py", "--config", self._write({**self._destination(), **self._mapping}))

    def plain_target(self, stream: Stream) -> Command:
        """The plain loop that loads."""
        script = "plain_target.py" if stream == "profiles" else "plain_target_events.py"
        sandbox = self.store.sandbox
        return (PYTHON, HERE / script, sandbox.insiderone_url, sandbox.PARTNER, sandbox.TOKEN)

    def load(self, command: Command, source: Path) -> Usage:
        """Load a file into an empty Insider One account.

        Raises:
            RuntimeError: The account refused something.
        """
        self._empty_store()
        usage = measure(command, source=source, server_clock=self.store.clock)
        self._check_store(f"{command[1]} {command[2]}")
        return usage

    def pipe(self, stream: Stream, *, empty: bool = False) -> Usage:
        """Read from the shop, or from an empty account, and load into an empty Insider One account at the same time.

        Raises:
            RuntimeError: The account refused something.
        """
        self._empty_store()
        usage = measure(self.tap(stream, empty=empty), self.target())
        self._check_store("the pipe")
        return usage

    def _empty_store(self) -> None:
        """Forget what was loaded."""
        self.store.sandbox.reset()
        self.store.sandbox.quotas(None)

    def _check_store(self, loader: str) -> None:
        if refused := self.store.sandbox.status()["insiderone"]["refusals"]:
            raise RuntimeError(f"{loader}: {refused} users were refused")

    def calls_to_insiderone(self) -> int:
        """Requests since the account was emptied."""
        calls: int = self.store.sandbox.status()["insiderone"]["requests"]
        return calls

    def _destination(self) -> dict[str, str]:
        sandbox = self.store.sandbox
        return {"api_url": sandbox.insiderone_url, "partner_name": sandbox.PARTNER, "api_key": sandbox.TOKEN}

    def _write(self, content: Any) -> Path:
        path = self.folder / f"settings-{next(self._numbers)}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


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
