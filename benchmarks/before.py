"""An earlier revision of this repository, installed beside it, so that its target can take part."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from commands import PYTHON

if TYPE_CHECKING:
    from commands import Program

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Before:
    """The commit before; *target* starts its target-insiderone."""

    revision: str
    target: Program

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"the commit before ({self.revision})"


def install(revision: str, folder: Path) -> Before | None:
    """Install a revision into a folder, as its own lock file says; None where the history lacks it.

    A shallow clone has no history.
    """
    exists = ("git", "cat-file", "-e", f"{revision}^{{commit}}")
    if subprocess.run(exists, cwd=ROOT, capture_output=True, check=False).returncode:
        return None
    archive, tree, environment = folder / "before.tar", folder / "before", folder / "before-venv"
    subprocess.run(("git", "archive", "--output", archive, revision), cwd=ROOT, check=True)
    shutil.unpack_archive(archive, tree, filter="data")
    subprocess.run(
        (PYTHON, "-m", "uv", "sync", "--frozen", "--quiet", "--no-dev", "--no-editable", "--python", PYTHON),
        cwd=tree,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment), "UV_COMPILE_BYTECODE": "1"},
        check=True,
    )
    return Before(revision, (environment / "bin" / "target-insiderone",))
