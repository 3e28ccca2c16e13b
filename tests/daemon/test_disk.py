"""The daemon as a process, when its ledger cannot be written for a while: it says so once and loses no event."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.site import REPOSITORY, Site, unable, until
from tests.daemon.small_disk import DISK_MIB, SmallDisk
from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml

ROWS = 30_000
FIRST_JOB = 1_000_000_000


@pytest.fixture
def disk(site: Site) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        unable("only root can mount a disk to fill")
    small = SmallDisk(site.top / "disk")
    site.prefix, site.ledger = small.enter, small.path / "ledger.db"
    site.write_config()
    yield small
    site.clear_up()
    small.close()


def test_a_disk_that_fills_up_and_gets_room_again(site: Site, disk: SmallDisk, tmp_path: Path) -> None:
    nvml = FakeNvml(build(), site.top / "scenario")
    nvml.write("devices 1\n")
    site.env = nvml.env
    daemon = site.started()
    time.sleep(0.7)  # a reading
    jobs = iter(range(1, 100_000))
    written = [next(jobs) for _ in range(20)]
    for job in written:
        site.event(job)
    until(lambda: site.waiting() == 0)
    disk.fill()
    deadline = time.monotonic() + 20
    while "full" not in site.log:
        assert time.monotonic() < deadline, "it never noticed"
        written.append(next(jobs))
        site.event(written[-1], ROCR_VISIBLE_DEVICES="x" * 4000)
        time.sleep(0.01)
    time.sleep(2)
    for _ in range(200):
        written.append(next(jobs))
        site.event(written[-1])
    time.sleep(2)
    assert daemon.poll() is None
    assert site.waiting() >= 200, "what is not in the ledger stays"
    assert site.log.count("gpucostd: spool: ") == 1, site.log
    assert "internal error" not in site.log and "Traceback" not in site.log
    disk.free()
    until(lambda: site.waiting() == 0)
    until(lambda: "spool: works again" in site.log)
    site.end(daemon)
    ledger = disk.copy("ledger.db", tmp_path / "copy.db")
    site.assert_holds(written, ledger)
    measured = "SELECT min(start_ms), max(end_ms) - min(start_ms), sum(observed_ms) FROM usage_window"
    ((start, length, observed),) = site.ask(measured, ledger)
    assert start < site.ask("SELECT min(at_ms) FROM hook_event", ledger)[0][0]
    # Read once a second, over more than four: three whole intervals at least, and none missing between.
    assert length == observed >= 3000, "the windows that became final meanwhile are kept too"


def test_a_start_while_the_disk_is_full(site: Site, disk: SmallDisk, tmp_path: Path) -> None:
    site.end(site.started())
    disk.fill()
    for job in range(1, 11):
        site.event(job)
    before = site.log
    assert site.start().wait(20) == 1
    (line,) = site.log.removeprefix(before).splitlines()
    assert line.startswith(f"gpucostd: {site.ledger}: ") and "make room" in line
    assert site.waiting() == 10
    disk.free()
    daemon = site.started()
    until(lambda: site.waiting() == 0)
    site.end(daemon)
    site.assert_holds(range(1, 11), disk.copy("ledger.db", tmp_path / "copy.db"))


@pytest.mark.parametrize("room_pages", [0, 3, 20])
def test_a_disk_that_is_full_at_the_first_start(site: Site, disk: SmallDisk, tmp_path: Path, room_pages: int) -> None:
    """With room for nothing, for no file of SQLite's beside it, or for a part of the schema."""
    disk.fill()
    os.truncate(disk.outside / "filler", DISK_MIB * 2**20 - room_pages * 4096)
    daemon = site.start()
    assert daemon.wait(20) == 1, site.log
    (line,) = site.log.splitlines()
    assert line.startswith(f"gpucostd: {site.ledger}: ")
    assert "make room" in line
    disk.free()
    daemon = site.started()
    site.event(1)
    until(lambda: site.waiting() == 0)
    site.end(daemon)
    site.assert_holds([1], disk.copy("ledger.db", tmp_path / "copy.db"))


