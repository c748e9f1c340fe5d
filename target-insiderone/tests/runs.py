"""One run of the target's command, and how it ended."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singer_delivery.testing import forking

TARGET = Path(sys.executable).with_name("target-insiderone")


@dataclass(frozen=True)
class Ended:
    """How one run of the target ended."""

    code: int
    states: list[Any]
    logs: str
    data_dir: Path
    summary: dict[str, Any]

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """All rejects of the pipeline."""
        return [
            json.loads(line) for path in self.data_dir.glob("*/rejects.jsonl") for line in path.read_text().splitlines()
        ]

    def counts(self, stream: str) -> dict[str, int]:
        """The stream's outcomes that are not zero."""
        figures = self.summary["streams"][stream]
        return {name: count for name, count in figures.items() if isinstance(count, int) and count}


def finish(config_path: Path, text: str, data_dir: Path, *options: str, start: Any = forking.run) -> Ended:
    """Run the command to its end."""
    done = start(
        [TARGET, "--config", config_path, *options],
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
        env=os.environ | {"TARGET_INSIDERONE_LOGLEVEL": "DEBUG"},
        timeout=120,
    )
    states = [json.loads(line) for line in done.stdout.decode().splitlines()]
    summaries = sorted(data_dir.glob("*/summary-*.json"), key=lambda path: path.stat().st_mtime_ns)
    summary = json.loads(summaries[-1].read_text()) if summaries else {}
    return Ended(done.returncode, states, done.stderr.decode(), data_dir, summary)
