# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Which GPUs a job blocks by the CPUs or the memory that it takes: keys of a SKU in the config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from slurm_gpucost.settings.billing import nodes
from slurm_gpucost.settings.cost_tables import Reader
from slurm_gpucost.settings.kinds import Setting, flag, number, whole
from slurm_gpucost.settings.model import Blocking, Pool

_PART = partial(number, low=Decimal(0))
BLOCKED = (
    Setting("blocked_cpus_per_gpu", "number", _PART, Fraction(0), "CPUs of a node for each of its GPUs. A job that takes more CPUs than go with its GPUs blocks others, and pays for them; 0: CPUs block nothing."),
    Setting("blocked_gib_per_gpu", "number", _PART, Fraction(0), "Memory of a node for each of its GPUs, in GiB, as `blocked_cpus_per_gpu`; 0: memory blocks nothing."),
    Setting("blocked_whole_gpus", "true or false", flag, False, "true: only whole GPUs are blocked; what is blocked of another is not billed."),
    Setting("nodes", "hostlist", nodes, None, "The nodes with these GPUs, like `gpu[01-16]`, where the controller does not tell what each node has; none if not given."),
    Setting("gpus_per_node", "whole number", partial(whole, low=0), 0, "How many of these GPUs each of `nodes` has."),
)  # fmt: skip


def blocking_of(
    reader: Reader, values: dict[str, Any], prefix: str, later: Sequence[tuple[date, int]] = ()
) -> Blocking:
    """What a SKU's keys say of blocking; ``later`` are its later numbers of devices. What is wrong becomes faults of the reader; then it is not to be used."""
    names = tuple(dict.fromkeys(values.get("nodes") or ()))
    each, devices = values.get("gpus_per_node", 0), values.get("devices")
    if names and "gpus_per_node" in values and not each:
        reader.fault(f"{prefix}gpus_per_node", "is missing: say how many of these GPUs each of `nodes` has")
    if each and "nodes" in values and not names:
        reader.fault(f"{prefix}nodes", "is missing: gpus_per_node is that of `nodes`")
    if devices is not None and len(names) * each > (most := max(devices, *(count for _, count in later), 0)):
        reader.fault(f"{prefix}nodes", f"{len(names)} nodes of {each} GPUs are more than its {most} devices")
    return Blocking(
        values.get("blocked_cpus_per_gpu", Fraction(0)), values.get("blocked_gib_per_gpu", Fraction(0)),
        values.get("blocked_whole_gpus", False), names, each,
    )  # fmt: skip


def two_skus(reader: Reader, pools: Iterable[Pool]) -> None:
    """A node has GPUs of one SKU: in two, a device would be in two pools at once, or be blocked twice."""
    taken: dict[str, str] = {}
    for pool in pools:
        for sku in pool.skus:
            key = f"pools.{pool.name}.skus.{sku.name}"
            twice: dict[str, list[str]] = {}
            for node in sku.blocking.nodes:
                if taken.setdefault(node, key) != key:
                    twice.setdefault(taken[node], []).append(node)
            for other, those in twice.items():
                reader.fault(f"{key}.nodes", f"{', '.join(those)}: already in {other}.nodes")
