"""The daemon as a process: killed with -9 at random moments while hooks write, it loses no event and doubles none."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from slurm_gpucost.settings import template

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = 12
EVENTS = 150


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site whose spool is all there is to hear."""
    text = template(
        timezone="UTC", currency="EUR", cluster="alpha", gpus=[("a100", 8, Decimal(1))], purchase_date=date(2026, 1, 1),
        ledger=tmp_path / "ledger.db", spool=tmp_path / "spool",
    )  # fmt: skip
    for command in ("sacct", "scontrol", "squeue", "slurmd"):
        text = text.replace(f'"{command}"', '"/bin/false"')
    path = tmp_path / "gpucost.toml"
    path.write_text(text)
    return path


def start(config: Path) -> subprocess.Popen[bytes]:
    with (config.parent / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "slurm_gpucost.daemon", "run", "--config", str(config)],
            cwd=REPOSITORY, stdout=log, stderr=log,
        )  # fmt: skip


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def hooks(config: Path, written: list[int], stop: threading.Event) -> None:
    """Run the real prolog again and again; an id is in ``written`` once its hook has returned."""
    prolog = (REPOSITORY / "prolog" / "gpucost-prolog").read_text()
    mine = config.parent / "prolog"
    mine.write_text(prolog.replace("/run/gpucost/spool", str(config.parent / "spool")))
    for job in range(1, EVENTS + 1):
        if stop.is_set():
            return
        environment = {"SLURM_JOB_ID": str(job), "SLURM_JOB_GPUS": "0,1", "SLURMD_NODENAME": "n1"}
        assert subprocess.run(["sh", str(mine)], env=environment, check=False).returncode == 0
        written.append(job)
        time.sleep(0.03)


def test_killed_again_and_again_it_loses_no_event_and_doubles_none(config: Path) -> None:
    written: list[int] = []
    stop = threading.Event()
    writer = threading.Thread(target=hooks, args=(config, written, stop))
    chance = random.Random(4)
    writer.start()
    try:
        for _ in range(KILLS):
            daemon = start(config)
            time.sleep(0.15 + chance.random() * 0.5)
            daemon.kill()
            daemon.wait()
    finally:
        writer.join(60)
        stop.set()
    assert len(written) == EVENTS
    log, spool = config.parent / "log", config.parent / "spool"
    ready = log.read_text().count("spool")
    daemon = start(config)
    until(lambda: log.read_text().count("spool") > ready)
    until(lambda: not any(spool.iterdir()))
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    with sqlite3.connect(config.parent / "ledger.db") as ledger:
        kept = [row[0] for row in ledger.execute("SELECT job_id FROM hook_event ORDER BY job_id")]
        held = ledger.execute("SELECT count(*), sum(billable) FROM attempt").fetchone()
        assert kept == written
        assert held == (EVENTS, 0), "known from hooks alone: shown, held, not billed"
        assert ledger.execute("SELECT count(*) FROM set_aside").fetchone() == (0,)
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_without_a_driver_it_says_so_once_and_works_on(config: Path) -> None:
    daemon = start(config)
    log = config.parent / "log"
    until(lambda: "NVML: " in log.read_text())
    spool = config.parent / "spool"
    until(spool.is_dir)
    path = spool / "prolog.7"
    content = b"1\0HOOK=prolog\0NODE=n1\0SLURM_JOB_ID=7\0SLURM_JOB_GPUS=0\0END\0"
    (spool / ".tmp.x").write_bytes(content)
    (spool / ".tmp.x").rename(path)
    written = time.monotonic()
    until(lambda: not path.exists(), 5)
    assert time.monotonic() - written < 5
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    assert log.read_text().count("gpucostd: NVML: ") == 1


def test_what_is_wrong_with_the_config_is_said_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('cluster = ""\ncurrency = "EURO"\n')
    done = subprocess.run(
        [sys.executable, "-m", "slurm_gpucost.daemon", "run"], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "GPUCOST_CONFIG": str(tmp_path / "c.toml")}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for key in ("cluster", "timezone", "currency", "pools"):
        assert f"c.toml: {key}: " in done.stderr
