"""A collector and some nodes as processes of this machine, each node with spool, journal and driver of its own."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from slurm_gpucost.settings import template
from tests.daemon.site import COMMANDS, REPOSITORY, until
from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml

GPUS = 2


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class FleetNode:
    """One node's folder and process."""

    def __init__(self, top: Path, name: str, token: str, url: str) -> None:
        self.top, self.name = top / name, name
        self.spool, self.journal = self.top / "spool", self.top / "journal.db"
        self.spool.mkdir(parents=True)
        (self.top / "token").write_text(token)
        (self.top / "token").chmod(0o600)
        self.fake = FakeNvml(build(), self.top / "driver")
        lines = [f"devices {GPUS}"]
        for gpu in range(GPUS):
            lines += [f"device {gpu} uuid GPU-{name}-{gpu}", f"device {gpu} minor {gpu}", f"device {gpu} util 0 70 30"]
            lines += [f"device {gpu} energy 0 300000 {time.time_ns() // 1_000_000}"]
        self.fake.write("\n".join(lines) + "\n")
        self.config = self.top / "gpucost.toml"
        self.config.write_text(
            f'cluster = "alpha"\ntimezone = "UTC"\n[spool]\npath = "{self.spool}"\n[slurmd]\ncommand = "/bin/false"\n'
            f'[nvml]\ninterval_seconds = 1\n[node]\nname = "{name}"\njournal = "{self.journal}"\n'
            f'collector_url = "{url}"\ntoken_file = "{self.top / "token"}"\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon."""
        self.process = _daemon("node", self.config, self.top / "log", self.fake.env)

    def event(self, job: int, hook: str, skew_seconds: float = 0) -> None:
        """An event as a hook writes it; ``skew_seconds``: the clock was ahead by so much then."""
        fields = {"HOOK": hook, "NODE": self.name, "SLURM_JOB_ID": str(job), "SLURM_JOB_GPUS": "0", "PID": str(job)}
        words = ["1", *(f"{name}={value}" for name, value in fields.items()), "END", ""]
        temporary, path = self.spool / f".tmp.{hook}.{job}", self.spool / f"{hook}.{job}"
        temporary.write_bytes("\0".join(words).encode())
        if skew_seconds:
            at = time.time() + skew_seconds
            os.utime(temporary, (at, at))
        temporary.rename(path)


class FleetSite:
    """``via`` is the port by which nodes reach the collector, which listens on ``port``.

    ``prefix``: words before whatever opens the ledger, where it lies in another mount namespace.
    """

    def __init__(
        self,
        top: Path,
        names: list[str],
        port: int,
        via: int,
        ledger: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.top, self.port, self.prefix = top, port, list(prefix)
        self.ledger, self.socket, self.config = ledger or top / "ledger.db", top / "socket", top / "gpucost.toml"
        text = template(
            timezone="UTC", currency="EUR", cluster="alpha", gpus=[("a100", 8, Decimal(1))],
            purchase_date=date(2026, 1, 1), ledger=self.ledger, spool=top / "no-spool",
        )  # fmt: skip
        for command in COMMANDS:
            text = text.replace(f'"{command}"', '"/bin/false"')
        text = text.replace('"127.0.0.1:6843"', f'"127.0.0.1:{port}"')
        self.config.write_text(text.replace('"/run/gpucost/collector.sock"', f'"{self.socket}"'))
        self.collector: subprocess.Popen[bytes] | None = None
        enrolled = json.loads(self.gpucost("node", "enroll", *names))
        url = f"http://127.0.0.1:{via}"
        self.nodes = {one["node"]: FleetNode(top, one["node"], one["token"], url) for one in enrolled}

    def gpucost(self, *words: str) -> str:
        """What a command prints with --json, over the ledger's file."""
        command = [*self.prefix, sys.executable, "-m", "slurm_gpucost.cli", *words, "--config", str(self.config)]
        command += ["--ledger", str(self.ledger), "--json"]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_collector(self) -> None:
        """Start it; it may take a second until it answers."""
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.collector = _daemon("collector", self.config, self.top / "log", env, self.prefix)

    def ask(self, query: str, ledger: Path | None = None) -> list[tuple[Any, ...]]:
        """Rows of the ledger, or of a journal."""
        if ledger is None and self.prefix:
            read = (
                "import sqlite3, sys; print(sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]).fetchall())"
            )
            words = [*self.prefix, sys.executable, "-c", read, str(self.ledger), query]
            rows: list[tuple[Any, ...]] = ast.literal_eval(subprocess.check_output(words, text=True))
            return rows
        with closing(sqlite3.connect(ledger or self.ledger, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def behind(self) -> dict[str, tuple[int, int]]:
        """(what the node has, what the ledger holds of it) where they differ, or the spool is not empty."""
        found = {}
        for node in self.nodes.values():
            has = -1  # until it has made its journal
            with suppress(sqlite3.OperationalError):
                has = self.ask("SELECT coalesce(max(seq), 0) FROM journal_entry", node.journal)[0][0]
            ask = f"SELECT coalesce(max(held), 0) FROM node_journal WHERE node = '{node.name}'"
            held = self.ask(ask)[0][0]
            waiting = any(not path.name.startswith(".") for path in node.spool.iterdir())
            if has != held or waiting:
                found[node.name] = (has, held)
        return found

    def until_taken(self, seconds: float = 60) -> None:
        """Wait until the ledger has all that the nodes have."""
        deadline = time.monotonic() + seconds
        while behind := self.behind():
            assert time.monotonic() < deadline, f"{behind}\n{self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """The ends of all logs."""
        files = [self.top / "log", *(node.top / "log" for node in self.nodes.values())]
        return "\n".join(f"{file}:\n{file.read_text()[-3000:]}" for file in files if file.exists())

    def end(self) -> None:
        """SIGTERM to all: they end well."""
        for process in (*(node.process for node in self.nodes.values()), self.collector):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0, self.logs()

    def clear_up(self) -> None:
        """Nothing stays."""
        for process in (*(node.process for node in self.nodes.values()), self.collector):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def _daemon(
    command: str, config: Path, log: Path, env: dict[str, str], prefix: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        words = [*prefix, sys.executable, "-m", "slurm_gpucost.daemon", command, "--config", str(config)]
        return subprocess.Popen(words, cwd=REPOSITORY, stdout=out, stderr=out, env=env)


def kill(process: subprocess.Popen[bytes] | None) -> None:
    """kill -9."""
    assert process
    process.kill()
    process.wait()


def reaches(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until_reached(port: int) -> None:
    """Wait for a collector that was started."""
    until(lambda: reaches(port), 20)
