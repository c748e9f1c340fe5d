"""What others install: the built packages, and the version that the plugins tell of themselves."""

from __future__ import annotations

import ast
import logging
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from importlib import import_module
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest
from tap_klaviyo.tap import TapKlaviyo
from target_insiderone.target import TargetInsiderOne

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {
    "klaviyo-http": "klaviyo_http",
    "singer-delivery": "singer_delivery",
    "tap-klaviyo": "tap_klaviyo",
    "target-insiderone": "target_insiderone",
    "sandbox": "klaviyo_insiderone_sandbox",
}
"""Folder -> the module that it holds."""

DATA_FILES = {
    "klaviyo-http": {"klaviyo_http/py.typed"},
    "singer-delivery": {"singer_delivery/py.typed"},
    "tap-klaviyo": {"tap_klaviyo/py.typed", "tap_klaviyo/schemas/profiles.json"},
    "target-insiderone": {"target_insiderone/py.typed"},
    "sandbox": {"klaviyo_insiderone_sandbox/py.typed", "klaviyo_insiderone_sandbox/page.html"},
}


def build(kind: str, folder: Path, out: Path) -> Path:
    """Build one distribution with the backend that is installed here: no network is needed."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.mark.parametrize("folder", PACKAGES)
def test_package_declares_what_it_imports(folder):
    """A dependency of another package disappears once that package no longer needs it."""
    declared = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["dependencies"]
    distributions = packages_distributions()
    imported = {
        name.partition(".")[0]
        for path in (ROOT / folder / PACKAGES[folder]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    needed = {distributions[name][0].lower() for name in imported & distributions.keys()}
    names = {re.split(r"[><=\[]", requirement)[0] for requirement in declared}
    assert {name.replace("_", "-") for name in needed} - {folder, f"klaviyo-insiderone-{folder}"} <= names


@pytest.fixture(scope="module", params=PACKAGES)
def package(request, tmp_path_factory):
    """Built as installers do: the folder, the unpacked source distribution, and path -> text of the wheel."""
    out = tmp_path_factory.mktemp(request.param)
    with tarfile.open(build("sdist", ROOT / request.param, out)) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (source,) = (out / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", source, out)) as archive:
        wheel = {name: archive.read(name).decode() for name in archive.namelist()}
    return request.param, source, wheel


def test_package_has_licence_and_origin(package):
    """Built package carries licence and origin.

    Whoever gets a wheel or a source distribution alone knows under which terms, whose it is and what it is for.
    """
    folder, source, wheel = package
    (metadata,) = [text for name, text in wheel.items() if name.endswith(".dist-info/METADATA")]
    (licence,) = [text for name, text in wheel.items() if name.endswith(".dist-info/licenses/LICENSE")]
    said = message_from_string(metadata)

    assert licence == (source / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert metadata == (source / "PKG-INFO").read_text()
    assert said["Author"] == "The klaviyo-insiderone authors"
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Version"] == import_module(PACKAGES[folder]).__version__
    assert said["Summary"]
    assert said["Keywords"]
    assert all(re.search(r", https://\S+$", url) for url in said.get_all("Project-URL"))
    assert {"Programming Language :: Python :: 3.11", "Typing :: Typed"} <= set(said.get_all("Classifier"))
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().strip() == (ROOT / folder / "README.md").read_text().strip()


def test_package_has_all_files(package):
    """Built package holds every file of its module.

    Schemas and the page are no Python, and yet nothing works without them; nothing else of ours goes along.
    """
    folder, _, wheel = package
    module = ROOT / folder / PACKAGES[folder]
    files = {str(path.relative_to(module.parent)) for path in module.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}

    assert {name for name in wheel if ".dist-info/" not in name} == files
    assert DATA_FILES[folder] <= files


@pytest.mark.parametrize("plugin", [TapKlaviyo, TargetInsiderOne])
def test_variables_line_is_filtered(plugin, caplog):
    """Plugin does not say that variables are passed over.

    They are read, though not by the SDK, whose line at the start of every run made people look for a mistake.
    """
    caplog.set_level("INFO")
    plugin(config={}, validate_config=False, setup_mapper=False)
    logging.getLogger(plugin.name).info("anything else")

    assert [record.message for record in caplog.records] == ["anything else"]


INTERRUPTED = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if the tests run in the background
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "singer_sdk":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
runpy.run_module(sys.argv[1], run_name="__main__")
"""
"""Runs a module, and presses Ctrl-C while the SDK is imported."""


@pytest.mark.parametrize("module", ["tap_klaviyo", "target_insiderone"])
def test_early_interrupt_is_quiet(module):
    """Interrupt while modules are imported ends quietly.

    The imports take a second; a Ctrl-C within it showed a traceback. The commands begin where the modules do.
    """
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, module], check=False, capture_output=True, text=True)
    project = tomllib.loads((ROOT / module.replace("_", "-") / "pyproject.toml").read_text())["project"]

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert list(project["scripts"].values()) == [f"{module}.__main__:main"]


@pytest.mark.parametrize(("folder", "plugin"), [("tap-klaviyo", TapKlaviyo), ("target-insiderone", TargetInsiderOne)])
def test_version_is_of_running_code(folder, plugin, tmp_path):
    """Version is that of the code that runs.

    On PyPI, `tap-klaviyo` is another project; with its metadata on the path, `--version` told its version.
    """
    foreign = tmp_path / f"{PACKAGES[folder]}-99.9.dist-info"
    foreign.mkdir()
    (foreign / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder}\nVersion: 99.9\n")

    said = subprocess.run(
        [BIN / folder, "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert plugin.package_name == folder
    assert f"{folder} v{import_module(PACKAGES[folder]).__version__}, " in said.stdout
