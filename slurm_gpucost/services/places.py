"""Which pool and SKU a device is of: by its kind, and by its node where pools name nodes.

Sums in SQL know kinds and no nodes. So where pools name nodes they are asked zone by zone: the nodes that the same
pools name make a zone, all others another. Where no pool does there is one zone, and one question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Pool, Settings, Sku

Row = Mapping[str, Any]
EVERYWHERE: Mapping[str, Any] = {"nodes": None, "among": 1}
"""Parameters of a query that zones can divide, for what is on any node."""
NAMING = "naming"
"""The column that :func:`ask` and :func:`placed` add: the pools that name the node, for :meth:`Settings.sku_for`."""


class Zone(NamedTuple):
    """Nodes that the same pools name."""

    naming: frozenset[str] | None
    """As :meth:`Settings.pools_naming` has it."""
    nodes: frozenset[tuple[str, str]] = frozenset()
    """(cluster, node); '' is a node that nobody knows."""
    rest: bool = True
    """All nodes but these."""

    def has(self, cluster: str, node: str | None) -> bool:
        """Whether a node is in it."""
        return ((cluster, node or "") in self.nodes) != self.rest

    @property
    def params(self) -> Mapping[str, Any]:
        """Of a query."""
        if not self.nodes:
            return EVERYWHERE
        return {"nodes": json.dumps(sorted("/".join(one) for one in self.nodes)), "among": int(not self.rest)}


def zones(settings: Settings, at_ms: int) -> list[Zone]:
    """Those of a moment; together they are everywhere."""
    if not any(pool.nodes for pool in settings.pools):
        return [Zone(None)]
    named = {node for pool in settings.pools for node in pool.nodes_at(at_ms)}
    found: dict[frozenset[str] | None, set[tuple[str, str]]] = {}
    for node in (*sorted(named), ""):
        naming = settings.pools_naming(settings.cluster, node, at_ms)
        found.setdefault(naming, set()).add((settings.cluster, node))
    zones = [Zone(naming, frozenset(nodes), rest=False) for naming, nodes in found.items()]
    return [*zones, Zone(frozenset(), frozenset().union(*found.values()))]


def stretches(settings: Settings, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """[start, end) cut where nodes go to another pool."""
    moves = {one.from_ms for pool in settings.pools for one in pool.nodes}
    return list(pairwise([start_ms, *sorted(at for at in moves if start_ms < at < end_ms), end_ms]))


def ask(settings: Settings, queries: Queries, name: str, start_ms: int, end_ms: int, **params: Any) -> list[Row]:
    """The rows of a query of a time that zones can divide, each with :data:`NAMING`; sums of them add up."""
    return [
        with_naming(row, zone.naming)
        for low, high in stretches(settings, start_ms, end_ms)
        for zone in zones(settings, low)
        for row in queries.ask(name, start_ms=low, end_ms=high, **zone.params, **params)
    ]


def with_naming(row: Row, naming: frozenset[str] | None) -> Row:
    """The row with :data:`NAMING`; the same row where that says nothing."""
    return row if naming is None else {**row, NAMING: naming}


def placed(settings: Settings, row: Row, at_ms: int) -> Row:
    """A row that has its node, with :data:`NAMING` as of a moment."""
    return with_naming(row, settings.pools_naming(row["cluster"], row["node"] or "", at_ms))


def sku_of(settings: Settings, row: Row) -> tuple[Pool, Sku] | None:
    """The pool and SKU of a row with ``gres_type``, ``model`` and, where pools name nodes, :data:`NAMING`."""
    return settings.sku_for(row["gres_type"], row["model"], row.get(NAMING))


def of_devices(settings: Settings, queries: Queries, at_ms: int) -> dict[str, tuple[Pool, Sku]]:
    """GPU -> what it is, on the node where it was last, as pools name that at a moment; no MIG instances."""
    found: dict[str, tuple[Pool, Sku]] = {}
    for row in queries.ask("gpu_kinds"):
        place = sku_of(settings, placed(settings, row, at_ms))
        if place:
            found[row["device"]] = place
    return found


def there(settings: Settings, queries: Queries, at_ms: int) -> Iterator[Row]:
    """The rows of ``capacity`` for the devices that are there at the end of a moment."""
    for zone in zones(settings, at_ms - 1):
        for row in queries.ask("capacity", start_ms=at_ms - 1, end_ms=at_ms, **zone.params):
            yield with_naming(row, zone.naming)
