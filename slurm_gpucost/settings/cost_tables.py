"""A pool's tables as cost items: the simple keys of its SKUs, the asset register, further costs, a CSV, the tariff.

What cannot be read is a fault of the reader, and is left out or has a harmless value after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from slurm_gpucost.costing import items as cost_items
from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.capital import Addition, Asset
from slurm_gpucost.costing.interest import Interest
from slurm_gpucost.costing.item_files import items_of_csv
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.pools import Source
from slurm_gpucost.costing.tariff import Tariff, Version
from slurm_gpucost.costing.tariff import faults as tariff_faults
from slurm_gpucost.settings.catalogue import ADDITION, ASSET, BAND, COST, DEVICES, INTEREST, PUE, TARIFF
from slurm_gpucost.settings.kinds import Setting, number, tables
from slurm_gpucost.settings.model import Sku

NIL = Fraction(0)
Sources = dict[str, tuple[Source, ...]]
"""Where each asset, item, interest and the tariff stands; filled while they are read."""


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


def simple_assets(reader: Reader, pool: str, sku: Sku, month: int, sources: Sources) -> Iterator[Asset]:
    """The SKU's own keys as an asset: all its devices, bought on one day."""
    if sku.purchase_price is None or sku.purchase_date is None or not sku.devices or not sku.life_years:
        if (sku.purchase_price is None) != (sku.purchase_date is None):
            missing = "purchase_date" if sku.purchase_date is None else "purchase_price"
            reader.fault(f"pools.{pool}.skus.{sku.name}.{missing}", "is missing: give both, or list its assets")
        elif sku.purchase_price is None and sku.owner:
            why = f"changes nothing without purchase_price: write it at [[pools.{pool}.assets]]"
            reader.fault(f"pools.{pool}.skus.{sku.name}.owner", why)
        return
    keys = ["devices", "purchase_price", "residual_value", "life_years", "purchase_date"]
    keys += ["owner"] if sku.owner else []
    sources[f"asset:{sku.name}"] = tuple(Source(f"pools.{pool}.skus.{sku.name}.{key}") for key in keys)
    residual = min(sku.residual_value or NIL, sku.purchase_price)  # above it is a fault that is named already
    yield Asset(
        sku.name, pool, sku.name, sku.devices, sku.devices * sku.purchase_price, sku.purchase_date, sku.life_years,
        sku.devices * residual, convention="monthly", fiscal_month=month, owner=sku.owner or "",
    )  # fmt: skip


def assets_of(reader: Reader, pool: str, said: Any, month: int, sources: Sources) -> Iterator[tuple[str, Asset]]:
    """(its key in the pool, the asset). What cannot be read is a fault, and has a harmless value after that."""
    for n, data in enumerate(list_of_tables(reader, f"pools.{pool}.assets", said)):
        prefix = f"pools.{pool}.assets.{n}."
        values = reader.read(data, ASSET, prefix)
        additions = [
            reader.read(one, ADDITION, f"{prefix}additions.{i}.") for i, one in enumerate(values.get("additions", ()))
        ]
        if not {"tag", "price", "in_service"} <= values.keys():
            continue
        values.setdefault("life_years", Fraction(1))
        values["additions"] = tuple(Addition(**one) for one in additions if len(one) == len(ADDITION))
        named = [key for key in data if key not in ("tag", "sku", "quantity", "price", "funding")]
        where = (f"price ({values['tag']})", *named)
        sources[f"asset:{values['tag']}"] = tuple(Source(f"{prefix}{key}") for key in where)
        yield f"assets.{n}", Asset(pool=pool, fiscal_month=month, **values)


def interest_of(reader: Reader, prefix: str, data: dict[str, Any], sources: Sources) -> Iterator[Interest]:
    """What lenders are paid: [[pools.NAME.interest]]."""
    for n, one in enumerate(list_of_tables(reader, f"{prefix}interest", data.get("interest", []))):
        values = reader.read(one, INTEREST, f"{prefix}interest.{n}.")
        if {"name", "amount", "from", "until"} <= values.keys():
            sources[f"interest:{values['name']}"] = (Source(f"{prefix}interest.{n}.amount"),)
            yield Interest(from_=values.pop("from"), **values)


