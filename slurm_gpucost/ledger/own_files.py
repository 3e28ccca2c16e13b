"""Files in a directory that others can write, too: nobody may make us write through a name into what is ours.

/var/lib/gpucost belongs to root and to the collector's user. Root writes a journal there, runs commands over that
user's ledger and takes its lock: a link laid at one of these names would let that user write, as root, wherever he
likes. SQLite opens what it keeps beside a file (-wal, -shm) without following links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from slurm_gpucost.domain.errors import LedgerError


def open_lock(path: Path, owners: Collection[int]) -> int:
    """A plain file for reading and writing, made (mode 0600) where missing; ``owners`` may have made it, beside root
    and ourselves.

    Raises LedgerError where it is anything else: a symbolic link, a pipe, someone else's. It may have other names
    (:func:`has_one_name`): whoever copies a directory by hard links gives it some, and whoever means ill, too.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = "is a symbolic link, or cannot" if path.is_symlink() else "cannot"
        raise LedgerError(f"{path}: {what} be opened for writing ({error.strerror})") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not _is_known(status, owners):
        os.close(fd)
        raise LedgerError(
            f"{path}: is not the plain file that gpucost made there (it is user {status.st_uid}'s); look who laid it "
            "there, and remove it"
        )
    return fd


def has_one_name(fd: int) -> bool:
    """Whether what is written there is written nowhere else."""
    return os.fstat(fd).st_nlink == 1


def make(path: Path) -> None:
    """An empty file, mode 0600, where a link leads that :func:`refuse_foreign_link` let pass."""
    try:
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError(f"{path}: cannot be made ({error.strerror})") from error


def refuse_foreign_link(path: Path) -> None:
    """Raises LedgerError where a symbolic link of another user stands there. Root's and our own are followed."""
    status = status_of(path, follow_symlinks=False)
    if status is not None and stat.S_ISLNK(status.st_mode) and not _is_known(status):
        raise LedgerError(
            f"{path}: is a symbolic link of user {status.st_uid}, and is not followed; remove it, or name the file "
            "that is meant"
        )


def refuse_foreign(path: Path) -> None:
    """Raises LedgerError where a file is another user's, for its content would be his word."""
    refuse_foreign_link(path)
    status = status_of(path)
    if status is not None and not _is_known(status):
        raise LedgerError(
            f"{path}: belongs to user {status.st_uid}, who can change it; move it away, or name another file"
        )


def status_of(path: Path, *, follow_symlinks: bool = True) -> os.stat_result | None:
    """None where there is nothing, or one cannot look."""
    try:
        return path.stat(follow_symlinks=follow_symlinks)
    except OSError:
        return None


def _is_known(status: os.stat_result, owners: Collection[int] = ()) -> bool:
    return status.st_uid in (0, os.geteuid()) or status.st_uid in owners
