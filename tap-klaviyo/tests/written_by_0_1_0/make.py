"""Writes `finished.json` and `slice.json` with the tap of an earlier version: see README.md."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, Sandbox

HERE = Path(__file__).resolve().parent
STREAMS = ("profiles", "events", "subscription_changes")


def run(sandbox: Sandbox, folder: Path, **settings: Any) -> dict[str, Any]:
    """Read all three streams for the first time; return the last state, and the ids of what came."""
    config = {"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "tap_klaviyo", "--config", folder / "config.json"]
    catalog = json.loads(subprocess.run([*command, "--discover"], capture_output=True, check=True).stdout)
    (folder / "catalog.json").write_text(json.dumps(catalog))
    done = subprocess.run([*command, "--catalog", folder / "catalog.json"], capture_output=True, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    ids: dict[str, list[str]] = {stream: [] for stream in STREAMS}
    for message in messages:
        if message["type"] == "RECORD":
            ids[message["stream"]].append(message["record"]["id"])
    return {"emitted": ids, "state": [message["value"] for message in messages if message["type"] == "STATE"][-1]}


def main() -> None:
    """Read the account to its end, and a slice of it."""
    account = json.loads((HERE / "account.json").read_text())
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        sandbox.clock(frozen=account["clock"])
        sandbox.add_profiles(account["profiles"])
        sandbox.add_events(account["events"])
        for name, settings in {"finished": {}, "slice": {"end_date": "2026-06-01T09:29:00Z"}}.items():
            left = run(sandbox, Path(folder), **settings)
            (HERE / f"{name}.json").write_text(json.dumps(left) + "\n")


if __name__ == "__main__":
    main()
