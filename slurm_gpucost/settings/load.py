"""Reads the whole config; names all faults in one go, by file and key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.showback import CARRIERS, INSTITUTION, OWNERS, told
from slurm_gpucost.domain.errors import ConfigError, UsageError
from slurm_gpucost.settings.access import access_of
from slurm_gpucost.settings.accounts import accounts_of, classes_of
from slurm_gpucost.settings.billing import BILLING, billing_of
from slurm_gpucost.settings.blocked import BLOCKED, blocking_of, two_skus
from slurm_gpucost.settings.catalogue import POOL, SECTIONS, SKU, TOP
from slurm_gpucost.settings.clusters import clusters_of
from slurm_gpucost.settings.collector import Collector, collector_of
from slurm_gpucost.settings.cost_tables import devices_of
from slurm_gpucost.settings.costs import costs_of
from slurm_gpucost.settings.energy import POOL_ENERGY, SKU_ENERGY, energy_of
from slurm_gpucost.settings.free import free_of
from slurm_gpucost.settings.meter import meters_of
from slurm_gpucost.settings.model import Pool, Settings, Sku
from slurm_gpucost.settings.nodes import POOL_NODES, nodes_of, one_place
from slurm_gpucost.settings.portal import PORTAL
from slurm_gpucost.settings.reader import ConfigReader, read_toml
from slurm_gpucost.settings.tres import beside_tres, tres_of

TABLES = tuple("billing rules outages reservations free classes accounts accounts_import clusters pools".split())
"""Beside the sections: tables that are read by modules of their own."""


def load(path: Path, changes: Sequence[str] = ()) -> Settings:
    """The checked config, as if it had these ``changes``, each TOML like ``pools.main.pue = 1.2``.

    Raises ConfigError with one line a fault, UsageError for a change that is not TOML.
    """
    table = read_toml(path)
    for text in changes:
        _change(table, _parsed(text), text)
    return _Reader(path).settings(table)


def keys_of(changes: Iterable[str]) -> set[str]:
    """All keys, at any depth, that such changes set. Raises UsageError for a change that is not TOML."""
    return {key for text in changes for key in _keys(_parsed(text))}


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(one)


class Outside(NamedTuple):
    """What a config says to who only asks; all else may be lacking in it, as on a login node."""

    collector: Collector
    munge_socket: Path | None
    ledger: Path
    alone: bool
    """It has nothing of a ledger's host."""


def outside(path: Path) -> Outside:
    """Read without looking at the rest. Raises ConfigError."""
    reader, data = _Reader(path), read_toml(path)
    read = {
        name: reader.read(reader.table(data.get(name, {}), name), SECTIONS[name], f"{name}.")
        for name in ("collector", "access", "ledger")
    }
    if reader.faults:
        raise ConfigError(*reader.faults)
    return Outside(
        collector_of(read["collector"]),
        read["access"]["munge_socket"],
        read["ledger"]["path"],
        set(data) <= {"collector", "access"},
    )


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise UsageError(f"'{text}': write KEY=VALUE as in the config, like pools.main.tariff_per_kwh=0.31") from None


def _change(table: dict[str, Any], changes: dict[str, Any], text: str) -> None:
    """Puts values into a table; entries of a list of tables are named by their number, from 0."""
    for key, value in changes.items():
        inner = table.get(key)
        if isinstance(inner, list) and isinstance(value, dict):
            for number, one in value.items():
                if not (number.isdigit() and int(number) < len(inner) and isinstance(inner[int(number)], dict)):
                    raise UsageError(f"'{text}': {key} has the entries 0 to {len(inner) - 1}, and no '{number}'")
                _change(inner[int(number)], one if isinstance(one, dict) else {"": one}, text)
        elif isinstance(inner, dict) and isinstance(value, dict):
            _change(inner, value, text)
        else:
            table[key] = value


