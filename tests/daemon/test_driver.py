"""The daemon as a process, with what it asks: a driver that measures or hangs, accounting that gives no answer."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.usage import usage
from slurm_gpucost.settings import load
from tests.daemon.site import Site, until
from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml

WATTS = 400
HUNG_AFTER_SECONDS = 15


@pytest.fixture
def nvml(site: Site) -> FakeNvml:
    fake = FakeNvml(build(), site.top / "scenario")
    site.env = fake.env
    return fake


@pytest.fixture
def silent(site: Site) -> Iterator[Path]:
    """A sacct that gives no answer; the file is there once it has been asked."""
    asked, sacct = site.top / "asked", site.top / "sacct"
    sacct.write_text(f"#!/bin/sh\necho $$ >'{asked}.new' && mv '{asked}.new' '{asked}'\nexec sleep 60\n")
    sacct.chmod(0o755)
    site.write_config(sacct=str(sacct))
    yield asked
    if asked.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(asked.read_text()), signal.SIGKILL)


def plain(at_ms: int) -> str:
    """Two GPUs; the first draws WATTS at 70 percent, the second half of both."""
    lines = ["devices 2", "device 0 uuid GPU-a", "device 1 uuid GPU-b"]
    for number in (0, 1):
        share = number + 1
        lines.append(f"device {number} energy 0 {WATTS * 1000 // share} {at_ms}")
        lines.append(f"device {number} util 0 {70 // share} 20")
    return "\n".join(lines) + "\n"


def read_every_second(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("\ninterval_seconds = 5\n", "\ninterval_seconds = 1\n"))


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def test_what_a_lease_drew_lies_between_its_hooks(site: Site, nvml: FakeNvml) -> None:
    nvml.write(plain(wall_ms()))
    daemon = site.started()
    until(lambda: site.ask("SELECT count(*) FROM device_report") == [(2,)])
    time.sleep(1.7)
    site.event(1)
    time.sleep(1.5)
    site.event(1, "epilog")
    time.sleep(1.7)
    until(lambda: site.waiting() == 0)
    site.end(daemon)
    site.assert_holds([1, 1])
    (start,), (end,) = site.ask("SELECT at_ms FROM hook_event ORDER BY at_ms")
    across = f"start_ms < {start} AND end_ms > {start} OR start_ms < {end} AND end_ms > {end}"
    assert site.ask(f"SELECT count(*) FROM usage_window WHERE {across}") == [(0,)], "a hook cuts every window"
    inside = f"start_ms >= {start} AND end_ms <= {end}"
    sums = "sum(observed_ms), sum(energy_mj), sum(energy_observed_ms), sum(sm_percent_ms), sum(sm_observed_ms)"
    held = site.ask(f"SELECT device, {sums} FROM usage_window WHERE {inside} GROUP BY device ORDER BY device")
    assert [row[0] for row in held] == ["GPU-a", "GPU-b"]
    for share, (_, observed, energy, energy_observed, sm, sm_observed) in enumerate(held, 1):
        assert observed == energy_observed == sm_observed == end - start, "every millisecond of the lease, once"
        # the counter and the clock are read one after the other: never quite of one moment
        assert abs(energy - WATTS * observed // share) <= WATTS * 100
        assert sm == 70 // share * sm_observed
    around = site.ask(f"SELECT count(DISTINCT device) FROM usage_window WHERE end_ms <= {start}")
    assert around == [(2,)], "what was drawn before belongs to no lease, and is kept"


def test_a_driver_that_hangs_holds_up_nothing(site: Site, nvml: FakeNvml, silent: Path) -> None:
    """Accounting hangs as well."""
    read_every_second(site)
    nvml.write(plain(wall_ms()))
    daemon = site.started()
    until(silent.exists)
    until(lambda: site.ask("SELECT count(*) FROM device_report") == [(2,)])
    time.sleep(1.2)
    nvml.write(plain(wall_ms()) + "hang nvmlDeviceGetTotalEnergyConsumption 1 forever\n")
    hangs = time.monotonic()
    written: list[int] = []
    while "hung since" not in site.log:
        assert time.monotonic() - hangs < HUNG_AFTER_SECONDS + 10, "it never said so"
        written.append(len(written) + 1)
        take_in(site, written[-1])
    for _ in range(3):
        written.append(len(written) + 1)
        take_in(site, written[-1])
    assert site.log.count("hung since") == 1
    assert site.log.count("gpucostd: NVML: ") == 1
    site.event(written[-1] + 1)
    began = time.monotonic()
    site.end(daemon, 10)
    assert time.monotonic() - began < 10
    site.assert_holds([*written, written[-1] + 1])
    devices = site.ask("SELECT device, sum(energy_mj) > 0 FROM usage_window GROUP BY device ORDER BY device")
    assert devices == [("GPU-a", 1), ("GPU-b", 1)], "what was measured before the hang is kept"


def take_in(site: Site, job: int) -> None:
    path: Path = site.event(job)
    until(lambda: not path.exists(), 5)
    time.sleep(0.1)


def test_it_ends_in_time_while_accounting_gives_no_answer(site: Site, silent: Path) -> None:
    daemon = site.started()
    until(silent.exists)
    for job in range(1, 31):
        site.event(job)
    began = time.monotonic()
    site.end(daemon, 10)
    assert time.monotonic() - began < 10
    site.assert_holds(range(1, 31))


def test_a_daemon_that_is_killed_and_started_loses_no_energy(site: Site, nvml: FakeNvml) -> None:
    read_every_second(site)
    nvml.write(plain(wall_ms()))
    first = site.started()
    until(lambda: site.ask("SELECT count(*) FROM device_report") == [(2,)])
    time.sleep(1.2)
    site.event(1)
    time.sleep(1.5)
    site.event(1, "epilog")
    until(lambda: len(site.ask("SELECT * FROM usage_window WHERE device = 'GPU-a'")) >= 2)
    first.kill()
    first.wait()
    second = site.started()
    time.sleep(1.2)
    site.event(2)
    time.sleep(1.2)
    site.end(second)
    with open_queries(load(site.config), site.ledger) as queries:
        found = usage(queries, 0, wall_ms() + 60_000).devices
    columns = "min(energy_counter_start_mj), max(energy_counter_end_mj), sum(energy_mj), count(DISTINCT energy_epoch)"
    for share, device in enumerate(("GPU-a", "GPU-b"), 1):
        ((low, high, windows, epochs),) = site.ask(f"SELECT {columns} FROM usage_window WHERE device = '{device}'")
        assert found[device].total_mj == high - low, "leases, idle time and the gap are what the counter grew by"
        assert found[device].unobserved.restarts == 0
        lost = found[device].unobserved.energy_mj
        assert lost == high - low - windows > WATTS * 500 // share, "the time of the kill is a gap of known energy"
        assert epochs == 1


def test_what_the_driver_lists_is_kept(site: Site, nvml: FakeNvml) -> None:
    nvml.write(
        plain(wall_ms())
        + f"device 0 process {os.getpid()} 512\n"
        + "device 1 mig 1\ndevice 1 mig_instance MIG-x 1 0 3 7 40192 100\n"
    )
    daemon = site.started()
    until(lambda: site.ask("SELECT count(*) FROM mig_report") == [(2,)])
    layouts = site.ask("SELECT parent, device, profile, compute_slices, slices_of FROM mig_report ORDER BY parent")
    assert layouts == [("GPU-a", "", "", 0, 0), ("GPU-b", "MIG-x", "3g.39gb", 3, 7)]
    until(lambda: site.ask("SELECT count(*) FROM device_process") == [(1,)])
    time.sleep(1.2)
    site.event(1)
    time.sleep(1.2)
    site.end(daemon)
    ((device, pid, uid, executable, first, last),) = site.ask(
        "SELECT device, pid, uid, executable, first_seen_ms, last_seen_ms FROM device_process"
    )
    mine = Path("/proc/self/exe").readlink().name
    assert (device, pid, uid, executable) == ("GPU-a", os.getpid(), os.getuid(), mine)
    assert first <= last
    columns = "device, max(memory_used_peak_mib), sum(sm_observed_ms), max(energy_source)"
    rows = site.ask(f"SELECT {columns} FROM usage_window GROUP BY device ORDER BY device")
    assert [(row[0], row[2] > 0, row[3]) for row in rows] == [
        ("GPU-a", True, "counter"),
        ("GPU-b", False, "counter"),
        ("MIG-x", False, ""),
    ]
    assert rows[2][1] == 100
