"""The README's target as a file, and the API that it delivers to."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_delivery.testing import forking
from singer_delivery.testing.stand_in import StandIn
from toybox import Toybox, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.fixture(scope="session")
def target_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target that the README shows."""
    (code,) = re.findall(r"^```python\n(\"\"\"target-toybox: .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path_factory.mktemp("readme") / "target_toybox.py"
    file.write_text(code)
    return file


@pytest.fixture
def toybox() -> Toybox:
    """What the API holds."""
    return Toybox()


@pytest.fixture
def api(toybox: Toybox) -> Iterator[StandIn]:
    """The API's server."""
    with StandIn(toybox.respond) as running:
        yield running


@dataclass(frozen=True)
class Ended:
    """One run of the command."""

    code: int
    output: str
    log: str
    data_dir: Path

    @property
    def states(self) -> list[Any]:
        """The STATEs on standard output."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def streams(self) -> dict[str, Any]:
        """The figures of the run summary, without zeros."""
        summary = json.loads(self.log.split("run summary: ", 1)[1].splitlines()[0])
        return {
            stream: {name: figure for name, figure in figures.items() if figure}
            for stream, figures in summary["streams"].items()
        }

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """The rejects so far."""
        return [
            json.loads(line) for path in self.data_dir.rglob("rejects.jsonl") for line in path.read_text().splitlines()
        ]


@pytest.fixture
def run(target_file: Path, api: StandIn, tmp_path: Path) -> Callable[..., Ended]:
    """Run the target, or one of its commands: ``run(messages, "replay", "--all", max_rejects=0)``."""

    def start(messages: list[Any], *command: str, **more: Any) -> Ended:
        data_dir, config = tmp_path / "data", tmp_path / "config.json"
        config.write_text(json.dumps(settings(api, data_dir, **more)))
        lines = (message if isinstance(message, str) else json.dumps(message) for message in messages)
        done = forking.run(
            [sys.executable, str(target_file), *command[:1], "--config", str(config), *command[1:]],
            input="".join(line + "\n" for line in lines),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr, data_dir)

    return start
