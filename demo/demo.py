"""``make demo``: run the three jobs on the sandbox, change data, run them again, and check the results.

DEMO_KEEP=1 keeps the sandbox running at the end, to look at its page, until a signal. All files are kept in
``.demo``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from changes import LATE_BY, Changes, change_data
from figures import Check, Round, checks_of, count_keys, sent_events, sent_users
from klaviyo_insiderone_sandbox.testing import Sandbox
from meltano_project import JOBS, ROOT, MeltanoProject, is_installed, variables_for
from report import print_checks, print_increment, print_places, print_rounds
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = ROOT / ".demo"
DATA = FOLDER / "data"
PROFILES, EVENTS = 2_000, 5_000
STOPS = (signal.SIGINT, signal.SIGTERM)

console = Console(highlight=False)
console.width = max(console.width, 100)


def main() -> int:
    """Run the demo; the exit code is 1 if a check fails."""
    heed_signals()
    if not is_installed():
        console.print("Meltano or the plugins are not installed: run `make demo`, which installs them")
        return 1
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    with Sandbox() as sandbox:
        project = MeltanoProject(FOLDER / "project", variables_for(sandbox.klaviyo_url, sandbox.insiderone_url, DATA))
        first, second, changes = run_twice(sandbox, project)
        checks = [*checks_of(1, first), *checks_of(2, second), *checks_of_both(sandbox, first, second, changes)]
        print_rounds(console, [first, second])
        print_increment(console, second)
        print_checks(console, checks)
        print_places(console, DATA, project.logs)
        console.print(f"Done in {time.monotonic() - began:.0f} s.")
        if os.environ.get("DEMO_KEEP"):
            wait_for_person(sandbox)
    return 1 if any(check.objections for check in checks) else 0


def heed_signals() -> None:
    """Exit cleanly on Ctrl-C and SIGTERM, even if they are inherited as ignored, as in a shell's ``… &``."""
    for signum in STOPS:
        signal.signal(signum, lambda number, _: sys.exit(128 + number))


def run_twice(sandbox: Sandbox, project: MeltanoProject) -> tuple[Round, Round, Changes]:
    """Fill Klaviyo as of an hour ago, run the jobs, change data as of half an hour ago, and run them again."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    counts = seed(sandbox, an_hour_ago)
    tell(1, f"Sandbox with {counts['profiles']:,} profiles and {counts['events']:,} events, some of them hostile.")
    tell(2, "First run: `meltano run` of the three jobs at the same time ...")
    first = run_round(sandbox, project)
    changes = change_data(sandbox, at=an_hour_ago + timedelta(minutes=30))
    tell(3, f"{len(changes.touched)} people changed, {len(changes.flipped)} withdrew consent,")
    console.print(
        f"   {len(changes.new_events)} orders were placed, one {LATE_BY.days} days late, one dated in the future."
    )
    tell(4, "Second run, again at the same time ...\n")
    return first, run_round(sandbox, project), changes


def tell(step: int, words: str) -> None:
    """Announce the next step."""
    console.print(f"[bold]{step}.[/] {words}")


def seed(sandbox: Sandbox, at: datetime) -> dict[str, int]:
    """Fill Klaviyo with data that ends at *at*."""
    sandbox.clock(now=at.isoformat())
    return sandbox.seed(PROFILES, EVENTS, seed=1, hostile=True)


def run_round(sandbox: Sandbox, project: MeltanoProject) -> Round:
    """Run the three jobs at the same time, and collect the requests in the journals."""
    sandbox.clear_journal()
    jobs = project.run_at_once(JOBS)
    return Round(jobs, sandbox.journal("klaviyo"), sandbox.journal("insiderone"))


def checks_of_both(sandbox: Sandbox, first: Round, second: Round, changes: Changes) -> Iterator[Check]:
    """Compare what Insider One holds in the end with what was sent, and with the changes in the shop."""
    earlier, later = count_keys(sent_events(first.insiderone)), count_keys(sent_events(second.insiderone))
    held = count_keys(event for user in sandbox.users() for event in user["events"])
    yield Check(
        f"Insider One holds {held.total():,} events: all that were sent, each once",
        [] if held == earlier + later else ["it differs from what was sent"],
    )
    yield Check(
        "run 2 re-read seven days of events and sent none of them again",
        sorted(event_id for event_id, _, _ in earlier.keys() & later.keys()),
    )
    arrived = {event_id for event_id, _, _ in later}
    yield Check(
        f"the {len(changes.new_events)} new orders arrived",
        [event_id for event_id in changes.new_events if event_id not in arrived],
    )
    yield Check(
        f"the order {LATE_BY.days} days late arrived",
        [] if changes.late_event in arrived else [changes.late_event],
    )
    yield Check(
        "the order dated in the future waits until it is due",
        [changes.future_event] if any(event_id == changes.future_event for event_id, _, _ in held) else [],
    )
    attributes = {user["attributes"]["custom"]["klaviyo_id"]: user["attributes"] for user in profiles(second)}
    yield Check(
        f"the {len(changes.touched)} people who changed arrived with the change",
        [one for one in changes.touched if attributes.get(one, {}).get("custom", {}).get("loyalty_tier") != "gold"],
    )
    yield Check(
        f"the {len(changes.flipped)} who withdrew consent arrived as opted out",
        [one for one in changes.flipped if attributes.get(one, {}).get("email_optin") is not False],
    )


def profiles(round_: Round) -> Iterator[Mapping[str, Any]]:
    """The users sent with attributes, not with events."""
    return (user for user in sent_users(round_.insiderone) if "attributes" in user)


def wait_for_person(sandbox: Sandbox) -> None:
    """Keep the sandbox until a signal: input may have ended, and reading from a terminal stops a background job."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    console.print(f"The sandbox is still running: {sandbox.control_url}/")
    console.print(f"To stop it: Ctrl-C, or from another shell: kill {os.getpid()}")
    signal.sigwait(STOPS)
    console.print("Stopped.")


if __name__ == "__main__":
    sys.exit(main())
