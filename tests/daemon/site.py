"""A site of one host for the daemon's process: config, spool and ledger, and what a test does to them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest

from slurm_gpucost.settings import template

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = ("sacct", "sacctmgr", "scontrol", "squeue", "slurmd")


def unable(reason: str) -> NoReturn:
    """Skips, loudly; where nothing may be skipped, fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@dataclass
class Site:
    """Everything below ``top``; ``ledger`` may lie elsewhere."""

    top: Path
    ledger: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    prefix: list[str] = field(default_factory=list)
    """Words before the daemon's command: a namespace, fewer rights."""
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.top / "gpucost.toml"

    @property
    def spool(self) -> Path:
        return self.top / "spool"

    @property
    def log(self) -> str:
        return (self.top / "log").read_text()

    def write_config(self, **commands: str) -> None:
        """A site whose spool is all there is to hear, but for the named commands."""
        text = template(
            timezone="UTC", currency="EUR", cluster="alpha", gpus=[("a100", 8, Decimal(1))],
            purchase_date=date(2026, 1, 1), ledger=self.ledger, spool=self.spool,
        )  # fmt: skip
        for command in COMMANDS:
            text = text.replace(f'"{command}"', f'"{commands.get(command, "/bin/false")}"')
        self.config.write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.top / "log").open("ab") as log:
            daemon = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "slurm_gpucost.daemon", "run", "--config", str(self.config)],
                cwd=REPOSITORY, stdout=log, stderr=log, env={**self.env, "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
        self.daemons.append(daemon)
        return daemon

    def started(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it works."""
        before = self.log.count(f"spool {self.spool}") if self.daemons else 0
        daemon = self.start()
        until(lambda: daemon.poll() is not None or self.log.count(f"spool {self.spool}") > before)
        assert daemon.poll() is None, self.log
        until(self.spool.is_dir)
        return daemon

    def end(self, daemon: subprocess.Popen[bytes], seconds: float = 20) -> None:
        """SIGTERM: it ends well, and in time."""
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(seconds) == 0, self.log

    def event(self, job: int, hook: str = "prolog", **more: str) -> Path:
        """An event as a hook writes it: by a temporary name and rename."""
        fields = {"HOOK": hook, "NODE": "n1", "SLURM_JOB_ID": str(job), "SLURM_JOB_GPUS": "0", **more}
        words = ["1", *(f"{name}={value}" for name, value in fields.items()), "END", ""]
        temporary, path = self.spool / f".tmp.{hook}.{job}", self.spool / f"{hook}.{job}"
        temporary.write_bytes("\0".join(words).encode())
        temporary.rename(path)
        return path

    def waiting(self) -> int:
        """How many events are in the spool."""
        return sum(not path.name.startswith(".") for path in self.spool.iterdir())

    def ask(self, query: str, ledger: Path | None = None) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(ledger or self.ledger, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def assert_holds(self, jobs: Iterable[int], ledger: Path | None = None) -> None:
        """The ledger is sound and has one event of each of these jobs, and the spool has none."""
        assert self.waiting() == 0
        kept = [job for (job,) in self.ask("SELECT job_id FROM hook_event ORDER BY job_id", ledger)]
        assert kept == sorted(jobs)
        assert self.ask("SELECT count(*) FROM set_aside", ledger) == [(0,)]
        assert self.ask("PRAGMA integrity_check", ledger) == [("ok",)]
        assert self.ask("SELECT count(*) FROM dirty_job", ledger) == [(0,)]

    def clear_up(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()


def new_site(top: Path) -> Site:
    """A site with its ledger beside its spool."""
    site = Site(top, top / "ledger.db")
    site.write_config()
    return site
