"""A private copy of the Meltano project: own state and data, with the plugins already installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parent.parent
JOBS = ("profiles-sync", "events-sync", "subscriptions-sync")
PACKAGES = ("klaviyo-http", "singer-delivery", "tap-klaviyo", "target-insiderone")
INSTALLED = {"extractors": "tap-klaviyo", "loaders": "target-insiderone"}
"""Folder of ``.meltano`` with only a plugin's environment, nothing of a run -> the plugin."""

FOREIGN = re.compile(r"TAP_KLAVIYO_|TARGET_INSIDERONE_|MELTANO_")
"""Variables of a real pipeline, which must not reach the copy."""

PRIVATE = 0o077
"""The umask of every run: Meltano writes the plugins' settings into ``.meltano/run``."""

_SUMMARY = re.compile(r" (run summary|summary): (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class FinishedJob:
    """One run of a job, with the summaries of tap and target."""

    job: str
    exit_code: int
    log: str
    seconds: float

    @property
    def tap_summary(self) -> dict[str, Any]:
        """The tap's figures; empty if it ended before its summary."""
        return self._summary("summary")

    @property
    def run_summary(self) -> dict[str, Any]:
        """The target's figures; empty if it ended before its summary."""
        return self._summary("run summary")

    def _summary(self, kind: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = [json.loads(text) for name, text in _SUMMARY.findall(self.log) if name == kind]
        return found[-1] if found else {}


class MeltanoProject:
    """``meltano.yml`` in its own folder, with links to the packages and their installed environments.

    It does not see ``.env``, or the state, data and variables of a real pipeline.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], database: Path | None = None) -> None:
        """Fill *folder*; *variables* are the settings of the plugins, under Meltano's names.

        *database*: an empty system database of Meltano to copy; if None, a Meltano command creates it.
        """
        self.folder = folder
        self.logs = folder / "logs"
        own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        self.environment = {**own, "NO_COLOR": "1", **variables}
        self._started = 0
        self.logs.mkdir(parents=True)
        (folder / ".meltano").mkdir()
        (folder / "meltano.yml").write_text(unguarded((ROOT / "meltano.yml").read_text()))
        for package in PACKAGES:
            (folder / package).symlink_to(ROOT / package)
        for kind in INSTALLED:
            (folder / ".meltano" / kind).symlink_to(ROOT / ".meltano" / kind)
        if database:
            shutil.copy(database, self.database)
        else:
            self.meltano("state", "list")  # creates the system database; three first runs at once would fail

    @property
    def database(self) -> Path:
        """Meltano's system database, with the states."""
        return self.folder / ".meltano/meltano.db"

    def states(self) -> dict[str, str]:
        """State id -> Meltano's state, as text; read without starting Meltano."""
        with closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("SELECT state_id, completed_state, partial_state FROM state").fetchall()
        return {name: f"{completed} {partial}" for name, completed, partial in rows}

    def meltano(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of Meltano to its end."""
        return subprocess.run(
            [meltano_command(), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            umask=PRIVATE,
        )

    def run_at_once(self, jobs: Iterable[str]) -> list[FinishedJob]:
        """Start all *jobs* at the same time and wait for the last one."""
        began = time.monotonic()
        running = [(job, *self._start(job)) for job in jobs]
        finished = []
        try:
            for job, log, process in running:
                code = process.wait()
                finished.append(FinishedJob(job, code, log.read_text(), time.monotonic() - began))
        finally:
            for _, _, process in running:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        return finished

    def _start(self, job: str) -> tuple[Path, subprocess.Popen[bytes]]:
        self._started += 1
        log = self.logs / f"{self._started:02}-{job}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [meltano_command(), "run", job],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                umask=PRIVATE,
            )
        return log, process


def unguarded(project_file: str) -> str:
    """``meltano.yml`` without the variables of the environment ``sandbox``, which take precedence over the shell."""
    return re.sub(r"(- name: sandbox\n)  env:\n(?:    .*\n)+", r"\1", project_file, count=1)


def meltano_command() -> str:
    """The Meltano installed next to this Python."""
    return str(Path(sys.executable).with_name("meltano"))


def is_installed() -> bool:
    """Whether ``make plugins`` has installed Meltano and the plugins."""
    plugins = [ROOT / ".meltano" / kind / plugin for kind, plugin in INSTALLED.items()]
    return Path(meltano_command()).exists() and all(plugin.exists() for plugin in plugins)


def variables_for(klaviyo_url: str, insiderone_url: str, data_dir: Path) -> dict[str, str]:
    """Variables that point the project's environment ``sandbox`` to a sandbox on its own ports."""
    return {
        "TAP_KLAVIYO_API_URL": klaviyo_url,
        "TARGET_INSIDERONE_API_URL": insiderone_url,
        "TARGET_INSIDERONE_DATA_DIR": str(data_dir),
    }
