"""Compares a disturbed pipeline with an undisturbed one: lost, duplicated and uncertain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_delivery.testing.account import Account
    from singer_delivery.testing.deliveries import EventKey
    from singer_delivery.testing.points import Strike
    from singer_delivery.testing.recording import Key

OUTCOMES = ("delivered", "unchanged", "duplicate", "filtered", "rejected", "pending")


@dataclass(frozen=True)
class Ended:
    """One run. *codes*: exit codes, the target's last; *struck*: the kill that took place; *summary*: the target's."""

    number: int
    codes: tuple[int, ...]
    states: Sequence[Any]
    struck: Strike | None
    summary: Mapping[str, Any] | None
    log: str

    @property
    def succeeded(self) -> bool:
        """Whether every plugin ended with success."""
        return not any(self.codes)


@dataclass(frozen=True)
class Ideal:
    """Results of an undisturbed run. *held*: `Account.held`; *events*: id of a record -> the events made from it."""

    held: Mapping[str, Mapping[str, Any]]
    events: Mapping[str, frozenset[EventKey]]
    rejected: frozenset[Key]
    requests: int


@dataclass
class Verdict:
    """Violations, as lists that must be empty, and the number of legitimate repetitions."""

    lost: list[str]
    """Differences in the API's data, and missing rejects."""
    stored_twice: list[EventKey]
    delivered_twice: list[EventKey]
    """Delivered again without a valid reason, or with other bytes."""
    uncounted: list[str] = field(default_factory=list)
    """Repetitions that the run's summary does not count as ``uncertain``."""
    early_states: list[str] = field(default_factory=list)
    """Records that were unsettled when a STATE after them was written."""
    unbalanced: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    """Runs in which a process died of a signal that the harness did not send, or with a traceback."""
    uncertain: int = 0
    """Events that were sent again because their outcome was unknown."""

    @property
    def broken(self) -> dict[str, list[Any]]:
        """The guarantees that were broken, each with some instances."""
        names = ("lost", "stored_twice", "delivered_twice", "uncounted", "early_states", "unbalanced", "crashed")
        return {name: getattr(self, name)[:5] for name in names if getattr(self, name)}


def judge(
    ideal: Ideal,
    runs: Sequence[Ended],
    account: Account,
    rejected: frozenset[Key],
) -> Verdict:
    """Compare the results of *runs* with an undisturbed run."""
    deliveries = account.deliveries()
    verdict = Verdict(
        lost=differences(ideal.held, account.held())
        + [f"reject {stream} {key}" for stream, key in sorted(ideal.rejected - rejected)],
        stored_twice=list(account.held_twice()),
        delivered_twice=deliveries.doubled(frozenset(run.number for run in runs if run.codes[-1] != 0)),
    )
    for run in runs:
        verdict.crashed += crashed(run)
        again = len(deliveries.repeated(run.number))
        verdict.uncertain += again
        if run.summary is not None:
            verdict.unbalanced += [f"run {run.number}: {stream}" for stream in unbalanced(run.summary)]
            if noted(run.summary, "uncertain") < again:
                verdict.uncounted.append(f"run {run.number}: {again} events were sent again")
    return verdict


def differences(ideal: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Missing, surplus and different entries, with the parts that differ."""
    told = []
    for name in sorted(ideal.keys() | found.keys()):
        wanted, got = ideal.get(name), found.get(name)
        if wanted is None or got is None:
            told.append(f"{'surplus' if wanted is None else 'missing'}: {name}")
        elif wanted != got:
            parts = [part for part in wanted.keys() | got.keys() if wanted.get(part) != got.get(part)]
            told.append(f"{name}: other {' and '.join(sorted(parts))}")
    return told


def crashed(run: Ended) -> list[str]:
    """Crashes of a run: death by a signal other than the harness's own, or a traceback."""
    sent = -run.struck.signum if run.struck else 0
    told = [f"run {run.number}: exit code {code}" for code in run.codes if code < 0 and code != sent]
    return [*told, f"run {run.number}: traceback"] if "Traceback (most recent call last)" in run.log else told


def unbalanced(summary: Mapping[str, Any]) -> list[str]:
    """The streams of a run summary whose outcomes do not add up to the records read."""
    wrong = [
        stream
        for stream, figures in summary["streams"].items()
        if figures["read"] != sum(figures[outcome] for outcome in OUTCOMES)
    ]
    return [*wrong, *summary["unbalanced"]]


def noted(summary: Mapping[str, Any], code: str) -> int:
    """How often a run summary notes *code*, over all streams."""
    return sum(
        count
        for figures in summary["streams"].values()
        for name, count in figures.get("notes", {}).items()
        if name.split()[0] == code
    )
