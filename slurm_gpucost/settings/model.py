"""The config as frozen values. Money and quantities are exact Fractions; units stand in the names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.accounts import AccountClass, Told
from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.meter import Meter
from slurm_gpucost.costing.policy import Rule
from slurm_gpucost.costing.pools import PoolCosts
from slurm_gpucost.costing.quantity import Rounding
from slurm_gpucost.costing.shares import Owning
from slurm_gpucost.costing.showback import INSTITUTION
from slurm_gpucost.costing.terms import Emission
from slurm_gpucost.costing.tres import Prices
from slurm_gpucost.settings.access import Access
from slurm_gpucost.settings.collector import Collector


@dataclass(frozen=True)
class Blocking:
    """What of its node belongs to a GPU: who takes more of it blocks others. Of what is 0, nothing blocks."""

    cpus_per_gpu: Fraction = Fraction(0)
    gib_per_gpu: Fraction = Fraction(0)
    whole_gpus: bool = False
    """Only whole GPUs are blocked."""
    nodes: tuple[str, ...] = ()
    """Where they are, as far as the inventory does not tell."""
    gpus_per_node: int = 0


@dataclass(frozen=True)
class Sku:
    """A priced class of device. Prices are in the config's currency, for one device with its share of the host."""

    name: str
    gres_types: tuple[str, ...]
    nvml_names: tuple[str, ...]
    devices: int
    """Until the first day of the later ones."""
    purchase_price: Fraction | None
    """None: its assets are listed one by one."""
    purchase_date: date | None
    life_years: Fraction
    residual_value: Fraction
    nameplate_watts: Fraction
    budgeted_hours: Fraction | None
    load_factor: Fraction
    """The part of nameplate_watts that is taken to be drawn where nothing was measured."""
    shards: int
    """Shards that make up one device; 0: none are configured."""
    owner: str | None = None
    """The account that bought all of them; None: the institution, or as its assets say."""
    blocking: Blocking = Blocking()
    later_devices: tuple[tuple[date, int], ...] = ()
    """(first day, devices), in order."""

    @property
    def counts(self) -> Counts:
        """How many there are, and when."""
        return Counts(self.devices, self.later_devices)


@dataclass(frozen=True)
class Energy:
    """How a pool bills energy."""

    parts: int
    """1: in the price of the hour; 2: by the kWh, as measured."""
    host_watts_per_gpu: Fraction
    emission: tuple[Emission, ...]
    """CO2e of a kWh at the site's meter, in order, the first from ever; empty: not stated."""


class PoolNodes(NamedTuple):
    """The nodes whose GPUs are a pool's from a moment (ms UTC) on, until the next one."""

    from_ms: int
    nodes: frozenset[str]


@dataclass(frozen=True)
class Pool:
    """Devices that share cost items, in one time zone."""

    name: str
    timezone: ZoneInfo
    skus: tuple[Sku, ...]
    costs: PoolCosts
    """All that they cost, from wherever the config names it."""
    energy: Energy
    idle_cost: str = INSTITUTION
    """Who carries it when a month that is over is divided."""
    meters: tuple[Meter, ...] = ()
    """The electricity bills of months, which count where there is one."""
    nodes: tuple[PoolNodes, ...] = ()
    """In order; empty: it names none, and has the devices of its SKUs wherever no other pool names the node."""
    tres: Prices | None = None
    """By which its jobs are billed instead of by GPU-hours."""

    def nodes_at(self, at_ms: int) -> frozenset[str]:
        """The nodes that it names at a moment; none before the first."""
        return next((one.nodes for one in reversed(self.nodes) if one.from_ms <= at_ms), frozenset())


@dataclass(frozen=True)
class DeclaredOutage:
    """The site declares that these nodes were of no use to jobs from a moment to another, in ms UTC."""

    nodes: tuple[str, ...]
    from_ms: int
    until_ms: int
    """OPEN_END_MS: still."""
    reason: str


@dataclass(frozen=True)
class Payer:
    """Who pays for reservations of a name, and for which GPUs."""

    name: str
    """A glob, as fnmatchcase reads it."""
    account: str
    whole_nodes: bool | None
    """True: all GPUs of the nodes are reserved; False: only those that its TRES names; None: as Slurm's TRES say."""


