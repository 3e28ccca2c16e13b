"""What a cluster's devices did in a window: every device-millisecond once, each term from its own intervals.

Where the inventory is known, capacity and what devices did while nobody held them come from the ledger's capacity and
device_time. Before that, the config's number of devices is the capacity, and idle is derived from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from slurm_gpucost.domain.outages import PLANNED
from slurm_gpucost.domain.units import MS, decimal_text
from slurm_gpucost.services import places
from slurm_gpucost.services.quantities import device_ms
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.rates import day_of
from slurm_gpucost.settings import Settings

TERMS = ("allocated", "suspended", "held", "idle", "completing", "down", "planned_down", "unobserved")
"""What adds up to the reported time, with ``oversubscribed`` taken off."""
_Key = tuple[str, str | None]
_Sums = defaultdict[str, Fraction]


def utilization(
    settings: Settings, queries: Queries, start_ms: int, end_ms: int, clusters: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Rows by cluster and SKU (None: no SKU prices it). Times are decimal text in GPU-seconds.

    reported = allocated + suspended + held (by attempts that the accounting does not know) + idle + completing + down +
    planned_down + unobserved (after the accounting was last heard) - oversubscribed + difference; a difference other
    than 0 is a fault that ``gpucost reconcile`` explains. Of clusters without inventory and config only what was
    allocated is known, the rest is None.
    """
    sums: dict[_Key, _Sums] = {}
    known = Known(settings, queries, start_ms, end_ms)
    for name in sorted(known.clusters if clusters is None else known.clusters & set(clusters)):
        for key, found in known.of(name).items():
            sums[key] = found
    return [_row(settings, known, key, found, end_ms - start_ms) for key, found in sorted(sums.items(), key=_order)]


