"""What crosses packages: tap and target in a pipe, and under Meltano, against a sandbox of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, PARTNER, TOKEN, Sandbox
from singer_delivery.testing import forking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MAPPING = yaml.safe_load((ROOT / "target-insiderone/examples/klaviyo-default-mapping.yml").read_text())


@dataclass(frozen=True)
class Passed:
    """One run of the pipe."""

    codes: tuple[int, ...]
    """Exit codes of tap and target."""
    states: list[dict[str, Any]]
    tap_log: str
    target_log: str

    @property
    def summary(self) -> dict[str, Any]:
        """The target's run summary."""
        line = next(line for line in self.target_log.splitlines() if "run summary: " in line)
        return json.loads(line.split("run summary: ", 1)[1])

    def figures(self, stream: str) -> dict[str, Any]:
        """What the target counted for a stream; all zero where no record came."""
        empty = dict.fromkeys(("read", "delivered", "duplicate", "filtered", "rejected"), 0)
        return empty | self.summary["streams"].get(stream, {})


class Pipe:
    """``tap-klaviyo | target-insiderone`` with the default mapping, in a folder; its state goes from run to run."""

    def __init__(
        self, folder: Path, catalog: dict[str, Any], tap: Mapping[str, Any], target: Mapping[str, Any]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.tap = dict(tap)
        self.target = dict(target)
        self._catalog = catalog

    def run(self, *streams: str) -> Passed:
        """Run the pipe for *streams* (all, if none is named), and keep the last STATE for the next run."""
        self._write("tap.json", self.tap)
        self._write("target.json", self.target)
        self._write("catalog.json", select(self._catalog, streams))
        state = ["--state", "state.json"] if (self.folder / "state.json").exists() else []
        command = [BIN / "tap-klaviyo", "--config", "tap.json", "--catalog", "catalog.json", *state]
        place = {"cwd": self.folder, "env": {"PATH": "/usr/bin:/bin"}}
        logs = self.folder / "tap.log", self.folder / "target.log"
        with logs[0].open("wb") as tap_log, logs[1].open("wb") as target_log:
            tap = forking.Popen(command, stdout=subprocess.PIPE, stderr=tap_log, **place)
            command = [BIN / "target-insiderone", "--config", "target.json"]
            target = forking.Popen(command, stdin=tap.stdout, stdout=subprocess.PIPE, stderr=target_log, **place)
            tap.stdout.close()  # the target's end is the only one, so that its death reaches the tap
            output, _ = target.communicate()
        states = [json.loads(line) for line in output.splitlines()]
        if states:
            self._write("state.json", states[-1])
        return Passed((tap.wait(), target.returncode), states, *(log.read_text() for log in logs))

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))


def select(catalog: dict[str, Any], streams: tuple[str, ...]) -> dict[str, Any]:
    """The catalog with only *streams* selected; as it is, if none is named."""
    chosen = json.loads(json.dumps(catalog))
    for stream in chosen["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"] and streams:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    return chosen


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """An empty sandbox with the documented quotas, at the real time."""
    running.reset()
    return running


@pytest.fixture(scope="session")
def catalog() -> dict[str, Any]:
    done = subprocess.run([str(BIN / "tap-klaviyo"), "--discover"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def new_pipe(sandbox: Sandbox, catalog: dict[str, Any], tmp_path: Path) -> Callable[..., Pipe]:
    """Make a pipe: ``new_pipe("name", tap={...}, target={...})``; settings given here win."""

    def make(
        name: str = "pipe", *, tap: Mapping[str, Any] | None = None, target: Mapping[str, Any] | None = None
    ) -> Pipe:
        folder = tmp_path / name
        tap_settings = {"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url, **(tap or {})}
        target_settings = {
            "partner_name": PARTNER,
            "api_key": TOKEN,
            "api_url": sandbox.insiderone_url,
            "data_dir": str(tmp_path / "data"),
            **MAPPING,
            **(target or {}),
        }
        return Pipe(folder, catalog, tap_settings, target_settings)

    return make


@pytest.fixture
def pipe(new_pipe: Callable[..., Pipe]) -> Pipe:
    return new_pipe()


class Shop:
    """Data in the sandbox's Klaviyo, with times relative to a moment two hours ago."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.opening = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
        self.at(minutes=0)

    def at(self, minutes: float) -> None:
        """Stop the sandbox's clock so many minutes after the opening; what is changed now, is changed then."""
        self.sandbox.clock(frozen=self.time(minutes))

    def time(self, minutes: float) -> str:
        """The time so many minutes after the opening."""
        return (self.opening + timedelta(minutes=minutes)).isoformat()

    def person(self, number: int, **attributes: Any) -> str:
        """Add one profile with an e-mail address, and return its id."""
        email = {"email": f"person{number}@shop.example"}
        return self.sandbox.add_profiles([{"attributes": {**email, **attributes}}])[0]

    def view(self, profile_id: str, minutes: float, product: str = "P-1", **more: Any) -> str:
        """Add one Viewed Product event, and return its id; the profile itself does not change."""
        event = {"metric": "Viewed Product", "profile_id": profile_id, "datetime": self.time(minutes), "touch": False}
        return self.sandbox.add_events([{**event, "properties": {"ProductID": product, "Price": 9.5}, **more}])[0]

    def delivered_ids(self) -> list[str]:
        """The Klaviyo ids of all events that Insider One holds, in the order of arrival, person by person."""
        return [
            event["event_params"]["custom"]["klaviyo_event_id"]
            for user in self.sandbox.users()
            for event in user["events"]
        ]


@pytest.fixture
def shop(sandbox: Sandbox) -> Shop:
    return Shop(sandbox)
