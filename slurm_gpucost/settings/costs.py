"""From a pool's tables to all that it costs: the simple keys of its SKUs, the asset register, further costs, a CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from slurm_gpucost.costing import items as cost_items
from slurm_gpucost.costing import register
from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.capital import Addition, Asset
from slurm_gpucost.costing.item_files import items_of_csv
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.pools import Devices, PoolCosts, Source, weight
from slurm_gpucost.costing.register import Capital
from slurm_gpucost.costing.tariff import Tariff, Version
from slurm_gpucost.costing.tariff import faults as tariff_faults
from slurm_gpucost.settings.catalogue import ADDITION, ASSET, BAND, COST, TARIFF, Setting, number, tables
from slurm_gpucost.settings.model import Sku

NIL = Fraction(0)
_ASSET = re.compile(r"\bassets\.(\d+)")
"""An asset, as the faults of a register number them."""
SPLITS = ("count", "price", "power")


class Reader(Protocol):
    """Reads tables, and collects faults by key."""

    path: Path

    def fault(self, key: str, what: str) -> None:
        """Note a fault."""

    def table(self, data: Any, key: str) -> dict[str, Any]:
        """A table, or a fault."""

    def read(
        self, data: dict[str, Any], catalogue_: tuple[Setting, ...], prefix: str, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The values of a table."""


def costs_of(
    reader: Reader, name: str, values: dict[str, Any], data: dict[str, Any], skus: tuple[Sku, ...]
) -> PoolCosts:
    """All that a pool costs. What is wrong becomes faults of the reader; then the result is not to be used."""
    prefix = f"pools.{name}."
    month = values.get("fiscal_month", 1)
    sources: dict[str, tuple[Source, ...]] = {}
    simple = [(f"skus.{sku.name}", asset) for sku in skus for asset in _simple(reader, name, sku, month, sources)]
    listed = [*simple, *_assets(reader, name, data.get("assets", []), month, sources)]
    capital = Capital(tuple(asset for _, asset in listed), values.get("basis") or "", values.get("recovery_rate"))
    places = [place for place, _ in listed]
    for fault in register.faults(capital):
        key, sentence = (_ASSET.sub(lambda found: places[int(found[1])], text) for text in fault)
        reader.fault(prefix + key, sentence)
    items = [*_yearly(reader, prefix, data, month, sources), *_costs(reader, prefix, data, month, sources)]
    items += _from_file(reader, prefix, values.get("costs_file"), name, month, sources)
    devices = tuple(Devices(sku.name, sku.devices or 1, sku.nameplate_watts or NIL) for sku in skus)
    costs = PoolCosts(
        name, devices, capital, tuple(items), values.get("pue", NIL), _tariff(reader, prefix, values, data, sources),
        values["timezone"], values.get("planned_utilization", NIL), values.get("split_by", "count"),
        values.get("split_decimals"), month, sources,
    )  # fmt: skip
    _check(reader, prefix, costs, skus)
    return costs


def _simple(reader: Reader, pool: str, sku: Sku, month: int, sources: dict[str, tuple[Source, ...]]) -> Iterator[Asset]:
    """The SKU's own keys as an asset: all its devices, bought on one day."""
    if sku.purchase_price is None or sku.purchase_date is None or not sku.devices or not sku.life_years:
        if (sku.purchase_price is None) != (sku.purchase_date is None):
            missing = "purchase_date" if sku.purchase_date is None else "purchase_price"
            reader.fault(f"pools.{pool}.skus.{sku.name}.{missing}", "is missing: give both, or list its assets")
        return
    keys = ("devices", "purchase_price", "residual_value", "life_years", "purchase_date")
    sources[f"asset:{sku.name}"] = tuple(Source(f"pools.{pool}.skus.{sku.name}.{key}") for key in keys)
    residual = min(sku.residual_value or NIL, sku.purchase_price)  # above it is a fault that is named already
    yield Asset(
        sku.name, pool, sku.name, sku.devices, sku.devices * sku.purchase_price, sku.purchase_date, sku.life_years,
        sku.devices * residual, convention="monthly", fiscal_month=month,
    )  # fmt: skip


def _assets(
    reader: Reader, pool: str, said: Any, month: int, sources: dict[str, tuple[Source, ...]]
) -> Iterator[tuple[str, Asset]]:
    """(its key in the pool, the asset). What cannot be read is a fault, and has a harmless value after that."""
    for n, data in enumerate(_list(reader, f"pools.{pool}.assets", said)):
        prefix = f"pools.{pool}.assets.{n}."
        values = reader.read(data, ASSET, prefix)
        additions = [
            reader.read(one, ADDITION, f"{prefix}additions.{i}.") for i, one in enumerate(values.get("additions", ()))
        ]
        if not {"tag", "price", "in_service"} <= values.keys():
            continue
        values.setdefault("life_years", Fraction(1))
        values["additions"] = tuple(Addition(**one) for one in additions if len(one) == len(ADDITION))
        sources[f"asset:{values['tag']}"] = (Source(f"{prefix}price ({values['tag']})"),)
        yield f"assets.{n}", Asset(pool=pool, fiscal_month=month, **values)