class _Reader(ConfigReader):
    """Reads all of it."""

    def settings(self, data: dict[str, Any]) -> Settings:
        top = self.read(data, TOP, "", (*SECTIONS, *TABLES))
        parts = {
            name: self.read(self.table(data.get(name, {}), name), settings, f"{name}.")
            for name, settings in SECTIONS.items()
        }
        zone = top.get("timezone", ZoneInfo("UTC"))
        pools = tuple(
            self.pool(name, self.table(pool, f"pools.{name}"), zone)
            for name, pool in self.table(data.get("pools", {}), "pools").items()
        )
        if not pools:
            self.fault("pools", "is missing: at least one [pools.NAME] with a [pools.NAME.skus.SKU] is needed")
        one_place(self, pools)
        two_skus(self, pools)
        told = self.read(self.table(data.get("billing", {}), "billing"), BILLING, "billing.")
        billing = billing_of(self, told, data, zone)
        free = tuple(free_of(self, data, pools))
        beside_tres(self, pools, billing, free)
        classes = classes_of(self, data)
        accounts = tuple(accounts_of(self, data, classes, zone))
        portal = self.read(self.table(data.get("accounts_import", {}), "accounts_import"), PORTAL, "accounts_import.")
        clusters = clusters_of(self, data, top.get("cluster"))
        if self.faults:
            raise ConfigError(*self.faults)
        accounting, controller, nvml = parts["accounting"], parts["controller"], parts["nvml"]
        return Settings(
            path=self.path,
            cluster=top["cluster"],
            timezone=top["timezone"],
            currency=top["currency"],
            ledger=parts["ledger"]["path"],
            spool=parts["spool"]["path"],
            sacct=accounting["command"],
            accounting_interval_seconds=accounting["interval_seconds"],
            accounting_timeout_seconds=accounting["timeout_seconds"],
            accounting_overlap_seconds=accounting["overlap_seconds"],
            accounting_slice_hours=accounting["slice_hours"],
            sacctmgr=accounting["sacctmgr"],
            accounting_look_back_days=accounting["look_back_days"],
            scontrol=controller["command"],
            squeue=controller["squeue"],
            controller_enabled=controller["enabled"],
            controller_interval_seconds=controller["interval_seconds"],
            controller_timeout_seconds=controller["timeout_seconds"],
            slurmd=parts["slurmd"]["command"],
            slurm_conf=parts["slurmd"]["slurm_conf"],
            nvml_enabled=nvml["enabled"],
            nvml_interval_seconds=nvml["interval_seconds"],
            idle_threshold_percent=parts["findings"]["idle_threshold_percent"],
            idle_minimum_minutes=parts["findings"]["idle_minimum_minutes"],
            collector=collector_of(parts["collector"]),
            access=access_of(parts["access"]),
            pause_minutes=parts["node"]["pause_minutes"],
            clusters=clusters,
            pools=pools,
            billing=billing,
            free=free,
            classes=classes,
            accounts=accounts,
            portal=portal,
        )

    def pool(self, name: str, data: dict[str, Any], zone: ZoneInfo) -> Pool:
        prefix = f"pools.{name}."
        also = ("yearly_costs", "skus", "assets", "interest", "costs", "tariff", "meter", "shares", "tres")
        values = self.read(data, (*POOL, *POOL_NODES, *POOL_ENERGY), prefix, also)
        skus = tuple(
            self.sku(sku, self.table(table, f"{prefix}skus.{sku}"), f"{prefix}skus.{sku}.")
            for sku, table in self.table(data.get("skus", {}), f"{prefix}skus").items()
        )
        if not skus:
            self.fault(f"{prefix}skus", f"is missing: at least one [{prefix}skus.SKU] is needed")
        values.setdefault("timezone", zone)
        carrier = values.get("idle_cost", INSTITUTION)
        if carrier not in CARRIERS:
            self.fault(f"{prefix}idle_cost", f"'{carrier}' carries no idle cost; write {told()}")
        if carrier == OWNERS and not data.get("shares"):
            self.fault(f"{prefix}idle_cost", f"'{OWNERS}' carry none: there are no [[{prefix}shares]]")
        meters = tuple(meters_of(self, prefix, data))
        energy = energy_of(self, prefix, values)
        costs = costs_of(self, name, values, data, skus)
        nodes = nodes_of(self, prefix, values.get("nodes"), zone)
        tres = tres_of(self, prefix, data, energy.parts)
        return Pool(name, values["timezone"], skus, costs, energy, carrier, meters, nodes, tres)

    def sku(self, name: str, data: dict[str, Any], prefix: str) -> Sku:
        values: dict[str, Any] = self.read(data, (*SKU, *SKU_ENERGY, *BLOCKED), prefix)
        values.setdefault("gres_types", (name,))
        price = values.get("purchase_price")
        if price is not None and values.get("residual_value", 0) > price:
            self.fault(f"{prefix}residual_value", "is above purchase_price")
        values.setdefault("load_factor", Fraction(1))
        values["devices"], later = devices_of(self, prefix, values)
        complete: dict[str, Any] = {s.key: values.get(s.key) for s in (*SKU, *SKU_ENERGY)}
        return Sku(name=name, **complete, blocking=blocking_of(self, values, prefix, later), later_devices=later)
