"""``docs/parity.md``: every requirement with its tests."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT

SHARED = ROOT.parent / "shared"
REQUIREMENT = re.compile(r"\b(?:IN|CO|CS|BX|C|HT|RV|CL)-\d+\b")


def test_parity_page_is_current():
    """Parity page is what the tests say. A page that claims what no test proves would be worse than none."""
    done = subprocess.run(
        [sys.executable, "docs/parity.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not SHARED.exists(), reason="the requirement documents are not beside this checkout")
def test_no_requirement_is_missing():
    """Every id that the requirement documents define stands in the list."""
    documents = [*(SHARED / "requirements").glob("*.md"), SHARED / "design.md"]
    defined = {requirement for path in documents for requirement in REQUIREMENT.findall(path.read_text())}
    groups = tomllib.loads((ROOT / "docs/requirements.toml").read_text())

    assert defined <= {requirement for group in groups.values() for requirement in group}
