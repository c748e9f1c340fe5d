"""The commands that are compared, each with a settings file of its own."""

from __future__ import annotations

import itertools
import json
import subprocess
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

    from measuring import Command

Stream = Literal["profiles", "events", "subscription_changes"]

HERE = Path(__file__).parent
MAPPING = HERE.parent / "target-insiderone" / "examples" / "klaviyo-default-mapping.yml"
PYTHON = HERE.parent / ".venv" / "bin" / "python"
"""Not what runs the benchmark: that has matplotlib; where there is NumPy, the SDK imports it, and its threads spin."""

Program = tuple[str | Path, ...]

PLUGIN_TAP: Program = (PYTHON, "-m", "tap_klaviyo")
UNLIMITED_TAP: Program = (PYTHON, HERE / "unlimited_tap.py")
PLUGIN_TARGET: Program = (PYTHON, "-m", "target_insiderone")
UNVALIDATING_TARGET: Program = (PYTHON, HERE / "unvalidating_target.py")


class Taps:
    """Commands that read a Klaviyo account. Their settings files go into *folder*."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._files = Files(folder, "tap")
        self._source = {"api_url": sandbox.klaviyo_url, "api_key": sandbox.KLAVIYO_KEY}

    def tap(
        self, *streams: Stream, program: Program = UNLIMITED_TAP, settings: dict[str, Any] | None = None
    ) -> Command:
        """tap-klaviyo on some streams, from the beginning."""
        config = {**self._source, "initial_sync_lookback_hours": 0, **(settings or {})}
        return (*program, "--config", self._files.write(config), "--catalog", self._catalog(streams))

    def stock(self, stream: Stream, pages: int) -> Command:
        """The SDK's own reading of the first pages."""
        config = {**self._source, "stream": stream, "pages": pages}
        return (PYTHON, HERE / "stock_tap.py", "--config", self._files.write(config))

    def plain(self, stream: Stream) -> Command:
        """The plain loop that reads."""
        return (PYTHON, HERE / "plain_tap.py", self._source["api_url"], self._source["api_key"], stream)

    def _catalog(self, streams: tuple[Stream, ...]) -> Path:
        catalog = self._discovered
        for entry in catalog["streams"]:
            for metadata in entry["metadata"]:
                if not metadata["breadcrumb"]:
                    metadata["metadata"]["selected"] = entry["tap_stream_id"] in streams
        return self._files.write(catalog)

    @cached_property
    def _discovered(self) -> dict[str, Any]:
        command = (*PLUGIN_TAP, "--config", self._files.write(self._source), "--discover")
        catalog: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return catalog


class Targets:
    """Commands that load into an Insider One account, with the shipped mapping. Their files go into *folder*."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._files = Files(folder, "target")
        self._sandbox = sandbox
        self.mapping: dict[str, Any] = yaml.safe_load(MAPPING.read_text(encoding="utf-8"))

    def target(self, *, program: Program = PLUGIN_TARGET, **settings: Any) -> Command:
        """target-insiderone; each command has a data folder of its own, still empty, unless *settings* name one."""
        config = {**self._destination(), **self.mapping, "data_dir": str(self.data_dir()), **settings}
        return (*program, "--config", self._files.write(config))

    def data_dir(self) -> Path:
        """Name a folder that does not exist yet."""
        return self._files.unused()

    def stock(self, **settings: Any) -> Command:
        """The SDK's own loading with the same mapping."""
        config = {**self._destination(), **self.mapping, **settings}
        return (PYTHON, HERE / "stock_target.py", "--config", self._files.write(config))

    def plain(self, stream: Stream, *metrics: str) -> Command:
        """The plain loop that loads; of events only *metrics*, if any are named."""
        script = "plain_target.py" if stream == "profiles" else "plain_target_events.py"
        sandbox = self._sandbox
        return (PYTHON, HERE / script, sandbox.insiderone_url, sandbox.PARTNER, sandbox.TOKEN, *metrics)

    def _destination(self) -> dict[str, str]:
        sandbox = self._sandbox
        return {"api_url": sandbox.insiderone_url, "partner_name": sandbox.PARTNER, "api_key": sandbox.TOKEN}


class Files:
    """Numbered files in one folder."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._names = (f"{prefix}-{id(self)}-{number}" for number in itertools.count())

    def unused(self) -> Path:
        """Name a file that does not exist yet."""
        return self._folder / next(self._names)

    def write(self, content: Any) -> Path:
        """Write a JSON file."""
        path = self.unused()
        path.write_text(json.dumps(content), encoding="utf-8")
        return path
