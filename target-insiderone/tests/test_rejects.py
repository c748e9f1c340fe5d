"""The rejects file survives crashes, neighbours and its own growth."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from target_insiderone.rejects import Reject, RejectsFile


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


def test_a_torn_last_line_does_not_spoil_the_next(tmp_path):
    """A run killed in the middle of a line must not cost the following reject."""
    path = tmp_path / "rejects.jsonl"
    path.write_text('{"key": "a", "at"')
    rejects = RejectsFile(path, run_id="r")

    rejects.add(reject("b"))
    rejects.sync()

    assert keys(path) == ["torn", "b"]


def test_several_appenders_never_mix_their_lines(tmp_path):
    """The three flows share the file of their integration."""
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


def test_the_newest_are_kept_within_the_size(tmp_path):
    """The file must not fill the disk, and the newest rejects are those that somebody still asks for."""
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


def test_old_ones_go_after_their_days(tmp_path):
    """Records of people are not kept for ever."""
    path = tmp_path / "rejects.jsonl"
    lines = [
        json.dumps({"key": f"{days}", "at": (datetime.now(tz=UTC) - timedelta(days=days)).isoformat()})
        for days in (100, 91, 89, 1)
    ]
    path.write_text("\n".join(lines) + "\n")

    RejectsFile(path, run_id="r").compact(max_bytes=10**9, max_days=90)

    assert keys(path) == ["89", "1"]
