"""What operating a SKU's devices costs, and which part of their cost the price of an hour bears where some are owned.

    operating price = annual cost without capital / (devices x 8760 h)
    price           = (annual cost - operating cost x owned / devices) / hours of the institution's devices

Owners pay the operating price of their devices, used or not. Where all are owned only guests pay the price: then it is
operating cost / planned hours of all devices. Pure, exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.costing.pools import PoolCosts
from slurm_gpucost.costing.shares import owned_on
from slurm_gpucost.costing.steps import HOURS_PER_YEAR, POSTED_DECIMALS, Step
from slurm_gpucost.domain.units import decimal_text, to_decimal


class Borne(NamedTuple):
    """What the price of a SKU's hour bears."""

    name: str
    """What the cost is called."""
    cost: Fraction
    """A year's."""
    devices: Fraction
    """Over whose hours it is spread."""
    steps: tuple[Step, ...] = ()
    operating: Decimal | None = None
    """The posted operating price per device-hour; None: nobody owns devices of the SKU, ever."""
    notes: tuple[str, ...] = ()


def borne(costs: PoolCosts, sku: str, day: date, annual: Fraction, capital: Iterable[Fraction], currency: str) -> Borne:
    """With the shares that hold on a day. ``annual``: all that the devices cost a year; ``capital``: its capital."""
    count = Fraction(costs.of(sku).count)
    if not any(share.sku == sku for share in costs.shares):
        return Borne("annual cost", annual, count)
    where, year = costs.sources.get(f"shares:{sku}", ()), f"{currency}/year"
    operating = annual - sum(capital, Fraction(0))
    posted = to_decimal(operating / (count * HOURS_PER_YEAR), POSTED_DECIMALS)
    formula = f"operating cost / (devices x {HOURS_PER_YEAR} h), rounded half up to {POSTED_DECIMALS} decimals"
    steps = [
        Step("Operating cost", "annual cost without depreciation, capital recovery and interest", operating, year),
        Step("Operating price", formula, Fraction(posted), f"{currency}/GPU-hour"),
        Step("Owned devices", f"of the shares that hold on {day}", owned_on(costs.shares, sku, day), "devices", where),
    ]
    owned = steps[-1].value
    if not owned:
        return Borne("annual cost", annual, count, tuple(steps), posted)
    if owned == count:
        left = annual - operating
        note = f"all devices are owned: {decimal_text(left, 2)} {year} of capital are in no price"
        return Borne("operating cost", operating, count, tuple(steps), posted, (note,) if left else ())
    paid = operating * owned / count
    steps += [
        Step("Paid by owners", f"operating cost x {number_text(owned)}/{count} devices", paid, year),
        Step("Institution's cost", "annual cost - paid by owners", annual - paid, year),
    ]
    return Borne("institution's cost", annual - paid, count - owned, tuple(steps), posted)
