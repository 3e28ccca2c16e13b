"""What leases and devices used in a time: energy, utilization and memory, with the time that each is known for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from slurm_gpucost.domain.apportion import Holding, Key
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.usage import DeviceUsage, Used, usage_of
from slurm_gpucost.services.queries import Queries


@dataclass(frozen=True)
class Usage:
    """The devices that were measured or held in a time."""

    devices: dict[str, DeviceUsage]

    def lease(self, key: Key) -> Used | None:
        """What a lease used; None where nothing was measured of its device while it held it."""
        return next((found.leases[key] for found in self.devices.values() if key in found.leases), None)


def usage(queries: Queries, start_ms: int, end_ms: int, devices: Iterable[str] | None = None) -> Usage:
    """The usage in [start_ms, end_ms) of the GPUs that ``devices`` are, or are MIG instances of; None: of all.

    The energy of all leases of a device, its idle energy and what nobody observed add up to what the driver's
    counter grew by, to the millijoule; see :mod:`slurm_gpucost.domain.apportion` for the rule.
    """
    measured = load(queries, start_ms, end_ms, devices)
    return Usage(
        {
            gpu: usage_of(gpu, measured.windows, measured.holdings, instances, start_ms, end_ms)
            for gpu, instances in measured.instances.items()
        }
    )


@dataclass(frozen=True)
class Measured:
    """What the ledger has of some GPUs and their MIG instances."""

    instances: dict[str, list[str]]
    """GPU -> MIG instances that it ever had."""
    windows: dict[str, list[Window]]
    """By device; the last one before the time among them."""
    holdings: dict[str, list[Holding]]
    """By device, shares of the whole GPU."""
    released: dict[Key, int]
    """When a lease's epilog ran, else its end."""


def load(queries: Queries, start_ms: int, end_ms: int, devices: Iterable[str] | None) -> Measured:
    """The windows and holdings of GPUs in a time."""
    wanted = None if devices is None else set(devices)
    instances: dict[str, list[str]] = {}
    for row in queries.ask("measured_devices"):
        gpu = row["parent"] or row["device"]
        found = instances.setdefault(gpu, [])
        if row["parent"]:
            found.append(row["device"])
    if wanted is not None:
        instances = {gpu: parts for gpu, parts in instances.items() if wanted & {gpu, *parts}}
    every = json.dumps(sorted([*instances, *(part for parts in instances.values() for part in parts)]))
    span = {"devices": every, "start_ms": start_ms, "end_ms": end_ms}
    windows: dict[str, list[Window]] = {}
    for window in map(Window._make, queries.tuples("usage_windows", **span)):  # columns stand in the order of fields
        windows.setdefault(window.device, []).append(window)
    slices = _slices(queries)
    holdings: dict[str, list[Holding]] = {}
    released: dict[Key, int] = {}
    for row in queries.each("holdings", **span):
        holdings.setdefault(row["device"], []).append(_held(row, slices.get(row["device"], Fraction(1))))
        released[_key(row)] = row["released_ms"]
    return Measured(instances, windows, holdings, released)


def _held(row: dict[str, Any], of_gpu: Fraction) -> Holding:
    share = Fraction(row["share_num"], row["share_den"]) * of_gpu if row["share_den"] else Fraction(0)
    return Holding(_key(row), row["start_ms"], row["end_ms"], share, bool(row["suspended"]), row["user"])


def _slices(queries: Queries) -> dict[str, Fraction]:
    """MIG instance -> the part of its GPU that it is: its compute slices among all; as it was last."""
    return {
        row["device"]: Fraction(row["compute_slices"], row["slices_of"])
        for row in queries.ask("mig_layouts")
        if row["device"] and row["slices_of"]
    }


def _key(row: dict[str, Any]) -> Key:
    return row["cluster"], row["job_id"], row["submit_ms"], row["n"]
