"""A munged of a test's own: its key, its socket, its idea of the time and of where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>
time_t time(time_t *into)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += atol(getenv("CLOCK_AHEAD"));
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""
HERE = "192.0.2.7"
"""Where it says it is, if nothing else is said."""


class Munged:
    """``with Munged() as munged``: its ``socket`` can be used by every user. ``key``: of another one."""

    def __init__(self, key: bytes | None = None, *, ahead: int = 0, origin: str = HERE) -> None:
        if shutil.which("munged") is None:
            pytest.skip("NOT RUN: munged is not installed (Debian package munge)")
        self.key = key or os.urandom(1024)
        self._ahead = ahead
        self._origin = origin

    def __enter__(self) -> Self:
        self._top = Path(tempfile.mkdtemp(prefix="gpucost-munged."))
        self._top.chmod(0o755)
        self.socket = self._top / "socket"
        key = self._top / "key"
        key.touch(0o400)
        key.chmod(0o600)
        key.write_bytes(self.key)
        files = [f"--{name}-file={self._top / name}" for name in ("key", "pid", "log", "seed")]
        words = ["munged", "--force", "--foreground", f"--socket={self.socket}", f"--origin={self._origin}", *files]
        env = {**os.environ, **(self._clock() if self._ahead else {})}
        with (self._top / "said").open("wb") as said:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env)
        deadline = time.monotonic() + 10
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"munged did not start: {(self._top / 'said').read_text()}")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._top)

    def _clock(self) -> dict[str, str]:
        source, library = self._top / "clock.c", self._top / "clock.so"
        source.write_text(_CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        return {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(self._ahead)}

    def credential(self, uid: int, payload: bytes) -> str:
        """One of another user, who needs nothing but MUNGE's own command."""
        words = ["munge", "--socket", str(self.socket)]
        done = subprocess.run(words, input=payload, capture_output=True, check=True, user=uid, cwd="/")
        return done.stdout.decode().strip()
