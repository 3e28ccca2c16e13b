"""To which pool an attempt belongs, where pools bill by TRES: to one, so that all that it took is billed once.

An attempt with GPUs belongs to the pool of which it holds most device time, first by name of equals. All leases of an
attempt hold the same as long as they last, so that is the same in every month, as long as its nodes stay in their
pools. One without GPUs belongs to the pool of its first node by name that has GPUs: of which pool the inventory says,
of nodes that it does not know the config.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from functools import cached_property

from slurm_gpucost.services.holds import AttemptKey, Row, key_of, names_of
from slurm_gpucost.services.places import placed, sku_of
from slurm_gpucost.services.quantities import place_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings

_Weights = dict[str, Fraction]
"""By pool; what no SKU prices is not in it."""


class Belonging:
    """Of all attempts that overlap a time, [start_ms, end_ms), in which no node goes to another pool."""

    def __init__(self, settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> None:
        self._settings, self._queries = settings, queries
        self._window = {"start_ms": start_ms, "end_ms": end_ms}

    def pool_of(self, row: Row) -> str | None:
        """The pool of a row of ``node_holds``. None: it has none, or holds only GPUs that no SKU prices."""
        held = self._held.get(key_of(row))
        if held is not None:
            return _most(held)
        nodes = ((row["cluster"], name) for name in sorted(names_of(row["node_list"])))
        return next((self._nodes[node] for node in nodes if node in self._nodes), None)

    @cached_property
    def _held(self) -> dict[AttemptKey, _Weights]:
        found: dict[AttemptKey, _Weights] = defaultdict(dict)
        for lease in self._queries.each("held_leases", **self._window):
            weights = found[key_of(lease)]
            if place := place_of(self._settings, placed(self._settings, lease, self._window["start_ms"])):
                time = Fraction(lease["units"] * (lease["end_ms"] - lease["start_ms"]), lease["share_den"])
                weights[place[0]] = weights.get(place[0], Fraction(0)) + time
        return dict(found)

    @cached_property
    def _nodes(self) -> dict[tuple[str, str], str]:
        said = {
            (self._settings.cluster, node): pool.name
            for pool in self._settings.pools
            for sku in pool.skus
            for node in sku.blocking.nodes
        }
        known: dict[tuple[str, str], _Weights] = {}
        for row in self._queries.ask("node_kinds", **self._window):
            weights = known.setdefault((row["cluster"], row["node"]), {})
            if found := sku_of(self._settings, placed(self._settings, row, self._window["start_ms"])):
                weights[found[0].name] = weights.get(found[0].name, Fraction(0)) + row["quantity"]
        return said | {node: pool for node, weights in known.items() if (pool := _most(weights))}


def _most(weights: _Weights) -> str | None:
    return min(weights, key=lambda pool: (-weights[pool], pool), default=None)
