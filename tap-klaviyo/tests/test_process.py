"""How the command adjusts its process."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import subprocess
import sys

import pytest
from singer_delivery.testing import forking
from tap_klaviyo.process import PIPE_BYTES, prepare_process


@pytest.mark.req("C-21")
def test_collector_skips_waiting_pages():
    """Collector is spared the pages that wait. Its first generation takes as many objects as a few pages hold."""
    before = gc.get_threshold()
    try:
        prepare_process()
        assert gc.get_threshold()[0] >= 100_000
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_fork_matches_console_script(command, environment, sandbox, profiles):
    """Most tests run forks (`singer_delivery.testing.forking`): same exit code, output and log."""
    sandbox.clock(frozen="2026-06-01T11:00:00Z")
    sandbox.add_profiles(profiles(30))
    sandbox.clock(frozen="2026-06-01T12:00:00Z")
    line = command(streams=["profiles"], start_date="2026-01-01T00:00:00Z")
    passing = re.compile(r"^[-\d]+ [\d:,]+|\d+\.\d+|\"pid\":\d+", re.MULTILINE)

    ended = [
        start(line, capture_output=True, text=True, env={**environment, "TAP_KLAVIYO_LOGLEVEL": "DEBUG"})
        for start in (forking.run, subprocess.run)
    ]

    fork, process = ((done.returncode, done.stdout, passing.sub("", done.stderr)) for done in ended)
    assert fork[1].count('"RECORD"') == 30
    assert fork == process


@pytest.mark.skipif(sys.platform != "linux", reason="other systems size their pipes themselves")
def test_output_pipe_holds_a_page():
    """Pipe that is written to holds a page. It holds 64 kB by itself, and a page of events has 1 MB."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as end:
        with os.fdopen(writing, "wb") as output:
            subprocess.run([sys.executable, "-m", "tap_klaviyo", "--version"], stdout=output, check=True)

        assert fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) == PIPE_BYTES
