"""Forks are compared with real processes: what they see, how they end, and how they react to signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from singer_delivery.testing import forking

SEEN = """
import json, os, random, signal, sys, threading
mask = os.umask(0)
streams = (sys.stdin, sys.stdout, sys.stderr)
json.dump(
    {
        "arguments": sys.argv,
        "path": sys.path,
        "name": __name__,
        "variables": dict(os.environ),
        "folder": os.getcwd(),
        "mask": mask,
        "descriptors": sorted(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None,
        "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
        "leads its group": os.getpgrp() == os.getpid(),
        "threads": threading.active_count(),
        "streams": [
            [stream.fileno(), stream.encoding, stream.errors, stream.line_buffering, stream.isatty(), stream.seekable()]
            for stream in streams
        ],
        "input": sys.stdin.read(),
    },
    sys.stdout,
)
print("to errors", file=sys.stderr)
"""

ENDINGS = {
    "its end": "print('done')",
    "a code": "import sys; print('done'); sys.exit(3)",
    "words": "import sys; sys.exit('words')",
    "an exception": "print('done'); {}['x']",
    "an import that fails": "from nowhere import nothing",
    "a module beside it": "import neighbour; print(neighbour.__name__)",
    "a signal": "import os, signal; print('done', flush=True); os.kill(os.getpid(), signal.SIGTERM)",
    "a kill": "import os, signal; print('done'); os.kill(os.getpid(), signal.SIGKILL)",
    "a Ctrl-C": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "what was left for the end": "import atexit; atexit.register(print, 'left'); print('done')",
    "a thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.01), print('later'))).start()",
    "an output that cannot be written": "import os; print('done'); os.close(1)",
}


UNBUFFERED = "PYTHONUNBUFFERED"
"""Set in some containers; forks buffer their output all the same."""


@pytest.fixture
def script(tmp_path):
    """Write a script, and return the command line that runs it."""

    def write(text):
        path = tmp_path / "script.py"
        (tmp_path / "neighbour.py").touch()
        path.write_text(text)
        return [sys.executable, path]

    return write


@pytest.mark.parametrize("group", [None, 0], ids=["in our group", "in its own"])
def test_fork_matches_process(script, tmp_path, monkeypatch, group):
    """Arguments, environment, folder, umask, descriptors, signals and streams: nothing of the server leaks in."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    variables = {name: value for name, value in os.environ.items() if name != UNBUFFERED}
    command = [*script(SEEN), "--one", tmp_path]
    options = {"input": "ü\r\nx", "capture_output": True, "encoding": "utf-8", "cwd": tmp_path, "umask": 0o027}

    ended = [
        start(command, env=variables | {"ONLY": "here"}, process_group=group, **options)
        for start in (forking.run, subprocess.run)
    ]

    fork, process = ((done.returncode, json.loads(done.stdout), done.stderr) for done in ended)
    assert fork == process


@pytest.mark.parametrize("text", ENDINGS.values(), ids=ENDINGS.keys())
def test_fork_ends_like_process(script, text):
    """Same exit code, same output, same last line on standard error."""
    command = script(text)
    variables = {name: value for name, value in os.environ.items() if name != UNBUFFERED}

    ended = [start(command, env=variables, capture_output=True, text=True) for start in (forking.run, subprocess.run)]

    fork, process = ((done.returncode, done.stdout, done.stderr.splitlines()[-1:]) for done in ended)
    assert fork == process


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda number: number.name)
def test_fork_receives_signals(script, signum):
    """A stopped fork can be killed, like any process."""
    command = script("import sys; print('ready', flush=True); sys.stdin.read()")
    process = forking.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()

    before = process.poll()
    process.send_signal(signum)
    if signum == signal.SIGSTOP:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0)
        process.kill()
    process.communicate(timeout=60)

    assert before is None
    assert process.returncode == -(signal.SIGKILL if signum == signal.SIGSTOP else signum)


def test_forks_share_pipe_and_group(script):
    """One writes what the other reads, and the end of one is the end of the other's input."""
    command = script("import os, sys; print(os.getpgrp(), *sys.stdin.read().split())")

    first = forking.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0)
    second = forking.Popen(command, stdin=first.stdout, stdout=subprocess.PIPE, process_group=first.pid)
    first.stdout.close()
    output, _ = second.communicate(timeout=60)

    assert first.wait(timeout=60) == second.returncode == 0
    assert output.split() == [b"%d" % first.pid] * 2


def test_missing_folder_raises(script, tmp_path):
    """With the same exception as in :mod:`subprocess`."""
    with pytest.raises(FileNotFoundError):
        forking.run(script(""), cwd=tmp_path / "nowhere")


def test_forks_reseed_random(script):
    """A shared seed would have come from the server."""
    command = script("import random; print(random.random())")

    drawn = {forking.run(command, capture_output=True).stdout for _ in range(3)}

    assert len(drawn) == 3


def test_interpreter_variable_starts_process(script):
    """A fork would ignore it, as the interpreter reads it only when it starts."""
    command = script("import sys; print(sys.flags.dev_mode)")

    done = forking.run(command, env=os.environ | {"PYTHONDEVMODE": "1"}, capture_output=True, text=True)

    assert done.stdout == "True\n"


def test_unsupported_argument_is_refused(script):
    """If it were silently ignored, a test that uses it would prove nothing."""
    with pytest.raises(ValueError, match="start_new_session"):
        forking.Popen(script(""), start_new_session=True)