def owner_without_roots_rights() -> list[str]:
    """Root may write whatever a file's mode is; without these capabilities it may what an owner may."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_a_ledger_that_may_not_be_written_for_a_while(site: Site) -> None:
    home = site.top / "lib"
    home.mkdir()
    site.ledger, site.prefix = home / "ledger.db", owner_without_roots_rights()
    site.write_config()
    daemon = site.started()
    site.event(1)
    until(lambda: site.waiting() == 0)
    try:
        for path in home.iterdir():
            path.chmod(0o400)
        home.chmod(0o500)
        for job in range(2, 12):
            site.event(job)
        until(lambda: "spool: " in site.log.split(str(site.spool))[-1])
        time.sleep(1)
        assert daemon.poll() is None
        assert site.waiting() == 10
        refused = site.start()
        assert refused.wait(20) == 1
        assert "Traceback" not in site.log
    finally:
        home.chmod(0o700)
        for path in home.iterdir():
            path.chmod(0o600)
    until(lambda: site.waiting() == 0)
    until(lambda: "spool: works again" in site.log)
    assert site.log.count("gpucostd: spool: ") == 2, site.log
    site.end(daemon)
    site.assert_holds(range(1, 12))


def test_a_directory_that_becomes_read_only_does_not_stop_a_ledger_that_is_open(site: Site) -> None:
    home = site.top / "lib"
    home.mkdir()
    site.ledger, site.prefix = home / "ledger.db", owner_without_roots_rights()
    site.write_config()
    daemon = site.started()
    home.chmod(0o500)
    try:
        for job in range(1, 11):
            site.event(job)
        until(lambda: site.waiting() == 0)
    finally:
        home.chmod(0o700)
    site.end(daemon)
    site.assert_holds(range(1, 11))


def longest_wait(site: Site, busy: Callable[[], bool]) -> tuple[list[int], float]:
    """An event every 50 ms while ``busy``; the longest time in seconds that one lay in the spool."""
    written: list[int] = []
    lying: dict[Path, float] = {}
    longest = 0.0
    while (going_on := busy()) or lying:
        if going_on:
            written.append(FIRST_JOB + len(written))
            lying[site.event(written[-1])] = time.monotonic()
        time.sleep(0.05)
        now = time.monotonic()
        longest = max([longest, *(now - began for began in lying.values())])
        assert longest < 60, "one stays in the spool"
        lying = {path: began for path, began in lying.items() if path.exists()}
    return written, longest


def test_the_writers_lock_held_by_another(site: Site) -> None:
    daemon = site.started()
    with (site.top / "ledger.db-writer").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for job in range(1, 51):
            site.event(job)
        time.sleep(1.5)
        assert site.waiting() == 50
        assert daemon.poll() is None
    until(lambda: site.waiting() == 0, 5)
    assert "busy" not in site.log, "a few seconds are no trouble"
    site.end(daemon)
    site.assert_holds(range(1, 51))


def test_a_backfill_beside_it(site: Site) -> None:
    saved = site.top / "saved"
    with saved.open("wb") as file:
        generate = [sys.executable, str(REPOSITORY / "benchmarks" / "generate_sacct.py"), str(ROWS)]
        subprocess.run(generate, stdout=file, check=True)
    daemon = site.started()
    words = [sys.executable, "-m", "slurm_gpucost.cli", "backfill", "--from-file", str(saved)]
    backfill = subprocess.Popen(
        [*words, "--config", str(site.config)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        written, longest = longest_wait(site, lambda: backfill.poll() is None)
    finally:
        out, _ = backfill.communicate(timeout=60)
    assert backfill.returncode == 0, out
    assert len(written) > 10
    assert longest < 5, f"an event lay in the spool for {longest:.1f} s"
    site.end(daemon)
    site.assert_holds(written)
    assert site.ask("SELECT count(*) FROM accounting_row") == [(ROWS,)]
    assert site.ask("SELECT count(*), sum(billable) FROM attempt") == [(ROWS + len(written), ROWS)]
