"""Sandboxes in processes of their own."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.testing import Sandbox

from commands import PYTHON
from measuring import processor_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Command

SLOW_SECONDS = 0.2
SLOW = f"{SLOW_SECONDS * 1_000:.0f} ms a request"


@dataclass(frozen=True, slots=True)
class Server:
    """A sandbox in a process of its own."""

    sandbox: Sandbox
    pid: int

    def clock(self) -> float | None:
        """Processor seconds used so far."""
        return processor_seconds(self.pid)


@contextmanager
def serving(*, quotas: bool = False) -> Iterator[Server]:
    """Start a sandbox on free ports; without *quotas*, it throttles nobody."""
    options = ["--klaviyo-port", "0", "--insiderone-port", "0", "--control-port", "0"]
    options += [] if quotas else ["--no-quotas"]
    command: Command = (PYTHON, "-m", "klaviyo_insiderone_sandbox", "serve", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                raise RuntimeError("the sandbox does not start")
            with Sandbox.attach(json.loads(line)["control"]) as sandbox:
                yield Server(sandbox, process.pid)
        finally:
            process.terminate()


@contextmanager
def latency(seconds: float, *servers: Server) -> Iterator[None]:
    """Let every answer of both APIs take so long."""
    for server in servers:
        for side in ("klaviyo", "insiderone"):
            server.sandbox.latency(side, seconds)
    yield
    for server in servers:
        for side in ("klaviyo", "insiderone"):
            server.sandbox.latency(side, 0)
