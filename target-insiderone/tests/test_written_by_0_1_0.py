"""What version 0.1.0 has kept is read on: its ledger, with events and profiles in doubt, its rejects, its summary.

The files are of that version itself: `written_by_0_1_0/README.md` says how they came about.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import requests
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN
from runs import TARGET
from singer_messages import record

HERE = Path(__file__).with_name("written_by_0_1_0")
SETTINGS = json.loads((HERE / "settings.json").read_text())
INPUTS = {path.stem: path.read_text().splitlines() for path in HERE.glob("*.jsonl") if path.stem != "received"}
KILLED = ("killed-first", "killed-events", "killed-profiles")
SCHEMAS = {json.loads(line)["stream"]: line for line in INPUTS["settled"] if '"SCHEMA"' in line}
CORRECTED = {
    "identifier_mappings": [
        *SETTINGS["identifier_mappings"],
        {"identifier_type": "email", "source_field": "properties.mail"},
    ],
    "event_mappings": json.loads(
        json.dumps(SETTINGS["event_mappings"]).replace('"ItemPrice"', '["ItemPrice", "Price"]')
    ),
}
"""With these settings the records that 0.1.0 rejected can be sent, all but P6."""


@pytest.fixture
def sandbox(sandbox):
    """Insider One as the runs of 0.1.0 left it; its journal begins after them."""
    sandbox.clock(frozen="2026-06-02T00:00:00Z")
    sandbox.insiderone_settings(unresolved="refuse")
    headers = {"X-PARTNER-NAME": PARTNER, "X-REQUEST-TOKEN": TOKEN, "Content-Type": "application/json"}
    for body in (HERE / "received.jsonl").read_text().splitlines():
        url = f"{sandbox.insiderone_url}/api/user/v1/upsert"
        requests.post(url, body.encode(), headers=headers, timeout=60).raise_for_status()
    sandbox.clear_journal()
    return sandbox


@pytest.fixture
def config(config):
    """The settings of those runs, which keep what is old by now; `data_dir` is the one that they left."""
    folder = Path(config["data_dir"], "klaviyo")
    shutil.copytree(HERE / "data_dir", folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.executescript((HERE / "ledger.sql").read_text())
    return config | SETTINGS


@pytest.fixture
def command(config, tmp_path):
    """Run one of the commands to its good end; returns what it printed. Keywords are settings."""

    def run(*words, given="", **settings):
        path = tmp_path / "command.json"
        path.write_text(json.dumps(config | settings))
        line = [TARGET, words[0], "--config", path, *words[1:]]
        done = subprocess.run(line, input=given, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def in_doubt():
    """The bytes of events of unknown outcome: those merged by a later run, and those in the batch of a killed one."""
    with closing(sqlite3.connect(":memory:")) as ledger:
        ledger.executescript((HERE / "ledger.sql").read_text())
        merged = [bytes(row[0]) for row in ledger.execute("SELECT intent FROM insiderone_events WHERE intent NOT NULL")]
        (batch,) = ledger.execute("SELECT events FROM insiderone_batches").fetchone()
    return [*merged, *msgspec.msgpack.decode(batch)[1].values()]


def sent(sandbox):
    """What has gone to Insider One: the users of all requests."""
    return [user for request in sandbox.journal("insiderone") for user in request["body"]["users"]]


def events_of(users):
    """Klaviyo's id, and the number of the line, of each event of these users."""
    found = [event["event_params"]["custom"] for user in users for event in user.get("events") or ()]
    return sorted((event["klaviyo_event_id"], event.get("line", 0)) for event in found)


