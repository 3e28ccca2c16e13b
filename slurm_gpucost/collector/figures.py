"""``/metrics``: what the collector counts, and what the ledger tells of nodes and witnesses, for Prometheus."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from slurm_gpucost.collector.numbers import Numbers
from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.writer import Writer
from slurm_gpucost.domain.units import HOUR_MS, MS
from slurm_gpucost.ledger import asked
from slurm_gpucost.ledger.journals import TAKEN, WAITING
from slurm_gpucost.services import nodes
from slurm_gpucost.services.queries import LedgerQueries
from slurm_gpucost.settings import Settings

FRESH_SECONDS = 15.0
"""So old may be what the ledger told: many who scrape cost no more than one."""
Families = list[Metric]


class Figures(Collector):
    """All figures; ``asking`` gives how many questions wait, and the bytes of answers that are kept."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        writer: Writer,
        numbers: Numbers,
        clock: Callable[[], int],
        asking: Callable[[], tuple[int, int]],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._numbers = numbers
        self._clock = clock
        self._asking = asking
        self._told: Families = []
        self._at = float("-inf")
        self._guard = asyncio.Lock()
        numbers.registry.register(self)

    async def text(self) -> bytes:
        """In Prometheus's text format. Raises LedgerError."""
        async with self._guard:
            if time.monotonic() - self._at > FRESH_SECONDS:
                now = self._clock()
                self._told = await self._reader.look(lambda _: _of_ledger(self._reader.path, self._settings, now))
                self._at = time.monotonic()
        return generate_latest(self._numbers.registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What is now."""
        waiting, kept = self._asking()
        yield _one("gpucost_batches_waiting", "Batches that wait for their transaction.", self._writer.waiting)
        yield _one("gpucost_batches_waiting_seconds", "How long the oldest of them waits.", self._writer.lag_seconds)
        failing = int(bool(self._writer.failing))
        yield _one("gpucost_writing_fails", "1: the ledger could not be written the last time.", failing)
        yield _one("gpucost_queries_waiting", "Questions that wait for a turn.", waiting)
        yield _one("gpucost_answers_bytes", "Answers that are kept for their next pages.", kept)
        yield from _files(self._reader.path)
        yield from self._told


def _of_ledger(path: Path, settings: Settings, now_ms: int) -> Families:
    """All of one moment of the ledger."""
    with closing(LedgerQueries(path)) as queries:
        return list(_told(queries, settings, now_ms))


def _told(queries: LedgerQueries, settings: Settings, now_ms: int) -> Iterator[Metric]:
    yield from _nodes(nodes.listed(queries), settings.collector.silent_seconds * MS, now_ms)
    yield _coverage(queries, now_ms)
    yield _one("gpucost_unprojected", "Jobs and nodes that the projection fails at.", len(queries.ask("unprojected")))
    polls = Gauge("gpucost_witness_age_seconds", "Since a witness last answered.", labels=["cluster", "witness"])
    for row in queries.ask("last_polls"):
        if row["any_ms"] is not None:
            polls.add_metric([row["cluster"], row["witness"]], max(0, now_ms - row["any_ms"]) / MS)
    yield polls
    reconciled = Gauge("gpucost_reconciled_age_seconds", "Since the last reconciliation.", labels=["cluster"])
    left = Gauge("gpucost_to_decide", "What it left to decide.", labels=["cluster", "category"])
    for cluster in [one.name for one in settings.clusters] or [settings.cluster]:
        if found := asked.reconciled(queries.connection, cluster):
            reconciled.add_metric([cluster], max(0, now_ms - found[0]) / MS)
            for category, number in found[1].items():
                left.add_metric([cluster, category], number)
    yield from (reconciled, left)


def _nodes(listed: list[nodes.Node], silent_ms: int, now_ms: int) -> Iterator[Metric]:
    number = Gauge("gpucost_nodes", "Enrolled nodes: heard, silent, or never heard.", labels=["cluster", "state"])
    where = ["cluster", "node"]
    age = Gauge("gpucost_node_age_seconds", "Since a node was last heard.", labels=where)
    unsent = Gauge("gpucost_node_unsent", "Entries of its journal that a node had not sent then.", labels=where)
    spool = Gauge("gpucost_node_spool", "Event files that waited on a node then.", labels=where)
    refused = Gauge("gpucost_node_rows_beyond", "Rows that a node may not write, counted and not kept.", labels=where)
    states: dict[tuple[str, str], int] = {}
    for row in listed:
        name = [row["cluster"], row["node"]]
        if row["beyond"]:
            refused.add_metric(name, row["beyond"])
        if row["state"] == WAITING:
            state = "waiting"
        elif not row["enrolled"] or row["state"] not in (TAKEN, nodes.ENROLLED):
            continue
        elif row["last_heard"] is None:
            state = "never heard"
        else:
            state = "heard" if now_ms - row["last_heard"] * MS <= silent_ms else "silent"
            age.add_metric(name, max(0.0, now_ms / MS - row["last_heard"]))
            for family, key in ((unsent, "unsent"), (spool, "spool")):
                if row[key] is not None:
                    family.add_metric(name, row[key])
        states[row["cluster"], state] = states.get((row["cluster"], state), 0) + 1
    for (cluster, state), count in states.items():
        number.add_metric([cluster, state], count)
    yield from (number, age, unsent, spool, refused)


def _coverage(queries: LedgerQueries, now_ms: int) -> Metric:
    """Of the last whole hour but the one that may still come in."""
    end = (now_ms - 300_000) // HOUR_MS * HOUR_MS
    row = queries.ask("observed", start_ms=end - HOUR_MS, end_ms=end)[0]
    text = "Part of the last whole hour, of the devices that nodes told of, that the driver was read in; 0 to 1."
    family = Gauge("gpucost_coverage", text)
    if row["devices"]:
        family.add_metric([], row["observed_ms"] / (row["devices"] * HOUR_MS))
    return family


def _files(ledger: Path) -> Iterator[Metric]:
    family = Gauge("gpucost_ledger_bytes", "The ledger's files.", labels=["file"])
    for suffix, name in (("", "ledger"), ("-wal", "wal")):
        try:
            family.add_metric([name], ledger.with_name(ledger.name + suffix).stat().st_size)
        except OSError:
            continue
    yield family
    try:
        found = os.statvfs(ledger.parent)
    except OSError:
        return
    yield _one("gpucost_ledger_free_bytes", "Room on the ledger's file system.", found.f_bavail * found.f_frsize)


def _one(name: str, text: str, value: float) -> Metric:
    return Gauge(name, text, value=value)
