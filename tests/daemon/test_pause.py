"""``touch pause``: the daemon's process lets go of the driver, says so, and reads again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.daemon.node_site import NodeSite
from tests.daemon.site import Site, until
from tests.daemon.test_driver import plain, read_every_second, wall_ms
from tests.daemon.test_node import with_driver
from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml


def holds(daemon: subprocess.Popen[bytes], scenario: Path) -> bool:
    """The stand-in holds its scenario open, as the real library does the driver's device files."""
    for link in Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            if link.readlink() == scenario or link.readlink().name.startswith(scenario.name):
                return True
        except FileNotFoundError:
            continue
    return False


def windows(site: Site) -> int:
    (found,) = site.ask("SELECT count(*) FROM usage_window WHERE device = 'GPU-a'")
    return int(found[0])


def observed_to(site: Site) -> int:
    return int(site.ask("SELECT coalesce(max(end_ms), 0) FROM usage_window")[0][0])


@pytest.fixture(params=["run", "node"])
def paused_site(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue("site" if request.param == "run" else "node")
    if isinstance(site, NodeSite):
        with_driver(site)
    else:
        fake = FakeNvml(build(), site.top / "scenario")
        fake.write(plain(wall_ms()))
        site.env = fake.env
        read_every_second(site)
    return site


def test_the_driver_is_let_go_of_until_the_file_is_removed(paused_site: Site) -> None:
    site, pause, paused = paused_site, paused_site.top / "pause", paused_site.top / "paused"
    scenario = site.top / "scenario"
    paused.write_text("of a daemon that was killed\n")
    daemon = site.started()
    until(lambda: site.ask("SELECT count(*) FROM device_report") == [(2,)])
    assert not paused.exists(), "it is not paused, whatever an earlier one said"
    assert holds(daemon, scenario)
    time.sleep(2.2)
    before = wall_ms()
    pause.touch()
    until(paused.exists, 10)
    assert not holds(daemon, scenario)
    assert windows(site) == 1, "what was measured up to then is kept"
    assert before - 1500 < observed_to(site) <= wall_ms()
    stamp = time.strptime(paused.read_text(), "%Y-%m-%dT%H:%M:%SZ\n")
    assert stamp.tm_year >= 2026
    path = site.event(1)
    until(lambda: not path.exists(), 5)
    pause.unlink()
    until(lambda: holds(daemon, scenario), 10)
    assert not paused.exists()
    time.sleep(2.2)
    site.end(daemon)
    assert windows(site) == 2
    assert site.log.count("paused: the driver has been let go of") == 1


def test_it_reads_again_by_itself(paused_site: Site) -> None:
    site, pause, paused = paused_site, paused_site.top / "pause", paused_site.top / "paused"
    pause.touch()
    almost = time.time() - 60 * 60 + 4
    os.utime(pause, (almost, almost))
    daemon = site.started()
    until(paused.exists, 10)
    assert not holds(daemon, site.top / "scenario"), "a wish from before its start counts, too"
    until(lambda: holds(daemon, site.top / "scenario"), 10)
    assert not pause.exists()
    assert not paused.exists()
    assert "read again by itself" in site.log
    site.end(daemon)


def test_links_are_not_followed_and_no_wish(node: NodeSite) -> None:
    with_driver(node)
    victim = node.top / "victim"
    victim.write_text("mine")
    (node.top / "paused").symlink_to(victim)
    (node.top / "pause").symlink_to(victim)
    daemon = node.started()
    until(lambda: "is no plain file" in node.log)
    until(lambda: holds(daemon, node.top / "scenario"), 10)
    (node.top / "paused").unlink(missing_ok=True)
    (node.top / "paused").symlink_to(victim)
    (node.top / "pause").unlink()
    (node.top / "pause").touch()
    until(lambda: (node.top / "paused").is_file() and not (node.top / "paused").is_symlink(), 10)
    assert victim.read_text() == "mine"
    node.end(daemon)


def test_a_library_that_will_not_close_is_not_said_to_be_closed(node: NodeSite) -> None:
    nvml = with_driver(node)
    daemon = node.started()
    until(lambda: node.ask("SELECT count(*) FROM device_report") == [(2,)])
    nvml.write(plain(wall_ms()) + "error nvmlShutdown * UNKNOWN\n")
    (node.top / "pause").touch()
    until(lambda: "not let go of yet: the NVIDIA driver cannot be let go of" in node.log, 15)
    assert not (node.top / "paused").exists()
    assert holds(daemon, node.top / "scenario")
    node.end(daemon)
