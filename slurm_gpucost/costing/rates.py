"""What an hour of a device costs, and why: cost items -> annual cost -> rate, each step with its sources. Pure.

    rate = annual cost / (annual capacity x planned utilization)

A year has 8760 hours here, always, so February is not dearer than March.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from slurm_gpucost.domain.units import to_decimal

HOURS_PER_YEAR = 8760
POSTED_DECIMALS = 4


@dataclass(frozen=True)
class Asset:
    """The devices of one SKU. Amounts in the currency, for one device."""

    sku: str
    devices: int
    purchase_price: Fraction
    purchase_date: date
    life_years: Fraction
    residual_value: Fraction
    nameplate_watts: Fraction


@dataclass(frozen=True)
class PoolCosts:
    """What the devices of a pool share."""

    pool: str
    pue: Fraction
    tariff_per_kwh: Fraction
    planned_utilization: Fraction
    yearly_costs: Sequence[tuple[str, Fraction]]
    pool_devices: int
    """Devices of all SKUs of the pool: the key by which yearly costs are shared."""


@dataclass(frozen=True)
class Step:
    """One line of a derivation. ``sources`` are keys of the config."""

    label: str
    formula: str
    value: Fraction
    unit: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derivation:
    """How a SKU's rate comes about, line by line; ``posted`` is rounded once, here."""

    pool: str
    sku: str
    steps: tuple[Step, ...]
    annual_cost: Fraction
    rate: Fraction
    posted: Decimal
    notes: tuple[str, ...] = ()


def end_of_life(asset: Asset) -> date:
    """The first day that bears no depreciation: whole months after the purchase date, then days of a 30th month."""
    months = asset.life_years * 12
    whole, part = divmod(months, 1)
    year, month0 = divmod(asset.purchase_date.year * 12 + asset.purchase_date.month - 1 + int(whole), 12)
    day = min(asset.purchase_date.day, 28) + int(part * 30)
    day, extra = (day, 0) if day <= 28 else (day - 28, 1)
    year, month0 = divmod(year * 12 + month0 + extra, 12)
    return date(min(year, 9999), month0 + 1, day)


def derive(asset: Asset, costs: PoolCosts, first_day: date, currency: str) -> Derivation:
    """The rate of ``asset`` for a period that begins on ``first_day``."""
    pool, sku = f"pools.{costs.pool}", f"pools.{costs.pool}.skus.{asset.sku}"
    notes: list[str] = []
    year = f"{currency}/year"
    over = end_of_life(asset)
    if first_day >= over:
        depreciation = Fraction(0)
        formula = f"nothing: written off since {over}"
        notes.append(f"{asset.sku} is written off since {over}: its rate bears no depreciation any more")
    else:
        depreciation = asset.devices * (asset.purchase_price - asset.residual_value) / asset.life_years
        formula = "devices x (purchase_price - residual_value) / life_years"
    if first_day < asset.purchase_date:
        notes.append(f"the period begins before {sku}.purchase_date ({asset.purchase_date}); check that date")
    energy_kwh = asset.devices * asset.nameplate_watts * HOURS_PER_YEAR / 1000 * costs.pue
    energy = energy_kwh * costs.tariff_per_kwh
    steps = [
        Step("Devices", "devices", Fraction(asset.devices), "devices", (f"{sku}.devices",)),
        Step(
            "Depreciation",
            formula,
            depreciation,
            year,
            tuple(f"{sku}.{k}" for k in ("devices", "purchase_price", "residual_value", "life_years", "purchase_date")),
        ),
        Step(
            "Energy drawn",
            f"devices x nameplate_watts / 1000 x {HOURS_PER_YEAR} h x pue",
            energy_kwh,
            "kWh/year",
            (f"{sku}.devices", f"{sku}.nameplate_watts", f"{pool}.pue"),
        ),
        Step("Energy", "energy drawn x tariff_per_kwh", energy, year, (f"{pool}.tariff_per_kwh",)),
    ]
    annual = depreciation + energy
    share = Fraction(asset.devices, costs.pool_devices)
    for name, amount in costs.yearly_costs:
        part = amount * share
        shared = "" if share == 1 else f" x {asset.devices}/{costs.pool_devices} devices"
        steps.append(Step(name.capitalize(), f"{name}{shared}", part, year, (f"{pool}.yearly_costs.{name}",)))
        annual += part
    capacity = Fraction(asset.devices * HOURS_PER_YEAR)
    hours = capacity * costs.planned_utilization
    rate = annual / hours
    posted = to_decimal(rate, POSTED_DECIMALS)
    steps += [
        Step("Annual cost", "sum of the above", annual, year),
        Step(
            "Annual capacity",
            f"devices x {HOURS_PER_YEAR} h",
            capacity,
            "GPU-hours/year",
            (f"{sku}.devices",),
        ),
        Step(
            "Planned GPU-hours",
            "annual capacity x planned_utilization",
            hours,
            "GPU-hours/year",
            (f"{pool}.planned_utilization",),
        ),
        Step("Rate", "annual cost / planned GPU-hours", rate, f"{currency}/GPU-hour"),
        Step(
            "Posted price",
            f"rounded half up to {POSTED_DECIMALS} decimals",
            Fraction(posted),
            f"{currency}/GPU-hour",
        ),
    ]
    return Derivation(costs.pool, asset.sku, tuple(steps), annual, rate, posted, tuple(notes))
