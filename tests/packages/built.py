"""The packages of two versions, built by packaging/build-debs as anyone builds them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.rootfs import CannotHost

REPOSITORY = Path(__file__).resolve().parents[2]
OLD, NEW = "0.1.0", "0.1.1"
PARTS = ("slurm_gpucost", "prolog", "epilog", "packaging", "docs", "pyproject.toml", "CHANGELOG.md", "LICENSE")
"""What a build reads."""
MARK = "# the hook of a newer version\n"


def source(target: Path, version: str) -> Path:
    """A copy of the sources as of another version: it and the hooks' text differ."""
    target.mkdir()
    for part in PARTS:
        if (REPOSITORY / part).is_dir():
            shutil.copytree(REPOSITORY / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(REPOSITORY / part, target / part)
    init = target / "slurm_gpucost/__init__.py"
    init.write_text(init.read_text().split("__version__")[0] + f'__version__ = "{version}"\n')
    if version == NEW:
        for hook in ("prolog", "epilog"):
            with (target / hook / f"gpucost-{hook}").open("a") as file:
                file.write(MARK)
    return target


def build(tree: Path, out: Path, **env: str) -> list[Path]:
    """Run a tree's build-debs; the packages. Raises CannotHost with what it said."""
    command = [sys.executable, str(tree / "packaging/build-debs"), str(out)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **env}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotHost(f"packaging/build-debs failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return sorted(map(Path, done.stdout.split()))


def packages(folder: Path) -> Path:
    """A folder with both packages in both versions; built once for all test processes that share it."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            with ThreadPoolExecutor() as both:
                trees = [source(folder / f"source-{version}", version) for version in (OLD, NEW)]
                list(both.map(lambda tree: build(tree, folder / "debs"), trees))
            (folder / "whole").touch()
    return folder / "debs"