def of_skus(settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> dict[str, _Sums]:
    """SKU -> the terms of :func:`utilization` that its devices have on all clusters, in device-ms."""
    known = Known(settings, queries, start_ms, end_ms)
    found: dict[str, _Sums] = defaultdict(lambda: defaultdict(Fraction))
    for cluster in sorted(known.clusters):
        for (_, sku), sums in known.of(cluster).items():
            for name, amount in sums.items() if sku is not None else ():
                found[sku or ""][name] += amount
    return found


def _order(item: tuple[_Key, _Sums]) -> tuple[str, bool, str]:
    (cluster, sku), _ = item
    return cluster, sku is None, sku or ""


class Known:
    """The answers of the ledger, cut at the beginning of each cluster's inventory and at its last look."""

    def __init__(self, settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> None:
        self.settings, self.queries = settings, queries
        self.start_ms, self.end_ms = start_ms, end_ms
        capacity = queries.ask("capacity", start_ms=start_ms, end_ms=end_ms, **places.EVERYWHERE)
        self.first_ms = {row["cluster"]: row["first_ms"] for row in capacity}
        self.looked_ms = {
            row["cluster"]: row["at_ms"]
            for row in queries.ask("last_polls")
            if row["witness"] == "sacct" and row["at_ms"]
        }
        self.devices: dict[_Key, int] = {}
        for row in places.there(settings, queries, end_ms):
            key = (row["cluster"], self._sku(row))
            self.devices[key] = self.devices.get(key, 0) + row["devices"]
        leased = queries.ask("leased_time", start_ms=start_ms, end_ms=end_ms, **places.EVERYWHERE)
        self.clusters = {settings.cluster, *self.first_ms, *(row["cluster"] for row in leased)}

    def cut_ms(self, cluster: str) -> tuple[int, int]:
        """(from when on the inventory is known, up to when it was looked at), both within the window."""
        first = self.first_ms.get(cluster)
        begins = self.end_ms if first is None else min(max(first, self.start_ms), self.end_ms)
        looked = self.looked_ms.get(cluster, self.end_ms)
        return begins, max(begins, min(looked, self.end_ms))

    def of(self, cluster: str) -> dict[_Key, _Sums]:
        """The terms of each SKU of a cluster, in device-ms."""
        sums: dict[_Key, _Sums] = defaultdict(lambda: defaultdict(Fraction))
        begins, looked = self.cut_ms(cluster)
        if cluster == self.settings.cluster:
            for pool in self.settings.pools:
                for sku in pool.skus:
                    there = sku.counts.device_ms(self.start_ms, begins, pool.timezone)
                    sums[cluster, sku.name]["config"] += there
        self._leased(cluster, sums, self.start_ms, looked)
        for row in self._ask("capacity", begins, self.end_ms):
            if row["cluster"] == cluster:
                sums[cluster, self._sku(row)]["reported"] += row["quantity"]
        for row in self._ask("capacity", looked, self.end_ms):
            if row["cluster"] == cluster and looked < self.end_ms:
                sums[cluster, self._sku(row)]["unobserved"] += row["quantity"]
        for row in self._ask("device_time", begins, looked):
            if row["cluster"] == cluster and row["state"] != "leased":
                name = row["state"]
                if name == "unavailable":
                    name = "planned_down" if row["class"] in PLANNED else "down"
                sums[cluster, self._sku(row)][name] += device_ms(row)
        self._before(cluster, sums, begins)
        return sums

    def _leased(self, cluster: str, sums: dict[_Key, _Sums], start_ms: int, end_ms: int) -> None:
        for row in self._ask("leased_time", start_ms, end_ms):
            if row["cluster"] == cluster and row["share_den"]:
                name = "held" if not row["billable"] else "suspended" if row["suspended"] else "allocated"
                sums[cluster, self._sku(row)][name] += device_ms(row)

    def _before(self, cluster: str, sums: dict[_Key, _Sums], begins: int) -> None:
        """Before the inventory is known: the config's capacity, and what is left of it is idle."""
        earlier: dict[_Key, _Sums] = defaultdict(lambda: defaultdict(Fraction))
        self._leased(cluster, earlier, self.start_ms, begins)
        for key, found in sums.items():
            if capacity := found.pop("config", None):
                found["reported"] += capacity
                found["idle"] += capacity - sum(earlier[key].values())
                found["derived"] += capacity

    def _ask(self, name: str, start_ms: int, end_ms: int) -> list[places.Row]:
        return places.ask(self.settings, self.queries, name, start_ms, end_ms)

    def _sku(self, row: places.Row) -> str | None:
        found = places.sku_of(self.settings, row)
        return found[1].name if found else None


def devices_on(settings: Settings, at_ms: int) -> dict[str, int]:
    """SKU -> how many devices the config says that there are at a moment."""
    return {sku.name: sku.counts.on(day_of(at_ms, pool)) for pool in settings.pools for sku in pool.skus}


def _row(settings: Settings, known: Known, key: _Key, sums: _Sums, length_ms: int) -> dict[str, Any]:
    cluster, sku = key
    reported = sums.get("reported")
    derived = sums.get("derived", Fraction(0))
    kind = "derived" if derived and derived == reported else "mixed" if derived else "observed"
    configured = devices_on(settings, known.end_ms - 1).get(sku or "")
    devices = known.devices.get(key) if cluster in known.first_ms else configured
    if reported is None:
        devices = None

    def seconds(name: str) -> str | None:
        return None if reported is None else decimal_text(sums.get(name, Fraction(0)) / MS, 3)

    used = sum((sums.get(name, Fraction(0)) for name in TERMS), Fraction(0)) - sums.get("oversubscribed", Fraction(0))
    allocated = sums.get("allocated", Fraction(0))
    return {
        "cluster": cluster,
        "sku": sku,
        "devices": devices,
        "allocated_gpu_seconds": decimal_text(allocated / MS, 3),
        **{f"{name}_gpu_seconds": seconds(name) for name in (*TERMS[1:], "oversubscribed")},
        "idle_kind": kind,
        "reported_gpu_seconds": seconds("reported"),
        "difference_gpu_seconds": None if reported is None else decimal_text((reported - used) / MS, 3),
        "allocated_percent": decimal_text(100 * allocated / reported, 2) if reported else None,
    }
