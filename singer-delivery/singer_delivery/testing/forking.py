"""Starts the command lines of tests as forks of a process that has already imported their modules.

Importing a target takes 0.7 s of processor time, and a test suite starts targets a thousand times; a fork takes a tenth
of that. A fork is a separate process with its own pid, standard streams, environment, working directory and exit, and
any signal can kill it. :func:`run` and :class:`Popen` take the arguments of their namesakes in :mod:`subprocess`. For
tests of the start itself (imports, closed streams, limits), use :mod:`subprocess`.
"""

from __future__ import annotations

import ast
import atexit
import functools
import gc
import importlib.util
import inspect
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import entry_points
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STREAMS = 3
"""Standard input, output and error."""
UNUSABLE = ("shell", "preexec_fn", "pass_fds", "start_new_session")
"""Arguments of :class:`subprocess.Popen` that are not supported."""
BEGUN_WITH = dict(os.environ)
"""The server's environment."""


class Popen(subprocess.Popen[Any]):
    """Like :class:`subprocess.Popen`, for ``[console script, ...]`` or ``[python, file, ...]``.

    Any other command, and one whose environment changes a variable of the interpreter, starts as a real process.
    """

    _told: Connection | None = None

    def _execute_child(self, *arguments: Any) -> None:
        """Ask the server for a fork; its pid, and later its exit code, arrive through a pipe."""
        begin = subprocess.Popen._execute_child  # type: ignore[attr-defined]  # noqa: SLF001  (the method that starts the process)
        asked = inspect.signature(begin).bind(self, *arguments).arguments
        if unusable := [name for name in UNUSABLE if asked[name]]:
            raise ValueError(f"a fork cannot have {', '.join(unusable)}")
        given = os.environ if asked["env"] is None else asked["env"]
        environment = {os.fsdecode(name): os.fsdecode(value) for name, value in given.items()}
        command = [os.fsdecode(word) for word in asked["args"]]
        if command[0] == sys.executable:
            del command[0]
        is_ours = command[0].endswith(".py") or Path(command[0]).parent == Path(sys.executable).parent
        new = {name for name, value in environment.items() if BEGUN_WITH.get(name) != value}
        if not is_ours or any(name.startswith("PYTHON") for name in new):
            begin(self, *arguments)
            return
        self._told, theirs = Pipe()
        pipes = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if pipe == -1 else pipe for number, pipe in enumerate(pipes)]
        with theirs:
            socket.send_fds(server_of(command[0]), [b"\n"], [theirs.fileno(), *streams])
        self._told.send(
            {
                "arguments": command,
                "environment": environment,
                "folder": os.fsdecode(asked["cwd"] or Path.cwd()),
                "umask": current_umask() if asked["umask"] == -1 else asked["umask"],
                "group": asked["process_group"],
            }
        )
        begun = self._told.recv()
        if isinstance(begun, OSError):
            raise begun
        self.pid = begun
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ends))  # type: ignore[attr-defined]  # missing in typeshed

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        """Check whether the exit code has arrived."""
        if self._told is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc, no-any-return]  # missing in typeshed
        with suppress(subprocess.TimeoutExpired):
            return self._wait(0)
        return None

    def _wait(self, timeout: float | None) -> int:
        """Wait for the exit code."""
        if self._told is None:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]  # missing in typeshed
        if self.returncode is None:
            if not self._told.poll(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._told.recv()
            self._told.close()
        return self.returncode


def run(
    command: Sequence[Any],
    *,
    input: str | bytes | None = None,  # noqa: A002  (subprocess's name)
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Like :func:`subprocess.run`."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


@functools.cache
def server_of(program: str) -> socket.socket:
    """The channel to the process that forks *program*; it starts with the first command, and ends with the tests."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", __name__, program]
    with theirs:
        server = subprocess.Popen(  # noqa: S603  (this module)
            command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=BEGUN_WITH
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def current_umask() -> int:
    """This process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# The server


def serve(program: str) -> Callable[[], Any]:
    """Import the modules, then fork on request; returns only in the forks, with the function to run.

    Nothing but imports happens before a fork: no threads, no connections, no logging. :mod:`random` reseeds itself in
    each fork.
    """
    main, source = located(program)
    sys.path.insert(0, str(Path(program).resolve().parent))
    for module, names in imports_of(source):
        with suppress(ImportError):  # the fork will raise it
            __import__(module, fromlist=names)
    gc.collect()
    gc.freeze()  # a garbage collection in a fork would copy every page
    channel = socket.socket(fileno=os.dup(0))
    interrupted = signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1 + STREAMS)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not descriptors:
            sys.exit()
        if not os.fork():
            break
        for descriptor in descriptors:
            os.close(descriptor)
    channel.close()
    told, streams = Connection(descriptors[0]), descriptors[1:]
    order = told.recv()
    if pid := os.fork():
        watch(pid, told, streams)
    signal.signal(signal.SIGINT, interrupted)
    try:
        become(order, streams)
    except OSError as error:
        told.send(error)
        os._exit(1)
    told.send(os.getpid())
    told.close()
    return main


def watch(pid: int, told: Connection, streams: Sequence[int]) -> None:
    """Wait for a fork and report its exit code, if anybody still listens."""
    for descriptor in streams:
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        told.send(os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(order: dict[str, Any], streams: Sequence[int]) -> None:
    """Turn this fork into the requested process."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if order["group"] != -1:
        os.setpgid(0, order["group"])
    os.umask(order["umask"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.argv = order["arguments"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        usual = getattr(sys, name)
        stream = open(  # noqa: SIM115  (open until the process ends)
            number,
            "w" if number else "r",
            buffering=1 if name == "stderr" else -1,
            encoding=usual.encoding,
            errors=usual.errors,
            newline="\n",
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def located(program: str) -> tuple[Callable[[], Any], Path]:
    """The function to run, and the file whose imports to preload: a console script's module, or the script itself."""
    if program.endswith(".py"):
        return functools.partial(runpy.run_path, program, run_name="__main__"), Path(program)
    (script,) = entry_points(group="console_scripts", name=Path(program).name)
    module = importlib.util.find_spec(script.module)
    if module is None or module.origin is None:
        raise ModuleNotFoundError(script.module)
    return lambda: sys.exit(script.load()()), Path(module.origin)


def imports_of(file: Path) -> Iterator[tuple[str, list[str]]]:
    """All imports of a file, including those inside functions: (module, names)."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


if __name__ == "__main__":
    serve(sys.argv[1])()
