"""What the devices of a pool cost in a time, part by part, each with its sources. Pure, exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing import items as cost_items
from slurm_gpucost.costing.capital import Asset, end_of_life
from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.costing.interest import interest
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.register import Capital, charge
from slurm_gpucost.costing.shares import Share
from slurm_gpucost.costing.spans import add_months, years_at
from slurm_gpucost.costing.split import KEYS, shares
from slurm_gpucost.costing.tariff import Tariff

DENOMINATORS = ("planned", "capacity", "budgeted")
"""All hours of a year x the planned utilization; all of them; those that the budget names."""


class Source(NamedTuple):
    """Where a number stands."""

    key: str
    file: str = ""
    """'': in the config."""


@dataclass(frozen=True)
class Devices:
    """The devices of one SKU."""

    sku: str
    count: int
    nameplate_watts: Fraction
    """Of one device with its share of the host."""
    budgeted_hours: Fraction | None = None
    """GPU-hours a year that the budget counts on, of all of them."""
    later: tuple[tuple[date, int], ...] = ()
    """Other counts, each from a local day on, in order; ``count`` is that of before."""

    @property
    def counts(self) -> Counts:
        """How many there are, and when."""
        return Counts(self.count, self.later)


@dataclass(frozen=True)
class PoolCosts:
    """All that a pool's devices cost, and how what they share is split among them."""

    pool: str
    devices: tuple[Devices, ...]
    capital: Capital
    items: tuple[CostItem, ...]
    pue: Fraction
    tariff: Tariff
    zone: ZoneInfo
    planned_utilization: Fraction
    denominator: str = "planned"
    """The hours that the cost is spread over: one of DENOMINATORS."""
    key: str = "count"
    """How shared costs are split that name no key of their own, see :mod:`slurm_gpucost.costing.split`."""
    decimals: int | None = None
    fixed: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    """Percentages by SKU, for the key ``fixed``: of a cost item by its name, of all others by ''."""
    fiscal_month: int = 1
    """The month in which a year begins."""
    rate_parts: int = 1
    """1: the price of an hour bears energy at rated power; 2: it bears none, for energy is billed as measured."""
    later_pue: tuple[tuple[date, Fraction], ...] = ()
    """PUEs that hold from a local day on, in order; ``pue`` holds until the first of them."""
    shares: tuple[Share, ...] = ()
    """The devices that accounts own."""
    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    """Of assets by ``asset:TAG``, of ``item:NAME`` and ``interest:NAME``, of the ``tariff``, and of a SKU's
    ``shares:SKU``."""

    def of(self, sku: str) -> Devices:
        """The devices of a SKU of this pool."""
        return next(one for one in self.devices if one.sku == sku)

    def on(self, day: date) -> PoolCosts:
        """The same as if there had always been as many devices as on a day."""
        if not any(one.later for one in self.devices):
            return self
        return replace(self, devices=tuple(replace(one, count=one.counts.on(day), later=()) for one in self.devices))

    def changes(self, start: date, end: date) -> list[tuple[date, date]]:
        """[start, end) cut at the days on which there are more or fewer devices."""
        days = sorted({since for one in self.devices for since, _ in one.later if start < since < end})
        return list(pairwise([start, *days, end]))


class Part(NamedTuple):
    """A part of what a SKU's devices cost in a time."""

    label: str
    formula: str
    amount: Fraction
    sources: tuple[Source, ...]
    by_months: bool
    """Every month bears the same, whatever its length; else every day of a year."""
    note: str = ""
    capital: bool = False
    """Depreciation, capital recovery or interest, which operating the devices does not cost."""


def yearly(costs: PoolCosts, sku: str, first_day: date) -> Iterator[Part]:
    """What a year costs at the pace of the month of ``first_day``, without energy, with the devices of that day.

    So no month of a life is dearer than another, and what ends with a month is not in the next one's pace. What a SKU
    was bought for as a whole counts before its date, too: its devices were there, for the config knows no other number.
    """

    def pace(part: Part, start: date, end: date) -> Part:
        span = years_between(start, end, costs.fiscal_month)
        return part._replace(amount=part.amount * 12 if part.by_months else part.amount / span)

    start, costs = first_day.replace(day=1), costs.on(first_day)
    for asset in costs.capital.assets:
        if asset.sku in ("", sku):
            begin = max(start, asset.in_service.replace(day=1)) if asset.tag == sku else start
            end = add_months(begin, 1)
            part = _of_asset(costs, asset, sku, begin, end)
            if begin > start:
                part = part._replace(
                    note=f"{start:%Y-%m} is before {asset.tag} was bought ({asset.in_service}); check that date"
                )
            yield pace(part, begin, end)
    for part in _of_items(costs, sku, start, add_months(start, 1)):
        yield pace(part, start, add_months(start, 1))


