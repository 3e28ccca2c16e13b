"""What of the config a pool's rates rest on, key by key as the file would say it: frozen with what is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.accounts import AccountClass, Told
from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.capital import Asset
from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.costing.interest import Interest
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.periods import iso
from slurm_gpucost.costing.shares import Share
from slurm_gpucost.costing.tariff import Tariff, Version
from slurm_gpucost.costing.tres import Prices
from slurm_gpucost.domain.units import OPEN_END_MS
from slurm_gpucost.settings.blocked import BLOCKED
from slurm_gpucost.settings.catalogue import SKU
from slurm_gpucost.settings.model import Allotment, Billing, Pool
from slurm_gpucost.settings.template import toml


def inputs_of(pool: Pool) -> dict[str, str]:
    """Key -> TOML text; assets and further costs by tag and name, for their places in a list or a file may change."""
    prefix, costs = f"pools.{pool.name}", pool.costs
    own: dict[str, Any] = {
        "timezone": pool.timezone.key,
        "pue": costs.pue,
        **{f"pue.{since}": pue for since, pue in costs.later_pue},
        **_tariff(costs.tariff),
        "tariff_holidays": " ".join(sorted(map(str, costs.tariff.holidays))),
        "planned_utilization": costs.planned_utilization,
        "denominator": costs.denominator,
        "split_by": costs.key,
        "split_decimals": costs.decimals,
        **{f"fixed.{item}" if item else "split_fixed": _parts(parts) for item, parts in costs.fixed.items()},
        "basis": costs.capital.basis,
        "recovery_rate": costs.capital.recovery_rate,
    }
    if pool.energy.parts == 2:
        own |= _energy(pool)
    if pool.tres:
        own |= _tres(pool.tres)
    found = {f"{prefix}.{key}": value for key, value in own.items()}
    for sku in pool.skus:
        found |= {f"{prefix}.skus.{sku.name}.{setting.key}": getattr(sku, setting.key) for setting in SKU}
        found |= {f"{prefix}.skus.{sku.name}.devices.{since}": count for since, count in sku.later_devices}
    simple = {sku.name for sku in pool.skus if sku.purchase_price is not None}
    for asset in costs.capital.assets:
        if asset.tag not in simple:
            found |= _fields(f"{prefix}.assets.{asset.tag}", asset)
    for item in costs.items:
        found |= _fields(f"{prefix}.costs.{item.name}", item)
    for share in costs.shares:
        found[f"{prefix}.shares.{share.sku}.{share.account}.{share.from_}"] = _share(share)
    for paid in costs.capital.interest:
        found |= _fields(f"{prefix}.interest.{paid.name}", paid)
    return {key: _text(value) for key, value in found.items() if value not in (None, "", ())}


def billing_inputs(billing: Billing) -> dict[str, str]:
    """The rules of billing and who pays for reservations, as key -> text; each has its number, for order counts."""
    found: dict[str, Any] = {}
    for row, rule in enumerate(billing.rules, 1):
        match = {**rule.match, "shorter_than_seconds": rule.shorter_than_seconds, "factor": rule.factor}
        told = (f"{column} {_plain(value)}" for column, value in match.items() if value is not None)
        found[f"rules.{row}"] = f"{rule.name}: {', '.join(told)}"
    rounding = billing.rounding
    if rounding.per:
        found["billing.rounding"] = f"{rounding.per}, step {rounding.step_ms} ms, minimum {rounding.minimum_ms} ms"
    for n, out in enumerate(billing.outages, 1):
        until = "" if out.until_ms == OPEN_END_MS else f" to {_utc(out.until_ms)}"
        found[f"outages.{n}"] = f"{_utc(out.from_ms)}{until}: {' '.join(out.nodes)}; {out.reason}"
    if billing.bill_reservations:
        found["billing.bill_reservations"] = "true"
        for n, one in enumerate(billing.payers, 1):
            whole = "" if one.whole_nodes is None else f", whole_nodes {str(one.whole_nodes).lower()}"
            found[f"reservations.{n}"] = f"{one.name}: account {one.account}{whole}"
    return found


def free_inputs(allotments: Iterable[Allotment]) -> dict[str, str]:
    """The free allotments as key -> text, each under its number, from 1: their order counts."""
    return {
        f"free.{n}": f"{one.free.name}: {number_text(one.free.quantity)} {one.free.unit} per {one.free.per}, "
        f"{one.free.order}; "
        f"skus {' '.join(one.free.skus) or 'all'}; accounts {' '.join(one.accounts) or 'all'}; funder {one.funder}"
        for n, one in enumerate(allotments, 1)
    }


def blocked_inputs(pools: Iterable[Pool]) -> dict[str, str]:
    """What blocks GPUs, as key -> text."""
    return {
        f"pools.{pool.name}.skus.{sku.name}.{setting.key}": _text(value)
        for pool in pools
        for sku in pool.skus
        for setting in BLOCKED
        if (value := getattr(sku.blocking, setting.key.removeprefix("blocked_")))
    }


def node_inputs(pools: Iterable[Pool]) -> dict[str, str]:
    """The nodes that pools name, as key -> text."""
    return {
        f"pools.{pool.name}.nodes": "; ".join(
            f"from {_utc(one.from_ms)}: {nodes}" if one.from_ms else nodes
            for one in pool.nodes
            for nodes in [" ".join(sorted(one.nodes)) or "none"]
        )
        for pool in pools
        if pool.nodes
    }


def account_inputs(classes: Mapping[str, AccountClass], accounts: Iterable[Told]) -> dict[str, str]:
    """Rate classes and what is said of accounts as key -> text; an account by name, for its place may change."""
    found = {f"classes.{name}": ", ".join(f"{key} {_said(value)}" for key, value in one._asdict().items()
             if key != "name" and value != "") for name, one in classes.items()}  # fmt: skip
    for one in accounts:
        key = ".".join(filter(None, ("accounts", one.cluster, one.account)))
        since = f"from {_utc(one.from_ms)}" if one.from_ms else "always"
        told = f"{since}: {', '.join(f'{field} {_said(value)}' for field, value in one.values.items())}"
        found[key] = f"{found[key]}; {told}" if key in found else told
    return found


def _said(value: str | bool | Fraction) -> str:
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else number_text(value)


def energy_inputs(pools: Iterable[Pool]) -> dict[str, str]:
    """The electricity bills, and what is assumed of energy, as key -> text."""
    found: dict[str, Any] = {}
    for pool in pools:
        prefix = f"pools.{pool.name}"
        for one in pool.meters:
            found[f"{prefix}.meter.{one.month}"] = f"{number_text(one.kwh)} kWh, {number_text(one.amount)}"
        found |= {f"{prefix}.{key}": value for key, value in _energy(pool).items()}
    return {key: _text(value) if isinstance(value, Fraction | int) else value for key, value in found.items()}


def _energy(pool: Pool) -> dict[str, Any]:
    """What says more than the defaults."""
    energy = pool.energy
    first, *later = energy.emission or (None,)
    own = {
        "rate_parts": energy.parts if energy.parts > 1 else None,
        "host_watts_per_gpu": energy.host_watts_per_gpu or None,
        "emission_grams_per_kwh": first and first.grams,
        **{f"emission_grams_per_kwh.{_utc(one.since_ms)}": one.grams for one in later if one},
        **{f"skus.{sku.name}.load_factor": sku.load_factor for sku in pool.skus if sku.load_factor != 1},
    }
    return {key: value for key, value in own.items() if value is not None}


def _tres(prices: Prices) -> dict[str, Any]:
    groups = {
        f"tres.groups.{n}.{name}": price for n, group in enumerate(prices.groups) for name, price in group.items()
    }
    beside = {f"tres.beside.{name}": price for name, price in prices.beside.items()}
    rest = {"tres.combine": prices.combine, "tres.truncate": prices.truncate, "tres.unit_price": prices.unit_price}
    return groups | beside | rest


def _plain(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else number_text(Fraction(value))


def _utc(ms: int) -> str:
    return iso(ms, ZoneInfo("UTC"))


def _share(share: Share) -> str:
    until = f", until {share.until}" if share.until else ""
    others = f"; accounts {' '.join(share.accounts)}" if share.accounts else ""
    told = f"{number_text(share.devices)} devices{until}, guests pay owner {number_text(share.guests_pay_owner)}"
    return told + others


def _fields(prefix: str, one: Asset | CostItem | Interest) -> dict[str, Any]:
    names = [field.name for field in fields(one) if field.name != "source"]  # a line of a CSV that moved is no change
    return {f"{prefix}.{name.rstrip('_')}": getattr(one, name) for name in names}


def _parts(parts: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{sku} {number_text(part)} %" for sku, part in sorted(parts.items()))


def _tariff(tariff: Tariff) -> dict[str, Any]:
    first = tariff.versions[0]
    if tariff.versions == (Version(date.min, (Band(first.bands[0].price),)),):
        return {"tariff_per_kwh": first.bands[0].price}
    return {"tariff": "; ".join(map(_version, tariff.versions))}


def _version(version: Version) -> str:
    bands = (
        f"{number_text(band.price)} {' '.join(band.hours)} {' '.join(band.days)} {' '.join(band.seasons)}"
        for band in version.bands
    )
    return f"from {version.since}: {', '.join(bands)}"


def _text(value: Any) -> str:
    if isinstance(value, tuple) and not all(isinstance(one, str) for one in value):
        return str(value)
    return toml(value) if isinstance(value, (str, int, Fraction, date, tuple)) else str(value)
