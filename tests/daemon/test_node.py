"""The daemon of a node as a process: killed, cut off, its driver hanging; every event reaches the collector."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from tests.daemon.node_site import NodeSite
from tests.daemon.site import REPOSITORY, unable, until
from tests.daemon.small_disk import SmallDisk
from tests.daemon.test_driver import plain, take_in, wall_ms
from tests.daemon.test_kill import hooks
from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml

KILLS = 10
EVENTS = 150


def gone(path: Path) -> bool:
    return not path.exists()


def there(node: NodeSite, job: int) -> bool:
    return job in node.sink.jobs()


def with_driver(node: NodeSite, more: str = "") -> FakeNvml:
    fake = FakeNvml(build(), node.top / "scenario")
    node.env = fake.env
    node.write_node_config(more, nvml=True)
    fake.write(plain(wall_ms()))
    return fake


def test_an_event_is_at_the_collector_within_two_seconds_of_being_durable(node: NodeSite) -> None:
    daemon = node.started()
    for job in range(1, 4):
        path = node.event(job)
        until(partial(gone, path), 5)
        began = time.monotonic()
        until(partial(there, node, job), 5)
        assert time.monotonic() - began < 2.5, "two seconds, and what a busy machine takes"
    node.end(daemon)
    assert node.ask("SELECT acknowledged, (SELECT count(*) FROM journal_entry) FROM journal") == [(3, 3)]
    assert {batch.node for batch in node.sink.batches} == {"n1"}
    assert {batch.cluster for batch in node.sink.batches} == {"alpha"}
    said = node.sink.batches[-1].said
    assert said.keys() >= {"driver", "spool", "unsent", "journal_bytes", "dropped_windows", "paused"}


def test_killed_again_and_again_nothing_is_lost_and_nothing_skipped(node: NodeSite) -> None:
    """The collector is away for a part of it, too."""
    written: list[int] = []
    stop = threading.Event()
    writer = threading.Thread(target=hooks, args=(node, written, stop))
    chance = random.Random(6)
    writer.start()
    try:
        for number in range(KILLS):
            daemon = node.start()
            if number == 4:
                node.sink.close()
            if number == 6:
                node.sink.open()
            time.sleep(0.3 + chance.random() * 0.6)
            daemon.kill()
            daemon.wait()
    finally:
        writer.join(60)
        stop.set()
    assert len(written) == EVENTS
    daemon = node.started()
    until(lambda: node.waiting() == 0)
    node.arrived(written)
    node.end(daemon)
    assert node.ask("PRAGMA integrity_check") == [("ok",)]
    assert node.ask("SELECT count(*) FROM hook_event") == [(EVENTS,)]
    assert len(node.sink.held) == 1, "one journal all along"


def test_a_driver_that_hangs_stops_neither_intake_nor_uplink(node: NodeSite) -> None:
    nvml = with_driver(node)
    daemon = node.started()
    until(lambda: "device_report" in node.sink.rows)
    time.sleep(1.2)
    nvml.write(plain(wall_ms()) + "hang nvmlDeviceGetTotalEnergyConsumption 1 forever\n")
    time.sleep(1.2)
    pause = node.top / "pause"
    pause.touch()
    for job in range(1, 4):
        take_in(node, job)
    node.arrived([1, 2, 3])
    until(lambda: "pause: the driver is not let go of yet" in node.log, 20)
    assert not (node.top / "paused").exists(), "it is still held, so nobody may believe otherwise"
    node.end(daemon, 10)


def test_what_the_driver_measured_arrives_with_what_it_lists(node: NodeSite) -> None:
    with_driver(node)
    daemon = node.started()
    until(lambda: "device_report" in node.sink.rows)
    time.sleep(1.5)
    node.event(1)
    time.sleep(2.5)
    node.end(daemon)
    daemon = node.started()
    node.arrived([1])
    until(lambda: {row.device for row in node.sink.rows.get("usage_window", {}).values()} == {"GPU-a", "GPU-b"})
    kept = {row for (row,) in node.ask("SELECT device || start_ms FROM usage_window")}
    until(lambda: {f"{row.device}{row.start_ms}" for row in node.sink.rows["usage_window"].values()} >= kept)
    node.end(daemon)


def test_a_journal_beyond_its_machine_takes_a_new_id(node: NodeSite) -> None:
    node.end(node.started())
    (first,) = node.ask("SELECT id FROM journal")
    daemon = node.started()
    node.event(1)
    node.arrived([1])
    node.end(daemon)
    assert node.ask("SELECT id FROM journal") == [first]
    run_sql(node.ledger, "UPDATE journal SET machine = 'another'")
    daemon = node.started()
    until(lambda: len(node.sink.held) == 2)
    until(lambda: sorted(node.sink.held.values()) == [1, 1], 10)
    node.end(daemon)


def run_sql(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def test_what_is_wrong_is_said_in_a_line_each(node: NodeSite) -> None:
    (node.top / "node.token").chmod(0o644)
    assert node.start().wait(20) == 2
    assert "node.token: others than its owner may read" in node.log
    node.config.write_text('cluster = "alpha"\ntimezone = "Mars/Olympus"\n[node]\nnmae = "x"\n')
    assert node.start().wait(20) == 2
    for said in (
        "timezone: ",
        "node.nmae: is no setting; did you mean name?",
        "node.collector_url: is missing",
    ):
        assert f"gpucost.toml: {said}" in node.log
    assert "pools" not in node.log
    assert "Traceback" not in node.log


def test_no_import_that_it_does_not_need() -> None:
    code = "import slurm_gpucost.daemon, slurm_gpucost.services.node, slurm_gpucost.sources.collector_http, sys\n"
    code += "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    foreign = {name for name in done.stdout.split() if not name.startswith("_")}
    assert foreign <= {"slurm_gpucost", "sitecustomize"}


def test_while_the_journals_disk_is_full_events_wait_in_the_spool(node: NodeSite) -> None:
    if os.geteuid() != 0:
        unable("only root can mount a disk to fill")
    disk = SmallDisk(node.top / "disk")
    try:
        node.prefix, node.ledger = disk.enter, disk.path / "journal.db"
        node.write_node_config()
        daemon = node.started()
        node.event(1)
        node.arrived([1])
        disk.fill()
        written = [1]
        deadline = time.monotonic() + 20
        while "full" not in node.log:
            assert time.monotonic() < deadline, "it never noticed"
            written.append(len(written) + 1)
            node.event(written[-1], ROCR_VISIBLE_DEVICES="x" * 4000)
            time.sleep(0.01)
        written += range(written[-1] + 1, written[-1] + 100)
        for job in written[-99:]:
            node.event(job)
        time.sleep(1.5)
        assert daemon.poll() is None
        assert node.waiting() >= 99, "what is not in the journal stays"
        disk.free()
        until(lambda: node.waiting() == 0)
        node.arrived(written)
        node.end(daemon)
    finally:
        node.clear_up()
        disk.close()
