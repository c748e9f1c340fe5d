"""The tap's command line against a sandbox of its own; one sandbox per test process, emptied before each test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, Sandbox
from singer_delivery.testing import forking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COMMAND = (str(Path(sys.executable).with_name("tap-klaviyo")),)


@dataclass(frozen=True)
class Outcome:
    """What a run of the tap left behind."""

    code: int
    output: str
    log: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All Singer messages; a line that is no JSON is an error."""
        return [json.loads(line) for line in self.output.splitlines()]

    def records(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream, in order."""
        return [
            message["record"] for message in self.messages if message.get("stream") == stream and "record" in message
        ]

    def ids(self, stream: str) -> list[str]:
        """The ids of a stream's records, in order."""
        return [record["id"] for record in self.records(stream)]

    @property
    def states(self) -> list[dict[str, Any]]:
        """All states, in order."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> dict[str, Any]:
        """The last state."""
        return self.states[-1]

    def bookmark(self, stream: str) -> str:
        """The bookmark of a stream in the last state."""
        return self.state["bookmarks"][stream]["replication_key_value"]

    def summary(self, stream: str) -> dict[str, Any]:
        """The summary of a stream, from the log."""
        found = [json.loads(line.split("summary: ", 1)[1]) for line in self.log.splitlines() if "summary: " in line]
        return next(summary for summary in found if summary["stream"] == stream)

    def warnings(self) -> list[str]:
        """The WARNING lines of the log."""
        return [line for line in self.log.splitlines() if "| WARNING" in line]


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a run, without settings that the caller's may hold."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "LOGLEVEL"))}


@pytest.fixture
def command(sandbox: Sandbox, tmp_path: Path) -> Callable[..., list[str]]:
    """Compose a command line that reads from the sandbox."""

    def compose(
        *arguments: str,
        streams: Sequence[str] | None = None,
        state: Mapping[str, Any] | None = None,
        catalog: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> list[str]:
        config = {"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url, **settings}
        written = {"config": config, "state": state, "catalog": catalog or (streams and catalog_of(streams, config))}
        options: list[str] = []
        for option, content in written.items():
            if content is not None:
                (tmp_path / f"{option}.json").write_text(json.dumps(content))
                options += [f"--{option}", str(tmp_path / f"{option}.json")]
        return [*COMMAND, *options, *arguments]

    return compose


@pytest.fixture
def tap(command: Callable[..., list[str]], environment: dict[str, str]) -> Callable[..., Outcome]:
    """Run the tap; keywords are settings, but for *streams*, *state*, *catalog* and *variables*."""

    def run(*arguments: str, variables: Mapping[str, str] | None = None, **options: Any) -> Outcome:
        line = command(*arguments, **options)
        done = forking.run(
            line, capture_output=True, text=True, timeout=120, check=False, env={**environment, **(variables or {})}
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def interrupted(
    command: Callable[..., list[str]], environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> Callable[..., Outcome]:
    """Run the tap until its requests hang, all of them after the first *passed*, then send it a signal.

    Its output goes to a file, so that none of it waits in a pipe. A last line that SIGKILL has torn is left out.
    """

    def run(passed: int, signum: signal.Signals, **options: Any) -> Outcome:
        sandbox.clear_journal()
        sandbox.fault("klaviyo", kind="hang", skip=passed, times=None)
        output, log = tmp_path / "output", tmp_path / "log"
        with output.open("w") as standard_output, log.open("w") as standard_error:
            process = forking.Popen(command(**options), stdout=standard_output, stderr=standard_error, env=environment)
            while process.poll() is None and sandbox.status()["klaviyo"]["requests"] <= passed:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
            process.send_signal(signum)
            code = process.wait()
        sandbox.clear_faults()
        text = output.read_text()
        assert signum == signal.SIGKILL or text.endswith("\n")
        return Outcome(code, text[: text.rfind("\n") + 1], log.read_text())

    return run


@pytest.fixture
def queries(sandbox: Sandbox) -> Callable[[str], list[str]]:
    """The decoded queries of the requests for a path that carried a filter."""

    def asked(path: str) -> list[str]:
        return [entry["query"] for entry in sandbox.journal() if entry["path"] == path and "filter" in entry["query"]]

    return asked


def catalog_of(streams: Sequence[str], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Discover the catalog, and select some streams only."""
    from tap_klaviyo.tap import TapKlaviyo

    catalog = TapKlaviyo(config=dict(config or {}), validate_config=False, setup_mapper=False).catalog_dict
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    return json.loads(json.dumps(catalog))


@pytest.fixture
def catalog() -> Callable[..., dict[str, Any]]:
    return catalog_of


def people(count: int, **attributes: Any) -> list[dict[str, Any]]:
    """Make up profiles with ids in order."""
    return [
        {"id": f"P{number:05}", "attributes": {"email": f"p{number}@shop.example", **attributes}}
        for number in range(count)
    ]


@pytest.fixture
def profiles() -> Callable[..., list[dict[str, Any]]]:
    return people
