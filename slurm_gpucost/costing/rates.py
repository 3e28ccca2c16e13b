"""What an hour of a device costs, and why: cost items -> annual cost -> rate, each step with its sources. Pure.

    rate = annual cost / GPU-hours: annual capacity x planned utilization, or as the pool declares

The annual cost is a year's at the pace of the month in which the rate begins. A year has 8760 hours here, always, so
February is not dearer than March. Where accounts own devices, both are those of the institution's devices: see
:mod:`slurm_gpucost.costing.operating`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from slurm_gpucost.costing.operating import Borne, borne
from slurm_gpucost.costing.pools import Devices, PoolCosts, Source, yearly
from slurm_gpucost.costing.rated import machines_kwh, means, pues
from slurm_gpucost.costing.steps import HOURS_PER_YEAR, POSTED_DECIMALS, Step
from slurm_gpucost.domain.units import decimal_text, to_decimal


@dataclass(frozen=True)
class Derivation:
    """How a SKU's rate comes about, line by line; ``posted`` is rounded once, here."""

    pool: str
    sku: str
    steps: tuple[Step, ...]
    annual_cost: Fraction
    """A year's cost that the rate bears: where accounts own devices, without what they pay."""
    capacity_hours: Fraction
    """A year's GPU-hours of the devices that it is spread over."""
    rate: Fraction
    posted: Decimal
    notes: tuple[str, ...] = ()
    operating: Decimal | None = None
    """What owners pay for a device-hour, posted; None: the SKU has no shares."""


def derive(costs: PoolCosts, sku: str, first_day: date, currency: str, as_of: date | None = None) -> Derivation:
    """The rate of a SKU from ``first_day`` on, with the devices and the shares of that day, or of another."""
    costs = costs.on(as_of or first_day)
    devices = costs.of(sku)
    key = f"pools.{costs.pool}.skus.{sku}"
    year = f"{currency}/year"
    count = Source(f"{key}.devices")
    found = list(yearly(costs, sku, first_day))
    energy, drawn = _energy(costs, sku, first_day, year)
    annual = sum((part.amount for part in found), Fraction(0)) + energy
    bears = borne(costs, sku, as_of or first_day, annual, (part.amount for part in found if part.capital), currency)
    capacity = bears.devices * HOURS_PER_YEAR
    hours, spread = _hours(costs, devices, bears, capacity)
    rate = bears.cost / hours
    posted = to_decimal(rate, POSTED_DECIMALS)
    steps = [
        Step("Devices", "devices", Fraction(devices.count), "devices", (count,)),
        *(Step(part.label, part.formula, part.amount, year, part.sources) for part in found),
        *drawn,
        Step("Annual cost", "sum of the above", annual, year),
        *bears.steps,
        Step("Annual capacity", f"{_whose(devices, bears)} x {HOURS_PER_YEAR} h", capacity, "GPU-hours/year", (count,)),
        *spread,
        Step("Rate", f"{bears.name} / {costs.denominator} GPU-hours", rate, f"{currency}/GPU-hour"),
        Step(
            "Posted price",
            f"rounded half up to {POSTED_DECIMALS} decimals",
            Fraction(posted),
            f"{currency}/GPU-hour",
        ),
    ]
    notes = tuple(part.note for part in found if part.note) + bears.notes
    if costs.rate_parts == 2:
        notes += ("energy is not in this price: it is billed beside it, by the kWh, as measured",)
    return Derivation(
        costs.pool, sku, tuple(steps), bears.cost, capacity, rate, posted, notes, bears.operating
    )  # fmt: skip


def _whose(devices: Devices, bears: Borne) -> str:
    return "devices" if bears.devices == devices.count else "(devices - owned devices)"


def _hours(costs: PoolCosts, devices: Devices, bears: Borne, capacity: Fraction) -> tuple[Fraction, list[Step]]:
    """The hours that the cost is spread over, and the step that says which. Raises ValueError where there are none."""
    pool, unit = f"pools.{costs.pool}", "GPU-hours/year"
    declared = Source(f"{pool}.denominator")
    if costs.denominator == "capacity":
        hours, told = capacity, Step("Capacity GPU-hours", "annual capacity: all of it", capacity, unit, (declared,))
    elif costs.denominator == "budgeted":
        hours = (devices.budgeted_hours or Fraction(0)) * bears.devices / devices.count
        where = (declared, Source(f"{pool}.skus.{devices.sku}.budgeted_hours"))
        formula = "budgeted_hours"
        if bears.devices != devices.count:
            formula += f" x {_whose(devices, bears)} / devices"
        told = Step("Budgeted GPU-hours", formula, hours, unit, where)
    else:
        hours = capacity * costs.planned_utilization
        formula = "annual capacity x planned_utilization"
        told = Step("Planned GPU-hours", formula, hours, unit, (Source(f"{pool}.planned_utilization"),))
    if hours <= 0:
        raise ValueError(f"{devices.sku} has no {costs.denominator} GPU-hours to spread its cost over")
    return hours, [told]


def _energy(costs: PoolCosts, sku: str, first_day: date, year: str) -> tuple[Fraction, list[Step]]:
    """What the price of an hour bears of energy, and the steps that say so."""
    pool, key = f"pools.{costs.pool}", f"pools.{costs.pool}.skus.{sku}"
    if costs.rate_parts == 2:
        told = "billed by the kWh as measured, beside the price of the hour"
        return Fraction(0), [Step("Energy", told, Fraction(0), year, (Source(f"{pool}.rate_parts"),))]
    mean = means(costs, first_day)
    kwh = machines_kwh(costs, sku, HOURS_PER_YEAR) * mean.pue
    site = "pue"
    if len(pues(costs)) > 1:
        site = f"{decimal_text(mean.pue, 6)}, the mean of pue over the twelve months from then on"
    drawn = Step(
        "Energy drawn",
        f"devices x nameplate_watts / 1000 x {HOURS_PER_YEAR} h x {site}",
        kwh,
        "kWh/year",
        (Source(f"{key}.devices"), Source(f"{key}.nameplate_watts"), Source(f"{pool}.pue")),
    )
    energy = kwh * mean.price
    return energy, [
        drawn,
        Step("Energy", _tariff_text(costs, mean.price), energy, year, costs.sources.get("tariff", ())),
    ]


def _tariff_text(costs: PoolCosts, price: Fraction) -> str:
    if len(costs.tariff.versions) == 1 and len(costs.tariff.versions[0].bands) == 1:
        return "energy drawn x tariff_per_kwh"
    return f"energy drawn x {decimal_text(price, 6)}, the tariff's mean over the twelve months from then on"
