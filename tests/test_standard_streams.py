"""Closed standard streams: an ending that is foreseen, in both plugins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import singer_delivery.standard_streams
import tap_klaviyo.standard_streams
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY

BIN = Path(sys.executable).parent


def test_both_plugins_have_equal_module():
    """Both plugins have the same module. No plugin imports the other: what is mended in one is mended in both."""
    modules = (tap_klaviyo.standard_streams, singer_delivery.standard_streams)

    assert len({Path(module.__file__).read_text() for module in modules}) == 1


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 1, "it cannot be written (Bad file descriptor)"),
        (">/dev/full", 1, "it cannot be written (No space left on device)"),
        ("2>&- >/dev/null", 0, ""),
    ],
    ids=["output", "full disk", "errors"],
)
def test_tap_ends_as_foreseen(sandbox, tmp_path, closed, code, said):
    """It was an AttributeError, and the first file that was opened took the number of standard output."""
    (tmp_path / "config.json").write_text(json.dumps({"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url}))
    done = subprocess.run(
        ["bash", "-c", f"{BIN}/tap-klaviyo --config config.json {closed}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "unexpected" not in done.stderr
    assert "Exception ignored" not in done.stderr
