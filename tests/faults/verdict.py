"""What a disturbed pipeline comes to, held against an undisturbed one: lost, doubled, uncertain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deliveries import exact_text, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deliveries import Deliveries, EventKey
    from points import Strike
    from recording import Key

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
    """What an undisturbed run brings. *events*: id of a Klaviyo event -> the Insider One events made of it."""

    state: Mapping[str, Any]
    events: Mapping[str, frozenset[EventKey]]
    rejected: frozenset[Key]
    requests: int


@dataclass
class Verdict:
    """What must not be, as lists that are to be empty; and how often what may be happened."""

    lost: list[str]
    """Users that differ from the undisturbed ones, and rejects that are missing."""
    stored_twice: list[EventKey]
    delivered_twice: list[EventKey]
    """Delivered again without excuse, or with other bytes."""
    uncounted: list[str] = field(default_factory=list)
    """Repetitions that the run's summary does not count as ``uncertain``."""
    early_states: list[str] = field(default_factory=list)
    """What was unsettled before a STATE that was written."""
    unbalanced: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    """Runs in which a process died of a signal that nobody sent, or with a traceback."""
    uncertain: int = 0
    """Events that went again since nobody knew what had become of them."""

    @property
    def broken(self) -> dict[str, list[Any]]:
        """The promises that were broken, each with some instances."""
        names = ("lost", "stored_twice", "delivered_twice", "uncounted", "early_states", "unbalanced", "crashed")
        return {name: getattr(self, name)[:5] for name in names if getattr(self, name)}


def judge(
    ideal: Ideal,
    runs: Sequence[Ended],
    users: Sequence[Mapping[str, Any]],
    deliveries: Deliveries,
    rejected: frozenset[Key],
) -> Verdict:
    """Compare what *runs* brought with an undisturbed run."""
    verdict = Verdict(
        lost=differences(ideal.state, final_state(users))
        + [f"reject {stream} {key}" for stream, key in sorted(ideal.rejected - rejected)],
        stored_twice=stored_twice(users),
        delivered_twice=deliveries.doubled(frozenset(run.number for run in runs if run.codes[-1] != 0)),
    )
    for run in runs:
        verdict.crashed += crashed(run)
        again = len(deliveries.repeated(run.number))
        verdict.uncertain += again
        if run.summary is not None:
            verdict.unbalanced += [f"run {run.number}: {stream}" for stream in unbalanced(run.summary)]
            if noted(run.summary, "uncertain") < again:
                verdict.uncounted.append(f"run {run.number}: {again} events went again")
    return verdict


def final_state(users: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What Insider One holds in the end, without what depends on the order of requests: identifiers -> the rest."""
    return {
        exact_text(user["identifiers"]): {
            "attributes": exact_text(user["attributes"]),
            "events": sorted(
                exact_text([event["event_name"], event["timestamp"], event["event_params"]]) for event in user["events"]
            ),
        }
        for user in users
    }


def differences(ideal: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Users that differ from the ideal ones, and how."""
    told = []
    for identifiers in sorted(ideal.keys() | found.keys()):
        wanted, got = ideal.get(identifiers), found.get(identifiers)
        if wanted is None or got is None:
            told.append(f"{'surplus' if wanted is None else 'missing'} user {identifiers}")
        elif wanted != got:
            parts = [part for part in ("attributes", "events") if wanted[part] != got[part]]
            told.append(f"user {identifiers}: other {' and '.join(parts)}")
    return told


def stored_twice(users: Sequence[Mapping[str, Any]]) -> list[EventKey]:
    """Events that Insider One holds more than once."""
    seen: set[EventKey] = set()
    twice: list[EventKey] = []
    for user in users:
        for event in user["events"]:
            key = key_of(event)
            if key in seen:
                twice.append(key)
            seen.add(key)
    return twice


def crashed(run: Ended) -> list[str]:
    """How a run crashed, if it did: died of a signal other than the one it was struck with, or with a traceback."""
    sent = -run.struck.signum if run.struck else 0
    told = [f"run {run.number}: exit code {code}" for code in run.codes if code < 0 and code != sent]
    return [*told, f"run {run.number}: traceback"] if "Traceback (most recent call last)" in run.log else told


def unbalanced(summary: Mapping[str, Any]) -> list[str]:
    """The streams of a run summary whose outcomes do not add up to what was read."""
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