def _yearly(
    reader: Reader, prefix: str, data: dict[str, Any], month: int, sources: dict[str, tuple[Source, ...]]
) -> Iterator[CostItem]:
    for name, amount in reader.table(data.get("yearly_costs", {}), f"{prefix}yearly_costs").items():
        key = f"{prefix}yearly_costs.{name}"
        try:
            exact = number(amount, low=Decimal(0))
        except ValueError as error:
            reader.fault(key, str(error))
        else:
            sources[f"item:{name}"] = (Source(key),)
            yield CostItem(name, "other", exact, "year", fiscal_month=month)


def _costs(
    reader: Reader, prefix: str, data: dict[str, Any], month: int, sources: dict[str, tuple[Source, ...]]
) -> Iterator[CostItem]:
    for n, one in enumerate(_list(reader, f"{prefix}costs", data.get("costs", []))):
        key = f"{prefix}costs.{n}"
        values = reader.read(one, COST, f"{key}.")
        if not {"name", "kind", "amount", "per"} <= values.keys():
            continue
        item = CostItem(from_=values.pop("from", None), fiscal_month=month, **values)
        wrong = list(cost_items.faults(item))
        for part, sentence in wrong:
            reader.fault(f"{key}.{part}", sentence)
        if not wrong:
            sources[f"item:{item.name}"] = (Source(f"{key}.amount"),)
            yield item


def _from_file(
    reader: Reader, prefix: str, name: str | None, pool: str, month: int, sources: dict[str, tuple[Source, ...]]
) -> Iterator[CostItem]:
    """The lines of a CSV that name this pool, or none."""
    if name is None:
        return
    path = reader.path.parent / name
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        reader.fault(f"{prefix}costs_file", f"{path}: cannot be read ({why})")
        return
    items, wrong = items_of_csv(text, month)
    for key, sentence in wrong:
        reader.fault(f"{prefix}costs_file", f"{path}: {key}: {sentence}")
    for item in items:
        if item.pool in ("", pool):
            sources[f"item:{item.name}"] = (Source(item.source, str(path)),)
            yield item


def _tariff(
    reader: Reader, prefix: str, values: dict[str, Any], data: dict[str, Any], sources: dict[str, tuple[Source, ...]]
) -> Tariff:
    """The versions of [[pools.NAME.tariff]]; without them one price, always."""
    said = _list(reader, f"{prefix}tariff", data.get("tariff", []))
    if not said:
        sources["tariff"] = (Source(f"{prefix}tariff_per_kwh"),)
        return Tariff((Version(date.min, (Band(values.get("tariff_per_kwh", NIL)),)),))
    sources["tariff"] = (Source(f"{prefix}tariff"),)
    versions: list[Version] = []
    for n, one in enumerate(said):
        key = f"{prefix}tariff.{n}."
        version = reader.read(one, TARIFF, key)
        bands = [reader.read(band, BAND, f"{key}bands.{i}.") for i, band in enumerate(version.get("bands", ()))]
        if "since" in version and all("price" in band for band in bands):
            versions.append(Version(version["since"], tuple(Band(**band) for band in bands)))
    found = Tariff(tuple(versions), frozenset(values.get("tariff_holidays", ())))
    if len(versions) == len(said):  # else what is wrong with it is said already
        for part, sentence in tariff_faults(found):
            reader.fault(f"{prefix}tariff.{part.removeprefix('versions.').replace('.from', '.since')}", sentence)
    return found


def _check(reader: Reader, prefix: str, costs: PoolCosts, skus: tuple[Sku, ...]) -> None:
    """Every SKU has a price, every asset a SKU, every name stands once, every key can split."""
    bought = {asset.sku for asset in costs.capital.assets}
    for sku in skus:
        if sku.name not in bought and sku.purchase_price is None and sku.purchase_date is None:
            reader.fault(f"{prefix}skus.{sku.name}.purchase_price", f"is missing: give it, or list [[{prefix}assets]]")
    names = {sku.name for sku in skus}
    for unknown in sorted(bought - names - {""}):
        reader.fault(f"{prefix}assets", f"'{unknown}' is no SKU of the pool; there are {', '.join(sorted(names))}")
    seen: set[str] = set()
    for item in costs.items:
        if item.name in seen:
            reader.fault(f"{prefix}costs", f"'{item.name}' stands twice; give each cost a name of its own")
        seen.add(item.name)
    for key, where in {costs.key: "split_by", **{item.key: "costs" for item in costs.items if item.key}}.items():
        if key not in SPLITS:
            reader.fault(f"{prefix}{where}", f"'{key}' cannot split costs among SKUs; write {', '.join(SPLITS)}")
        elif skus and not any(weight(costs, one, key) for one in costs.devices):
            reader.fault(f"{prefix}{where}", f"by {key} the SKUs weigh nothing; split by count")


def _list(reader: Reader, key: str, said: Any) -> tuple[dict[str, Any], ...]:
    try:
        return tables(said)
    except ValueError:
        reader.fault(key, f"must be tables, each written [[{key}]]")
        return ()
