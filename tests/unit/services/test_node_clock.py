"""A node's daemon whose clock steps: whatever it shows, each event arrives once, and nothing unsent is let go of.

The engine is the daemon's own, a step at a time; its clock, which is also that of the event files, is set here.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slurm_gpucost.ledger.journal import open_journal
from slurm_gpucost.services.node import NodeEngine
from slurm_gpucost.settings.node_file import load_node
from slurm_gpucost.sources.collector_http import CollectorHttp
from tests.daemon.node_site import SHORT
from tests.daemon.sink import TOKEN, Sink
from tests.daemon.site import until

HOUR, DAY = 3600, 86_400
STEPS = (HOUR, -HOUR, HOUR, -2 * HOUR, 0.5, 40 * DAY, -40 * DAY)
"""The last two: a clock that showed another month until NTP set it; journals keep for 14 days what was acknowledged."""


class Clock:
    def __init__(self) -> None:
        self.off_seconds = 0.0

    def now(self) -> float:
        return time.time() + self.off_seconds

    def ms(self) -> int:
        return int(self.now() * 1000)


class Node:
    def __init__(self, top: Path, sink: Sink, clock: Clock) -> None:
        self.spool, self.clock, self.jobs = top / "spool", clock, 0
        self.spool.mkdir()
        token, config = top / "token", top / "gpucost.toml"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        journal = top / "journal.db"
        config.write_text(
            SHORT.format(spool=self.spool, journal=journal, url=sink.url, token=token, more="", nvml="false")
        )
        settings = load_node(config)
        self.journal = open_journal(journal, clock.ms, "here")
        collector = CollectorHttp(settings.collector_url, settings.token_file, None)
        self.engine = NodeEngine(settings, self.journal, clock.ms, None, collector)

    def event(self) -> None:
        """As a hook writes it now."""
        self.jobs += 1
        words = ["1", "HOOK=prolog", "NODE=n1", f"SLURM_JOB_ID={self.jobs}", "SLURM_JOB_GPUS=0", "END", ""]
        temporary = self.spool / ".tmp.now"
        temporary.write_bytes("\0".join(words).encode())
        os.utime(temporary, (self.clock.now(), self.clock.now()))
        temporary.rename(self.spool / f"prolog.{self.jobs}")


@contextmanager
def playing(top: Path) -> Iterator[tuple[Node, Sink]]:
    sink = Sink()
    node = Node(top, sink, Clock())
    node.engine.start()
    try:
        yield node, sink
    finally:
        node.engine.close()
        node.journal.close()
        sink.close()


@pytest.mark.parametrize("seed", range(4))
def test_each_event_arrives_once_with_the_time_that_its_file_has(tmp_path: Path, seed: int) -> None:
    chance, times = random.Random(seed), {}
    with playing(tmp_path) as (node, sink):
        for _ in range(40):
            node.clock.off_seconds += chance.choice(STEPS)
            for _ in range(chance.randrange(3)):
                node.event()
                times[node.jobs] = node.clock.ms()
            node.engine.step()
        until(lambda: len(sink.jobs()) == node.jobs, 20)
        assert sink.jobs() == list(range(1, node.jobs + 1)) and sink.skipped == []
        told = {row.job_id: row.at_ms for row in sink.rows["hook_event"].values()}
        assert all(abs(told[job] - at_ms) < 2_000 for job, at_ms in times.items())


def test_what_the_collector_has_not_got_outlives_a_clock_that_is_a_month_ahead(tmp_path: Path) -> None:
    with playing(tmp_path) as (node, sink):
        sink.close()
        for _ in range(20):
            node.event()
        node.engine.step()
        for off in (40 * DAY, 80 * DAY, 0):
            node.clock.off_seconds = off
            node.engine.step()
        assert node.journal.connection.execute("SELECT count(*) FROM hook_event").fetchone() == (20,)
        sink.open()
        until(lambda: len(sink.jobs()) == 20, 20)
        assert sink.skipped == []
