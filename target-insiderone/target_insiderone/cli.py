"""The console script: loading, or one of the commands."""

from __future__ import annotations

from singer_delivery.commands.cli import run_target

from target_insiderone.check import check_command
from target_insiderone.target import TargetInsiderOne


def main() -> None:
    """Run the target."""
    run_target(TargetInsiderOne, [check_command])


if __name__ == "__main__":
    main()
