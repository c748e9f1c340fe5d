"""Creates, opens and restricts files and folders that only their owner may read; refuses symbolic links."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from singer_delivery.disclosure import without_keys

OTHERS = 0o077
"""Permission bits of group and others."""


class UnsafeFileError(Exception):
    """A file in ``data_dir`` is a symbolic link, a folder, a pipe or a device.

    Its creator would control where personal data is written; and opening a pipe may block forever.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{without_keys(path)} is a symbolic link, which is not followed; remove it, or let `data_dir` itself "
            "point elsewhere"
            if path.is_symlink()
            else f"{without_keys(path)} is not a regular file; remove it"
        )


def open_private(path: Path, flags: int) -> int:
    """Open a file; a new one gets mode 0600.

    Raises:
        UnsafeFileError: It is a symbolic link, or not a regular file.
        OSError: It cannot be opened.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:  # ENXIO: a pipe without a reader
            raise UnsafeFileError(path) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnsafeFileError(path)
    return file


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, with mode 0700 regardless of the umask."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def tighten(path: Path) -> bool:
    """Remove the permissions of group and others; returns whether they are gone now."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            with suppress(PermissionError):  # owned by another user, as on some mounted volumes
                path.chmod(mode & ~OTHERS)
            return not path.stat().st_mode & OTHERS
    return True


def is_shared(folder: Path) -> bool:
    """Whether a folder is also used by others: ``/tmp`` and the like, the home or working directory, or a parent."""
    if folder.stat().st_mode & stat.S_ISVTX:
        return True
    folder = folder.resolve()
    with suppress(RuntimeError):  # the user has no home
        if Path.home().resolve().is_relative_to(folder):
            return True
    return Path.cwd().resolve().is_relative_to(folder)
