"""All that a pool costs, from wherever the config names it, and everything that is wrong with it."""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing import register
from slurm_gpucost.costing.pools import DENOMINATORS, Devices, PoolCosts, weight
from slurm_gpucost.costing.register import Capital
from slurm_gpucost.costing.split import KEYS
from slurm_gpucost.costing.split import faults as split_faults
from slurm_gpucost.settings.cost_tables import (
    NIL,
    Reader,
    Sources,
    assets_of,
    interest_of,
    items_of,
    items_of_file,
    pue_of,
    simple_assets,
    tariff_of,
    yearly_items,
)
from slurm_gpucost.settings.model import Sku
from slurm_gpucost.settings.shares import shares_of

_MISSING = {"fixed": "give split_fixed, or fixed of that cost", "hours": "give the SKUs' budgeted_hours"}
_ASSET = re.compile(r"\bassets\.(\d+)")
"""An asset, as the faults of a register number them."""


def costs_of(
    reader: Reader, name: str, values: dict[str, Any], data: dict[str, Any], skus: tuple[Sku, ...]
) -> PoolCosts:
    """All that a pool costs. What is wrong becomes faults of the reader; then the result is not to be used."""
    prefix = f"pools.{name}."
    month = values.get("fiscal_month", 1)
    sources: Sources = {}
    simple = [(f"skus.{sku.name}", asset) for sku in skus for asset in simple_assets(reader, name, sku, month, sources)]
    listed = [*simple, *assets_of(reader, name, data.get("assets", []), month, sources)]
    paid = tuple(interest_of(reader, prefix, data, sources))
    capital = Capital(tuple(asset for _, asset in listed), values.get("basis") or "", values.get("recovery_rate"), paid)
    places = [place for place, _ in listed]
    for fault in register.faults(capital):
        key, sentence = (_ASSET.sub(lambda found: places[int(found[1])], text) for text in fault)
        reader.fault(prefix + key, sentence)
    listed_items = list(items_of(reader, prefix, data, month, sources))
    items = [*yearly_items(reader, prefix, data, month, sources), *(item for item, _ in listed_items)]
    fixed = {item.name: parts for item, parts in listed_items if parts is not None}
    if values.get("split_fixed") is not None:
        fixed[""] = values["split_fixed"]
    items += items_of_file(reader, prefix, values.get("costs_file"), name, month, sources)
    devices = tuple(
        Devices(sku.name, sku.devices or 1, sku.nameplate_watts or NIL, sku.budgeted_hours, sku.later_devices)
        for sku in skus
    )
    tariff = tariff_of(reader, prefix, values, data, sources)
    (_, pue), *later = pue_of(reader, prefix, values.get("pue", Fraction(1)))
    costs = PoolCosts(
        pool=name,
        devices=devices,
        capital=capital,
        items=tuple(items),
        pue=pue,
        later_pue=tuple(later),
        tariff=tariff,
        zone=values["timezone"],
        planned_utilization=values.get("planned_utilization", NIL),
        denominator=values.get("denominator", "planned"),
        key=values.get("split_by", "count"),
        decimals=values.get("split_decimals"),
        fixed=fixed,
        fiscal_month=month,
        rate_parts=values.get("rate_parts", 1),
        shares=shares_of(reader, name, data, skus, tariff.versions[0].since if tariff.versions else date.min, sources),
        sources=sources,
    )
    _check(reader, prefix, costs, skus)
    return costs


def _check(reader: Reader, prefix: str, costs: PoolCosts, skus: tuple[Sku, ...]) -> None:
    """Every SKU has a price, every asset a SKU, every name stands once, every key can split."""
    bought = {asset.sku for asset in costs.capital.assets}
    if costs.denominator not in DENOMINATORS:
        reader.fault(f"{prefix}denominator", f"'{costs.denominator}' is none; write {', '.join(DENOMINATORS)}")
    if costs.denominator == "budgeted":
        for sku in skus:
            if sku.budgeted_hours is None:
                reader.fault(f"{prefix}skus.{sku.name}.budgeted_hours", "is missing: the denominator is budgeted hours")
    for sku in skus:
        if sku.name not in bought and sku.purchase_price is None and sku.purchase_date is None:
            reader.fault(f"{prefix}skus.{sku.name}.purchase_price", f"is missing: give it, or list [[{prefix}assets]]")
    names = {sku.name for sku in skus}
    for unknown in sorted(bought - names - {""}):
        reader.fault(f"{prefix}assets", f"'{unknown}' is no SKU of the pool; there are {', '.join(sorted(names))}")
    seen: set[str] = set()
    for one in costs.items:
        if one.name in seen:
            reader.fault(f"{prefix}costs", f"'{one.name}' stands twice; give each cost a name of its own")
        seen.add(one.name)
    for name, parts in costs.fixed.items():
        where = f"{prefix}costs ({name}): fixed" if name else f"{prefix}split_fixed"
        for unknown in sorted(parts.keys() - names):
            reader.fault(where, f"'{unknown}' is no SKU of the pool; there are {', '.join(sorted(names))}")
        for _, sentence in split_faults("fixed", parts):
            reader.fault(where, sentence)
    used = {(costs.key, ""): "split_by", **{(item.key, item.name): "costs" for item in costs.items if item.key}}
    for (key, item), where in used.items():
        if key not in KEYS:
            reader.fault(f"{prefix}{where}", f"'{key}' cannot split costs among SKUs; write one of {', '.join(KEYS)}")
        elif skus and not any(weight(costs, one, key, item) for one in costs.devices):
            reader.fault(f"{prefix}{where}", f"by {key} the SKUs weigh nothing; {_MISSING.get(key, 'split by count')}")
