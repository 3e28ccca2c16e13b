"""Root filesystems with a Slurm of each Debian suite, built once by mmdebstrap and kept outside the repository.

``python3 tests/cluster/rootfs.py [SUITE ...]`` builds them ahead of time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = ("bookworm", "trixie", "forky")
"""bookworm has Slurm 22.05, trixie 24.11; forky moves on, and had 26.05 in November 2026."""
PACKAGES = (
    *("slurmctld", "slurmd", "slurmdbd", "slurm-client", "slurm-wlm-basic-plugins", "slurm-wlm-mysql-plugin"),
    *("munge", "mariadb-server", "iproute2", "procps", "util-linux", "dash", "bash", "mawk", "sqlite3", "python3"),
)

# In a chroot that is no mount point "/" cannot be made private: first put it over itself and step into that. "/.." is
# the way there: it leads to what is mounted over the root, where "/" leads to the root itself.
_STEP_IN = """mount --rbind / / && exec chroot /.. sh -c 'mount --make-rprivate / && exec "$@"' sh "$@\""""


class CannotHost(RuntimeError):
    """This machine cannot build or boot the cluster, and why."""


def cache() -> Path:
    """Where roots and packages are kept: GPUCOST_TEST_CACHE, else below XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("GPUCOST_TEST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpucost"


def mountable() -> list[str]:
    """Words to put before a command that makes mounts: none, or a namespace where "/" is a mount point."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0:
        return []
    return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", _STEP_IN, "sh"]


def why_not() -> str | None:
    """Why this machine cannot host the cluster; None where it can."""
    if os.geteuid() != 0:
        return "not root"
    lacking = [tool for tool in ("unshare", "nsenter", "mmdebstrap", "apt-get") if not shutil.which(tool)]
    if lacking:
        return f"{', '.join(lacking)} not installed (apt-get install mmdebstrap util-linux)"
    done = subprocess.run([*mountable(), "unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True)
    if done.returncode != 0:
        return f"no namespaces: {done.stderr.decode(errors='replace').strip()}"
    return None


def rootfs(suite: str) -> Path:
    """The suite's root filesystem, built when it is not there yet (half a minute). Raises CannotHost."""
    key = _hash(PACKAGES)

    def build(target: Path) -> None:
        mirror = os.environ.get("GPUCOST_TEST_MIRROR")
        options = ["--variant=minbase", "--mode=root", f"--include={','.join(PACKAGES)}"]
        # forky's Release file is past its date for weeks at a time.
        options += ['--aptopt=Acquire::Check-Valid-Until "false"']
        # A boot needs no package lists and no documentation.
        options += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")]
        _run([*mountable(), "mmdebstrap", *options, suite, str(target), *([mirror] if mirror else [])])

    return _once(cache() / "rootfs" / f"{suite}-{key}", build)


def site(suite: str) -> Path:
    """What the project and its collector need, for the suite's python3, built when not there yet. Raises CannotHost."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted: list[str] = project["dependencies"] + project["optional-dependencies"]["collector"]
    version, machine = _python(rootfs(suite)), platform.machine()

    def build(target: Path) -> None:
        tags = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--implementation=cp"]
        _run([*pip, f"--python-version={version}", *tags, f"--target={target}", *wanted])

    return _once(cache() / "site" / f"python{version}-{_hash([machine, *wanted])}", build)


def _python(root: Path) -> str:
    """The version of a root's python3, like 3.13."""
    return (root / "usr/bin/python3").readlink().name.removeprefix("python")


def _hash(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-15:])
        raise CannotHost(f"`{' '.join(command[:12])} ...` failed (exit {done.returncode}):\n{tail}")


def _once(path: Path, build: Callable[[Path], None]) -> Path:
    """Build into a temporary name and rename when whole; one builder at a time, whoever waits finds it built."""
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f".{path.name}.lock")):
        if not path.is_dir():
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            temporary.chmod(0o755)
            try:
                build(temporary)
                temporary.rename(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"this machine cannot host the cluster: {reason}")
    for name in sys.argv[1:] or SUITES:
        print(f"{name}: {rootfs(name)} {site(name)}")
