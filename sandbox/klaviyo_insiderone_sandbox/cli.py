"""The ``sandbox`` command."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.klaviyo.seeding.seed import Seed
from klaviyo_insiderone_sandbox.server import Ports, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klaviyo_insiderone_sandbox.sandbox import Sandbox


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="sandbox", description="Local stand-ins for the Klaviyo and Insider One APIs.")
    commands = root.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="serve both APIs, the control plane and its page until stopped")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument("--klaviyo-port", type=int, default=8701, help="0 = any free port (default: %(default)s)")
    command.add_argument("--insiderone-port", type=int, default=8702, help="0 = any free port (default: %(default)s)")
    command.add_argument("--control-port", type=int, default=8700, help="0 = any free port (default: %(default)s)")
    command.add_argument("--profiles", type=int, default=0, help="profiles to start with (default: %(default)s)")
    command.add_argument("--events", type=int, default=0, help="events to start with (default: %(default)s)")
    command.add_argument("--seed", type=int, default=1, help="makes the same data every time (default: %(default)s)")
    command.add_argument("--no-quotas", action="store_true", help="answer any number of requests")
    return root


def announce(urls: dict[str, str]) -> None:
    """Write the addresses of the services to stdout, as one line of JSON."""
    print(json.dumps(urls), flush=True)  # noqa: T201 - this line is the command's interface


def handle_signals() -> None:
    """End the command on SIGINT and SIGTERM, even if they are inherited as ignored, as in a shell's ``… &``."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    handle_signals()

    def prepare(sandbox: Sandbox) -> None:
        if options.profiles or options.events:
            sandbox.seed(Seed(profiles=options.profiles, events=options.events, seed=options.seed))
        if options.no_quotas:
            sandbox.scale_quotas(None)

    try:
        serve(
            options.host, Ports(options.klaviyo_port, options.insiderone_port, options.control_port), prepare, announce
        )
    except OSError as error:
        print(f"sandbox: cannot listen: {error}; choose other ports", file=sys.stderr)  # noqa: T201 - a command's error
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
