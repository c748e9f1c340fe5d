"""The target's command line against the sandbox: `load(messages)` runs it and tells how it ended."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import postgres
import pytest
import sqlalchemy
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN, Sandbox
from runs import TARGET, Ended, finish
from singer_messages import MAPPING


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
