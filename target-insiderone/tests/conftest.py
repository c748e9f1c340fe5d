"""The target's command line against the sandbox: `load(messages)` runs it and tells how it ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import postgres
import pytest
import sqlalchemy
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN, Sandbox
from singer_messages import MAPPING

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


@pytest.fixture(scope="session")
def shared_sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox):
    """An empty sandbox."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def config(sandbox, tmp_path):
    """Settings that work."""
    return {
        "partner_name": PARTNER,
        "api_key": TOKEN,
        "api_url": sandbox.insiderone_url,
        "data_dir": str(tmp_path / "data"),
        "max_retry_seconds": 20,
        "event_retention": "send",
        **MAPPING,
    }


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a PostgreSQL server."""
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server (initdb, postgres) is installed: its part of the ledger is not tested")
    folder = Path(
        tempfile.mkdtemp(prefix="ledger-", dir="/tmp")
    )  # its socket's path must be short, and open to its user
    try:
        with postgres.server(programs, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """A PostgreSQL server without our tables."""
    engine = sqlalchemy.create_engine(postgres_server)
    with engine.begin() as connection:
        for table in sqlalchemy.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    engine.dispose()
    return postgres_server


@pytest.fixture
def target_command():
    """The installed console script."""
    return TARGET


@pytest.fixture
def load(config, tmp_path):
    """Run the command on messages (dicts, or lines as text); settings given here replace those of *config*."""

    def run(messages: list[Any], **settings: Any) -> Ended:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config | settings))
        lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
        return finish(path, "".join(line + "\n" for line in lines), Path((config | settings)["data_dir"]))

    return run


def finish(config_path: Path, text: str, data_dir: Path, *options: str) -> Ended:
    """Run the command to its end."""
    done = subprocess.run(
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
