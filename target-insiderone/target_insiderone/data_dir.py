"""Where a pipeline keeps its rejects, its ledger and its run summaries: private files in a private folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

from target_insiderone.disclosure import shown
from target_insiderone.exact_json import decode, encode

log = logging.getLogger("target-insiderone")


class AlreadyRunningError(Exception):
    """Another run of the same integration and stream is under way."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"stream {shown(stream)}: another run of this integration is loading it; wait for it, or give this "
            "pipeline an `integration_name` of its own"
        )


class DataDir:
    """``data_dir`` and, in it, one folder for each integration name; both 0700, files 0600.

    Raises:
        OSError: It cannot be created or written.
    """

    def __init__(self, data_dir: str, integration_name: str) -> None:
        self.root = Path(data_dir).expanduser()
        self.folder = self.root / integration_name
        self.is_new = not self.folder.exists()
        for folder in (self.root, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locks: dict[str, int] = {}

    @property
    def rejects(self) -> Path:
        """The rejected records."""
        return self.folder / "rejects.jsonl"

    @property
    def unidentified(self) -> Path:
        """The records that have none of the mapped identifiers, in the form of rejects."""
        return self.folder / "unidentified.jsonl"

    @property
    def kept_records(self) -> tuple[Path, ...]:
        """Every file that keeps records as they came."""
        return self.rejects, self.unidentified

    @property
    def ledger(self) -> Path:
        """The SQLite ledger; created here, so that it is 0600 from its first byte."""
        path = self.folder / "ledger.sqlite"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return path

    def dry_run(self, run_id: str) -> Path:
        """The requests of a dry run."""
        return self.root / f"dry-run-{run_id}.jsonl"

    def dry_run_rejects(self, run_id: str) -> Path:
        """What a dry run would reject; apart, so that a replay never takes it up."""
        return self.root / f"dry-run-{run_id}-rejects.jsonl"

    def write_summary(self, run_id: str, text: str) -> Path:
        """Keep a run's summary."""
        path = self.folder / f"summary-{run_id}.json"
        _write_whole(path, text)
        return path

    def write_schema(self, stream: str, schema: dict[str, Any]) -> None:
        """Keep the SCHEMA of a stream, so that a replay holds its rejects against it."""
        _write_whole(self.folder / f"schema-{_file_name(stream)}.json", encode(schema).decode())

    def summaries(self) -> Iterator[dict[str, Any]]:
        """The summaries of past runs that can be read, newest first."""
        for path in sorted(self.folder.glob("summary-*.json"), reverse=True):
            with suppress(OSError, ValueError):
                summary = json.loads(path.read_text())
                if isinstance(summary, dict):
                    yield summary

    def read_schema(self, stream: str) -> dict[str, Any] | None:
        """The SCHEMA of a stream as the last run got it."""
        path = self.folder / f"schema-{_file_name(stream)}.json"
        return dict(decode(path.read_bytes())) if path.exists() else None

    def lock(self, stream: str) -> None:
        """Hold *stream* for this run; the lock goes with the process, however it ends.

        Raises:
            AlreadyRunningError: Another run holds it.
        """
        name = _file_name(stream)
        if name in self._locks:
            return
        file = os.open(self.folder / f"stream-{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise AlreadyRunningError(stream) from None
        self._locks[name] = file


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever finds half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _file_name(stream: str) -> str:
    if shown(stream) != stream:
        return hashlib.blake2b(stream.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stream)
