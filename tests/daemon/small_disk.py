"""A disk to fill, in a mount namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.rootfs import mountable
from tests.daemon.site import unable

DISK_MIB = 4


class SmallDisk:
    """A tmpfs of a few MiB in a mount namespace of its own; ``path`` is its name inside, ``outside`` ours."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        mount = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "$0" && echo mounted && exec sleep 600'
        words = [*mountable(), "unshare", "--mount", "sh", "-c", mount, str(path)]
        self.path = path
        self._holder = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "mounted\n":
            unable(f"no tmpfs for a disk to fill: {self._holder.stderr.read().strip()}")
        self.enter = ["nsenter", f"--target={self._holder.pid}", "--mount", "--root"]
        self.outside = Path(f"/proc/{self._holder.pid}/root{path}")

    def fill(self) -> None:
        with (self.outside / "filler").open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        (self.outside / "filler").unlink()

    def mount(self, how: str) -> None:
        """``ro`` or ``rw``; nobody may have a file open for writing there."""
        subprocess.run([*self.enter, "mount", "-o", f"remount,{how}", str(self.path)], check=True)

    def copy(self, name: str, to: Path) -> Path:
        """SQLite cannot follow ``outside``: a copy of a ledger that nobody has open."""
        return Path(shutil.copy(self.outside / name, to))

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()
