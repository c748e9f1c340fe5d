"""A PostgreSQL server for the tests: started where one is installed, otherwise those tests are skipped."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = [Path(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def find_programs() -> Path | None:
    """The folder of initdb and postgres: on the PATH, or where Debian puts them."""
    on_path = shutil.which("initdb")
    folders = [*([Path(on_path).parent] if on_path else []), *INSTALLED]
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


@contextmanager
def server(programs: Path, folder: Path) -> Iterator[str]:
    """Run a separate server in *folder*; yields the SQLAlchemy URL of its database.

    PostgreSQL refuses to run as root, so that root hands it to the user ``postgres``.
    """
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    identity = {"user": user.pw_uid, "group": user.pw_gid} if user else {}
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "--auth=trust", "--username=tester", "--no-sync", "-D", data],
        check=True,
        capture_output=True,
        cwd=folder,
        **identity,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "fsync=off", "-h", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        **identity,
    )
    try:
        for line in process.stderr or ():
            if "ready to accept connections" in line:
                break
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.communicate(timeout=30)
