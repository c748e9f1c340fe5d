"""The README and the limits, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from klaviyo_insiderone_sandbox import testing
from klaviyo_insiderone_sandbox.cli import parser
from klaviyo_insiderone_sandbox.clock import Clock
from klaviyo_insiderone_sandbox.control import control_plane
from klaviyo_insiderone_sandbox.faults import Rule
from klaviyo_insiderone_sandbox.insiderone.settings import PARTNER, TOKEN, Settings
from klaviyo_insiderone_sandbox.klaviyo.routes import ROUTES
from klaviyo_insiderone_sandbox.klaviyo.settings import Settings as KlaviyoSettings
from klaviyo_insiderone_sandbox.sandbox import Sandbox
from starlette.routing import Route

PACKAGE = Path(__file__).parents[1]
README = (PACKAGE / "README.md").read_text(encoding="utf-8")


PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def first_cells(heading: str) -> list[str]:
    """Return the first cell of each row of the table under a heading."""
    section = re.split(r"^#+ ", README.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return [cell.strip("`") for cell in rows[2:]]


def test_control_calls_are_documented() -> None:
    """Every control call stands in the table."""
    routes = [route for route in control_plane(Sandbox(Clock())).routes if isinstance(route, Route)]
    calls = {f"{method} {route.path}" for route in routes for method in route.methods or () if method != "HEAD"}

    assert sorted(first_cells("Control plane")) == sorted(calls - {"GET /"})


def test_python_methods_are_documented() -> None:
    """Every python method stands in the table."""
    named = set(re.findall(r"^\| `[A-Z]+ /control[^|]*\| `(\w+)` \|", README, flags=re.MULTILINE))
    methods = {name for name in vars(testing.Sandbox) if not name.startswith("_") and name.islower()}

    assert named == methods - {"attach", "close"}


def test_options_are_documented() -> None:
    """Every option stands in the table."""
    text = parser().format_help() + README

    assert set(first_cells("Start")) == {
        "--host",
        "--klaviyo-port",
        "--insiderone-port",
        "--control-port",
        "--profiles",
        "--events",
        "--seed",
        "--no-quotas",
    }
    assert "serve" in text


def test_settings_are_documented() -> None:
    """Every setting stands in the table."""
    assert first_cells("Settings of the Klaviyo account") == list(KlaviyoSettings.__struct_fields__)
    assert first_cells("Settings of the Insider One account") == list(Settings.__struct_fields__)


def test_faults_are_documented() -> None:
    """Every kind of fault stands in the table."""
    (kind,) = [one for one in msgspec.structs.fields(Rule) if one.name == "kind"]

    assert set(first_cells("Faults")) == set(kind.type.__args__)


@pytest.mark.parametrize("credential", [testing.KLAVIYO_KEY, testing.KLAVIYO_KEY_THREE_FLOWS, PARTNER, TOKEN])
def test_credentials_are_documented(credential: str) -> None:
    """Every credential stands in the README."""
    assert f"`{credential}`" in README


def test_every_endpoint_is_named() -> None:
    """Single resources and lists of ids go with what they belong to, by rule."""
    named = {route.endpoint.path.removesuffix("/{id}").replace("/relationships", "") for route in ROUTES}

    assert named == {path for path in first_cells("Klaviyo side") if path.startswith("/api/")}


def test_readme_family_is_real() -> None:
    """Family in the README is the real one. Whoever adds one copies it from there."""
    source = PACKAGE / "klaviyo_insiderone_sandbox" / "klaviyo" / "families" / "tags.py"

    assert source.read_text(encoding="utf-8").endswith(f"\n\n{PYTHON[0]}")


@pytest.mark.parametrize("side", ["klaviyo", "insiderone"])
def test_the_limits_are_shipped(side: str) -> None:
    """Whoever uses the sandbox must be able to see what it leaves out."""
    limits = PACKAGE / "klaviyo_insiderone_sandbox" / side / "LIMITS.md"

    assert "## Assumed" in limits.read_text(encoding="utf-8")


def test_the_example_works(tmp_path: Path) -> None:
    """The Python example of the README, as it stands there."""
    import subprocess
    import sys

    example = tmp_path / "example.py"
    example.write_text(PYTHON[-1], encoding="utf-8")

    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert "'profiles': 1, 'events': 1" in done.stdout
