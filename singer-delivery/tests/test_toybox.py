"""The README's target, under a hundred lines, through its command line: what it gets from the engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toybox import NOWHERE, ORDERS, PEOPLE, UNSTORABLE, order, person, state

README = Path(__file__).resolve().parent.parent / "README.md"


def test_target_is_under_100_lines(target_file):
    """Target has fewer than a hundred lines. As it stands in the README, its docstrings and spaces included."""
    assert len(target_file.read_text().splitlines()) < 100


def test_readmes_commands_work(target_file, tmp_path):
    """What a newcomer types first, as printed."""
    (script,) = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    shutil.copy(target_file, tmp_path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euc", script]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "people 1: sent" in done.stdout
    assert "people 2: rejected, no_address (email): give the person an address" in done.stdout
    assert len([*(tmp_path / ".target-toybox").glob("dry-run-*.jsonl")]) == 2


def test_readmes_test_works(target_file, tmp_path):
    """As it is printed, next to the target that is printed there; a kill, all faults and a broken promise."""
    (code,) = re.findall(r"^```python\n(\"\"\"target-toybox is .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    shutil.copy(target_file, tmp_path)
    (tmp_path / "test_target_toybox.py").write_text(code)
    chosen = ["test_target_toybox.py", "-k", "part_answered or faults or broken"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *chosen]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "3 passed, 13 deselected" in done.stdout


def test_records_are_delivered_and_counted(run, toybox):
    """Records are delivered and accounted for. Both kinds, in one run, and the STATE behind them."""
    ended = run([PEOPLE, ORDERS, person(1), person(2), order(1), state(3)])

    assert ended.code == 0, ended.log
    assert sorted(toybox.people) == ["P1", "P2"]
    assert sorted(toybox.orders) == ["O1"]
    assert ended.states == [state(3)["value"]]
    assert ended.streams["people"] == {"read": 2, "delivered": 2}
    assert ended.streams["orders"]["delivered"] == 1


def test_refused_rows_become_rejects(run, toybox):
    """Refused rows become rejects with remedies.

    By the mapping, by position, and by a 400 that names no row; the others arrive.
    """
    bad = [person(2, email=None), order(2, street=NOWHERE), order(3, street=UNSTORABLE)]

    ended = run([PEOPLE, ORDERS, person(1), *bad, order(1), state(5)], max_rejects=3)

    told = {entry["key"]: (entry["code"], entry["remedy"], entry["answer"]) for entry in ended.rejects}
    assert ended.code == 0, ended.log
    assert told == {
        "P2": ("no_address", "give the person an address", None),
        "O2": ("refused", "see `answer`, and correct the record", "no such street"),
        "O3": (
            "refused_request",
            "a request with this row alone is refused, see `answer`; correct the record or the mapping",
            json.dumps({"error": "a row cannot be stored"}),
        ),
    }
    assert (sorted(toybox.people), sorted(toybox.orders)) == (["P1"], ["O1"])
    assert ended.states == [state(5)["value"]]


def test_replay_sends_what_was_refused(run, toybox):
    """Once the API takes the row, the reject is delivered and marked."""
    run([ORDERS, order(1), order(2, street=NOWHERE)])
    toybox.unknown_streets.clear()

    ended = run([], "replay", "--all")

    (reject,) = ended.rejects
    assert ended.code == 0, ended.log
    assert ended.output == "replayed 1 reject(s): delivered 1\n"
    assert reject["replayed"]["outcome"] == "delivered"
    assert sorted(toybox.orders) == ["O1", "O2"]


def test_ledger_keeps_from_sending_twice(run, api):
    """An event is a duplicate; a version is unchanged, where the settings say so."""
    messages = [PEOPLE, ORDERS, person(1), order(1)]
    run(messages)
    sent = len(api.journal)

    ended = run(messages, skip_unchanged=True)

    assert len(api.journal) == sent
    assert ended.streams["people"] == {"read": 1, "unchanged": 1}
    assert ended.streams["orders"]["duplicate"] == 1


def test_older_version_never_follows(run, toybox):
    """Older version never follows a newer one. Whatever order the tap reads them in."""
    newer = {**person(1, street="2 New Road"), "time_extracted": "2026-06-01T12:00:00Z"}
    older = {**person(1), "time_extracted": "2026-06-01T10:00:00Z"}
    run([PEOPLE, newer])

    ended = run([PEOPLE, older])

    assert ended.streams["people"]["reasons"] == {"duplicate": {"older_read": 1}}
    assert "New Road" in toybox.people["P1"]


def test_dry_run_writes_file(run, api):
    """Dry run writes requests to a file. Nothing is sent, no STATE is written, and the ledger is left alone."""
    ended = run([ORDERS, order(1), state(1)], dry_run=True)

    (file,) = ended.data_dir.rglob("dry-run-*.jsonl")
    (request,) = map(json.loads, file.read_text().splitlines())
    assert (ended.code, ended.states, api.journal) == (0, [], [])
    assert request == {"path": "/orders", "body": {"rows": [order(1)["record"]]}}
    assert run([ORDERS, order(1)]).streams["orders"]["delivered"] == 1


def test_preview_sends_nothing(run, api):
    """Preview shows rows and sends nothing. What each record would become, and why it would not be sent."""
    ended = run([PEOPLE, ORDERS, person(1), person(2, email=None), order(1)], "preview", "--format=json")

    shown = {one["key"]: one for one in map(json.loads, ended.output.splitlines())}
    assert ended.code == 0, ended.log
    assert api.journal == []
    assert shown["P1"]["row"] == person(1)["record"]
    assert shown["O1"]["row"] == order(1)["record"]
    assert shown["P2"]["outcome"] == "rejected"


def test_forget_removes_person(run):
    """Forget takes a person out of what is kept. Rejects and the ledger know an address; afterwards neither does."""
    run([PEOPLE, ORDERS, person(1), order(1), order(2, street=NOWHERE, person_id="p1@toys.example")])

    ended = run(["p1@toys.example"], "forget")

    assert ended.code == 0, ended.log
    assert "removed 1 reject(s), 1 profile(s)" in ended.output
    assert ended.rejects == []


@pytest.mark.parametrize(
    ("fault", "more", "code", "told"),
    [
        pytest.param({"kind": "status", "status": 403}, {}, 2, "look at api_url", id="request refused"),
        pytest.param(
            {"kind": "status", "status": 503, "times": -1},
            {"max_retry_seconds": 0},
            1,
            "accepted no request",
            id="gave up",
        ),
        pytest.param(None, {"max_rejects": 0}, 3, "max_rejects", id="too many rejects"),
        pytest.param(None, {"batch_size_rows": "many"}, 2, "batch_size_rows", id="mistake in the settings"),
    ],
)
def test_endings_have_their_exit_codes(run, api, fault, more, code, told):
    """And no STATE passes an unsettled record."""
    if fault:
        api.fault(**fault)

    ended = run([ORDERS, order(1), order(2, street=NOWHERE), state(2)], **more)

    assert ended.code == code, ended.log
    assert told in ended.log
    assert f"exit code {code}" in ended.log
    assert ended.states == ([state(2)["value"]] if code == 3 else [])


def test_state_waits_for_records(run, api):
    """State waits for the records before it.

    The first batch is taken, the second refused as such: the STATE between them passes, the last one does not.
    """
    api.fault("status", status=403, skip=1)

    ended = run([ORDERS, order(1), state(1), order(2), state(2)], batch_size_rows=1, max_parallel_requests=1)

    assert ended.code == 2, ended.log
    assert ended.states == [state(1)["value"]]
    assert ended.streams["orders"]["pending"] == 1
