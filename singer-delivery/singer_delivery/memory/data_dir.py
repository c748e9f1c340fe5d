"""The data folder of a pipeline: rejects, ledger and run summaries, as private files in a private folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_delivery.disclosure import shown, without_keys
from singer_delivery.errors import Finding, SettingsError
from singer_delivery.exact_json import decode, encode
from singer_delivery.logs import log
from singer_delivery.memory.private_files import UnsafeFileError, is_shared, make_folder, open_private, tighten

if TYPE_CHECKING:
    from collections.abc import Iterator


class AlreadyRunningError(Exception):
    """Another run is loading the same stream of the same integration."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"stream {shown(stream)}: another run of this integration is loading it; wait for it, or give this "
            "pipeline its own `integration_name`"
        )


class DataDir:
    """``data_dir`` with one folder per integration name; folders have mode 0700, files 0600.

    Existing folders and files with a wider mode are restricted.

    Raises:
        OSError: The folder cannot be created or written to.
        UnsafeFileError: One of its files is a symbolic link.
        SettingsError: The setting is not a valid path, or not that of a folder.
    """

    def __init__(self, data_dir: str, integration_name: str) -> None:
        self.root = folder_of(data_dir)
        self.folder = self.root / integration_name
        self.is_new = not self.folder.exists()
        try:
            make_folder(self.folder)
            self._tighten()
        except (FileExistsError, NotADirectoryError):
            finding = Finding("data_dir", "is not a folder, or is below a file", "give a folder, or one to be created")
            raise SettingsError([finding]) from None
        self._locks: dict[str, int] = {}

    def _tighten(self) -> None:
        """Remove other users' permissions; warn if that is impossible, and spare folders that others need."""
        files = [*self.folder.iterdir(), *self.root.glob("dry-run-*")]
        for path in files:
            if path.is_symlink():
                raise UnsafeFileError(path)
        is_private = min(list(map(tighten, (self.folder, *files))))
        if is_shared(self.root):
            return
        if not (tighten(self.root) and is_private):
            log.warning(
                "data_dir %s can be read by others, and its permissions cannot be changed by this user",
                without_keys(self.root),
            )

    def other_personal_files(self) -> list[Path]:
        """Summaries, dry runs of all integrations, and temporary files of runs that died."""
        found = {*self.folder.glob("summary-*"), *self.folder.glob("*.new"), *self.root.glob("dry-run-*")}
        return sorted(path for path in found if path.is_file())

    def other_integrations(self) -> list[str]:
        """The names of other integrations with data in this folder."""
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path != self.folder and path.is_dir() and any(path.glob("*.jsonl")) | any(path.glob("*.sqlite"))
        )

    def prune(self, days: int) -> int:
        """Delete summaries, dry runs and temporary files older than *days*; returns how many."""
        oldest = time.time() - days * 86_400
        stale = 0
        for path in self.other_personal_files():
            with suppress(FileNotFoundError):  # another run is pruning, too
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    stale += 1
        return stale

    @property
    def rejects(self) -> Path:
        """The rejected records."""
        return self.folder / "rejects.jsonl"

    @property
    def unidentified(self) -> Path:
        """The records that have none of the mapped identifiers, in the format of rejects."""
        return self.folder / "unidentified.jsonl"

    @property
    def kept_records(self) -> tuple[Path, ...]:
        """Every file that holds input records."""
        return self.rejects, self.unidentified

    @property
    def has_ledger(self) -> bool:
        """Whether the SQLite ledger exists."""
        return (self.folder / "ledger.sqlite").exists()

    @property
    def ledger(self) -> Path:
        """The SQLite ledger; created by this property, so that it has mode 0600 from the start."""
        path = self.folder / "ledger.sqlite"
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
        return path

    def dry_run(self, run_id: str) -> Path:
        """The requests of a dry run."""
        return self.root / f"dry-run-{run_id}.jsonl"

    def dry_run_rejects(self, run_id: str) -> Path:
        """What a dry run would reject; a separate file, so that a replay ignores it."""
        return self.root / f"dry-run-{run_id}-rejects.jsonl"

    def write_summary(self, run_id: str, text: str) -> Path:
        """Write a run's summary."""
        path = self.folder / f"summary-{run_id}.json"
        _write_whole(path, text)
        return path

    def write_schema(self, message: dict[str, Any]) -> None:
        """Store a SCHEMA message for the validation of replayed rejects, without the stream's name."""
        nameless = {name: value for name, value in message.items() if name != "stream"}
        _write_whole(self._schema(message["stream"]), encode(nameless).decode())

    def summaries(self) -> Iterator[dict[str, Any]]:
        """The readable summaries of past runs, newest first."""
        for path in sorted(self.folder.glob("summary-*.json"), reverse=True):
            with suppress(OSError, ValueError, RecursionError):
                summary = json.loads(path.read_text()) if path.is_file() else None
                if isinstance(summary, dict):
                    yield summary

    def read_schema(self, stream: str) -> dict[str, Any] | None:
        """The SCHEMA message of a stream in the last run; 0.1.0 stored only its schema."""
        path = self._schema(stream)
        if not path.exists():
            return None
        kept = dict(decode(path.read_bytes()))
        if kept.get("type") == "SCHEMA" and isinstance(kept.get("schema"), dict):
            return kept | {"stream": stream}
        return {"type": "SCHEMA", "stream": stream, "schema": kept}

    def _schema(self, stream: str) -> Path:
        return self.folder / f"schema-{_file_name(stream)}.json"

    @contextmanager
    def alone(self, work: str) -> Iterator[None]:
        """Hold an exclusive lock named *work* in this folder, waiting for other processes."""
        file = open_private(self.folder / f"{work}.lock", os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("another %s of this integration is running: waiting for it to end", work)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def lock(self, stream: str) -> None:
        """Lock *stream* for this run; the lock ends with the process, however it ends.

        Raises:
            AlreadyRunningError: Another run holds the lock.
        """
        name = _file_name(stream)
        if name in self._locks:
            return
        file = open_private(self.folder / f"stream-{name}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise AlreadyRunningError(stream) from None
        self._locks[name] = file


def folder_of(data_dir: str) -> Path:
    """The folder that ``data_dir`` names.

    Raises:
        SettingsError: It contains a NUL character, or ``~`` with an unknown user.
    """
    with suppress(RuntimeError):
        if "\0" not in data_dir:
            return Path(data_dir).expanduser()
    raise SettingsError([Finding("data_dir", "is not a path", "write a path; `~` is the current user's home")])


def _write_whole(path: Path, text: str) -> None:
    """Write a file atomically."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(open_private(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(text)
    fresh.replace(path)


def _file_name(stream: str) -> str:
    if shown(stream) != stream:
        return hashlib.blake2b(stream.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stream)
