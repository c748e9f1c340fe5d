"""A command, or a pipe of several, measured from outside: time, processor time, peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Command = Sequence[str | Path]

BYTES_PER_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
BYTES_PER_MB = 1_000_000


class CommandFailedError(Exception):
    """A measured command ended with another exit code than 0; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took.

    *cpu_seconds*: of a pipe the sum. *peaks_mb*: resident, 1 MB = 10^6 bytes, of each command of a pipe.
    *server_seconds*: processor time of the server that it worked with; None where the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peaks_mb: tuple[float, ...]
    server_seconds: float | None = None


def measure(
    *commands: Command,
    source: Path | None = None,
    output: Path | None = None,
    server_clock: Callable[[], float | None] = lambda: None,
) -> Usage:
    """Run commands as a pipe from *source* (default: nothing) to *output* (default: nowhere), and wait for all of them.

    *server_clock* tells the processor time that the server has used so far.

    Raises:
        CommandFailedError: One of them failed.
    """
    with (source or Path(os.devnull)).open("rb") as first, (output or Path(os.devnull)).open("wb") as last:
        served, started = server_clock(), time.perf_counter()
        running = _start(commands, first, last)
        ended = [process.finish() for process in running]
        seconds, served_then = time.perf_counter() - started, server_clock()
    for problem in (problem for problem, _ in ended if problem):
        raise CommandFailedError(problem)
    usages = [usage for _, usage in ended]
    return Usage(
        seconds,
        sum(usage.ru_utime + usage.ru_stime for usage in usages),
        tuple(usage.ru_maxrss * BYTES_PER_RSS_UNIT / BYTES_PER_MB for usage in usages),
        None if served is None or served_then is None else served_then - served,
    )


def run_together(*commands: Command, at_most_seconds: float | None = None) -> int:
    """Run commands side by side and wait for all; what still runs after *at_most_seconds* is told to stop.

    Return how many had to be told.

    Raises:
        CommandFailedError: One of them failed by itself.
    """
    with Path(os.devnull).open("rb") as nothing, Path(os.devnull).open("wb") as nowhere:
        running = [_start([command], nothing, nowhere)[0] for command in commands]
        deadline = None if at_most_seconds is None else time.monotonic() + at_most_seconds
        told = [one for one in running if not one.ends_before(deadline)]
        for one in told:
            one.process.terminate()
        problems = [one.problem(one.process.wait()) for one in running]
    for problem in (problem for one, problem in zip(running, problems, strict=True) if problem and one not in told):
        raise CommandFailedError(problem)
    return len(told)


def own_peak_mb() -> float:
    """The peak of this process: no child's shows below it, since a child begins as its parent's image."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_RSS_UNIT / BYTES_PER_MB


def processor_seconds(pid: int) -> float | None:
    """Processor time of a running process so far, None off Linux. Source: proc(5), /proc/pid/stat, fields 14 and 15."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    after_name = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def finish(self) -> tuple[str, resource.struct_rusage]:
        """Wait for the end; return what went wrong, if anything, and what the process used."""
        _, status, usage = os.wait4(self.process.pid, 0)
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.problem(code), usage

    def ends_before(self, deadline: float | None) -> bool:
        """Wait until the process has ended, or until a moment of the monotonic clock."""
        try:
            self.process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def problem(self, code: int) -> str:
        """Tell what went wrong, or nothing; to be called once, after the end."""
        with self.said:
            self.said.seek(0)
            words = self.said.read()[-2_000:].decode("utf-8", "replace")
        return f"{self.process.args!r} ended with {code}:\n{words}" if code else ""


def _start(commands: Sequence[Command], first: IO[bytes], last: IO[bytes]) -> list[_Running]:
    running: list[_Running] = []
    source = first
    for place, command in enumerate(commands):
        said = TemporaryFile()  # noqa: SIM115  (closed by problem)
        output = last if place == len(commands) - 1 else subprocess.PIPE
        process = subprocess.Popen([str(word) for word in command], stdin=source, stdout=output, stderr=said)
        if place:
            source.close()  # the pipe's end is the child's now
        if process.stdout:
            source = process.stdout
        running.append(_Running(process, said))
    return running
