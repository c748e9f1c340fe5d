"""How runs end that are interrupted from outside: signals, closed streams, databases that do not answer."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import pytest
import sqlalchemy
from singer_delivery import interruption
from singer_delivery.destination import Request
from singer_delivery.exit_codes import run_command
from singer_delivery.memory import database
from singer_delivery.memory.database import Database, LedgerError
from singer_delivery.memory.ledger import Ledger
from singer_delivery.sending import transport
from singer_delivery.sending.transport import HttpTransport, TransportSettings
from singer_delivery.testing import forking
from singer_messages import profile, record, schema, state
from target_insiderone.api.answers import read_upsert

MESSAGES = [schema("profiles"), record("profiles", profile(1)), state({"n": 1})]
LINES = "".join(json.dumps(message) + "\n" for message in MESSAGES)


HURRIED = """
from singer_delivery import interruption
interruption.ENDING_SECONDS = %s
from target_insiderone.cli import main
main()
"""


@pytest.fixture
def started(config, tmp_path, target_command):
    """Start the command on MESSAGES; its input stays open. *ending_seconds*: how long it may take after a signal."""
    processes = []

    def start(ending_seconds=None, **settings):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config | settings))
        command = [target_command]
        if ending_seconds is not None:
            (tmp_path / "hurried.py").write_text(HURRIED % ending_seconds)
            command = [sys.executable, tmp_path / "hurried.py"]
        process = forking.Popen(
            [*command, "--config", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        process.stdin.write(LINES)
        process.stdin.flush()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def figures(tmp_path):
    """What the run counted."""
    (summary,) = (tmp_path / "data" / "klaviyo").glob("summary-*.json")
    return json.loads(summary.read_text())["streams"]["profiles"]


def test_foreign_wake_is_ignored(started):
    """A wake up call that is not our own means nothing.

    SIGUSR1 wakes the reading thread when a lane fails; from outside it ended the run with 0, and records pending.
    """
    process = started(batch_size_rows=1)
    process.stdout.readline()

    process.send_signal(signal.SIGUSR1)
    process.stdin.write(json.dumps(record("profiles", profile(2))) + "\n")
    _, logs = process.communicate(timeout=60)

    assert process.returncode == 0
    assert '"read": 2, "delivered": 2' in logs


def test_signal_leaves_time_for_requests(started, sandbox, tmp_path):
    """Requests under way have time to end after a signal. Ended at once, they would be in doubt, and go again."""
    sandbox.latency("insiderone", 1.0)
    process = started(batch_size_rows=1)
    while not sandbox.status()["insiderone"]["requests"]:
        assert process.poll() is None

    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 143
    assert figures(tmp_path)["delivered"] == 1
    assert figures(tmp_path)["pending"] == 0
    assert len(out.splitlines()) == 1


@contextmanager
def silent_server():
    """Take connections, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener, f"postgresql+psycopg://tester@127.0.0.1:{listener.getsockname()[1]}/postgres"


def test_signal_beats_silent_ledger(started):
    """A signal is heard while the ledger does not answer.

    The main thread opens the ledger, and no handler can run: the run was held for minutes.
    """
    with silent_server() as (listener, url):
        process = started(ending_seconds=0.5, ledger_url=url)
        connection, _ = listener.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            _, logs = process.communicate(timeout=60)

    assert process.returncode == 143
    assert "did not answer within 0.5 s of the signal" in logs


def test_signal_beats_locked_ledger(started, load, tmp_path):
    """A signal is heard while the ledger is locked.

    SQLite waits for a minute, within one call: a signal that came during it was heard after that minute only.
    """
    load(MESSAGES)
    blocking = sqlite3.connect(tmp_path / "data/klaviyo/ledger.sqlite", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    process = started(ending_seconds=0.5)
    ledger = str((tmp_path / "data/klaviyo/ledger.sqlite-wal").resolve())
    while ledger not in open_files(process.pid) or "S" not in state_of(process.pid):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    blocking.close()

    assert process.returncode == 143


def state_of(pid):
    """What the main thread of a process does, in letters of the kernel (S: it sleeps)."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def open_files(pid):
    """The files that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(entry.readlink()))
    return found


def test_silent_server_is_no_ledger(monkeypatch):
    """A server that never answers is no ledger.

    It takes the connection, as a port that is forwarded to nowhere does.
    """
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)  # the least that libpq knows
    with silent_server() as (_, url), pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(url, "insiderone")


def test_unanswered_transaction_fails(postgres_url, monkeypatch):
    """A transaction that is not answered fails.

    The driver waits for ever, be the server stopped or the way to it cut.
    """
    monkeypatch.setattr(database, "TRANSACTION_SECONDS", 0.3)
    ledger = Database(postgres_url, "insiderone")

    with pytest.raises(sqlalchemy.exc.OperationalError), ledger.transaction() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(5)")

    with ledger.transaction() as connection:  # the next one gets a connection that works
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    ledger.close()


