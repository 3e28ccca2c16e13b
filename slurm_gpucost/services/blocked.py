"""GPUs that attempts blocked by the CPUs and the memory they took: who, of which SKU, by which rule, and how long.

Node by node, where the node's GPUs are of one SKU that says what blocks. How many there are comes from the inventory,
before it is known from the config. CPUs and memory of an attempt lie evenly on its nodes. No more is blocked than
is neither held nor unavailable: blocked time is idle time for which somebody pays.

A suspended attempt blocks by its memory alone: Slurm keeps that for it, and gives the CPUs to others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from slurm_gpucost.costing.blocked import Blocked, Hold, Installed, blocked, evenly
from slurm_gpucost.costing.exact import plain
from slurm_gpucost.costing.policy import Decision
from slurm_gpucost.costing.tres_text import allocated
from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.domain.outages import cut
from slurm_gpucost.services.blockable import Node, Place, Row, places_of
from slurm_gpucost.services.deciding import Decider
from slurm_gpucost.services.holds import SUSPENDED, AttemptKey, key_of, names_of, ran_ms, unseen_stops
from slurm_gpucost.services.places import stretches
from slurm_gpucost.services.quantities import Held
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Pool, Settings
from slurm_gpucost.settings.model import Blocking

NIL = Fraction(0)
MIB = 1024
_NOBODY: AttemptKey = ("", 0, 0)
"""Has the GPUs that are unavailable, less those that are held twice, and blocks nothing."""


class BlockedPiece(NamedTuple):
    """Devices of a SKU that one attempt blocked in [start, end) ms UTC, of which one rule decided."""

    row: Row
    """Of the query ``node_holds``."""
    attempt: AttemptKey
    sku: str
    start_ms: int
    end_ms: int
    devices: Fraction
    decision: Decision


class BlockedTime(NamedTuple):
    """Device time that an owner blocked, of which one rule decided."""

    sku: str
    held: Held
    """Its row has cluster, account and user. Rounding of attempts adds nothing: it lengthens what was held."""


def blocked_time(
    settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int, known_ms: int | None = None
) -> list[BlockedTime]:
    """What was blocked of a pool in [start_ms, end_ms), by owner, SKU and rule. Nothing is asked where nothing blocks.

    An AllocTRES whose cpu or mem cannot be read blocks nothing, and neither does a node with GPUs of several SKUs:
    nobody could say which of them. Classes of accounts are as they are at ``known_ms``, else at the start.
    """
    sums: dict[Any, Fraction] = defaultdict(Fraction)
    decisions: dict[int, Decision] = {}
    for one in blocked_pieces(settings, queries, pool, start_ms, end_ms, known_ms):
        owner = (one.row["cluster"], one.row["account"], one.row["user"], one.sku)
        decisions[one.decision.row] = one.decision
        sums[*owner, one.decision.row] += one.devices * (one.end_ms - one.start_ms)
    return [
        BlockedTime(sku, Held({"cluster": c, "account": a, "user": u}, decisions[n], time, NIL))
        for (c, a, u, sku, n), time in sorted(sums.items())
    ]


def blocked_pieces(
    settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int, known_ms: int | None = None
) -> Iterator[BlockedPiece]:
    """What :func:`blocked_time` adds up, node by node and attempt by attempt."""
    blocking = _blocking([pool])
    if not blocking or start_ms >= end_ms:
        return
    decider = Decider(settings, queries, end_ms, start_ms if known_ms is None else known_ms)
    for low, high in stretches(settings, start_ms, end_ms):
        yield from _Question(settings, queries, blocking, low, high).pieces(decider)


def blocked_on(settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> Iterator[tuple[Node, Blocked, Row]]:
    """Which attempt (a row of node_holds) blocked what of which node, in all pools; suspended time is not set apart."""
    blocking = _blocking(settings.pools)
    for low, high in stretches(settings, start_ms, end_ms) if blocking and start_ms < end_ms else ():
        for node, _, one, row in _Question(settings, queries, blocking, low, high).found():
            yield node, one, row


def _blocking(pools: Iterable[Pool]) -> dict[str, Blocking]:
    skus = [sku for pool in pools for sku in pool.skus]
    return {sku.name: sku.blocking for sku in skus if sku.blocking.cpus_per_gpu or sku.blocking.gib_per_gpu}


def device_ms(settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int) -> dict[str, Fraction]:
    """SKU -> device-milliseconds that were blocked of it."""
    found: dict[str, Fraction] = {}
    for one in blocked_time(settings, queries, pool, start_ms, end_ms):
        found[one.sku] = found.get(one.sku, NIL) + one.held.device_ms
    return found


class _Question:
    def __init__(
        self, settings: Settings, queries: Queries, blocking: Mapping[str, Blocking], start_ms: int, end_ms: int
    ) -> None:
        self.settings, self.queries, self.blocking = settings, queries, blocking
        self.start_ms, self.end_ms = start_ms, end_ms
        self.stops: dict[AttemptKey, set[Outage]] = {}  # suspended stretches of attempts with leases
        self.holds: dict[Node, list[Hold]] = defaultdict(list)

    def found(self) -> Iterator[tuple[Node, Place, Blocked, Row]]:
        told = self.queries.ask("node_gpus", start_ms=self.start_ms, end_ms=self.end_ms)
        by_node = {node: list(rows) for node, rows in groupby(told, key=itemgetter("cluster", "node"))}
        places = places_of(self.settings, self.queries, self.blocking, by_node, (self.start_ms, self.end_ms))
        for node in places:
            self._gpus(node, by_node.get(node, []))
        attempts = {key: row for row in self._attempts() if self._takes(key := key_of(row), row, places)}
        for node, those in sorted(places.items()):
            for place in those:
                for one in self._on(node, place):
                    yield node, place, one, attempts[one.key]

    def pieces(self, decider: Decider) -> Iterator[BlockedPiece]:
        for node, place, one, row in self.found():
            for start, end, suspended in cut(one.start_ms, one.end_ms, sorted(self.stops.get(one.key, ()))):
                part = {**row, "suspended": suspended}
                for low, high, outage in cut(start, end, decider.outages.get(node, [])):
                    decision = decider.decide(part, outage, ran_ms(row))
                    yield BlockedPiece(row, one.key, place.sku, low, high, one.devices, decision)

    def _gpus(self, node: Node, rows: list[Row]) -> None:
        """What of a node's GPUs nobody can block: held, or unavailable; less what is held twice."""
        for row in rows:
            if row["state"] == "capacity" or not row["share_den"]:
                continue
            gpus = row["units"] if row["share_den"] == 1 else Fraction(row["units"], row["share_den"])
            key = key_of(row) if row["state"] == "lease" else _NOBODY
            gpus = -gpus if row["state"] == "oversubscribed" else gpus
            self.holds[node].append(Hold(row["start_ms"], row["end_ms"], key, gpus, 0, 0))
            if row["state"] == "lease":
                stops = self.stops.setdefault(key, set())
                if row["suspended"]:
                    stops.add(Outage(row["start_ms"], row["end_ms"], SUSPENDED))

    def _attempts(self) -> list[Row]:
        return self.queries.ask("node_holds", start_ms=self.start_ms, end_ms=self.end_ms)

    def _takes(self, key: AttemptKey, row: Row, places: Mapping[Node, list[Place]]) -> bool:
        """Lays an attempt's CPUs and memory on its nodes; False where none of them has GPUs to block."""
        names = names_of(row["node_list"])
        on = [node for name in names if (node := (row["cluster"], name)) in places]
        cpus, mem_mb = _each(row["alloc_tres"], len(names)) if on else (0, 0)
        if not cpus and not mem_mb:
            return False
        if key not in self.stops:  # it holds no GPUs that are known by node, so no lease says when it was suspended
            self.stops[key] = set(unseen_stops(row))
        start, stop = max(row["start_ms"], self.start_ms), min(row["stop_ms"], self.end_ms)
        if start >= stop:
            return False
        for low, high, suspended in cut(start, stop, sorted(self.stops[key])):
            for node in on:
                self.holds[node].append(Hold(low, high, key, 0, 0 if suspended else cpus, mem_mb))
        return True

    def _on(self, node: Node, place: Place) -> list[Blocked]:
        blocking = self.blocking[place.sku]
        cpus, mem = blocking.cpus_per_gpu * place.gpus, blocking.gib_per_gpu * place.gpus * MIB
        # Installed counts whole CPUs and MiB; where a GPU has half of one, both sides count halves.
        installed = Installed(place.gpus, cpus.numerator, mem.numerator)
        holds = [
            Hold(start, end, one.key, one.gpus, one.cpus * cpus.denominator, one.mem_mb * mem.denominator)
            for one in self.holds[node]
            for start, end in [(max(one.start_ms, place.start_ms), min(one.end_ms, place.end_ms))]
            if start < end
        ]
        return blocked(holds, installed, in_whole=blocking.whole_gpus)


@lru_cache(maxsize=65536)
def _each(alloc_tres: str, nodes: int) -> tuple[Fraction | int, Fraction | int]:
    """(CPUs, MiB) on each node; whole numbers as such, for they are many times quicker."""
    told = ",".join(part for part in alloc_tres.split(",") if part.startswith(("cpu=", "mem=")))
    try:
        cpus, mem_mb = evenly(allocated(told), nodes)
    except ValueError:
        return 0, 0
    return plain(cpus), plain(mem_mb)