def yearly_items(reader: Reader, prefix: str, data: dict[str, Any], month: int, sources: Sources) -> Iterator[CostItem]:
    """The amounts of [pools.NAME.yearly_costs]."""
    for name, amount in reader.table(data.get("yearly_costs", {}), f"{prefix}yearly_costs").items():
        key = f"{prefix}yearly_costs.{name}"
        try:
            exact = number(amount, low=Decimal(0))
        except ValueError as error:
            reader.fault(key, str(error))
        else:
            sources[f"item:{name}"] = (Source(key),)
            yield CostItem(name, "other", exact, "year", fiscal_month=month)


def items_of(
    reader: Reader, prefix: str, data: dict[str, Any], month: int, sources: Sources
) -> Iterator[tuple[CostItem, dict[str, Fraction] | None]]:
    """The costs of [[pools.NAME.costs]] without faults, each with percentages of its own or None."""
    for n, one in enumerate(list_of_tables(reader, f"{prefix}costs", data.get("costs", []))):
        key = f"{prefix}costs.{n}"
        values = reader.read(one, COST, f"{key}.")
        if not {"name", "kind", "amount", "per"} <= values.keys():
            continue
        fixed = values.pop("fixed", None)
        item = CostItem(from_=values.pop("from", None), fiscal_month=month, **values)
        wrong = list(cost_items.faults(item))
        for part, sentence in wrong:
            reader.fault(f"{key}.{part}", sentence)
        if not wrong:
            where = [part for part in one if part not in ("name", "kind", "amount")]
            sources[f"item:{item.name}"] = tuple(Source(f"{key}.{part}") for part in ("amount", *where))
            yield item, fixed


def items_of_file(
    reader: Reader, prefix: str, name: str | None, pool: str, month: int, sources: Sources
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


def tariff_of(reader: Reader, prefix: str, values: dict[str, Any], data: dict[str, Any], sources: Sources) -> Tariff:
    """The versions of [[pools.NAME.tariff]]; without them one price, always."""
    said = list_of_tables(reader, f"{prefix}tariff", data.get("tariff", []))
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


def pue_of(reader: Reader, prefix: str, said: Fraction | tuple[dict[str, Any], ...]) -> list[tuple[date, Fraction]]:
    """(from, PUE) in order; the first holds before its day, too."""
    if isinstance(said, Fraction):
        return [(date.min, said)]
    if not said:
        reader.fault(f"{prefix}pue", "names none; without a site's own figure, write pue = 1")
    return dated(reader, f"{prefix}pue", said, PUE) or [(date.min, Fraction(1))]


def devices_of(reader: Reader, prefix: str, values: dict[str, Any]) -> tuple[int | None, tuple[tuple[date, int], ...]]:
    """How many devices a SKU has first, and (first day, devices) later; None: that is at fault."""
    said, key = values.get("devices"), f"{prefix}devices"
    if not isinstance(said, tuple):
        return said, ()
    if not said:
        reader.fault(key, "names none; write how many there are")
    found = dated(reader, key, said, DEVICES)
    if values.get("purchase_price") is not None and len(found) > 1:
        bought = f"[[{prefix.rpartition('skus.')[0]}assets]]"
        reader.fault(f"{prefix}purchase_price", f"does not say when which devices were bought: list {bought} instead")
    return (found[0][1], tuple(found[1:])) if found else (None, ())


def dated(
    reader: Reader, key: str, said: tuple[dict[str, Any], ...], settings: tuple[Setting, ...]
) -> list[tuple[date, Any]]:
    """(first day, value) of tables with ``since`` and one key more, in order. What is wrong becomes faults; then []."""
    read = [reader.read(one, settings, f"{key}.{n}.") for n, one in enumerate(said)]
    if any(len(one) < len(settings) for one in read):
        return []
    found = [(one.pop("since"), *one.values()) for one in read]
    for n, ((before, _), (after, _)) in enumerate(pairwise(found), 1):
        if after <= before:
            reader.fault(f"{key}.{n}.since", f"{after} is not after {before}, from which the one before holds")
    return found


def list_of_tables(reader: Reader, key: str, said: Any) -> tuple[dict[str, Any], ...]:
    """A list of tables; what is none is a fault."""
    try:
        return tables(said)
    except ValueError:
        reader.fault(key, f"must be tables, each written [[{key}]]")
        return ()
