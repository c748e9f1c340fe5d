"""Measures speed, calls and memory of the two plugins in one run; ``make bench`` writes RESULTS.md and paces.svg."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import before
from cases import PARTS, run_cases
from report import compose
from scale import FULL, QUICK

HERE = Path(__file__).parent
PLOT = "paces.svg"


def main() -> None:
    """Run the cases, print the report, and write it where it is wanted."""
    wishes = arguments()
    scale = QUICK if wishes.quick else FULL
    busy, started = os.getloadavg()[0], time.perf_counter()
    with TemporaryDirectory() as folder:
        earlier = before.install(wishes.before, Path(folder)) if wishes.before else None
        remark = ""
        if wishes.before and not earlier:
            remark = f"The history of this clone lacks {wishes.before}: what it would be compared with is left out."
            print(remark, flush=True)
        found = run_cases(Path(folder), scale, frozenset(wishes.only or PARTS), earlier)
    plot = PLOT if wishes.into and found.comparisons else None
    text = compose(found, scale, time.perf_counter() - started, busy, plot=plot, remark=remark)
    if plot:
        # Later than the measurements: what this process has loaded hides the memory of the programs that it starts.
        from plot_paces import plot_paces  # noqa: PLC0415  (see above)

        plot_paces(found.comparisons, wishes.into / plot)
    if wishes.into:
        (wishes.into / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


def arguments() -> argparse.Namespace:
    """Read the command line; *into* is None where nothing is to be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rehearsal of two minutes: few records, one round")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    parser.add_argument(
        "--before", metavar="REV", help="let the target of this revision take part, as the commit before"
    )
    parser.add_argument(
        "--into", type=Path, help="folder of the report (default: this one; none for a rehearsal or a part)"
    )
    wishes = parser.parse_args()
    if wishes.into is None and not wishes.quick and not wishes.only:
        wishes.into = HERE
    return wishes


if __name__ == "__main__":
    main()
