"""What the target keeps is nobody else's: rights, links, age, and one record kept once."""

from __future__ import annotations

import json
import os
import sqlite3
import time

import msgspec
import pytest
from singer_delivery.accounts.rejects import Reject, events_of_entry
from singer_delivery.accounts.unidentified import Unidentified
from singer_delivery.errors import SettingsError
from singer_delivery.memory.data_dir import DataDir
from singer_delivery.memory.ledger import Ledger
from singer_delivery.memory.line_file import LineFile
from singer_delivery.memory.private_files import UnsafeFileError
from singer_messages import order, profile, record, schema


@pytest.fixture
def no_umask():
    """Nothing is taken away by the process."""
    before = os.umask(0)
    yield
    os.umask(before)


def others(path):
    """What group and others may do with a file."""
    return path.stat().st_mode & 0o077


@pytest.mark.usefixtures("no_umask")
def test_files_are_private(tmp_path):
    """Folders above and files are private whatever the umask.

    Parents came out as 0777 where the umask is 000, SQLite's own file as 0644.
    """
    data_dir = DataDir(str(tmp_path / "a" / "b"), "klaviyo")
    ledger = Ledger(f"sqlite:///{tmp_path}/mine.sqlite", "insiderone")
    ledger.close()

    paths = [tmp_path / "a", tmp_path / "a" / "b", data_dir.folder, data_dir.ledger, tmp_path / "mine.sqlite"]
    assert [others(path) for path in paths] == [0] * 5


def test_what_was_open_is_closed(tmp_path):
    """A folder that was there with 0755 stayed so."""
    folder = tmp_path / "data" / "klaviyo"
    folder.mkdir(parents=True)
    (folder / "rejects.jsonl").touch()
    (tmp_path / "mine.sqlite").touch()
    for path in (folder.parent, folder, folder / "rejects.jsonl", tmp_path / "mine.sqlite"):
        path.chmod(0o755)

    DataDir(str(folder.parent), "klaviyo")
    Ledger(f"sqlite:///{tmp_path}/mine.sqlite", "insiderone").close()

    assert [others(path) for path in (folder.parent, folder, folder / "rejects.jsonl")] == [0, 0, 0]
    assert others(tmp_path / "mine.sqlite") == 0


def test_shared_folder_stays_open(tmp_path, monkeypatch):
    """A folder that others need stays open.

    ``data_dir: .`` must not lock others out of the project, nor ``/tmp`` everybody.
    """
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    data_dir = DataDir(".", "klaviyo")

    assert others(tmp_path) == 0o055
    assert others(data_dir.folder) == 0


@pytest.mark.parametrize("name", ["rejects.jsonl", "ledger.sqlite"])
def test_a_symbolic_link_is_refused(load, tmp_path, name):
    """Whoever made it would get the records, or have a file of theirs overwritten."""
    folder = tmp_path / "data" / "klaviyo"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(tmp_path / "elsewhere")

    ended = load([schema("profiles"), record("profiles", profile(1, first_name=1))])

    assert ended.code == 2
    assert "is a symbolic link" in ended.logs
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(UnsafeFileError):
        DataDir(str(folder.parent), "klaviyo")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_special_file_is_refused(tmp_path, make):
    """What is no file is refused by name.

    A run waited for ever for somebody to write into the pipe; of a folder it said `Is a directory 6`.
    """
    path = tmp_path / "rejects.jsonl"
    make(path)

    for work in (lambda: list(LineFile(path).lines()), lambda: LineFile(path).append(b"x\n", durable=True)):
        with pytest.raises(UnsafeFileError, match=r"rejects\.jsonl is not a regular file"):
            work()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_only_files_are_summaries(tmp_path, make):
    """Only files are read as summaries. `forget` waited forever at a pipe, and crashed at a folder."""
    data_dir = DataDir(str(tmp_path), "klaviyo")
    make(data_dir.folder / "summary-x.json")

    assert list(data_dir.summaries()) == []
    assert data_dir.other_personal_files() == []


@pytest.mark.parametrize("name", ["a\0b", "~nobody-of-this-name/data"])
def test_invalid_data_dir_is_refused(name):
    """A `data_dir` that names no folder is a mistake of the settings.

    It ended as an unforeseen ValueError or RuntimeError, also in `check`.
    """
    with pytest.raises(SettingsError, match="data_dir"):
        DataDir(name, "klaviyo")


@pytest.mark.parametrize("place", ["data", "data/klaviyo", "data/dangling"])
def test_data_dir_in_file_is_refused(tmp_path, place):
    """A `data_dir` that is a file, or below one, is a mistake of the settings; it ended as a failed run."""
    if place == "data":
        (tmp_path / "data").write_text("")
    elif place == "data/klaviyo":
        (tmp_path / "data").mkdir()
        (tmp_path / place).write_text("")
    else:
        (tmp_path / "data").symlink_to(tmp_path / "nowhere")

    with pytest.raises(SettingsError, match="data_dir: is not a folder"):
        DataDir(str(tmp_path / "data"), "klaviyo")