def parts(costs: PoolCosts, sku: str, start: date, end: date) -> Iterator[Part]:
    """What the devices of a SKU cost in [start, end), without energy; parts of 0 too. Additive over any split of it."""
    for first, last in costs.changes(start, end):
        now = costs.on(first)
        for asset in costs.capital.assets:
            if asset.sku in ("", sku):
                yield _of_asset(now, asset, sku, first, last)
        yield from _of_items(now, sku, first, last)


def _of_items(costs: PoolCosts, sku: str, start: date, end: date) -> Iterator[Part]:
    for paid in costs.capital.interest:
        share, how = _share(costs, sku, "")
        told = f"{number_text(paid.amount)} from {paid.from_} to {paid.until}" + (
            f" to {paid.lender}" if paid.lender else ""
        )
        where = costs.sources.get(f"interest:{paid.name}", ())
        amount = interest([paid], start, end) * share
        yield Part(f"Interest: {paid.name}", told + how, amount, where, by_months=False, capital=True)
    for item in costs.items:
        share, how = _share(costs, sku, item.key, item.name)
        where = costs.sources.get(f"item:{item.name}", ())
        told = f"{number_text(item.amount)} per {item.per}" if item.per != "once" else number_text(item.amount)
        if item.fte != 1 or item.share != 1:
            told += f" x {number_text(item.fte)} FTE x {number_text(item.share)}"
        amount = cost_items.cost(item, start, end) * share
        by_months = item.per == "month" or item.months is not None
        yield Part(item.name.capitalize(), told + how, amount, where, by_months)


def years_between(start: date, end: date, fiscal_month: int) -> Fraction:
    """Years from day to day: the days of a year weigh the same."""
    first, last = (years_at(Fraction(day.toordinal()), fiscal_month) for day in (start, end))
    return last - first


def _of_asset(costs: PoolCosts, asset: Asset, sku: str, start: date, end: date) -> Part:
    share, how = (Fraction(1), "") if asset.sku else _share(costs, sku, "")
    amount = charge(costs.capital, asset, start, end) * share
    over = end_of_life(asset)
    base = (
        f"({number_text(asset.price)} - {number_text(asset.residual)})" if asset.residual else number_text(asset.price)
    )
    told = f"{base} over {number_text(asset.life_years)} years from {asset.in_service}, {asset.convention}{how}"
    if asset.federal_share:
        told += f", less the federal share of {number_text(asset.federal_share)}"
    if asset.retired:
        told += f", retired {asset.retired}"
    if costs.capital.recovery_rate is not None:
        told += f", capital recovery at {number_text(costs.capital.recovery_rate)}"
    label = "Depreciation" if asset.tag == sku else f"Depreciation of {asset.tag}"
    note = ""
    if asset.owner:
        told = f"{number_text(asset.price)}, bought by {asset.owner}: no depreciation"
    elif start >= over:
        note = f"{asset.tag} is written off since {over}: the rate bears no depreciation of it any more"
    where = costs.sources.get(f"asset:{asset.tag}", ())
    return Part(label, told, amount, where, asset.convention == "monthly", note, capital=True)


def _share(costs: PoolCosts, sku: str, key: str, item: str = "") -> tuple[Fraction, str]:
    """(the SKU's part of what the pool shares, how it comes about)."""
    if len(costs.devices) == 1:
        return Fraction(1), ""
    key = key or costs.key
    found = shares({one.sku: weight(costs, one, key, item) for one in costs.devices}, costs.decimals)[sku]
    if key == "count" and costs.decimals is None:
        return found, f" x {costs.of(sku).count}/{sum(one.count for one in costs.devices)} devices"
    return found, f" x {number_text(found)} by {key}"


def weight(costs: PoolCosts, one: Devices, key: str, item: str = "") -> Fraction:
    """What a SKU's devices weigh by a key. ValueError for one that the config gives no numbers for."""
    if key == "count":
        return Fraction(one.count)
    if key == "price":
        return sum((asset.price for asset in costs.capital.assets if asset.sku == one.sku), Fraction(0))
    if key == "power":
        return one.count * one.nameplate_watts
    if key == "hours":
        return one.budgeted_hours or Fraction(0)
    if key == "fixed":
        return costs.fixed.get(item, costs.fixed.get("", {})).get(one.sku, Fraction(0))
    raise ValueError(f"'{key}' cannot split costs among SKUs; write one of {', '.join(KEYS)}")
