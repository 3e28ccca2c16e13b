"""On which nodes GPUs can be blocked, and when: where all GPUs of a node are of one SKU that says what blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from slurm_gpucost.services.places import EVERYWHERE, placed, sku_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.model import Blocking

Row = dict[str, Any]
Node = tuple[str, str]
"""Cluster and name."""


class Place(NamedTuple):
    """[start_ms, end_ms) in which a node had so many GPUs, all of this SKU."""

    start_ms: int
    end_ms: int
    sku: str
    gpus: int


def places_of(
    settings: Settings, queries: Queries, blocking: Mapping[str, Blocking], told: Mapping[Node, Iterable[Row]],
    window: tuple[int, int],
) -> dict[Node, list[Place]]:  # fmt: skip
    """The places of each node in a window [start ms, end ms) in which no node goes to another pool, in order of time.

    ``told`` are the rows of node_gpus: what the inventory says. From when on a cluster has an inventory that alone
    counts, as for all time of devices; before that the nodes that the SKUs of ``blocking`` name in the config.
    """
    found: dict[Node, list[Place]] = {}
    start_ms, end_ms = window
    for node, rows in told.items():
        capacity = [row for row in rows if row["state"] == "capacity"]
        found[node] = list(_inventoried(settings, blocking, capacity, start_ms))
    known = queries.ask("capacity", start_ms=start_ms, end_ms=end_ms, **EVERYWHERE)
    until = min([end_ms, *(row["first_ms"] for row in known if row["cluster"] == settings.cluster)])
    for sku, said in blocking.items():
        for name in said.nodes if until > start_ms else ():
            place = Place(start_ms, until, sku, said.gpus_per_node)
            found.setdefault((settings.cluster, name), []).insert(0, place)
    return {node: places for node, places in found.items() if places}


def _inventoried(
    settings: Settings, blocking: Mapping[str, Blocking], capacity: list[Row], start_ms: int
) -> Iterator[Place]:
    there: dict[str, int] = {}
    changes = [(row["start_ms"], 1, row) for row in capacity] + [(row["end_ms"], -1, row) for row in capacity]
    changes.sort(key=itemgetter(0))
    steps = [(at, list(those)) for at, those in groupby(changes, key=itemgetter(0))]
    for (at, those), (after, _) in pairwise(steps):
        for _, sign, row in those:
            place = sku_of(settings, placed(settings, row, start_ms))
            sku = place[1].name if place else ""
            there[sku] = there.get(sku, 0) + sign
        kinds = [sku for sku, count in there.items() if count]
        if len(kinds) == 1 and kinds[0] in blocking:
            yield Place(at, after, kinds[0], there[kinds[0]])
