"""Ordeals with the tap in them: ``tap-klaviyo | target-insiderone``, and the tap alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from insiderone import FAULTS, InsiderOneAccount
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY
from singer_delivery.testing import forking
from singer_delivery.testing.ordeals import TIMEOUT_SECONDS, Ordeal, Passed, states_of, strike_noted
from singer_delivery.testing.points import Orders, Strike

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from klaviyo_insiderone_sandbox.testing import Sandbox

BY_KLAVIYO_ID = [{"identifier_type": "uuid", "source_field": "id"}]
"""Makes one user of every Klaviyo profile. By address, hostile profiles that share one would become one user, and which
of them is written last would depend on the lanes, disturbed or not."""

TAP = (sys.executable, str(FAULTS / "struck_tap.py"))


def open_shop(sandbox: Sandbox, now: str, *, profiles: int, events: int, seed: int) -> None:
    """Reset the sandbox to a hostile account at a frozen moment: equal arguments, equal data."""
    sandbox.reset()
    sandbox.quotas(None)
    sandbox.clock(frozen=now)
    sandbox.seed(profiles=profiles, events=events, seed=seed, hostile=True)
    sandbox.clear_journal()


def write_tap_config(sandbox: Sandbox, folder: Path) -> Path:
    """Settings that are patient with faults."""
    path = folder / "tap.json"
    settings = {"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url, "request_timeout_seconds": 3}
    path.write_text(json.dumps(settings))
    return path


class PipeOrdeal(Ordeal):
    """Both commands in a pipe, in a process group of their own; the STATE goes from run to run."""

    def __init__(self, sandbox: Sandbox, folder: Path, **settings: Any) -> None:
        """See :class:`Ordeal`; the Klaviyo account is what the sandbox holds."""
        super().__init__(InsiderOneAccount(sandbox), folder, **{"identifier_mappings": BY_KLAVIYO_ID, **settings})
        self._tap_config = write_tap_config(sandbox, folder)
        self._state = folder / "state.json"

    def execute(self, orders: Orders) -> Passed:
        """Start the tap, the target behind it, and wait for both."""
        environment = orders.environment()
        logs = [self.folder / f"{name}-{orders.run}.log" for name in ("tap", "target")]
        with logs[0].open("wb") as tap_log, logs[1].open("wb") as target_log:
            tap = forking.Popen(
                [*TAP, "--config", str(self._tap_config), *self._state_option()],
                stdout=subprocess.PIPE,
                stderr=tap_log,
                env=environment,
                process_group=0,
            )
            target = forking.Popen(
                [*self.account.command, "--config", str(self.target_config)],
                stdin=tap.stdout,
                stdout=subprocess.PIPE,
                stderr=target_log,
                env=environment,
                process_group=tap.pid,
            )
            if tap.stdout:
                tap.stdout.close()  # the target's end is the only one, so that its death reaches the tap
            output, _ = target.communicate(timeout=TIMEOUT_SECONDS)
            codes = (tap.wait(timeout=TIMEOUT_SECONDS), target.returncode)
        return Passed(codes, output, "".join(log.read_text() for log in logs))

    def resume_from(self, state: Any) -> None:
        """Hand the STATE to the next run's tap."""
        self._state.write_text(json.dumps(state))

    def _state_option(self) -> Sequence[str]:
        return ["--state", str(self._state)] if self._state.exists() else []


class TapOrdeal:
    """The tap alone. *emitted*: for each run the records it wrote, and how many of them stand before its last STATE."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        """The Klaviyo account is what the sandbox holds."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = write_tap_config(sandbox, folder)
        self._state = folder / "state.json"
        self.emitted: list[tuple[list[str], int]] = []
        self.struck: list[Strike] = []
        self.codes: list[int] = []

    def run(self, strike: Strike | None = None) -> None:
        """Run once, from the last STATE on."""
        noted_in = self._folder / f"strike-{len(self.codes) + 1}"
        done = forking.run(
            [*TAP, "--config", str(self._config), *(["--state", str(self._state)] if self._state.exists() else [])],
            env=Orders(len(self.codes) + 1, str(noted_in), strike).environment(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        records: list[str] = []
        settled = 0
        for message in states_of(done.stdout):
            if message["type"] == "RECORD":
                records.append(version_of(message))
            elif message["type"] == "STATE":
                settled = len(records)
                self._state.write_text(json.dumps(message["value"]))
        self.emitted.append((records, settled))
        self.struck += filter(None, [strike_noted(noted_in)])
        self.codes.append(done.returncode)


def version_of(message: dict[str, Any]) -> str:
    """Identity of an emitted record: stream, id, and the time of this version."""
    record = message["record"]
    moment = record.get("changed_at") or record.get("updated") or record.get("datetime")
    return f"{message['stream']} {record['id']} {moment}"
