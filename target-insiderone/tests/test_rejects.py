"""The rejects file survives crashes, neighbours and its own growth."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from singer_delivery.accounts.rejects import Reject, RejectsFile, RejectsLostError


def reject(key: str) -> Reject:
    """A reject that differs by its key."""
    return Reject("profiles", key, ("id",), "invalid_email", "email", "correct it", {"id": key})


def keys(path):
    """The keys of the rejects that can be read, in order."""
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line)["key"])
        except json.JSONDecodeError:
            found.append("torn")
    return found


def test_torn_line_spoils_nothing(tmp_path):
    """A torn last line does not spoil the next.

    A run killed in the middle of a line must not cost the following reject.
    """
    path = tmp_path / "rejects.jsonl"
    path.write_text('{"key": "a", "at"')
    rejects = RejectsFile(path, run_id="r")

    rejects.add(reject("b"))
    rejects.sync()

    assert keys(path) == ["torn", "b"]


def test_appenders_never_mix_lines(tmp_path):
    """Several appenders never mix their lines. The three flows share the file of their integration."""
    path = tmp_path / "rejects.jsonl"

    def append(number: int) -> None:
        rejects = RejectsFile(path, run_id=str(number))
        for place in range(50):
            rejects.add(reject(f"{number}-{place}"))
            rejects.sync()
            rejects.compact(max_bytes=10**9, max_days=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))

    assert sorted(keys(path)) == sorted(f"{number}-{place}" for number in range(4) for place in range(50))


def test_newest_rejects_are_kept(tmp_path):
    """The newest are kept within the size.

    The file must not fill the disk, and the newest rejects are those that somebody still asks for.
    """
    path = tmp_path / "rejects.jsonl"
    rejects = RejectsFile(path, run_id="r")
    for number in range(10):
        rejects.add(reject(f"{number}"))
    rejects.sync()
    a_line = path.stat().st_size // 10

    dropped = rejects.compact(max_bytes=3 * a_line + 5, max_days=90)

    assert dropped == 7
    assert keys(path) == ["7", "8", "9"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_old_rejects_are_removed(tmp_path):
    """Old rejects are removed. Personal data is not kept forever."""
    path = tmp_path / "rejects.jsonl"
    lines = [
        json.dumps({"key": f"{days}", "at": (datetime.now(tz=UTC) - timedelta(days=days)).isoformat()})
        for days in (100, 91, 89, 1)
    ]
    path.write_text("\n".join(lines) + "\n")

    RejectsFile(path, run_id="r").compact(max_bytes=10**9, max_days=90)

    assert keys(path) == ["89", "1"]


@pytest.fixture
def rejects(tmp_path):
    """An empty file of rejects."""
    return RejectsFile(tmp_path / "rejects.jsonl", run_id="r")


def test_failed_write_stays_failed(rejects, monkeypatch):
    """A failed write is never followed by a sync that succeeds.

    The list was cleared before it was written: on a full disk, a later STATE passed rejects that stood nowhere.
    """
    rejects.add(reject("a"))
    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, "write", _no_room)
        with pytest.raises(RejectsLostError):
            rejects.sync()

    with pytest.raises(RejectsLostError):
        rejects.sync()


def _no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("change", ["first", "append", "replace"])
def test_rejects_precede_state(rejects, monkeypatch, change):
    """Rejects are on the disk before the state.

    What is written and not synced is lost with the machine, and the STATE has passed it. The folder of a new file is
    synced, too, which is not enough.
    """
    if change != "first":
        rejects.add(reject("a"))
        rejects.sync()
    synced = []
    real = os.fsync

    def sync(file):
        synced.append((os.fstat(file).st_ino, os.fstat(file).st_size))
        real(file)

    monkeypatch.setattr(os, "fsync", sync)
    if change == "replace":
        rejects.remove(bool)
    else:
        rejects.add(reject("b"))
        rejects.sync()

    whole = rejects.path.stat()
    assert (whole.st_ino, whole.st_size) in synced
    assert (rejects.path.parent.stat().st_ino in dict(synced)) is (change != "append")


@pytest.mark.parametrize("change", ["append", "replace"])
def test_file_lock_spans_processes(rejects, monkeypatch, change):
    """The file is changed under a lock between processes.

    A reject that another process appends while the file is replaced would be lost.
    """
    rejects.add(reject("a"))
    rejects.sync()
    free = []

    def look(real):
        def call(*given):
            with rejects.path.with_suffix(".lock").open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    free.append(True)
                except BlockingIOError:
                    free.append(False)
            return real(*given)

        return call

    monkeypatch.setattr(os, "write", look(os.write))
    monkeypatch.setattr(os, "replace", look(os.replace))
    monkeypatch.setattr(os, "rename", look(os.rename))
    if change == "append":
        rejects.add(reject("b"))
        rejects.sync()
    else:
        monkeypatch.setattr(os, "fsync", look(os.fsync))
        rejects.remove(bool)

    assert free
    assert not any(free)


def test_rejects_are_flushed(rejects):
    """Many rejects do not wait in memory.

    An input without STATEs never asks for a sync; 100,000 rejects took 467 MB.
    """
    tracemalloc.start()
    for number in range(3_000):
        rejects.add(Reject("profiles", f"{number}", ("id",), "invalid_email", "", "", {"id": "x" * 5_000}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rejects.path.stat().st_size > 13_000_000
    assert peak < 8_000_000


def test_long_file_is_compacted_linewise(rejects):
    """A long file is compacted line by line. The file was read whole at every start: 1 GB for 500 MB."""
    line = json.dumps({"key": "old", "at": "2020-01-01T00:00:00+00:00", "record": "x" * 1_000}).encode() + b"\n"
    rejects.path.write_bytes(line * 20_000)
    tracemalloc.start()
    dropped = rejects.compact(max_bytes=10**9, max_days=90)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert dropped == 20_000
    assert peak < 4_000_000


def test_repeated_rejects_are_merged(tmp_path):
    """What is rejected again for one reason is kept once.

    A look-back brings the same record every quarter of an hour: 672 copies in seven days.
    """
    path = tmp_path / "rejects.jsonl"
    for _ in range(3):
        rejects = RejectsFile(path, run_id="r")
        for key in ("a", "b", "a"):
            rejects.add(reject(key))
        rejects.add(Reject("profiles", "a", ("id",), "invalid_uuid", "uuid", "correct it", {"id": "a"}))
        rejects.sync()
        rejects.merge_repeats()

    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((entry["key"], entry["code"], entry["count"]) for entry in kept) == [
        ("a", "invalid_email", 6),
        ("a", "invalid_uuid", 3),
        ("b", "invalid_email", 3),
    ]


def test_keyless_records_differ_by_content(rejects):
    """Records without a key are distinguished by their content. Two unreadable lines are two rejects."""
    for text in ("one", "two", "one"):
        rejects.add(Reject("(unreadable)", "", (), "unreadable", "", "", text))
    rejects.sync()
    rejects.merge_repeats()

    assert [entry["record"] for entry in rejects.entries()] == ["two", "one"]


@pytest.mark.parametrize("line", ['{"at": "2026-01-01"}', "[1]", "torn", '{"at": 5}', "\u2028\u0085"])
def test_a_foreign_line_costs_nothing(rejects, line):
    """A date without a time zone ended every run with a TypeError."""
    rejects.path.write_text(line + "\n")
    rejects.add(reject("a"))
    rejects.sync()

    rejects.compact(max_bytes=10**9, max_days=10_000)
    rejects.merge_repeats()

    first, second = rejects.path.read_bytes().removesuffix(b"\n").split(b"\n")
    assert first.decode() == line
    assert json.loads(second)["key"] == "a"
