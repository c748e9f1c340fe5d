"""Entry point of the command (also ``python -m target_insiderone``); Ctrl-C during imports shows no traceback."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the target."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    from target_insiderone.cli import main as run  # noqa: PLC0415  (importing takes a second)

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