def test_old_ledger_is_read(load, sandbox):
    """Known records stay and those in doubt go again.

    All input comes again: nothing that was delivered goes twice, and nothing of a killed run is lost.
    """
    stored = events_of(sandbox.users())

    ended = load([line for name in ("settled", *KILLED) for line in INPUTS[name]])

    answer = requests.get(f"{sandbox.control_url}/control/journal?side=insiderone", timeout=60)
    assert (ended.code, len(in_doubt())) == (0, 4)
    assert ended.counts("events") == {"read": 6, "delivered": 2, "duplicate": 2, "rejected": 2}
    assert ended.summary["streams"]["events"]["events"] == {"delivered": 4, "duplicate": 5, "rejected": 3}
    assert ended.summary["streams"]["events"]["notes"]["uncertain purchase"] == 4
    assert all(answer.content.count(event) == 1 for event in in_doubt())
    assert events_of(sent(sandbox)) == [("E5", 1), ("E5", 2), ("E6", 1), ("E6", 2)]
    assert events_of(sandbox.users()) == stored
    assert ended.counts("profiles") == {"read": 7, "delivered": 1, "unchanged": 3, "rejected": 3}
    assert [user["attributes"] for user in sent(sandbox) if "attributes" in user] == [
        {"name": "Emil"},
        {"email_optin": True, "name": "Gus", "custom": {"tier": "tin"}},
    ]


def test_old_versions_are_compared(load, sandbox):
    """Changes are judged by what was delivered.

    An opt-in goes once, an older reading never; but one that was refused has delivered nothing, as 0.1.0 took it.
    """
    sandbox.insiderone_settings(custom_identifiers=["member"])
    ada, emil = (json.loads(INPUTS["settled"][line])["record"] for line in (1, 5))
    newer, older = "2026-06-02T10:00:00Z", "2026-05-31T10:00:00Z"

    ended = load(
        [
            SCHEMAS["profiles"],
            record("profiles", ada | {"first_name": "Adele"}, newer),
            record("profiles", ada | {"first_name": "A."}, older),
            record("profiles", emil, older),
            record("profiles", ada | {"id": "P8", "email": "hal@shop.example", "first_name": "Hal"}, newer),
        ]
    )

    assert ended.counts("profiles") == {"read": 4, "delivered": 3, "duplicate": 1}
    assert [user["attributes"] for user in sent(sandbox)] == [
        {"name": "Adele", "custom": {"tier": "gold"}},
        {"name": "Emil"},
        {"email_optin": True, "name": "Hal", "custom": {"tier": "gold"}},
    ]


def test_rejects_are_replayed_and_settle(command, config, sandbox):
    """Each goes once, by its line where 0.1.0 kept one reject a line; what is still wrong is rejected again."""
    sandbox.insiderone_settings(custom_identifiers=["member"])

    told = command("replay", "--all", **CORRECTED)
    again = command("replay", "--all", **CORRECTED)

    entries = [json.loads(line) for line in rejects_of(config).read_text().splitlines()]
    assert "replayed 6 reject(s): delivered 5, rejected 1" in told
    assert "replayed 1 reject(s): rejected 1" in again
    assert events_of(sent(sandbox)) == [("E2", 2), ("E4", 1), ("E4", 2)]
    assert [user["identifiers"] for user in sent(sandbox) if "attributes" in user] == [
        {"email": "dora@shop.example"},
        {"custom": {"member": "M-5"}},
    ]
    assert [(entry["key"], entry["attempt"]) for entry in entries if "replayed" not in entry] == [("", 1), ("P6", 3)]


def test_forget_finds_persons(command, config):
    """In rejects by what stands there, in the ledger by digests."""
    told = command("forget", given="ada@shop.example\nben@shop.example\nDora@shop.example\nnobody@shop.example\n")

    assert "removed 2 reject(s), 2 profile(s) of the ledger" in told
    assert "for 1 of 4 address(es): line(s) 4 of the list" in told
    assert [name for name in ("ben@", "dora@", "cleo@") if name in rejects_of(config).read_text()] == ["cleo@"]


def rejects_of(config):
    """The file of rejects."""
    return Path(config["data_dir"], "klaviyo", "rejects.jsonl")
