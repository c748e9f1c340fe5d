"""An ordeal: one pipeline that is killed and disturbed, and rerun from its last STATE until it succeeds."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from singer_delivery.testing import forking
from singer_delivery.testing.points import Orders, Strike
from singer_delivery.testing.verdict import Ended, Ideal, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from singer_delivery.testing.account import Account
    from singer_delivery.testing.recording import Key, Recording

MOST_RUNS = 8
"""An ordeal that has not succeeded by then never will."""
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Passed:
    """Results of the processes of one run; *codes*: exit codes, the target's last."""

    codes: tuple[int, ...]
    output: bytes
    log: str


class Ordeal(ABC):
    """Keeps the data folder, the position in the source and the account from run to run."""

    def __init__(self, account: Account, folder: Path, **settings: Any) -> None:
        """Start with an empty account; *settings* replace those of :meth:`Account.settings`."""
        folder.mkdir(parents=True)
        self.account = account
        self.folder = folder
        self.data_dir = folder / "data"
        self.runs: list[Ended] = []
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Change the target's settings for the runs that follow."""
        self.target_config.write_text(json.dumps({**self.account.settings(self.data_dir), **settings}))

    @property
    def target_config(self) -> Path:
        """The target's settings file."""
        return self.folder / "target.json"

    @abstractmethod
    def execute(self, orders: Orders) -> Passed:
        """Start the processes and wait for their end."""

    @abstractmethod
    def resume_from(self, state: Any) -> None:
        """Let the next run start at *state*."""

    def run(self, strike: Strike | None = None, sabotage: str = "") -> Ended:
        """Run once, from the last STATE on."""
        number = len(self.runs) + 1
        noted_in = self.folder / f"strike-{number}"
        known = set(self.data_dir.rglob("summary-*.json"))
        passed = self.execute(Orders(number, str(noted_in), strike, sabotage))
        summaries = set(self.data_dir.rglob("summary-*.json")) - known
        summary = json.loads(summaries.pop().read_text()) if summaries else None
        states = states_of(passed.output)
        self.runs.append(Ended(number, passed.codes, states, strike_noted(noted_in), summary, passed.log))
        if states:
            self.resume_from(states[-1])
        return self.runs[-1]

    def run_to_success(self, strikes: Sequence[Strike] = (), sabotage: str = "") -> None:
        """Run with one strike after the other, then without faults until a run succeeds.

        Raises:
            RuntimeError: None does.
        """
        for strike in strikes:
            self.run(strike, sabotage)
        self.account.calm()
        while not self.run(sabotage=sabotage).succeeded:
            if len(self.runs) > MOST_RUNS:
                raise RuntimeError(f"no success in {MOST_RUNS} runs; the last said:\n{self.runs[-1].log[-2_000:]}")

    def struck(self) -> list[Strike]:
        """The kills that took place."""
        return [run.struck for run in self.runs if run.struck]

    def rejected(self) -> frozenset[Key]:
        """The records in the rejects file; a torn line is skipped."""
        found = set()
        for path in self.data_dir.rglob("rejects.jsonl"):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                found.add((entry["stream"], entry["key"]))
        return frozenset(found)

    def ideal(self) -> Ideal:
        """Take the results so far as the ideal."""
        return Ideal(
            self.account.held(),
            self.account.deliveries().by_record(),
            frozenset(key for key in self.rejected() if key[1]),
            self.account.requests(),
        )

    def verdict(self, ideal: Ideal) -> Verdict:
        """Compare with an undisturbed run."""
        return judge(ideal, self.runs, self.account, self.rejected())


class TargetOrdeal(Ordeal):
    """The target alone, fed from a recording."""

    def __init__(self, account: Account, folder: Path, recording: Recording, **settings: Any) -> None:
        """See :class:`Ordeal`."""
        super().__init__(account, folder, **settings)
        self.position = 0
        self._recording = recording
        self._early: list[str] = []

    def execute(self, orders: Orders) -> Passed:
        """Feed the records after the last STATE."""
        done = forking.run(
            [*self.account.command, "--config", str(self.target_config)],
            input=self._recording.input_after(self.position),
            env=orders.environment(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        return Passed((done.returncode,), done.stdout, done.stderr.decode())

    def resume_from(self, state: Any) -> None:
        """A STATE of the recording holds the number of records before it; bad ones must be rejected by now."""
        self.position = state["bookmarks"]["position"]
        before = {(stream, record["id"]) for stream, record in self._recording.records[: self.position]}
        missing = (before & self._recording.bad) - self.rejected()
        self._early += [f"run {len(self.runs)}: {stream} {key}" for stream, key in sorted(missing)]

    def verdict(self, ideal: Ideal) -> Verdict:
        """Compare with an undisturbed run, and check every STATE that was resumed from."""
        verdict = super().verdict(ideal)
        verdict.lost += [f"reject {key}" for key in sorted(self._recording.bad - self.rejected())]
        verdict.early_states += self._early + self._undelivered_before_states(ideal)
        if self.position != len(self._recording.records):
            verdict.early_states.append(f"the last STATE is at {self.position}")
        return verdict

    def _undelivered_before_states(self, ideal: Ideal) -> list[str]:
        """Events of records before a run's last STATE that neither it nor an earlier run had delivered."""
        deliveries = self.account.deliveries()
        missing = []
        for run in self.runs:
            position = run.states[-1]["bookmarks"]["position"] if run.states else 0
            had = deliveries.up_to(run.number)
            missing += [
                f"run {run.number}: {record['id']} before {position}"
                for _, record in self._recording.records[:position]
                if not ideal.events.get(record["id"], frozenset()) <= had
            ]
        return missing


def states_of(output: bytes) -> list[Any]:
    """The STATEs on standard output; a torn last line is skipped, as Meltano does."""
    whole, _, _torn = output.rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def strike_noted(path: Path) -> Strike | None:
    """The kill that a process noted before it died, if there was one."""
    if not path.exists():
        return None
    (line,) = path.read_text().splitlines()
    return Strike(**json.loads(line))
