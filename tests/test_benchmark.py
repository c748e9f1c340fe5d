"""The programs that ``make bench`` compares run on the present code; how fast they are is its own business."""

from __future__ import annotations

import importlib.util
import subprocess

import pytest

from tests.conftest import BIN, ROOT

BENCHMARKS = ROOT / "benchmarks"
PROFILES = 30

spec = importlib.util.spec_from_file_location("benchmark_commands", BENCHMARKS / "commands.py")
commands = importlib.util.module_from_spec(spec)
spec.loader.exec_module(commands)


@pytest.fixture
def shop(sandbox):
    """A shop whose every profile can be stored."""
    sandbox.seed(profiles=PROFILES, events=60, days=30, hostile=False)
    return sandbox


def run(command, lines=b""):
    done = subprocess.run([str(word) for word in command], input=lines, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def records(lines):
    return lines.count(b'"type":"RECORD"')


def test_cases_can_be_imported():
    """They name a good deal of the packages; `make bench` itself is no test, and takes too long for one."""
    subprocess.run([BIN / "python", "-c", "import before, cases, report"], cwd=BENCHMARKS, check=True)


def test_every_reader_reads_all_profiles(shop, tmp_path):
    """The unlimited tap has to find the quotas that it lifts, and the stock tap the schemas that it borrows."""
    taps = commands.Taps(tmp_path, shop)

    read = [run(command) for command in (taps.tap("profiles"), taps.plain("profiles"), taps.stock("profiles", pages=1))]

    assert [records(lines) for lines in read] == [PROFILES] * 3


@pytest.mark.parametrize("stream", ["profiles", "events"])
def test_every_loader_loads_as_many_users(shop, tmp_path, stream):
    """Those beside the plugin use its mapping, or take its validation out, and have to find both."""
    targets = commands.Targets(tmp_path, shop)
    lines = run(commands.Taps(tmp_path, shop).tap(stream))
    loaders = (
        targets.target(),
        targets.target(program=commands.UNVALIDATING_TARGET),
        targets.stock(),
        targets.plain(stream),
    )
    users = []
    for command in loaders:
        shop.reset()
        run(command, lines)
        users.append(len(shop.users()))

    assert users == users[:1] * len(loaders)
    assert users[0] > 0
