"""The daemon as a process: killed with -9 at random moments while hooks write, it loses no event and doubles none."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.daemon.site import REPOSITORY, Site, until

KILLS = 12
EVENTS = 150


def hooks(site: Site, written: list[int], stop: threading.Event) -> None:
    """Run the real prolog again and again; an id is in ``written`` once its hook has returned."""
    prolog = (REPOSITORY / "prolog" / "gpucost-prolog").read_text()
    mine = site.top / "prolog"
    mine.write_text(prolog.replace("/run/gpucost/spool", str(site.spool)))
    for job in range(1, EVENTS + 1):
        if stop.is_set():
            return
        environment = {"SLURM_JOB_ID": str(job), "SLURM_JOB_GPUS": "0,1", "SLURMD_NODENAME": "n1"}
        assert subprocess.run(["sh", str(mine)], env=environment, check=False).returncode == 0
        written.append(job)
        time.sleep(0.03)


def test_killed_again_and_again_it_loses_no_event_and_doubles_none(site: Site) -> None:
    written: list[int] = []
    stop = threading.Event()
    writer = threading.Thread(target=hooks, args=(site, written, stop))
    chance = random.Random(4)
    writer.start()
    try:
        for _ in range(KILLS):
            daemon = site.start()
            time.sleep(0.15 + chance.random() * 0.5)
            daemon.kill()
            daemon.wait()
    finally:
        writer.join(60)
        stop.set()
    assert len(written) == EVENTS
    daemon = site.started()
    until(lambda: not any(site.spool.iterdir()))
    site.end(daemon)
    site.assert_holds(written)
    held = site.ask("SELECT count(*), sum(billable) FROM attempt")
    assert held == [(EVENTS, 0)], "known from hooks alone: shown, held, not billed"


def test_without_a_driver_it_says_so_once_and_works_on(site: Site) -> None:
    daemon = site.started()
    until(lambda: "NVML: " in site.log)
    path = site.event(7)
    until(lambda: not path.exists(), 5)
    site.end(daemon)
    assert site.log.count("gpucostd: NVML: ") == 1


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


def test_what_nobody_noted_of_the_costs_is_noted_once_when_it_starts(site: Site) -> None:
    asked = "SELECT why, what LIKE '%purchase_price%' FROM change_log WHERE subject = 'config'"
    noted = ("found when gpucostd started", 1)
    for _ in range(2):
        site.end(site.started())
        assert site.ask(asked) == [noted]
    text = site.config.read_text(encoding="utf-8")
    site.config.write_text(text.replace("pue = 1.56", "pue = 1.4"), encoding="utf-8")
    site.end(site.started())
    (_, (why, _)) = site.ask(asked)
    assert why == noted[0]
