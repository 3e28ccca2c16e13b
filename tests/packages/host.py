"""A Debian host, booted in namespaces of its own from a root of tests/cluster/rootfs.py, which stays clean."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import rootfs

HERE = Path(__file__).resolve().parent
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailed(AssertionError):
    """A command on the host failed: its words, exit code and what it printed."""


class Host:
    """``with Host("trixie") as host``: two seconds; of its network there is loopback alone.

    bookworm's root has no systemd: what packages do on such a host. trixie's boots it: units, sandbox and all.
    """

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.systemd = (rootfs.rootfs(suite) / "lib/systemd/systemd").exists()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        self._top = Path(tempfile.mkdtemp(prefix="gpucost-host."))
        self._log = self._top.with_name(self._top.name + ".log")
        words = [*rootfs.mountable(), "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--uts"]
        words += ["--ipc", "--cgroup", "--fork", "--kill-child", "sh", str(HERE / "boot-host.sh")]
        with self._log.open("wb") as log:
            command = [*words, str(rootfs.rootfs(self.suite)), str(self._top)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait(time.monotonic() + 60)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _wait(self, deadline: float) -> None:
        pid = self._top / "pid"
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            if not self._pid and pid.exists() and (text := pid.read_text()).endswith("\n"):
                self._pid = int(text)
            if self._pid and self._up():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.suite} did not come up:\n{self._log.read_text(errors='replace')[-4000:]}")

    def _up(self) -> bool:
        name = Path(f"/proc/{self._pid}/comm").read_text().strip()
        if not self.systemd:
            return name == "sleep"
        return name == "systemd" and self.run("systemctl is-system-running", check=False).stdout.strip() in (
            "running",
            "degraded",
        )

    def close(self) -> None:
        """End it: every process in it dies with its first."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._log.unlink(missing_ok=True)
            shutil.rmtree(self._top, ignore_errors=True)

    def words(self, command: str) -> list[str]:
        """What runs a command (text for bash) as root inside."""
        words = ["nsenter", f"--target={self._pid}", "--all", "--root", "--wd"]
        variables = [f"PATH={_PATH}", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        return [*words, "env", "-i", "--chdir=/debs", *variables, "bash", "-c", command]

    def run(self, command: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command (text for bash) inside; both streams are in ``stdout``. With ``check`` a failure raises."""
        done = subprocess.run(
            self.words(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            encoding="utf-8",
            errors="replace",
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"{self.suite}: {shlex.quote(command)}: exit {done.returncode}\n{done.stdout}")
        return done

    def traced(self, command: str, timeout: float = 120) -> list[str]:
        """Run a command (text for bash) inside: every system call of its processes that changes a name or syncs one."""
        log = self._top.with_name(self._top.name + ".trace")
        calls = "open,openat,creat,unlink,unlinkat,rename,renameat,renameat2,truncate,link,linkat,symlinkat,fsync"
        words = ["strace", "-f", "-y", "--seccomp-bpf", "-qq", "-e", f"trace={calls}", "-o", str(log)]
        try:
            done = subprocess.run([*words, *self.words(command)], capture_output=True, timeout=timeout, text=True)
            if done.returncode != 0:
                raise CommandFailed(f"{self.suite}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            return log.read_text(errors="replace").splitlines()
        finally:
            log.unlink(missing_ok=True)

    def until(self, command: str, timeout: float = 20) -> None:
        """Wait until a command inside ends with 0."""
        deadline = time.monotonic() + timeout
        while self.run(command, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.suite}: waited {timeout} s for: {command}")
            time.sleep(0.1)

    def path(self, inside: str) -> Path:
        """Where a file of the host is for the machine."""
        return Path(f"/proc/{self._pid}/root") / inside.lstrip("/")

    def bring(self, debs: Path) -> None:
        """Put the packages of both versions into ``old`` and ``new``."""
        for deb in debs.glob("*.deb"):
            shutil.copy(deb, self.path(f"/debs/{deb.name}"))
        # The roots of the cluster tests leave documentation out.
        self.path("/etc/dpkg/dpkg.cfg.d/zz-docs").write_text("path-include=/usr/share/doc/gpucost*\n")
        self.run("mkdir old new && mv *_0.1.0_*.deb old && mv *_0.1.1_*.deb new")
