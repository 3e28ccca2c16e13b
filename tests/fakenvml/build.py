"""Builds the stand-in for libnvidia-ml.so.1, once for each version of its source; prints the directory it lies in.

Put that directory into LD_LIBRARY_PATH before a process starts; it lies outside the repository and is reused.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("fakenvml.c")
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread")


def cache_directory() -> Path:
    """Where the tests keep what they build."""
    if chosen := os.environ.get("GPUCOST_TEST_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpucost"


def build() -> Path:
    """The directory with libnvidia-ml.so.1 in it. Exits with the compiler's words when it cannot be built."""
    compiler = os.environ.get("CC") or "cc"
    key = hashlib.sha256(SOURCE.read_bytes() + repr((FLAGS, platform.machine())).encode()).hexdigest()[:12]
    directory = cache_directory() / f"fakenvml-{key}"
    library = directory / "libnvidia-ml.so.1"
    if library.exists():
        return directory
    if shutil.which(compiler) is None:
        raise SystemExit(f"no C compiler ({compiler}): install gcc and libc6-dev to build the stand-in for NVML")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        made = Path(scratch) / library.name
        done = subprocess.run(
            [compiler, *FLAGS, f"-Wl,-soname,{library.name}", "-o", str(made), str(SOURCE)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{compiler} cannot build {SOURCE}:\n{done.stderr}")
        made.rename(library)
    return directory


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