def test_dead_idle_connection_is_replaced(postgres_url):
    """A connection that died while it was idle is replaced. Servers restart between two batches."""
    ledger = Database(postgres_url, "insiderone")
    with ledger.transaction() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = Database(postgres_url, "insiderone")
    with other.transaction() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    other.close()

    with ledger.transaction() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    ledger.close()


CLOSED = {
    "output": (">&-", 1, "standard output is closed, or cannot be written (Bad file descriptor)"),
    "output, a full disk": (">/dev/full", 1, "cannot be written (No space left on device)"),
    "errors": ("2>&-", 0, ""),
    "output and errors": (">&- 2>&-", 1, ""),
    "input": ("<&-", 1, "Bad file descriptor"),
    "all": ("<&- >&- 2>&-", 1, ""),
}


@pytest.mark.parametrize(("closed", "code", "said"), CLOSED.values(), ids=CLOSED.keys())
def test_closed_streams_end_properly(config, tmp_path, target_command, closed, code, said):
    """Closed streams are no unforeseen ending.

    The ledger took the number of standard output, and STATE went into it.
    """
    (tmp_path / "config.json").write_text(json.dumps(config | {"batch_size_rows": 1}))
    (tmp_path / "input").write_text(LINES)
    done = subprocess.run(
        ["bash", "-c", f"{target_command} --config config.json < input {closed}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "nforeseen" not in done.stderr
    assert "Exception ignored" not in done.stderr
    for path in (tmp_path / "data").rglob("ledger.sqlite"):
        assert path.read_bytes()[:6] == b"SQLite"


def test_full_disk_holds_state(config, tmp_path, target_command):
    """No state passes rejects for which there was no room.

    The disk is full from one moment on: no file may grow beyond 400 kB.
    """
    lines = [schema("profiles")]
    for number in range(40):
        lines.append(record("profiles", profile(number, email="odd", properties={"x": "y" * 30_000})))
        lines.append(state({"n": number}))
    (tmp_path / "input").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "config.json").write_text(json.dumps(config | {"on_nothing_delivered": "warn", "max_rejects": "100"}))

    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 400; {target_command} --config config.json < input"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    kept = (tmp_path / "data/klaviyo/rejects.jsonl").read_text().splitlines()
    states = [json.loads(line)["bookmarks"]["n"] for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert "rejects cannot be kept in" in done.stderr
    assert 0 < len(kept) < 40
    assert states == list(range(len(kept)))
    assert [json.loads(line)["key"] for line in kept] == [f"P{number}" for number in states]


class Waits(threading.Event):
    """Notes how long somebody would have waited, and lets nobody wait."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        """Note it."""
        self.seconds.append(timeout)
        return False


UPSERT = Request(
    "upsert", "/api/user/v1/upsert", b'{"users":[{"identifiers":{"email":"a@b.co"},"attributes":{"name":"x"}}]}'
)


def reaching(sandbox, config, timeout):
    """The transport's settings."""
    headers = {"X-PARTNER-NAME": config["partner_name"], "X-REQUEST-TOKEN": config["api_key"]}
    headers["Content-Type"] = "application/json"
    return TransportSettings("Insider One", sandbox.insiderone_url, headers, timeout, 60, 1_000)


@pytest.mark.req("IN-60")
def test_next_attempt_respects_retry_after(sandbox, config, monkeypatch):
    """The next attempt waits as long as Retry-After says. An account that is asked again too soon stays throttled."""
    monkeypatch.setattr(transport.random, "uniform", lambda *_: 0.0)
    sandbox.fault("insiderone", kind="status", status=429, headers={"Retry-After": "0.2"})
    waits = Waits()

    answer, attempts = HttpTransport(reaching(sandbox, config, timeout=5), waits).send(UPSERT, 1, read_upsert)

    assert (answer.refused, attempts) == ({}, 2)
    assert 0.2 in waits.seconds


def test_slow_answer_is_abandoned(sandbox, config):
    """An answer that arrives too slowly is abandoned and requested again.

    A read timeout starts anew with every byte, so such an answer held a lane, and its STATE, for ever.
    """
    sandbox.fault("insiderone", kind="drip")
    way = HttpTransport(reaching(sandbox, config, timeout=0.1), threading.Event())

    answer, attempts = way.send(UPSERT, 1, read_upsert)

    assert (answer.refused, attempts, answer.doubtful) == ({}, 2, True)


def test_early_interrupt_ends_properly():
    """Ctrl-C before the input is read is no unforeseen ending.

    Click makes an exception of its own of it, and the run ended with 1 and "please report it".
    """

    def command(**_):
        raise click.Abort

    with pytest.raises(SystemExit) as ended:
        run_command(command)

    assert ended.value.code == 130


def test_ending_beats_supervisors():
    """A run has less time to end than those give who stop it.

    Ten seconds, as Docker and Kubernetes of old: then they kill.
    """
    assert interruption.GRACE_SECONDS < interruption.ENDING_SECONDS < 10