def test_deep_foreign_lines_are_harmless(tmp_path):
    """Deeply nested foreign lines do no harm.

    One in `unidentified.jsonl` ended every later run that had somebody to keep there.
    """
    deep = b'{"at":"2026-01-01T00:00:00+00:00","stream":"s","key":"k","code":"c","record":' + b"[" * 100_000 + b"\n"
    path = tmp_path / "unidentified.jsonl"
    path.write_bytes(deep)
    kept = Unidentified(path, run_id="1")

    kept.add(Reject("profiles", "P1", ("id",), "no_identifier", "", "", msgspec.Raw(b'{"id":"P1"}')))
    kept.file.sync()
    kept.file.merge_repeats()
    kept.file.compact(max_bytes=1_000_000_000, max_days=90)

    assert len(list(kept.file.entries())) == 2


def test_old_summaries_are_removed(tmp_path):
    """Old summaries and dry runs are deleted. They hold personal data, and stayed forever."""
    data_dir = DataDir(str(tmp_path), "klaviyo")
    old = time.time() - 100 * 86_400
    for path in (data_dir.dry_run("1"), data_dir.dry_run_rejects("1"), data_dir.write_summary("1", "{}")):
        path.touch()
        os.utime(path, (old, old))
    kept = data_dir.write_summary("2", "{}")

    assert data_dir.prune(90) == 3
    assert data_dir.other_personal_files() == [kept]


def test_rejected_order_has_one_entry(load):
    """An order stands once in the rejects with its lines. 2,000 lines of one order made 2,000 copies of it: 451 MB."""
    bought = order(1, items=300)
    for line in bought["event_properties"]["Items"][:200]:
        line["ItemPrice"] = "12,50 EUR"
    bought["event_properties"].pop("$value")

    ended = load([schema("events"), record("events", bought)], max_rejects="100%")

    (reject,) = ended.rejects
    assert ended.summary["streams"]["events"]["events"]["delivered"] == 100
    assert [line["line"] for line in reject["lines"]] == list(range(1, 201))
    assert (reject["line"], reject["code"]) == (1, reject["lines"][0]["code"])


@pytest.mark.parametrize("pattern", [[7], [7, {}]], ids=["alike", "taking turns"])
def test_many_rejected_lines_are_merged(load, pattern):
    """Many rejected lines are written together. 100,000 items of three bytes each made rejects of 20 MB."""
    bought = order(1)
    bought["event_properties"] = {"Items": pattern * (20_000 // len(pattern))}

    ended = load([schema("events"), record("events", bought)], max_rejects="100%")

    (reject,) = ended.rejects
    assert len(json.dumps(reject)) < 8 * len(json.dumps(bought))
    assert len(reject["lines"]) == len(pattern)
    assert ended.summary["streams"]["events"]["events"]["rejected"] == 20_000
    assert events_of_entry(reject) == {("purchase", line) for line in range(1, 20_001)}


def test_order_parts_are_stored_separately(load, sandbox):
    """An order in parts is noted part by part.

    All of its events stood in the ledger's row, which was written again after each request: 743 MB, 50 s.
    """
    sandbox.fault("insiderone", kind="status", status=401, skip=2, times=None)

    ended = load([schema("events"), record("events", order(1, items=400))], batch_size_bytes=10_000)

    ledger = sqlite3.connect(next(ended.data_dir.glob("*/ledger.sqlite")))
    tables = ("length(events) FROM insiderone_batches", "length(intent) FROM insiderone_events")
    noted = sum(size or 0 for table in tables for (size,) in ledger.execute(f"SELECT {table}"))
    ledger.close()
    assert ended.counts("events") == {"read": 1, "pending": 1}
    assert noted < 30_000


def test_oversized_order_is_split(load, sandbox):
    """An order too large for one request goes in several.

    It was refused as too large, once for each of its lines: 5.3 GB for 4.4 MB.
    """
    bought = order(1, items=400)

    ended = load([schema("events"), record("events", bought)], batch_size_bytes=10_000)
    again = load([schema("events"), record("events", bought)], batch_size_bytes=10_000)

    (user,) = sandbox.users()
    requests = sandbox.journal("insiderone")
    assert ended.counts("events") == {"read": 1, "delivered": 1}
    assert again.counts("events") == {"read": 1, "duplicate": 1}
    assert len(requests) > 4
    assert sorted(event["event_params"]["custom"]["line"] for event in user["events"]) == list(range(1, 401))
    sent = [event for request in requests for some in request["body"]["users"] for event in some["events"]]
    assert [event["event_params"]["custom"]["line"] for event in sent] == list(range(1, 401))
