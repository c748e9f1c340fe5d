"""The target whose file is the first argument, as a command that can be struck; the other arguments are its own."""

from __future__ import annotations

import runpy
import sys

from singer_delivery.testing.struck import run_struck

if __name__ == "__main__":
    file = sys.argv.pop(1)
    run_struck(lambda: runpy.run_path(file, run_name="__main__"))
