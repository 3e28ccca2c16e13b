"""Kills, cuts and clock steps while events come, and the count of what was lost. Short in the tests, long in soaks."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.daemon.bad_network import BadNetwork
from tests.daemon.fleet_site import FleetNode, FleetSite, free_port, kill, until_reached

NODES = ["n1", "n2", "n3"]
VICTIMS = ["n1", "n2", "collector", "network"]
"""n3 lives on: windows of the last twenty seconds die with their daemon, and some are to be sent."""
HOUR = 3600
EVENTS_A_SECOND = 20


def play(top: Path, seconds: float, seed: int) -> str:
    """Chaos for so long, then quiet until all has arrived; what happened, in a line. Raises AssertionError."""
    chance, port = random.Random(seed), free_port()
    with BadNetwork(("127.0.0.1", port), seed) as network:
        site = FleetSite(top, NODES, port, network.port)
        try:
            site.start_collector()
            for node in site.nodes.values():
                node.start()
            until_reached(port)
            written, kills = _storm(site, network, chance, seconds)
            network.good, network.down = True, False
            site.until_taken(120)
            site.end()
            windows = _check(site, written)
        finally:
            site.clear_up()
    events = sum(written.values())
    return (
        f"seed {seed}, {seconds:.0f} s: {events} events and {windows} windows of {len(NODES)} nodes, "
        f"kill -9 {dict(kills)}, connections {dict(network.fates)}; lost: 0, twice: 0"
    )


def _storm(
    site: FleetSite, network: BadNetwork, chance: random.Random, seconds: float
) -> tuple[Counter[tuple[int, str, str]], Counter[str]]:
    """Writes events; kills and starts again. (events by job, hook and node; kills by whom)."""
    written: Counter[tuple[int, str, str]] = Counter()
    kills: Counter[str] = Counter()
    back: dict[str, float] = {}
    job, began = 0, time.monotonic()
    trouble = began + 1
    while (now := time.monotonic()) < began + seconds:
        for name in [name for name, at in back.items() if at <= now]:
            del back[name]
            site.start_collector() if name == "collector" else site.nodes[name].start()
        if now >= trouble:
            trouble = now + chance.uniform(0.5, 2.5)
            victim = chance.choice(VICTIMS)
            if victim == "network":
                network.down = not network.down
            elif victim not in back:
                kill(site.collector if victim == "collector" else site.nodes[victim].process)
                kills[victim] += 1
                back[victim] = now + chance.choice([0, 0, 1, 3])
        job += 1
        node = site.nodes[chance.choice(NODES)]
        for hook in ("prolog", "epilog"):
            node.event(job, hook, chance.choice([0, 0, 0, HOUR, -HOUR]))
            written[job, hook, node.name] += 1
        time.sleep(2 / EVENTS_A_SECOND)
    for name in back:
        site.start_collector() if name == "collector" else site.nodes[name].start()
    return written, kills


def _check(site: FleetSite, written: Counter[tuple[int, str, str]]) -> int:
    """Every event and every window once, under the right node; the number of windows."""
    held = Counter(site.ask("SELECT job_id, hook, node FROM hook_event"))
    assert not written - held, f"lost: {written - held}\n{site.logs()}"
    assert held == written
    there = sorted(window for node in site.nodes.values() for window in _sent(site, node))
    assert sorted(site.ask("SELECT * FROM usage_window")) == there
    assert any(row[0].startswith("GPU-n3-") for row in there)
    assert site.ask("SELECT count(*) FROM set_aside") == [(0,)]
    assert site.ask("SELECT sum(missing) FROM node_journal") == [(0,)]
    assert site.ask("SELECT state, count(*) FROM node_journal GROUP BY 1") == [("taken", len(NODES))]
    assert site.ask("PRAGMA integrity_check") == [("ok",)]
    return len(there)


def _sent(site: FleetSite, node: FleetNode) -> list[tuple[Any, ...]]:
    """The windows that a node had sent; what it measured last is in its journal alone, until it starts again."""
    held = site.ask(f"SELECT held FROM node_journal WHERE node = '{node.name}'")[0][0]
    entries = f"SELECT k1, k2 FROM journal_entry WHERE kind = 'usage_window' AND seq <= {held}"
    return site.ask(f"SELECT * FROM usage_window WHERE (device, start_ms) IN ({entries})", node.journal)
