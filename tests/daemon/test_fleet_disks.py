"""The disk of a collector that fills up, or comes back read-only, while a real node sends: no event is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.fleet_site import FleetSite, free_port, kill, until_reached
from tests.daemon.site import unable, until
from tests.daemon.small_disk import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        unable("only root can mount a disk to fill")
    small = SmallDisk(tmp_path / "disk")
    yield small
    small.close()


@pytest.fixture
def site(tmp_path: Path, disk: SmallDisk) -> Iterator[FleetSite]:
    port = free_port()
    made = FleetSite(tmp_path, ["n1"], port, port, disk.path / "ledger.db", disk.enter)
    yield made
    made.clear_up()


def test_the_collectors_disk_fills_up_and_gets_room_again(site: FleetSite, disk: SmallDisk) -> None:
    node = site.nodes["n1"]
    site.start_collector()
    until_reached(site.port)
    node.start()
    for job in range(20):
        node.event(job, "prolog")
    site.until_taken()
    disk.fill()
    job = 20
    deadline = time.monotonic() + 30
    while not site.behind():
        assert time.monotonic() < deadline, "the disk never was full"
        for _ in range(50):
            node.event(job, "prolog")
            job += 1
        time.sleep(3)
    assert site.collector and site.collector.poll() is None, site.logs()
    until(lambda: not any(node.spool.glob("prolog*")), 20)  # the node has it all, durably
    disk.free()
    site.until_taken(90)
    assert site.ask("SELECT count(*), count(DISTINCT job_id) FROM hook_event") == [(job, job)]
    assert "Traceback" not in site.logs() and "internal error" not in site.logs()
    site.end()
    assert site.ask("PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_is_read_only_for_a_while(site: FleetSite, disk: SmallDisk) -> None:
    """It does not come up and says why; the node keeps all, and brings it when it can be written again."""
    node = site.nodes["n1"]
    site.start_collector()
    until_reached(site.port)
    node.start()
    node.event(0, "prolog")
    site.until_taken()
    kill(site.collector)
    disk.mount("ro")
    site.start_collector()
    assert site.collector and site.collector.wait(20) == 1
    assert f"{site.ledger}" in site.logs() and "Traceback" not in site.logs()
    for job in range(1, 50):
        node.event(job, "prolog")
    until(lambda: not any(node.spool.glob("prolog*")), 20)
    disk.mount("rw")
    site.start_collector()
    site.until_taken(90)
    assert site.ask("SELECT count(*), count(DISTINCT job_id) FROM hook_event") == [(50, 50)]
    site.end()
