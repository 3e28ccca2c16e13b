# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Which nodes' GPUs a pool has, and from when on: two pools may have GPUs of one kind, but no node at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.periods import midnight
from slurm_gpucost.domain.globs import intersect
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.settings.cost_tables import Reader, dated
from slurm_gpucost.settings.kinds import REQUIRED, Setting, day, or_dated, text
from slurm_gpucost.settings.model import Pool, PoolNodes, Sku


def hostlist(value: Any) -> frozenset[str]:
    """Nodes of a hostlist; none of an empty text."""
    return frozenset() if value == "" else frozenset(expand(text(value)))


POOL_NODES = (
    Setting("nodes", "hostlist or list of tables", or_dated(hostlist), None,
            "Only GPUs on these nodes are the pool's, like `gpu[01-16]`; those of its SKUs wherever no other pool names the node, if not given. Where it changes, a list: [{since = 2026-01-01, nodes = \"gpu[01-16]\"}]."),
)  # fmt: skip
NODES = (
    Setting("since", "date", day, REQUIRED, "The first day of these nodes, in the site's time zone; they hold until the next. Before the first the pool has none."),
    Setting("nodes", "hostlist", hostlist, REQUIRED, "The pool's nodes from that day on; `\"\"`: none any more."),
)  # fmt: skip


def nodes_of(reader: Reader, prefix: str, said: Any, zone: ZoneInfo) -> tuple[PoolNodes, ...]:
    """In order; empty: the pool names none. What is wrong becomes faults of the reader."""
    if said is None:
        return ()
    if isinstance(said, frozenset):
        if not said:
            reader.fault(f"{prefix}nodes", "names none; leave it out, or write a hostlist like gpu[01-16]")
        return (PoolNodes(0, said),)
    if not said:
        reader.fault(f"{prefix}nodes", "names none; leave it out, or write a hostlist like gpu[01-16]")
    found = dated(reader, f"{prefix}nodes", said, NODES)
    return tuple(PoolNodes(midnight(since, zone), nodes) for since, nodes in found)


def one_place(reader: Reader, pools: tuple[Pool, ...]) -> None:
    """Every device is of one SKU of one pool at a time, or nothing could be priced for sure."""
    names: dict[str, str] = {}
    for pool in pools:
        for sku in pool.skus:
            key = _key(pool, sku)
            if sku.name in names:
                reader.fault(key, f"stands already as {names[sku.name]}; give one of them another name")
            names.setdefault(sku.name, key)
            if pool.nodes and (gone := set(sku.blocking.nodes) - {node for one in pool.nodes for node in one.nodes}):
                reader.fault(f"{key}.nodes", f"{', '.join(sorted(gone))}: not in pools.{pool.name}.nodes")
    for (one, sku), (other, another) in combinations([(pool, sku) for pool in pools for sku in pool.skus], 2):
        node = _both(one, other)
        why = f"; both pools have {node}, and a device would be in two pools at once" if node else ""
        for key, what in _alike(_key(one, sku), sku, another) if node is not None else ():
            reader.fault(f"{_key(other, another)}.{key}", what + why)


def _key(pool: Pool, sku: Sku) -> str:
    return f"pools.{pool.name}.skus.{sku.name}"


def _alike(where: str, sku: Sku, another: Sku) -> Iterator[tuple[str, str]]:
    for kind in another.gres_types:
        if kind in sku.gres_types:
            yield "gres_types", f"'{kind}' is already taken by {where}"
    for pattern, other in product(another.nvml_names, sku.nvml_names):
        if intersect(pattern, other):
            what = f"'{pattern}' and '{other}' of {where} can match the same device"
            yield "nvml_names", f"{what}; write them so that no name fits both"


def _both(one: Pool, other: Pool) -> str | None:
    """Why a device of one kind could be of both pools: '' if it is anyhow, else a node that both have; None: cannot."""
    if one is other or not (one.nodes or other.nodes):
        return ""
    for at_ms in sorted({part.from_ms for part in (*one.nodes, *other.nodes)}):
        common = one.nodes_at(at_ms) & other.nodes_at(at_ms)
        if common:
            return min(common)
    return None
