"""A collector that comes back from an old backup, on another host's disk: its nodes bring what it lacks."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.fleet_site import FleetSite, free_port, until_reached


def test_a_collector_from_an_old_backup_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    site = FleetSite(tmp_path, ["n1", "n2"], port, port)
    try:
        site.start_collector()
        until_reached(port)
        for node in site.nodes.values():
            node.start()
            for job in range(30):
                node.event(job, "prolog")
        site.until_taken()
        site.gpucost("backup", str(tmp_path / "old.db"))
        for node in site.nodes.values():
            for job in range(30, 60):
                node.event(job, "epilog")
        site.until_taken()
        before = sorted(site.ask("SELECT * FROM hook_event"))
        assert len(before) == 120
        assert site.collector
        site.collector.terminate()
        assert site.collector.wait(20) == 0, site.logs()
        for file in tmp_path.glob("ledger.db*"):
            file.unlink()
        site.gpucost("restore", str(tmp_path / "old.db"))
        assert len(site.ask("SELECT * FROM hook_event")) == 60
        site.start_collector()
        until_reached(port)
        site.until_taken()
        assert sorted(site.ask("SELECT * FROM hook_event")) == before
        assert site.ask("SELECT sum(missing) FROM node_journal") == [(0,)]
        site.end()
    finally:
        site.clear_up()
