"""Files and folders that nobody else may read: made, opened and tightened; symbolic links are refused."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""What group and others may do with a file; here, nothing."""


class UnsafeFileError(Exception):
    """A file of ``data_dir`` is a symbolic link, a folder, a pipe or a device.

    Whoever made it would decide where personal data goes; and who opens a pipe waits for ever.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is a symbolic link, which is not followed; remove it, or let `data_dir` itself point elsewhere"
            if path.is_symlink()
            else f"{path} is no file; remove it"
        )


def open_private(path: Path, flags: int) -> int:
    """Open a file; one that is created is 0600.

    Raises:
        UnsafeFileError: It is a symbolic link, or no file.
        OSError: It cannot be opened.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:  # the last: a pipe that nobody reads
            raise UnsafeFileError(path) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnsafeFileError(path)
    return file


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, 0700 whatever the umask is."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def tighten(path: Path) -> bool:
    """Take group's and others' rights away where there are any; returns whether nobody else has any now."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            with suppress(PermissionError):  # it is somebody else's, as on some mounted volumes
                path.chmod(mode & ~OTHERS)
            return not path.stat().st_mode & OTHERS
    return True


def is_shared(folder: Path) -> bool:
    """Whether other programs need a folder, too: ``/tmp`` and its like, one's home, and where one works, or above."""
    if folder.stat().st_mode & stat.S_ISVTX:
        return True
    folder = folder.resolve()
    with suppress(RuntimeError):  # nobody's home
        if Path.home().resolve().is_relative_to(folder):
            return True
    return Path.cwd().resolve().is_relative_to(folder)
