"""Measures speed, calls and memory of the two plugins in one run; ``make bench`` writes the report RESULTS.md.

bench.py [--quick]      --quick is a rehearsal of a minute: few records, one round, the report goes to the screen.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cases import run_cases
from report import compose
from scale import FULL, QUICK
from workbench import HERE, Workbench, serving


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few records, one round, no file is written")
    quick = parser.parse_args().quick
    scale = QUICK if quick else FULL
    busy, started = os.getloadavg()[0], time.perf_counter()
    with TemporaryDirectory() as folder, serving() as shop, serving() as store:
        found = run_cases(Workbench(Path(folder), shop, store), scale)
    text = compose(found, scale, time.perf_counter() - started, busy)
    if not quick:
        (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
