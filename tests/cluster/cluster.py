"""A real Slurm, by default two nodes of four GPUs, booted in namespaces of its own; its root filesystem stays clean."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import rootfs

HERE = Path(__file__).resolve().parent
NODES = ("n1", "n2")
USERS = ("alice", "bob", "carol")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SEPARATOR = "\x1f"


class CommandFailed(AssertionError):
    """A command inside the cluster failed: its words, exit code and what it printed."""


class Cluster:
    """``with Cluster("trixie") as cluster``: boots in a few seconds, is gone without a trace afterwards.

    ``hooks=False`` leaves Prolog and Epilog unset. ``slurm_conf`` and ``gres_conf`` are added at the end of
    slurm.conf and gres.conf; each line there that begins with ``NodeName=nN `` gets a slurmd. With ``apart`` each of
    them has a host name and a /run/gpucost, /etc/gpucost and /var/lib/gpucost of its own; ``node`` of the methods below
    steps into one.
    """

    def __init__(
        self, suite: str, *, hooks: bool = True, slurm_conf: str = "", gres_conf: str = "", apart: bool = False
    ) -> None:
        self.suite = suite
        self.hooks = hooks
        self.slurm_conf = slurm_conf
        self.gres_conf = gres_conf
        self.apart = apart
        self.boot_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def boot(self, timeout: float = 60) -> None:
        """Start it and wait until every node is idle. Raises CannotHost or RuntimeError with the daemons' logs."""
        root, site = rootfs.rootfs(self.suite), rootfs.site(self.suite)
        begun = time.monotonic()
        self._top = Path(tempfile.mkdtemp(prefix="gpucost-cluster."))
        self._log = self._top.with_name(self._top.name + ".log")
        (self._top / "slurm.conf").write_text(self.slurm_conf)
        (self._top / "gres.conf").write_text(self.gres_conf)
        if self.apart:
            (self._top / "apart").touch()
        words = [*rootfs.mountable(), "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net"]
        words += ["--uts", "--ipc", "--fork", "--kill-child", "sh", str(HERE / "boot.sh"), str(root)]
        words += [str(rootfs.REPOSITORY), str(site), "yes" if self.hooks else "no", str(self._top)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait_ready(begun + timeout)
        except BaseException:
            self.close()
            raise
        self.boot_seconds = time.monotonic() - begun

    def _wait_ready(self, deadline: float) -> None:
        pid = self._top / "pid"
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            if not self._pid and pid.exists() and (text := pid.read_text()).endswith("\n"):
                self._pid = int(text)
            if self._pid and self.path("/run/ready").exists():
                return
            time.sleep(0.05)
        raise RuntimeError(f"Slurm of {self.suite} did not come up:\n{self._log.read_text(errors='replace')[-6000:]}")

    def close(self) -> None:
        """End it: every process in it dies with its first."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._log.unlink(missing_ok=True)
            shutil.rmtree(self._top, ignore_errors=True)

    def _words(
        self, command: str | Sequence[str], user: str, env: dict[str, str] | None, cwd: str, node: str = ""
    ) -> list[str]:
        inner = ["sh", "-c", command] if isinstance(command, str) else list(command)
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {"PATH": _PATH, "HOME": home, "USER": user, "LOGNAME": user, "LC_ALL": "C.UTF-8", **(env or {})}
        words = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--uts", "--ipc", "--root"]
        if node:
            machine = self.read(f"/run/machine-{node}.pid").strip()
            words += ["/usr/bin/nsenter", f"--target={machine}", "--mount", "--uts", "--root"]
        words += ["env", "-i", f"--chdir={cwd}", *(f"{key}={value}" for key, value in variables.items())]
        if user != "root":
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        return [*words, *inner]

    def run(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        env: dict[str, str] | None = None,
        cwd: str = "/scratch",
        timeout: float = 60,
        check: bool = True,
        input: str | None = None,
        node: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command (text: by sh) inside. With ``check`` a failure raises CommandFailed with all it printed."""
        done = subprocess.run(
            self._words(command, user, env, cwd, node),
            input=input if input is not None else "",
            capture_output=True,
            timeout=timeout,
            encoding="utf-8",
            errors="surrogateescape",
        )
        if check and done.returncode != 0:
            shown = command if isinstance(command, str) else shlex.join(command)
            raise CommandFailed(f"{user}@{self.suite}: {shown}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        env: dict[str, str] | None = None,
        cwd: str = "/scratch",
        node: str = "",
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command inside; ``options`` go to subprocess.Popen."""
        return subprocess.Popen(self._words(command, user, env, cwd, node), **options)

    def spawn(self, command: str, name: str, *, user: str = "root", node: str = "") -> int:
        """Start a command (text for sh) in the background, output to /var/log/NAME.log; its process id inside."""
        self.run(f"touch /var/log/{name}.log && chmod 666 /var/log/{name}.log")
        quoted = shlex.quote(f"exec {command}")
        words = f"setsid sh -c {quoted} </dev/null >>/var/log/{name}.log 2>&1 & echo $!"
        return int(self.run(words, user=user, node=node).stdout)

    def kill(self, pid: int, name: str = "TERM") -> None:
        """Send a signal to a process by its id inside."""
        self.run(["kill", "-s", name, str(pid)])

    def alive(self, pid: int) -> bool:
        """Whether a process inside still runs (a zombie does not)."""
        state = self.run(["ps", "-o", "stat=", "-p", str(pid)], check=False).stdout.strip()
        return bool(state) and not state.startswith("Z")

    def enter(self) -> list[str]:
        """The command that opens a shell inside."""
        return self._words(["bash", "-i"], "root", {"TERM": "xterm"}, "/scratch")

    def path(self, inside: str, node: str = "") -> Path:
        """Where a file of the cluster is for the host."""
        root = Path(f"/proc/{self._pid}/root")
        if node:  # its process, by the id inside, is found by the cluster's own /proc
            machine = (root / f"run/machine-{node}.pid").read_text().strip()
            root = root / "proc" / machine / "root"
        return root / inside.lstrip("/")

    def read(self, inside: str, node: str = "") -> str:
        """A file's text."""
        return self.path(inside, node).read_text(errors="replace")

    def write(self, inside: str, text: str, mode: int = 0o644, node: str = "") -> None:
        """Make or replace a file."""
        path = self.path(inside, node)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def version(self) -> str:
        """Slurm's version, like 22.05.8."""
        found = re.search(r"\d+\.\d+\.\d+", self.run(["slurmctld", "-V"]).stdout)
        assert found
        return found[0]

    def stop(self, daemon: str, signal: str = "TERM") -> None:
        """End slurmctld, slurmdbd, slurmd-n1, slurmd-n2 or mariadbd, and wait until it is gone."""
        if daemon == "mariadbd":
            pid = int(self.run(["pidof", "mariadbd"]).stdout.split()[0])
        else:
            pid = int(self.read(f"/run/{daemon}.pid"))
        self.kill(pid, signal)
        self.until(lambda: not self.alive(pid), f"{daemon} to end", 30, every=0.1)

    def start(self, daemon: str, *options: str) -> None:
        """Start one that was stopped."""
        if daemon == "mariadbd":
            words = "--user=mysql --skip-networking --socket=/run/mysqld/mysqld.sock --innodb-buffer-pool-size=64M"
            self.spawn(f"mariadbd {words} --innodb-flush-log-at-trx-commit=0", "mariadbd")
        elif daemon == "slurmctld":
            self.run(["slurmctld", "-i", *options])
        elif daemon == "slurmdbd":
            self.run(["slurmdbd", *options])
        else:
            self.run(["slurmd", "-N", daemon.removeprefix("slurmd-"), *options])

    def sbatch(self, script: str, user: str, *options: str) -> int:
        """Submit a script (text that begins with ``#!``) or a command; the job's id."""
        batch = script.startswith("#!")
        words = ["sbatch", "--parsable", "--output=/dev/null", *options, *([] if batch else [f"--wrap={script}"])]
        done = self.run(words, user=user, input=script if batch else None)
        return int(done.stdout.split(";")[0])

    def scontrol(self, *words: str, check: bool = True) -> str:
        """What scontrol prints."""
        return self.run(["scontrol", *words], check=check).stdout

    def sacct(self, *words: str, fields: Sequence[str] = ("JobIDRaw", "State")) -> list[dict[str, str]]:
        """Rows of ``sacct -a -D -X``: times in epoch seconds; fields must hold no newline."""
        format_ = ["-a", "-D", "-X", "-P", f"--delimiter={SEPARATOR}", f"--format={','.join(fields)}"]
        ever = ["-S", "2000-01-01", "-E", "now+1hour"]
        text = self.run(["sacct", *format_, *ever, *words], env={"SLURM_TIME_FORMAT": "%s", "TZ": "UTC"}).stdout
        return [dict(zip(fields, line.split(SEPARATOR), strict=True)) for line in text.splitlines()[1:]]

    def until(self, true: Callable[[], bool], what: str, timeout: float = 60, every: float = 0.25) -> None:
        """Wait for something, or fail with its name and the daemons' logs."""
        deadline = time.monotonic() + timeout
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.suite}: waited {timeout} s for: {what}\n{self.logs()}")
            time.sleep(every)

    def states(self, *jobs: int) -> dict[int, str]:
        """The controller's state of each job that it still knows."""
        listed = ["-j", ",".join(map(str, jobs))] if jobs else []
        done = self.run(["squeue", "-a", "-h", "-t", "all", "-o", "%A %T", *listed], check=False)
        return {int(job): state for job, state in map(str.split, done.stdout.splitlines())}

    def wait_state(self, job: int, state: str, timeout: float = 60) -> None:
        """Until the controller says that a job is in a state."""
        self.until(lambda: self.states(job).get(job) == state, f"job {job} to be {state}", timeout)

    def wait(self, jobs: Iterable[int], timeout: float = 180) -> None:
        """Until accounting has a final end for every row of these jobs and no epilog is left to run."""
        wanted, left = set(jobs), "nothing was asked yet"

        def done() -> bool:
            nonlocal left
            under_way = {"RUNNING", "PENDING", "SUSPENDED", "COMPLETING"}
            left = f"squeue has {sorted(item for item in self.states().items() if item[1] in under_way)}"
            if not left.endswith("[]"):
                return False
            rows = self.sacct("-j", ",".join(map(str, sorted(wanted))), fields=("JobIDRaw", "JobID", "State", "End"))
            open_ = [row for row in rows if not row["End"].isdigit() or row["State"] == "PENDING"]
            named = {int(re.split("[_+]", row["JobID"])[0]) for row in rows} | {int(row["JobIDRaw"]) for row in rows}
            last = {row["JobIDRaw"]: row["State"] for row in rows}
            requeued = [job for job, state in last.items() if state == "REQUEUED"]
            left = f"accounting has not {sorted(wanted - named)}, not the end of {open_}, no next run of {requeued}"
            return not open_ and wanted <= named and not requeued

        try:
            self.until(done, f"jobs {sorted(wanted)} to end", timeout, every=1)
        except AssertionError as problem:
            raise AssertionError(f"{left}: {problem}") from None

    def logs(self, lines: int = 25) -> str:
        """The ends of the daemons' logs."""
        return self.run(f"tail -n {lines} /var/log/slurm/*.log /var/log/gpucost*.log 2>/dev/null", check=False).stdout


def main() -> None:
    """Boot one for a person: ``python -m tests.cluster.cluster SUITE``; it stays until interrupted."""
    with Cluster(sys.argv[1] if len(sys.argv) > 1 else "trixie") as cluster:
        print(f"Slurm {cluster.version()} is up after {cluster.boot_seconds:.1f} s. To enter it:")
        print(" ", shlex.join(cluster.enter()), flush=True)
        signal.pause()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
