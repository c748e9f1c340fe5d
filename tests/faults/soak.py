"""Kill and disturb for as long as there is time: ``python tests/faults/soak.py --minutes 10 --seed 1``.

Prints one JSON object: seed, ordeals, runs, kills by point, faults by kind, and what was lost, doubled or uncertain.
Exit code 1 if a promise was broken; the ordeals concerned are printed on the way, with the seed that repeats them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import mishaps
from insiderone import target_ordeal
from klaviyo_insiderone_sandbox.testing import Sandbox
from pipe_ordeals import PipeOrdeal, open_shop
from recording import REACH, WHOLE_BATCHES, record_shop
from singer_delivery.testing.plans import dice, strike_at
from singer_delivery.testing.points import Strike
from tap_points import TAP_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from singer_delivery.testing.ordeals import Ordeal
    from singer_delivery.testing.verdict import Ideal, Verdict

SHOP = {"profiles": 1_500, "events": 4_000, "seed": 7}


@dataclass
class Tally:
    """What all ordeals so far came to."""

    seed: int
    ordeals: int = 0
    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    stored_twice: int = 0
    delivered_twice: int = 0
    uncertain: int = 0
    broken: int = 0

    def add(self, ordeal: Ordeal, verdict: Verdict, faults: Counter[str]) -> None:
        """Count one ordeal."""
        self.ordeals += 1
        self.runs += len(ordeal.runs)
        self.kills.update(strike.point for strike in ordeal.struck())
        self.faults += faults
        self.lost += len(verdict.lost)
        self.stored_twice += len(verdict.stored_twice)
        self.delivered_twice += len(verdict.delivered_twice)
        self.uncertain += verdict.uncertain
        self.broken += bool(verdict.broken)


@dataclass(frozen=True)
class Source:
    """Something to read from. *begin* opens it for an ordeal in a folder; *points*: where that may be killed."""

    name: str
    begin: Callable[[Path], Ordeal]
    ideal: Ideal
    points: Sequence[str]


def prepare(name: str, begin: Callable[[Path], Ordeal], folder: Path, points: Sequence[str]) -> Source:
    """Find out what a source brings undisturbed."""
    undisturbed = begin(folder / name)
    undisturbed.run_to_success()
    return Source(name, begin, undisturbed.ideal(), points)


def sources(sandbox: Sandbox, seed: int, folder: Path) -> list[Source]:
    """The target alone, the same with rows that are refused by a 400, and the pipe."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    plain, refused = (record_shop(seed, unstorable=unstorable) for unstorable in (False, True))

    def begin_pipe(where: Path) -> Ordeal:
        open_shop(sandbox, now, **SHOP)
        return PipeOrdeal(sandbox, where)

    whole, points = list(WHOLE_BATCHES), list(REACH)
    return [
        prepare("target", lambda where: target_ordeal(sandbox, where, plain), folder, whole),
        prepare("target, rows refused", lambda where: target_ordeal(sandbox, where, refused), folder, points),
        prepare("pipe", begin_pipe, folder, [*whole, *TAP_POINTS]),
    ]


def draw(source: Source, chance: random.Random) -> list[Strike]:
    """One to three kills at points of the source."""
    chosen = chance.choices(source.points, k=chance.randint(1, 3))
    return [
        strike_in_tap(point, chance) if point in TAP_POINTS else strike_at(point, REACH, chance) for point in chosen
    ]


def strike_in_tap(point: str, chance: random.Random) -> Strike:
    """A kill of the tap, or of both."""
    return Strike(point, chance.randint(1, 20), chance.choice((9, 9, 15, 2)), whole_pipe=chance.random() < 1 / 3)


def faults_met(sandbox: Sandbox) -> Counter[str]:
    """The faults that fired, by side and kind; refused rows (400) belong to the data."""
    return Counter(
        f"{side} {entry['fault']} {entry['status'] or ''}".rstrip()
        for side in ("klaviyo", "insiderone")
        for entry in sandbox.journal(side)
        if entry.get("fault") and entry["status"] != 400
    )


def soak(minutes: float, seed: int) -> Tally:
    """Go from ordeal to ordeal until the time is over."""
    tally = Tally(seed)
    deadline = time.monotonic() + minutes * 60
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with Sandbox() as sandbox:
        known = sources(sandbox, seed, folder)
        while time.monotonic() < deadline:
            number = seed * 1_000_000 + tally.ordeals
            chance = dice(number)
            source = chance.choice(known)
            ordeal = source.begin(folder / "ordeal")
            strikes = draw(source, chance)
            mishaps.arm(sandbox, chance, insiderone=chance.randint(0, 6), klaviyo=chance.randint(0, 4))
            ordeal.run_to_success(strikes)
            verdict = ordeal.verdict(source.ideal)
            tally.add(ordeal, verdict, faults_met(sandbox))
            if verdict.broken:
                struck = [f"{strike.point} {strike.nth}" for strike in ordeal.struck()]
                say(json.dumps({"ordeal": number, "source": source.name, "struck": struck, **verdict.broken}))
            shutil.rmtree(folder / "ordeal")
    shutil.rmtree(folder)
    return tally


def say(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    tally = soak(options.minutes, options.seed)
    say(json.dumps(vars(tally), indent=2, default=dict))
    sys.exit(1 if tally.broken else 0)


if __name__ == "__main__":
    main()