@dataclass(frozen=True)
class Billing:
    """What of held time is billed, and whether what reservations keep is."""

    rules: tuple[Rule, ...]
    rounding: Rounding
    outages: tuple[DeclaredOutage, ...]
    show_energy: bool = True
    """Invoices say what jobs drew, where the price of the hour bears it."""
    bill_reservations: bool = False
    payers: tuple[Payer, ...] = ()
    """The first whose name matches counts."""


@dataclass(frozen=True)
class Allotment:
    """What some accounts need not pay in a month."""

    accounts: tuple[str, ...]
    """Empty: all."""
    free: Free
    funder: str


@dataclass(frozen=True)
class Cluster:
    """One of several that a collector asks; of its commands None is that of the whole config."""

    name: str
    sacct: str | None
    sacctmgr: str | None
    scontrol: str | None
    squeue: str | None
    slurm_conf: Path | None
    """By which these commands find it; None: their own default."""


@dataclass(frozen=True)
class Settings:
    """The whole config."""

    path: Path
    cluster: str
    timezone: ZoneInfo
    currency: str
    ledger: Path
    spool: Path
    sacct: str
    accounting_interval_seconds: int
    accounting_timeout_seconds: int
    accounting_overlap_seconds: int
    accounting_slice_hours: int
    sacctmgr: str
    accounting_look_back_days: int
    scontrol: str
    squeue: str
    controller_enabled: bool
    controller_interval_seconds: int
    controller_timeout_seconds: int
    slurmd: str
    slurm_conf: Path | None
    nvml_enabled: bool
    nvml_interval_seconds: int
    idle_threshold_percent: int
    idle_minimum_minutes: int
    collector: Collector
    access: Access
    pause_minutes: int
    pools: tuple[Pool, ...]
    billing: Billing
    free: tuple[Allotment, ...]
    classes: Mapping[str, AccountClass]
    accounts: tuple[Told, ...]
    portal: Mapping[str, str]
    """What an allocation portal calls the account and its facts."""
    clusters: tuple[Cluster, ...] = ()
    """Those that the collector asks; empty: the config's own."""

    def pools_naming(self, cluster: str, node: str, at_ms: int) -> frozenset[str] | None:
        """The pools that name a node at a moment; None: no pool names any, or nobody knows the node."""
        if not node or not any(pool.nodes for pool in self.pools):
            return None
        if cluster != self.cluster:
            return frozenset()
        return frozenset(pool.name for pool in self.pools if node in pool.nodes_at(at_ms))

    def sku_for(
        self, gres_type: str, model: str | None, naming: frozenset[str] | None = None
    ) -> tuple[Pool, Sku] | None:
        """The pool and SKU of a device: by its NVML name, else by GRES type; '' means the only SKU if there is one.

        ``naming``: the pools that name its node, which go before those that name none; None: nobody knows its node, so
        it has a SKU only if it could be of one pool alone.
        """
        if naming is None:
            found = self.skus_for(gres_type, model)
            return found[0] if len(found) == 1 else None
        named = self._skus(gres_type, model, [pool for pool in self.pools if pool.name in naming])
        found = named or self._skus(gres_type, model, [pool for pool in self.pools if not pool.nodes])
        return found[0] if found else None

    def skus_for(self, gres_type: str, model: str | None) -> list[tuple[Pool, Sku]]:
        """What a device could be, on whatever node it is."""
        return self._skus(gres_type, model, self.pools)

    @staticmethod
    def _skus(gres_type: str, model: str | None, pools: Iterable[Pool]) -> list[tuple[Pool, Sku]]:
        skus = [(pool, sku) for pool in pools for sku in pool.skus]
        if model:
            found = [one for one in skus if any(fnmatchcase(model, pattern) for pattern in one[1].nvml_names)]
            if found:
                return found
        if not gres_type:
            return skus if len(skus) == 1 else []
        return [one for one in skus if gres_type in one[1].gres_types]

    @property
    def owning(self) -> Owning:
        """The shares of all pools."""
        shares = tuple(share for pool in self.pools for share in pool.costs.shares)
        return Owning(self.cluster, shares, {sku.name: sku.counts for pool in self.pools for sku in pool.skus})

    @property
    def shards(self) -> dict[str, int]:
        """Shards per device by GRES type; '' (untyped) only where there is one SKU."""
        skus = [sku for pool in self.pools for sku in pool.skus]
        found = {kind: sku.shards for sku in skus for kind in sku.gres_types if sku.shards}
        if len(skus) == 1 and skus[0].shards:
            found[""] = skus[0].shards
        return found
