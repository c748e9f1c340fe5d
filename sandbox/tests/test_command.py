"""The ``sandbox`` command itself, and the page it serves."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from klaviyo_insiderone_sandbox.testing import Sandbox

if TYPE_CHECKING:
    from .conftest import InsiderOneCaller

COMMAND = [sys.executable, "-m", "klaviyo_insiderone_sandbox", "serve"]
FREE_PORTS = ["--klaviyo-port", "0", "--insiderone-port", "0", "--control-port", "0"]


def test_starts_with_data_unlimited() -> None:
    """It starts with data and without quotas when asked."""
    with Sandbox("--profiles", "20", "--events", "100", "--seed", "5", "--no-quotas") as sandbox:
        counts = sandbox.counts()
        headers = {"Authorization": f"Klaviyo-API-Key {sandbox.KLAVIYO_KEY}", "revision": "2026-07-15"}
        answer = requests.get(f"{sandbox.klaviyo_url}/api/profiles", headers=headers, timeout=30)

    assert (counts["profiles"], counts["events"]) == (20, 100)
    assert "RateLimit-Limit" not in answer.headers


def test_stdout_line_names_addresses() -> None:
    """Its only line on stdout names three addresses that answer. Scripts wait for this line and read it."""
    with subprocess.Popen([*COMMAND, *FREE_PORTS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        statuses = {name: requests.get(url, timeout=30).status_code for name, url in urls.items()}
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert statuses == {"klaviyo": 404, "insiderone": 404, "control": 200}
    assert rest == ""
    assert process.returncode == 130


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_inherited_ignored_signal_ends_it(signum: signal.Signals, code: int) -> None:
    """Signal ends it where it was ignored.

    A shell's ``… &`` hands SIGINT on as ignored: the server stopped, and the command then told success.
    """
    command = ["sh", "-c", 'trap "" INT TERM; exec "$@"', "sh", *COMMAND, *FREE_PORTS]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signum)

    assert process.returncode == code


def test_taken_port_is_reported() -> None:
    """A taken port is reported in one line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--klaviyo-port", port], capture_output=True, text=True, timeout=60, check=False
        )

    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_page_is_self_contained(sandbox: Sandbox) -> None:
    """The page needs nothing from elsewhere. It works without a network, and asks for control calls that exist."""
    answer = requests.get(sandbox.control_url, timeout=30)

    paths = set(re.findall(r"/control/[a-z/]+", answer.text))
    assert answer.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"https?://|<link|src=", answer.text)
    assert paths
    assert all(requests.get(sandbox.control_url + path, timeout=30).status_code == 200 for path in paths)


def test_users_page_by_last_change(sandbox: Sandbox, insiderone: InsiderOneCaller) -> None:
    """Users come in pages lately changed first. What the page's list shows, and what its search box finds."""
    for name in ("ada", "ben", "cleo"):
        insiderone.upsert({"identifiers": {"email": f"{name}@example.org"}, "attributes": {"name": name.title()}})
    insiderone.upsert({"identifiers": {"email": "ada@example.org"}, "attributes": {"custom": {"Tier": "Gold"}}})
    url = f"{sandbox.control_url}/control/insiderone/users"

    first = requests.get(url, params={"limit": 2}, timeout=30).json()
    second = requests.get(url, params={"limit": 2, "offset": 2}, timeout=30).json()
    found = requests.get(url, params={"limit": 2, "search": "gold"}, timeout=30).json()

    assert [one["attributes"]["name"] for one in first["users"] + second["users"]] == ["Ada", "Cleo", "Ben"]
    assert first["total"] == 3
    assert [one["identifiers"]["email"] for one in found["users"]] == ["ada@example.org"]


def test_status_shows_quotas(sandbox: Sandbox, insiderone: InsiderOneCaller) -> None:
    """The status shows the quotas in use."""
    insiderone.upsert({"identifiers": {"email": "a@b.co"}, "attributes": {"name": "A"}})

    status = sandbox.status()["insiderone"]

    assert (status["users"], status["requests"], status["refusals"]) == (1, 1, 0)
    assert status["quotas"] == [
        {"bucket": "upsert and attribute/delete", "window_seconds": 60, "limit": 25_000, "used": 1}
    ]
