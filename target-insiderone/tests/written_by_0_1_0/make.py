"""Writes the rest of this folder with the target of an earlier version: see README.md."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from klaviyo_insiderone_sandbox.testing import Sandbox

HERE = Path(__file__).resolve().parent
TARGET = Path(sys.executable).with_name("target-insiderone")


def start(config: Path, lines: str) -> subprocess.Popen[bytes]:
    """Begin a run that reads the lines of a file."""
    with (HERE / lines).open("rb") as given:
        return subprocess.Popen([TARGET, "--config", config], stdin=given, stdout=subprocess.DEVNULL, cwd=config.parent)


def kill_under_way(sandbox: Sandbox, config: Path, *inputs: str) -> None:
    """Kill a run for each input when Insider One has taken its request and the answer is still coming."""
    sandbox.clear_faults()
    sandbox.fault("insiderone", kind="drip", times=None)
    awaited = sandbox.status()["insiderone"]["requests"] + len(inputs)
    runs = [start(config, lines) for lines in inputs]
    while sandbox.status()["insiderone"]["requests"] < awaited:
        time.sleep(0.1)
    for run in runs:
        run.kill()
        run.wait()


def write(data: Path, received: list[dict[str, object]]) -> None:
    """Keep what the runs left, and what Insider One was given."""
    for path in [*data.glob("*.json"), *data.glob("*.jsonl")]:
        shutil.copyfile(path, HERE / "data_dir" / path.name)
    with closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
        (HERE / "ledger.sql").write_text("".join(f"{line}\n" for line in ledger.iterdump()))
    (HERE / "received.jsonl").write_text("".join(json.dumps(request["body"]) + "\n" for request in received))


def main() -> None:
    """Deliver, then die twice: the second time with two flows at once, after what the first one left was taken over."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        sandbox.clock(frozen="2026-06-02T00:00:00Z")
        sandbox.insiderone_settings(unresolved="refuse")
        config = Path(folder, "config.json")
        settings = json.loads((HERE / "settings.json").read_text())
        config.write_text(json.dumps({**settings, "api_url": sandbox.insiderone_url, "data_dir": "data"}))
        start(config, "settled.jsonl").wait()
        kill_under_way(sandbox, config, "killed-first.jsonl")
        kill_under_way(sandbox, config, "killed-events.jsonl", "killed-profiles.jsonl")
        shutil.rmtree(HERE / "data_dir", ignore_errors=True)
        (HERE / "data_dir").mkdir()
        write(Path(folder, "data", "klaviyo"), sandbox.journal("insiderone"))


if __name__ == "__main__":
    main()
