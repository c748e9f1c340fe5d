"""What the make targets install and remove: the versions of the lock file, and nothing that belongs to a pipeline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions

import pytest
from meltano_project import INSTALLED, PACKAGES, is_installed

from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
KEPT = (
    ".meltano/meltano.db",
    ".meltano/run/state.json",
    ".target-insiderone/klaviyo/ledger.sqlite",
    ".env",
    "accounts/us.meltano.yml",
    "output/state.json",  # of the README's pipe by hand
    "output/target-insiderone/klaviyo/ledger.sqlite",
)
REMOVED = (".meltano/extractors/tap-klaviyo/venv", ".meltano/loaders/target-insiderone/venv", ".venv/bin/python")


def test_clean_leaves_state_and_data(tmp_path):
    """With Meltano's database, beside the plugins, went production's bookmarks; with `output`, the hand pipe's."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (*KEPT, *REMOVED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)

    assert [name for name in KEPT if not (tmp_path / name).exists()] == []
    assert [name for name in REMOVED if (tmp_path / name).exists()] == []


def test_setup_keeps_other_packages(tmp_path):
    """Setup leaves what was installed beside.

    ``meltano[s3]``, which the README says to install, is not in the lock file: an exact sync would remove it.
    """
    sync = re.search(r"-m uv (sync .*)$", MAKEFILE, re.MULTILINE)
    assert sync
    uv = [sys.executable, "-m", "uv"]
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv"), "UV_OFFLINE": "1"}
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    (site_packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    beside = site_packages / "state_store-1.0.dist-info"
    beside.mkdir()
    (beside / "METADATA").write_text("Metadata-Version: 2.1\nName: state-store\nVersion: 1.0\n")

    command = [*uv, *sync[1].replace("--quiet", "--dry-run").split()]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert "Would install" in done.stderr
    assert "state-store" not in done.stderr


@pytest.mark.skipif(not is_installed(), reason="Meltano and the plugins are not installed: run `make plugins`")
@pytest.mark.parametrize(("kind", "package"), list(INSTALLED.items()))
def test_installed_plugin_has_tested_versions(kind, package):
    """Installed plugin has the tested versions.

    Meltano resolves a plugin by itself: without constraints it took whatever was newest that day.
    """
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    (site_packages,) = (ROOT / ".meltano" / kind / package / "venv/lib").glob("python*/site-packages")

    installed = {
        re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in distributions(path=[str(site_packages)])
    }

    for ours in PACKAGES:
        installed.pop(ours, None)
    assert "singer-sdk" in installed
    assert installed == {name: locked[name] for name in installed}
